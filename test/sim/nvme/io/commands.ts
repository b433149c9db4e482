import {
  Compare,
  Copy,
  CopyRange0,
  DatasetManagement,
  DatasetRange,
  Read,
  Verify,
  Write,
  WriteUncorrectable,
  WriteZeroes,
} from '../../../../sdk/spec/nvme/nvm-command.js';
import { NvmOpcode } from '../../../../sdk/spec/nvme/opcodes.js';
import type { Request } from './rig.js';

export interface Range {
  readonly lba: number;
  readonly count: number;
}

export interface Protect {
  readonly pract?: number;
  readonly guard?: number;
  readonly app?: number;
  readonly ref?: number;
  /** Tags: application, its mask, initial reference. */
  readonly lbat?: number;
  readonly lbatm?: number;
  readonly ilbrt?: number;
}

interface Flags extends Protect {
  readonly fua?: number;
  readonly lr?: number;
  readonly deac?: number;
  readonly nsid?: number;
}

export function read(
  range: Range,
  data: Uint8Array,
  flags: Flags = {},
  metadata: Uint8Array = empty,
): Request {
  return {
    opcode: NvmOpcode.read,
    data,
    metadata,
    fields: readFields(Read, range, flags),
    ...nsidOf(flags),
  };
}

export function verify(range: Range, flags: Flags = {}): Request {
  return { opcode: NvmOpcode.verify, fields: readFields(Verify, range, flags), ...nsidOf(flags) };
}

export function compare(
  range: Range,
  data: Uint8Array,
  flags: Flags = {},
  metadata: Uint8Array = empty,
): Request {
  const fields = readFields(Compare, range, flags);
  return { opcode: NvmOpcode.compare, data, metadata, fields, ...nsidOf(flags) };
}

export function write(
  range: Range,
  data: Uint8Array,
  flags: Flags = {},
  metadata: Uint8Array = empty,
): Request {
  return {
    opcode: NvmOpcode.write,
    data,
    metadata,
    fields: writeFields(Write, range, flags),
    ...nsidOf(flags),
  };
}

export function writeZeroes(range: Range, flags: Flags = {}): Request {
  const fields = [
    ...writeFields(WriteZeroes, range, flags),
    [WriteZeroes.deac, flags.deac ?? 0],
  ] as const;
  return { opcode: NvmOpcode.writeZeroes, fields, ...nsidOf(flags) };
}

export function writeUncorrectable(range: Range): Request {
  const { slba, nlb } = WriteUncorrectable;
  return {
    opcode: NvmOpcode.writeUncorrectable,
    fields: [
      [slba, range.lba],
      [nlb, range.count],
    ],
  };
}

export function flush(nsid = 1): Request {
  return { opcode: NvmOpcode.flush, nsid };
}

export function deallocate(ranges: readonly Range[], isHint = false): Request {
  const words = new Uint32Array(ranges.length * 4);
  for (const [i, range] of ranges.entries()) {
    DatasetRange.slba.set(words, i * 4, range.lba);
    DatasetRange.length.set(words, i * 4, range.count);
  }
  return {
    opcode: NvmOpcode.datasetManagement,
    data: new Uint8Array(words.buffer),
    fields: [
      [DatasetManagement.nr, ranges.length],
      [DatasetManagement.ad, isHint ? 0 : 1],
    ],
  };
}

export interface CopyFlags {
  readonly format?: number;
  readonly prinfor?: number;
  readonly prinfow?: number;
  readonly ilbrt?: number;
  readonly eilbrt?: number;
}

export function copy(sources: readonly Range[], target: number, flags: CopyFlags = {}): Request {
  const format = flags.format ?? 0;
  // Format 1 differs in its length and in its tags only.
  const dwords = format === 1 ? 10 : 8;
  const words = new Uint32Array(sources.length * dwords);
  for (const [i, range] of sources.entries()) {
    CopyRange0.slba.set(words, i * dwords, range.lba);
    CopyRange0.nlb.set(words, i * dwords, range.count);
    CopyRange0.eilbrt.set(words, i * dwords, flags.eilbrt ?? 0);
  }
  return {
    opcode: NvmOpcode.copy,
    data: new Uint8Array(words.buffer),
    fields: [
      [Copy.sdlba, target],
      [Copy.nr, sources.length],
      [Copy.df, format],
      [Copy.prinfor, flags.prinfor ?? 0],
      [Copy.prinfow, flags.prinfow ?? 0],
      [Copy.ilbrt, flags.ilbrt ?? 0],
    ],
  };
}

const empty = new Uint8Array(0);

function nsidOf(flags: Flags): { nsid?: number } {
  return flags.nsid === undefined ? {} : { nsid: flags.nsid };
}

function readFields(
  table: typeof Read | typeof Verify | typeof Compare,
  range: Range,
  flags: Flags,
): Request['fields'] & object {
  return [
    [table.slba, range.lba],
    [table.nlb, range.count],
    [table.fua, flags.fua ?? 0],
    [table.lr, flags.lr ?? 0],
    [table.pract, flags.pract ?? 0],
    [table.prchkGuard, flags.guard ?? 0],
    [table.prchkApp, flags.app ?? 0],
    [table.prchkRef, flags.ref ?? 0],
    [table.elbat, flags.lbat ?? 0],
    [table.elbatm, flags.lbatm ?? 0],
    [table.eilbrt, flags.ilbrt ?? 0],
  ];
}

function writeFields(
  table: typeof Write | typeof WriteZeroes,
  range: Range,
  flags: Flags,
): Request['fields'] & object {
  return [
    [table.slba, range.lba],
    [table.nlb, range.count],
    [table.fua, flags.fua ?? 0],
    [table.pract, flags.pract ?? 0],
    [table.prchkGuard, flags.guard ?? 0],
    [table.prchkApp, flags.app ?? 0],
    [table.prchkRef, flags.ref ?? 0],
    [table.lbat, flags.lbat ?? 0],
    [table.lbatm, flags.lbatm ?? 0],
    [table.ilbrt, flags.ilbrt ?? 0],
  ];
}
