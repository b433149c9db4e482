import { BlockOp, BlockRequest, BlockStatus } from '../../sdk/block/request.js';
import { NvmeTcp } from '../../sdk/fabric/initiator.js';
import type { RemoteNamespace } from '../../sdk/fabric/remote-namespace.js';
import { NvmeTcpTarget } from '../../sdk/fabric/target.js';
import type { Prng } from '../../sim/prng.js';
import { campaign, type Tally } from '../support/campaign.js';
import { HeldDevice, nguidOf, rigClock, rigNqn } from '../support/fabric-rig.js';
import { type Meddler, WireSockets } from '../support/wire-sockets.js';

/** What happens to one PDU; `at` and `value` say where and how. */
const lies = [
  'flip',
  'head',
  'length',
  'drop',
  'twice',
  'late',
  'cut',
  'longer',
  'garbage',
  'type',
] as const;

type Step =
  /** A new connection of the one who is lied to and about. */
  | { readonly kind: 'open'; readonly digests: boolean; readonly early: boolean }
  /** Requests of it, all at once. */
  | { readonly kind: 'burst'; readonly seed: number; readonly count: number }
  | {
      readonly kind: 'lie';
      readonly how: (typeof lies)[number];
      readonly skip: number;
      readonly at: number;
      readonly value: number;
      readonly isToTarget: boolean;
    }
  | { readonly kind: 'hold'; readonly isOn: boolean }
  /** The one who is honest writes and reads. */
  | { readonly kind: 'honest'; readonly lba: number; readonly count: number };

const blocks = 512;
const blockBytes = 512;
/** Of the namespace for those who have no digests. */
const spoiltId = 3;
const honestBlocks = 64;
/** Rounds of the event loop after which a connection that hangs is given up. */
const mostTurns = 100;

export const campaignOfNvmeTcp = campaign<Step>({
  claim:
    'NVMe/TCP target and initiator with somebody in the middle who changes, drops, repeats and ' +
    'reorders PDUs: what is wrong costs its own connection, every request ends once, what ' +
    'digests cover is right or refused, all memory comes back, and the honest one loses nothing',
  plan,
  run,
});

function plan(prng: Prng): Step[] {
  const steps: Step[] = [open(prng)];
  for (let i = 30 + prng.below(60); i > 0; i--) {
    const dice = prng.below(100);
    if (dice < 8) steps.push(open(prng));
    else if (dice < 45) steps.push(lie(prng));
    else if (dice < 48) steps.push({ kind: 'hold', isOn: prng.chance(0.4) });
    else if (dice < 60) {
      const lba = prng.below(honestBlocks - 8);
      steps.push({ kind: 'honest', lba, count: 1 + prng.below(8) });
    } else steps.push({ kind: 'burst', seed: prng.word(), count: 1 + prng.below(31) });
  }
  return steps;
}

function open(prng: Prng): Step {
  return { kind: 'open', digests: prng.chance(0.6), early: prng.chance(0.15) };
}

function lie(prng: Prng): Step {
  return {
    kind: 'lie',
    how: lies[prng.below(lies.length)]!,
    skip: prng.below(40),
    at: prng.chance(0.6) ? prng.below(32) : prng.below(4096),
    value: prng.chance(0.5) ? 1 << prng.below(8) : 1 + prng.below(255),
    isToTarget: prng.chance(0.5),
  };
}

/** One who lies when told to, and is honest otherwise. */
class Liar {
  told: Extract<Step, { kind: 'lie' }> | null = null;
  lieCount = 0;
  private skip = 0;
  private kept: Buffer | null = null;
  readonly meddle: Meddler = (pdu, isToTarget) => {
    const { told } = this;
    const late = this.kept;
    if (told === null || told.isToTarget !== isToTarget || this.skip-- > 0) {
      if (late === null) return [pdu];
      this.kept = null;
      return [pdu, late];
    }
    this.told = null;
    this.lieCount++;
    return this.change(Buffer.from(pdu), told);
  };

  tell(step: Extract<Step, { kind: 'lie' }>): void {
    this.told = step;
    this.skip = step.skip;
  }

  private change(pdu: Buffer, step: Extract<Step, { kind: 'lie' }>): Buffer[] {
    const { how, at, value } = step;
    const flip = (index: number): Buffer[] => {
      pdu[index] = pdu[index]! ^ value;
      return [pdu];
    };
    if (how === 'drop') return [];
    if (how === 'twice') return [pdu, Buffer.from(pdu)];
    if (how === 'flip') return flip(at % pdu.length);
    if (how === 'head') return flip(at % Math.min(pdu.length, 72));
    if (how === 'length') return flip(4 + (at % 4));
    if (how === 'type') return flip(0);
    if (how === 'cut') return [pdu.subarray(0, at % pdu.length)];
    if (how === 'longer') return [pdu, Buffer.alloc(1 + (at % 40), value)];
    if (how === 'late') {
      this.kept = pdu;
      return [];
    }
    return [Buffer.alloc(1 + (at % 300), value), pdu];
  }
}

