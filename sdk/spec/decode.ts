import { describeStruct, type FieldText } from './describe.js';
import type { Struct } from './layout.js';
import { Psdt, Sqe, sgl1Dword } from './nvme/command.js';
import { commandTable } from './nvme/command-tables.js';
import { Cqe } from './nvme/completion.js';
import { SglDescriptor } from './nvme/data-pointer.js';
import { directionOf, opcodeText, type QueueKind } from './nvme/opcodes.js';
import { type RegisterName, registerTables } from './nvme/registers.js';
import { statusText } from './nvme/status.js';

export { describeFeature, describeIdentify, describeLogPage } from './decode-page.js';
export { describeStruct, type FieldText, linesOf, valuesOf } from './describe.js';

/** CDW2 and CDW3 belong to the command; CDW10 is where its own dwords begin. */
const rawDwords = ['cdw2', 'cdw3', 'cdw10', 'cdw11', 'cdw12', 'cdw13', 'cdw14', 'cdw15'] as const;

/**
 * A submission queue entry in words: opcode, identifiers, data pointer, then the command's own
 * fields; raw dwords when the opcode is unknown.
 *
 * @param words  memory that holds the 16 dwords
 * @param at     dword index of the entry
 * @param kind   which queue it was posted to
 */
export function describeCommand(words: Uint32Array, at: number, kind: QueueKind): FieldText[] {
  const opcode = Sqe.opc.get(words, at);
  const table = commandTable(opcode, kind);
  const described: FieldText[] = [
    { name: 'opc', value: opcode, text: opcodeText(opcode, kind), doc: Sqe.opc.doc },
    ...pick(['cid', 'nsid'], words, at),
  ];
  if (Sqe.fuse.get(words, at) !== 0) described.push(...pick(['fuse'], words, at));
  if (!namesDataPointer(table)) described.push(...describePointer(words, at));
  if (table === undefined) return [...described, ...pick(rawDwords, words, at)];
  return [...described, ...describeStruct(table, words, at)];
}

/** The same on one line, without fields that are zero: 'read cid 7 nsid 1 prp1 0x8000 nlb 8'. */
export function commandLine(words: Uint32Array, at: number, kind: QueueKind): string {
  const [first, ...rest] = describeCommand(words, at, kind);
  const parts = rest
    .filter(({ name, value }) => value !== 0 || name === 'cid' || name === 'slba')
    .map(({ name, value }) => `${name} ${shortText(name, value)}`);
  return [first?.text ?? '', ...parts].join(' ');
}

/** A completion queue entry in words. */
export function describeCompletion(words: Uint32Array, at: number): FieldText[] {
  return describeStruct(Cqe, words, at).map((field) =>
    field.name === 'status' ? { ...field, text: statusText(Cqe.status.get(words, at)) } : field,
  );
}

/** The same on one line: 'cid 7 sq 1 head 3 phase 1 dw0 0x0: success (SCT 0, SC 0x00)'. */
export function completionLine(words: Uint32Array, at: number): string {
  const hex = Cqe.dw0.get(words, at).toString(16);
  return (
    `cid ${Cqe.cid.get(words, at)} sq ${Cqe.sqid.get(words, at)} ` +
    `head ${Cqe.sqhd.get(words, at)} phase ${Cqe.p.get(words, at)} dw0 0x${hex}: ` +
    statusText(Cqe.status.get(words, at))
  );
}

/** A controller register in words. `high` is the upper dword of the 64-bit ones. */
export function describeRegister(name: RegisterName, low: number, high = 0): FieldText[] {
  const table: Struct = registerTables[name];
  return describeStruct(table, new Uint32Array([low, high]), 0);
}

function describePointer(words: Uint32Array, at: number): FieldText[] {
  const hasData = directionOf(Sqe.opc.get(words, at)) !== 'none';
  const metadata = Sqe.mptr.get(words, at) === 0 ? [] : pick(['mptr'], words, at);
  const psdt = Sqe.psdt.get(words, at);
  if (psdt === Psdt.prp) return hasData ? [...metadata, ...pick(['prp1', 'prp2'], words, at)] : [];
  const descriptor = describeStruct(SglDescriptor, words, at + sgl1Dword);
  return [
    ...pick(['psdt'], words, at),
    ...metadata,
    ...descriptor.map((field) => ({ ...field, name: `sgl1.${field.name}` })),
  ];
}

/** A command that names PRP1 itself (Doorbell Buffer Config) is not described twice. */
function namesDataPointer(table: Struct | undefined): boolean {
  return table !== undefined && Object.keys(table).includes('shadow');
}

function pick(names: readonly (keyof typeof Sqe)[], words: Uint32Array, at: number): FieldText[] {
  const all = describeStruct(Sqe, words, at);
  return all
    .filter((field) => names.some((name) => name === field.name))
    .map((field) =>
      isAddress(field.name) ? { ...field, text: shortText(field.name, field.value) } : field,
    );
}

function isAddress(name: string): boolean {
  return name === 'prp1' || name === 'prp2' || name === 'mptr' || name.endsWith('.address');
}

function shortText(name: string, value: number | string): string {
  if (typeof value === 'string') return value;
  const isHex = isAddress(name) || name.startsWith('cdw') || name === 'shadow';
  return isHex || value > 0xffff_fff0 ? `0x${value.toString(16)}` : `${value}`;
}
