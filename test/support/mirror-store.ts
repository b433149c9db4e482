import { MemoryStore } from '../../sdk/cluster/memory-store.js';
import type {
  ClusterStore,
  CommitResult,
  Lease,
  StoreChange,
  StoreCondition,
  StoreEntry,
  StoreList,
  StoreWatch,
} from '../../sdk/cluster/store.js';
import { ErrorCode, UltimaError } from '../../sdk/errors.js';
import type { StormWorld } from './mirror-world.js';

const wayNs = 30_000;
const patienceNs = 1_500_000;

/** The store behind all nodes: every commit takes effect at one moment. */
export class StormStore {
  readonly table = new MemoryStore({ nowNs: () => 0 });
  isOut = false;
  /** The value that was committed last. */
  current: Uint8Array | null = null;

  async commit(
    conditions: readonly StoreCondition[],
    changes: readonly StoreChange[],
  ): Promise<CommitResult> {
    const result = await this.table.commit(conditions, changes);
    if (result.outcome === 'applied') this.current = changes[0]!.value;
    return result;
  }
}

type Deliver = (action: () => void) => void;

/** One node's way to the store: with delays, and at times without answers. */
export class StormStoreClient implements ClusterStore {
  isCut = false;
  private readonly world: StormWorld;
  private readonly store: StormStore;
  /** How answers come to the process that asks: not while it stands still, never after it died. */
  private readonly asker: () => Deliver;

  constructor(world: StormWorld, store: StormStore, asker: () => Deliver) {
    this.world = world;
    this.store = store;
    this.asker = asker;
  }

  read(key: string): Promise<StoreEntry | null> {
    return this.carry(() => this.store.table.read(key), false);
  }

  list(prefix: string): Promise<StoreList> {
    return this.carry(() => this.store.table.list(prefix), false);
  }

  commit(
    conditions: readonly StoreCondition[],
    changes: readonly StoreChange[],
  ): Promise<CommitResult> {
    return this.carry(() => this.store.commit(conditions, changes), true);
  }

  watch(): StoreWatch {
    throw new Error('no storm watches');
  }

  grantLease(): Promise<Lease> {
    throw new Error('no storm needs a lease');
  }

  async close(): Promise<void> {}

  private carry<T>(act: () => Promise<T>, isCommit: boolean): Promise<T> {
    const { world } = this;
    const { chance } = world;
    const deliver = this.asker();
    return new Promise((resolve, reject) => {
      const fail = (code: 'STORE_UNREACHABLE' | 'STORE_UNKNOWN'): void => {
        world.after(patienceNs, () =>
          deliver(() => reject(new UltimaError(code, 'the storm took it'))),
        );
      };
      const isDown = this.isCut || this.store.isOut;
      if (isDown && (!isCommit || chance.chance(0.6))) {
        fail(ErrorCode.storeUnreachable);
        return;
      }
      // Of a commit whose answer is lost: applied, applied late, or lost on the way there.
      const isUnanswered = isCommit && (isDown || chance.chance(0.02));
      if (isUnanswered) {
        fail(ErrorCode.storeUnknown);
        if (chance.chance(0.3)) return;
      }
      const lateNs = isUnanswered && chance.chance(0.5) ? 8e6 * chance.unit() : 0;
      world.after(wayNs * (0.5 + chance.unit()) + lateNs, () => {
        act().then(
          (value) => {
            if (isUnanswered) return;
            world.after(wayNs * (0.5 + chance.unit()), () => deliver(() => resolve(value)));
          },
          (error: unknown) => deliver(() => reject(error)),
        );
      });
    });
  }
}
