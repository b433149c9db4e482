import * as assert from 'uvu/assert';
import { Prng } from '../../../sim/index.js';
import { suite } from '../../support/suite.js';
import { EINVAL, EOPNOTSUPP, hex, pack, ServeRig, u32 } from './rig.js';

const test = suite('vfio-user migration');

// [vfio-user §VFIO_USER_DEVICE_FEATURE], states of the device.
const [error, stop, running, stopCopy, resuming, preCopy] = [0, 1, 2, 3, 4, 6];
const [get, set, probe] = [1 << 16, 1 << 17, 1 << 18];
const [ability, state] = [1, 2];

const base = 0x10_0000;
const [adminSq, adminCq, ioSq, ioCq, data] = [0, 0x1000, 0x2000, 0x3000, 0x8000];
const ioEntries = 64;
const blockBytes = 512;

const feature = (flags: number, ...rest: (readonly [number, number])[]): Uint8Array =>
  pack([64, 4], [flags, 4], ...rest);
const goTo = (next: number): Uint8Array => feature(state | set, [next, 4], [0, 4]);
const stateOf = (rig: ServeRig): number => u32(rig.done(16, feature(state | get)), 8);
const asked = (size: number): Uint8Array => pack([8 + size, 4], [size, 4]);

function written(bytes: Uint8Array): Uint8Array {
  return Uint8Array.from([...pack([8 + bytes.length, 4], [bytes.length, 4]), ...bytes]);
}

/** All of the state of a device that is in stopCopy. */
function readAll(rig: ServeRig, chunk: number): Uint8Array {
  const parts: Uint8Array[] = [];
  for (;;) {
    const answer = rig.done(17, asked(chunk));
    const size = u32(answer, 4);
    assert.is(answer.length, 8 + size);
    if (size === 0) return Uint8Array.from(Buffer.concat(parts));
    parts.push(answer.slice(8));
  }
}

function writeAll(rig: ServeRig, bytes: Uint8Array, chunk = 100_000): void {
  rig.done(16, goTo(resuming));
  for (let at = 0; at < bytes.length; at += chunk) {
    rig.done(18, written(bytes.slice(at, at + chunk)));
  }
}

/** What a client has of its own: its memory, and where it stands in its queues. */
class Client {
  readonly memory = new Uint8Array(0x2_0000);
  readonly fds: number[] = [];
  private readonly words = new Uint32Array(this.memory.buffer);
  private adminTail = 0;
  private tail = 0;
  private head = 0;
  private phase = 1;

  /** The same memory and vectors for a server. */
  attach(rig: ServeRig): void {
    rig.done(10, rig.access(7, 4, 2, hex('06 00')));
    const fd = rig.system.memoryFd(this.memory);
    rig.done(2, rig.mapping(base, this.memory.length), [fd]);
    const eventfds = [0, 1].map(() => rig.system.eventFd());
    rig.done(8, pack([20, 4], [0x24, 4], [2, 4], [0, 4], [2, 4]), eventfds);
    this.fds.splice(0, 2, ...eventfds);
  }

  start(rig: ServeRig): void {
    rig.write32(0, 0x24, 0x000f_000f);
    rig.done(10, rig.access(0, 0x28, 16, pack([base + adminSq, 8], [base + adminCq, 8])));
    rig.write32(0, 0x14, 0x0046_0001);
    rig.run(10_000_000);
    const size = ((ioEntries - 1) << 16) | 1;
    // Create I/O completion queue 1 on vector 1, then its submission queue.
    this.admin(rig, { opcode: 5, prp: base + ioCq, dw10: size, dw11: (1 << 16) | 3 });
    this.admin(rig, { opcode: 1, prp: base + ioSq, dw10: size, dw11: (1 << 16) | 1 });
  }

  private admin(
    rig: ServeRig,
    plan: { opcode: number; prp: number; dw10: number; dw11: number },
  ): void {
    const { opcode, prp, dw10, dw11 } = plan;
    const entry = pack([opcode, 4], [0, 20], [prp, 8], [0, 8], [dw10, 4], [dw11, 4], [0, 16]);
    this.memory.set(entry, adminSq + 64 * this.adminTail);
    rig.write32(0, 0x1000, ++this.adminTail);
    rig.run(10_000_000);
    const status = this.memory[adminCq + 16 * this.adminTail - 1]! >> 1;
    assert.is(status, 0, `admin command ${opcode}`);
  }

