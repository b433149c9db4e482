import type { PoolCore } from './core.js';
import { cellBytes, cellsPerUnit, unitBytes } from './format.js';
import { extentsPerGroup, extentsPerLeaf, groupsPerSplit, isSplit, pointerOf } from './trees.js';

/** A range of a volume that is not as it was. */
export interface ChangedRange {
  /** A multiple of 4,096; ranges ascend and do not touch when they are of one kind. */
  readonly byteOffset: number;
  readonly byteLength: number;
  /** Whether there is data now; without it the range reads as zeroes. */
  readonly isData: boolean;
}

/** One side of a comparison. */
interface Side {
  readonly root: number;
  readonly bytes: number;
}

/**
 * What must be written to a copy of `from` to make it `to`: ranges in ascending order, discarded
 * ones included. It is found in time that follows from what has changed: parts of the two maps that
 * are one and the same node are skipped, and a cell is unchanged when both name the same unit,
 * because no unit that a snapshot names is ever written again.
 *
 * Both maps are pinned until the iteration ends, so that volumes may be written meanwhile.
 */
export function* changedRanges(
  core: PoolCore,
  from: Side,
  to: Side,
  startByte = 0,
): Generator<ChangedRange> {
  const { nodes, reaper } = core;
  const roots = [from.root, to.root].filter((root) => root !== 0);
  for (const root of roots) nodes.refs[root]!++;
  try {
    let open: { byteOffset: number; byteLength: number; isData: boolean } | null = null;
    for (const cell of changedCells(core, from.root, to, startByte)) {
      const isNext =
        open !== null &&
        open.isData === cell.isData &&
        open.byteOffset + open.byteLength === cell.byteOffset;
      if (open !== null && isNext) {
        open.byteLength += cellBytes;
        continue;
      }
      if (open !== null) yield open;
      open = { byteOffset: cell.byteOffset, byteLength: cellBytes, isData: cell.isData };
    }
    if (open !== null) yield open;
  } finally {
    for (const root of roots) reaper.drop(root);
  }
}

function* changedCells(
  core: PoolCore,
  from: number,
  to: Side,
  startByte: number,
): Generator<{ readonly byteOffset: number; readonly isData: boolean }> {
  const units = { from: new Uint32Array(cellsPerUnit), to: new Uint32Array(cellsPerUnit) };
  const end = Math.ceil(to.bytes / unitBytes);
  for (const extent of changedExtents(core, from, to.root, Math.floor(startByte / unitBytes))) {
    if (extent >= end) return;
    read(core, from, extent, units.from);
    read(core, to.root, extent, units.to);
    for (let cell = 0; cell < cellsPerUnit; cell++) {
      if (units.from[cell] === units.to[cell]) continue;
      const byteOffset = extent * unitBytes + cell * cellBytes;
      if (byteOffset < startByte || byteOffset >= to.bytes) continue;
      yield { byteOffset, isData: units.to[cell] !== 0 };
    }
  }
}

function read(core: PoolCore, root: number, extent: number, into: Uint32Array): void {
  const { trees } = core;
  if (!trees.locate(root, extent)) into.fill(0);
  else for (let cell = 0; cell < cellsPerUnit; cell++) into[cell] = trees.unitOf(cell);
}

/** Extents below nodes that are not shared by both maps, ascending. */
function* changedExtents(
  core: PoolCore,
  from: number,
  to: number,
  first: number,
): Generator<number> {
  if (from === to) return;
  const { trees } = core;
  const childOf = (id: number, index: number): number => (id === 0 ? 0 : trees.child(id, index));
  for (let i = Math.floor(first / extentsPerLeaf / 1024); i < 1024; i++) {
    const a = childOf(from, i);
    const b = childOf(to, i);
    if (a === b) continue;
    for (let j = 0; j < 1024; j++) {
      const leafA = childOf(a, j);
      const leafB = childOf(b, j);
      const start = (i * 1024 + j) * extentsPerLeaf;
      if (leafA === leafB || start + extentsPerLeaf <= first) continue;
      for (let group = 0; group < groupsPerSplit; group++) {
        const at = start + group * extentsPerGroup;
        if (groupNode(core, leafA, group) === groupNode(core, leafB, group)) continue;
        for (let k = 0; k < extentsPerGroup; k++) if (at + k >= first) yield at + k;
      }
    }
  }
}

/** The node in which the entries of a group of extents lie; 0 for none. */
function groupNode(core: PoolCore, entry: number, group: number): number {
  if (!isSplit(entry)) return entry;
  const split = pointerOf(entry);
  const cells = core.trees.child(split, 1 + group);
  return cells !== 0 ? cells : core.trees.child(split, 0);
}
