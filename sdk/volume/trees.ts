import { assert } from '../assert.js';
import { allCells, cellsPerUnit } from './format.js';
import { type NodeArena, NodeKind, nodeWords } from './nodes.js';
import {
  extentsPerGroup,
  extentsPerLeaf,
  extentsPerMiddle,
  firstSums,
  pointerMask,
  pointerOf,
  splitFlag,
  TreeFinder,
} from './tree-finder.js';
import type { UnitSpace } from './unit-space.js';

/**
 * The maps. A volume or snapshot is a tree of nodes of 1,024 dwords:
 *
 *   root    [extent bits 27..19]  → middle node
 *   middle  [extent bits 18..9]   → leaf, or with bit 31 set a split node
 *   leaf    [extent bits 8..0]    two dwords: unit, mask of the cells that lie in it
 *   split   dword 0 → leaf; dwords 1..8 [extent bits 8..6] → cells node or 0
 *           dwords 9..16 the same → sums node or 0
 *   cells   [extent bits 5..0]    sixteen dwords: the unit of each cell
 *   sums    [extent bits 5..0]    sixteen dwords: CRC32C of each cell, for volumes with checks
 *
 * A cell without a unit reads as zeroes. An extent whose cells lie in one unit has 8 bytes in a
 * leaf; when it gets a second unit, its group of 64 extents moves to a cells node.
 *
 * What always holds: a node with more than one pointer to it, or below one, is never changed but
 * copied first, so a snapshot is a second pointer to the root and costs nothing else. `refs` of a
 * unit counts the leaf entries and cell entries of all nodes that name it. A unit is a tree's own
 * when no shared node lies on the path and all its names are in the one extent.
 */
export interface Tree {
  /** Root node; 0 for a tree in which nothing is mapped. */
  root: number;
}

/** Where names go that a tree gives up. */
export interface Releases {
  deferUnit(unit: number): void;
  deferNode(id: number): void;
}

export interface CheckedPlace {
  readonly mask: number;
  readonly unit: number;
}

export class Trees extends TreeFinder {
  releases: Releases;

  constructor(parts: { nodes: NodeArena; units: UnitSpace; releases: Releases }) {
    super(parts);
    this.releases = parts.releases;
  }

  /** Cells of an extent lie in a unit from now on, each with its CRC: in ascending order. */
  assignChecked(tree: Tree, extent: number, place: CheckedPlace, sums: Uint32Array): void {
    const { mask, unit } = place;
    this.own(tree, extent);
    // With an entry for each cell, every name that is given up waits for its record.
    if (!this.isCells) this.splitGroup(tree, extent);
    this.assign(tree, extent, mask, unit);
    const middle = this.child(tree.root, (extent >>> 9) >>> 10);
    const split = pointerOf(this.child(middle, (extent >>> 9) & 1023));
    const index = firstSums + ((extent >>> 6) & 7);
    const old = this.child(split, index);
    const node = old === 0 ? this.nodes.make(NodeKind.sums) : this.ownNode(old);
    this.put(split, index, node);
    this.nodes.touch(node);
    const words = this.nodes.wordsOf(node);
    const at = this.nodes.at(node) + (extent & 63) * cellsPerUnit;
    let next = 0;
    for (let cell = 0; cell < cellsPerUnit; cell++) {
      if (((mask >>> cell) & 1) === 1) words[at + cell] = sums[next++]!;
    }
  }

  /** Cells of an extent lie in a unit from now on. */
  assign(tree: Tree, extent: number, mask: number, unit: number): void {
    this.own(tree, extent);
    if (!this.isCells) {
      const old = this.words[this.at]!;
      if (old === unit) {
        this.words[this.at + 1]! |= mask;
        return;
      }
      if (old === 0 || (this.words[this.at + 1]! & ~mask) === 0) {
        this.units.refs[unit]!++;
        this.words[this.at] = unit;
        this.words[this.at + 1] = mask;
        if (old !== 0) this.releases.deferUnit(old);
        return;
      }
      this.splitGroup(tree, extent);
    }
    const { words, at } = this;
    for (let i = 0; i < cellsPerUnit; i++) {
      if (((mask >>> i) & 1) === 0) continue;
      const old = words[at + i]!;
      if (old === unit) continue;
      words[at + i] = unit;
      this.units.refs[unit]!++;
      if (old !== 0) this.releases.deferUnit(old);
    }
  }