  /** A write (1) or a read (2) of one block, its page numbered like it; the doorbell is memory. */
  put(doorbells: Uint32Array, opcode: number, block: number): void {
    const page = base + data + block * blockBytes;
    const head = pack([opcode + (block << 16), 4], [1, 4], [0, 16], [page, 8], [0, 8]);
    this.memory.set(
      Uint8Array.from([...head, ...pack([block, 8], [0, 16])]),
      ioSq + 64 * this.tail,
    );
    this.tail = (this.tail + 1) % ioEntries;
    doorbells[2] = this.tail;
  }

  /** Blocks whose commands have ended well since the last time. */
  take(doorbells: Uint32Array): number[] {
    const blocks: number[] = [];
    for (;;) {
      const word = this.words[(ioCq + 16 * this.head) / 4 + 3]!;
      if (((word >>> 16) & 1) !== this.phase) break;
      assert.is(word >>> 17, 0, 'the command succeeds');
      blocks.push(word & 0xffff);
      this.head = (this.head + 1) % ioEntries;
      if (this.head === 0) this.phase ^= 1;
    }
    doorbells[3] = this.head;
    return blocks;
  }

  block(index: number): Uint8Array {
    return this.memory.subarray(data + index * blockBytes, data + (index + 1) * blockBytes);
  }
}

const blocks = Array.from({ length: 40 }, (_, i) => i);
const pattern = (block: number): Uint8Array => new Uint8Array(blockBytes).fill(block + 1);

/** A card with 40 writes of a client, of which some have ended. */
function loaded(): { rig: ServeRig; client: Client; ended: number[] } {
  const rig = new ServeRig({ isMovable: true });
  const client = new Client();
  client.attach(rig);
  client.start(rig);
  const doorbells = rig.doorbells();
  for (const i of blocks) client.block(i).set(pattern(i));
  for (const i of blocks) client.put(doorbells, 1, i);
  const ended: number[] = [];
  for (let i = 0; i < 1000 && ended.length < 10; i++) {
    rig.run(1000);
    ended.push(...client.take(doorbells));
  }
  assert.ok(ended.length >= 10 && ended.length < 40, `${ended.length} have ended`);
  return { rig, client, ended };
}

function moved(chunk: number): { from: ServeRig; to: ServeRig; client: Client; ended: number[] } {
  const { rig: from, client, ended } = loaded();
  from.done(16, goTo(stopCopy));
  const bytes = readAll(from, chunk);
  const to = new ServeRig({ isMovable: true });
  client.attach(to);
  writeAll(to, bytes, chunk);
  to.done(16, goTo(running));
  return { from, to, client, ended };
}

for (const chunk of [1000, 1_000_000]) {
  test(`commands in flight go on at another server, moved ${chunk} bytes at a time`, () => {
    const { to, client, ended } = moved(chunk);
    const doorbells = to.doorbells();
    assert.is(doorbells[2], 40, 'doorbells hold what they held');
    for (let i = 0; i < 1000 && ended.length < 40; i++) {
      to.run(10_000);
      ended.push(...client.take(doorbells));
    }
    assert.equal(
      ended.toSorted((a, b) => a - b),
      blocks,
      'each ends once',
    );
    assert.ok(to.system.countOf(client.fds[1]!) > 0, 'with interrupts');
    for (const i of blocks) client.block(i).fill(0xee);
    for (const i of blocks) client.put(doorbells, 2, i);
    to.run(100_000_000);
    assert.equal(
      client.take(doorbells).toSorted((a, b) => a - b),
      blocks,
    );
    for (const i of blocks) assert.equal(client.block(i), pattern(i), `block ${i}`);
    assert.is(to.server.status.reportCount, 0);
    assert.is(to.server.status.dmaFaultCount, 0);
  });
}

test('a device that has stopped moves nothing, whatever time passes', () => {
  const { rig, client } = loaded();
  rig.done(16, goTo(stop));
  const before = client.memory.slice();
  const count = rig.system.countOf(client.fds[1]!);
  rig.run(1_000_000_000);
  assert.equal(client.memory, before);
  assert.is(rig.system.countOf(client.fds[1]!), count);
});

test('a device that was only looked at goes on where it stopped', () => {
  const { rig, client, ended } = loaded();
  rig.done(16, goTo(stopCopy));
  readAll(rig, 100_000);
  rig.done(16, goTo(running));
  const doorbells = rig.doorbells();
  rig.run(1_000_000_000);
  ended.push(...client.take(doorbells));
  assert.equal(
    ended.toSorted((a, b) => a - b),
    blocks,
  );
});

