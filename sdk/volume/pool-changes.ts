import { BlockStatus } from '../block/request.js';
import { ErrorCode, UltimaError } from '../errors.js';
import type { CatalogChange } from './catalog.js';
import type { PoolCore } from './core.js';
import type { Volume } from './volume.js';

export interface GatedOptions {
  /** How long writes may be held back; as long as it takes when left out. */
  readonly mostPauseNs?: number | undefined;
  /** Called at that instant, before the change; what it throws leaves everything as it is. */
  readonly demand?: (() => void) | undefined;
  /** The same, after it; it does not throw. */
  readonly atInstant?: (() => void) | undefined;
}

/** How the catalog changes: one change at a time, at one instant, and durable when it returns. */
export class PoolChanges {
  /** Changes follow each other. */
  private last: Promise<unknown> = Promise.resolve();
  /** Work that goes on beside them. */
  private readonly beside = new Set<Promise<unknown>>();
  private readonly core: PoolCore;

  constructor(core: PoolCore) {
    this.core = core;
  }

  async commit(): Promise<void> {
    const { core } = this;
    let status: BlockStatus | null = null;
    core.committer.join({
      committed: (ended) => {
        status = ended;
      },
    });
    await core.pump.until(() => status !== null);
    if (status !== BlockStatus.ok) throw this.readOnly();
  }

  async settleSpace(): Promise<void> {
    const { core } = this;
    await core.pump.until(() => {
      if (core.deferred.pending > 0) core.committer.want();
      return (!core.awaitsSpace && !core.checkpointer.isRunning) || core.isFailed;
    });
  }

  /**
   * Hold writes back, wait for those under way, change, go on. The instant is found inside `poll`,
   * whoever polls: the pause is as long as the longest write, and does not hang on this task.
   *
   * @returns how long writes were held back
   */
  async changeGated(
    change: CatalogChange,
    volumes: readonly Volume[],
    { mostPauseNs = Number.POSITIVE_INFINITY, demand, atInstant }: GatedOptions = {},
  ): Promise<number> {
    const { core } = this;
    await this.makeRoom(change);
    const { length } = encode(change);
    const { clock } = core.ports[0]!.device;
    const startNs = clock.nowNs();
    for (const volume of volumes) volume.isGated = true;
    let fault: unknown = null;
    let pauseNs = -1;
    const attempt = (): boolean => {
      const waitedNs = clock.nowNs() - startNs;
      const isDrained = volumes.every(({ changing }) => changing === 0);
      if (isDrained && !core.isFailed && !core.journal.hasRoom(length)) {
        core.committer.want();
        return false;
      }
      if (!isDrained && !core.isFailed && waitedNs <= mostPauseNs) return false;
      try {
        if (core.isFailed) throw this.readOnly();
        if (!isDrained) throw lateError(waitedNs, mostPauseNs);
        demand?.();
        this.apply(change);
        atInstant?.();
      } catch (error) {
        fault = error;
      }
      for (const volume of volumes) core.io.openGate(volume);
      pauseNs = waitedNs;
      return true;
    };
    core.atInstant(attempt);
    await core.pump.until(() => pauseNs >= 0);
    if (fault !== null) throw fault;
    await this.commit();
    return pauseNs;
  }

  /**
   * Hold all writes back until none is under way, no checkpoint runs and nothing waits to become
   * free; look, and let them go on. At once in a pool that takes no writes.
   *
   * @param look  begins at that instant; what it waits for, the writes wait for, too
   */
  async atRest<T>(volumes: ReadonlyMap<number, Volume>, look: () => Promise<T>): Promise<T> {
    const { core } = this;
    const isReaped = (): boolean => core.reaper.isIdle || core.isFailed;
    for (;;) {
      // Large maps that were given up take their time, for which nobody need wait.
      await core.pump.until(isReaped);
      const found = await this.inTurn(async () => {
        // What was before this one may have given up another.
        return isReaped() ? { value: await this.lookAtRest(volumes, look) } : null;
      });
      if (found !== null) return found.value;
    }
  }

  private async lookAtRest<T>(
    volumes: ReadonlyMap<number, Volume>,
    look: () => Promise<T>,
  ): Promise<T> {
    const { core } = this;
    let looking: Promise<T> | null = null;
    core.atInstant(() => {
      if (!core.isFailed && !this.isAtRest(volumes)) return false;
      looking = look();
      return true;
    });
    await core.pump.until(() => looking !== null);
    try {
      return await looking!;
    } finally {
      for (const volume of volumes.values()) core.io.openGate(volume);
    }
  }

  private isAtRest(volumes: ReadonlyMap<number, Volume>): boolean {
    const { core } = this;
    let isDrained = true;
    for (const volume of volumes.values()) {
      volume.isGated = true;
      if (volume.changing > 0) isDrained = false;
    }
    if (core.deferred.pending > 0) core.committer.want();
    return isDrained && !core.awaitsSpace && !core.checkpointer.isRunning;
  }

  async change(change: CatalogChange): Promise<void> {
    await this.applyWithRoom(change);
    await this.commit();
  }

  private async applyWithRoom(change: CatalogChange): Promise<void> {
    const { length } = encode(change);
    // Data may take the room while this task waits for its turn.
    do await this.makeRoom(change);
    while (!this.core.journal.hasRoom(length));
    this.apply(change);
  }

  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.last.then(work);
    this.last = result.catch(() => {});
    return result;
  }

  /** Long work that changes nothing: it takes its turn for the pieces that need one. */
  aside<T>(work: () => Promise<T>): Promise<T> {
    const result = work();
    const ended = result.then(
      () => {},
      () => {},
    );
    this.beside.add(ended);
    ended.then(() => this.beside.delete(ended));
    return result;
  }

  /** Nothing is under way any more. */
  async settled(): Promise<void> {
    await Promise.all(this.beside);
    await this.last;
  }

  private async makeRoom(change: CatalogChange): Promise<void> {
    const { core } = this;
    const { length } = encode(change);
    if (core.isFailed) throw this.readOnly();
    if (length > core.journal.mostCatalogBytes) {
      throw new RangeError(
        `${length} bytes of names and attributes in one change; ` +
          `the journal of this pool takes ${core.journal.mostCatalogBytes}`,
      );
    }
    await core.pump.until(() => {
      if (core.isFailed || core.journal.hasRoom(length)) return true;
      core.committer.want();
      return false;
    });
    if (change.op !== 'delete' && !core.canChangeMaps) {
      await this.settleSpace();
      if (!core.canChangeMaps) {
        const facts = { freeUnits: core.units.freeCount };
        throw new UltimaError(ErrorCode.poolFull, 'the pool has no space left', facts);
      }
    }
  }

  /** At one instant: in memory, and in the journal's buffer. */
  private apply(change: CatalogChange): void {
    const { core } = this;
    if (core.isFailed) throw this.readOnly();
    const fault = core.catalog.apply(change, core.deferred);
    if (fault !== null) throw new UltimaError(ErrorCode.nameTaken, fault, {});
    core.journal.appendCatalog(encode(change));
  }

  readOnly(): UltimaError {
    const { failure } = this.core;
    return new UltimaError(ErrorCode.poolReadOnly, `the pool is read-only: ${failure}`, {
      failure,
    });
  }
}

function encode(change: CatalogChange): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(change));
}

function lateError(waitedNs: number, mostPauseNs: number): UltimaError {
  const message = 'writes under way did not end in time; nothing has changed';
  return new UltimaError(ErrorCode.commandTimeout, message, { waitedNs, mostPauseNs });
}
