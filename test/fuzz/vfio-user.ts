import { CardServer, openSimulated } from '../../sim/index.js';
import type { Prng } from '../../sim/prng.js';
import { FakeSocket, FakeSystem } from '../sim/serve/fake-system.js';
import { command, hex, pack, u32 } from '../sim/serve/rig.js';
import { campaign, type Tally } from '../support/campaign.js';

/** What a peer does. All of it is plain data, so that a plan can be made shorter. */
type Step =
  | {
      readonly does: 'send';
      readonly hex: string;
      /** Bytes of memory that come along as descriptors; 0: an eventfd. */
      readonly fds: readonly number[];
    }
  | { readonly does: 'store'; readonly doorbell: number; readonly value: number }
  | { readonly does: 'fill'; readonly file: number; readonly at: number; readonly hex: string }
  | { readonly does: 'wait'; readonly ns: number }
  | { readonly does: 'answer'; readonly how: 'truth' | 'lie' | 'never' }
  | { readonly does: 'take'; readonly bytes: number }
  | { readonly does: 'leave' };

export const campaignOfServer = campaign<Step>({
  claim:
    'a served card under peers that lie: nothing is thrown, no descriptor or mapping is left, ' +
    'unmapped memory is never touched, and the next peer finds a card that works',
  plan,
  run,
});

const stepsPerPlan = 250;
const page = 4096;
const base = 0x10_0000;
const card = 'sim:simple?firmware.readyNs=0&controller.queuePairs=4&controller.vectors=5';

function plan(prng: Prng): Step[] {
  const steps: Step[] = [];
  // Most begin as they should: a session that ends at once teaches little.
  if (prng.chance(0.95)) steps.push(send(version()));
  for (let i = 0; i < stepsPerPlan; i++) steps.push(...step(prng));
  return steps;
}

function step(prng: Prng): Step[] {
  const kind = prng.below(100);
  if (kind < 4) return comeUp(prng);
  if (kind < 9) return [{ does: 'store', doorbell: prng.below(16), value: number(prng, 8) }];
  if (kind < 13)
    return [{ does: 'fill', file: prng.below(8), at: 64 * prng.below(64), hex: sqe(prng) }];
  if (kind < 18) return [{ does: 'wait', ns: prng.below(2_000_000) }];
  if (kind < 19)
    return [{ does: 'answer', how: (['truth', 'lie', 'never'] as const)[prng.below(3)]! }];
  if (kind < 20) return [{ does: 'take', bytes: prng.chance(0.8) ? 1 << 20 : prng.below(40) }];
  if (kind < 21) return [{ does: 'leave' }, send(version())];
  if (kind < 22 && prng.chance(0.1))
    return [{ ...send(bytesOf(prng, prng.below(64))), fds: fdsOf(prng) }];
  const whole = message(prng);
  const isCut = prng.chance(0.002);
  const isChanged = prng.chance(0.3);
  const bytes = isChanged ? change(prng, whole) : whole;
  const sent = isCut ? bytes.subarray(0, prng.below(bytes.length)) : bytes;
  return [{ ...send(sent), fds: prng.chance(0.1) ? fdsOf(prng) : expectedFds(prng, whole) }];
}

/** Memory, admin queues, and the controller on: what most of a card's work needs. */
function comeUp(prng: Prng): Step[] {
  const write = (region: number, offset: number, data: Uint8Array): Step =>
    send(command(1, 10, access(region, offset, data.length, data)));
  return [
    { ...send(command(1, 2, mapping(base, 8 * page))), fds: [8 * page] },
    write(7, 4, hex('06 00')),
    write(0, 0x24, pack([0x000f_000f, 4])),
    write(0, 0x28, pack([base + page * prng.below(9), 8], [base + page * prng.below(9), 8])),
    write(0, 0x14, pack([0x0046_0001, 4])),
    { does: 'wait', ns: 1_000_000 },
  ];
}

