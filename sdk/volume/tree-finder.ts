import { assert } from '../assert.js';
import { cellsPerUnit } from './format.js';
import { chunkMask, chunkShift, type NodeArena, nodeWords } from './nodes.js';
import type { UnitSpace } from './unit-space.js';

export const splitFlag = 0x8000_0000;
export const pointerMask = 0x7fff_ffff;
export const extentsPerLeaf = 512;
export const extentsPerGroup = 64;
export const extentsPerMiddle = extentsPerLeaf * nodeWords;
/** Ways that were walked lately: root, group of extents, shape of the maps, node, flags, frame. */
const pathWords = 8;
const pathMask = 1023;
const mostShapes = 2 ** 31;
export const groupsPerSplit = 8;
export const firstSums = 1 + groupsPerSplit;

/**
 * Finds what the maps say of an extent, and which node that is not in memory is needed for that.
 * Ways that were walked lately are remembered for as long as no pointer, no count of pointers and
 * no node's place in memory changes, so that what lies under several levels costs what lies under
 * one.
 */
export class TreeFinder {
  readonly nodes: NodeArena;
  readonly units: UnitSpace;
  /** Result of `locate`. */
  words: Uint32Array = new Uint32Array(0);
  at = 0;
  isCells = false;
  isPrivate = false;
  /** The node that holds the entry. */
  node = 0;
  /** A node that `locate` needs and that is not in memory; 0 for none. */
  absent = 0;
  private readonly paths = new Uint32Array((pathMask + 1) * pathWords);
  /** What was touched last. Without it the load would be left out. */
  touched = 0;

  constructor(parts: { readonly nodes: NodeArena; readonly units: UnitSpace }) {
    this.nodes = parts.nodes;
    this.units = parts.units;
  }

  /**
   * Find the entry of an extent. @returns false when its leaf does not exist, or when a node on
   * the way is not in memory: then `absent` names that one
   */
  locate(root: number, extent: number): boolean {
    const { paths, nodes } = this;
    const group = extent >>> 6;
    const at = ((group ^ (root << 4)) & pathMask) * pathWords;
    if (paths[at] !== root || paths[at + 1] !== group || paths[at + 2] !== nodes.shape) {
      if (nodes.shape >= mostShapes) this.startShapes();
      const node = this.walk(root, extent);
      if (node === 0) return false;
      nodes.used[node] = 1;
      paths[at] = root;
      paths[at + 1] = group;
      paths[at + 2] = nodes.shape;
      paths[at + 3] = node;
      paths[at + 4] = (this.isCells ? 2 : 0) + (this.isPrivate ? 1 : 0);
      paths[at + 5] = nodes.frames[node]!;
    }
    const flags = paths[at + 4]!;
    const frame = paths[at + 5]!;
    this.node = paths[at + 3]!;
    this.words = nodes.chunks[frame >>> chunkShift]!;
    this.isCells = flags >= 2;
    this.isPrivate = (flags & 1) === 1;
    this.at =
      (frame & chunkMask) * nodeWords +
      (flags >= 2 ? (extent & 63) * cellsPerUnit : (extent & 511) * 2);
    return true;
  }

  /**
   * Load the entry of a cell, for somebody who needs it soon. Nothing waits for the value, so that
   * the processor fetches several such entries from far memory at a time. Only where the way there
   * was walked lately.
   */
  touch(root: number, extent: number, cell: number): void {
    const { paths, nodes } = this;
    const group = extent >>> 6;
    const at = ((group ^ (root << 4)) & pathMask) * pathWords;
    if (paths[at] !== root || paths[at + 1] !== group || paths[at + 2] !== nodes.shape) return;
    const frame = paths[at + 5]!;
    const within = paths[at + 4]! >= 2 ? (extent & 63) * cellsPerUnit + cell : (extent & 511) * 2;
    this.touched = nodes.chunks[frame >>> chunkShift]![(frame & chunkMask) * nodeWords + within]!;
  }

  /** The node with the entry of an extent, or 0: there is none, or `absent` is on the way. */
  private walk(root: number, extent: number): number {
    this.absent = 0;
    if (root === 0) return 0;
    const { refs, frames } = this.nodes;
    const leafIndex = extent >>> 9;
    const middle = this.child(root, leafIndex >>> 10);
    if (middle === 0) return 0;
    const entry = this.child(middle, leafIndex & 1023);
    if (entry === 0) return 0;
    this.isCells = false;
    this.isPrivate = refs[root] === 1 && refs[middle] === 1;
    let node = entry;
    if (entry >= splitFlag) {
      const split = entry & pointerMask;
      if (frames[split] === 0) return this.isAbsent(split);
      this.nodes.used[split] = 1;
      this.isPrivate &&= refs[split] === 1;
      const cells = this.child(split, 1 + ((extent >>> 6) & 7));
      this.isCells = cells !== 0;
      node = cells !== 0 ? cells : this.child(split, 0);
    }
    this.isPrivate &&= refs[node] === 1;
    return frames[node] === 0 ? this.isAbsent(node) : node;
  }

  /** Shapes are counted from the start again, before they no longer fit in a dword. */
  private startShapes(): void {
    this.paths.fill(0);
    this.nodes.shape = 1;
  }

  private isAbsent(node: number): 0 {
    this.absent = node;
    return 0;
  }

  /** Unit of a cell of the located extent, 0 for none. */
  unitOf(cell: number): number {
    if (this.isCells) return this.words[this.at + cell]!;
    return ((this.words[this.at + 1]! >>> cell) & 1) === 1 ? this.words[this.at]! : 0;
  }

