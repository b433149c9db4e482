import { ErrorCode, UltimaError } from '../errors.js';
import type { PoolCore } from './core.js';
import { allCells, cellBytes, cellsPerUnit, unitBytes } from './format.js';
import {
  extentsPerGroup,
  extentsPerLeaf,
  groupsPerSplit,
  isSplit,
  pointerOf,
} from './tree-finder.js';

/** A range of a volume that is not as it was. */
export interface ChangedRange {
  /** A multiple of 4,096; ranges ascend and do not touch when they are of one kind. */
  readonly byteOffset: number;
  readonly byteLength: number;
  /** Whether there is data now; without it the range reads as zeroes. */
  readonly isData: boolean;
}

/** One side of a comparison: the root of a map, and its size. */
interface Side {
  readonly root: number;
  readonly bytes: number;
}

/** What is compared; asked when the comparison begins, because until then it may change, or go. */
export type Sides = () => { readonly from: Side; readonly to: Side };

/**
 * What must be written to a copy of `from` to make it `to`: ranges in ascending order, discarded
 * ones included. It is found in time that follows from what has changed: parts of the two maps that
 * are one and the same node are skipped, and a cell is unchanged when both name the same unit,
 * because no unit that a snapshot names is ever written again.
 *
 * Both maps are pinned until the iteration ends, so that volumes may be written meanwhile. Between
 * the ranges stand the numbers of nodes that must be in memory when the iteration goes on.
 */
function* walkChanges(
  core: PoolCore,
  sides: Sides,
  startByte: number,
): Generator<ChangedRange | number> {
  const { pins } = core;
  const { from, to } = sides();
  // As they are now: a side may be a volume, which is written, restored or deleted on the way.
  const start = { from: from.root, to: to.root };
  const roots = [start.from, start.to].filter((root) => root !== 0);
  for (const root of roots) pins.hold(root);
  try {
    const pending = new RangeList(startByte, to.bytes);
    for (const group of changedGroups(core, start.from, start.to, startByte)) {
      if (group >= absentBase) {
        yield group - absentBase;
        continue;
      }
      for (let absent = 0; ; ) {
        absent = compareGroup(core, start, group, pending);
        if (absent === 0) break;
        yield absent;
      }
      yield* pending.take(false);
    }
    yield* pending.take(true);
  } finally {
    for (const root of roots) pins.drop(root);
  }
}

/** `walkChanges` for a pool whose maps are all in memory. */
export function* changedRanges(
  core: PoolCore,
  sides: Sides,
  startByte: number,
): Generator<ChangedRange> {
  for (const one of walkChanges(core, sides, startByte)) {
    if (typeof one !== 'number') yield one;
    else {
      const message = 'a part of the map is not in memory';
      throw new UltimaError(ErrorCode.poolInvalid, message, { node: one });
    }
  }
}

/** `walkChanges` for any pool. @throws UltimaError POOL_DAMAGED when a node is lost */
export async function* streamedRanges(
  core: PoolCore,
  sides: Sides,
  startByte: number,
): AsyncGenerator<ChangedRange> {
  for (const one of walkChanges(core, sides, startByte)) {
    if (typeof one !== 'number') yield one;
    else await core.pager.hold(one);
  }
}

/** Ranges that have been found and not been told; the last one may still grow. */
class RangeList {
  private readonly startByte: number;
  private readonly endByte: number;
  private done: ChangedRange[] = [];
  private offset = 0;
  private length = 0;
  private isData = false;

  constructor(startByte: number, endByte: number) {
    this.startByte = startByte;
    this.endByte = endByte;
  }

  addCell(byteOffset: number, isData: boolean): void {
    if (byteOffset < this.startByte || byteOffset >= this.endByte) return;
    if (this.length > 0 && isData === this.isData && byteOffset === this.offset + this.length) {
      this.length += cellBytes;
      return;
    }
    this.close();
    this.offset = byteOffset;
    this.length = cellBytes;
    this.isData = isData;
  }

  /** @param isLast nothing is going to be added */
  take(isLast: boolean): ChangedRange[] {
    if (isLast) this.close();
    const { done } = this;
    if (done.length > 0) this.done = [];
    return done;
  }

  private close(): void {
    if (this.length === 0) return;
    const { offset, length, isData } = this;
    this.done.push({ byteOffset: offset, byteLength: length, isData });
    this.length = 0;
  }
}

/** The entries of 64 extents on one side, wherever they lie. */
class GroupView {
  private words: Uint32Array = noWords;
  private at = 0;
  private step = 0;
  private isCells = false;