const send = (bytes: Uint8Array): Step & { does: 'send' } => ({
  does: 'send',
  hex: Buffer.from(bytes).toString('hex'),
  fds: [],
});
const version = (): Uint8Array =>
  command(1, 1, Uint8Array.from([0, 0, 1, 0, ...Buffer.from(proposal), 0]));
const proposal = '{"capabilities":{"max_msg_fds":8,"write_multiple":true}}';
const mapping = (address: number, length: number, flags = 3, offset = 0): Uint8Array =>
  pack([32, 4], [flags, 4], [offset, 8], [address, 8], [length, 8]);
const access = (region: number, offset: number, count: number, data: Uint8Array): Uint8Array =>
  Uint8Array.from([...pack([offset, 8], [region, 4], [count, 4]), ...data]);

/** A command that could be right. */
function message(prng: Prng): Uint8Array {
  const id = prng.below(0x1_0000);
  const address = base + page * prng.below(24);
  const length = page * (1 + prng.below(4));
  const region = prng.chance(0.8) ? [0, 7, 2][prng.below(3)]! : prng.below(10);
  const offset = region === 7 ? prng.below(4096) : 4 * prng.below(0x1040 / 4);
  const count = prng.chance(0.8) ? 4 : prng.below(64);
  const data = bytesOf(prng, count);
  const vectors = 1 + prng.below(6);
  const irq = pack([20 + vectors, 4], [irqFlags(prng), 4], [prng.below(6), 4], [prng.below(3), 4]);
  const item = (): number[] => [...access(region, offset, 4, bytesOf(prng, 8))];
  const items = Array.from({ length: prng.below(4) }, item);
  const payloads: readonly (readonly [number: number, payload: () => Uint8Array])[] = [
    [2, () => mapping(address, length, 1 + prng.below(3), prng.chance(0.9) ? 0 : page)],
    [3, () => pack([24, 4], [prng.chance(0.95) ? 0 : 2, 4], [address, 8], [length, 8])],
    [4, () => pack([16, 4], [0, 12])],
    [5, () => pack([prng.chance(0.5) ? 32 : 64, 4], [0, 4], [prng.below(10), 4], [0, 20])],
    [6, () => pack([16, 4], [0, 4], [prng.below(10), 4], [0, 4])],
    [7, () => pack([16, 4], [0, 4], [prng.below(6), 4], [0, 4])],
    [8, () => Uint8Array.from([...irq, ...pack([vectors, 4]), ...bytesOf(prng, vectors)])],
    [9, () => access(region, offset, count, hex(''))],
    [10, () => access(region, offset, count, data)],
    [10, () => access(0, 0x1000 + 4 * prng.below(10), 4, pack([prng.below(20), 4]))],
    [13, () => hex('')],
    [15, () => Uint8Array.from([...pack([items.length, 8]), ...items.flat()])],
    [16, () => pack([8, 4], [prng.word(), 4])],
    [prng.below(24), () => bytesOf(prng, prng.below(80))],
  ];
  const [number, payload] = payloads[prng.below(payloads.length)]!;
  return command(id, number, payload(), prng.chance(0.9) ? 0 : 0x10);
}

function irqFlags(prng: Prng): number {
  if (prng.chance(0.2)) return prng.below(64);
  return [1, 2, 4][prng.below(3)]! | [8, 16, 32][prng.below(3)]!;
}

function expectedFds(prng: Prng, bytes: Uint8Array): number[] {
  const number = bytes[2];
  if (number === 2) return prng.chance(0.9) ? [page * (1 + prng.below(8))] : [];
  const isConnecting = number === 8 && bytes.length > 36 && (bytes[20]! & 4) !== 0;
  return isConnecting ? new Array<number>(bytes[32]!).fill(0) : [];
}

function fdsOf(prng: Prng): number[] {
  return Array.from({ length: prng.below(20) }, () => page * prng.below(3));
}

