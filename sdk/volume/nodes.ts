import { assert } from '../assert.js';

export const nodeWords = 1024;
export const nodeBytes = nodeWords * 4;
/** Nodes of a chunk, as a shift and a mask of a node's number. */
export const chunkShift = 6;
export const chunkMask = 63;

/** What a node is; its kind follows from where it hangs. */
export const NodeKind = {
  none: 0,
  root: 1,
  middle: 2,
  leaf: 3,
  split: 4,
  cells: 5,
  sums: 6,
} as const;
export type NodeKind = (typeof NodeKind)[keyof typeof NodeKind];

/**
 * The nodes of all maps: 4 KiB each, named by a number from 1, in chunks of 64, so that growing
 * moves nothing. Per node: how many pointers lead to it (`refs`), its kind, the slot of the device
 * that holds it since the last checkpoint (0: none), and whether it has changed since.
 */
export class NodeArena {
  readonly chunks: Uint32Array[] = [];
  refs = new Uint32Array(1024);
  kinds = new Uint8Array(1024);
  slots = new Uint32Array(1024);
  checks = new Uint32Array(1024);
  private dirty = new Uint8Array(1024);
  private dirtyIds = new Uint32Array(1024);
  private dirtyListed = 0;
  private spare = new Uint32Array(1024);
  private spareCount = 0;
  /** Nodes to write at the next checkpoint. */
  dirtyCount = 0;
  /** One more than the highest number that was ever given. */
  end = 1;
  /** Slots that no node needs any more, free when the next checkpoint is durable. */
  retiredSlots: number[] = [];

  /** Nodes in use. */
  get count(): number {
    return this.end - 1 - this.spareCount;
  }

  /** Index of the node's first dword in its chunk. */
  at(id: number): number {
    return (id & chunkMask) * nodeWords;
  }

  wordsOf(id: number): Uint32Array {
    return this.chunks[id >>> chunkShift]!;
  }

  /** A zeroed node with one pointer to it. */
  make(kind: NodeKind): number {
    const id = this.spareCount > 0 ? this.spare[--this.spareCount]! : this.end;
    if (id === this.end) this.reach(id);
    else this.wordsOf(id).fill(0, this.at(id), this.at(id) + nodeWords);
    this.refs[id] = 1;
    this.kinds[id] = kind;
    this.slots[id] = 0;
    this.touch(id);
    return id;
  }

  /** Nothing leads to it any more. */
  release(id: number): void {
    assert(this.refs[id] === 0, 'a node goes while something leads to it');
    this.kinds[id] = NodeKind.none;
    if (this.slots[id] !== 0) this.retiredSlots.push(this.slots[id]!);
    this.slots[id] = 0;
    if (this.dirty[id] === 1) {
      this.dirty[id] = 0;
      this.dirtyCount--;
    }
    if (this.spareCount === this.spare.length) this.spare = grown(this.spare);
    this.spare[this.spareCount++] = id;
  }

  /** It changes: the next checkpoint writes it. */
  touch(id: number): void {
    if (this.dirty[id] === 1) return;
    this.dirty[id] = 1;
    this.dirtyCount++;
    if (this.dirtyListed === this.dirtyIds.length) this.dirtyIds = grown(this.dirtyIds);
    this.dirtyIds[this.dirtyListed++] = id;
  }

  /** The changed nodes, each once; they count as unchanged from now on. */
  takeDirty(): number[] {
    const ids: number[] = [];
    for (let i = 0; i < this.dirtyListed; i++) {
      const id = this.dirtyIds[i]!;
      // A node may be listed twice when it was released and made again.
      if (this.dirty[id] === 0) continue;
      this.dirty[id] = 0;
      ids.push(id);
    }
    this.dirtyListed = 0;
    this.dirtyCount = 0;
    return ids;
  }

  isDirty(id: number): boolean {
    return this.dirty[id] === 1;
  }

  /** Make room for a number, as loading does: kinds and references come later. */
  reach(id: number): void {
    while (this.chunks.length <= id >>> chunkShift) {
      this.chunks.push(new Uint32Array((chunkMask + 1) * nodeWords));
    }
    while (this.refs.length <= id) {
      this.refs = grown(this.refs);
      this.slots = grown(this.slots);
      this.checks = grown(this.checks);
      this.kinds = grownBytes(this.kinds);
      this.dirty = grownBytes(this.dirty);
    }
    this.end = Math.max(this.end, id + 1);
  }

  /** After loading: what nothing leads to is spare, its slot free with the next checkpoint. */
  sweep(): void {
    this.spareCount = 0;
    for (let id = this.end - 1; id >= 1; id--) {
      if (this.refs[id] === 0) this.release(id);
    }
  }
}

export function grown(list: Uint32Array): Uint32Array<ArrayBuffer> {
  const next = new Uint32Array(list.length * 2);
  next.set(list);
  return next;
}

function grownBytes(list: Uint8Array): Uint8Array<ArrayBuffer> {
  const next = new Uint8Array(list.length * 2);
  next.set(list);
  return next;
}