  /** The located extent's own unit, which may be written in place; 0 when it has none. */
  ownUnit(): number {
    if (!this.isPrivate) return 0;
    const { words, at } = this;
    const { refs } = this.units;
    if (!this.isCells) {
      const unit = words[at]!;
      return unit !== 0 && refs[unit] === 1 ? unit : 0;
    }
    for (let i = 0; i < cellsPerUnit; i++) {
      const unit = words[at + i]!;
      if (unit === 0 || refs[unit]! > cellsPerUnit) continue;
      let names = 1;
      for (let j = i + 1; j < cellsPerUnit; j++) if (words[at + j] === unit) names++;
      if (names === refs[unit]) return unit;
    }
    return 0;
  }

  /** Whether all these cells of the located extent lie in the unit. */
  lieIn(unit: number, mask: number): boolean {
    if (!this.isCells) {
      return this.words[this.at] === unit && (mask & ~this.words[this.at + 1]!) === 0;
    }
    for (let i = 0; i < cellsPerUnit; i++) {
      if (((mask >>> i) & 1) === 1 && this.words[this.at + i] !== unit) return false;
    }
    return true;
  }

  /** Mask of the cells of an extent that lie somewhere. */
  mappedCells(root: number, extent: number): number {
    if (!this.locate(root, extent)) {
      assert(this.absent === 0, 'a node of a map is needed that is not in memory');
      return 0;
    }
    if (!this.isCells) return this.words[this.at + 1]!;
    let mask = 0;
    for (let i = 0; i < cellsPerUnit; i++) if (this.words[this.at + i] !== 0) mask |= 1 << i;
    return mask;
  }

  /** An own unit of the located extent in which none of these cells lie; 0 when it has none. */
  ownUnitWithout(mask: number): number {
    if (!this.isPrivate || !this.isCells) return 0;
    const { words, at } = this;
    const { refs } = this.units;
    for (let i = 0; i < cellsPerUnit; i++) {
      const unit = words[at + i]!;
      if (unit === 0 || refs[unit]! > cellsPerUnit || !this.isFreeOf(unit, mask)) continue;
      let names = 0;
      for (let j = 0; j < cellsPerUnit; j++) if (words[at + j] === unit) names++;
      if (names === refs[unit]) return unit;
    }
    return 0;
  }

  /** Whether none of these cells of the located extent lies in the unit. */
  isFreeOf(unit: number, mask: number): boolean {
    for (let cell = 0; cell < cellsPerUnit; cell++) {
      if (((mask >>> cell) & 1) === 1 && this.unitOf(cell) === unit) return false;
    }
    return true;
  }

  /** A node that is not in memory, and that a change or a checked read of an extent needs. */
  absentAt(root: number, extent: number, withSums: boolean): number {
    if (!this.locate(root, extent)) return this.absent;
    return withSums ? this.absentSums(root, extent) : 0;
  }

  /** The same for the CRCs only, after `locate` has found the extent. */
  absentSums(root: number, extent: number): number {
    const node = this.sumsNode(root, extent);
    if (node === 0) return 0;
    this.nodes.used[node] = 1;
    return this.nodes.isHere(node) ? 0 : node;
  }

  /** The same for `unmapRange`, which needs the entries of leaves that go in part. */
  absentIn(root: number, first: number, count: number): number {
    const end = first + count;
    const firstEnd = first - (first % extentsPerLeaf) + extentsPerLeaf;
    const lastStart = end - (end % extentsPerLeaf);
    let absent = 0;
    if (first % extentsPerLeaf !== 0)
      absent = this.absentGroup(root, first, Math.min(end, firstEnd));
    if (absent === 0 && end % extentsPerLeaf !== 0) {
      absent = this.absentGroup(root, Math.max(first, lastStart), end);
    }
    return absent;
  }

  private absentGroup(root: number, first: number, end: number): number {
    for (let at = first; at < end; at += extentsPerGroup - (at % extentsPerGroup)) {
      if (!this.locate(root, at) && this.absent !== 0) return this.absent;
    }
    return 0;
  }

  /** CRCs of `count` cells of an extent, 0 where the map has none. */
  readSums(root: number, extent: number, first: number, sums: Uint32Array, count: number): void {
    const node = this.sumsNode(root, extent);
    if (node === 0) {
      sums.fill(0, 0, count);
      return;
    }
    assert(this.nodes.isHere(node), 'checksums are needed that are not in memory');
    const words = this.nodes.wordsOf(node);
    const at = this.nodes.at(node) + (extent & 63) * cellsPerUnit + first;
    for (let i = 0; i < count; i++) sums[i] = words[at + i]!;
  }

  protected sumsNode(root: number, extent: number): number {
    if (root === 0) return 0;
    const middle = this.child(root, (extent >>> 9) >>> 10);
    if (middle === 0) return 0;
    const entry = this.child(middle, (extent >>> 9) & 1023);
    return isSplit(entry) ? this.child(pointerOf(entry), firstSums + ((extent >>> 6) & 7)) : 0;
  }

  child(id: number, index: number): number {
    const { chunks, frames } = this.nodes;
    const frame = frames[id]!;
    return chunks[frame >>> chunkShift]![(frame & chunkMask) * nodeWords + index]!;
  }
}

export function isSplit(entry: number): boolean {
  return entry >= splitFlag;
}

export function pointerOf(entry: number): number {
  return entry & pointerMask;
}
