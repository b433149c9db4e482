import { assert } from '../assert.js';
import type { Clock } from '../device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import {
  KeyTable,
  leaseEnded,
  type TableChange,
  type TableCommit,
  type TableLease,
} from './key-table.js';
import { type LogFile, openLogFile } from './log-file.js';
import { tableChangeOf } from './memory-store.js';
import {
  type ClusterStore,
  type CommitResult,
  checkLeaseTime,
  type Lease,
  type StoreChange,
  type StoreCondition,
  type StoreEntry,
  type StoreList,
  type StoreWatch,
  type StoreWatcher,
} from './store.js';
import { baseOf, type LogRecord, lineOf, loadLog } from './store-log.js';

export interface FileStoreOptions {
  /** Made where it is missing. One process has it at a time. */
  readonly folder: string;
  readonly clock: Pick<Clock, 'nowNs'>;
  /** Fills bytes with chance: `randomFillSync` of node:crypto, a seeded one in tests. */
  readonly random: (bytes: Uint8Array) => void;
  /** A log is written anew when it has grown by so many bytes; 1 MiB when left out. */
  readonly longestTailBytes?: number;
}

const defaultTailBytes = 1024 * 1024;

/**
 * The embedded cluster store: durable, for the nodes of one machine, and for small clusters that
 * can do without writes while its machine is down. A commit is answered when its record is on the
 * disk; one after the other, so that each sees all before it.
 *
 * When the disk fails a record, nobody knows whether it will be read again: the commit ends as
 * STORE_UNKNOWN and the store stops. Opened again, its log says what happened.
 */
export class FileStore implements ClusterStore {
  /** Of the contents: another number is another store, whatever its folder is called. */
  readonly storeId: number;
  private readonly file: LogFile;
  private readonly clock: Pick<Clock, 'nowNs'>;
  private readonly table: KeyTable;
  private readonly longestTailBytes: number;
  private logBytes: number;
  private tailBytes = 0;
  private last: Promise<unknown> = Promise.resolve();
  private state: 'open' | 'failed' | 'closed' = 'open';

