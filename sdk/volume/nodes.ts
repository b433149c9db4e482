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

/** Whether the device holds a node as it is in memory. Only then it may leave memory. */
const NodeState = { clean: 0, dirty: 1, beingWritten: 2, stays: 3, lost: 4 } as const;

/**
 * The nodes of all maps: 4 KiB each, named by a number from 1. Per node: how many pointers lead to
 * it (`refs`), its kind, the slot of the device that holds it since the last checkpoint (0: none),
 * whether it has changed since, and the frame of memory in which it lies (0: it is only on the
 * device). Frames come in chunks of 64, so that growing moves nothing.
 */
export class NodeArena {
  /** By frame. */
  readonly chunks: Uint32Array[] = [];
  frames = new Uint32Array(1024);
  refs = new Uint32Array(1024);
  kinds = new Uint8Array(1024);
  slots = new Uint32Array(1024);
  checks = new Uint32Array(1024);
  /** Looked at since the last time that memory was short. */
  used = new Uint8Array(1024);
  /** Changes with every pointer and every count of pointers, and when a node leaves memory. */
  shape = 1;
  /** Nodes in memory. */
  frameCount = 0;
  private spareFrames = new Uint32Array(64);
  private spareFrameCount = 0;
  private hand = 1;
  private states = new Uint8Array(1024);
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

  /** Index of the node's first dword in its chunk. It must be in memory. */
  at(id: number): number {
    return (this.frames[id]! & chunkMask) * nodeWords;
  }

  wordsOf(id: number): Uint32Array {
    return this.chunks[this.frames[id]! >>> chunkShift]!;
  }

  isHere(id: number): boolean {
    return this.frames[id] !== 0;
  }

  /** Give a node memory, in which anything may stand. */
  bringIn(id: number): void {
    assert(this.frames[id] === 0, 'a node comes to memory twice');
    if (this.spareFrameCount === 0) this.addChunk();
    this.frames[id] = this.spareFrames[--this.spareFrameCount]!;
    this.used[id] = 1;
    this.frameCount++;
  }

  /** One pointer more. */
  share(id: number): void {
    this.refs[id]!++;
    this.shape++;
  }

  /** One pointer less. @returns how many are left */
  unshare(id: number): number {
    assert(this.refs[id]! > 0, 'a node is dropped that nothing leads to');
    this.shape++;
    return --this.refs[id]!;
  }

  /** A zeroed node with one pointer to it. */
  make(kind: NodeKind): number {
    const id = this.spareCount > 0 ? this.spare[--this.spareCount]! : this.end;
    this.reach(id);
    this.bringIn(id);
    this.wordsOf(id).fill(0, this.at(id), this.at(id) + nodeWords);
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
    if (this.states[id] === NodeState.dirty) this.dirtyCount--;
    this.states[id] = NodeState.clean;
    if (this.frames[id] !== 0) this.leaveFrame(id);
    if (this.spareCount === this.spare.length) this.spare = grown(this.spare);
    this.spare[this.spareCount++] = id;
  }

  /** It changes: the next checkpoint writes it. */
  touch(id: number): void {
    if (this.states[id] === NodeState.dirty) return;
    this.states[id] = NodeState.dirty;
    this.dirtyCount++;
    if (this.dirtyListed === this.dirtyIds.length) this.dirtyIds = grown(this.dirtyIds);
    this.dirtyIds[this.dirtyListed++] = id;
  }

  /** The changed nodes, each once; they are being written from now on. */
  takeDirty(): number[] {
    const ids: number[] = [];
    for (let i = 0; i < this.dirtyListed; i++) {
      const id = this.dirtyIds[i]!;
      // A node may be listed twice when it was released and made again.
      if (this.states[id] !== NodeState.dirty) continue;
      this.states[id] = NodeState.beingWritten;
      ids.push(id);
    }
    this.dirtyListed = 0;
    this.dirtyCount = 0;
    return ids;
  }

  /** These are written, durably: what has not changed meanwhile may leave memory. */
  settle(ids: readonly number[]): void {
    for (const id of ids) {
      if (this.states[id] === NodeState.beingWritten) this.states[id] = NodeState.clean;
    }
  }

  isDirty(id: number): boolean {
    return this.states[id] === NodeState.dirty;
  }

  /** A checkpoint takes it to its new slot. */
  isBeingWritten(id: number): boolean {
    return this.states[id] === NodeState.beingWritten;
  }

  /** The device does not hold what is in memory, and is not going to. */
  keep(id: number): void {
    if (this.states[id] !== NodeState.dirty) this.states[id] = NodeState.stays;
  }

  /** It left memory, and what the device has is not what was written. */
  lose(id: number): void {
    this.states[id] = NodeState.lost;
  }

  isLost(id: number): boolean {
    return this.states[id] === NodeState.lost;
  }

  /** Whether it may leave memory: the device holds it, and it is not at the top of a map. */
  canLeave(id: number): boolean {
    const isHere = this.frames[id] !== 0 && this.states[id] === NodeState.clean;
    return isHere && this.kinds[id]! >= NodeKind.leaf && this.slots[id] !== 0;
  }

  leave(id: number): void {
    assert(this.canLeave(id), 'a node leaves memory that must stay');
    this.leaveFrame(id);
    this.shape++;
  }

  /**
   * Let nodes go that were not used lately until no more than so many are in memory, in one round
   * at most: what is used again and again survives it.
   */
  shrinkTo(most: number): void {
    for (let steps = this.end; steps > 0 && this.frameCount > most; steps--) {
      this.hand = this.hand + 1 < this.end ? this.hand + 1 : 1;
      const id = this.hand;
      if (!this.canLeave(id)) continue;
      if (this.used[id] === 0) this.leave(id);
      else this.used[id] = 0;
    }
  }

  /** Make room for a number, as loading does: kinds, references and content come later. */
  reach(id: number): void {
    while (this.refs.length <= id) {
      this.refs = grown(this.refs);
      this.slots = grown(this.slots);
      this.checks = grown(this.checks);
      this.frames = grown(this.frames);
      this.kinds = grownBytes(this.kinds);
      this.used = grownBytes(this.used);
      this.states = grownBytes(this.states);
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

  private leaveFrame(id: number): void {
    if (this.spareFrameCount === this.spareFrames.length) {
      this.spareFrames = grown(this.spareFrames);
    }
    this.spareFrames[this.spareFrameCount++] = this.frames[id]!;
    this.frames[id] = 0;
    this.frameCount--;
  }

  private addChunk(): void {
    const first = this.chunks.length << chunkShift;
    this.chunks.push(new Uint32Array((chunkMask + 1) * nodeWords));
    // Frame 0 stands for none. The lowest one goes first.
    for (let frame = first + chunkMask; frame >= Math.max(1, first); frame--) {
      this.spareFrames[this.spareFrameCount++] = frame;
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
