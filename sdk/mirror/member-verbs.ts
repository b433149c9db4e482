import type { Clock } from '../device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { ask } from './admission.js';
import { type MirrorEvents, mostMembers } from './io-parts.js';
import type { MirrorIo } from './mirror-io.js';
import type { Timers } from './timers.js';
import type { Verb } from './verbs.js';

export interface MemberVerbsOptions {
  readonly io: MirrorIo;
  readonly events: MirrorEvents;
  readonly timers: Timers;
  readonly clock: Clock;
  readonly answerNs: number;
}

const members: readonly number[] = Array.from({ length: mostMembers }, (_, i) => i);

/** Control verbs to the members of an attached mirror. */
export class MemberVerbs {
  private readonly io: MirrorIo;
  private readonly events: MirrorEvents;
  private readonly timers: Timers;
  private readonly clock: Clock;
  private readonly answerNs: number;

  constructor({ io, events, timers, clock, answerNs }: MemberVerbsOptions) {
    this.io = io;
    this.events = events;
    this.timers = timers;
    this.clock = clock;
    this.answerNs = answerNs;
  }

  /** Whoever does not do it is out; when nobody does, nobody is worse than the others. */
  async expect(verb: Verb): Promise<void> {
    const { io } = this;
    const done = await this.everywhere(verb);
    if (io.isStopped) return;
    if ((done & io.live) === 0) {
      const text = `no member did ${verb.verb}: nothing has changed; look at the members`;
      throw new UltimaError(ErrorCode.memberRefused, text, { verb: verb.verb });
    }
    for (const i of members) {
      if ((io.live & ~done & (1 << i)) !== 0) this.events.failed(i, `it did not ${verb.verb}`);
    }
  }

  /** @returns the members that are in sync and did it, as a mask */
  async everywhere(verb: Verb): Promise<number> {
    const { live } = this.io;
    let done = 0;
    const work = members.map(async (i) => {
      const bit = 1 << i;
      if ((live & bit) !== 0 && (await this.tell(i, verb))) done |= bit;
    });
    await Promise.all(work);
    return done;
  }

  /** As `tell`, and whoever does not is out. */
  async askMember(member: number, verb: Verb): Promise<boolean> {
    const path = this.io.paths[member];
    const isDone = await this.tell(member, verb);
    if (!isDone && path != null && this.io.paths[member] === path) {
      this.events.failed(member, `it did not ${verb.verb}`);
    }
    return isDone;
  }

  private async tell(member: number, verb: Verb): Promise<boolean> {
    const path = this.io.paths[member];
    if (path == null) return false;
    const lateNs = this.clock.nowNs() + this.answerNs;
    const asked = ask(path.association, verb).then(
      () => true,
      (error: unknown) => {
        if (!(error instanceof UltimaError)) throw error;
        return false;
      },
    );
    return Promise.race([asked, this.timers.sleepUntil(lateNs).then(() => false)]);
  }
}
