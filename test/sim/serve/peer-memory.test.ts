import * as assert from 'uvu/assert';
import { PeerMemory } from '../../../sim/serve/peer-memory.js';
import { suite } from '../../support/suite.js';
import { FakeSystem } from './fake-system.js';
import { pack, ServeRig } from './rig.js';

const test = suite('memory of a vfio-user peer');

function fixture() {
  const system = new FakeSystem();
  const memory = new PeerMemory(system);
  const faults: string[] = [];
  memory.onFault((fault, iova, isWrite) => {
    faults.push(`${fault} ${iova.toString(16)} ${isWrite ? 'write' : 'read'}`);
  });
  const map = (address: number, length: number, access = 'rw'): Uint8Array => {
    const bytes = new Uint8Array(length);
    const fd = system.memoryFd(bytes);
    const isReadable = access.includes('r');
    const isWritable = access.includes('w');
    assert.is(memory.map({ address, length, isReadable, isWritable, fd, offset: 0 }), 0);
    return bytes;
  };
  return { system, memory, faults, map };
}

const ramp = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 7) & 0xff);

test('dwords and bytes go to the place of their address', () => {
  const { memory, map } = fixture();
  const far = map(0x9_0000_0000, 0x2000);
  const near = map(0x1000, 0x1000);
  assert.ok(memory.writeWords(0x9_0000_1ffc, Uint32Array.of(1, 0x04030201), 1, 1));
  assert.equal(far.slice(0x1ffc), Uint8Array.of(1, 2, 3, 4));
  assert.ok(memory.writeBytes(0x1003, Uint8Array.of(9, 8, 7), 1, 2));
  assert.equal(near.slice(3, 5), Uint8Array.of(8, 7));
  const words = new Uint32Array(2);
  near.set([1, 1, 1, 1], 0x10);
  assert.ok(memory.readWords(0x1010, words, 1, 1));
  assert.equal(words, Uint32Array.of(0, 0x01010101));
  const back = new Uint8Array(4);
  assert.ok(memory.readBytes(0x9_0000_1ffd, back, 1, 3));
  assert.equal(back, Uint8Array.of(0, 2, 3, 4));
});

test('whole pages, parts of pages and long runs arrive as they are', () => {
  const { memory, map } = fixture();
  const peer = map(0x10_000, 0x8000);
  for (const [offset, length] of [
    [0, 4096],
    [4096, 4096],
    [100, 47],
    [100, 48],
    [5000, 9000],
    [0, 0x8000],
  ] as const) {
    const data = ramp(length);
    assert.ok(memory.writeBytes(0x10_000 + offset, data, 0, length));
    assert.equal(peer.slice(offset, offset + length), data);
    const back = new Uint8Array(length + 3);
    assert.ok(memory.readBytes(0x10_000 + offset, back, 2, length));
    assert.equal(back.slice(2, length + 2), data);
    peer.fill(0);
  }
});

test('an access runs over the border of two regions', () => {
  const { memory, map } = fixture();
  const first = map(0x1000, 0x1000);
  const second = map(0x2000, 0x1000);
  const data = ramp(64);
  assert.ok(memory.writeBytes(0x1fe0, data, 0, 64));
  assert.equal(first.slice(-32), data.slice(0, 32));
  assert.equal(second.slice(0, 32), data.slice(32));
  const words = new Uint32Array(16);
  assert.ok(memory.readWords(0x1fe0, words, 0, 16));
  assert.equal(new Uint8Array(words.buffer), data);
  assert.ok(memory.writeWords(0x1ff8, Uint32Array.of(1, 2, 3, 4), 0, 4));
  assert.equal(second.slice(0, 8), pack([3, 4], [4, 4]));
});

test('outside of regions nothing is read, and the fault names the first byte that is not', () => {
  const { memory, map, faults } = fixture();
  map(0x1000, 0x1000);
  const target = ramp(64);
  assert.not(memory.readBytes(0x3000, target, 0, 4));
  assert.not(memory.readBytes(0x1ff0, target, 0, 64));
  assert.not(memory.readWords(0xffc, new Uint32Array(2), 0, 2));
  assert.equal(target, ramp(64), 'nothing has changed');
  assert.equal(faults, ['unmapped 3000 read', 'unmapped 2000 read', 'unmapped ffc read']);
  assert.is(memory.faultCount, 3);
});

test('a write that ends outside changes nothing at its start', () => {
  const { memory, map, faults } = fixture();
  const peer = map(0x1000, 0x1000);
  assert.not(memory.writeBytes(0x1ff0, ramp(64), 0, 64));
  assert.not(memory.writeWords(0x1ff8, Uint32Array.of(1, 2, 3, 4), 0, 4));
  assert.equal(peer, new Uint8Array(0x1000));
  assert.equal(faults, ['unmapped 2000 write', 'unmapped 2000 write']);
});

