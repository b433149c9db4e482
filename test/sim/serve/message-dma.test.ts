import * as assert from 'uvu/assert';
import { suite } from '../../support/suite.js';
import { command, type Heard, hex, pack, ServeRig, u64 } from './rig.js';

const test = suite('vfio-user DMA by messages');

const base = 0x10_000;

/** A rig with one region that only messages reach, and a peer that answers from `memory`. */
function fixture(text?: string) {
  const rig = new ServeRig({ isNegotiated: false });
  rig.negotiate(text);
  rig.done(10, rig.access(7, 4, 2, hex('06 00')));
  rig.done(2, rig.mapping(base, 0x4000));
  const memory = Uint8Array.from({ length: 0x4000 }, (_, i) => (i * 13) & 0xff);
  const asked: Heard[] = [];
  const answer = (heard: Heard, payload: Uint8Array, flags = 1): void =>
    rig.socket.arrive(command(heard.id, heard.command, payload, flags));
  const serve = (): void => {
    const heard = rig.hear();
    if (heard === null) return;
    asked.push(heard);
    const at = u64(heard.payload, 0) - base;
    const count = u64(heard.payload, 8);
    const head = heard.payload.slice(0, 16);
    if (heard.command === 11) {
      answer(heard, Uint8Array.from([...head, ...memory.slice(at, at + count)]));
    } else {
      memory.set(heard.payload.subarray(16), at);
      answer(heard, head);
    }
  };
  rig.socket.onWait = serve;
  return { rig, memory, asked, answer, dma: rig.server.card.function.memory };
}

test('a DMA read is a command with address and count, and its answer has the data', () => {
  const { rig, memory, asked, dma } = fixture();
  const target = new Uint8Array(70);
  assert.ok(dma.readBytes(base + 0x123, target, 2, 64));
  assert.equal(target.slice(2, 66), memory.slice(0x123, 0x163));
  assert.is(asked.length, 1);
  assert.is(asked[0]?.command, 11);
  assert.is(asked[0]?.flags, 0);
  assert.is(asked[0]?.size, 32);
  assert.equal(asked[0]?.payload, pack([base + 0x123, 8], [64, 8]));
  rig.pump();
  assert.ok(rig.isOpen);
});

test('a DMA write is a command with address, count and data', () => {
  const { memory, asked, dma } = fixture();
  assert.ok(dma.writeBytes(base + 0x3ffe, Uint8Array.of(1, 2, 3), 1, 2));
  assert.equal(memory.slice(0x3ffe), Uint8Array.of(2, 3));
  assert.is(asked[0]?.command, 12);
  assert.equal(asked[0]?.payload, Uint8Array.from([...pack([base + 0x3ffe, 8], [2, 8]), 2, 3]));
});

test('an answer to a DMA write may have its count in a dword', () => {
  const { rig, answer, dma } = fixture();
  rig.socket.onWait = () => {
    const heard = rig.hear();
    if (heard !== null) answer(heard, heard.payload.slice(0, 12));
  };
  assert.ok(dma.writeBytes(base, Uint8Array.of(1), 0, 1));
});

