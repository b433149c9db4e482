/**
 * What a cluster agrees on: who may write a volume, which members are in sync, which nodes live.
 *
 * What always holds:
 *   - A commit is applied whole or not at all, and only when every one of its conditions holds at
 *     that moment. Each applied commit has a revision above all earlier ones.
 *   - A read shows every commit that was answered before it began.
 *   - Watches see every change once, in the order of the revisions, none in between left out.
 * What may fail, and what is then said:
 *   - Nothing was sent: STORE_UNREACHABLE. Nothing has changed.
 *   - A commit was sent and no answer came: STORE_UNKNOWN. It may have been applied, may be applied
 *     yet, or never: read again before deciding.
 *   - The store is not the one it was, or has forgotten what it said: STORE_ROLLED_BACK.
 * A lease says that somebody was alive a short while ago, nothing more. Who may write is decided by
 * revisions alone: whoever acts on "I hold the lease" acts on the past.
 */
export interface ClusterStore {
  /** @throws UltimaError STORE_UNREACHABLE, STORE_REFUSED, STORE_ROLLED_BACK */
  read(key: string): Promise<StoreEntry | null>;
  /** Entries whose keys begin with `prefix`, ascending, all of one revision. */
  list(prefix: string): Promise<StoreList>;
  /**
   * All changes, if all conditions hold.
   *
   * @param conditions  0..64; no key twice
   * @param changes     1..64; no key twice
   * @throws RangeError for a key, value or count out of bounds, before anything is sent
   * @throws UltimaError STORE_UNREACHABLE (not applied), STORE_UNKNOWN (nobody knows),
   *   STORE_REFUSED (the store wants other credentials), NOT_FOUND (the lease has ended)
   */
  commit(
    conditions: readonly StoreCondition[],
    changes: readonly StoreChange[],
  ): Promise<CommitResult>;
  /**
   * Every change of keys with this prefix after a revision, as it happens.
   *
   * @param afterRevision  a revision that this store has given, 0 for everything it remembers
   */
  watch(prefix: string, afterRevision: number, watcher: StoreWatcher): StoreWatch;
  /** @param ttlMs  1,000..3,600,000; stores count in seconds, rounded up */
  grantLease(ttlMs: number): Promise<Lease>;
  close(): Promise<void>;
}

export interface StoreEntry {
  readonly key: string;
  readonly value: Uint8Array;
  /** Of the commit that changed it last, 1..2^53 - 1. */
  readonly revision: number;
}

export interface StoreList {
  readonly entries: readonly StoreEntry[];
  /** Of the store when it was read: what to watch from. */
  readonly revision: number;
}

export interface StoreCondition {
  readonly key: string;
  /** What the entry's revision must be; 0: there must be none. */
  readonly revision: number;
}

export interface StoreChange {
  readonly key: string;
  /** null deletes. */
  readonly value: Uint8Array | null;
  /** The entry goes when this lease ends. */
  readonly lease?: Lease;
}

export interface CommitResult {
  /** 'refused': a condition did not hold, nothing has changed. */
  readonly outcome: 'applied' | 'refused';
  /** Of the store after it. */
  readonly revision: number;
}

export interface StoreEvent {
  readonly key: string;
  /** null: deleted, or its lease has ended. */
  readonly value: Uint8Array | null;
  readonly revision: number;
}

export interface StoreWatcher {
  /** The changes of one or more commits; those of one commit are never parted. */
  changed(events: readonly StoreEvent[]): void;
  /**
   * The watch has ended: STORE_COMPACTED (changes were forgotten: list again, watch from there),
   * STORE_ROLLED_BACK, STORE_REFUSED. A store out of reach does not end it.
   */
  failed(error: Error): void;
}

export interface StoreWatch {
  /** No call of the watcher after this. */
  close(): void;
}

export interface Lease {
  /** A positive decimal number, as text. */
  readonly id: string;
  readonly ttlMs: number;
  /** @throws UltimaError NOT_FOUND when it has ended, STORE_UNREACHABLE */
  keepAlive(): Promise<void>;
  /** Its entries go at once. */
  revoke(): Promise<void>;
}

export const longestKeyBytes = 512;
export const longestValueBytes = 256 * 1024;
export const mostPerCommit = 64;
export const shortestLeaseMs = 1_000;
export const longestLeaseMs = 3_600_000;

const keyForm = /^[!-~]+$/;

/** @throws RangeError for a key that is no 1..512 printable ASCII characters */
export function checkKey(key: string): void {
  if (key.length > longestKeyBytes) {
    throw new RangeError(`a key of ${key.length} characters; at most ${longestKeyBytes}`);
  }
  if (!keyForm.test(key)) {
    throw new RangeError(`key ${JSON.stringify(key)}: printable ASCII without spaces, 1 or more`);
  }
}

/** @throws RangeError */
export function checkLeaseTime(ttlMs: number): void {
  if (!(Number.isInteger(ttlMs) && ttlMs >= shortestLeaseMs && ttlMs <= longestLeaseMs)) {
    throw new RangeError(`a lease of ${ttlMs} ms; ${shortestLeaseMs} to ${longestLeaseMs}`);
  }
}

/** @throws RangeError for what no store takes, before anything is sent */
export function checkCommit(
  conditions: readonly StoreCondition[],
  changes: readonly StoreChange[],
): void {
  if (conditions.length > mostPerCommit) {
    throw new RangeError(`${conditions.length} conditions; at most ${mostPerCommit}`);
  }
  if (changes.length < 1 || changes.length > mostPerCommit) {
    throw new RangeError(`${changes.length} changes; 1 to ${mostPerCommit}`);
  }
  for (const { key, revision } of conditions) {
    checkKey(key);
    checkRevision(revision);
  }
  for (const { key, value } of changes) {
    checkKey(key);
    if (value !== null && value.length > longestValueBytes) {
      throw new RangeError(`${key}: ${value.length} bytes; at most ${longestValueBytes}`);
    }
  }
  checkOnce(conditions.map((condition) => condition.key));
  checkOnce(changes.map((change) => change.key));
}

/** @throws RangeError */
export function checkRevision(revision: number): void {
  if (!(Number.isSafeInteger(revision) && revision >= 0)) {
    throw new RangeError(`revision ${revision}; a whole number from 0 on`);
  }
}

function checkOnce(keys: readonly string[]): void {
  const seen = new Set<string>();
  for (const key of keys) {
    if (seen.has(key)) throw new RangeError(`key ${key} twice in one commit`);
    seen.add(key);
  }
}