test('each direction needs its permission', () => {
  const { memory, map, faults } = fixture();
  map(0x1000, 0x1000, 'r');
  map(0x2000, 0x1000, 'w');
  assert.ok(memory.readBytes(0x1000, new Uint8Array(4), 0, 4));
  assert.ok(memory.writeBytes(0x2000, new Uint8Array(4), 0, 4));
  assert.not(memory.writeBytes(0x1000, new Uint8Array(4), 0, 4));
  assert.not(memory.readBytes(0x2000, new Uint8Array(4), 0, 4));
  assert.not(memory.writeWords(0x1000, new Uint32Array(4), 0, 4));
  assert.not(memory.readWords(0x2000, new Uint32Array(4), 0, 4));
  assert.equal(faults, [
    'readOnly 1000 write',
    'writeOnly 2000 read',
    'readOnly 1000 write',
    'writeOnly 2000 read',
  ]);
});

test('without bus mastering nothing is reached', () => {
  const { memory, map, faults } = fixture();
  map(0x1000, 0x1000);
  memory.isReachable = false;
  assert.not(memory.readWords(0x1000, new Uint32Array(1), 0, 1));
  assert.not(memory.writeBytes(0x1000, new Uint8Array(1), 0, 1));
  assert.equal(faults, ['notBusMaster 1000 read', 'notBusMaster 1000 write']);
});

test('after an unmap not a byte is touched, also where the last access was', () => {
  const { memory, map, system } = fixture();
  const peer = map(0x1000, 0x2000);
  assert.ok(memory.writeWords(0x1000, Uint32Array.of(7), 0, 1));
  assert.ok(memory.readBytes(0x2000, new Uint8Array(4096), 0, 4096));
  assert.is(memory.unmap(0x1000, 0x2000), 0);
  assert.is(system.mappedCount, 0);
  peer.fill(0xee);
  assert.not(memory.writeWords(0x1000, Uint32Array.of(9), 0, 1));
  assert.not(memory.writeBytes(0x2000, ramp(4096), 0, 4096));
  const back = new Uint8Array(4096);
  assert.not(memory.readBytes(0x2000, back, 0, 4096));
  assert.equal(back, new Uint8Array(4096));
  assert.equal(peer, new Uint8Array(0x2000).fill(0xee));
});

test('every region of many is found, and every gap is none', () => {
  const { memory, map } = fixture();
  const count = 200;
  const peers = Array.from({ length: count }, (_, i) => map((count - i) * 0x3000, 0x1000));
  for (let i = 0; i < count; i++) {
    const address = (count - i) * 0x3000;
    assert.ok(memory.writeBytes(address + 0xfff, Uint8Array.of(i + 1), 0, 1));
    assert.not(memory.writeBytes(address + 0x1000, Uint8Array.of(1), 0, 1));
    assert.not(memory.writeBytes(address - 1, Uint8Array.of(1), 0, 1));
  }
  assert.equal(
    peers.map((peer) => peer[0xfff]),
    Array.from(peers, (_, i) => (i + 1) & 0xff),
  );
});

test('an unmapping that fails gives back what was mapped of it', () => {
  const { memory, system } = fixture();
  let calls = 0;
  const unmapped: number[] = [];
  system.map = () => (calls++ === 0 ? new Uint8Array(4096) : 12);
  system.unmap = (bytes) => unmapped.push(bytes.length);
  const claim = { address: 0, isReadable: true, isWritable: true, fd: 5, offset: 0 };
  assert.is(memory.map({ ...claim, length: 0x8000_0000 }), 12);
  assert.equal(unmapped, [4096]);
  assert.is(memory.regionCount, 0);
});

test('a controller whose queues were unmapped fails by name and touches nothing', () => {
  const rig = new ServeRig();
  rig.done(10, rig.access(7, 4, 2, pack([6, 2])));
  const queues = rig.give(0x10_000, 0x2000);
  rig.write32(0, 0x24, 0x001f_001f);
  rig.done(10, rig.access(0, 0x28, 16, pack([0x10_000, 8], [0x11_000, 8])));
  rig.write32(0, 0x14, 0x0046_0001);
  rig.run(10_000_000);
  assert.is(rig.read(0, 0x1c, 1)[0], 1, 'CSTS.RDY');
  rig.done(3, pack([24, 4], [0, 4], [0x10_000, 8], [0x2000, 8]));
  const before = queues.slice();
  rig.write32(0, 0x1000, 1);
  rig.run(10_000_000);
  assert.is(rig.read(0, 0x1c, 1)[0]! & 0x02, 2, 'CSTS.CFS');
  assert.equal(queues, before);
  assert.ok(rig.server.status.dmaFaultCount > 0);
});

test.run();
