import * as assert from 'uvu/assert';
import { suite } from '../../support/suite.js';
import { hex, pack, ServeRig, u32, u64 } from './rig.js';

const test = suite('vfio-user sessions of a card');

const queueBase = 0x10_0000;
const dataBase = 0x20_0000;

/** A driver of bytes: bus master on, admin queues of 16 entries, controller enabled. */
function enable(rig: ServeRig): { queues: Uint8Array; data: Uint8Array } {
  rig.done(10, rig.access(7, 4, 2, hex('06 00')));
  const queues = rig.give(queueBase, 0x4000);
  const data = rig.give(dataBase, 0x4000);
  rig.write32(0, 0x24, 0x000f_000f);
  rig.done(10, rig.access(0, 0x28, 16, pack([queueBase, 8], [queueBase + 0x1000, 8])));
  rig.write32(0, 0x14, 0x0046_0001);
  rig.run(10_000_000);
  assert.is(rig.read(0, 0x1c, 1)[0]! & 1, 1, 'CSTS.RDY');
  return { queues, data };
}

/** 64 bytes: opcode and command, namespace, PRP 1, dwords 10 and 11. */
function entry(options: {
  readonly opcode: number;
  readonly cid: number;
  readonly nsid?: number;
  readonly dw10?: number;
  readonly dw11?: number;
  readonly prp1?: number;
}): Uint8Array {
  const { opcode, cid, nsid = 0, dw10 = 0, dw11 = 0, prp1 = dataBase } = options;
  const head = pack([opcode, 2], [cid, 2], [nsid, 4], [0, 16], [prp1, 8], [0, 8]);
  return Uint8Array.from([...head, ...pack([dw10, 4], [dw11, 4], [0, 16])]);
}

const identify = (cid: number): Uint8Array => entry({ opcode: 6, cid, dw10: 1 });

test('a doorbell in shared memory costs no message', () => {
  const rig = new ServeRig();
  const { queues, data } = enable(rig);
  const doorbells = rig.doorbells();
  const messages = rig.socket.sent.length;
  queues.set(identify(0x1111), 0);
  doorbells[0] = 1;
  rig.run(1_000_000);
  assert.is(u64(queues, 0x1008), 0x0001_1111_0000_0001);
  assert.equal(data.slice(0, 2), hex('aa 55'));
  assert.is(rig.socket.sent.length, messages);
});

test('a command after a long pause takes the time that the card needs', () => {
  const rig = new ServeRig();
  const { queues } = enable(rig);
  const doorbells = rig.doorbells();
  queues.set(identify(1), 0);
  doorbells[0] = 1;
  rig.pause(1_000_000_000);
  assert.is(u32(queues, 0x100c), 0, 'it has only begun');
  rig.run(1_000_000);
  assert.is(u32(queues, 0x100c), 0x0001_0001);
});

test('message and shared memory ring the same doorbell', () => {
  const rig = new ServeRig();
  const { queues } = enable(rig);
  const doorbells = rig.doorbells();
  queues.set(identify(1), 0);
  rig.write32(0, 0x1000, 1);
  assert.is(doorbells[0], 1, 'the memory shows what was written by message');
  rig.run(1_000_000);
  assert.is(u32(queues, 0x100c) >>> 16, 1, 'one entry');
  queues.set(identify(2), 64);
  doorbells[0] = 2;
  rig.run(1_000_000);
  assert.is(u32(queues, 0x101c), 0x0001_0002);
  assert.is(u32(queues, 0x102c), 0, 'and none rang twice');
});

test('a new queue starts with a doorbell of 0, whatever an older one has left', () => {
  const rig = new ServeRig();
  const { queues } = enable(rig);
  const doorbells = rig.doorbells();
  const admin = (index: number, bytes: Uint8Array): void => {
    queues.set(bytes, index * 64);
    doorbells[0] = index + 1;
    rig.run(1_000_000);
    assert.is(u32(queues, 0x100c + index * 16) >>> 17, 0, `status of admin command ${index}`);
    assert.is((u32(queues, 0x100c + index * 16) >>> 16) & 1, 1, 'phase');
  };
  const createCq = entry({
    opcode: 5,
    cid: 1,
    dw10: 0x000f_0001,
    dw11: 1,
    prp1: queueBase + 0x2000,
  });
  const createSq = entry({
    opcode: 1,
    cid: 2,
    dw10: 0x000f_0001,
    dw11: 0x0001_0001,
    prp1: queueBase + 0x3000,
  });
  admin(0, createCq);
  admin(1, createSq);
  queues.set(entry({ opcode: 0, cid: 3, nsid: 1 }), 0x3000);
  doorbells[2] = 1;
  rig.run(10_000_000);
  assert.is(u32(queues, 0x200c) & 0xffff, 3, 'the flush is done');
  admin(2, entry({ opcode: 0, cid: 4, dw10: 1 }));
  admin(3, createSq);
  assert.is(doorbells[2], 0);
  queues.fill(0, 0x2000, 0x3000);
  doorbells[2] = 1;
  rig.run(10_000_000);
  assert.is(u32(queues, 0x201c) & 0xffff, 3, 'the same tail rings again');
});

