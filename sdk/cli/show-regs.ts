import type { PciFunction } from '../device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { enableMemory } from '../nvme/pci-probe.js';
import { describeStruct, linesOf } from '../spec/describe.js';
import { allOnes, Register, type RegisterName, registerTables } from '../spec/nvme/registers.js';
import { parseWords } from './arguments.js';
import { cardOf, cardOptions, withFunction } from './card.js';
import { formatOf, printPage } from './page-output.js';
import type { Terminal } from './terminal.js';

export const usage = `usage: ultima show-regs CARD [options]

The controller's registers. They are only read: the controller stays as it is.

  -H, --human-readable     field by field
  -o, --output-format WORD normal, json, binary`;

/** Registers as nvme-cli orders them [nvme-cli §? show-regs]. */
const names: readonly RegisterName[] = [
  'cap',
  'vs',
  'intms',
  'intmc',
  'cc',
  'csts',
  'nssr',
  'aqa',
  'asq',
  'acq',
  'cmbloc',
  'cmbsz',
  'bpinfo',
  'bprsel',
  'bpmbl',
  'cmbmsc',
  'cmbsts',
  'pmrcap',
  'pmrctl',
  'pmrsts',
  'pmrebs',
  'pmrswtp',
  'pmrmscl',
  'pmrmscu',
];

interface RegisterValue {
  readonly name: RegisterName;
  /** One dword, or two with the low one first. */
  readonly words: Uint32Array;
}

export async function run(words: readonly string[], terminal: Terminal): Promise<number> {
  const { values, positionals } = parseWords(words, cardOptions);
  const format = formatOf(values);
  const registers = await withFunction(cardOf(positionals, values.card), async (fn) => {
    enableMemory(fn);
    return readAll(fn);
  });
  const isHuman = values['human-readable'] === true;
  printPage(terminal, format, {
    words: Uint32Array.from(registers.flatMap((one) => [...one.words])),
    lines: () => registers.flatMap((one) => (isHuman ? humanLines(one) : [line(one)])),
    json: () => Object.fromEntries(registers.map((one) => [one.name, Number(numberOf(one))])),
  });
  return 0;
}

/** A function that is gone reads as all-ones, and VS never does. */
function readAll(fn: PciFunction): RegisterValue[] {
  const bar = fn.bar(0);
  if (bar.read32(Register.vs) === allOnes) {
    throw new UltimaError(
      ErrorCode.deviceRemoved,
      `${fn.address} is gone: its registers read as all-ones`,
      { address: fn.address },
    );
  }
  return names.map((name) => {
    const dwords = registerTables[name].layout.bytes / 4;
    const read = Array.from({ length: dwords }, (_, i) => bar.read32(Register[name] + 4 * i));
    return { name, words: Uint32Array.from(read) };
  });
}

function numberOf({ words }: RegisterValue): bigint {
  return (BigInt(words[1] ?? 0) << 32n) | BigInt(words[0]!);
}

function line(register: RegisterValue): string {
  const name = register.name === 'vs' ? 'version' : register.name;
  return `${name.padEnd(8)}: ${numberOf(register).toString(16)}`;
}

function humanLines(register: RegisterValue): string[] {
  const described = describeStruct(registerTables[register.name], register.words, 0);
  return [line(register), ...linesOf(described).map((text) => `\t${text}`), ''];
}
