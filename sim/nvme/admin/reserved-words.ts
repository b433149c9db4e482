import { Bits, type Struct, U64 } from '../../../sdk/spec/layout.js';
import { commandDwords, Sqe } from '../../../sdk/spec/nvme/command.js';
import { commandTable } from '../../../sdk/spec/nvme/command-tables.js';

/** Dwords that a table need not name: identifiers, metadata and data pointers. */
const firstOwnDword = Sqe.cdw10.dword;
const leadingDwords = [Sqe.cdw2.dword, Sqe.cdw3.dword];

const ownDwords = Array.from(
  { length: commandDwords - firstOwnDword },
  (_, i) => firstOwnDword + i,
);
const checkedDwords = [...leadingDwords, ...ownDwords];

const masks = new Map<number, Uint32Array>();

/**
 * The first dword of an admin command in which a bit is set that its table does not define.
 *
 * @returns -1 when there is none
 */
export function reservedDwordSet(opcode: number, words: Uint32Array): number {
  const defined = masks.get(opcode) ?? learn(opcode);
  for (const dword of checkedDwords) {
    if ((words[dword]! & ~defined[dword]!) !== 0) return dword;
  }
  return -1;
}

function learn(opcode: number): Uint32Array {
  const table = commandTable(opcode, 'admin');
  const defined = table === undefined ? new Uint32Array(commandDwords) : definedBits(table);
  masks.set(opcode, defined);
  return defined;
}

function definedBits(table: Struct): Uint32Array {
  const defined = new Uint32Array(commandDwords);
  for (const field of Object.values(table)) {
    // A field at its largest sets exactly its own bits.
    if (field instanceof Bits) field.set(defined, 0, field.max);
    if (field instanceof U64) defined.fill(Sqe.cdw10.max, field.dword, field.dword + 2);
  }
  return defined;
}
