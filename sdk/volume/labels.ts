import type { BlockDevice } from '../block/device.js';
import { checkWords, crc32cOfWords } from '../crc32c.js';
import { ErrorCode, UltimaError } from '../errors.js';
import type { Wide } from '../spec/layout.js';
import type { Finding } from './findings.js';
import {
  cellBytes,
  cellsPerUnit,
  deviceRow,
  formatVersion,
  Label,
  labelMagic,
  maxDevices,
  maxUnits,
  placeOf,
  Superblock,
  superblockMagic,
  unitBytes,
} from './format.js';
import { type CellsRead, ControlIo, checkDevice, Port, Pump } from './port.js';

const cellWords = cellBytes / 4;
/** Generations and numbers of batches that leave room to count on. */
const mostCounted = 2 ** 52;

export interface FoundLabel {
  readonly index: number;
  readonly poolId: string;
  readonly deviceId: Uint8Array;
  readonly unitCount: number;
  readonly blockBytes: number;
}

export function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

export interface LabelFields {
  readonly index: number;
  readonly poolId: Uint8Array;
  readonly deviceId: Uint8Array;
  readonly unitCount: number;
  readonly blockBytes: number;
}

export function labelWords(fields: LabelFields): Uint32Array {
  const words = new Uint32Array(cellWords);
  Label.magic.set(words, 0, labelMagic);
  Label.version.set(words, 0, formatVersion);
  Label.deviceIndex.set(words, 0, fields.index);
  Label.poolId.bytes(words, 0).set(fields.poolId);
  Label.deviceId.bytes(words, 0).set(fields.deviceId);
  Label.unitCount.set(words, 0, fields.unitCount);
  Label.blockBytes.set(words, 0, fields.blockBytes);
  Label.check.set(words, 0, crc32cOfWords(words, 2, cellWords));
  return words;
}

/** A reader for one device that is not part of a pool yet. */
function lonePort(device: BlockDevice): { readonly port: Port; readonly control: ControlIo } {
  checkDevice(device);
  const port = new Port(device, 0);
  const pump = new Pump([port], () => {
    port.poll();
  });
  return { port, control: new ControlIo(pump) };
}

/**
 * The label of a device, from the copy that is good.
 *
 * @returns null when neither is a label; with `findings` filled in for what was wrong
 */
export async function readLabel(
  device: BlockDevice,
  findings: Finding[],
): Promise<FoundLabel | null> {
  const { port, control } = lonePort(device);
  const { words } = await control.readCells(port, 0, 2 * cellBytes);
  let found: FoundLabel | null = null;
  let other: number | null = null;
  for (const copy of [placeOf.label, placeOf.labelCopy]) {
    const at = copy * cellWords;
    const state = checkBlock(words, at, Label, labelMagic);
    const version = Label.version.get(words, at);
    if (state === 'good' && version !== formatVersion) other = version;
    if (state !== 'bad' && version === formatVersion) {
      found ??= {
        index: Label.deviceIndex.get(words, at),
        poolId: hexOf(Label.poolId.bytes(words, at)),
        deviceId: Label.deviceId.bytes(words, at).slice(),
        unitCount: Label.unitCount.get(words, at),
        blockBytes: Label.blockBytes.get(words, at),
      };
    }
    if (state !== 'good') findings.push(ofCopy('label', `copy ${copy}`, state));
  }
  if (found !== null) return found;
  if (other !== null) throw versionError(other);
  return null;
}

/** Whether a device carries a label of this kind, good or bad, or anything else than zeroes. */
export async function signatureOf(device: BlockDevice): Promise<'blank' | 'pool' | 'other'> {
  const { port, control } = lonePort(device);
  const words = await control.read(port, 0, 16 * cellBytes);
  if (words[0] === labelMagic || words[cellWords] === labelMagic) return 'pool';
  return words.every((word) => word === 0) ? 'blank' : 'other';
}

function versionError(version: number): UltimaError {
  return new UltimaError(
    ErrorCode.poolInvalid,
    `the pool has format version ${version}; this program knows version ${formatVersion} only`,
    { version, known: formatVersion },
  );
}

/** Check a 4 KiB block with magic and CRC in its first two dwords, mending one wrong bit. */
function checkBlock(
  words: Uint32Array,
  at: number,
  table: typeof Label | typeof Superblock,
  magic: number,
): 'good' | 'mended' | 'bad' {
  const wrong = (words[at]! ^ magic) >>> 0;
  if ((wrong & (wrong - 1)) !== 0) return 'bad';
  const state = checkWords(words, { from: at + 2, to: at + cellWords }, table.check.get(words, at));
  if (state === 'bad' || (state === 'mended' && wrong !== 0)) return 'bad';
  return wrong !== 0 ? 'mended' : state;
}

function isBlank(words: Uint32Array, at: number): boolean {
  for (let i = at; i < at + cellWords; i++) if (words[i] !== 0) return false;
  return true;
}

function ofCopy(what: string, which: string, state: 'mended' | 'bad'): Finding {
  return state === 'mended'
    ? { kind: 'mended', what, text: `one wrong bit in ${what}, ${which}`, costs: [] }
    : { kind: 'copy', what, text: `${what}, ${which}, is not readable`, costs: [] };
}

export interface FoundSuperblock {
  /** A newer one may be lost. */
  readonly isDoubtful: boolean;
  readonly generation: number;
  readonly session: number;
  readonly journalUnits: number;
  readonly journalSeq: number;
  readonly journalBlock: number;
  readonly imageBytes: number;
  readonly imageCheck: number;
  readonly deviceIds: readonly Uint8Array[];
  readonly unitCounts: readonly number[];
  /** Units of each copy of the image. */
  readonly copies: readonly [readonly number[], readonly number[]];
}

