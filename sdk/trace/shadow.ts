import { BlockOp } from '../block/request.js';

/**
 * What each block of a device may hold, while requests overlap.
 *
 * Writes get ascending versions. Two changes of one block never overlap in time (`isBusy` tells the
 * caller to wait), so the versions of a block settle in order. Per block it keeps
 *
 *   floor    version of the last write (of data or zeroes) that ended well; 0: never written
 *   issued   version of the last change that was started, ended or not
 *   cleared  version of the last change that may have left zeroes
 *   discarded  version of the last discard
 *
 * A read that saw `floor` when it started may then return
 *   - the data of any version in floor..issued as it stands when the read ends: an overlapping
 *     write is there or not yet there, block by block;
 *   - zeroes, when cleared >= floor: never written, zeroed, discarded, or one of them under way;
 *   - ones, when discarded >= floor.
 * A discard does not move the floor: the old data may still come back
 * [NVM-1.0 §? Deallocate, reads of deallocated blocks]. Neither does a write that failed.
 *
 * Chunks of versions exist for the blocks that `touch` has named; no others are tracked.
 */
export class Shadow {
  private readonly chunks = new Map<number, Chunk>();

  /** Track these blocks. Done ahead of the run, so that the run itself allocates nothing. */
  touch(lba: number, count: number): void {
    const last = chunkOf(lba + count - 1);
    for (let index = chunkOf(lba); index <= last; index++) {
      if (!this.chunks.has(index)) this.chunks.set(index, new Chunk());
    }
  }

  /** Whether a change of one of these blocks is under way. */
  isBusy(lba: number, count: number): boolean {
    for (let at = lba; at < lba + count; ) {
      const chunk = this.chunks.get(chunkOf(at));
      const end = Math.min(lba + count, chunkEnd(at));
      if (chunk !== undefined && chunk.busyCount > 0) {
        const first = at % chunkBlocks;
        for (let i = first; i < first + end - at; i++) if (chunk.busy[i] !== 0) return true;
      }
      at = end;
    }
    return false;
  }

  /** A change of these blocks starts. */
  begin(op: number, lba: number, count: number, version: number): void {
    const isClear = op !== BlockOp.write;
    for (let at = lba; at < lba + count; ) {
      const chunk = this.chunks.get(chunkOf(at));
      const end = Math.min(lba + count, chunkEnd(at));
      const first = at % chunkBlocks;
      const last = first + end - at;
      if (chunk !== undefined) {
        chunk.busyCount += end - at;
        chunk.busy.fill(1, first, last);
        chunk.issued.fill(version, first, last);
        if (isClear) chunk.cleared.fill(version, first, last);
        if (op === BlockOp.discard) chunk.discarded.fill(version, first, last);
      }
      at = end;
    }
  }

  /** It has ended. `isDone` says that its data is certainly there. */
  end(op: number, lba: number, count: number, version: number, isDone: boolean): void {
    const moves = isDone && op !== BlockOp.discard;
    for (let at = lba; at < lba + count; ) {
      const chunk = this.chunks.get(chunkOf(at));
      const end = Math.min(lba + count, chunkEnd(at));
      const first = at % chunkBlocks;
      const last = first + end - at;
      if (chunk !== undefined) {
        chunk.busyCount -= end - at;
        chunk.busy.fill(0, first, last);
        if (moves) chunk.floor.fill(version, first, last);
      }
      at = end;
    }
  }

  /** A read starts: remember the floors of its blocks. */
  snapshot(lba: number, count: number, floors: Uint32Array): void {
    for (let at = lba; at < lba + count; ) {
      const chunk = this.chunks.get(chunkOf(at));
      const end = Math.min(lba + count, chunkEnd(at));
      const first = at % chunkBlocks;
      for (let i = 0; i < end - at; i++) {
        floors[at - lba + i] = chunk === undefined ? 0 : chunk.floor[first + i]!;
      }
      at = end;
    }
  }

  /**
   * The model at this instant: what has ended is there, and of what is under way nothing. Zeroes
   * are accepted where a change that leaves zeroes is under way.
   */
  freeze(): Shadow {
    const copy = new Shadow();
    for (const [index, chunk] of this.chunks) {
      const frozen = new Chunk();
      frozen.floor.set(chunk.floor);
      frozen.issued.set(chunk.floor);
      frozen.cleared.set(chunk.cleared);
      frozen.discarded.set(chunk.discarded);
      copy.chunks.set(index, frozen);
    }
    return copy;
  }

  issued(lba: number): number {
    return this.chunks.get(chunkOf(lba))?.issued[lba % chunkBlocks] ?? 0;
  }

  cleared(lba: number): number {
    return this.chunks.get(chunkOf(lba))?.cleared[lba % chunkBlocks] ?? 0;
  }

  /** 0 when it never was. */
  discarded(lba: number): number {
    return this.chunks.get(chunkOf(lba))?.discarded[lba % chunkBlocks] ?? 0;
  }

  /**
   * Runs of tracked blocks that were changed at least once, ascending, each inside one chunk and at
   * most `maxBlocks` long. For the read-back at the end.
   */
  *changedRuns(maxBlocks: number): Generator<BlockRun> {
    for (const index of [...this.chunks.keys()].sort((a, b) => a - b)) {
      const issued = this.chunks.get(index)!.issued;
      for (let i = 0; i < chunkBlocks; ) {
        let end = i;
        while (end < chunkBlocks && end - i < maxBlocks && issued[end] !== 0) end++;
        if (end > i) yield { lba: index * chunkBlocks + i, count: end - i };
        i = end > i ? end : i + 1;
      }
    }
  }
}

export interface BlockRun {
  readonly lba: number;
  readonly count: number;
}

const chunkBlocks = 4096;

class Chunk {
  readonly floor = new Uint32Array(chunkBlocks);
  readonly issued = new Uint32Array(chunkBlocks);
  readonly cleared = new Uint32Array(chunkBlocks);
  readonly discarded = new Uint32Array(chunkBlocks);
  readonly busy = new Uint8Array(chunkBlocks);
  busyCount = 0;
}

function chunkOf(lba: number): number {
  return Math.floor(lba / chunkBlocks);
}

function chunkEnd(lba: number): number {
  return (chunkOf(lba) + 1) * chunkBlocks;
}
