import type { DmaRegion } from '../../sdk/device.js';
import { Abort, DeleteSubmissionQueue } from '../../sdk/spec/nvme/admin-command.js';
import { commandDwords, Sqe } from '../../sdk/spec/nvme/command.js';
import { Read, Write, WriteZeroes } from '../../sdk/spec/nvme/nvm-command.js';
import { AdminOpcode, NvmOpcode } from '../../sdk/spec/nvme/opcodes.js';
import { Cc, nssrReset, Register } from '../../sdk/spec/nvme/registers.js';
import { Status } from '../../sdk/spec/nvme/status.js';
import { openSimulated } from '../../sim/open.js';
import type { Prng } from '../../sim/prng.js';
import { fillBlocks } from '../support/block-model.js';
import { type Campaign, campaign, type Tally } from '../support/campaign.js';
import { CardHost, type Sent } from '../support/card-host.js';
import { StormModel } from '../support/storm-model.js';

const shocks = [
  'controller reset',
  'function reset',
  'bus reset',
  'subsystem reset',
  'power cut',
  'power cut',
  'power cut at event',
  'link down',
  'shutdown',
  'abrupt shutdown',
  'delete queue',
  'abort',
  'abort',
] as const;

type Shock = (typeof shocks)[number];

interface Io {
  readonly op: 'read' | 'write' | 'zeroes';
  readonly queue: number;
  /** Commands of one step lie in different lanes: they have no block in common. */
  readonly lane: number;
  readonly first: number;
  readonly count: number;
  readonly tag: number;
  readonly fua: number;
}

type Step =
  | { readonly kind: 'io'; readonly ios: readonly Io[] }
  | { readonly kind: 'flush' }
  | {
      readonly kind: 'shock';
      readonly ios: readonly Io[];
      readonly shock: Shock;
      /** Time or events from the doorbells on. */
      readonly after: number;
    };

const lanes = 6;
const laneBlocks = 12;
const pairs = 2;
const atomicBlocks = 4;
const second = 1_000_000_000;

const storm: Campaign<Step> = {
  claim:
    'I/O under resets, aborts, deleted queues and power cuts: what is durable stays, a write of ' +
    'at most the atomic unit is there wholly or not at all, each command ends at most once, and ' +
    'a host that does nothing wrong is never reported',
  plan,
  run: (steps, seed, tally) => new Storm(steps, seed, tally).all(),
};

export const stormOfCard = campaign(storm);

function plan(prng: Prng): Step[] {
  let tag = 0;
  const someIo = (): Io[] => {
    const count = 1 + prng.below(lanes);
    return Array.from({ length: count }, (_, lane) => {
      const blocks = 1 + prng.below(8);
      tag++;
      return {
        op: prng.chance(0.25) ? 'read' : prng.chance(0.9) ? 'write' : 'zeroes',
        queue: 1 + prng.below(pairs),
        lane,
        first: prng.below(laneBlocks - blocks + 1),
        count: blocks,
        tag,
        fua: prng.chance(0.2) ? 1 : 0,
      };
    });
  };
  return Array.from({ length: 10 + prng.below(30) }, (): Step => {
    const kind = prng.below(10);
    if (kind < 5) return { kind: 'io', ios: someIo() };
    if (kind === 5) return { kind: 'flush' };
    const shock = shocks[prng.below(shocks.length)]!;
    // Everything from the doorbell to the last completion takes some 20 us.
    const after = prng.below(shock === 'power cut at event' ? 120 : 25_000);
    return { kind: 'shock', ios: someIo(), shock, after };
  });
}

const plainRead: Io = { op: 'read', queue: 1, lane: 0, first: 0, count: 6, tag: 0, fua: 0 };

interface Running {
  readonly io: Io;
  readonly sent: Sent | null;
}

class Storm {
  private readonly steps: readonly Step[];
  private readonly tally: Tally;
  private readonly host: CardHost;
  private readonly model = new StormModel();
  private readonly buffers: DmaRegion[];

  constructor(steps: readonly Step[], seed: number, tally: Tally) {
    const profile = `subsystem.atomicPowerFailBlocks=${atomicBlocks}`;
    this.steps = steps;
    this.tally = tally;
    this.host = new CardHost(openSimulated(`sim:simple?seed=${seed % 1_000_000}&${profile}`));
    // Part of the storm: the commands in it must end all the same.
    this.host.card.checker.expect('queueDeletedInUse');
    this.buffers = Array.from({ length: lanes }, () => this.host.fn.dma.allocate(4096));
  }

