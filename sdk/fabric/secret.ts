import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { ErrorCode, UltimaError } from '../errors.js';
import { AuthHash } from '../spec/fabrics/authentication.js';

/** A secret as hosts and controllers are given it [NVMe-2.0 §8.13.5.8 Secret representation]. */
export interface DhChapSecret {
  readonly key: Buffer;
  /** `AuthHash` of the transformation; none uses the key as it is. */
  readonly hash: number;
}

const keyLengths: readonly number[] = [32, 48, 64];
const lengthOf: Readonly<Record<number, number>> = {
  [AuthHash.sha256]: 32,
  [AuthHash.sha384]: 48,
  [AuthHash.sha512]: 64,
};
const crcBytes = 4;
/** CRC-32 of IEEE 802.3, reflected: the check at the end of a secret. */
const crc32Polynomial = 0xedb8_8320;
const seed = 'NVMe-over-Fabrics';

export function hashName(hash: number): string {
  return `sha${8 * hashBytes(hash)}`;
}

export function hashBytes(hash: number): number {
  return lengthOf[hash] ?? 0;
}

/**
 * 'DHHC-1:01:BASE64:', as `nvme gen-dhchap-key` prints it.
 *
 * @throws UltimaError USAGE; the message does not show the secret
 */
export function parseSecret(text: string): DhChapSecret {
  const match = /^DHHC-1:(0[0-3]):([A-Za-z0-9+/]+={0,2}):$/.exec(text);
  if (match === null) throw invalid("the form is 'DHHC-1:HH:BASE64:' with HH from 00 to 03");
  const bytes = Buffer.from(match[2]!, 'base64');
  const hash = Number(match[1]);
  const key = bytes.subarray(0, Math.max(0, bytes.length - crcBytes));
  // Any of the lengths goes with any of the hashes: the standard's own example does not match.
  if (!keyLengths.includes(key.length)) {
    throw invalid(`a key of ${key.length} bytes; 32, 48 or 64 are possible`);
  }
  if (crc32(key) !== bytes.readUInt32LE(key.length)) {
    throw invalid('its check sum is wrong: a character of it was changed or lost');
  }
  return { key: Buffer.from(key), hash };
}

export function formatSecret({ key, hash }: DhChapSecret): string {
  const check = Buffer.alloc(crcBytes);
  check.writeUInt32LE(crc32(key));
  return `DHHC-1:0${hash}:${Buffer.concat([key, check]).toString('base64')}:`;
}

/** A new secret. @param hash  `AuthHash`; its length is the key's */
export function makeSecret(hash: number = AuthHash.sha256): string {
  return formatSecret({ key: randomBytes(lengthOf[hash] ?? 32), hash });
}

/** The key that responses are made with: bound to the name of who it belongs to. */
export function transformedKey({ key, hash }: DhChapSecret, nqn: string): Buffer {
  if (hash === AuthHash.none) return key;
  return createHmac(hashName(hash), key).update(nqn).update(seed).digest();
}

export function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

function crc32(bytes: Uint8Array): number {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) === 0 ? 0 : crc32Polynomial);
  }
  return ~crc >>> 0;
}

function invalid(why: string): UltimaError {
  return new UltimaError(ErrorCode.usage, `the DH-HMAC-CHAP secret cannot be used: ${why}`);
}
