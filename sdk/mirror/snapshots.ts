import type { Clock } from '../device.js';
import type { UltimaError } from '../errors.js';
import { msNs } from '../units.js';
import { type MirrorEvents, mostMembers } from './io-parts.js';
import type { RecordKeeper } from './keeper.js';
import type { MemberVerbs } from './member-verbs.js';
import type { MirrorIo } from './mirror-io.js';
import type { RecordSnapshot } from './record.js';
import type { Timers } from './timers.js';
import type { Turns } from './turns.js';
import type { Verb } from './verbs.js';

export interface SnapshotsParts {
  readonly io: MirrorIo;
  readonly verbs: MemberVerbs;
  readonly keeper: RecordKeeper;
  readonly timers: Timers;
  readonly turns: Turns;
  readonly clock: Clock;
  readonly events: MirrorEvents;
  /** Why the mirror has stopped. */
  readonly reason: () => UltimaError;
}

/**
 * Snapshots of a mirrored volume: each is one point of the write order, on all members.
 *
 * Members know a snapshot by an identity that is never given twice, not by its name: one that was
 * out when a snapshot was removed, and another one taken under its name, has no snapshot of that
 * identity, and does not go back to the one that it still has.
 */
export class MirrorSnapshots {
  /** In the order in which they were taken, as the record shall have them. */
  listed: readonly RecordSnapshot[];
  private attemptCount = 0;
  private readonly parts: SnapshotsParts;

  constructor(parts: SnapshotsParts) {
    this.parts = parts;
    this.listed = parts.keeper.record.snapshots;
  }

  /** @returns the identity */
  take(name: string): Promise<string> {
    return this.parts.turns.take(async () => {
      if (this.listed.some((each) => each.name === name)) {
        throw new RangeError(`snapshot ${name} is there already`);
      }
      const id = this.newId();
      await this.onAll({ verb: 'seal', name: id }, () => {
        this.listed = [...this.listed, { name, id }];
      });
      return id;
    });
  }

  /** Of an attempt: one that was given up has left something under its identity on some member. */
  newId(): string {
    this.attemptCount += 1;
    return `at-${this.parts.keeper.record.epoch}-${this.attemptCount}`;
  }

  remove(name: string): Promise<void> {
    return this.parts.turns.take(async () => {
      const { id } = this.find(name);
      const { keeper, verbs } = this.parts;
      this.listed = this.listed.filter((each) => each.id !== id);
      await keeper.settled();
      await verbs.everywhere({ verb: 'remove', name: id });
    });
  }

  restore(name: string): Promise<void> {
    return this.parts.turns.take(async () => {
      const { id } = this.find(name);
      const { io, events } = this.parts;
      await this.onAll({ verb: 'restore', name: id }, () => {
        if (io.target === 0) return;
        events.failed(31 - Math.clz32(io.target), 'all others went back to a snapshot');
      });
    });
  }

  private find(name: string): RecordSnapshot {
    const found = this.listed.find((each) => each.name === name);
    if (found === undefined) throw new RangeError(`no snapshot ${name}`);
    return found;
  }

  /** A verb on all members between two writes; whoever fails is out before it is done. */
  private async onAll(verb: Verb, done: () => void): Promise<void> {
    const { io, verbs, keeper, reason } = this.parts;
    const lock = await io.lock(0, io.blockCount);
    if (lock === null) throw reason();
    try {
      await this.reconciled();
      if (verb.verb === 'restore') {
        // Until all have gone back, any block may differ.
        io.regions.touch(0, io.regions.count - 1);
        await verbs.expect({ verb: 'mark all' });
      }
      await verbs.expect(verb);
      if (io.isStopped) throw reason();
      done();
      await keeper.settled();
      if (io.isStopped) throw reason();
    } finally {
      io.unlock(lock);
    }
  }

  private async reconciled(): Promise<void> {
    const { io, timers, clock } = this.parts;
    while (io.regions.unreconciledCount > 0 && !io.isStopped) {
      await timers.sleepUntil(clock.nowNs() + msNs);
    }
  }

  /** What members have that is in no list, of attempts that were given up, goes. */
  tidy(): Promise<void> {
    return this.parts.turns.take(async () => {
      const { io } = this.parts;
      for (let member = 0; member < mostMembers; member++) {
        if ((io.live & (1 << member)) !== 0) await this.tidyMember(member);
      }
    });
  }

  /**
   * @returns the identities that a member has and the record lists; null for one that keeps none,
   *   'unknown' for one that does not answer
   */
  async tidyMember(member: number): Promise<Sealed> {
    const { verbs } = this.parts;
    const found = await this.sealedOn(member);
    if (found === null || found === 'unknown') return found;
    const has = new Set(found);
    for (const id of [...has]) {
      if (this.listed.some((each) => each.id === id)) continue;
      has.delete(id);
      await verbs.tell(member, { verb: 'remove', name: id });
    }
    return has;
  }

  async sealedOn(member: number): Promise<Sealed> {
    const answers: (readonly string[] | undefined)[] = [];
    const outcome = await this.parts.verbs.tell(member, { verb: 'snapshots' }, (said) => {
      answers.push(said.snapshots);
    });
    if (outcome === 'unknown') return 'unknown';
    return answers[0] === undefined ? null : new Set(answers[0]);
  }
}

/** Identities of what a member has sealed. */
type Sealed = ReadonlySet<string> | null | 'unknown';
