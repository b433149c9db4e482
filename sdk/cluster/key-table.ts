import { assert } from '../assert.js';
import { ErrorCode, UltimaError } from '../errors.js';
import {
  checkCommit,
  checkKey,
  checkLeaseTime,
  checkRevision,
  type StoreCondition,
  type StoreEntry,
  type StoreEvent,
  type StoreList,
  type StoreWatch,
  type StoreWatcher,
} from './store.js';

/** A change as the table keeps it: leases by number. */
export interface TableChange {
  readonly key: string;
  readonly value: Uint8Array | null;
  /** 0: none. */
  readonly lease: number;
}

export interface TableEntry extends StoreEntry {
  readonly lease: number;
}

export interface TableLease {
  readonly id: number;
  readonly ttlMs: number;
  endsAtNs: number;
}

/** A commit that was applied. */
export interface TableCommit {
  readonly revision: number;
  readonly changes: readonly TableChange[];
}

interface Watch extends StoreWatch {
  readonly prefix: string;
  readonly watcher: StoreWatcher;
  isOpen: boolean;
  /** Told of what happened before it began; from then on it hears of each commit at once. */
  isCaughtUp: boolean;
}

/** Changes that are kept for watches that begin later or lag. */
const longestHistory = 10_000;

/**
 * The table behind the stores of our own: entries, revisions, leases, and the recent changes for
 * watches. Has no clock and no file; time comes with the calls, and whoever owns the table makes
 * commits durable before they are answered.
 */
export class KeyTable {
  revision = 0;
  readonly entries = new Map<string, TableEntry>();
  readonly leases = new Map<number, TableLease>();
  /** Number of the next lease; none is given twice. */
  nextLease = 1;
  private readonly history: StoreEvent[] = [];
  /** Changes up to here are forgotten. */
  private forgottenRevision = 0;
  private readonly watches = new Set<Watch>();

  /** A table as it was: after this, no watch can begin before its revision. */
  static restored(
    revision: number,
    entries: readonly TableEntry[],
    leases: readonly TableLease[],
    nextLease: number,
  ): KeyTable {
    const table = new KeyTable();
    table.revision = revision;
    table.forgottenRevision = revision;
    for (const entry of entries) table.entries.set(entry.key, entry);
    table.nextLease = nextLease;
    for (const lease of leases) table.addLease(lease);
    return table;
  }

  read(key: string): TableEntry | null {
    checkKey(key);
    return this.entries.get(key) ?? null;
  }

  has(key: string): boolean {
    return this.entries.has(key);
  }

  list(prefix: string): StoreList {
    checkKey(prefix);
    const found = [...this.entries.values()].filter((entry) => entry.key.startsWith(prefix));
    found.sort((a, b) => (a.key < b.key ? -1 : 1));
    return { entries: found, revision: this.revision };
  }

  /** Whether a commit would be applied now. Deleting what is not there changes nothing. */
  wouldApply(conditions: readonly StoreCondition[], changes: readonly TableChange[]): boolean {
    checkCommit(
      conditions,
      changes.map(({ key, value }) => ({ key, value })),
    );
    for (const { lease } of changes) {
      if (lease !== 0 && !this.leases.has(lease)) throw leaseEnded(String(lease));
    }
    return conditions.every(({ key, revision }) => this.revisionOf(key) === revision);
  }

  private revisionOf(key: string): number {
    return this.entries.get(key)?.revision ?? 0;
  }

  /** Apply a commit whose conditions hold, and tell the watches. */
  apply(changes: readonly TableChange[]): TableCommit {
    const effective = changes.filter(({ key, value }) => value !== null || this.entries.has(key));
    if (effective.length === 0) return { revision: this.revision, changes: effective };
    this.revision += 1;
    for (const change of effective) this.applyOne(change);
    this.remember(effective.map(({ key, value }) => ({ key, value, revision: this.revision })));
    return { revision: this.revision, changes: effective };
  }

  private applyOne({ key, value, lease }: TableChange): void {
    if (value === null) this.entries.delete(key);
    else this.entries.set(key, { key, value: value.slice(), revision: this.revision, lease });
  }

