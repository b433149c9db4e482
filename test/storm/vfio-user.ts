import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadAddon } from '../../native/load.js';
import type { PciFunction } from '../../sdk/device.js';
import { UltimaError } from '../../sdk/errors.js';
import { NvmeController } from '../../sdk/nvme/controller.js';
import type { Namespace } from '../../sdk/nvme/namespace.js';
import { open } from '../../sdk/open.js';
import type { Prng } from '../../sim/prng.js';
import { blockBytes, fillBlocks } from '../support/block-model.js';
import { campaign, type Tally } from '../support/campaign.js';
import { laneBlocks, laneStart, laneTag, type Told } from '../support/served/client-process.js';
import { Killer } from '../support/served/killer.js';
import { ServerProcess } from '../support/served/server-process.js';
import { StormModel } from '../support/storm-model.js';

interface Io {
  readonly op: 'read' | 'write';
  /** Requests of one step have no block in common. */
  readonly lane: number;
  readonly first: number;
  readonly count: number;
  readonly isFua: boolean;
}

const phases = ['io', 'open', 'reset', 'close'] as const;

type Step =
  | { readonly kind: 'io'; readonly ios: readonly Io[] }
  | { readonly kind: 'flush' }
  | { readonly kind: 'reset'; readonly ios: readonly Io[]; readonly how: 'controller' | 'function' }
  | {
      readonly kind: 'server killed';
      readonly ios: readonly Io[];
      readonly during: (typeof phases)[number];
      readonly afterUs: number;
      /** The function stays, and waits for another server. */
      readonly comesBack: boolean;
    }
  | {
      readonly kind: 'client killed';
      readonly lanes: number;
      /** Its time starts when it has opened the card, not when it is started. */
      readonly isOpen: boolean;
      readonly afterUs: number;
    };

/** One of so many plans has a client that shares no memory. */
const plansPerMessages = 3;
const lanes = 6;
const blocksPerLane = 60;
/** Far more than anything takes on a machine that has other things to do. */
const patienceMs = 120_000;
/** A busy machine lets a server wait for longer than a few looks before it sees its client go. */
const quietLooks = 25;
const quietLimitMs = 10_000;
const clientMain = fileURLToPath(new URL('../support/served/client-process.js', import.meta.url));

export const stormOfVfioUser = campaign<Step>({
  claim:
    'a card in another process under kill -9 of either side and resets under I/O: each request ' +
    'once and by name, what was flushed is there, a server outlives its clients and keeps nothing',
  plan,
  run: async (steps, seed, tally) => {
    if (loadAddon().kernel !== null) return new Storm(seed, tally).all(steps);
    tally['plans that need the native addon'] =
      (tally['plans that need the native addon'] ?? 0) + 1;
    return null;
  },
});

function plan(prng: Prng): Step[] {
  const ios = (): Io[] =>
    Array.from({ length: 1 + prng.below(lanes) }, (_, lane) => {
      const count = 1 + prng.below(prng.chance(0.2) ? 40 : 8);
      return {
        op: prng.chance(0.3) ? 'read' : 'write',
        lane,
        first: prng.below(blocksPerLane - count + 1),
        count,
        isFua: prng.chance(0.3),
      };
    });
  return Array.from({ length: 8 + prng.below(8) }, (): Step => {
    const kind = prng.below(12);
    if (kind < 3) return { kind: 'io', ios: ios() };
    if (kind === 3) return { kind: 'flush' };
    if (kind === 4) {
      return { kind: 'reset', ios: ios(), how: prng.chance(0.5) ? 'controller' : 'function' };
    }
    if (kind < 8) {
      const isOpen = prng.chance(0.7);
      // A process takes much longer to start than a card to open.
      const afterUs = isOpen ? someUs(prng) : prng.below(500_000);
      return { kind: 'client killed', lanes: 1 + prng.below(4), isOpen, afterUs };
    }
    const during = phases[prng.below(phases.length)]!;
    const comesBack = during !== 'close' && prng.chance(0.3);
    return { kind: 'server killed', ios: ios(), during, afterUs: someUs(prng), comesBack };
  });
}

/** From within the first message to long after the last. */
function someUs(prng: Prng): number {
  return prng.below(10 ** (2 + prng.below(4)));
}

