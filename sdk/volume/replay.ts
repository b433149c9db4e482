import { checkWords, crc32cOfWords } from '../crc32c.js';
import { type CatalogChange, parseChange } from './catalog.js';
import {
  allCells,
  Batch,
  batchMagic,
  cellBytes,
  cellCount,
  JournalRecord,
  RecordKind,
  recordBytes,
  sumsRecords,
  unitBytes,
} from './format.js';
import { bufferBytesOf } from './journal.js';
import type { Trees } from './trees.js';

const blockWords = cellBytes / 4;
const headerWords = Batch.layout.bytes / 4;
const recordWords = recordBytes / 4;

/** The ring as it was read, and what its next batch must say. */
export interface RingView {
  readonly words: Uint32Array;
  /** Blocks that could not be read; ones stand for them in `words`. */
  readonly missing: ReadonlySet<number>;
  readonly blocks: number;
  readonly poolId: Uint8Array;
  readonly session: number;
}

export interface FoundBatch {
  readonly from: number;
  readonly words: number;
  readonly blocks: number;
  readonly isMended: boolean;
}

/**
 * The batch of this number at a block, if a good one lies there. One wrong bit, in the header or in
 * the records, is mended: a torn batch differs from what was written in more than that.
 */
export function batchAt(ring: RingView, block: number, seq: number): FoundBatch | null {
  const { words } = ring;
  const from = block * blockWords;
  const wrongBits = headerDistance(ring, from, seq);
  if (wrongBits > 1) return null;
  const length = Batch.length.get(words, from);
  const found = tryLength(ring, block, length);
  if (found !== null) {
    // A wrong bit outside of what the CRC covers shows only here.
    Batch.magic.set(words, from, batchMagic);
    return headerDistance(ring, from, seq) === 0
      ? { ...found, isMended: found.isMended || wrongBits > 0 }
      : null;
  }
  if (wrongBits > 0) return null;
  for (let bit = 0; bit < 32; bit++) {
    const candidate = (length ^ (1 << bit)) >>> 0;
    const end = from + candidate / 4;
    if (!isLength(ring, block, candidate)) continue;
    Batch.length.set(words, from, candidate);
    if (crc32cOfWords(words, from + 2, end) === Batch.check.get(words, from)) {
      return { from, words: candidate / 4, blocks: blocksOf(candidate), isMended: true };
    }
    Batch.length.set(words, from, length);
  }
  return null;
}

function tryLength(ring: RingView, block: number, length: number): FoundBatch | null {
  if (!isLength(ring, block, length)) return null;
  const { words } = ring;
  const from = block * blockWords;
  const to = from + length / 4;
  const result = checkWords(words, { from: from + 2, to }, Batch.check.get(words, from));
  if (result === 'bad') return null;
  const isMended = result === 'mended';
  if (isMended) Batch.check.set(words, from, crc32cOfWords(words, from + 2, to));
  if (Batch.length.get(words, from) !== length) return null;
  return { from, words: length / 4, blocks: blocksOf(length), isMended };
}

function isLength(ring: RingView, block: number, length: number): boolean {
  const isShaped = length % recordBytes === 0 && length > Batch.layout.bytes;
  return (
    isShaped && length <= bufferBytesOf(ring.blocks) && block + blocksOf(length) <= ring.blocks
  );
}

function blocksOf(length: number): number {
  return Math.ceil(length / cellBytes);
}

/** Bits in which a header differs from the one that is expected. */
function headerDistance(ring: RingView, from: number, seq: number): number {
  const { words, poolId, session } = ring;
  let bits = bitsOf(Batch.magic.get(words, from) ^ batchMagic);
  bits += bitsOf(Batch.session.get(words, from) ^ session);
  const at = from + Batch.seq.dword;
  bits += bitsOf(words[at]! ^ (seq >>> 0)) + bitsOf(words[at + 1]! ^ Math.floor(seq / 2 ** 32));
  const id = new Uint32Array(Uint8Array.from(poolId).buffer);
  for (let i = 0; i < id.length; i++) {
    bits += bitsOf(words[from + Batch.poolId.offset / 4 + i]! ^ id[i]!);
  }
  return bits;
}

function bitsOf(value: number): number {
  let count = 0;
  for (let rest = value; rest !== 0; rest &= rest - 1) count++;
  return count;
}

/**
 * A block that cannot be read, and in which the batch of this number may lie, or a part of it. A
 * torn batch can be read, and is nothing; what cannot be read may have been acknowledged.
 *
 * @param block  where the batch begins, unless it starts at block 0 because it did not fit
 */
export function hiddenBlock(ring: RingView, block: number, seq: number): number | null {
  const mostBlocks = blocksOf(bufferBytesOf(ring.blocks));
  const starts = block + mostBlocks > ring.blocks ? [block, 0] : [block];
  for (const start of starts) {
    if (ring.missing.has(start)) return start;
    const from = start * blockWords;
    if (headerDistance(ring, from, seq) > 1) continue;
    const blocks = Math.min(mostBlocks, blocksOf(Batch.length.get(ring.words, from)));
    for (let i = start + 1; i < start + blocks; i++) if (ring.missing.has(i)) return i;
  }
  return null;
}

