import { assert } from '../assert.js';
import { UltimaError } from '../errors.js';
import { type Admitted, admit, grownReason, mapAnswerNs } from './admission.js';
import type { MirrorGrowth } from './growth.js';
import type { Healer } from './healer.js';
import type { MirrorEvents } from './io-parts.js';
import type { RecordKeeper } from './keeper.js';
import type { MemberVerbs } from './member-verbs.js';
import type { MirrorIo } from './mirror-io.js';
import { type MirrorOptions, ownDepth } from './options.js';
import type { MemberPort } from './port.js';
import type { MemberRow } from './rows.js';
import type { SnapshotCopier } from './snapshot-copier.js';
import type { Timers } from './timers.js';
import type { Turns } from './turns.js';

export interface ReturnsParts {
  readonly options: Required<MirrorOptions>;
  readonly io: MirrorIo;
  readonly rows: readonly (MemberRow | null)[];
  readonly keeper: RecordKeeper;
  readonly healer: Healer;
  readonly verbs: MemberVerbs;
  readonly timers: Timers;
  readonly events: MirrorEvents;
  readonly growth: MirrorGrowth;
  readonly copier: SnapshotCopier;
  readonly turns: Turns;
}

/** Times that a member's snapshots are tried before it gets everything but them. */
const mostTries = 3;

/** Members that are out, or new, are tried again and again, and brought up one after the other. */
export class Returns {
  private readonly parts: ReturnsParts;
  private session = 1;
  private wake: () => void = () => {};

  constructor(parts: ReturnsParts) {
    this.parts = parts;
  }

  /** Somebody may be there who was not. */
  call(): void {
    this.wake();
  }

  /** Goes on until the mirror stops. */
  async follow(): Promise<void> {
    const { io, rows, timers, options } = this.parts;
    const { clock, retryNs } = options;
    while (!io.isStopped) {
      for (const place of rows.keys()) {
        const row = rows[place];
        if (row == null || row.state !== 'out' || row.isRemoved === true) continue;
        if (row.port !== null && !io.isStopped) await this.bringBack(place, row);
      }
      const called = new Promise<void>((resolve) => {
        this.wake = resolve;
      });
      await Promise.race([called, timers.sleepUntil(clock.nowNs() + retryNs)]);
    }
  }

  private async bringBack(place: number, row: MemberRow): Promise<void> {
    const admitted = await this.readmit(row);
    if (admitted === null) return;
    const { io, healer, verbs, events, growth, turns } = this.parts;
    const isTooSmall = admitted.path.blockCount < io.blockCount || growth.isUnderWay;
    if (io.isStopped || row.state !== 'out' || row.isRemoved === true || isTooSmall) {
      admitted.path.close();
      return;
    }
    assert(io.target === 0, 'two members are brought up at one time');
    io.retire(place);
    io.paths[place] = admitted.path;
    io.target = 1 << place;
    row.state = 'returning';
    row.why = '';
    if (row.incarnation > 0) {
      io.regions.miss(admitted.bits);
    } else {
      // Never listed: what its map says was not kept up with the others.
      io.regions.miss(new Uint8Array(admitted.bits.length).fill(0xff));
      if (!(await verbs.askMember(place, { verb: 'mark all' }))) return;
    }
    for (let isJoined = false; !isJoined; ) {
      const mayLack = !(await this.giveSnapshots(place));
      if (!(await healer.bringUp(place))) {
        events.failed(place, 'it was not brought up');
        return;
      }
      const incarnation = admitted.adopted.incarnation;
      isJoined = await turns.take(() => this.join(place, { row, incarnation, mayLack }));
    }
  }

  /**
   * Give the target the snapshots that it lacks. It then lacks only regions that are missing.
   *
   * @returns false when nobody could: a copy without them is better than none
   */
  private async giveSnapshots(place: number): Promise<boolean> {
    const { copier, io } = this.parts;
    const { regions } = io;
    for (let tries = 0; tries < mostTries && io.target === 1 << place; tries++) {
      const lacking = await copier.lacking(place);
      const isAll = regions.missingCount === regions.count;
      if (lacking === null || (lacking.length === 0 && !isAll)) return true;
      if ((await copier.catchUp(place, lacking)) !== false) return true;
      regions.missAll();
    }
    return false;
  }

  /** No snapshot is taken meanwhile. @returns false when it lacks something by now */
  private async join(
    place: number,
    { row, incarnation, mayLack }: { row: MemberRow; incarnation: number; mayLack: boolean },
  ): Promise<boolean> {
    const { io, keeper, copier } = this.parts;
    const lacking = mayLack ? null : await copier.lacking(place);
    const isOver = io.target !== 1 << place || io.isStopped;
    if (isOver) return true;
    if ((lacking !== null && lacking.length > 0) || io.regions.missingCount > 0) return false;
    row.incarnation = incarnation;
    row.epoch = keeper.record.epoch;
    row.state = 'joining';
    await keeper.settled();
    return true;
  }

  private async readmit(row: MemberRow): Promise<Admitted | null> {
    const early = row.admitted;
    row.admitted = null;
    if (early !== null) return early;
    const { timers, options, keeper } = this.parts;
    const { clock } = options;
    const untilNs = clock.nowNs() + mapAnswerNs(keeper.record, options.answerNs);
    let isLate = false;
    const asked = this.ask(row.port!).then(
      (admitted) => {
        if (!isLate) return admitted;
        admitted.path.close();
        return null;
      },
      (error: unknown) => {
        if (!(error instanceof UltimaError)) throw error;
        row.why = error.message;
        return null;
      },
    );
    const late = timers.sleepUntil(untilNs).then(() => {
      isLate = true;
      return null;
    });
    return Promise.race([asked, late]);
  }

  /** One that had to grow is connected to anew: it shows its size from the beginning then. */
  private async ask(port: MemberPort): Promise<Admitted> {
    const { keeper, options } = this.parts;
    const { memory, requestCount } = options;
    const needs = { record: keeper.record, memory, depth: requestCount + ownDepth, grows: true };
    try {
      this.session += 1;
      return await admit(port, { ...needs, session: this.session });
    } catch (error) {
      if (!(error instanceof UltimaError) || error.facts.reason !== grownReason) throw error;
    }
    this.session += 1;
    return await admit(port, { ...needs, session: this.session });
  }
}
