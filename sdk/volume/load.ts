import type { BlockDevice } from '../block/device.js';
import { checkWords } from '../crc32c.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { parseObject } from './catalog.js';
import { PoolCore } from './core.js';
import type { Finding } from './findings.js';
import { cellBytes, cellsPerUnit, Image, imageMagic, unitBytes } from './format.js';
import {
  type FoundLabel,
  type FoundSuperblock,
  hexOf,
  newestSuperblock,
  readLabel,
  readSuperblocks,
} from './labels.js';
import { countNames, readDirectory } from './load-nodes.js';
import { type CellsRead, ControlIo, Port, Pump, unitsOf, wasAnswered } from './port.js';
import {
  batchAt,
  hiddenBlock,
  laterBatch,
  type ReplayTarget,
  type RingView,
  replayBatch,
} from './replay.js';

/** A pool as it was read, before anything is written. */
export interface LoadedPool {
  readonly core: PoolCore;
  /** Where the journal goes on. */
  readonly nextSeq: number;
  readonly nextBlock: number;
  /** Why it must not be written to; '' when it may. */
  readonly blocked: string;
}

/**
 * Read a pool: labels, the newest superblock, the image, every node, then the journal from the
 * image on. What units are free is worked out from the maps, never read. One wrong bit anywhere is
 * mended in memory and named in `core.findings`.
 *
 * @throws UltimaError POOL_INVALID for devices that are not, or not all, one pool; POOL_DAMAGED
 *   when no copy of the superblock or the image is left
 */
export async function loadPool(
  devices: readonly BlockDevice[],
  mapCacheBytes?: number,
): Promise<LoadedPool> {
  const findings: Finding[] = [];
  const labels: FoundLabel[] = [];
  for (const [i, device] of devices.entries()) {
    const label = await readLabel(device, findings);
    if (label === null) throw invalid(`device ${i} carries no pool`, { device: i });
    labels.push(label);
  }
  const first = firstDevice(devices, labels);
  const superblock = await readSuperblock(first, labels[0]!.poolId, findings);
  const ports = portsOf(devices, labels, superblock);
  const core = new PoolCore({
    ports,
    identity: {
      poolId: Uint8Array.from(Buffer.from(labels[0]!.poolId, 'hex')),
      deviceIds: [...superblock.deviceIds],
      session: superblock.session,
      generation: superblock.generation,
      journalUnits: superblock.journalUnits,
      imageUnits: superblock.copies.flat(),
    },
    ...(mapCacheBytes === undefined ? {} : { mapCacheBytes }),
  });
  core.findings.push(...findings);
  const image = await readImage(core, superblock);
  readCatalog(core, image);
  const names = core.reliantNames();
  if (names.length > 0 && !core.isCompared) {
    const text = 'not all devices compare what they read any more; nothing else does';
    core.findings.push({ kind: 'lost', what: 'protection', text, costs: names });
  }
  const system = systemUnits(core);
  readDirectory(core, directoryOf(image), system);
  core.slots.markUnits(system);
  await countNames(core, system);
  core.isLoading = true;
  const end = await replayJournal(core, superblock, system);
  core.isLoading = false;
  settleSpace(core, system);
  return { core, ...end };
}

export function invalid(message: string, facts: Record<string, string | number>): UltimaError {
  return new UltimaError(ErrorCode.poolInvalid, message, facts);
}

/** All are one pool, whatever order they were named in. @returns the one with the superblocks */
function firstDevice(devices: readonly BlockDevice[], labels: readonly FoundLabel[]): BlockDevice {
  const { poolId } = labels[0]!;
  const seen = new Set<number>();
  for (const [i, label] of labels.entries()) {
    if (label.poolId !== poolId) {
      const facts = { device: i, pool: label.poolId };
      throw invalid(`device ${i} is part of another pool (${label.poolId})`, facts);
    }
    if (seen.has(label.index)) {
      throw invalid(`device ${i} is number ${label.index} of the pool, as another one is`, {
        device: i,
        index: label.index,
      });
    }
    seen.add(label.index);
  }
  const first = labels.findIndex(({ index }) => index === 0);
  if (first < 0) throw invalid('the first device of the pool is missing', { index: 0 });
  return devices[first]!;
}

async function readSuperblock(
  device: BlockDevice,
  poolId: string,
  findings: Finding[],
): Promise<FoundSuperblock> {
  const port = new Port(device, 0);
  const pump = new Pump([port], () => {
    port.poll();
  });
  const copies = await readSuperblocks(new ControlIo(pump), port);
  const superblock = newestSuperblock(copies, poolId, findings);
  if (superblock !== null) return superblock;
  throw new UltimaError(
    ErrorCode.poolDamaged,
    'none of the four superblocks is readable; the creation of the pool may not have ended',
    { pool: poolId },
  );
}

