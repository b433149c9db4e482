import type { Clock } from '../device.js';
import { KeyTable, type TableChange } from './key-table.js';
import type {
  ClusterStore,
  CommitResult,
  Lease,
  StoreChange,
  StoreCondition,
  StoreEntry,
  StoreList,
  StoreWatch,
  StoreWatcher,
} from './store.js';

/**
 * A cluster store in memory, for simulated clusters and tests: gone with the process. Leases end by
 * the clock, at the next call or at `expire`.
 */
export class MemoryStore implements ClusterStore {
  private readonly table = new KeyTable();
  private readonly clock: Pick<Clock, 'nowNs'>;

  constructor(clock: Pick<Clock, 'nowNs'>) {
    this.clock = clock;
  }

  async read(key: string): Promise<StoreEntry | null> {
    this.expire();
    return this.table.read(key);
  }

  async list(prefix: string): Promise<StoreList> {
    this.expire();
    return this.table.list(prefix);
  }

  async commit(
    conditions: readonly StoreCondition[],
    changes: readonly StoreChange[],
  ): Promise<CommitResult> {
    this.expire();
    const ours = changes.map(tableChangeOf);
    if (!this.table.wouldApply(conditions, ours)) {
      return { outcome: 'refused', revision: this.table.revision };
    }
    return { outcome: 'applied', revision: this.table.apply(ours).revision };
  }

  watch(prefix: string, afterRevision: number, watcher: StoreWatcher): StoreWatch {
    return this.table.watch(prefix, afterRevision, watcher);
  }

  async grantLease(ttlMs: number): Promise<Lease> {
    const { id } = this.table.grantLease(ttlMs, this.clock.nowNs());
    return {
      id: String(id),
      ttlMs,
      keepAlive: async () => {
        this.expire();
        this.table.keepAlive(id, this.clock.nowNs());
      },
      revoke: async () => this.end(id),
    };
  }

  /** End the leases whose time is over, and tell the watches. */
  expire(): void {
    for (const id of this.table.lapsedLeases(this.clock.nowNs())) this.end(id);
  }

  private end(id: number): void {
    this.table.apply(this.table.changesOfEnd(id));
    this.table.dropLease(id);
  }

  async close(): Promise<void> {
    this.table.closeWatches();
  }
}

export function tableChangeOf(change: StoreChange): TableChange {
  const { key, value, lease } = change;
  return { key, value, lease: lease === undefined ? 0 : Number(lease.id) };
}