/** A good batch of this session, with a higher number, or of a later one: there is damage. */
export function laterBatch(ring: RingView, seq: number): number | null {
  const { words } = ring;
  for (let block = 0; block < ring.blocks; block++) {
    const from = block * blockWords;
    if (Batch.magic.get(words, from) !== batchMagic || !Batch.seq.isExact(words, from)) continue;
    // A later session begins with a superblock: without that one, this is not the newest state.
    const session = Batch.session.get(words, from);
    const found = Batch.seq.get(words, from);
    if (session < ring.session || (session === ring.session && found <= seq)) continue;
    if (batchAt({ ...ring, session }, block, found) !== null) return found;
  }
  return null;
}

export interface ReplayTarget {
  readonly trees: Trees;
  readonly unitCount: number;
  tree(id: number): { root: number; readonly bytes: number; readonly damage: string } | undefined;
  change(change: CatalogChange): string | null;
  isSystemUnit(unit: number): boolean;
  /** See to it that a node is in memory. @returns false when it is lost */
  bring(node: number): Promise<boolean>;
}

/** Carry out the records of a batch. @returns null, or in words what makes no sense in them */
export async function replayBatch(
  words: Uint32Array,
  batch: FoundBatch,
  target: ReplayTarget,
): Promise<string | null> {
  const end = batch.from + batch.words;
  for (let at = batch.from + headerWords; at < end; at += recordWords) {
    const kind = JournalRecord.kind.get(words, at);
    if (kind === RecordKind.catalog) {
      const bytes = JournalRecord.value.get(words, at);
      const steps = Math.ceil(bytes / recordBytes);
      if (at + (1 + steps) * recordWords > end) return 'a change of the catalog is cut off';
      const from = words.byteOffset + (at + recordWords) * 4;
      const fault = replayCatalog(new Uint8Array(words.buffer, from, bytes), target);
      if (fault !== null) return fault;
      at += steps * recordWords;
    } else if (kind === RecordKind.assignChecked) {
      const count = cellCount(JournalRecord.cells.get(words, at));
      const steps = sumsRecords(count);
      if (at + (1 + steps) * recordWords > end) return 'checksums are cut off';
      const sums = words.subarray(at + recordWords, at + recordWords + count);
      const fault = await replayRecord(words, at, target, sums);
      if (fault !== null) return fault;
      at += steps * recordWords;
    } else {
      const fault = await replayRecord(words, at, target);
      if (fault !== null) return fault;
    }
  }
  return null;
}

function replayCatalog(json: Uint8Array, target: ReplayTarget): string | null {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(json));
  } catch {
    return 'a change of the catalog is no JSON';
  }
  const change = parseChange(value);
  if (change === null) return 'a change of the catalog has fields that cannot be';
  return target.change(change);
}

async function replayRecord(
  words: Uint32Array,
  at: number,
  target: ReplayTarget,
  sums: Uint32Array | null = null,
): Promise<string | null> {
  const kind = JournalRecord.kind.get(words, at);
  const cells = JournalRecord.cells.get(words, at);
  const id = JournalRecord.object.get(words, at);
  const extent = JournalRecord.extent.get(words, at);
  const value = JournalRecord.value.get(words, at);
  const tree = target.tree(id);
  if (tree === undefined) return `a record names volume ${id}, which is not there`;
  const last = kind === RecordKind.unmapRange ? extent + value : extent + 1;
  if (last > Math.ceil(tree.bytes / unitBytes)) {
    return `a record names extent ${last - 1} of volume ${id}, which is smaller`;
  }
  // Its map is not known in full: what the records say of it cannot be carried out.
  if (tree.damage !== '') return null;
  const { trees } = target;
  const absent = (): number =>
    kind === RecordKind.unmapRange
      ? trees.absentIn(tree.root, extent, value)
      : trees.absentAt(tree.root, extent, sums !== null);
  for (let node = absent(); node !== 0; node = absent()) {
    if (!(await target.bring(node))) return `a record needs node ${node}, which is lost`;
  }
  if (kind === RecordKind.assign || kind === RecordKind.assignChecked) {
    if (value === 0 || value >= target.unitCount || target.isSystemUnit(value) || cells === 0) {
      return `a record puts cells ${cells} of an extent into unit ${value}`;
    }
    if (sums === null) target.trees.assign(tree, extent, cells, value);
    else target.trees.assignChecked(tree, extent, { mask: cells, unit: value }, sums);
  } else if (kind === RecordKind.unmap) {
    target.trees.unmap(tree, extent, cells & allCells);
  } else if (kind === RecordKind.unmapRange) {
    target.trees.unmapRange(tree, extent, value);
  } else {
    return `a record of kind ${kind}`;
  }
  return null;
}
