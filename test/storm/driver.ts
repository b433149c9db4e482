import { UltimaError } from '../../sdk/errors.js';
import { NvmeController } from '../../sdk/nvme/controller.js';
import type { TransferOptions } from '../../sdk/nvme/io-options.js';
import type { Namespace } from '../../sdk/nvme/namespace.js';
import type { SimCard } from '../../sim/card.js';
import { openSimulated } from '../../sim/open.js';
import type { Prng } from '../../sim/prng.js';
import { blockBytes, fillBlocks } from '../support/block-model.js';
import { type Campaign, campaign, type Tally } from '../support/campaign.js';
import { StormModel } from '../support/storm-model.js';

const shocks = [
  'reset',
  'function reset',
  'bus reset',
  'power cut',
  'power cut at event',
  'link down',
  'signal',
  'deadline',
  'shutdown',
] as const;

const behindItsBack: readonly string[] = ['function reset', 'bus reset', 'link down'];

type Shock = (typeof shocks)[number];

interface Io {
  readonly op: 'read' | 'write' | 'zeroes' | 'discard';
  /** Requests of one step lie in different lanes: they have no block in common. */
  readonly lane: number;
  readonly first: number;
  readonly count: number;
  readonly tag: number;
  readonly isFua: boolean;
}

type Step =
  | { readonly kind: 'io'; readonly ios: readonly Io[] }
  | { readonly kind: 'flush' }
  | {
      readonly kind: 'shock';
      readonly ios: readonly Io[];
      readonly shock: Shock;
      readonly after: number;
    };

const lanes = 6;
const laneBlocks = 120;
/** Of one command: the driver splits what is longer. */
const maxTransferBytes = 16_384;
const atomicBlocks = 4;

const storm: Campaign<Step> = {
  claim:
    'the driver under resets, aborts, deadlines, lost links and power: each request ends once, ' +
    'as completed, failed, not executed or unknown, and the blocks agree with the word',
  plan,
  run: (steps, seed, tally) => new Storm(steps, seed, tally).all(),
};

export const stormOfDriver = campaign(storm);

function plan(prng: Prng): Step[] {
  let tag = 0;
  const someIos = (): Io[] =>
    Array.from({ length: 1 + prng.below(lanes) }, (_, lane) => {
      const count = 1 + prng.below(prng.chance(0.2) ? 100 : 12);
      tag++;
      return {
        op: prng.chance(0.3) ? 'read' : prng.chance(0.85) ? 'write' : someZero(prng),
        lane,
        first: prng.below(laneBlocks - count + 1),
        count,
        tag,
        isFua: prng.chance(0.2),
      };
    });
  return Array.from({ length: 6 + prng.below(14) }, (): Step => {
    const kind = prng.below(10);
    if (kind < 5) return { kind: 'io', ios: someIos() };
    if (kind === 5) return { kind: 'flush' };
    const shock = shocks[prng.below(shocks.length)]!;
    const after = prng.below(shock === 'power cut at event' ? 200 : 40_000);
    return { kind: 'shock', ios: someIos(), shock, after };
  });
}

function someZero(prng: Prng): 'zeroes' | 'discard' {
  return prng.chance(0.5) ? 'zeroes' : 'discard';
}

type Word = 'completed' | 'failed' | 'not executed' | 'unknown';

interface Ending {
  readonly io: Io;
  readonly word: Word;
  readonly data: Uint8Array;
}

class Storm {
  private readonly steps: readonly Step[];
  private readonly tally: Tally;
  private readonly card: SimCard;
  private readonly model = new StormModel();
  private controller: NvmeController | null = null;
  private namespace: Namespace | null = null;

  constructor(steps: readonly Step[], seed: number, tally: Tally) {
    const tear = `subsystem.atomicPowerFailBlocks=${atomicBlocks}`;
    const split = `controller.maxTransferBytes=${maxTransferBytes}`;
    const query = `bytes=16MiB&${tear}&${split}&seed=${seed % 1_000_000}`;
    this.steps = steps;
    this.tally = tally;
    this.card = openSimulated(`sim:simple?${query}`);
  }

  async all(): Promise<string | null> {
    for (const step of this.steps) {
      await this.ensureOpen();
      const violation = await this.one(step);
      if (violation !== null) return violation;
      this.count(step.kind === 'shock' ? step.shock : step.kind);
    }
    await this.ensureOpen();
    const violation = await this.readAll();
    await this.controller?.close();
    const { checker } = this.card;
    if (violation === null && checker.total > 0)
      return `the driver is reported: ${checker.describe()}`;
    return violation;
  }

  private async one(step: Step): Promise<string | null> {
    if (step.kind === 'flush') {
      await this.space.flush();
      this.model.flushed();
      return null;
    }
    if (step.kind === 'shock') return this.shock(step);
    const endings = await Promise.all(this.start(step.ios, {}));
    const bad = endings.find(({ word }) => word !== 'completed');
    if (bad !== undefined) return `undisturbed, ${JSON.stringify(bad.io)} ended as ${bad.word}`;
    return this.settle(endings);
  }

  private get space(): Namespace {
    if (this.namespace === null) throw new Error('no namespace is open');
    return this.namespace;
  }

  private async ensureOpen(): Promise<void> {
    if (this.controller?.state === 'ready') return;
    await this.controller?.close();
    this.controller = await NvmeController.open(this.card.open());
    this.namespace = await this.controller.namespace(1);
  }

