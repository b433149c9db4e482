import { ErrorCode, UltimaError } from '../errors.js';
import { keyBytes } from '../volume/cipher.js';
import type { KeyFinder } from '../volume/core.js';
import type { Pool } from '../volume/pool.js';
import type { ObjectName } from '../volume/pool-names.js';
import { usageError } from './arguments.js';
import { readSource } from './secret-source.js';

/**
 * The keys of `--key NAME=SOURCE`, by their names. A key is 64 bytes, raw or as 128 hexadecimal
 * digits, and comes from outside each time: a file (of a memory file system, or a credential of the
 * service manager), a variable, or an open descriptor. The pool knows its name alone, and nothing
 * is written.
 */
export function keysOf(words?: readonly string[]): KeyFinder {
  const keys = readKeys(words);
  return (name) => keys.get(name) ?? null;
}

/** The same as a list. */
export function readKeys(words: readonly string[] = []): Map<string, Uint8Array> {
  const keys = new Map<string, Uint8Array>();
  for (const word of words) {
    const at = word.indexOf('=');
    const name = word.slice(0, at);
    if (at < 1) throw usageError(`--key takes NAME=SOURCE, such as k1=file:/run/keys/k1`);
    if (keys.has(name)) throw usageError(`--key ${name} is given twice`);
    keys.set(name, keyOf(name, word.slice(at + 1)));
  }
  return keys;
}

/**
 * Before an encrypted volume is used: its key was named. Whether it is the right one, the pool
 * says.
 *
 * @throws UltimaError NOT_FOUND
 */
export function demandKey(pool: Pool, name: ObjectName, keys: KeyFinder): void {
  const row = pool.volumes().find((volume) => volume.name === name.volume);
  if (row === undefined || row.keyId === '' || keys(row.keyId) !== null) return;
  const { keyId } = row;
  const message =
    `volume ${name.volume} is encrypted with the key '${keyId}'; ` +
    `--key ${keyId}=file:PATH, env:VARIABLE or fd:NUMBER says where it is`;
  throw new UltimaError(ErrorCode.notFound, message, { volume: name.volume, keyId });
}

function keyOf(name: string, source: string): Uint8Array {
  const content = readSource(`the key '${name}'`, source);
  const text = Buffer.from(content).toString('latin1').trim();
  const isHex = new RegExp(`^[0-9a-fA-F]{${2 * keyBytes}}$`).test(text);
  const key = isHex ? Buffer.from(text, 'hex') : content;
  if (key.length !== keyBytes) {
    throw usageError(
      `the key '${name}' has ${key.length} bytes; AES-256-XTS takes ${keyBytes}, raw or as ` +
        `${2 * keyBytes} hexadecimal digits`,
    );
  }
  if (Buffer.compare(key.subarray(0, keyBytes / 2), key.subarray(keyBytes / 2)) === 0) {
    throw usageError(`the two halves of the key '${name}' are equal; XTS needs two keys`);
  }
  return key;
}