type Word = 'completed' | 'failed' | 'not executed' | 'unknown';

const words: readonly Word[] = ['completed', 'failed', 'not executed', 'unknown'];

class Storm {
  private readonly tally: Tally;
  private readonly server: ServerProcess;
  private readonly model = new StormModel();
  private killer: Killer | null = null;
  private controller: NvmeController | null = null;
  private namespace: Namespace | null = null;
  private nextTag = 1;
  /** Without, each byte and each doorbell is a message. */
  private readonly isShared: boolean;

  constructor(seed: number, tally: Tally) {
    this.tally = tally;
    this.isShared = seed % plansPerMessages !== 0;
    if (!this.isShared) this.count('plans without shared memory');
    this.server = new ServerProcess('sim:simple');
    const file = join(this.server.folder, 'medium');
    this.server.card = `sim:simple?bytes=8MiB&seed=${seed % 1_000_000}&file=${file}`;
  }

  async all(steps: readonly Step[]): Promise<string | null> {
    this.killer = await Killer.start();
    try {
      for (const step of steps) {
        const violation = await inTime(this.one(step), step.kind);
        if (violation !== null) return violation;
        this.count(step.kind);
      }
      await this.ensureOpen();
      return await this.readAll();
    } finally {
      await this.controller?.close().catch(expected);
      await this.killer.close();
      await this.server.remove();
    }
  }

  private one(step: Step): Promise<string | null> {
    switch (step.kind) {
      case 'io':
        return this.undisturbed(step.ios);
      case 'flush':
        return this.flush();
      case 'reset':
        return this.reset(step);
      case 'client killed':
        return this.killClient(step);
      case 'server killed':
        return step.comesBack ? this.replaceServer(step) : this.killServer(step);
    }
  }

  /** Of the card, for a client of this plan. */
  private get address(): string {
    return `${this.server.address}?shared=${this.isShared ? 1 : 0}`;
  }

  private get space(): Namespace {
    if (this.namespace === null) throw new Error('no namespace is open');
    return this.namespace;
  }

  private async ensureOpen(options = ''): Promise<void> {
    if (this.controller?.state === 'ready') return;
    await this.leave();
    if (!this.server.isRunning) await this.server.start();
    await this.openController(await open(this.address + options));
  }

  private async openController(fn: PciFunction): Promise<void> {
    const controller = await NvmeController.open(fn);
    try {
      this.namespace = await controller.namespace(1);
    } catch (error) {
      // The one that is remembered belongs to a controller of the past.
      await controller.close().catch(expected);
      throw error;
    }
    this.controller = controller;
  }

  private async leave(): Promise<void> {
    const { controller } = this;
    this.controller = null;
    await controller?.close().catch(expected);
  }

  private async undisturbed(ios: readonly Io[]): Promise<string | null> {
    await this.ensureOpen();
    const violation = this.settle(await this.start(ios));
    return violation ?? (this.hasLost ? 'undisturbed, a request did not complete' : null);
  }

  private async flush(): Promise<string | null> {
    await this.ensureOpen();
    await this.space.flush();
    this.model.flushed();
    return null;
  }

  private async reset(step: Step & { kind: 'reset' }): Promise<string | null> {
    await this.ensureOpen();
    const running = this.start(step.ios);
    const fn = this.controller!.fn;
    if (step.how === 'controller') await this.controller!.reset();
    else await fn.reset('function');
    const violation = this.settle(await running);
    if (violation !== null) return violation;
    // A reset of the function is seen by the driver when it looks; then it is one of its own.
    if (step.how === 'function') await this.controller!.reset();
    return this.readAll();
  }

  /** The server goes at some moment, for good; another one takes its place. */
  private async killServer(step: Step & { kind: 'server killed' }): Promise<string | null> {
    if (step.during === 'open') await this.leave();
    else await this.ensureOpen();
    if (!this.server.isRunning) await this.server.start();
    const killed = this.killer!.kill(this.server.pid, step.afterUs);
    const violation = await this.disturbed(step, '');
    if (violation !== null) return violation;
    await killed;
    await this.server.end('SIGKILL');
    // What was alive is told by its next look; whoever uses it then is told at the latest.
    const { controller } = this;
    if (controller !== null && controller.state === 'ready') {
      const endings = await this.start(step.ios);
      if (endings.every(({ word }) => word === 'completed')) return 'I/O without a server';
      const wrong = this.settle(endings);
      if (wrong !== null) return wrong;
      if (!controller.fn.isRemoved) return 'the server is dead and the function is not removed';
    }
    await this.leave();
    return this.afterDeath();
  }

