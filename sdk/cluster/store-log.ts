import { crc32c } from '../crc32c.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { KeyTable, type TableChange, type TableCommit } from './key-table.js';

/**
 * The log of a store is text, one record a line: eight digits of CRC32C, a space, JSON. A record
 * brings the end of the line before it as well as its own, so that no wrong byte makes one line of
 * two. The first line holds everything up to its revision, each further one a commit or a lease. A
 * last line that is cut short was never answered and counts as unwritten; anything else that does
 * not fit means that the disk has lost what was promised, and the store does not open.
 */
export type LogRecord =
  | { readonly kind: 'base'; readonly base: LogBase }
  | { readonly kind: 'commit'; readonly revision: number; readonly changes: readonly TableChange[] }
  | { readonly kind: 'lease'; readonly id: number; readonly ttlMs: number }
  | { readonly kind: 'end'; readonly id: number; readonly commit: TableCommit };

export interface LogBase {
  /** Of the store's contents, drawn when they began: 1..2^53 - 1. */
  readonly storeId: number;
  readonly revision: number;
  /** key, value in base64, revision, lease */
  readonly entries: readonly (readonly [string, string, number, number])[];
  /** number, time to live */
  readonly leases: readonly (readonly [number, number])[];
  /** Number of the next lease; logs from before it was kept do not have it. */
  readonly nextLease?: number;
}

export interface LoadedLog {
  readonly table: KeyTable;
  readonly storeId: number;
  /** Bytes of whole records: what follows them is cut off. */
  readonly keptBytes: number;
}

type JsonChange = readonly [string, string | null, number];

export function lineOf(record: LogRecord): Uint8Array {
  const json = new TextEncoder().encode(JSON.stringify(plainOf(record)));
  const head = `\n${crc32c(json).toString(16).padStart(8, '0')} `;
  const line = new Uint8Array(head.length + json.length + 1);
  line.set(new TextEncoder().encode(head));
  line.set(json, head.length);
  line[line.length - 1] = newline;
  return line;
}

const newline = 0x0a;

function plainOf(record: LogRecord): unknown {
  if (record.kind === 'base') return { base: record.base };
  if (record.kind === 'lease') return { lease: [record.id, record.ttlMs] };
  if (record.kind === 'end') return { end: record.id, ...plainCommit(record.commit) };
  return plainCommit(record);
}

function plainCommit({ revision, changes }: TableCommit): { at: number; set: JsonChange[] } {
  const set = changes.map(({ key, value, lease }): JsonChange => {
    return [key, value === null ? null : Buffer.from(value).toString('base64'), lease];
  });
  return { at: revision, set };
}

export function baseOf(table: KeyTable, storeId: number): LogRecord {
  const entries = [...table.entries.values()].map(({ key, value, revision, lease }) => {
    return [key, Buffer.from(value).toString('base64'), revision, lease] as const;
  });
  const leases = [...table.leases.values()].map(({ id, ttlMs }) => [id, ttlMs] as const);
  const { revision, nextLease } = table;
  return { kind: 'base', base: { storeId, revision, entries, leases, nextLease } };
}

/**
 * Everything that a log says.
 *
 * @param nowNs  leases have their whole time from now on: their holders could not reach the store
 * @throws UltimaError STORE_INVALID with the line that is wrong
 */
export function loadLog(bytes: Uint8Array, nowNs: number): LoadedLog {
  let table: KeyTable | null = null;
  let storeId = 0;
  let at = 0;
  let keptBytes = 0;
  for (let lineNumber = 1; at < bytes.length; lineNumber++) {
    const end = bytes.indexOf(newline, at);
    if (end === at) {
      at += 1;
      continue;
    }
    const record = end < 0 ? null : recordOf(bytes.subarray(at, end));
    if (record === null) {
      if (hasRecordAfter(bytes, end)) throw damaged(lineNumber, 'its checksum is wrong');
      break;
    }
    if (table === null) {
      if (record.kind !== 'base') throw damaged(lineNumber, 'it is no beginning');
      table = tableOf(record.base, nowNs);
      storeId = record.base.storeId;
    } else replay(table, record, lineNumber, nowNs);
    at = end + 1;
    keptBytes = at;
  }
  if (table === null) throw damaged(1, 'there is no whole beginning');
  return { table, storeId, keptBytes };
}

/** A torn write is the last one: nothing whole comes after it. */
function hasRecordAfter(bytes: Uint8Array, badEnd: number): boolean {
  for (let at = badEnd + 1; badEnd >= 0 && at < bytes.length; ) {
    const end = bytes.indexOf(newline, at);
    if (end < 0) return false;
    if (recordOf(bytes.subarray(at, end)) !== null) return true;
    at = end + 1;
  }
  return false;
}

function recordOf(line: Uint8Array): LogRecord | null {
  const text = new TextDecoder().decode(line);
  const json = line.subarray(9);
  if (!/^[0-9a-f]{8} \{/.test(text) || Number.parseInt(text.slice(0, 8), 16) !== crc32c(json)) {
    return null;
  }
  // The checksum says that the bytes are ours: their shape is.
  const plain = JSON.parse(text.slice(9));
  if (plain.base !== undefined) return { kind: 'base', base: plain.base };
  if (plain.lease !== undefined) {
    return { kind: 'lease', id: plain.lease[0], ttlMs: plain.lease[1] };
  }
  const set: readonly JsonChange[] = plain.set;
  const changes = set.map(([key, value, lease]) => {
    return { key, value: value === null ? null : bytesOf(value), lease };
  });
  const commit = { revision: plain.at, changes };
  if (plain.end !== undefined) return { kind: 'end', id: plain.end, commit };
  return { kind: 'commit', ...commit };
}

function bytesOf(base64: string): Uint8Array {
  return new Uint8Array(Buffer.from(base64, 'base64'));
}

function tableOf(base: LogBase, nowNs: number): KeyTable {
  const entries = base.entries.map(([key, value, revision, lease]) => {
    return { key, value: bytesOf(value), revision, lease };
  });
  const leases = base.leases.map(([id, ttlMs]) => ({ id, ttlMs, endsAtNs: nowNs + ttlMs * 1e6 }));
  return KeyTable.restored(base.revision, entries, leases, base.nextLease ?? 1);
}

function replay(table: KeyTable, record: LogRecord, lineNumber: number, nowNs: number): void {
  if (record.kind === 'base') throw damaged(lineNumber, 'it is a second beginning');
  if (record.kind === 'lease') {
    table.restoreLease(record.id, record.ttlMs, nowNs);
    return;
  }
  const { revision, changes } = record.kind === 'end' ? record.commit : record;
  const applied = table.apply(changes);
  if (applied.revision !== revision) {
    throw damaged(lineNumber, `it is revision ${revision} where ${applied.revision} is due`);
  }
  if (record.kind === 'end') table.dropLease(record.id);
}

function damaged(lineNumber: number, why: string): UltimaError {
  return new UltimaError(
    ErrorCode.storeInvalid,
    `line ${lineNumber} of the cluster store's log is damaged: ${why}; ` +
      'bring this very file back from a copy, or decide by hand which members are good',
    { lineNumber },
  );
}
