import { assert } from '../sdk/assert.js';

/**
 * Chance: a small fast generator (sfc32, 128 bits of state) whose stream follows from a seed and a
 * name. Streams of different names are independent, so that one component drawing more often does
 * not change what another one sees.
 */
export class Prng {
  private a: number;
  private b: number;
  private c: number;
  private counter = 1;

  constructor(seed: number, name: string) {
    assert(Number.isSafeInteger(seed) && seed >= 0, 'a seed is an integer 0..2^53 - 1');
    this.a = seed | 0;
    this.b = Math.floor(seed / 0x1_0000_0000) | 0;
    this.c = hashText(name);
    for (let i = 0; i < 16; i++) this.word();
  }

  /** 32 random bits, 0..2^32 - 1. */
  word(): number {
    const sum = (((this.a + this.b) | 0) + this.counter) | 0;
    this.counter = (this.counter + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = (((this.c << 21) | (this.c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  /** 53 random bits as a fraction, 0 <= x < 1. */
  unit(): number {
    const high = this.word() >>> 5;
    const low = this.word() >>> 6;
    return (high * 0x400_0000 + low) / 0x20_0000_0000_0000;
  }

  /** An integer 0..bound - 1; bound up to 2^53 - 1. */
  below(bound: number): number {
    assert(bound >= 1, 'no integer below 1');
    return Math.floor(this.unit() * bound);
  }

  /** True with the given probability. */
  chance(probability: number): boolean {
    return this.unit() < probability;
  }

  /** Fill with random bytes. */
  fill(target: Uint8Array): void {
    for (let i = 0; i < target.length; i++) target[i] = this.word();
  }
}

/** FNV-1a. */
function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  return hash;
}