test('dwords go by messages, too', () => {
  const { memory, dma } = fixture();
  assert.ok(dma.writeWords(base + 8, Uint32Array.of(0, 0x04030201, 0x08070605), 1, 2));
  assert.equal(memory.slice(8, 16), Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
  const words = new Uint32Array(3);
  assert.ok(dma.readWords(base + 8, words, 1, 2));
  assert.equal(words, Uint32Array.of(0, 0x04030201, 0x08070605));
});

test('a transfer is cut to what the peer takes with one message', () => {
  const { memory, asked, dma } = fixture('{"capabilities":{"max_data_xfer_size":1000}}\0');
  const data = Uint8Array.from({ length: 2500 }, (_, i) => (i * 3) & 0xff);
  assert.ok(dma.writeBytes(base, data, 0, 2500));
  assert.equal(memory.slice(0, 2500), data);
  assert.equal(
    asked.map((one) => u64(one.payload, 8)),
    [1000, 1000, 500],
  );
  assert.equal(
    asked.map((one) => u64(one.payload, 0) - base),
    [0, 1000, 2000],
  );
  const back = new Uint8Array(2500);
  assert.ok(dma.readBytes(base, back, 0, 2500));
  assert.equal(back, data);
});

test('outside of the region no message is sent', () => {
  const { asked, dma } = fixture();
  assert.not(dma.readBytes(base + 0x3fff, new Uint8Array(2), 0, 2));
  assert.not(dma.readBytes(base - 1, new Uint8Array(1), 0, 1));
  assert.is(asked.length, 0);
});

test('a peer that refuses an access keeps its connection', () => {
  const { rig, answer, dma } = fixture();
  rig.socket.onWait = () => {
    const heard = rig.hear();
    if (heard !== null) answer(heard, hex(''), 0x21);
  };
  assert.not(dma.readBytes(base, new Uint8Array(4), 0, 4));
  rig.pump();
  assert.ok(rig.isOpen);
  assert.is(rig.server.status.dmaFaultCount, 1);
});

test('commands that come before the answer are carried out after it, in their order', () => {
  const { rig, answer, dma } = fixture();
  rig.socket.onWait = () => {
    const heard = rig.hear();
    if (heard === null) return;
    rig.socket.arrive(command(0x51, 10, rig.access(7, 0x3c, 1, hex('42'))));
    rig.socket.arrive(command(0x52, 9, rig.access(7, 0x3c, 1)));
    answer(heard, Uint8Array.from([...heard.payload, 1, 2, 3, 4]));
  };
  const target = new Uint8Array(4);
  assert.ok(dma.readBytes(base, target, 0, 4));
  assert.equal(target, Uint8Array.of(1, 2, 3, 4));
  assert.is(rig.hear(), null, 'not yet');
  rig.pump();
  assert.is(rig.hear()?.id, 0x51);
  const read = rig.hear();
  assert.is(read?.id, 0x52);
  assert.is(read?.payload[16], 0x42);
});

test('commands that come before the answer need nothing else to arrive', () => {
  const { rig, answer, dma } = fixture();
  rig.socket.onWait = () => {
    const heard = rig.hear();
    if (heard === null) return;
    rig.socket.arrive(command(0x52, 9, rig.access(7, 0, 2)));
    answer(heard, Uint8Array.from([...heard.payload.slice(0, 16), 1]));
  };
  assert.ok(dma.readBytes(base, new Uint8Array(1), 0, 1));
  rig.pause(1000);
  const heard = rig.hear();
  assert.is(heard?.id, 0x52);
  assert.is(heard?.command, 9);
});

test('a peer that is given up during an exchange is gone with the next turn', () => {
  const { rig, dma } = fixture();
  rig.socket.onWait = () => {
    rig.socket.isPeerGone = true;
  };
  assert.not(dma.readBytes(base, new Uint8Array(1), 0, 1));
  rig.pause(1000);
  assert.not(rig.isOpen);
});

test('a peer that does not answer is given up after half a second, once', () => {
  const { rig, dma } = fixture();
  rig.socket.onWait = null;
  assert.not(dma.readBytes(base, new Uint8Array(4), 0, 4));
  assert.is(rig.system.timeMs, 500);
  assert.not(dma.readBytes(base, new Uint8Array(4), 0, 4));
  assert.not(dma.writeBytes(base, new Uint8Array(4), 0, 4));
  assert.is(rig.system.timeMs, 500, 'the next accesses fail at once');
  rig.pump();
  assert.is(rig.isOpen, false);
  assert.match(rig.server.status.lastClose, /did not answer for 500 ms/);
});

test('a peer that takes no messages is given up, too', () => {
  const { rig, dma } = fixture();
  rig.socket.onWait = null;
  rig.socket.room = 10;
  assert.not(dma.writeBytes(base, new Uint8Array(4), 0, 4));
  rig.pump();
  assert.is(rig.isOpen, false);
});

const lies: readonly (readonly [why: string, change: (heard: Heard) => Uint8Array])[] = [
  ['another id', (h) => command(h.id ^ 1, 11, Uint8Array.from([...h.payload, 0, 0, 0, 0]), 1)],
  ['another command', (h) => command(h.id, 12, Uint8Array.from([...h.payload, 0, 0, 0, 0]), 1)],
  [
    'another address',
    (h) => command(h.id, 11, Uint8Array.from([...pack([base + 4, 8], [4, 8]), 0, 0, 0, 0]), 1),
  ],
  [
    'another count',
    (h) => command(h.id, 11, Uint8Array.from([...pack([base, 8], [3, 8]), 0, 0, 0]), 1),
  ],
  ['less data than it says', (h) => command(h.id, 11, Uint8Array.from([...h.payload, 0, 0]), 1)],
  [
    'more data than it says',
    (h) => command(h.id, 11, new Uint8Array([...h.payload, 1, 2, 3, 4, 5]), 1),
  ],
  ['a header that cannot be', () => pack([1, 2], [11, 2], [3, 4], [1, 4], [0, 4])],
];
for (const [why, change] of lies) {
  test(`an answer with ${why}: the connection ends, and nothing was taken`, () => {
    const { rig, dma } = fixture();
    rig.socket.onWait = () => {
      const heard = rig.hear();
      if (heard !== null) rig.socket.arrive(change(heard));
    };
    const target = new Uint8Array(4);
    assert.not(dma.readBytes(base, target, 0, 4));
    assert.equal(target, new Uint8Array(4));
    rig.pump();
    assert.is(rig.isOpen, false);
  });
}

test('an answer without its payload fails the access', () => {
  const { rig, answer, dma } = fixture();
  rig.socket.onWait = () => {
    const heard = rig.hear();
    if (heard !== null) answer(heard, hex(''));
  };
  assert.not(dma.readBytes(base, new Uint8Array(4), 0, 4));
});

test('a peer that sends command after command instead of its answer is given up', () => {
  const { rig, dma } = fixture();
  const before = rig.system.open.size;
  rig.socket.onWait = () => {
    for (let i = 0; i < 300; i++) {
      rig.socket.arrive(command(i, 13, hex('')), [rig.system.eventFd()]);
    }
  };
  assert.not(dma.readBytes(base, new Uint8Array(4), 0, 4));
  rig.pump();
  assert.is(rig.isOpen, false);
  assert.is(rig.system.open.size, before);
});

test('a peer that goes away instead of answering ends its session', () => {
  const { rig, dma } = fixture();
  rig.socket.onWait = () => {
    rig.socket.isPeerGone = true;
  };
  assert.not(dma.readBytes(base, new Uint8Array(4), 0, 4));
  rig.pump();
  assert.is(rig.isOpen, false);
});

test('a controller comes up and answers identify with queues that only messages reach', () => {
  const { rig, memory } = fixture();
  memory.fill(0);
  rig.write32(0, 0x24, 0x000f_000f);
  rig.done(10, rig.access(0, 0x28, 16, pack([base, 8], [base + 0x1000, 8])));
  rig.write32(0, 0x14, 0x0046_0001);
  rig.run(10_000_000);
  // Identify controller (opcode 6, CNS 1), command 0x7777, data at the third page.
  memory.set(pack([0x7777_0006, 4], [0, 4]), 0);
  memory.set(pack([base + 0x2000, 8]), 24);
  memory.set(pack([1, 4]), 40);
  rig.write32(0, 0x1000, 1);
  rig.run(10_000_000);
  assert.is(u64(memory, 0x1008), 0x0001_7777_0000_0001, 'phase 1, status 0, command 7777h');
  assert.equal(memory.slice(0x2000, 0x2002), hex('aa 55'), 'the vendor');
});

test.run();