/** A submission queue entry: admin commands that make queues and move data, or anything. */
function sqe(prng: Prng): string {
  if (prng.chance(0.3)) return Buffer.from(bytesOf(prng, 64)).toString('hex');
  const opcode = [0, 1, 2, 4, 5, 6, 8, 9, 0x0a, 0x0c, 0x7c][prng.below(11)]!;
  const prp = (): number =>
    base + page * prng.below(10) + (prng.chance(0.9) ? 0 : 4 * prng.below(9));
  const head = pack([opcode, 2], [prng.below(64), 2], [prng.below(3), 4], [0, 16]);
  const tail = pack([prp(), 8], [prng.chance(0.5) ? 0 : prp(), 8], [number(prng, 0x1_0005), 4]);
  const rest = pack([number(prng, 0x1_0003), 4], [number(prng, 32), 4], [0, 12]);
  return Buffer.from([...head, ...tail, ...rest]).toString('hex');
}

/** Some dwords are others. */
function change(prng: Prng, bytes: Uint8Array): Uint8Array {
  const changed = Buffer.from(bytes);
  for (let i = 1 + prng.below(2); i > 0; i--) {
    // The size is left alone most of the time: a wrong one ends the session.
    const dword = prng.below(bytes.length >> 2);
    if (dword !== 1 || prng.chance(0.05)) changed.writeUInt32LE(number(prng, 4096), 4 * dword);
  }
  return changed;
}

const interesting = [0, 1, 4, 15, 16, 32, 4096, 0xffff, 0x1_0000, 0x7fff_ffff, 0xffff_ffff];

function number(prng: Prng, below: number): number {
  const kind = prng.below(4);
  if (kind === 0) return interesting[prng.below(interesting.length)]!;
  return kind === 1 ? prng.word() >>> 0 : prng.below(below);
}

function bytesOf(prng: Prng, count: number): Uint8Array {
  return Uint8Array.from({ length: count }, () => prng.below(256));
}

/** Remembers what unmapped memory held. */
class WatchingSystem extends FakeSystem {
  readonly files: Uint8Array[] = [];
  private readonly given = new Map<Uint8Array, Uint8Array>();

  newMemory(length: number): number {
    const bytes = new Uint8Array(length);
    this.files.push(bytes);
    return this.memoryFd(bytes);
  }

  override unmap(bytes: Uint8Array): void {
    super.unmap(bytes);
    bytes.fill(0xd7);
    this.given.set(bytes, bytes);
  }

  /** The peer changes its own memory, of course. */
  forget(file: Uint8Array): void {
    for (const bytes of this.given.keys()) {
      if (bytes.buffer === file.buffer) this.given.delete(bytes);
    }
  }

  /** Whether something was written after it was given up. */
  get wasTouched(): boolean {
    for (const bytes of this.given.keys()) if (bytes.some((byte) => byte !== 0xd7)) return true;
    return false;
  }
}

class Peer {
  readonly system = new WatchingSystem();
  readonly server: CardServer;
  private socket: FakeSocket;
  private readonly realTime = new Float64Array(1);
  private doorbells = new Uint32Array(0);

  constructor() {
    const own = this.system.ownMemory.bind(this.system);
    this.system.ownMemory = (bytes) => {
      const memory = own(bytes);
      this.doorbells = new Uint32Array(memory.buffer, 0x1000, 16);
      return memory;
    };
    this.server = new CardServer({
      makeCard: (foreignHost) => openSimulated(card, { foreignHost }),
      system: this.system,
      realTime: this.realTime,
    });
    this.socket = this.connect();
    this.server.turn();
  }

  connect(): FakeSocket {
    this.socket = new FakeSocket(this.system);
    this.server.accept(this.socket);
    return this.socket;
  }

  do(step: Step): void {
    if (!this.server.isConnected) this.connect().arrive(version());
    switch (step.does) {
      case 'send':
        if (step.hex === '') break;
        this.socket.arrive(
          hex(step.hex),
          step.fds.map((bytes) => this.fd(bytes)),
        );
        break;
      case 'store':
        this.doorbells[step.doorbell] = step.value;
        break;
      case 'fill':
        this.fill(step.file, step.at, hex(step.hex));
        break;
      case 'wait':
        this.turn(step.ns);
        break;
      case 'answer':
        this.answer(step.how);
        break;
      case 'take':
        this.socket.room = step.bytes;
        break;
      case 'leave':
        this.socket.isPeerGone = true;
    }
    while (this.server.pump());
    this.turn(1000);
    this.socket.sent.length = 0;
  }

