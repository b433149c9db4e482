import type { PoolCore } from '../../sdk/volume/core.js';
import {
  Batch,
  batchMagic,
  cellBytes,
  cellsPerUnit,
  placeOf,
  Superblock,
  unitBytes,
} from '../../sdk/volume/format.js';
import { NodeKind } from '../../sdk/volume/nodes.js';
import { pointerOf } from '../../sdk/volume/tree-finder.js';
import type { CrashDevice } from './crash-device.js';

/** What the pool keeps for itself, where it lies. */
export interface MetadataPage {
  readonly device: number;
  readonly at: number;
  readonly bytes: number;
  /** Bytes, from the first one on, that a CRC covers; behind them stands nothing. */
  readonly checkedBytes: number;
  /** 'label', 'superblock', 'image', 'batch', 'old batch', or what a node is */
  readonly kind: string;
  /** What the pool calls it in its findings. */
  readonly what: string;
  /** The node, 0 for what is none. */
  readonly node: number;
}

const kindNames: readonly string[] = Object.keys(NodeKind);

/** All but the journal. To be called when a checkpoint has just ended, and nothing is under way. */
export function pagesOf(core: PoolCore, devices: readonly CrashDevice[]): MetadataPage[] {
  const cell = { bytes: cellBytes, checkedBytes: cellBytes, node: 0 };
  const pages: MetadataPage[] = [];
  for (const device of devices.keys()) {
    for (const copy of [placeOf.label, placeOf.labelCopy]) {
      pages.push({ ...cell, device, at: copy * cellBytes, kind: 'label', what: 'label' });
    }
  }
  for (const place of placeOf.superblocks) {
    const at = place * cellBytes;
    pages.push({ ...cell, device: 0, at, kind: 'superblock', what: 'superblock' });
  }
  const { imageUnits } = core.identity;
  const imageBytes = imageBytesOf(core, devices);
  if (imageUnits.length !== 2 || imageBytes > unitBytes) throw new Error('a larger image');
  const bytes = Math.ceil(imageBytes / cellBytes) * cellBytes;
  const image = { bytes, checkedBytes: imageBytes, kind: 'image', what: 'image', node: 0 };
  for (const unit of imageUnits) pages.push({ ...image, ...placeIn(core, unit, 0) });
  for (let node = 1; node < core.nodes.end; node++) {
    const slot = core.nodes.slots[node]!;
    if (slot === 0) continue;
    const place = placeIn(core, Math.floor(slot / cellsPerUnit), slot % cellsPerUnit);
    const kind = kindNames[core.nodes.kinds[node]!]!;
    pages.push({ ...cell, ...place, kind, what: `node ${node}`, node });
  }
  return pages;
}

/** What the next opening replays, and so many blocks behind it that an earlier session has left. */
export function batchesOf(core: PoolCore, device: CrashDevice, oldBlocks: number): MetadataPage[] {
  const { tail, head, ringBlocks } = core.journal;
  if (head < tail) throw new Error('the journal goes round');
  const pages: MetadataPage[] = [];
  const words = new Uint32Array(device.image.buffer);
  const common = { device: 0, what: 'journal', node: 0 };
  for (let block = tail; block < head; ) {
    const at = unitBytes + block * cellBytes;
    const checkedBytes = Batch.length.get(words, at / 4);
    const blocks = Math.ceil(checkedBytes / cellBytes);
    pages.push({ ...common, at, bytes: blocks * cellBytes, checkedBytes, kind: 'batch' });
    block += blocks;
  }
  for (let i = 0, block = head; i < ringBlocks - (head - tail); i++) {
    const at = unitBytes + block * cellBytes;
    const isOld = Batch.magic.get(words, at / 4) === batchMagic;
    if (isOld && pages.filter(({ kind }) => kind === 'old batch').length < oldBlocks) {
      pages.push({ ...common, at, bytes: cellBytes, checkedBytes: 0, kind: 'old batch' });
    }
    block = (block + 1) % ringBlocks;
  }
  return pages;
}

/** Node → names of the volumes and snapshots whose maps lead to it. */
export function usersOf(core: PoolCore): Map<number, string[]> {
  const users = new Map<number, string[]>();
  for (const [name, root] of rootsOf(core)) {
    for (const node of nodesBelow(core, root)) {
      users.set(node, [...(users.get(node) ?? []), name]);
    }
  }
  return users;
}

function rootsOf({ catalog }: PoolCore): [string, number][] {
  return [...catalog.objects.values()].map(({ kind, name, volumeId, root }) => [
    kind === 'volume' ? name : `${catalog.objects.get(volumeId)!.name}@${name}`,
    root,
  ]);
}

function nodesBelow({ nodes }: PoolCore, root: number): Set<number> {
  const below = new Set<number>();
  const stack = root === 0 ? [] : [root];
  for (let id = stack.pop(); id !== undefined; id = stack.pop()) {
    if (below.has(id)) continue;
    below.add(id);
    const kind = nodes.kinds[id]!;
    if (kind === NodeKind.leaf || kind >= NodeKind.cells) continue;
    const at = nodes.at(id);
    for (const entry of nodes.wordsOf(id).subarray(at, at + cellBytes / 4)) {
      if (entry !== 0) stack.push(pointerOf(entry));
    }
  }
  return below;
}

function placeIn(core: PoolCore, unit: number, cell: number): { device: number; at: number } {
  const port = core.portOf(unit);
  return { device: port.index, at: port.byteOf(unit) + cell * cellBytes };
}

function imageBytesOf(core: PoolCore, devices: readonly CrashDevice[]): number {
  const words = new Uint32Array(devices[0]!.image.buffer);
  for (const place of placeOf.superblocks) {
    const at = (place * cellBytes) / 4;
    if (Superblock.generation.get(words, at) === core.identity.generation) {
      return Superblock.imageBytes.get(words, at);
    }
  }
  throw new Error('no superblock has the newest generation');
}