/** The requests of one connection, and what their blocks may read as. */
class Client {
  pending = 0;
  fault: string | null = null;
  readonly host: NvmeTcp;
  readonly hasDigests: boolean;
  readonly device: RemoteNamespace;
  private readonly versions: Uint8Array;

  constructor(host: NvmeTcp, hasDigests: boolean, versions: Uint8Array) {
    this.host = host;
    this.hasDigests = hasDigests;
    // What digests do not cover may be spoilt on its way: it has a namespace of its own.
    this.device = host.namespace(hasDigests ? 1 : spoiltId);
    this.versions = versions;
  }

  burst(seed: number, count: number, tally: Tally): void {
    let word = seed || 1;
    const next = (limit: number): number => {
      word ^= word << 13;
      word ^= word >>> 17;
      word ^= word << 5;
      return (word >>> 0) % limit;
    };
    for (let i = 0; i < count && this.device.canSubmit(); i++) {
      const ops = [BlockOp.read, BlockOp.write, BlockOp.read, BlockOp.write, BlockOp.flush];
      const op = ops[next(ops.length)]!;
      const length = 1 + next(next(4) === 0 ? 64 : 4);
      this.submit(op, next(blocks - length), length, tally);
    }
  }

  private submit(op: BlockOp, lba: number, count: number, tally: Tally): void {
    let endings = 0;
    this.pending++;
    const request = new BlockRequest((ended) => {
      this.pending--;
      endings++;
      if (endings > 1) this.fault = 'a request ended twice';
      const known = tally[`status ${ended.status}`] ?? 0;
      tally[`status ${ended.status}`] = known + 1;
      if (op === BlockOp.read && ended.status === BlockStatus.ok) this.check(ended);
    });
    request.op = op;
    if (op !== BlockOp.flush) {
      request.lba = lba;
      request.blockCount = count;
      const region = this.device.memory.allocate(count * blockBytes);
      request.setData(region, 0, count * blockBytes);
      if (op === BlockOp.write) this.stamp(region.bytes, lba, count);
      else region.bytes.fill(0xee);
    }
    this.device.submit(request);
  }

  /** Every byte of a block is the number of its version. */
  private stamp(bytes: Uint8Array, lba: number, count: number): void {
    for (let i = 0; i < count; i++) {
      const version = (this.versions[lba + i]! % 200) + 1;
      this.versions[lba + i] = version;
      bytes.fill(version, i * blockBytes, (i + 1) * blockBytes);
    }
  }

  private check(request: BlockRequest): void {
    if (!this.hasDigests) return;
    const { bytes } = request.region!;
    for (let i = 0; i < request.blockCount; i++) {
      const block = bytes.subarray(i * blockBytes, (i + 1) * blockBytes);
      const [first = 0] = block;
      if (first <= 200 && block.every((byte) => byte === first)) continue;
      this.fault = `block ${request.lba + i} was read wrongly in spite of digests`;
    }
  }
}

/** Target, liar and honest one. */
class World {
  readonly wire = new WireSockets();
  readonly lied = new HeldDevice(blocks, blockBytes);
  readonly spoilt = new HeldDevice(blocks, blockBytes);
  readonly trusted = new HeldDevice(honestBlocks, blockBytes);
  readonly versions = new Uint8Array(blocks);
  readonly model = new Uint8Array(honestBlocks * blockBytes);
  readonly liar = new Liar();
  target: NvmeTcpTarget | null = null;
  honest: NvmeTcp | null = null;
  honestEvents = 0;
  clients: Client[] = [];

  async start(): Promise<void> {
    this.target = await NvmeTcpTarget.start({
      listen: ['wire:1'],
      sockets: this.wire,
      subsystems: [
        {
          nqn: rigNqn,
          namespaces: [
            { nsid: 1, device: this.lied, nguid: nguidOf(1) },
            { nsid: 2, device: this.trusted, nguid: nguidOf(2) },
            { nsid: spoiltId, device: this.spoilt, nguid: nguidOf(3) },
          ],
        },
      ],
    });
    this.honest = await this.connect(false, () => {
      this.honestEvents++;
    });
  }

  async connect(digests: boolean, onEvent: () => void = () => {}): Promise<NvmeTcp | null> {
    let found: NvmeTcp | null | undefined;
    NvmeTcp.connect({
      address: 'wire:1',
      nqn: rigNqn,
      clock: rigClock,
      entries: 32,
      headerDigest: digests,
      dataDigest: digests,
      keepAliveMs: 0,
      connectMs: 20,
      reconnectMs: 0,
      sockets: this.wire,
      onEvent,
    }).then(
      (host) => {
        found = host;
      },
      () => {
        found = null;
      },
    );
    // A lie may leave it waiting for an answer for ever.
    for (let i = 0; found === undefined && i < mostTurns; i++) {
      this.pump();
      await new Promise((resolve) => setImmediate(resolve));
    }
    if (found === undefined) {
      this.target?.dropConnections();
      this.honest = null;
      while (found === undefined) await new Promise((resolve) => setImmediate(resolve));
    }
    return found;
  }

