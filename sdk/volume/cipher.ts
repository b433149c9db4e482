import { createCipheriv, createDecipheriv, createHmac } from 'node:crypto';

const algorithm = 'aes-256-xts';
/** Two keys of 256 bits [IEEE-1619 §5.1]. */
export const keyBytes = 64;
const checkHexDigits = 16;

/** What a pool remembers of a key: nothing that leads to it, but whether another one is it. */
export function keyCheckOf(key: Uint8Array): string {
  return createHmac('sha256', key)
    .update('ultima key check')
    .digest('hex')
    .slice(0, checkHexDigits);
}

/**
 * Encryption of a volume's data at rest: AES-256-XTS, a data unit for each block of the volume, the
 * number of the block as the tweak. Snapshots and clones share blocks at the same numbers, and
 * with them the key. Where nothing was written there is nothing to decrypt: it reads as zeroes.
 *
 * The key comes from outside and stays in memory; the pool knows its name alone. The library makes
 * an object for each block, so encrypted volumes are not free of allocations.
 */
export class VolumeCipher {
  private readonly key: Uint8Array;
  private readonly blockBytes: number;
  private readonly tweak = new Uint8Array(16);
  private readonly tweakWords = new Uint32Array(this.tweak.buffer);

  /** @throws RangeError for a key of another length, or one whose halves are equal */
  constructor(key: Uint8Array, blockBytes: number) {
    if (key.length !== keyBytes) {
      throw new RangeError(`a key of ${key.length} bytes; ${algorithm} takes ${keyBytes}`);
    }
    const half = keyBytes / 2;
    if (key.subarray(0, half).every((byte, i) => byte === key[half + i])) {
      throw new RangeError(`the two halves of a key of ${algorithm} must differ`);
    }
    this.key = Uint8Array.from(key);
    this.blockBytes = blockBytes;
  }

  /** In place. @param block number of the first one in the volume */
  encrypt(bytes: Uint8Array, block: number): void {
    for (let at = 0; at < bytes.length; at += this.blockBytes) {
      const piece = bytes.subarray(at, at + this.blockBytes);
      this.aim(block + at / this.blockBytes);
      piece.set(createCipheriv(algorithm, this.key, this.tweak).update(piece));
    }
  }

  decrypt(bytes: Uint8Array, block: number): void {
    for (let at = 0; at < bytes.length; at += this.blockBytes) {
      const piece = bytes.subarray(at, at + this.blockBytes);
      this.aim(block + at / this.blockBytes);
      piece.set(createDecipheriv(algorithm, this.key, this.tweak).update(piece));
    }
  }

  private aim(block: number): void {
    this.tweakWords[0] = block;
    this.tweakWords[1] = block / 2 ** 32;
  }
}