  /** The function outlives its server: the driver resets it and goes on. */
  private async replaceServer(step: Step & { kind: 'server killed' }): Promise<string | null> {
    await this.leave();
    if (!this.server.isRunning) await this.server.start();
    const options = `&reconnectMs=${patienceMs}`;
    if (step.during !== 'open') await this.ensureOpen(options);
    const replaced = this.killer!.killAndRestart(this.server.pid, step.afterUs, this.server.words);
    let violation = await this.disturbed(step, options);
    await replaced;
    this.model.powerCut();
    if (violation === null && this.controller !== null) violation = await this.afterReturn();
    await this.leave();
    await this.killer!.endRestarted();
    await this.server.end('SIGKILL');
    return violation ?? this.afterDeath();
  }

  /** What was in flight has ended; the same controller works, with what a power cut leaves. */
  private async afterReturn(): Promise<string | null> {
    const { controller } = this;
    if (controller === null) return null;
    for (let i = 0; i < 3; i++) {
      const bytes = new Uint8Array(blockBytes);
      const isRead = await this.space.read(0, bytes).then(() => true, lost);
      if (isRead) return this.readAll();
    }
    return `the server is back and the controller is ${controller.state}`;
  }

  /** Whatever the step does while the server may die; the words that requests end with. */
  private async disturbed(
    step: Step & { kind: 'server killed' },
    options: string,
  ): Promise<string | null> {
    switch (step.during) {
      case 'io':
        for (let i = 0; i < 50 && this.controller?.state === 'ready'; i++) {
          const violation = this.settle(await this.start(step.ios));
          if (violation !== null) return violation;
          if (this.hasLost) break;
        }
        return null;
      case 'open':
        await this.ensureOpenOrNot(options);
        return null;
      case 'reset': {
        const running = this.start(step.ios);
        await this.controller?.reset().catch(expected);
        return this.settle(await running);
      }
      case 'close':
        await this.leave();
        return null;
    }
  }

  private async ensureOpenOrNot(options: string): Promise<void> {
    try {
      await this.openController(await open(this.address + options));
    } catch (error) {
      expected(error);
    }
  }

  /** A server has died: what its card had not written to its file is lost, as with its power. */
  private async afterDeath(): Promise<string | null> {
    this.model.powerCut();
    await this.ensureOpen();
    // A write of several pages is several writes of the file: what is atomic is one block.
    return (await this.readAll()) ?? this.model.settle(1);
  }

  /** A client dies in the middle of what it does; the server goes on and keeps nothing of it. */
  private async killClient(step: Step & { kind: 'client killed' }): Promise<string | null> {
    await this.leave();
    if (!this.server.isRunning) await this.server.start();
    await this.ensureOpen();
    await this.leave();
    const before = await this.quietDescriptors();
    const told = new Array<number>(step.lanes).fill(0);
    const firstTag = this.nextTag;
    const child = this.client(step.lanes, firstTag, told);
    await (step.isOpen ? Promise.race([once(child, 'message'), once(child, 'exit')]) : null);
    await this.killer!.kill(child.pid!, step.afterUs);
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    // Its last words are read before the end of its channel is.
    if (child.connected) await once(child, 'disconnect');
    this.nextTag += step.lanes * (2 + Math.max(...told));
    for (const [lane, completed] of told.entries())
      this.settleLane(step.lanes, { lane, completed, firstTag });
    if (!this.server.isRunning) return 'the server died with its client';
    await this.ensureOpen();
    const violation = (await this.readAll()) ?? (await this.readLanes());
    if (violation !== null) return violation;
    await this.leave();
    const after = await this.quietDescriptors();
    return after === before ? null : `the server has kept ${after - before} descriptors`;
  }

