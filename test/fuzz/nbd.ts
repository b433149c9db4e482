import { MemoryDevice } from '../../sdk/block/memory.js';
import type { NbdRange } from '../../sdk/nbd/metadata.js';
import { ChunkPool } from '../../sdk/sockets/outbox.js';
import type { Prng } from '../../sim/prng.js';
import { campaign, type Tally } from '../support/campaign.js';
import { stillClock } from '../support/crash-device.js';
import { NbdPeerModel } from '../support/nbd-peer-model.js';
import {
  chunksOf,
  contentOf,
  extended,
  fromHex,
  NbdRig,
  option,
  type RequestWords,
  type RigClient,
  request,
  u16,
  u32,
  u64,
  WatchedDevice,
} from '../support/nbd-rig.js';

/** What happens next; `who` is one of a few clients that keep no rule. */
type Step =
  | {
      readonly kind: 'bytes';
      readonly who: number;
      readonly hex: string;
      readonly messages: number;
    }
  /** The client stops reading its answers, or goes on. */
  | { readonly kind: 'stuck'; readonly who: number; readonly isOn: boolean }
  | { readonly kind: 'end'; readonly who: number }
  | { readonly kind: 'lost'; readonly who: number }
  | { readonly kind: 'hold'; readonly isOn: boolean }
  /** A client that keeps all rules, on an export of its own. */
  | {
      readonly kind: 'honest';
      readonly op: number;
      readonly block: number;
      readonly count: number;
    };

const clients = 3;
const blocks = 256;
const blockBytes = 512;
const exportBytes = blocks * blockBytes;
/** What clients can make of it. */
const mostBytes = 2 * exportBytes;

export const campaignOfNbd = campaign<Step>({
  claim:
    'an NBD server among clients that break every rule: each answer is one that the text allows, ' +
    'nothing is thrown or kept, and the client that keeps the rules loses nothing',
  plan,
  run,
});

function plan(prng: Prng): Step[] {
  const steps: Step[] = [];
  const states = Array.from({ length: clients }, () => ({
    isGoing: false,
    isExtended: false,
    cookie: 0,
  }));
  const size = { blocks };
  for (let i = 40 + prng.below(80); i > 0; i--) {
    const who = prng.below(clients);
    const state = states[who]!;
    const dice = prng.below(100);
    if (dice < 20) {
      const op = prng.below(4);
      const block = prng.below(blocks);
      const count = 1 + prng.below(Math.min(32, blocks - block));
      steps.push({ kind: 'honest', op, block, count });
    } else if (dice < 23) steps.push({ kind: 'stuck', who, isOn: prng.chance(0.4) });
    else if (dice < 25) steps.push({ kind: 'hold', isOn: prng.chance(0.4) });
    else if (dice < 28) {
      steps.push(prng.chance(0.5) ? { kind: 'end', who } : { kind: 'lost', who });
      state.isGoing = false;
    } else if (!state.isGoing && prng.chance(0.7)) {
      const style = pick(prng, [0, 8, 8, 11, 11]);
      state.isExtended = style === 11;
      const prelude = [fromHex('00000003'), ...(style > 0 ? [option(style)] : [])];
      if (style > 0 && prng.chance(0.5)) prelude.push(contexts(prng, 10));
      const bytes = Buffer.concat([...prelude, go(7)]);
      // A new connection: what the old one was in the middle of does not matter.
      steps.push({ kind: 'lost', who });
      steps.push({ kind: 'bytes', who, hex: bytes.toString('hex'), messages: prelude.length + 1 });
      state.isGoing = true;
    } else {
      const many = 1 + prng.below(state.isGoing ? 12 : 3);
      const parts = Array.from({ length: many }, () =>
        state.isGoing ? anyRequest(prng, state.cookie++, state.isExtended, size) : anyOption(prng),
      );
      const bytes = Buffer.concat(parts);
      const isSpoilt = prng.chance(0.1);
      if (isSpoilt) spoil(prng, bytes);
      const end = prng.chance(0.05) ? prng.below(bytes.length) : bytes.length;
      const hex = bytes.subarray(0, end).toString('hex');
      steps.push({ kind: 'bytes', who, hex, messages: many });
      if (isSpoilt || end < bytes.length) state.isGoing = prng.chance(0.5);
    }
  }
  return steps;
}

