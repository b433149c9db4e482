import type { ClusterStore } from '../cluster/store.js';
import type { Clock } from '../device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { decodeRecord, encodeRecord, type MirrorRecord, recordKey } from './record.js';
import type { Timers } from './timers.js';

export interface KeeperOptions {
  readonly store: ClusterStore;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly leaseNs: number;
  readonly retryNs: number;
}

/** What the keeper asks and tells. */
export interface KeeperHost {
  /** The record as it should be, from the one that is known; the same object when it is so. */
  wanted(record: MirrorRecord): MirrorRecord;
  /** This may be in the store from now on, or is: `isSure` says which. */
  noted(record: MirrorRecord, isSure: boolean): void;
  /** Reads may be served until then. */
  confirmed(untilNs: number): void;
  /** Somebody else writes now, or the store is not the one it was. */
  dethroned(error: UltimaError): void;
  /** The store has not answered since. */
  silent(sinceNs: number): void;
}

/**
 * Keeps a writer's record in the cluster store as it should be, and its right to serve reads.
 *
 * Every commit has the revision of the record as its condition. A commit whose outcome is unknown
 * may be applied at any later time while that revision stands: until another commit of ours has
 * moved it on, both what was and what was asked for count as listed.
 */
export class RecordKeeper {
  record: MirrorRecord;
  revision: number;
  private readonly key: string;
  private readonly options: KeeperOptions;
  private readonly host: KeeperHost;
  private isStopped = false;
  private isBusy = false;
  /** A commit with an unknown outcome stands on the current revision. */
  private isUnsure = false;
  private waiters: (() => void)[] = [];
  private silentSinceNs = Number.POSITIVE_INFINITY;

  constructor(
    known: { readonly record: MirrorRecord; readonly revision: number },
    options: KeeperOptions,
    host: KeeperHost,
  ) {
    this.record = known.record;
    this.revision = known.revision;
    this.key = recordKey(known.record.volumeId);
    this.options = options;
    this.host = host;
  }

  stop(): void {
    this.isStopped = true;
    this.wake();
  }

  /** Something in what is wanted has changed. */
  kick(): void {
    if (!this.isBusy && !this.isStopped && this.isBehind()) void this.work();
  }

  /** Resolves when the store has what is wanted, or the keeper has stopped. */
  async settled(): Promise<void> {
    this.kick();
    // What a commit under way asks for may not be wanted any more, and comes about all the same.
    while (!this.isStopped && (this.isBusy || this.isBehind())) {
      await new Promise<void>((resolve) => this.waiters.push(resolve));
    }
  }

  private isBehind(): boolean {
    return this.isUnsure || this.host.wanted(this.record) !== this.record;
  }

  private wake(): void {
    for (const resolve of this.waiters.splice(0)) resolve();
  }

  private async work(): Promise<void> {
    this.isBusy = true;
    while (!this.isStopped && this.isBehind()) {
      const next = this.host.wanted(this.record);
      const { generation } = this.record;
      await this.attempt({ ...next, generation: generation + 1 });
    }
    this.isBusy = false;
    this.wake();
  }

  private async attempt(next: MirrorRecord): Promise<void> {
    const { store, retryNs, clock, timers } = this.options;
    const condition = { key: this.key, revision: this.revision };
    this.host.noted(next, false);
    try {
      const change = { key: this.key, value: encodeRecord(next) };
      const { outcome, revision } = await store.commit([condition], [change]);
      this.heard();
      if (outcome === 'applied') {
        this.accept(next, revision);
        return;
      }
      // Another commit has moved the revision on: a late one of ours, or somebody else's.
      this.isUnsure = true;
      await this.look();
      if (!this.isUnsure) return;
    } catch (error) {
      if (!this.isOutage(error)) return;
      // What was asked for may be applied yet, as long as the revision stands.
      if (isUnknown(error)) this.isUnsure = true;
      if (!this.isUnsure) this.host.noted(this.record, true);
    }
    await timers.sleepUntil(clock.nowNs() + retryNs);
    if (!this.isStopped) await this.look();
  }

  /** Read the record again, and take it as it is if it is ours. */
  async look(): Promise<void> {
    const { store, clock, leaseNs } = this.options;
    const startNs = clock.nowNs();
    try {
      const entry = await store.read(this.key);
      this.heard();
      if (this.isStopped) return;
      if (entry === null) throw gone(this.record);
      const record = decodeRecord(entry.value, this.record.volumeId);
      if (record.epoch !== this.record.epoch || record.token !== this.record.token) {
        throw record.epoch > this.record.epoch ? fenced(this.record, record) : gone(this.record);
      }
      this.host.confirmed(startNs + leaseNs);
      // A look that began before our last commit shows what was before it.
      if (entry.revision > this.revision) this.accept(record, entry.revision);
    } catch (error) {
      this.isOutage(error);
    }
  }

  private accept(record: MirrorRecord, revision: number): void {
    this.record = record;
    this.revision = revision;
    this.isUnsure = false;
    this.host.noted(record, true);
    this.wake();
  }

  /** Confirm the right to serve reads, again and again. */
  async renew(): Promise<void> {
    const { clock, timers, leaseNs } = this.options;
    while (!this.isStopped) {
      await timers.sleepUntil(clock.nowNs() + leaseNs / 3);
      if (!this.isStopped) await this.look();
    }
  }

  private heard(): void {
    this.silentSinceNs = Number.POSITIVE_INFINITY;
  }

  /** Whether the store is only out of reach; else the writer is told that its time is over. */
  private isOutage(error: unknown): boolean {
    if (!(error instanceof UltimaError)) throw error;
    const { code } = error;
    if (code === ErrorCode.storeUnreachable || code === ErrorCode.storeUnknown) {
      const nowNs = this.options.clock.nowNs();
      this.silentSinceNs = Math.min(this.silentSinceNs, nowNs);
      this.host.silent(this.silentSinceNs);
      return true;
    }
    if (!this.isStopped) this.host.dethroned(error);
    return false;
  }
}

export function isUnknown(error: unknown): boolean {
  return error instanceof UltimaError && error.code === ErrorCode.storeUnknown;
}

export function fenced(
  ours: Pick<MirrorRecord, 'volumeId' | 'epoch'>,
  theirs: MirrorRecord,
): UltimaError {
  return new UltimaError(
    ErrorCode.mirrorFenced,
    `mirror ${ours.volumeId}: ${theirs.writer ?? 'nobody'} has taken over with epoch ` +
      `${theirs.epoch}; epoch ${ours.epoch} is over`,
    { volumeId: ours.volumeId, epoch: ours.epoch, newEpoch: theirs.epoch },
  );
}

export function gone(ours: MirrorRecord): UltimaError {
  return new UltimaError(
    ErrorCode.storeRolledBack,
    `the cluster store does not know epoch ${ours.epoch} of mirror ${ours.volumeId}: ` +
      'it was wiped or restored from an older copy; nothing is written until a person decides',
    { volumeId: ours.volumeId, epoch: ours.epoch },
  );
}

export function lost(volumeId: string, memberId: string, why: string): UltimaError {
  return new UltimaError(
    ErrorCode.mirrorLost,
    `mirror ${volumeId}: ${memberId} was the last member in sync, and ${why}; ` +
      'bring it back and attach again: it has everything that was acknowledged',
    { volumeId, memberId },
  );
}
