import { BlockStatus } from '../block/request.js';
import { ErrorCode, UltimaError } from '../errors.js';
import type { CatalogChange } from './catalog.js';
import type { PoolCore } from './core.js';
import type { Volume } from './volume.js';

/** How the catalog changes: one change at a time, at one instant, and durable when it returns. */
export class PoolChanges {
  /** Changes follow each other. */
  last: Promise<unknown> = Promise.resolve();
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

  /** Hold writes back, wait for those under way, change, go on. @returns how long that took */
  async changeGated(
    change: CatalogChange,
    volumes: readonly Volume[],
    mostPauseNs: number,
    atInstant: () => void = () => {},
  ): Promise<number> {
    const { core } = this;
    await this.makeRoom(change);
    const { clock } = core.ports[0]!.device;
    const startNs = clock.nowNs();
    for (const volume of volumes) volume.isGated = true;
    let pauseNs = 0;
    try {
      const isDrained = (): boolean => volumes.every(({ changing }) => changing === 0);
      const isLate = (): boolean => clock.nowNs() - startNs > mostPauseNs;
      await core.pump.until(() => isDrained() || isLate() || core.isFailed);
      if (!isDrained()) {
        const facts = { waitedNs: clock.nowNs() - startNs, mostPauseNs };
        const message = 'writes under way did not end in time; nothing has changed';
        throw new UltimaError(ErrorCode.commandTimeout, message, facts);
      }
      await this.applyWithRoom(change);
      atInstant();
    } finally {
      for (const volume of volumes) core.io.openGate(volume);
      pauseNs = clock.nowNs() - startNs;
    }
    await this.commit();
    return pauseNs;
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