  /** Cells of an extent read as zeroes from now on. @returns whether any did not */
  unmap(tree: Tree, extent: number, mask: number): boolean {
    if ((this.mappedCells(tree.root, extent) & mask) === 0) return false;
    this.own(tree, extent);
    const { words, at } = this;
    if (!this.isCells) {
      words[at + 1]! &= ~mask;
      if (words[at + 1] === 0) {
        this.releases.deferUnit(words[at]!);
        words[at] = 0;
      }
      return true;
    }
    for (let i = 0; i < cellsPerUnit; i++) {
      if (((mask >>> i) & 1) === 0 || words[at + i] === 0) continue;
      this.releases.deferUnit(words[at + i]!);
      words[at + i] = 0;
    }
    return true;
  }

  /** The same for whole extents, in time that follows from the nodes that go or change. */
  unmapRange(tree: Tree, first: number, count: number): boolean {
    const end = first + count;
    let isChanged = false;
    for (let extent = first; extent < end && tree.root !== 0; ) {
      const middle = this.child(tree.root, (extent >>> 9) >>> 10);
      const middleEnd = extent - (extent % extentsPerMiddle) + extentsPerMiddle;
      if (middle === 0) {
        extent = middleEnd;
      } else if (extent % extentsPerMiddle === 0 && end >= middleEnd) {
        const root = this.ownRoot(tree);
        this.put(root, (extent >>> 9) >>> 10, 0);
        this.releases.deferNode(middle);
        isChanged = true;
        extent = middleEnd;
      } else {
        const leafEnd = extent - (extent % extentsPerLeaf) + extentsPerLeaf;
        const entry = this.child(middle, (extent >>> 9) & 1023);
        const stop = Math.min(end, leafEnd);
        if (entry !== 0 && extent % extentsPerLeaf === 0 && end >= leafEnd) {
          this.put(this.ownMiddle(tree, extent), (extent >>> 9) & 1023, 0);
          this.releases.deferNode(entry & pointerMask);
          isChanged = true;
        } else if (entry !== 0) {
          for (let i = extent; i < stop; i++) {
            if (this.unmap(tree, i, allCells)) isChanged = true;
          }
        }
        extent = stop;
      }
    }
    return isChanged;
  }

  /** Locate an extent for a change: every node on its path has one pointer after this. */
  private own(tree: Tree, extent: number): void {
    const isThere = this.locate(tree.root, extent);
    if (isThere && this.isPrivate) {
      this.nodes.touch(this.node);
      return;
    }
    assert(isThere || this.absent === 0, 'a node of a map changes that is not in memory');
    const { nodes } = this;
    const middle = this.ownMiddle(tree, extent);
    const index = (extent >>> 9) & 1023;
    const entry = this.child(middle, index);
    if (entry === 0) {
      this.put(middle, index, nodes.make(NodeKind.leaf));
    } else if (entry < splitFlag) {
      this.put(middle, index, this.ownNode(entry));
    } else {
      const split = this.ownNode(entry & pointerMask);
      this.put(middle, index, (split | splitFlag) >>> 0);
      const group = 1 + ((extent >>> 6) & 7);
      const cells = this.child(split, group);
      if (cells !== 0) this.put(split, group, this.ownNode(cells));
      else this.put(split, 0, this.ownNode(this.child(split, 0)));
    }
    this.locate(tree.root, extent);
    nodes.touch(this.node);
  }