  async all(): Promise<string | null> {
    if (!this.host.enable(pairs)) return 'the controller does not come up';
    for (const step of this.steps) {
      const violation = (await this.one(step)) ?? this.host.faults[0] ?? null;
      if (violation !== null) return violation;
      this.count(step.kind === 'shock' ? step.shock : step.kind);
    }
    const { checker } = this.host.card;
    if (checker.total > 0)
      return `a host that does nothing wrong is reported: ${checker.describe()}`;
    const violation = this.readAll();
    await this.host.fn.close();
    return violation;
  }

  private one(step: Step): string | null | Promise<string | null> {
    if (step.kind === 'flush') return this.flush();
    const running = this.start(step.ios);
    if (step.kind === 'shock') return this.shock(step, running);
    return this.finish(running);
  }

  private start(ios: readonly Io[]): Running[] {
    const running = ios.map((io) => ({ io, sent: this.host.post(io.queue, this.words(io)) }));
    for (const queue of new Set(ios.map((io) => io.queue))) this.host.ring(queue);
    return running;
  }

  private words(io: Io): Uint32Array {
    const words = new Uint32Array(commandDwords);
    const region = this.buffers[io.lane]!;
    Sqe.opc.set(words, 0, NvmOpcode[io.op === 'zeroes' ? 'writeZeroes' : io.op]);
    Sqe.nsid.set(words, 0, 1);
    Sqe.prp1.set(words, 0, region.iova);
    Read.slba.set(words, 0, lbaOf(io));
    Read.nlb.set(words, 0, io.count);
    if (io.op === 'read') region.bytes.fill(0xee);
    else {
      Write.fua.set(words, 0, io.fua);
      fillBlocks(region.bytes, lbaOf(io), io.count, io.tag);
    }
    if (io.op === 'zeroes') WriteZeroes.deac.set(words, 0, io.tag & 1);
    return words;
  }

  /** Nothing disturbs these: each must succeed. */
  private finish(running: readonly Running[]): string | null {
    const isOver = () => running.every(({ sent }) => sent === null || sent.ended !== null);
    if (!this.host.until(isOver, 10 * second)) return 'a command did not end';
    return this.settle(running, [0]);
  }

  /** Book what ended and what did not. */
  private settle(running: readonly Running[], allowed: readonly number[]): string | null {
    for (const { io, sent } of running) {
      if (sent === null) continue;
      const status = sent.ended?.status ?? -1;
      const write = { tag: io.op === 'zeroes' ? 0 : io.tag, lba: lbaOf(io), count: io.count };
      if (status > 0 && !allowed.includes(status)) {
        return `${JSON.stringify(io)} ended with 0x${status.toString(16)}`;
      }
      if (io.op !== 'read') {
        if (status === 0) this.model.wrote(write, io.fua === 1);
        else this.model.mayHaveWritten(write);
      } else if (status === 0) {
        const { bytes } = this.buffers[io.lane]!;
        const violation = this.model.saw(bytes, write.lba, io.count);
        if (violation !== null) return violation;
      }
      this.count(status === 0 ? 'commands ended' : 'commands lost or aborted');
    }
    return null;
  }

  private flush(): string | null {
    const words = new Uint32Array(commandDwords);
    Sqe.opc.set(words, 0, NvmOpcode.flush);
    Sqe.nsid.set(words, 0, 1);
    if (this.host.run(1, words)?.status !== 0) return 'a flush did not succeed';
    this.model.flushed();
    return null;
  }

  private async shock(
    step: Step & { kind: 'shock' },
    running: readonly Running[],
  ): Promise<string | null> {
    const { card } = this.host;
    if (step.shock === 'power cut at event') {
      card.powerCutAtEvent(card.world.eventCount + step.after);
      this.host.until(() => this.host.isGone, 100_000);
      const violation = this.settle(running, []);
      if (violation !== null) return violation;
      // A quiet card has no events: reads make some.
      for (let i = 0; i < 100 && !this.host.isGone; i++) {
        const [read] = this.start([{ ...plainRead, lane: 0 }]);
        this.host.until(() => this.host.isGone || read?.sent?.ended !== null, second);
      }
      return this.afterPower([]);
    }
    this.host.until(() => false, step.after);
    const isGoingDown = step.shock !== 'abort' && step.shock !== 'delete queue';
    this.host.ringsDoorbells = !isGoingDown || step.shock.endsWith('shutdown');
    switch (step.shock) {
      case 'power cut':
        card.powerCut();
        return this.afterPower(running);
      case 'controller reset':
        break;
      case 'subsystem reset':
        this.host.write(Register.nssr, nssrReset);
        break;
      case 'function reset':
      case 'bus reset':
        await this.host.fn.reset(step.shock === 'bus reset' ? 'bus' : 'function');
        break;
      case 'link down':
        card.linkDown();
        this.host.until(() => false, 10_000);
        card.linkUp();
        break;
      case 'shutdown':
      case 'abrupt shutdown':
        return this.shutdown(running, step.shock === 'shutdown' ? 1 : 2);
      case 'delete queue':
        return this.deleteQueue(running);
      case 'abort':
        return this.abort(running);
    }
    return this.afterReset(running);
  }