/** A port for each row of the superblock, which is a device, or a part of one. */
function portsOf(
  devices: readonly BlockDevice[],
  labels: readonly FoundLabel[],
  superblock: FoundSuperblock,
): Port[] {
  const { unitCounts } = superblock;
  const ids = superblock.deviceIds.map(hexOf);
  const ports: Port[] = [];
  for (const [index, id] of ids.entries()) {
    const at = labels.findIndex((label) => hexOf(label.deviceId) === id);
    if (at < 0) throw missing(index, new Set(ids).size, labels);
    const device = devices[at]!;
    const { blockBytes } = labels[at]!;
    if (device.blockBytes !== blockBytes) {
      throw invalid(`device ${index} has blocks of ${device.blockBytes} bytes, not ${blockBytes}`, {
        index,
        blockBytes: device.blockBytes,
      });
    }
    const before = ports.filter((port) => port.device === device);
    const baseUnit = before.reduce((sum, { unitCount }) => sum + unitCount, 0);
    const port = new Port(device, index, baseUnit);
    const units = unitCounts[index]!;
    if (port.unitCount < units) {
      const bytes = unitsOf(device) * unitBytes;
      const expected = (baseUnit + units) * unitBytes;
      const message = `device ${index} has shrunk: ${bytes} bytes of ${expected}`;
      throw invalid(message, { index, bytes, expected });
    }
    port.unitCount = units;
    ports.push(port);
  }
  // A device that was labelled but is in no superblock: growing was cut short.
  for (const { index, deviceId } of labels) {
    if (ids.includes(hexOf(deviceId))) continue;
    throw invalid(`device ${index} was never taken into the pool; leave it out`, { index });
  }
  return ports;
}

function missing(index: number, count: number, labels: readonly FoundLabel[]): UltimaError {
  return labels.some((label) => label.index === index)
    ? invalid(`device ${index} is not the one that the pool knows`, { index })
    : invalid(`device ${index} of ${count} of the pool is missing`, { index });
}

async function readImage(core: PoolCore, superblock: FoundSuperblock): Promise<Uint32Array> {
  const image = await readImageCopies(core, superblock, core.findings);
  if (image !== null && Image.magic.get(image, 0) === imageMagic) return image;
  throw new UltimaError(ErrorCode.poolDamaged, 'no copy of the image of the pool is readable', {
    generation: superblock.generation,
  });
}

/**
 * Read both copies. @returns the first one that is good or mended, or what they are together where
 * each has blocks that the other lacks; null for none
 */
export async function readImageCopies(
  core: PoolCore,
  superblock: FoundSuperblock,
  findings: Finding[],
): Promise<Uint32Array | null> {
  const wordCount = superblock.imageBytes / 4;
  const range = { from: 0, to: wordCount };
  const incomplete: CellsRead[] = [];
  let image: Uint32Array | null = null;
  for (const [copy, units] of superblock.copies.entries()) {
    const read = await readUnits(core, units, wordCount);
    const isWhole = read.missing.size === 0;
    const state = isWhole ? checkWords(read.words, range, superblock.imageCheck) : 'bad';
    if (state !== 'bad') image ??= read.words;
    if (!isWhole) incomplete.push(read);
    if (state === 'good') continue;
    findings.push({
      kind: state === 'mended' ? 'mended' : 'copy',
      what: 'image',
      text: state === 'mended' ? `one wrong bit in copy ${copy}` : `copy ${copy} is not readable`,
      costs: [],
    });
  }
  const [one, other] = incomplete;
  if (image !== null || one === undefined || other === undefined) return image;
  for (const cell of one.missing) {
    const from = (cell * cellBytes) / 4;
    one.words.set(other.words.subarray(from, from + cellBytes / 4), from);
  }
  return checkWords(one.words, range, superblock.imageCheck) === 'bad' ? null : one.words;
}

async function readUnits(
  core: PoolCore,
  units: readonly number[],
  wordCount: number,
): Promise<CellsRead> {
  const all = new Uint32Array((units.length * unitBytes) / 4);
  const missing = new Set<number>();
  for (const [i, unit] of units.entries()) {
    const port = core.portOf(unit);
    const left = wordCount * 4 - i * unitBytes;
    const bytes = Math.min(unitBytes, Math.ceil(left / cellBytes) * cellBytes);
    try {
      const read = await core.control.readCells(port, port.byteOf(unit), bytes);
      all.set(read.words, (i * unitBytes) / 4);
      for (const cell of read.missing) missing.add(i * cellsPerUnit + cell);
    } catch (error) {
      if (!wasAnswered(error)) throw error;
      for (let cell = 0; cell < bytes / cellBytes; cell++) missing.add(i * cellsPerUnit + cell);
    }
  }
  return { words: all.subarray(0, wordCount), missing };
}