  private remember(events: readonly StoreEvent[]): void {
    this.history.push(...events);
    for (const watch of [...this.watches]) tell(watch, events);
    while (this.history.length > longestHistory) {
      this.forgottenRevision = this.history.shift()!.revision;
    }
  }

  watch(prefix: string, afterRevision: number, watcher: StoreWatcher): StoreWatch {
    checkKey(prefix);
    checkRevision(afterRevision);
    const watch: Watch = {
      prefix,
      watcher,
      isOpen: true,
      isCaughtUp: false,
      close: () => {
        watch.isOpen = false;
        this.watches.delete(watch);
      },
    };
    this.watches.add(watch);
    // The caller has its watch before the first call of the watcher.
    queueMicrotask(() => this.catchUp(watch, afterRevision));
    return watch;
  }

  private catchUp(watch: Watch, afterRevision: number): void {
    if (!watch.isOpen) return;
    watch.isCaughtUp = true;
    if (afterRevision > this.revision) {
      watch.close();
      watch.watcher.failed(rolledBack(afterRevision, this.revision));
    } else if (afterRevision < this.forgottenRevision) {
      watch.close();
      watch.watcher.failed(compacted(afterRevision, this.forgottenRevision));
    } else {
      tell(
        watch,
        this.history.filter((event) => event.revision > afterRevision),
      );
    }
  }

  grantLease(ttlMs: number, nowNs: number): TableLease {
    checkLeaseTime(ttlMs);
    const lease = { id: this.nextLease, ttlMs, endsAtNs: nowNs + ttlMs * 1e6 };
    this.addLease(lease);
    return lease;
  }

  /** A lease that was granted before, with its whole time from now on. */
  restoreLease(id: number, ttlMs: number, nowNs: number): void {
    this.addLease({ id, ttlMs, endsAtNs: nowNs + ttlMs * 1e6 });
  }

  private addLease(lease: TableLease): void {
    assert(!this.leases.has(lease.id), 'a lease was granted twice');
    this.leases.set(lease.id, lease);
    this.nextLease = Math.max(this.nextLease, lease.id + 1);
  }

  /** @throws UltimaError NOT_FOUND */
  keepAlive(id: number, nowNs: number): void {
    const lease = this.leases.get(id);
    if (lease === undefined) throw leaseEnded(String(id));
    lease.endsAtNs = nowNs + lease.ttlMs * 1e6;
  }

  /** Leases whose time is over. */
  lapsedLeases(nowNs: number): number[] {
    const lapsed = [...this.leases.values()].filter((lease) => lease.endsAtNs <= nowNs);
    return lapsed.map((lease) => lease.id);
  }

  /** The changes that the end of a lease makes; the lease itself goes with `dropLease`. */
  changesOfEnd(id: number): TableChange[] {
    const held = [...this.entries.values()].filter((entry) => entry.lease === id);
    return held.map(({ key }) => ({ key, value: null, lease: 0 }));
  }

  dropLease(id: number): void {
    this.leases.delete(id);
  }

  /** No watcher is called any more. */
  closeWatches(): void {
    for (const watch of [...this.watches]) watch.close();
  }
}

function tell(watch: Watch, events: readonly StoreEvent[]): void {
  const wanted = events.filter((event) => event.key.startsWith(watch.prefix));
  if (watch.isOpen && watch.isCaughtUp && wanted.length > 0) watch.watcher.changed(wanted);
}

export function leaseEnded(id: string): UltimaError {
  return new UltimaError(ErrorCode.notFound, `lease ${id} has ended; grant another`, { lease: id });
}

export function rolledBack(known: number, current: number): UltimaError {
  return new UltimaError(
    ErrorCode.storeRolledBack,
    `the cluster store is at revision ${current}, but has shown revision ${known} before: ` +
      'it was wiped or restored from an older copy; nothing may be written until a person decides',
    { knownRevision: known, currentRevision: current },
  );
}

export function compacted(wanted: number, oldest: number): UltimaError {
  return new UltimaError(
    ErrorCode.storeCompacted,
    `changes after revision ${wanted} are forgotten up to ${oldest}; ` +
      'list again and watch from there',
    { wantedRevision: wanted, oldestRevision: oldest },
  );
}