  private afterReset(running: readonly Running[]): string | null {
    if (!this.host.enable(pairs)) return 'the controller does not come back';
    return this.settle(running, [Status.abortRequested]) ?? this.readAll();
  }

  /** What was not seen to end is unknown; then everything not durable may be lost. */
  private afterPower(running: readonly Running[]): string | null {
    const violation = this.settle(running, []);
    if (violation !== null) return violation;
    this.model.powerCut();
    this.host.card.restore();
    if (!this.host.enable(pairs)) return 'the controller does not come back with the power';
    return this.readAll() ?? this.model.settle(atomicBlocks);
  }

  /** A shutdown that completed makes everything durable; power may go then. */
  private shutdown(running: readonly Running[], notification: number): string | null {
    const { host } = this;
    const quiet = () => running.every(({ sent }) => sent === null || sent.ended !== null);
    host.until(quiet, 10 * second);
    const violation = this.settle(running, []);
    if (violation !== null) return violation;
    host.write(Register.cc, Cc.shn.put(host.read(Register.cc), notification));
    const isComplete = () => ((host.read(Register.csts) >>> 2) & 3) === 2;
    if (!host.until(isComplete, 10 * second)) return 'a shutdown did not complete';
    if (notification === 1) this.model.flushed();
    host.card.powerCut();
    return this.afterPower([]);
  }

  private deleteQueue(running: readonly Running[]): string | null {
    const words = new Uint32Array(commandDwords);
    Sqe.opc.set(words, 0, AdminOpcode.deleteSubmissionQueue);
    DeleteSubmissionQueue.qid.set(words, 0, 1);
    if (this.host.run(0, words)?.status !== 0) return 'a queue was not deleted';
    const isOver = () => running.every(({ sent }) => sent === null || sent.ended !== null);
    if (!this.host.until(isOver, second)) return 'a command of a deleted queue did not end';
    const violation = this.settle(running, [Status.abortedSqDeletion]);
    if (violation !== null) return violation;
    return this.host.enable(pairs) ? null : 'the controller does not come back';
  }

  private abort(running: readonly Running[]): string | null {
    const victim = running[0]?.sent ?? null;
    if (victim === null) return null;
    const words = new Uint32Array(commandDwords);
    Sqe.opc.set(words, 0, AdminOpcode.abort);
    Abort.sqid.set(words, 0, victim.queueId);
    Abort.cid.set(words, 0, victim.cid);
    const ended = this.host.run(0, words);
    if (ended?.status !== 0) return 'an abort failed';
    const isOver = () => running.every(({ sent }) => sent === null || sent.ended !== null);
    if (!this.host.until(isOver, second)) return 'a command did not end after an abort';
    const isAborted = victim.ended?.status === Status.abortRequested;
    if ((ended.dw0 & 1) === 0 && !isAborted) return 'an abort said yes, and the command went on';
    return this.settle(running, [Status.abortRequested]);
  }

  /** Read every block; whatever is there must be possible. */
  private readAll(): string | null {
    for (let lane = 0; lane < lanes; lane++) {
      for (const first of [0, laneBlocks / 2]) {
        const violation = this.finish(this.start([{ ...plainRead, lane, first }]));
        if (violation !== null) return violation;
      }
    }
    return null;
  }

  private count(name: string): void {
    this.tally[name] = (this.tally[name] ?? 0) + 1;
  }
}

/** Lanes do not share a page: 12 blocks each, in steps of 16, around LBA 2^22. */
function lbaOf(io: Io): number {
  return 2 ** 22 - 40 + io.lane * 16 + io.first;
}