function readCatalog(core: PoolCore, image: Uint32Array): void {
  const bytes = Image.catalogBytes.get(image, 0);
  const from = image.byteOffset + Image.layout.bytes;
  let rows: unknown;
  try {
    rows = JSON.parse(new TextDecoder().decode(new Uint8Array(image.buffer, from, bytes)));
  } catch {
    throw new UltimaError(ErrorCode.poolDamaged, 'the catalog of the pool is no JSON', { bytes });
  }
  for (const row of Array.isArray(rows) ? rows : []) {
    const object = parseObject(row);
    if (object !== null && core.catalog.faultOfNew(object) === null) core.catalog.add(object);
    else {
      const text = 'a row of the catalog has fields that cannot be; it is left out';
      core.findings.push({ kind: 'lost', what: 'catalog', text, costs: [] });
    }
  }
  core.catalog.nextId = Math.max(core.catalog.nextId, Image.nextId.get(image, 0));
}

function directoryOf(image: Uint32Array): Uint32Array {
  const catalogWords = Math.ceil(Image.catalogBytes.get(image, 0) / 8) * 2;
  return image.subarray(Image.layout.bytes / 4 + catalogWords);
}

/** Units of labels, journal and image, where no node and no data can lie. A byte for each unit. */
function systemUnits(core: PoolCore): Uint8Array {
  const system = new Uint8Array(core.units.unitCount);
  system.fill(1, 0, core.identity.journalUnits + 1);
  for (const port of core.ports) if (port.hasLabel) system[port.firstUnit] = 1;
  for (const unit of core.identity.imageUnits) system[unit] = 1;
  return system;
}

async function replayJournal(
  core: PoolCore,
  superblock: FoundSuperblock,
  system: Uint8Array,
): Promise<Omit<LoadedPool, 'core'>> {
  const bytes = superblock.journalUnits * unitBytes;
  const ring: RingView = {
    ...(await core.control.readCells(core.ports[0]!, unitBytes, bytes)),
    blocks: superblock.journalUnits * cellsPerUnit,
    poolId: core.identity.poolId,
    session: superblock.session,
  };
  const target = replayTarget(core, system);
  let seq = superblock.journalSeq;
  let block = superblock.journalBlock;
  let blocked = '';
  for (;;) {
    const batch = batchAt(ring, block, seq) ?? batchAt(ring, 0, seq);
    if (batch === null) break;
    if (batch.isMended) {
      const text = `one wrong bit in batch ${seq}`;
      core.findings.push({ kind: 'mended', what: 'journal', text, costs: [] });
    }
    const fault = (await replayBatch(ring.words, batch, target)) ?? (await reapAll(core));
    if (fault !== null) {
      blocked = `batch ${seq} of the journal makes no sense: ${fault}`;
      break;
    }
    block = (batch.from / (cellBytes / 4) + batch.blocks) % ring.blocks;
    seq++;
  }
  const later = laterBatch(ring, seq);
  if (blocked === '' && superblock.isDoubtful) {
    blocked = 'both copies of a superblock are unreadable, and it may have been the newest';
  }
  if (blocked === '' && later !== null) {
    blocked = `batch ${seq} of the journal is not readable, but batch ${later} is there`;
  }
  const hidden = hiddenBlock(ring, block, seq);
  if (blocked === '' && hidden !== null) {
    blocked = `block ${hidden} of the journal cannot be read, where batch ${seq} may lie`;
  }
  if (blocked !== '') {
    const text = `${blocked}; the pool is as it was before that`;
    core.findings.push({ kind: 'lost', what: 'journal', text, costs: ['the pool'] });
  }
  for (const unread of blocked === '' ? ring.missing : []) {
    const text = `block ${unread} cannot be read; no batch that is needed lies there`;
    core.findings.push({ kind: 'copy', what: 'journal', text, costs: [] });
  }
  return { nextSeq: Math.max(seq, later ?? 0) + 1, nextBlock: block, blocked };
}

/** Replay releases at once: nothing is under way, and the journal is durable. */
function replayTarget(core: PoolCore, system: Uint8Array): ReplayTarget {
  const { trees, catalog, units, reaper } = core;
  const releases = {
    deferUnit: (unit: number) => {
      units.refs[unit]!--;
    },
    deferNode: (id: number) => reaper.drop(id),
  };
  trees.releases = releases;
  return {
    trees,
    unitCount: units.unitCount,
    tree: (id) => catalog.objects.get(id),
    change: (change) => catalog.apply(change, releases),
    bring: (node) => core.pager.bring(node),
    isSystemUnit: (unit) => system[unit] === 1,
  };
}

/** @returns null, or in words what it cannot go on for */
async function reapAll(core: PoolCore): Promise<string | null> {
  for (let absent = core.reaper.finish(); absent !== 0; absent = core.reaper.finish()) {
    if (!(await core.pager.bring(absent))) return `it gives up node ${absent}, which is lost`;
  }
  return null;
}

/** What nothing names is free. */
function settleSpace(core: PoolCore, system: Uint8Array): void {
  const { units, slots, nodes, trees, deferred } = core;
  trees.releases = deferred;
  const { refs } = units;
  for (let unit = 0; unit < units.unitCount; unit++) {
    if (refs[unit] === 0 && system[unit] === 0) units.free(unit);
  }
  slots.settle();
  nodes.sweep();
}