const interesting = [0, 1, 2, 7, 511, 512, 513, 4096, 65_536, exportBytes - 512, exportBytes];
/** What the export may have grown to, at least in the head of who plans. */
interface PlannedSize {
  blocks: number;
}
const extreme = [0x7fff_ffff, 0x8000_0000, 0xffff_fe00, 0xffff_ffff, 0x0200_0000, 0x0200_0200];

function pick(prng: Prng, values: readonly number[]): number {
  return values[prng.below(values.length)]!;
}

function number(prng: Prng): number {
  const kind = prng.below(10);
  if (kind < 5) return pick(prng, interesting);
  if (kind < 7) return pick(prng, extreme);
  return kind < 9 ? prng.below(exportBytes) : prng.word();
}

function anyRequest(prng: Prng, cookie: number, isExtended: boolean, size: PlannedSize): Buffer {
  const make = isExtended ? extended : request;
  if (prng.chance(0.06)) return make({ cookie, ...anyResize(prng, size) });
  const isGood = prng.chance(0.75);
  const first = prng.below(size.blocks);
  const command = isGood ? pick(prng, [0, 0, 1, 1, 3, 4, 5, 6, 7]) : prng.below(12);
  const isFlush = command === 3;
  const offset = isGood ? (isFlush ? 0 : first * blockBytes) : number(prng);
  const most = Math.min(16, size.blocks - first);
  const length = isGood ? (isFlush ? 0 : blockBytes * (1 + prng.below(most))) : number(prng);
  const flags = prng.chance(0.7) ? 0 : pick(prng, [1, 2, 4, 8, 16, 0x8000, 3, 18, 9]);
  if (isExtended) return extendedRequest(prng, { command, flags, cookie, offset, length });
  if (!isGood && prng.chance(0.02)) return request({ command: 2, cookie });
  const head = request({ command, flags, cookie, offset, length });
  // A write says how much follows. Where that is much, what comes next is taken for data.
  const dataBytes = command === 1 ? Math.min(length, 16 * blockBytes) : 0;
  return Buffer.concat([head, Buffer.alloc(dataBytes, cookie & 0xff)]);
}

/** Mostly a little more than the last one, and sometimes what cannot be. */
function anyResize(prng: Prng, size: PlannedSize): Omit<RequestWords, 'cookie'> {
  const command = 8;
  if (prng.chance(0.2)) return { command, offset: number(prng), length: number(prng) };
  if (prng.chance(0.2)) return { command, offset: number(prng), flags: prng.below(64) };
  size.blocks += prng.below(8);
  return { command, offset: size.blocks * blockBytes, flags: prng.below(2) };
}

/** With data where there must be some, or where the flags say so. */
function extendedRequest(prng: Prng, words: Required<RequestWords>): Buffer {
  const { command, flags, cookie, length } = words;
  const isFollowed = prng.chance(0.95) ? command === 1 : prng.chance(0.5);
  if (command === 7 && prng.chance(0.5)) {
    const ids = Array.from({ length: prng.below(4) }, () => u32(prng.below(4)));
    const data = Buffer.concat([u64(length), ...ids]);
    return Buffer.concat([extended({ ...words, flags: flags | 32, length: data.length }), data]);
  }
  if (!isFollowed) return extended(words);
  const data = Buffer.alloc(Math.min(length, 16 * blockBytes), cookie & 0xff);
  const says = prng.chance(0.9) ? flags | 32 : flags;
  return Buffer.concat([extended({ ...words, flags: says }), data]);
}

function go(code: number): Buffer {
  return option(code, u32(4), Buffer.from('disk'), u16(0));
}