  private ownRoot(tree: Tree): number {
    tree.root = tree.root === 0 ? this.nodes.make(NodeKind.root) : this.ownNode(tree.root);
    return tree.root;
  }

  private ownMiddle(tree: Tree, extent: number): number {
    const root = this.ownRoot(tree);
    const index = (extent >>> 9) >>> 10;
    const middle = this.child(root, index);
    const own = middle === 0 ? this.nodes.make(NodeKind.middle) : this.ownNode(middle);
    this.put(root, index, own);
    return own;
  }

  /** The node itself when one pointer leads to it, else a copy that shares all below. */
  private ownNode(id: number): number {
    const { nodes } = this;
    if (nodes.refs[id] === 1) return id;
    const kind = nodes.kinds[id]!;
    const copy = nodes.make(kindOf(kind));
    const from = nodes.at(id);
    nodes.wordsOf(copy).set(nodes.wordsOf(id).subarray(from, from + nodeWords), nodes.at(copy));
    this.countBelow(copy);
    nodes.unshare(id);
    return copy;
  }

  /** One more name for everything that the node names. */
  countBelow(id: number): void {
    const { nodes } = this;
    const words = nodes.wordsOf(id);
    const from = nodes.at(id);
    const kind = nodes.kinds[id]!;
    if (kind === NodeKind.sums) return;
    const { refs } = kind === NodeKind.leaf || kind === NodeKind.cells ? this.units : nodes;
    const step = kind === NodeKind.leaf ? 2 : 1;
    for (let i = from; i < from + nodeWords; i += step) {
      const value = words[i]!;
      if (value !== 0) refs[value & pointerMask]!++;
    }
    nodes.shape++;
  }

  /** The 64 extents around this one get an entry per cell. Their path has one pointer each. */
  private splitGroup(tree: Tree, extent: number): void {
    const { nodes } = this;
    const middle = this.child(tree.root, (extent >>> 9) >>> 10);
    const index = (extent >>> 9) & 1023;
    const entry = this.child(middle, index);
    let split = entry & pointerMask;
    if (entry < splitFlag) {
      split = nodes.make(NodeKind.split);
      this.put(split, 0, entry);
      this.put(middle, index, (split | splitFlag) >>> 0);
    }
    const leaf = this.child(split, 0);
    const cells = nodes.make(NodeKind.cells);
    const leafWords = nodes.wordsOf(leaf);
    const leafAt = nodes.at(leaf) + (extent & 511 & ~63) * 2;
    const words = nodes.wordsOf(cells);
    const at = nodes.at(cells);
    for (let i = 0; i < extentsPerGroup; i++) {
      const unit = leafWords[leafAt + 2 * i]!;
      const mask = leafWords[leafAt + 2 * i + 1]!;
      if (unit === 0) continue;
      let names = 0;
      for (let cell = 0; cell < cellsPerUnit; cell++) {
        if (((mask >>> cell) & 1) === 0) continue;
        words[at + i * cellsPerUnit + cell] = unit;
        names++;
      }
      this.units.refs[unit]! += names - 1;
    }
    leafWords.fill(0, leafAt, leafAt + 2 * extentsPerGroup);
    nodes.touch(leaf);
    this.put(split, 1 + ((extent >>> 6) & 7), cells);
    this.locate(tree.root, extent);
  }

  private put(id: number, index: number, value: number): void {
    const { nodes } = this;
    const words = nodes.wordsOf(id);
    const at = nodes.at(id) + index;
    if (words[at] === value) return;
    words[at] = value;
    nodes.shape++;
    nodes.touch(id);
  }
}

function kindOf(kind: number): NodeKind {
  if (kind === NodeKind.root) return NodeKind.root;
  if (kind === NodeKind.middle) return NodeKind.middle;
  if (kind === NodeKind.leaf) return NodeKind.leaf;
  if (kind === NodeKind.split) return NodeKind.split;
  return kind === NodeKind.sums ? NodeKind.sums : NodeKind.cells;
}
