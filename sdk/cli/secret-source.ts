import { readFileSync } from 'node:fs';
import { ErrorCode, UltimaError } from '../errors.js';
import { usageError } from './arguments.js';

/**
 * What must not stand on a command line, from where it does: `file:PATH`, `env:VARIABLE` or
 * `fd:NUMBER`. What was typed instead is not shown: it may be the secret itself.
 *
 * @param what  names it in messages: "the key 'k1'"
 * @throws UltimaError USAGE, FILE_INVALID
 */
export function readSource(what: string, source: string): Uint8Array {
  const [kind = '', ...rest] = source.split(':');
  const place = rest.join(':');
  if (kind === 'env') {
    const value = process.env[place];
    if (value === undefined) throw usageError(`${what}: there is no variable ${place}`);
    return Buffer.from(value);
  }
  const isDescriptor = kind === 'fd' && /^\d{1,9}$/.test(place);
  if (!isDescriptor && (kind !== 'file' || place === '')) {
    throw usageError(`${what} comes from file:PATH, env:VARIABLE or fd:NUMBER`);
  }
  try {
    return readFileSync(isDescriptor ? Number(place) : place);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const message = `${what} cannot be read from ${source}: ${reason}`;
    throw new UltimaError(ErrorCode.fileInvalid, message, { source }, error);
  }
}