  /** @throws UltimaError DEVICE_BUSY, FILE_UNWRITABLE, STORE_INVALID */
  static async open(options: FileStoreOptions): Promise<FileStore> {
    const file = await openLogFile(options.folder);
    try {
      return await FileStore.on(file, options);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** The same on a log kept elsewhere. */
  static async on(file: LogFile, options: Omit<FileStoreOptions, 'folder'>): Promise<FileStore> {
    const { clock, random, longestTailBytes = defaultTailBytes } = options;
    const bytes = await file.read();
    const kept = { file, clock, longestTailBytes };
    if (bytes.length > 0) {
      const { table, storeId, keptBytes } = loadLog(bytes, clock.nowNs());
      return new FileStore({ ...kept, table, storeId, logBytes: keptBytes });
    }
    const storeId = drawId(random);
    const table = new KeyTable();
    const line = lineOf(baseOf(table, storeId));
    await file.replace(line);
    return new FileStore({ ...kept, table, storeId, logBytes: line.length });
  }

  private constructor(made: {
    readonly file: LogFile;
    readonly clock: Pick<Clock, 'nowNs'>;
    readonly table: KeyTable;
    readonly storeId: number;
    readonly logBytes: number;
    readonly longestTailBytes: number;
  }) {
    this.file = made.file;
    this.clock = made.clock;
    this.table = made.table;
    this.storeId = made.storeId;
    this.logBytes = made.logBytes;
    this.longestTailBytes = made.longestTailBytes;
  }

  get revision(): number {
    return this.table.revision;
  }

  async read(key: string): Promise<StoreEntry | null> {
    this.checkOpen();
    return this.table.read(key);
  }

  async list(prefix: string): Promise<StoreList> {
    this.checkOpen();
    return this.table.list(prefix);
  }

  commit(
    conditions: readonly StoreCondition[],
    changes: readonly StoreChange[],
  ): Promise<CommitResult> {
    const ours = changes.map(tableChangeOf);
    return this.inTurn(async () => {
      const { table } = this;
      if (!table.wouldApply(conditions, ours)) {
        return { outcome: 'refused', revision: table.revision };
      }
      // Deleting what is not there is no change: it has no record and no revision.
      const commit = this.next(ours.filter(({ key, value }) => value !== null || table.has(key)));
      if (commit.changes.length > 0) await this.write({ kind: 'commit', ...commit });
      return { outcome: 'applied', revision: table.apply(commit.changes).revision };
    });
  }

  private next(changes: readonly TableChange[]): TableCommit {
    return { revision: this.table.revision + (changes.length > 0 ? 1 : 0), changes };
  }

  watch(prefix: string, afterRevision: number, watcher: StoreWatcher): StoreWatch {
    return this.table.watch(prefix, afterRevision, watcher);
  }

  async grantLease(ttlMs: number): Promise<Lease> {
    checkLeaseTime(ttlMs);
    return this.inTurn(async () => {
      const granted = this.table.grantLease(ttlMs, this.clock.nowNs());
      try {
        await this.write({ kind: 'lease', id: granted.id, ttlMs });
      } catch (error) {
        this.table.dropLease(granted.id);
        throw error;
      }
      return this.leaseOf(granted);
    });
  }

  /** A lease by the number that somebody was given. @throws UltimaError NOT_FOUND */
  lease(id: string): Lease {
    const lease = this.table.leases.get(Number(id));
    if (lease === undefined) throw leaseEnded(id);
    return this.leaseOf(lease);
  }

  private leaseOf({ id, ttlMs }: TableLease): Lease {
    return {
      id: String(id),
      ttlMs,
      keepAlive: async () => {
        this.checkOpen();
        await this.expire();
        this.table.keepAlive(id, this.clock.nowNs());
      },
      revoke: () => this.inTurn(() => this.end(id)),
    };
  }

  /** End the leases whose time is over. Whoever has the store calls it every second or so. */
  async expire(): Promise<void> {
    if (this.table.lapsedLeases(this.clock.nowNs()).length === 0) return;
    await this.inTurn(async () => {
      for (const id of this.table.lapsedLeases(this.clock.nowNs())) await this.end(id);
    });
  }

  private async end(id: number): Promise<void> {
    if (!this.table.leases.has(id)) throw leaseEnded(String(id));
    const commit = this.next(this.table.changesOfEnd(id));
    await this.write({ kind: 'end', id, commit });
    this.table.apply(commit.changes);
    this.table.dropLease(id);
  }

  /** One at a time, in the order of the calls; one that fails does not hold the next. */
  private inTurn<T>(body: () => Promise<T>): Promise<T> {
    const result = this.last.then(() => {
      this.checkOpen();
      return body();
    });
    this.last = result.catch(() => {});
    return result;
  }

  private async write(record: LogRecord): Promise<void> {
    const line = lineOf(record);
    try {
      if (this.tailBytes + line.length > this.longestTailBytes) await this.compact();
      await this.file.append(line, this.logBytes);
    } catch (error) {
      this.state = 'failed';
      const reason = error instanceof Error ? error.message : String(error);
      const message = `the disk of the cluster store failed a record: ${reason}; open it again`;
      throw new UltimaError(ErrorCode.storeUnknown, message, { reason }, error);
    }
    this.logBytes += line.length;
    this.tailBytes += line.length;
  }

  private async compact(): Promise<void> {
    const line = lineOf(baseOf(this.table, this.storeId));
    await this.file.replace(line);
    this.logBytes = line.length;
    this.tailBytes = 0;
  }

  private checkOpen(): void {
    if (this.state === 'open') return;
    const message = `the cluster store has ${this.state === 'failed' ? 'failed' : 'been closed'}`;
    throw new UltimaError(ErrorCode.storeUnreachable, `${message}; open it again`);
  }

  /** What was asked for before is done first. */
  async close(): Promise<void> {
    await this.last;
    if (this.state === 'closed') return;
    this.state = 'closed';
    this.table.closeWatches();
    await this.file.close();
  }
}

function drawId(random: (bytes: Uint8Array) => void): number {
  const bytes = new Uint8Array(6);
  random(bytes);
  const id = bytes.reduce((sum, byte) => sum * 256 + byte, 0);
  assert(id < 2 ** 48, 'six bytes give more than 48 bits');
  return Math.max(1, id);
}
