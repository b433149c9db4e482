import { createDiffieHellman, createHash, createHmac, type DiffieHellman } from 'node:crypto';
import { DhGroup } from '../spec/fabrics/authentication.js';
import { hashName } from './secret.js';

/**
 * The finite field groups of RFC 7919: p = 2^b - 2^(b-64) + ([2^(b-130) e] + X) 2^64 - 1, with the
 * generator 2 [RFC-7919 §A]. Given so they are ten numbers instead of 3 KiB of digits, and a test
 * shows that each is a safe prime, which no slip of a digit survives.
 */
const groups: Readonly<Record<number, { readonly bits: number; readonly x: bigint }>> = {
  [DhGroup.ffdhe2048]: { bits: 2048, x: 560_316n },
  [DhGroup.ffdhe3072]: { bits: 3072, x: 2_625_351n },
  [DhGroup.ffdhe4096]: { bits: 4096, x: 5_736_041n },
  [DhGroup.ffdhe6144]: { bits: 6144, x: 15_705_020n },
  [DhGroup.ffdhe8192]: { bits: 8192, x: 10_965_728n },
};
const generator = 2;
const primes = new Map<number, Buffer>();

/** Bytes of a DH value; 0 for the null group and for what is no group. */
export function dhBytes(group: number): number {
  return (groups[group]?.bits ?? 0) / 8;
}

/** The prime of a group. */
export function primeOf(group: number): Buffer {
  const known = primes.get(group);
  if (known !== undefined) return known;
  const { bits, x } = groups[group]!;
  const b = BigInt(bits);
  const p = (1n << b) - (1n << (b - 64n)) + ((eulerScaled(bits - 130) + x) << 64n) - 1n;
  const prime = Buffer.from(p.toString(16), 'hex');
  primes.set(group, prime);
  return prime;
}

/** [2^bits e], from the series of 1/k! with bits to spare. */
function eulerScaled(bits: number): bigint {
  const spare = 64n;
  let term = 1n << (BigInt(bits) + spare);
  let sum = 0n;
  for (let k = 1n; term > 0n; k++) {
    sum += term;
    term /= k;
  }
  return sum >> spare;
}

/** Our half of an exchange. */
export class DhHalf {
  readonly publicValue: Buffer;
  private readonly dh: DiffieHellman;

  constructor(group: number) {
    this.dh = createDiffieHellman(primeOf(group), generator);
    const value = this.dh.generateKeys();
    // Values have the length of the prime.
    this.publicValue = Buffer.concat([Buffer.alloc(dhBytes(group) - value.length), value]);
  }

  /** The shared secret; null for a value of the peer that gives it away. */
  secretWith(theirs: Uint8Array): Buffer | null {
    try {
      return this.dh.computeSecret(theirs);
    } catch {
      // 0, 1, p - 1 and beyond.
      return null;
    }
  }
}

/** Ca: the challenge, bound to the exchange where there was one [NVMe-2.0 §8.13.5.4]. */
export function augmented(hash: number, challenge: Uint8Array, secret: Buffer | null): Buffer {
  if (secret === null) return Buffer.from(challenge);
  const sessionKey = createHash(hashName(hash)).update(secret).digest();
  return createHmac(hashName(hash), sessionKey).update(challenge).digest();
}

export interface ResponseFacts {
  readonly hash: number;
  readonly key: Buffer;
  /** Augmented. */
  readonly challenge: Uint8Array;
  readonly sequence: number;
  readonly tid: number;
  readonly role: 'HostHost' | 'Controller';
  /** Who responds, and to whom. */
  readonly own: string;
  readonly other: string;
}

/** [NVMe-2.0 §8.13.5.5 DH-HMAC-CHAP_Reply], SC_C is 0: no channel is made of it. */
export function response(facts: ResponseFacts): Buffer {
  const numbers = Buffer.alloc(7);
  numbers.writeUInt32LE(facts.sequence, 0);
  numbers.writeUInt16LE(facts.tid, 4);
  return createHmac(hashName(facts.hash), facts.key)
    .update(facts.challenge)
    .update(numbers)
    .update(facts.role)
    .update(facts.own)
    .update('\0')
    .update(facts.other)
    .digest();
}
