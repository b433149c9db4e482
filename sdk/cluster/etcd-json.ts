import { ErrorCode, UltimaError } from '../errors.js';
import type { StoreChange, StoreCondition, StoreEntry, StoreEvent } from './store.js';

/**
 * etcd's JSON: keys and values in base64, 64-bit numbers as text, zeroes and empty values left out
 * [ETCD-3.4 §gRPC gateway]. What comes from a server is checked field by field.
 */
export type Json = { readonly [name: string]: unknown };

export interface Header {
  readonly clusterId: string;
  readonly revision: number;
}

/** Keys from here on, exclusive of `rangeEnd`. */
export interface KeyRange {
  readonly key: string;
  readonly range_end: string;
}

export function base64Of(data: string | Uint8Array): string {
  return Buffer.from(data).toString('base64');
}

/** All keys that begin with a prefix of printable ASCII. */
export function rangeOfPrefix(prefix: string): KeyRange {
  const end = Buffer.from(prefix);
  // The last character is at most '~': adding one to it gives the first key after the prefix.
  end[end.length - 1]! += 1;
  return { key: base64Of(prefix), range_end: base64Of(end) };
}

export function txnOf(
  conditions: readonly StoreCondition[],
  changes: readonly StoreChange[],
): Json {
  return {
    compare: conditions.map(({ key, revision }) => ({
      key: base64Of(key),
      target: 'MOD',
      result: 'EQUAL',
      mod_revision: String(revision),
    })),
    success: changes.map(requestOf),
  };
}

function requestOf({ key, value, lease }: StoreChange): Json {
  if (value === null) return { request_delete_range: { key: base64Of(key) } };
  const put = { key: base64Of(key), value: base64Of(value) };
  return { request_put: lease === undefined ? put : { ...put, lease: lease.id } };
}

export function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** @throws UltimaError STORE_INVALID for what is no JSON object */
export function parseJson(text: string): Json {
  try {
    const value: unknown = JSON.parse(text);
    if (isJson(value)) return value;
  } catch {
    // Told below, with what came.
  }
  throw strange('an answer', text);
}

export function objectIn(json: Json, name: string): Json {
  const value = json[name];
  if (isJson(value)) return value;
  throw strange(name, value);
}

/** An array of objects; left out when empty. */
export function listIn(json: Json, name: string): readonly Json[] {
  const value = json[name] ?? [];
  if (Array.isArray(value) && value.every(isJson)) return value;
  throw strange(name, value);
}

/** A number below 2^53 as text; left out when 0. */
export function numberIn(json: Json, name: string): number {
  const value = json[name] ?? '0';
  const number = typeof value === 'string' && /^\d{1,16}$/.test(value) ? Number(value) : Number.NaN;
  if (Number.isSafeInteger(number)) return number;
  throw strange(name, value);
}

/** A 64-bit number that stays text. */
export function idIn(json: Json, name: string): string {
  const value = json[name];
  if (typeof value === 'string' && /^-?\d{1,20}$/.test(value)) return value;
  throw strange(name, value);
}

export function bytesIn(json: Json, name: string): Uint8Array {
  const value = json[name] ?? '';
  if (typeof value !== 'string') throw strange(name, value);
  return new Uint8Array(Buffer.from(value, 'base64'));
}

export function headerIn(json: Json): Header {
  const header = objectIn(json, 'header');
  return { clusterId: idIn(header, 'cluster_id'), revision: numberIn(header, 'revision') };
}

export function entryIn(json: Json): StoreEntry {
  const key = Buffer.from(bytesIn(json, 'key')).toString('latin1');
  return { key, value: bytesIn(json, 'value'), revision: numberIn(json, 'mod_revision') };
}

export function eventIn(json: Json): StoreEvent {
  const entry = entryIn(objectIn(json, 'kv'));
  return json.type === 'DELETE' ? { ...entry, value: null } : entry;
}

/** Bytes of a peer that no etcd sends. */
export function strange(what: string, value: unknown): UltimaError {
  const shown = String(JSON.stringify(value)).slice(0, 80);
  return new UltimaError(
    ErrorCode.storeInvalid,
    `the server sent ${shown} as ${what}, which no etcd does; check the endpoint`,
    { what, value: shown },
  );
}