  /** @returns a node that must be in memory first; 0 for none */
  look(core: PoolCore, root: number, first: number): number {
    const { trees } = core;
    this.step = 0;
    this.words = noWords;
    this.at = 0;
    this.isCells = false;
    if (!trees.locate(root, first)) return trees.absent;
    this.words = trees.words;
    this.at = trees.at;
    this.isCells = trees.isCells;
    this.step = trees.isCells ? cellsPerUnit : 2;
    return 0;
  }

  /** The units of the cells of an extent. */
  read(index: number, into: Uint32Array): void {
    const { words } = this;
    const at = this.at + index * this.step;
    if (this.isCells) {
      for (let cell = 0; cell < cellsPerUnit; cell++) into[cell] = words[at + cell]!;
      return;
    }
    const unit = words[at]!;
    const mask = words[at + 1]!;
    for (let cell = 0; cell < cellsPerUnit; cell++) into[cell] = ((mask >>> cell) & 1) * unit;
  }

  /** Whether both sides say the same, told without taking the entries apart: the usual case. */
  isSame(other: GroupView, index: number): boolean {
    const a = this.at + index * this.step;
    const b = other.at + index * other.step;
    if (this.isCells && other.isCells) return isEqual(this.words, a, other.words, b);
    if (this.isCells) return isAllIn(this.words, a, other.words, b);
    if (other.isCells) return isAllIn(other.words, b, this.words, a);
    return this.words[a] === other.words[b] && this.words[a + 1] === other.words[b + 1];
  }
}

/** Sixteen entries for cells against sixteen. */
function isEqual(a: Uint32Array, atA: number, b: Uint32Array, atB: number): boolean {
  for (let i = 0; i < cellsPerUnit; i++) if (a[atA + i] !== b[atB + i]) return false;
  return true;
}

/** Sixteen entries for cells against a short entry that has all cells. */
function isAllIn(cells: Uint32Array, atCells: number, leaf: Uint32Array, atLeaf: number): boolean {
  if (leaf[atLeaf + 1] !== allCells) return false;
  const unit = leaf[atLeaf]!;
  for (let i = 0; i < cellsPerUnit; i++) if (cells[atCells + i] !== unit) return false;
  return true;
}

/** Where nothing is mapped: one entry that says so, for all extents. */
const noWords = new Uint32Array(2);
const fromUnits = new Uint32Array(cellsPerUnit);
const toUnits = new Uint32Array(cellsPerUnit);
const fromView = new GroupView();
const toView = new GroupView();

/** The 64 extents from this one on. @returns a node that must be in memory first; 0 for none */
function compareGroup(
  core: PoolCore,
  roots: { readonly from: number; readonly to: number },
  first: number,
  found: RangeList,
): number {
  const absent = fromView.look(core, roots.from, first) || toView.look(core, roots.to, first);
  if (absent !== 0) return absent;
  for (let i = 0; i < extentsPerGroup; i++) {
    if (fromView.isSame(toView, i)) continue;
    fromView.read(i, fromUnits);
    toView.read(i, toUnits);
    for (let cell = 0; cell < cellsPerUnit; cell++) {
      const unit = toUnits[cell]!;
      if (fromUnits[cell] === unit) continue;
      found.addCell((first + i) * unitBytes + cell * cellBytes, unit !== 0);
    }
  }
  return 0;
}

/** From here on numbers are those of nodes that must be in memory first, not of extents. */
const absentBase = 2 ** 32;

/** First extents of groups below nodes that are not shared by both maps, ascending. */
function* changedGroups(
  core: PoolCore,
  from: number,
  to: number,
  startByte: number,
): Generator<number> {
  if (from === to) return;
  const first = Math.floor(startByte / unitBytes);
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
      for (let absent = absentSplit(core, leafA, leafB); absent !== 0; ) {
        yield absentBase + absent;
        absent = absentSplit(core, leafA, leafB);
      }
      // At once, because the split nodes may leave memory when others come.
      let groups = 0;
      for (let group = 0; group < groupsPerSplit; group++) {
        if (groupNode(core, leafA, group) !== groupNode(core, leafB, group)) groups |= 1 << group;
      }
      for (let group = 0; group < groupsPerSplit; group++) {
        if (((groups >>> group) & 1) === 1) yield start + group * extentsPerGroup;
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

/** One of two entries is a split node that is not in memory: its number; 0 for neither. */
function absentSplit(core: PoolCore, a: number, b: number): number {
  const { nodes } = core;
  if (isSplit(a) && !nodes.isHere(pointerOf(a))) return pointerOf(a);
  return isSplit(b) && !nodes.isHere(pointerOf(b)) ? pointerOf(b) : 0;
}
