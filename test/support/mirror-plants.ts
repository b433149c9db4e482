import { Cleaner } from '../../sdk/mirror/cleaner.js';
import { MirrorGrowth } from '../../sdk/mirror/growth.js';
import { Healer } from '../../sdk/mirror/healer.js';
import { IntentMap } from '../../sdk/mirror/intent-map.js';
import { LocalMember } from '../../sdk/mirror/local-member.js';
import { Mirror } from '../../sdk/mirror/mirror.js';
import { MirrorIo } from '../../sdk/mirror/mirror-io.js';
import { MirrorOp } from '../../sdk/mirror/mirror-op.js';
import { Regions } from '../../sdk/mirror/regions.js';
import { SnapshotCopier } from '../../sdk/mirror/snapshot-copier.js';
import { MirrorSnapshots } from '../../sdk/mirror/snapshots.js';
import { decodeAnswer, encode } from '../../sdk/mirror/verbs.js';

/** A mistake that somebody could have made in the mirror, made on purpose. */
export interface Plant {
  readonly name: string;
  /** The first storm that finds it: of 1,000 at most. */
  readonly seed: number;
  /** Make it. @returns what undoes it */
  readonly make: () => () => void;
}

function replaced<T extends object, K extends keyof T>(owner: T, key: K, value: T[K]): () => void {
  const kept = owner[key];
  owner[key] = value;
  return () => {
    owner[key] = kept;
  };
}

const io = MirrorIo.prototype;

export const plants: readonly Plant[] = [
  {
    name: 'acknowledges before the store has taken the member out',
    seed: 2,
    make: () => {
      const { lacking } = io;
      return replaced(io, 'lacking', function (this: MirrorIo, op: MirrorOp) {
        return lacking.call(this, op) & this.live;
      });
    },
  },
  {
    name: 'acknowledges after the first member',
    seed: 2,
    make: () => {
      const { lacking } = io;
      return replaced(io, 'lacking', function (this: MirrorIo, op: MirrorOp) {
        const rest = lacking.call(this, op);
        return (this.required & ~rest) === 0 ? rest : 0;
      });
    },
  },
  {
    name: 'a member obeys lower epochs',
    seed: 11,
    make: () => {
      const undoOlder = replaced(LocalMember.prototype, 'isOlder', () => false);
      const undoCurrent = replaced(LocalMember.prototype, 'isCurrent', () => true);
      return () => {
        undoOlder();
        undoCurrent();
      };
    },
  },
  {
    name: 'a member adopts while writes of another writer are under way',
    seed: 18,
    make: () => replaced(LocalMember.prototype, 'drain', async () => {}),
  },
  {
    name: 'a write goes ahead of its bit',
    seed: 1,
    make: () => replaced(IntentMap.prototype, 'isDurable', () => true),
  },
  {
    name: 'reads go to a member that is not in sync',
    seed: 1,
    make: () => {
      const { readerOf } = io;
      return replaced(io, 'readerOf', function (this: MirrorIo, members: number) {
        return readerOf.call(this, this.target === 0 ? members : this.target);
      });
    },
  },
  {
    name: 'windows are copied, and bits cleared, in regions that are not held',
    seed: 1,
    make: () => {
      const undoLock = replaced(io, 'lock', async () => new MirrorOp(() => {}));
      const undoUnlock = replaced(io, 'unlock', () => {});
      return () => {
        undoLock();
        undoUnlock();
      };
    },
  },
  {
    name: 'a bit is cleared although its region was written since the flush',
    seed: 1,
    make: () =>
      replaced(Regions.prototype, 'isIdle', function (this: Regions, region: number) {
        return this.unreconciled[region] === 0 && this.missing[region] === 0;
      }),
  },
  {
    name: 'bits are cleared without a flush',
    seed: 3,
    make: () => replaced(Cleaner.prototype, 'flush', async () => true),
  },
  {
    name: 'the last member that is in sync is taken out',
    seed: 2,
    make: () => {
      const undoLast = replaced(Mirror.prototype, 'isLast', () => false);
      const { wanted } = Mirror.prototype;
      const undoWanted = replaced(Mirror.prototype, 'wanted', function (this: Mirror, record) {
        const next = wanted.call(this, record);
        if (this.status.members.some(({ condition }) => condition === 'InUse')) return next;
        if (!record.members.some(({ isInSync }) => isInSync)) return record;
        return { ...next, members: next.members.map((each) => ({ ...each, isInSync: false })) };
      });
      return () => {
        undoLast();
        undoWanted();
      };
    },
  },
  {
    name: 'a writer reads although it was not confirmed for long',
    seed: 10,
    make: () => replaced(io, 'mayRead', () => true),
  },
  {
    name: 'regions of a lost writer are served before they are reconciled',
    seed: 3,
    make: () => replaced(Regions.prototype, 'firstUnreconciled', () => -1),
  },
  {
    name: 'reconciling is said to be done and was not',
    seed: 3,
    make: () => replaced(Healer.prototype, 'equalize', async () => true),
  },
  {
    name: 'what a volume grew by is served before the store knows of it',
    seed: 4,
    make: () => {
      const { tellStore } = MirrorGrowth.prototype;
      return replaced(MirrorGrowth.prototype, 'tellStore', async function (this: MirrorGrowth, to) {
        void tellStore.call(this, to);
      });
    },
  },
  {
    name: 'members know a snapshot by its name',
    seed: 5,
    make: () => {
      const { take } = MirrorSnapshots.prototype;
      return replaced(MirrorSnapshots.prototype, 'take', function (this: MirrorSnapshots, name) {
        this.newId = () => name;
        return take.call(this, name);
      });
    },
  },
  {
    name: 'a member joins without the snapshots that others have',
    seed: 7,
    make: () => replaced(SnapshotCopier.prototype, 'lacking', async () => []),
  },
  {
    name: 'a member that has restarted passes for one that was up',
    seed: 2,
    make: () => {
      const { control } = LocalMember.prototype;
      return replaced(
        LocalMember.prototype,
        'control',
        async function (this: LocalMember, ...given) {
          const answer = decodeAnswer(await control.call(this, ...given));
          if (!answer.ok || answer.adopted === null) return encode(answer);
          return encode({ ok: true, adopted: { ...answer.adopted, isVolatile: false } });
        },
      );
    },
  },
];
