import { blockBytes, fillBlocks } from './block-model.js';

interface Block {
  /** Writes that may be the newest, by number; 0 is zeroes. */
  current: Set<number>;
  /** Writes that a power cut may leave: the durable one and everything since. */
  survivors: Set<number>;
}

/** A write that may be torn or not: `atomic` ones are never seen in part. */
export interface Written {
  readonly tag: number;
  readonly lba: number;
  readonly count: number;
}

/**
 * What each block may hold when commands are lost with resets and unflushed writes with the power.
 * Numbers of writes rise, and writes to one block follow each other.
 */
export class StormModel {
  private readonly blocks = new Map<number, Block>();
  private writes: Written[] = [];

  /** The write has completed. */
  wrote(write: Written, isDurable: boolean): void {
    this.writes.push(write);
    this.each(write, (block) => {
      block.current = new Set([write.tag]);
      if (isDurable) block.survivors = new Set([write.tag]);
      else block.survivors.add(write.tag);
    });
  }

  /** The write was sent, and its end was not seen. */
  mayHaveWritten(write: Written): void {
    this.writes.push(write);
    this.each(write, (block) => {
      block.current.add(write.tag);
      block.survivors.add(write.tag);
    });
  }

  /** A flush has completed that was sent when nothing else was in flight. */
  flushed(): void {
    this.writes = [];
    for (const block of this.blocks.values()) block.survivors = new Set(block.current);
  }

  powerCut(): void {
    for (const block of this.blocks.values()) block.current = new Set(block.survivors);
  }

  /** What was read is what is there from now on. @returns null, or what cannot be */
  saw(bytes: Uint8Array, lba: number, count: number): string | null {
    const expected = new Uint8Array(blockBytes);
    for (let i = 0; i < count; i++) {
      const got = bytes.subarray(i * blockBytes, (i + 1) * blockBytes);
      const tag = new Uint32Array(got.slice(0, 4).buffer)[0]!;
      fillBlocks(expected, lba + i, 1, tag);
      const block = this.block(lba + i);
      if (Buffer.compare(got, expected) !== 0) return `block ${lba + i} is torn inside`;
      if (!block.current.has(tag)) {
        return `block ${lba + i} holds write ${tag}, not ${[...block.current].join(' or ')}`;
      }
      block.current = new Set([tag]);
    }
    return null;
  }

  /**
   * After a power cut, when every block has been read: no write of at most `unit` blocks is there
   * in part, and what is there now is durable.
   */
  settle(unit: number): string | null {
    for (const { tag, lba, count } of this.writes) {
      if (tag === 0 || count > unit) continue;
      const tags = Array.from({ length: count }, (_, i) => [...this.block(lba + i).current][0]!);
      // Zeroes say not which write made them.
      const isPart = tags.includes(tag) && tags.some((other) => other < tag && other !== 0);
      if (isPart) return `write ${tag} of ${count} blocks from ${lba} is torn: ${tags.join()}`;
    }
    this.flushed();
    return null;
  }

  private each(write: Written, change: (block: Block) => void): void {
    for (let i = 0; i < write.count; i++) change(this.block(write.lba + i));
  }

  private block(lba: number): Block {
    let block = this.blocks.get(lba);
    if (block === undefined) {
      block = { current: new Set([0]), survivors: new Set([0]) };
      this.blocks.set(lba, block);
    }
    return block;
  }
}
