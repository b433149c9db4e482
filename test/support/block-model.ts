/** Bytes of a block in the tests that use this model. */
export const blockBytes = 512;

/** What a block holds: the number of the write that made it, 0 for zeroes. */
export const BlockState = { blank: 0, bad: -1, unknown: -2 } as const;

/**
 * The naive model of a namespace: a Map of blocks. The content of a block follows from the number
 * of its write and its place, so that a block in the wrong place is seen.
 */
export class BlockModel {
  private readonly tags = new Map<number, number>();
  /** Block whose place the content names, where a copy has made it another one. */
  private readonly homes = new Map<number, number>();
  private isAllUnknown = false;

  at(lba: number): number {
    return this.tags.get(lba) ?? (this.isAllUnknown ? BlockState.unknown : BlockState.blank);
  }

  set(lba: number, count: number, state: number): void {
    for (let i = 0; i < count; i++) {
      this.tags.set(lba + i, state);
      this.homes.delete(lba + i);
    }
  }

  copy(from: number, to: number, count: number): void {
    const blocks = Array.from({ length: count }, (_, i) => ({
      state: this.at(from + i),
      home: this.homes.get(from + i) ?? from + i,
    }));
    for (const [i, block] of blocks.entries()) {
      this.tags.set(to + i, block.state);
      this.homes.set(to + i, block.home);
    }
  }

  /** Whatever has happened to the blocks: they are known again when they are written. */
  forgetAll(): void {
    this.tags.clear();
    this.homes.clear();
    this.isAllUnknown = true;
  }

  holds(lba: number, count: number, state: number): boolean {
    for (let i = 0; i < count; i++) if (this.at(lba + i) === state) return true;
    return false;
  }

  /** @returns null, or what is wrong with blocks that were read */
  check(bytes: Uint8Array, lba: number, count: number): string | null {
    const expected = new Uint8Array(blockBytes);
    for (let i = 0; i < count; i++) {
      const state = this.at(lba + i);
      if (state === BlockState.unknown) continue;
      fillBlock(expected, this.homes.get(lba + i) ?? lba + i, state);
      const got = bytes.subarray(i * blockBytes, (i + 1) * blockBytes);
      if (Buffer.compare(got, expected) === 0) continue;
      const words = new Uint32Array(got.slice().buffer);
      return `block ${lba + i}: expected write ${state}, found ${words[0]} of block ${words[1]}`;
    }
    return null;
  }

  /** The content that the model says, for a comparison. */
  fill(bytes: Uint8Array, lba: number, count: number): void {
    for (let i = 0; i < count; i++) {
      const block = bytes.subarray(i * blockBytes, (i + 1) * blockBytes);
      const home = this.homes.get(lba + i) ?? lba + i;
      fillBlock(block, home, Math.max(0, this.at(lba + i)));
    }
  }
}

/** Blocks as one write makes them. */
export function fillBlocks(bytes: Uint8Array, lba: number, count: number, tag: number): void {
  for (let i = 0; i < count; i++) {
    fillBlock(bytes.subarray(i * blockBytes, (i + 1) * blockBytes), lba + i, tag);
  }
}

function fillBlock(block: Uint8Array, lba: number, tag: number): void {
  if (tag === 0) {
    block.fill(0);
    return;
  }
  const words = new Uint32Array(block.buffer, block.byteOffset, blockBytes / 4);
  words.fill(Math.imul(tag, 0x9e37_79b1));
  words[0] = tag;
  words[1] = lba;
}
