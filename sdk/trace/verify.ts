import { dwordSpan } from '../units.js';
import type { Shadow } from './shadow.js';
import type { Stamp } from './stamp.js';
import { firstBreak, isFilled } from './stamp.js';

/** What was wrong with a block. */
export type MismatchKind =
  /** Zeroes where a write had ended well. */
  | 'lost'
  /** An older version of the right block. */
  | 'stale'
  /** A block that was written to another address. */
  | 'misplaced'
  /** The right header, another write's data behind it, or data that no write has made. */
  | 'torn'
  /** A version of the right block that had not been written yet. */
  | 'early'
  /** Nothing that this run has written. */
  | 'foreign';

export interface Mismatch {
  readonly kind: MismatchKind;
  readonly lba: number;
  /** Request of the plan that read it, -1 for the read-back at the end. */
  readonly request: number;
  /** Oldest version that would have been right, 0 for never written. */
  readonly expectedVersion: number;
  /** What the block says of itself; 0 when it is not one of ours. */
  readonly foundLba: number;
  readonly foundVersion: number;
  /** First byte inside the block that differs from what its header announces. */
  readonly atByte: number;
  readonly timeNs: number;
}

export interface VerifierOptions {
  readonly stamp: Stamp;
  readonly shadow: Shadow;
  /** What blocks hold that the run has not written: zeroes, or anything (then not checked). */
  readonly initial: 'zeroes' | 'any';
  /** Keep the details of the first so many mismatches. */
  readonly keep: number;
}

const ones = 0xffff_ffff;

/** Checks what reads return against the shadow. Allocates only for a mismatch that it keeps. */
export class Verifier {
  blocks = 0;
  /** Blocks of unknown initial content, not checked. */
  unknownBlocks = 0;
  mismatches = 0;
  readonly first: Mismatch[] = [];
  private readonly options: VerifierOptions;
  private readonly blockWords: number;
  private readonly acceptsAny: boolean;

  constructor(options: VerifierOptions) {
    this.options = options;
    this.blockWords = options.stamp.blockWords;
    this.acceptsAny = options.initial === 'any';
  }

  /** Check `count` blocks that a read has put at word `at`; `floors` as when it started. */
  check(read: ReadBack, words: Uint32Array, floors: Uint32Array): void {
    let at = read.at;
    for (let i = 0; i < read.count; i++) {
      this.checkBlock(read, words, at, read.lba + i, floors[i]!);
      at += this.blockWords;
    }
  }

  private checkBlock(
    read: ReadBack,
    words: Uint32Array,
    at: number,
    lba: number,
    floor: number,
  ): void {
    const { stamp, shadow } = this.options;
    this.blocks++;
    const version = words[at + 2]!;
    const isOurs = words[at + 3] === stamp.token;
    if (isOurs && words[at + 1]! * dwordSpan + words[at]! === lba && version >= floor) {
      if (version <= shadow.issued(lba) && firstBreak(stamp, words, at) < 0) return;
    } else if (words[at] === 0) {
      if (shadow.cleared(lba) >= floor && isFilled(stamp, words, at, 0)) return;
    } else if (words[at] === ones) {
      const discarded = shadow.discarded(lba);
      if (discarded > 0 && discarded >= floor && isFilled(stamp, words, at, ones)) return;
    }
    if (floor === 0 && this.acceptsAny && !isOurs) {
      this.unknownBlocks++;
      return;
    }
    this.report(read, words, at, lba, floor);
  }

  private report(read: ReadBack, words: Uint32Array, at: number, lba: number, floor: number): void {
    this.mismatches++;
    if (this.first.length >= this.options.keep) return;
    const { stamp } = this.options;
    const isOurs = words[at + 3] === stamp.token;
    const broken = firstBreak(stamp, words, at);
    const foundLba = isOurs ? words[at + 1]! * dwordSpan + words[at]! : 0;
    const foundVersion = isOurs ? words[at + 2]! : 0;
    this.first.push({
      kind: this.kindOf(words, at, lba, floor),
      lba,
      request: read.request,
      expectedVersion: floor,
      foundLba,
      foundVersion,
      atByte: isOurs && broken > 0 ? broken * 4 : 0,
      timeNs: read.timeNs,
    });
  }

  private kindOf(words: Uint32Array, at: number, lba: number, floor: number): MismatchKind {
    const { stamp } = this.options;
    if (isFilled(stamp, words, at, 0)) return 'lost';
    if (words[at + 3] !== stamp.token) return 'foreign';
    if (firstBreak(stamp, words, at) >= 0) return 'torn';
    if (words[at + 1]! * dwordSpan + words[at]! !== lba) return 'misplaced';
    return words[at + 2]! < floor ? 'stale' : 'early';
  }
}

/** A read that has ended. One object, refilled for each. */
export interface ReadBack {
  lba: number;
  count: number;
  /** First word of its data. */
  at: number;
  request: number;
  timeNs: number;
}
