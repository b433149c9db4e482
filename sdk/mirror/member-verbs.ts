import type { Clock } from '../device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { ask, mapAnswerNs } from './admission.js';
import { type MirrorEvents, mostMembers } from './io-parts.js';
import type { MirrorIo } from './mirror-io.js';
import type { Timers } from './timers.js';
import type { Done, Verb } from './verbs.js';

export interface MemberVerbsOptions {
  readonly io: MirrorIo;
  readonly events: MirrorEvents;
  readonly timers: Timers;
  readonly clock: Clock;
  readonly answerNs: number;
}

const members: readonly number[] = Array.from({ length: mostMembers }, (_, i) => i);

/** Hears what a member answers. */
export type Told = (said: Done) => void;

type Outcome = 'done' | 'refused' | 'unknown';

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

  /**
   * Whoever does not do it is out. Where all refuse, nobody is worse than the others, and nothing
   * has changed. Who does not answer may yet do it: it is out, and the last one stops the mirror.
   *
   * @throws UltimaError MEMBER_REFUSED: nobody has done it, or will
   */
  async expect(verb: Verb, told?: Told): Promise<void> {
    const { io } = this;
    const { done, unknown } = await this.everyAnswer(verb, told);
    for (const i of members) {
      if ((unknown & (1 << i)) !== 0) this.events.failed(i, `it did not answer to ${verb.verb}`);
    }
    if (io.isStopped) return;
    if ((done & io.live) === 0) {
      const text = `no member did ${verb.verb}: nothing has changed; look at the members`;
      throw new UltimaError(ErrorCode.memberRefused, text, { verb: verb.verb });
    }
    for (const i of members) {
      if ((io.live & ~done & (1 << i)) !== 0) this.events.failed(i, `it did not ${verb.verb}`);
    }
  }

  /** Tell all members that are in sync; whoever does not do it has heard of it. */
  async everywhere(verb: Verb): Promise<void> {
    await this.everyAnswer(verb);
  }

  /** @returns the members that did it, and those that nothing is known of, as masks */
  private async everyAnswer(verb: Verb, told?: Told): Promise<{ done: number; unknown: number }> {
    const { live } = this.io;
    let done = 0;
    let unknown = 0;
    const work = members.map(async (i) => {
      const bit = 1 << i;
      if ((live & bit) === 0) return;
      const outcome = await this.tell(i, verb, told);
      if (outcome === 'done') done |= bit;
      if (outcome === 'unknown') unknown |= bit;
    });
    await Promise.all(work);
    return { done, unknown };
  }

  /** As `tell`, and whoever does not is out. */
  async askMember(member: number, verb: Verb, told?: Told): Promise<boolean> {
    const path = this.io.paths[member];
    const isDone = (await this.tell(member, verb, told)) === 'done';
    if (!isDone && path != null && this.io.paths[member] === path) {
      this.events.failed(member, `it did not ${verb.verb}`);
    }
    return isDone;
  }

  /** Who has grown tells of its map. */
  private patienceNs(verb: Verb): number {
    if (verb.verb !== 'grow') return this.answerNs;
    const { blockBytes, regions } = this.io;
    const { regionBlocks } = regions;
    return mapAnswerNs({ blockBytes, blockCount: verb.blockCount, regionBlocks }, this.answerNs);
  }

  /** Without consequences for the member. */
  async tell(member: number, verb: Verb, told?: Told): Promise<Outcome> {
    const path = this.io.paths[member];
    if (path == null) return 'unknown';
    const lateNs = this.clock.nowNs() + this.patienceNs(verb);
    const asked = ask(path.association, verb).then((said): Outcome => {
      told?.(said);
      return 'done';
    }, outcomeOf);
    const late = this.timers.sleepUntil(lateNs).then((): Outcome => 'unknown');
    return Promise.race([asked, late]);
  }
}

/** Only who says so, in words that can be read, has not done it. */
function outcomeOf(error: unknown): Outcome {
  if (!(error instanceof UltimaError)) throw error;
  const { code, facts } = error;
  const isSaid = code === ErrorCode.memberRefused || code === ErrorCode.mirrorFenced;
  return isSaid && facts.reason !== 'garbage' ? 'refused' : 'unknown';
}