test('a reset of the controller sets every doorbell to 0', () => {
  const rig = new ServeRig();
  enable(rig);
  const doorbells = rig.doorbells();
  doorbells[0] = 3;
  doorbells[77] = 5;
  rig.write32(0, 0x14, 0);
  assert.equal([doorbells[0], doorbells[77]], [0, 0]);
});

test('a doorbell of a queue that is not is seen sooner or later, and reported once', () => {
  const rig = new ServeRig();
  enable(rig);
  const doorbells = rig.doorbells();
  doorbells[9] = 1;
  for (let i = 0; i < 600; i++) rig.run(100);
  assert.is(rig.server.card.checker.countOf('doorbellQueue'), 1);
});

test('a tail outside of the queue is refused, and the queue works on', () => {
  const rig = new ServeRig();
  const { queues } = enable(rig);
  const doorbells = rig.doorbells();
  doorbells[0] = 999;
  rig.run(1000);
  assert.is(rig.server.card.checker.countOf('doorbellValue'), 1);
  queues.set(identify(5), 0);
  doorbells[0] = 1;
  rig.run(1_000_000);
  assert.is(u32(queues, 0x100c), 0x0001_0005);
});

test('nobody is served a doorbell before the first client has connected', () => {
  const rig = new ServeRig();
  const doorbells = rig.doorbells();
  rig.socket.isPeerGone = true;
  rig.pump();
  doorbells[0] = 1;
  for (let i = 0; i < 600; i++) rig.run(100);
  assert.is(rig.server.card.checker.total, 0);
});

test('the end of a connection takes memory and descriptors along; registers stay', () => {
  const rig = new ServeRig();
  enable(rig);
  rig.done(8, pack([20, 4], [0x24, 4], [2, 4], [0, 4], [1, 4]), [rig.system.eventFd()]);
  rig.socket.isPeerGone = true;
  rig.pump();
  assert.is(rig.isOpen, false);
  assert.is(rig.system.mappedCount, 0);
  assert.is(rig.system.open.size, 1, 'our own memory alone');
  assert.is(rig.server.status.regionCount, 0);
  rig.reconnect();
  rig.negotiate();
  assert.is(rig.read(0, 0x1c, 1)[0]! & 1, 1, 'CSTS.RDY is still 1');
});

test('the next client negotiates for itself, resets, and works', () => {
  const rig = new ServeRig();
  enable(rig);
  rig.socket.isPeerGone = true;
  rig.pump();
  rig.reconnect();
  assert.is(rig.socket.sent.length, 0);
  rig.negotiate();
  rig.done(13, hex(''));
  const { queues } = enable(rig);
  queues.set(identify(6), 0);
  rig.write32(0, 0x1000, 1);
  rig.run(1_000_000);
  assert.is(u32(queues, 0x100c), 0x0001_0006);
  assert.is(rig.server.status.sessionCount, 2);
});

test('commands in flight when the client goes away touch nobody', () => {
  const rig = new ServeRig();
  const { queues, data } = enable(rig);
  queues.set(identify(7), 0);
  rig.write32(0, 0x1000, 1);
  const before = [queues.slice(), data.slice()];
  rig.socket.isPeerGone = true;
  rig.pump();
  rig.run(10_000_000);
  assert.equal([queues, data], before);
  assert.ok(rig.server.status.dmaFaultCount > 0);
});

test('a device reset under I/O ends it without a trace', () => {
  const rig = new ServeRig();
  const { queues, data } = enable(rig);
  queues.set(identify(8), 0);
  rig.write32(0, 0x1000, 1);
  rig.done(13, hex(''));
  rig.run(10_000_000);
  assert.is(u32(queues, 0x100c), 0);
  assert.equal(data, new Uint8Array(0x4000));
  assert.is(rig.read(0, 0x1c, 1)[0], 0, 'CSTS after a reset');
  assert.is(rig.server.status.reportCount, 0, 'and nothing was reported');
});

test('two cards in one process do not see each other', () => {
  const [first, second] = [new ServeRig(), new ServeRig()];
  enable(first);
  assert.is(second.read(0, 0x1c, 1)[0]! & 1, 0);
  first.raw(pack([1, 2], [1, 2], [0, 4], [0, 4], [0, 4]));
  assert.is(first.isOpen, false);
  second.done(4, pack([16, 4], [0, 12]));
});

test('the status counts what happened', () => {
  const rig = new ServeRig();
  const { queues } = enable(rig);
  queues.set(identify(9), 0);
  queues.set(identify(10), 64);
  rig.write32(0, 0x1000, 2);
  rig.run(1_000_000);
  const { status } = rig.server;
  assert.is(status.completedCount, 2);
  assert.is(status.isConnected, true);
  assert.is(status.sessionCount, 1);
  assert.is(status.regionCount, 2);
  assert.is(status.ioQueueCount, 0);
  assert.is(status.dmaFaultCount, 0);
});

test('a server that ends closes its connection and gives everything back, once', async () => {
  const rig = new ServeRig();
  enable(rig);
  const { socket, system } = rig;
  await rig.server.close();
  assert.is(socket.isClosed, true);
  assert.is(system.mappedCount, 0);
  assert.is(system.open.size, 0, 'also our own memory');
  await rig.server.close();
});

test.run();
