import { statSync } from 'node:fs';
import { join } from 'node:path';
import { ErrorCode, UltimaError } from '../../sdk/errors.js';
import { parseSize } from '../../sdk/units.js';
import type { VfioUserOptions } from './function.js';

export interface VfioUserAddress {
  /** Of the socket. */
  readonly path: string;
  readonly options: Omit<VfioUserOptions, 'kernel' | 'onRemovalRequest'>;
}

const form =
  "'vfio-user:/run/card/cntrl', 'vfio-user:PATH?arena=16MiB&timeoutMs=5000&reconnectMs=0" +
  "&shared=0&poison=1'";
const prefix = 'vfio-user:';
/** What servers call the socket in the folder that they are given. */
const socketName = 'cntrl';
const smallestArena = 65_536;
const longestMs = 600_000;

/**
 * The path of a socket, or of the folder that it lies in. A '?' starts the options: no part of the
 * path can have one.
 *
 * @throws UltimaError ADDRESS_INVALID with the forms there are
 */
export function parseVfioUserAddress(address: string): VfioUserAddress {
  const [place = '', query = ''] = splitOnce(address.slice(prefix.length), '?');
  if (!address.startsWith(prefix) || place === '') throw wrong(address, 'it names no socket');
  const options: { -readonly [K in keyof VfioUserAddress['options']]: VfioUserOptions[K] } = {};
  for (const pair of query.split('&').filter((text) => text !== '')) {
    const [key = '', value = ''] = splitOnce(pair, '=');
    if (key === 'arena') options.arenaBytes = arena(address, value);
    else if (key === 'timeoutMs') options.timeoutMs = milliseconds(address, pair, 1);
    else if (key === 'reconnectMs') options.reconnectMs = milliseconds(address, pair, 0);
    else if (key === 'shared' && /^[01]$/.test(value)) options.sharesMemory = value === '1';
    else if (key === 'poison' && /^[01]$/.test(value)) options.poisonsFreed = value === '1';
    else throw wrong(address, `'${pair}' is not understood`);
  }
  return { path: isFolder(place) ? join(place, socketName) : place, options };
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

function arena(address: string, value: string): number {
  const bytes = parseSize(value);
  if (bytes !== null && bytes >= smallestArena && Number.isSafeInteger(bytes)) return bytes;
  throw wrong(address, `arena ${value}: at least ${smallestArena} bytes, as '16MiB'`);
}

function milliseconds(address: string, pair: string, least: number): number {
  const value = /^[a-zA-Z]+=(\d{1,6})$/.exec(pair)?.[1];
  const ms = Number(value);
  if (value !== undefined && ms >= least && ms <= longestMs) return ms;
  throw wrong(address, `${pair}: milliseconds, ${least} to ${longestMs}`);
}

function wrong(address: string, what: string): UltimaError {
  return new UltimaError(
    ErrorCode.addressInvalid,
    `cannot open '${address}': ${what}; the forms are ${form}`,
    { address },
  );
}