  private start(ios: readonly Io[], options: TransferOptions): Promise<Ending>[] {
    return ios.map((io) => this.startOne(io, options));
  }

  private async startOne(io: Io, options: TransferOptions): Promise<Ending> {
    const data = new Uint8Array(io.count * blockBytes).fill(0xee);
    const lba = lbaOf(io);
    const range = { lba, blockCount: io.count };
    const { space } = this;
    if (io.op === 'write') fillBlocks(data, lba, io.count, io.tag);
    try {
      if (io.op === 'read') await space.read(lba, data, options);
      else if (io.op === 'write') await space.write(lba, data, { ...options, isFua: io.isFua });
      else if (io.op === 'zeroes') await space.writeZeroes(range, { ...options, isFua: io.isFua });
      else await space.discard(range, options);
      return { io, word: 'completed', data };
    } catch (error) {
      return { io, word: wordOf(error), data };
    }
  }

  private settle(endings: readonly Ending[]): string | null {
    for (const { io, word, data } of endings) {
      this.count(word);
      const write = { tag: io.op === 'write' ? io.tag : 0, lba: lbaOf(io), count: io.count };
      if (io.op === 'read') {
        const violation = word === 'completed' ? this.model.saw(data, write.lba, io.count) : null;
        if (violation !== null) return violation;
      } else if (word === 'completed') {
        this.model.wrote(write, io.isFua && io.op !== 'discard');
      } else if (word !== 'not executed') {
        // A request of several commands that failed may have done some of them.
        this.model.mayHaveWritten(write);
      }
    }
    return null;
  }

  private async shock(step: Step & { kind: 'shock' }): Promise<string | null> {
    const { card } = this;
    const abort = new AbortController();
    const isPower = step.shock.startsWith('power');
    if (step.shock === 'power cut at event') {
      card.powerCutAtEvent(card.world.eventCount + step.after);
    }
    const options: TransferOptions = {
      ...(step.shock === 'signal' ? { signal: abort.signal } : {}),
      ...(step.shock === 'deadline' ? { deadlineNs: card.world.nowNs + step.after } : {}),
    };
    const running = this.start(step.ios, options);
    if (step.shock !== 'power cut at event') await this.elapse(step.after);
    const recovery = this.hit(step.shock, abort).catch(expected);
    const endings = await Promise.all(running);
    await recovery;
    if (step.shock === 'power cut at event') await this.untilCut();
    const violation = this.settle(endings);
    if (violation !== null) return violation;
    // The platform did it behind the driver's back: the driver finds out when it is told to look.
    if (behindItsBack.includes(step.shock)) await this.controller?.reset().catch(expected);
    if (!isPower && step.shock !== 'shutdown') return null;
    if (!isPower) {
      this.model.flushed();
      card.powerCut();
    }
    return this.afterPower();
  }

  private async hit(shock: Shock, abort: AbortController): Promise<void> {
    const { card } = this;
    switch (shock) {
      case 'reset':
        return this.controller?.reset();
      case 'function reset':
      case 'bus reset':
        return card.function.reset(shock === 'bus reset' ? 'bus' : 'function');
      case 'power cut':
        card.powerCut();
        return;
      case 'link down':
        card.linkDown();
        await this.elapse(5_000);
        card.linkUp();
        return;
      case 'signal':
        abort.abort();
        return;
      case 'shutdown':
        return this.controller?.shutdown();
      default:
    }
  }

  /** The cut waits for its event, and a quiet card has none: reads make some. */
  private async untilCut(): Promise<void> {
    for (let i = 0; i < 200 && this.card.function.bar(0).read32(8) !== 0xffff_ffff; i++) {
      await this.space.read(0, new Uint8Array(blockBytes)).catch(expected);
    }
  }

  private async afterPower(): Promise<string | null> {
    this.model.powerCut();
    await this.controller?.close();
    this.controller = null;
    this.card.restore();
    await this.elapse(20_000_000);
    await this.ensureOpen();
    return (await this.readAll()) ?? this.model.settle(atomicBlocks);
  }

  private async readAll(): Promise<string | null> {
    for (let lane = 0; lane < lanes; lane++) {
      const io: Io = { op: 'read', lane, first: 0, count: laneBlocks, tag: 0, isFua: false };
      const [ending] = await Promise.all(this.start([io], {}));
      if (ending?.word !== 'completed') return `lane ${lane} cannot be read: ${ending?.word}`;
      const violation = this.settle([ending]);
      if (violation !== null) return violation;
    }
    return null;
  }

  private async elapse(ns: number): Promise<void> {
    const { clock } = this.card.function;
    const untilNs = clock.nowNs() + ns;
    while (clock.nowNs() < untilNs) await clock.turn(untilNs);
  }

  private count(name: string): void {
    this.tally[name] = (this.tally[name] ?? 0) + 1;
  }
}

/** Lanes lie 131 blocks apart: their pages are shared with none. */
function lbaOf(io: Io): number {
  return 1_003 + io.lane * 131 + io.first;
}

const words: readonly Word[] = ['completed', 'failed', 'not executed', 'unknown'];

function wordOf(error: unknown): Word {
  if (!(error instanceof UltimaError)) throw error;
  const word = words.find((each) => each === error.facts.outcome);
  if (word === undefined) throw error;
  return word;
}

/** A recovery that fails says so by an error of ours; what follows opens the card again. */
function expected(error: unknown): void {
  if (!(error instanceof UltimaError)) throw error;
}
