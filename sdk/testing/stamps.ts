import { dwordSpan } from '../units.js';

/** What is wrong with a block that was read. */
export interface StampFault {
  readonly lba: number;
  readonly expectedVersion: number;
  readonly foundLba: number;
  readonly foundVersion: number;
  /** Byte offset inside the block of the first wrong dword; the stamp itself lies at 0. */
  readonly offset: number;
}

/** Content of blocks that were never written, or given up. */
const blank = 0;

/** Dwords of a stamp: LBA low and high, version, token. */
const stampDwords = 4;

/**
 * Content that says where it belongs: each block carries its own LBA, the number of its write and
 * the token of this run, and every further dword follows from these. Every read can be checked.
 * Versions are kept sparsely: memory grows with what was written.
 *
 * A write whose outcome is unknown makes both versions good until a read has shown which it is.
 */
export class StampBook {
  readonly token: number;
  readonly blockBytes: number;
  private readonly versions = new Map<number, number>();
  private readonly doubtful = new Map<number, Set<number>>();
  private lastVersion = blank;

  constructor(token: number, blockBytes: number) {
    this.token = token >>> 0;
    this.blockBytes = blockBytes;
  }

  /** A version number for one write of some blocks. */
  takeVersion(): number {
    return ++this.lastVersion;
  }

  /** Fill memory with the content of blocks at a version. */
  stamp(bytes: Uint8Array, lba: number, version: number): void {
    const blocks = bytes.length / this.blockBytes;
    const words = dwordsOf(bytes);
    const perBlock = this.blockBytes / 4;
    for (let i = 0; i < blocks; i++) {
      for (let word = 0; word < perBlock; word++) {
        words[i * perBlock + word] = this.word(lba + i, version, word);
      }
    }
  }

  /** The write of these blocks completed: this is what they hold. */
  wrote(lba: number, blockCount: number, version: number): void {
    for (let i = 0; i < blockCount; i++) {
      this.versions.set(lba + i, version);
      this.doubtful.delete(lba + i);
    }
  }

  /** The write may have happened wholly, partly or not at all: block by block both are good. */
  mayHaveWritten(lba: number, blockCount: number, version: number): void {
    for (let i = 0; i < blockCount; i++) {
      const good = this.doubtful.get(lba + i) ?? new Set([this.versions.get(lba + i) ?? blank]);
      this.doubtful.set(lba + i, good.add(version));
    }
  }

  /** Nobody knows what these blocks hold: they are not checked until they are written again. */
  forget(lba: number, blockCount: number): void {
    for (let i = 0; i < blockCount; i++) {
      this.versions.delete(lba + i);
      this.doubtful.delete(lba + i);
    }
  }

  /** Compare what was read with what must be there. @returns the first fault, or undefined */
  check(bytes: Uint8Array, lba: number): StampFault | undefined {
    const perBlock = this.blockBytes / 4;
    const words = dwordsOf(bytes);
    for (let i = 0; i < bytes.length / this.blockBytes; i++) {
      const block = words.subarray(i * perBlock, (i + 1) * perBlock);
      const fault = this.checkBlock(block, lba + i);
      if (fault !== undefined) return fault;
    }
    return undefined;
  }

  private checkBlock(words: Uint32Array, lba: number): StampFault | undefined {
    const version = this.versions.get(lba);
    const doubtful = this.doubtful.get(lba);
    if (version === undefined && doubtful === undefined) return undefined;
    const found = words[2]!;
    const good = doubtful ?? new Set([version ?? blank]);
    const isGood = found !== blank && good.has(found);
    // Before its first write a doubtful block may hold anything.
    if (!isGood && good.has(blank)) return undefined;
    const expected = isGood ? found : (version ?? found);
    for (let word = 0; word < words.length; word++) {
      if (words[word] === this.word(lba, expected, word)) continue;
      return {
        lba,
        expectedVersion: expected,
        foundLba: words[1]! * dwordSpan + words[0]!,
        foundVersion: found,
        offset: word * 4,
      };
    }
    if (doubtful !== undefined) this.wrote(lba, 1, found);
    return undefined;
  }

  private word(lba: number, version: number, index: number): number {
    switch (index) {
      case 0:
        return lba >>> 0;
      case 1:
        return Math.floor(lba / dwordSpan);
      case 2:
        return version;
      case 3:
        return this.token;
      default:
        return (Math.imul((lba ^ this.token) + index * stampDwords, 0x9e37_79b1) ^ version) >>> 0;
    }
  }
}

function dwordsOf(bytes: Uint8Array): Uint32Array {
  return new Uint32Array(bytes.buffer, bytes.byteOffset, Math.floor(bytes.length / 4));
}