test('a server that does not offer it says so, for the feature and for its data', () => {
  const rig = new ServeRig();
  for (const payload of [feature(ability | get), feature(state | get), goTo(stop)]) {
    assert.is(rig.refuse(16, payload), EOPNOTSUPP);
  }
  assert.is(rig.refuse(16, feature(ability | probe | get)), EOPNOTSUPP);
  assert.is(rig.refuse(17, asked(16)), EOPNOTSUPP);
  assert.is(rig.refuse(18, written(hex('00'))), EOPNOTSUPP);
});

test('it offers stop and copy, and neither pre-copy nor peer-to-peer', () => {
  const rig = new ServeRig({ isMovable: true });
  const answer = rig.done(16, feature(ability | get));
  assert.equal(answer, pack([16, 4], [ability | get, 4], [1, 8]));
  assert.is(rig.refuse(16, feature(ability | set, [0, 8])), EOPNOTSUPP);
});

test('the way leads through the states, and is told', () => {
  const rig = new ServeRig({ isMovable: true });
  assert.is(stateOf(rig), running);
  for (const next of [stop, stopCopy, stop, running, stopCopy, running, running]) {
    rig.done(16, goTo(next));
    assert.is(stateOf(rig), next);
  }
  for (const next of [error, preCopy, 5, 99]) assert.is(rig.refuse(16, goTo(next)), EINVAL);
  assert.is(stateOf(rig), running);
});

test('data is read in stopCopy alone, and written in resuming alone', () => {
  const rig = new ServeRig({ isMovable: true });
  for (const next of [running, stop, resuming]) {
    rig.done(16, goTo(next));
    assert.is(rig.refuse(17, asked(16)), EINVAL);
  }
  rig.done(13, hex(''));
  for (const next of [running, stop, stopCopy]) {
    rig.done(16, goTo(next));
    assert.is(rig.refuse(18, written(hex('00'))), EINVAL);
  }
});

test('lengths of data messages that do not fit are refused', () => {
  const rig = new ServeRig({ isMovable: true });
  rig.done(16, goTo(stopCopy));
  assert.is(rig.refuse(17, pack([20, 4], [16, 4])), EINVAL, 'argsz below the answer');
  assert.is(rig.refuse(17, asked(0x10_0001)), EINVAL, 'more than a message takes');
  assert.is(rig.refuse(17, asked(0xffff_fff0)), EINVAL);
  rig.done(16, goTo(stop));
  rig.done(16, goTo(resuming));
  assert.is(rig.refuse(18, pack([16, 4], [8, 4], [0, 4])), EINVAL, 'shorter than it says');
  assert.is(rig.refuse(18, pack([16, 4], [4, 4], [0, 8])), EINVAL, 'longer than it says');
});

/** What was written must be refused; a reset makes the device usable again. */
function refused(bytes: Uint8Array, why: string): void {
  const rig = new ServeRig({ isMovable: true });
  writeAll(rig, bytes, 1_000_000);
  assert.is(rig.refuse(16, goTo(running)), EINVAL, why);
  assert.is(stateOf(rig), error, why);
  assert.is(rig.refuse(16, goTo(stop)), EINVAL);
  rig.done(13, hex(''));
  assert.is(stateOf(rig), running);
  const client = new Client();
  client.attach(rig);
  client.start(rig);
}

test('a state that was cut, changed or made up is refused, and a reset helps', () => {
  const { rig } = loaded();
  rig.done(16, goTo(stopCopy));
  const bytes = readAll(rig, 1_000_000);
  refused(hex(''), 'nothing');
  refused(new Uint8Array(5000).fill(0x55), 'noise');
  refused(Uint8Array.from([...bytes, 0]), 'one byte more');
  const chance = new Prng(11, 'broken states');
  for (let i = 0; i < 8; i++) refused(bytes.slice(0, chance.below(bytes.length)), 'cut');
  for (let i = 0; i < 12; i++) {
    const changed = bytes.slice();
    const at = chance.below(changed.length);
    changed[at]! ^= 1 << chance.below(8);
    refused(changed, `bit flipped in byte ${at}`);
  }
});

test('the state of a card of another profile is refused', () => {
  const rig = new ServeRig({ isMovable: true, changes: { controller: { queuePairs: 3 } } });
  rig.done(16, goTo(stopCopy));
  refused(readAll(rig, 1_000_000), 'three queue pairs');
});

test('a client that goes away in the middle leaves a device that runs', () => {
  for (const next of [stop, stopCopy, resuming]) {
    const rig = new ServeRig({ isMovable: true });
    rig.done(16, goTo(next));
    rig.socket.isPeerGone = true;
    rig.pump();
    rig.reconnect();
    rig.negotiate();
    assert.is(stateOf(rig), running);
    const client = new Client();
    client.attach(rig);
    client.start(rig);
  }
});

test.run();
