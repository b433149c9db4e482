import type { Prng } from '../prng.js';
import type { FlashProfile } from './flash-profile.js';

const dayNs = 24 * 3600 * 1e9;
const bitsPerTbit = 1e12;
/** Below this chance nobody would ever see it. */
const negligible = 1e-13;
const tableSteps = 1024;

/**
 * What time and use do to the cells, block by block: erase counts, reads since the last erase, time
 * since the block was first written; and from these the raw bit error rate, how often a read must
 * be tried again, and which operations fail.
 *
 * Errors of a codeword are Poisson distributed. An attempt fails when a codeword has more than the
 * correctable bits; the next attempt has the errors of this one times the retry gain.
 */
export class CellWear {
  readonly eraseCounts: Int32Array;
  /** Reads since the last erase. */
  readonly readCounts: Int32Array;
  /** When the first row was written, in days on the clock of `daysAt`. */
  readonly writtenDays: Float64Array;
  private readonly flash: FlashProfile;
  private readonly chance: Prng;
  private readonly codewordBits: number;
  /** Mean errors of a codeword below which the first attempt is sure. */
  private readonly safeMean: number;
  /** Chance that a codeword with so many errors on average fails: steps of `meanStep`. */
  private readonly failChance = new Float64Array(tableSteps + 1);
  private readonly meanStep: number;
  /** Days without power. */
  private agedDays = 0;

  constructor(flash: FlashProfile, blocks: number, chance: Prng) {
    this.flash = flash;
    this.chance = chance;
    this.eraseCounts = new Int32Array(blocks);
    this.readCounts = new Int32Array(blocks);
    this.writtenDays = new Float64Array(blocks);
    this.codewordBits = flash.codewordBytes * 8;
    // Beyond twice what can be corrected, failure is certain for every practical code.
    this.meanStep = (2 * flash.correctableBits + 20) / tableSteps;
    const tailOf = poissonTails(flash.correctableBits);
    let safe = 0;
    for (let i = 0; i <= tableSteps; i++) {
      this.failChance[i] = tailOf(i * this.meanStep);
      if (this.failChance[i]! < negligible) safe = i * this.meanStep;
    }
    this.safeMean = safe;
  }

  daysAt(nowNs: number): number {
    return nowNs / dayNs + this.agedDays;
  }

  age(days: number): void {
    this.agedDays += days;
  }

  /** Raw bit errors per bit of a block now. */
  errorRate(block: number, nowNs: number): number {
    const { flash } = this;
    const wear = this.eraseCounts[block]! / flash.enduranceCycles;
    const days = Math.max(0, this.daysAt(nowNs) - this.writtenDays[block]!);
    const errors =
      flash.freshErrorsPerTbit +
      flash.wearErrorsPerTbit * wear * wear +
      flash.retentionErrorsPerTbitDay * days * wear +
      flash.disturbErrorsPerTbitKiloread * (this.readCounts[block]! / 1000);
    return errors / bitsPerTbit;
  }

  /**
   * Attempts that fail before one succeeds; `retryLevels + 1` when none does.
   *
   * @param bytes  that are read: each codeword must come through
   */
  failedAttempts(block: number, bytes: number, nowNs: number): number {
    let mean = this.errorRate(block, nowNs) * this.codewordBits;
    if (mean <= this.safeMean) return 0;
    const { codewordBytes, retryLevels, retryGainPermille } = this.flash;
    const codewords = Math.ceil(bytes / codewordBytes);
    for (let attempt = 0; attempt <= retryLevels; attempt++) {
      const succeeds = (1 - this.chanceOfFailure(mean)) ** codewords;
      if (this.chance.unit() < succeeds) return attempt;
      mean *= retryGainPermille / 1000;
    }
    return retryLevels + 1;
  }

  failsProgram(): boolean {
    const { programFailPpb } = this.flash;
    return programFailPpb > 0 && this.chance.unit() * 1e9 < programFailPpb;
  }

  /** Counts the erase, and starts the life of the block's content anew. */
  erase(block: number): boolean {
    const { eraseFailPpb, wornFailPpm, enduranceCycles } = this.flash;
    const cycles = this.eraseCounts[block]! + 1;
    this.eraseCounts[block] = cycles;
    this.readCounts[block] = 0;
    let ppb = eraseFailPpb;
    if (cycles > enduranceCycles) ppb += 1000 * wornFailPpm * (cycles / enduranceCycles - 1);
    return ppb > 0 && this.chance.unit() * 1e9 < ppb;
  }

  isBadFromFactory(): boolean {
    const { factoryBadPpm } = this.flash;
    return factoryBadPpm > 0 && this.chance.unit() * 1e6 < factoryBadPpm;
  }

  private chanceOfFailure(mean: number): number {
    const step = Math.ceil(mean / this.meanStep);
    return step >= tableSteps ? 1 : this.failChance[step]!;
  }
}

/** Chances that a Poisson variable exceeds `limit`, by its mean. */
export function poissonTails(limit: number): (mean: number) => number {
  let logFactorial = 0;
  for (let k = 2; k <= limit + 1; k++) logFactorial += Math.log(k);
  return (mean) => poissonTail(mean, limit, logFactorial);
}

function poissonTail(mean: number, limit: number, logFactorial: number): number {
  if (mean === 0) return 0;
  // Terms from limit + 1 on, until they no longer count; from the logarithm, which cannot
  // underflow.
  let term = Math.exp((limit + 1) * Math.log(mean) - mean - logFactorial);
  let sum = 0;
  for (let k = limit + 2; term > 1e-18 * sum || k < mean; k++) {
    sum += term;
    term *= mean / k;
    if (term === 0 && k > mean) break;
  }
  return Math.min(1, sum);
}