function contexts(prng: Prng, code: number): Buffer {
  const queries = ['base:allocation', 'ultima:diff-s', 'base:', 'x'].filter(() => prng.chance(0.6));
  const parts = queries.flatMap((query) => [u32(query.length), Buffer.from(query)]);
  return option(code, u32(4), Buffer.from('disk'), u32(queries.length), ...parts);
}

function anyOption(prng: Prng): Buffer {
  const code = prng.chance(0.9) ? prng.below(12) : prng.word();
  if (prng.chance(0.3)) return contexts(prng, 9 + prng.below(2));
  if (prng.chance(0.3)) return go(6);
  const data = Buffer.alloc(prng.below(40));
  for (let i = 0; i < data.length; i++) data[i] = prng.chance(0.5) ? 0 : prng.below(256);
  return option(code, data);
}

/** Some bytes are others. */
function spoil(prng: Prng, bytes: Buffer): void {
  for (let i = 1 + prng.below(3); i > 0 && bytes.length > 0; i--) {
    bytes[prng.below(bytes.length)] = prng.below(256);
  }
}

async function* oneByOne(ranges: readonly NbdRange[]): AsyncGenerator<NbdRange> {
  yield* ranges;
}

/** What does not need the disk has ended by then. */
const heldTurns = 8;

/** A client without rules: what it has said, and what it was told. */
interface Hostile {
  readonly client: RigClient;
  readonly model: NbdPeerModel;
}

/** A disk that becomes larger when it is told to. */
class GrowingDisk extends WatchedDevice {
  declare blockCount: number;

  async grow(bytes: number): Promise<void> {
    await null;
    if (bytes > mostBytes) throw new RangeError(`${mostBytes} bytes at most, not ${bytes}`);
    if (bytes < this.blockCount * blockBytes) throw new RangeError(`${bytes} bytes are too few`);
    this.blockCount = bytes / blockBytes;
  }
}

class Scene {
  readonly disk = new GrowingDisk(blocks, blockBytes, 8);
  readonly own = new MemoryDevice({ blockBytes, blockCount: blocks, clock: stillClock });
  readonly rig: NbdRig;
  readonly hostile: (Hostile | null)[] = Array.from({ length: clients }, () => null);
  private readonly honest: RigClient;
  private readonly shadow = Buffer.alloc(exportBytes);
  private version = 0;

  constructor(chunks: ChunkPool) {
    const changed = [{ byteOffset: 4096, byteLength: 8192, isData: true }];
    const metadata = {
      allocated: () => changed,
      // What has to be read first comes one by one.
      differences: () => [{ snapshot: 's', changed: () => oneByOne(changed) }],
    };
    const grow = (bytes: number): Promise<void> => this.disk.grow(bytes);
    const exports = [
      { name: 'disk', device: this.disk, metadata, grow },
      { name: 'own', device: this.own },
    ];
    this.rig = new NbdRig(this.disk, { exports, chunks });
    this.honest = this.rig.connect();
    this.honest.go({ name: 'own' });
  }

  /** @returns what is wrong, or null */
  async step(step: Step): Promise<string | null> {
    if (step.kind === 'honest') return this.honestStep(step.op, step.block, step.count);
    if (step.kind === 'hold') {
      this.disk.isHeld = step.isOn;
      return this.look();
    }
    if (step.kind === 'lost') return this.leave(step.who, 'lost');
    if (step.kind === 'end') return this.leave(step.who, 'end');
    const { client, model } = this.hostileAt(step.who);
    if (step.kind === 'stuck') client.stream.isStuck = step.isOn;
    else {
      const bytes = Buffer.from(step.hex, 'hex');
      model.said(bytes);
      client.connection.receive(bytes, 0, bytes.length);
    }
    return this.look();
  }