/** Read all four copies of the superblocks. @throws UltimaError when none can be read */
export function readSuperblocks(control: ControlIo, port: Port): Promise<CellsRead> {
  const [first] = placeOf.superblocks;
  return control.readCells(port, first * cellBytes, placeOf.superblocks.length * cellBytes);
}

/** The newest superblock of which a copy is good; null when there is none. */
export function newestSuperblock(
  { words, missing }: CellsRead,
  poolId: string,
  findings: Finding[],
): FoundSuperblock | null {
  const good: { place: number; found: FoundSuperblock; state: 'good' | 'mended' }[] = [];
  const bad: number[] = [];
  for (const [i, place] of placeOf.superblocks.entries()) {
    const at = i * cellWords;
    const state = checkBlock(words, at, Superblock, superblockMagic);
    const found = state === 'bad' ? null : parseSuperblock(words, at, poolId);
    if (found !== null && state !== 'bad') good.push({ place, found, state });
    else if (!isBlank(words, at)) bad.push(place);
  }
  good.sort((a, b) => b.found.generation - a.found.generation);
  const newest = good[0]?.found;
  if (newest === undefined) return null;
  for (const { place, state } of good) {
    if (state === 'mended') findings.push(ofCopy('superblock', `copy ${place}`, state));
  }
  // A copy of the other pair may be torn by a power cut while it was written: that is no damage.
  const first = newest.generation % 2 === 1 ? 0 : 2;
  const pair: number[] = [placeOf.superblocks[first]!, placeOf.superblocks[first + 1]!];
  for (const place of bad) {
    const isNamed = pair.includes(place) || missing.has(place - placeOf.superblocks[0]);
    if (isNamed) findings.push(ofCopy('superblock', `copy ${place}`, 'bad'));
  }
  // The copies are written one after the other: a power cut cannot tear both.
  const isDoubtful = bad.filter((place) => !pair.includes(place)).length === 2;
  if (isDoubtful) {
    const text = 'both copies of one are unreadable, and it may have been the newest';
    findings.push({ kind: 'lost', what: 'superblock', text, costs: ['the pool'] });
  }
  return { ...newest, isDoubtful };
}

function parseSuperblock(words: Uint32Array, at: number, poolId: string): FoundSuperblock | null {
  const deviceCount = Superblock.deviceCount.get(words, at);
  const imageUnits = Superblock.imageUnits.get(words, at);
  if (Superblock.version.get(words, at) !== formatVersion) return null;
  if (hexOf(Superblock.poolId.bytes(words, at)) !== poolId) return null;
  if (deviceCount < 1 || deviceCount > maxDevices) return null;
  if (imageUnits * 4 > Superblock.firstCopy.length) return null;
  const rows = Superblock.devices.bytes(words, at).slice();
  const rowWords = new Uint32Array(rows.buffer);
  const bytes = deviceRow.words * 4;
  const indexes = Array.from({ length: deviceCount }, (_, i) => i);
  const list = (field: Wide): number[] => {
    const copy = field.bytes(words, at).slice(0, imageUnits * 4);
    return [...new Uint32Array(copy.buffer)];
  };
  const found: FoundSuperblock = {
    isDoubtful: false,
    generation: Superblock.generation.get(words, at),
    session: Superblock.session.get(words, at),
    journalUnits: Superblock.journalUnits.get(words, at),
    journalSeq: Superblock.journalSeq.get(words, at),
    journalBlock: Superblock.journalBlock.get(words, at),
    imageBytes: Superblock.imageBytes.get(words, at),
    imageCheck: Superblock.imageCheck.get(words, at),
    deviceIds: indexes.map((i) => rows.slice(i * bytes, i * bytes + 16)),
    unitCounts: indexes.map((i) => rowWords[i * deviceRow.words + deviceRow.unitCount]!),
    copies: [list(Superblock.firstCopy), list(Superblock.secondCopy)],
  };
  return isPossible(found) ? found : null;
}

/** Whether a pool can have written it: a good checksum alone says nothing about the numbers. */
function isPossible(found: FoundSuperblock): boolean {
  const { generation, session, journalSeq, journalUnits, unitCounts, imageBytes } = found;
  if (generation < 1 || generation > mostCounted || journalSeq > mostCounted) return false;
  if (session >= 0xffff_ffff) return false;
  const total = unitCounts.reduce((sum, count) => sum + count, 0);
  if (unitCounts.includes(0) || total > maxUnits) return false;
  if (journalUnits < 1 || journalUnits >= unitCounts[0]!) return false;
  if (found.journalBlock >= journalUnits * cellsPerUnit) return false;
  const perCopy = found.copies[0].length;
  if (imageBytes % 4 !== 0 || perCopy !== Math.ceil(imageBytes / unitBytes)) return false;
  const units = found.copies.flat();
  if (perCopy < 1 || new Set(units).size < units.length) return false;
  const labelled = labelledUnits(found);
  return units.every((unit) => unit > journalUnits && unit < total && !labelled.has(unit));
}

/** The first unit of each device; a further part of one has no label. */
function labelledUnits({ deviceIds, unitCounts }: FoundSuperblock): Set<number> {
  const units = new Map<string, number>();
  let first = 0;
  for (const [i, id] of deviceIds.entries()) {
    if (!units.has(hexOf(id))) units.set(hexOf(id), first);
    first += unitCounts[i]!;
  }
  return new Set(units.values());
}