  turn(ns: number): void {
    this.realTime[0]! += ns;
    this.server.turn();
  }

  private fd(bytes: number): number {
    return bytes === 0 ? this.system.eventFd() : this.system.newMemory(bytes);
  }

  private fill(file: number, at: number, bytes: Uint8Array): void {
    const target = this.system.files.at(-1 - file);
    if (target === undefined || at + bytes.length > target.length) return;
    this.system.forget(target);
    target.set(bytes, at);
  }

  /** To the next question about memory that only messages reach. */
  private answer(how: 'truth' | 'lie' | 'never'): void {
    const { socket } = this;
    socket.onWait = () => {
      const asked = Uint8Array.from(socket.sent.slice(-4096));
      const at = asked.length - 32;
      if (how === 'never' || at < 0) return;
      const count = Math.min(u32(asked, at + 24), 4096);
      const id = asked[at]! + 256 * asked[at + 1]!;
      const head = asked.slice(at + 16, at + 32);
      const data = new Uint8Array(how === 'lie' ? count + 1 : count);
      socket.arrive(command(id, asked[at + 2]!, Uint8Array.from([...head, ...data]), 1));
    };
  }
}

function run(steps: readonly Step[], _seed: number, tally: Tally): string | null {
  const peer = new Peer();
  let messages = 0;
  for (const step of steps) {
    if (step.does === 'send') messages++;
    peer.do(step);
  }
  tally.messages = (tally.messages ?? 0) + messages;
  const { sessionCount, completedCount, dmaFaultCount } = peer.server.status;
  tally.sessions = (tally.sessions ?? 0) + sessionCount;
  tally.commands = (tally.commands ?? 0) + completedCount;
  tally.dmaFaults = (tally.dmaFaults ?? 0) + dmaFaultCount;
  peer.do({ does: 'leave' });
  if (peer.server.isConnected) return 'a peer that left is still connected';
  if (peer.system.mappedCount > 0) return `${peer.system.mappedCount} mappings are left`;
  const left = peer.system.open.size - 1;
  if (left > 0) return `${left} descriptors are left open`;
  peer.turn(10_000_000);
  if (peer.system.wasTouched) return 'memory was written after it was unmapped';
  return nextPeer(peer);
}

/** Identify through fresh queues. */
function nextPeer(peer: Peer): string | null {
  const socket = peer.connect();
  socket.arrive(version());
  socket.arrive(command(2, 13, hex('')));
  while (peer.server.pump());
  peer.turn(200_000_000);
  const memory = new Uint8Array(3 * page);
  const write = (region: number, offset: number, data: Uint8Array): void =>
    socket.arrive(command(3, 10, access(region, offset, data.length, data)));
  socket.arrive(command(4, 2, mapping(base, memory.length)), [peer.system.memoryFd(memory)]);
  write(7, 4, hex('06 00'));
  // D0, where an earlier peer may have put it to sleep.
  write(7, 0x44, hex('00 00'));
  write(7, 4, hex('06 00'));
  write(0, 0x24, pack([0x000f_000f, 4]));
  write(0, 0x28, pack([base, 8], [base + page, 8]));
  write(0, 0x14, pack([0x0046_0001, 4]));
  while (peer.server.pump());
  peer.turn(20_000_000);
  memory.set(pack([0x1234_0006, 4], [0, 20], [base + 2 * page, 8], [0, 8], [1, 4]), 0);
  write(0, 0x1000, pack([1, 4]));
  while (peer.server.pump());
  peer.turn(20_000_000);
  const isDone = u32(memory, page + 12) === 0x0001_1234;
  return isDone ? null : `the next peer's Identify ended as ${u32(memory, page + 12).toString(16)}`;
}