  /** Until nothing moves any more. */
  pump(): void {
    for (let i = 0; i < 1000; i++) {
      let hasMoved = this.wire.pump();
      hasMoved = this.target!.poll() > 0 || hasMoved;
      for (const { device } of this.clients) hasMoved = device.poll() > 0 || hasMoved;
      if (this.honest !== null) hasMoved = this.honest.namespace(2).poll() > 0 || hasMoved;
      if (!hasMoved && !this.wire.pump()) return;
    }
  }
}

async function run(steps: readonly Step[], _seed: number, tally: Tally): Promise<string | null> {
  const world = new World();
  await world.start();
  try {
    for (const step of steps) {
      const fault = await take(world, step, tally);
      if (fault !== null) return fault;
    }
    return await conclude(world, tally);
  } finally {
    hold(world, false);
    for (const { host } of world.clients) await host.close();
    await world.honest?.close();
    await world.target?.close();
  }
}

function hold(world: World, isOn: boolean): void {
  world.lied.isHeld = isOn;
  world.spoilt.isHeld = isOn;
}

async function take(world: World, step: Step, tally: Tally): Promise<string | null> {
  if (step.kind === 'open') {
    const { wire, liar } = world;
    wire.meddler = liar.meddle;
    const { told } = liar;
    if (!step.early) liar.told = null;
    const host = await world.connect(step.digests);
    if (world.honest === null) {
      wire.meddler = (pdu) => [pdu];
      world.honestEvents = 0;
      world.honest = await world.connect(false, () => {
        world.honestEvents++;
      });
      if (world.honest === null) return 'the honest one cannot come back';
    }
    wire.meddler = (pdu) => [pdu];
    if (!step.early) liar.told = told;
    const isUsable = host !== null && (step.digests || isWhole(host));
    if (isUsable) world.clients.push(new Client(host, step.digests, world.versions));
    else {
      tally.refused = (tally.refused ?? 0) + 1;
      await host?.close();
    }
    if (world.clients.length > 3) await world.clients.shift()!.host.close();
  } else if (step.kind === 'lie') world.liar.tell(step);
  else if (step.kind === 'hold') hold(world, step.isOn);
  else if (step.kind === 'burst') {
    if (world.clients.at(-1)?.host.isConnected !== true) {
      const digests = (step.seed & 1) === 0;
      await take(world, { kind: 'open', digests, early: false }, tally);
    }
    world.clients.at(-1)?.burst(step.seed, step.count, tally);
  } else {
    const fault = honestWork(world, step.lba, step.count);
    if (fault !== null) return fault;
  }
  world.pump();
  return world.clients.map(({ fault }) => fault).find((fault) => fault !== null) ?? null;
}

/** What no digest covers may have been spoilt while it was looked at: the namespace, too. */
function isWhole({ namespaces }: NvmeTcp): boolean {
  const found = namespaces.get(spoiltId);
  return found?.blockBytes === blockBytes && found.blockCount === blocks;
}

function honestWork(world: World, lba: number, count: number): string | null {
  const { honest, model } = world;
  if (honest === null || !honest.isConnected || world.honestEvents > 0) {
    return 'the honest one was cut off';
  }
  const device = honest.namespace(2);
  const length = count * blockBytes;
  const place = model.subarray(lba * blockBytes, lba * blockBytes + length);
  place.fill((place[0]! + 1) & 0xff);
  const region = device.memory.allocate(length);
  region.bytes.set(place);
  const request = new BlockRequest(() => {});
  request.lba = lba;
  request.blockCount = count;
  request.setData(region, 0, length);
  for (const op of [BlockOp.write, BlockOp.read]) {
    let isOver = false;
    request.op = op;
    request.done = () => {
      isOver = true;
    };
    device.submit(request);
    world.pump();
    if (!isOver || request.status !== BlockStatus.ok) return 'an honest request has failed';
    if (Buffer.compare(region.bytes, place) !== 0) return 'the honest one reads something else';
    region.bytes.fill(op === BlockOp.write ? 0 : 1);
  }
  return null;
}

/** Everybody goes: every request has ended, and all memory is back. */
async function conclude(world: World, tally: Tally): Promise<string | null> {
  hold(world, false);
  for (const { host, device } of world.clients) {
    await host.close();
    world.pump();
    device.poll();
  }
  await world.honest?.close();
  world.pump();
  tally.pdus = (tally.pdus ?? 0) + world.wire.pdus;
  tally.lies = (tally.lies ?? 0) + world.liar.lieCount;
  tally['cut off'] = (tally['cut off'] ?? 0) + world.target!.status.violations;
  const open = world.clients.find(({ pending }) => pending > 0);
  if (open !== undefined) return `${open.pending} requests never ended`;
  const { associations, connections } = world.target!.status;
  if (connections > 0 || associations > 0) return `${connections} connections are left`;
  const held = world.target!.heldBytes;
  return held === 0 ? null : `${held} bytes of the devices' memory are still held`;
}