  private client(count: number, firstTag: number, told: number[]): ChildProcess {
    const args = [this.address, `${count}`, `${firstTag}`];
    const child = fork(clientMain, args, { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
    child.on('message', (message: Told | 'open') => {
      if (message === 'open') this.count('clients that had opened');
      else told[message.lane] = message.completed;
    });
    return child;
  }

  /** What was told has completed; one more of the lane, or what could not be told, may have. */
  private settleLane(
    count: number,
    { lane, completed, firstTag }: { lane: number; completed: number; firstTag: number },
  ): void {
    const lba = laneStart(lane);
    for (let i = 0; i < completed; i++) {
      const tag = laneTag(firstTag, count, lane, i);
      this.model.wrote({ tag, lba, count: laneBlocks }, true);
    }
    for (let i = completed; i < completed + 2; i++) {
      const tag = laneTag(firstTag, count, lane, i);
      this.model.mayHaveWritten({ tag, lba, count: laneBlocks });
    }
  }

  /** Once the server has seen that nobody is connected any more. */
  private async quietDescriptors(): Promise<number> {
    const untilMs = performance.now() + quietLimitMs;
    let last = this.server.descriptorCount;
    for (let same = 0; same < quietLooks && performance.now() < untilMs; ) {
      await new Promise((resolve) => setTimeout(resolve, 10));
      const now = this.server.descriptorCount;
      same = now === last ? same + 1 : 0;
      last = now;
    }
    return last;
  }

  private hasLost = false;

  private start(ios: readonly Io[]): Promise<Ending[]> {
    return Promise.all(ios.map((io) => this.startOne(io)));
  }

  private async startOne(io: Io): Promise<Ending> {
    const data = new Uint8Array(io.count * blockBytes).fill(0xee);
    const lba = lbaOf(io.lane, io.first);
    const tag = this.nextTag++;
    if (io.op === 'write') fillBlocks(data, lba, io.count, tag);
    try {
      if (io.op === 'read') await this.space.read(lba, data);
      else await this.space.write(lba, data, { isFua: io.isFua });
      return { io, tag, word: 'completed', data };
    } catch (error) {
      return { io, tag, word: wordOf(error), data };
    }
  }

  private settle(endings: readonly Ending[]): string | null {
    this.hasLost = false;
    for (const { io, tag, word, data } of endings) {
      this.count(word);
      if (word !== 'completed') this.hasLost = true;
      const write = { tag, lba: lbaOf(io.lane, io.first), count: io.count };
      if (io.op === 'read') {
        const violation = word === 'completed' ? this.model.saw(data, write.lba, io.count) : null;
        if (violation !== null) return violation;
      } else if (word === 'completed') this.model.wrote(write, io.isFua);
      else if (word !== 'not executed') this.model.mayHaveWritten(write);
    }
    return null;
  }

  private async readAll(): Promise<string | null> {
    for (let lane = 0; lane < lanes; lane++) {
      const io: Io = { op: 'read', lane, first: 0, count: blocksPerLane, isFua: false };
      const violation = this.settle(await this.start([io]));
      if (violation !== null) return violation;
      if (this.hasLost) return `lane ${lane} cannot be read`;
    }
    return null;
  }

  private async readLanes(): Promise<string | null> {
    for (let lane = 0; lane < 4; lane++) {
      const data = new Uint8Array(laneBlocks * blockBytes);
      await this.space.read(laneStart(lane), data);
      const violation = this.model.saw(data, laneStart(lane), laneBlocks);
      if (violation !== null) return `after its client was killed: ${violation}`;
    }
    return null;
  }

  private count(name: string): void {
    this.tally[name] = (this.tally[name] ?? 0) + 1;
  }
}

interface Ending {
  readonly io: Io;
  readonly tag: number;
  readonly word: Word;
  readonly data: Uint8Array;
}

/** Lanes lie 67 blocks apart: no page has blocks of two. */
function lbaOf(lane: number, first: number): number {
  return 1003 + lane * 67 + first;
}

function wordOf(error: unknown): Word {
  if (!(error instanceof UltimaError)) throw error;
  const word = words.find((each) => each === error.facts.outcome);
  // A controller that is gone takes nothing: no part of the request was sent.
  return word ?? 'not executed';
}

function expected(error: unknown): void {
  if (!(error instanceof UltimaError)) throw error;
}

function lost(error: unknown): false {
  expected(error);
  return false;
}

async function inTime<Value>(work: Promise<Value>, what: string): Promise<Value> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`${what}: nothing after ${patienceMs} ms`)),
      patienceMs,
    );
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