  /** Everybody leaves; nothing may be left. */
  async end(): Promise<string | null> {
    this.disk.isHeld = false;
    for (let who = 0; who < clients; who++) {
      const fault = await this.leave(who, who % 2 === 0 ? 'lost' : 'end');
      if (fault !== null) return fault;
    }
    const fault = this.honestStep(0, 0, blocks);
    if (fault !== null) return fault;
    const [disk] = this.rig.served;
    return disk!.inFlight === 0 ? null : `${disk!.inFlight} requests are still in flight`;
  }

  private hostileAt(who: number): Hostile {
    const present = this.hostile[who];
    if (present != null) return present;
    const client = this.rig.connect();
    const now = (): number => this.disk.blockCount * blockBytes;
    const made = { client, model: new NbdPeerModel({ now, mostBytes }, blockBytes) };
    this.hostile[who] = made;
    return made;
  }

  private async leave(who: number, kind: 'lost' | 'end'): Promise<string | null> {
    const hostile = this.hostile[who];
    if (hostile == null) return null;
    hostile.client.stream.isStuck = false;
    if (kind === 'end') {
      hostile.model.ended();
      hostile.client.connection.inputEnded();
      const fault = await this.look();
      if (fault !== null) return fault;
    }
    const wasHeld = this.disk.isHeld;
    hostile.client.connection.gone();
    this.hostile[who] = null;
    this.disk.isHeld = false;
    await this.rig.settled();
    this.disk.isHeld = wasHeld;
    const { transmission } = hostile.client.connection;
    return transmission?.isIdle === false ? 'slots of a connection that is gone' : null;
  }

  /** Everybody goes on, and all that was heard is compared. */
  private async look(): Promise<string | null> {
    await this.goOn();
    for (const [who, hostile] of this.hostile.entries()) {
      if (hostile === null) continue;
      const { client, model } = hostile;
      const fault = model.heard(client.stream.take());
      if (fault !== null) return `client ${who}: ${fault}`;
      if (client.stream.ending !== 'destroy') {
        const isQuiet = !this.disk.isHeld && !client.stream.isStuck;
        const missing = isQuiet ? model.missing() : null;
        if (missing !== null) return `client ${who}: ${missing}`;
      } else if (!model.mayBeCutOff) {
        return `client ${who} was cut off for nothing: ${client.connection.violation}`;
      }
      if (client.stream.ending !== '') {
        client.connection.gone();
        this.hostile[who] = null;
      }
    }
    return null;
  }

  /** As far as a held disk lets them. */
  private async goOn(): Promise<void> {
    if (!this.disk.isHeld) return this.rig.settled();
    for (let i = 0; i < heldTurns; i++) {
      this.rig.settle();
      await null;
    }
  }

  private honestStep(op: number, block: number, count: number): string | null {
    const offset = block * blockBytes;
    const length = count * blockBytes;
    const { honest, shadow } = this;
    if (op === 0) {
      const chunks = chunksOf(honest.say(request({ command: 0, offset, length })));
      const content = contentOf(chunks, { offset, length });
      const isSame = content?.equals(shadow.subarray(offset, offset + length));
      return isSame === true ? null : `the honest client reads ${length} wrong bytes at ${offset}`;
    }
    const data = Buffer.alloc(op === 3 ? 0 : length, ++this.version & 0xff);
    const words = { command: op === 3 ? 6 : 1, flags: op - 1 === 1 ? 1 : 0, offset, length };
    const [answer] = chunksOf(honest.say(request(words), data));
    if (op === 3) shadow.fill(0, offset, offset + length);
    else data.copy(shadow, offset);
    return answer?.error === 0 ? null : `the honest client is answered ${answer?.error}`;
  }
}

/** For all scenes: making it anew would be most of the work. */
const chunks = new ChunkPool();

async function run(steps: readonly Step[], _seed: number, tally: Tally): Promise<string | null> {
  const scene = new Scene(chunks);
  for (const step of steps) {
    const fault = await scene.step(step);
    if (fault !== null) return fault;
    const messages = step.kind === 'bytes' ? step.messages : step.kind === 'honest' ? 1 : 0;
    tally.messages = (tally.messages ?? 0) + messages;
  }
  return scene.end();
}
