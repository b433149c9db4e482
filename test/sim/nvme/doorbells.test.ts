import * as assert from 'uvu/assert';
import type { DmaRegion } from '../../../sdk/device.js';
import { suite } from '../../support/suite.js';
import { type HostRing, Rig } from './rig.js';

const test = suite('doorbells');
const invalidRegister = { type: 0, information: 0, logPage: 1 } as const;
const invalidValue = { type: 0, information: 1, logPage: 1 } as const;

function rigWith(entries: number): { rig: Rig; ring: HostRing } {
  const rig = new Rig();
  rig.enable();
  return { rig, ring: rig.pair(1, entries, { vector: 0 }) };
}

function send(ring: HostRing, count: number): void {
  for (let i = 0; i < count; i++) ring.put({ cid: ring.tail });
  ring.ring();
}

test('a doorbell of a queue that does not exist is an invalid register event', () => {
  const { rig } = rigWith(8);
  rig.write(0x1000 + 8 * 2, 1);
  rig.write(0x1004 + 8 * 2, 1);
  rig.write(0x1000 + 8 * 4000, 1);
  assert.equal(rig.adminExecutor.events, [invalidRegister, invalidRegister, invalidRegister]);
  assert.is(rig.checker.countOf('doorbellQueue'), 3);
});

test('a tail beyond the queue changes nothing and is an invalid value event', () => {
  const { rig, ring } = rigWith(8);
  rig.write(0x1008, 8);
  rig.run();
  assert.equal(rig.adminExecutor.events, [invalidValue]);
  assert.is(rig.checker.countOf('doorbellValue'), 1);
  send(ring, 3);
  rig.run();
  assert.is(ring.take().length, 3);
});

test('a tail that passes the head is an invalid value event', () => {
  const { rig, ring } = rigWith(8);
  rig.io.onBegin = () => {};
  for (let i = 0; i < 5; i++) ring.put({ cid: i });
  ring.ring();
  // Five entries wait, two more fit: three do not.
  rig.write(0x1008, 0);
  assert.equal(rig.adminExecutor.events, [invalidValue]);
  assert.is(rig.checker.countOf('queueOverrun'), 1);
});

test('a queue of N entries takes N - 1 and is full', () => {
  const { rig, ring } = rigWith(8);
  send(ring, 7);
  rig.run();
  assert.is(ring.take().length, 7);
  assert.equal(rig.adminExecutor.events, []);
});

test('the same tail again is an invalid value event', () => {
  const { rig, ring } = rigWith(8);
  send(ring, 1);
  rig.run();
  ring.ring();
  assert.equal(rig.adminExecutor.events, [invalidValue]);
});

test('a head beyond what was posted is an invalid value event', () => {
  const { rig, ring } = rigWith(8);
  send(ring, 2);
  rig.run();
  rig.write(0x100c, 3);
  assert.equal(rig.adminExecutor.events, [invalidValue]);
  assert.is(rig.checker.countOf('phaseIgnored'), 1);
  rig.write(0x100c, 2);
  assert.is(rig.adminExecutor.events.length, 1);
});

for (const stride of [0, 1, 4]) {
  test(`with CAP.DSTRD ${stride} doorbells lie ${4 << stride} bytes apart`, () => {
    const rig = new Rig({ changes: { controller: { doorbellStride: stride } } });
    rig.enable();
    const ring = rig.pair(3, 8);
    ring.put({ cid: 5 });
    rig.write(0x1000 + 2 * 3 * (4 << stride), 1);
    rig.run();
    assert.is(ring.peek()?.cid, 5);
    assert.is((rig.read(4) & 15) === stride, true);
  });
}

test('a doorbell between two strides is an invalid register event', () => {
  const rig = new Rig({ changes: { controller: { doorbellStride: 2 } } });
  rig.enable();
  rig.write(0x1004, 1);
  assert.equal(rig.adminExecutor.events, [invalidRegister]);
});

/** Three submission queues of 40 commands each into one completion queue of 4 entries. */
function crowd(rig: Rig): DmaRegion {
  const services = rig.controller.services;
  const cq = rig.dma.allocate(4 * 16);
  const completion = { entries: 4, isContiguous: true, areInterruptsEnabled: false, vector: 0 };
  assert.is(services.createCompletionQueue({ ...completion, queueId: 1, address: cq.iova }), 0);
  for (let id = 1; id <= 3; id++) {
    const sq = rig.dma.allocate(64 * 64);
    const shape = { entries: 64, isContiguous: true, priority: 0, completionQueueId: 1 };
    assert.is(services.createSubmissionQueue({ ...shape, queueId: id, address: sq.iova }), 0);
    for (let cid = 0; cid < 40; cid++) sq.words[16 * cid] = (cid << 16) | 2;
  }
  return cq;
}

/** Take entries until all 120 commands have completed; `release` says how the host gives back. */
function takeAll(rig: Rig, cq: DmaRegion, release: (head: number) => void): void {
  const seen: string[] = [];
  const lastOf = [-1, -1, -1, -1];
  let head = 0;
  let phase = 1;
  while (seen.length < 120) {
    rig.run(1_000_000);
    const before = seen.length;
    for (let at = head * 4; ((cq.words[at + 3]! >>> 16) & 1) === phase; at = head * 4) {
      const queue = cq.words[at + 2]! >>> 16;
      const cid = cq.words[at + 3]! & 0xffff;
      assert.is(cid, lastOf[queue]! + 1, `queue ${queue} in order`);
      lastOf[queue] = cid;
      seen.push(`${queue}:${cid}`);
      head = (head + 1) % 4;
      if (head === 0) phase ^= 1;
    }
    assert.is(seen.length - before, 3);
    release(head);
  }
  assert.is(new Set(seen).size, 120);
  rig.checker.demandNone();
}

test('a full completion queue is never overwritten: entries wait for their room', () => {
  const rig = new Rig();
  rig.enable();
  const cq = crowd(rig);
  for (let id = 1; id <= 3; id++) rig.write(0x1000 + 8 * id, 40);
  takeAll(rig, cq, (head) => rig.write(0x100c, head));
});

test('queues whose completions have no room are not fetched from', () => {
  const rig = new Rig();
  rig.enable();
  crowd(rig);
  for (let id = 1; id <= 3; id++) rig.write(0x1000 + 8 * id, 40);
  rig.run();
  // Three fit, one waits, and some were on their way when it began to wait.
  assert.ok(rig.io.begun.length < 12, `${rig.io.begun.length} were begun`);
});

test('a full completion queue with a shadow head goes on when the host moves it', () => {
  const rig = new Rig();
  rig.enable();
  const cq = crowd(rig);
  const shadow = rig.dma.allocate(4096);
  const events = rig.dma.allocate(4096);
  assert.is(rig.controller.services.setShadowDoorbells(shadow.iova, events.iova), 0);
  const s = { rig, shadow, events };
  for (let id = 1; id <= 3; id++) storeAndMaybeRing(s, { index: 2 * id, value: 40 });
  takeAll(rig, cq, (head) => storeAndMaybeRing(s, { index: 3, value: head }));
});

// Shadow doorbells.

interface Shadow {
  readonly rig: Rig;
  readonly ring: HostRing;
  readonly shadow: DmaRegion;
  readonly events: DmaRegion;
}

function withShadow(entries: number): Shadow {
  const { rig, ring } = rigWith(entries);
  const shadow = rig.dma.allocate(4096);
  const events = rig.dma.allocate(4096);
  assert.is(rig.controller.services.setShadowDoorbells(shadow.iova, events.iova), 0);
  return { rig, ring, shadow, events };
}

/** What a host does with a new value: 16-bit arithmetic, as for a virtio ring. */
function storeAndMaybeRing(
  s: Pick<Shadow, 'rig' | 'shadow' | 'events'>,
  plan: { index: number; value: number },
): boolean {
  const old = s.shadow.words[plan.index]!;
  s.shadow.words[plan.index] = plan.value;
  const event = s.events.words[plan.index]!;
  const isNeeded = ((plan.value - event - 1) & 0xffff) < ((plan.value - old) & 0xffff);
  if (isNeeded) s.rig.write(0x1000 + 4 * plan.index, plan.value);
  return isNeeded;
}

for (const entries of [2, 5, 8, 1024]) {
  test(`shadow doorbells lose nothing over many wraps of ${entries} entries`, () => {
    const s = withShadow(entries);
    const chance = s.rig.world.prng(`shadow doorbells of ${entries}`);
    const depth = entries - 1;
    let sent = 0;
    let got = 0;
    let registerWrites = 0;
    while (got < 5 * entries + 50) {
      const room = depth - (sent - got);
      const batch = chance.below(room + 1);
      for (let i = 0; i < batch; i++) s.ring.put({ cid: sent++ % 0x10000 });
      if (batch > 0 && storeAndMaybeRing(s, { index: 2, value: s.ring.tail })) registerWrites++;
      s.rig.run(chance.below(3) === 0 ? 100_000 : chance.below(600));
      const taken = s.ring.take({ rings: false });
      for (const entry of taken) assert.is(entry.cid, got++ % 0x10000);
      if (taken.length > 0) storeAndMaybeRing(s, { index: 3, value: s.ring.head });
      if (sent - got === depth) s.rig.run(1_000_000);
    }
    assert.ok(registerWrites > 0);
    s.rig.checker.demandNone();
  });
}

test('entries that wait go out before later ones, also when the shadow makes room first', () => {
  const rig = new Rig();
  rig.enable();
  const services = rig.controller.services;
  // All commands are inside before the first completes; then they complete 250 ns apart.
  rig.io.onBegin = (command) => {
    const place = 3 * command.cid + command.queueId;
    services.delay(command, 1_000_000 + 250 * place - (rig.world.nowNs % 1_000_000));
  };
  rig.io.onFinish = (command) => services.complete(command, 0);
  const cq = crowd(rig);
  const shadow = rig.dma.allocate(4096);
  const events = rig.dma.allocate(4096);
  assert.is(services.setShadowDoorbells(shadow.iova, events.iova), 0);
  rig.run(1_000_000 - (rig.world.nowNs % 1_000_000));
  const s = { rig, shadow, events };
  for (let id = 1; id <= 3; id++) storeAndMaybeRing(s, { index: 2 * id, value: 40 });
  rig.run(1_000_000);
  const lastOf = [-1, -1, -1, -1];
  let head = 0;
  let phase = 1;
  for (let taken = 0; taken < 120; ) {
    rig.run(1_000);
    for (let at = head * 4; ((cq.words[at + 3]! >>> 16) & 1) === phase; at = head * 4) {
      const queue = cq.words[at + 2]! >>> 16;
      const cid = cq.words[at + 3]! & 0xffff;
      assert.is(cid, lastOf[queue]! + 1, `queue ${queue} in order`);
      lastOf[queue] = cid;
      taken++;
      head = (head + 1) % 4;
      if (head === 0) phase ^= 1;
    }
    // The register write is long on its way.
    const old = shadow.words[3]!;
    const event = events.words[3]!;
    shadow.words[3] = head;
    rig.run(1_000);
    if (((head - event - 1) & 0xffff) < ((head - old) & 0xffff)) rig.write(0x100c, head);
  }
  rig.checker.demandNone();
});

test('a register value beyond the queue is reported, with shadows too', () => {
  const s = withShadow(8);
  s.rig.write(0x1008, 8);
  s.rig.write(0x100c, 8);
  assert.equal(s.rig.adminExecutor.events, [invalidValue, invalidValue]);
});

test('a tail stored while the controller is fetching needs no doorbell', () => {
  const s = withShadow(64);
  s.ring.put({ cid: 1 });
  assert.ok(storeAndMaybeRing(s, { index: 2, value: s.ring.tail }));
  s.ring.put({ cid: 2 });
  s.shadow.words[2] = s.ring.tail;
  s.rig.run();
  assert.is(s.ring.take({ rings: false }).length, 2);
  // And the event index now asks for a doorbell at the next one.
  s.ring.put({ cid: 3 });
  assert.ok(storeAndMaybeRing(s, { index: 2, value: s.ring.tail }));
});

test('a pin that was looked at knows the shadow head, and hears of its next move', () => {
  const s = withShadow(8);
  for (const cid of [1, 2, 3]) s.ring.put({ cid });
  storeAndMaybeRing(s, { index: 2, value: s.ring.tail });
  s.rig.run();
  assert.is(s.ring.take({ rings: false }).length, 3);
  assert.is(s.rig.controller.pinLevel(), true);
  // The host has not been asked for a doorbell at the second move.
  assert.is(storeAndMaybeRing(s, { index: 3, value: 1 }), true);
  assert.is(storeAndMaybeRing(s, { index: 3, value: 2 }), false);
  assert.is(s.rig.controller.pinLevel(), true, 'one entry is left');
  assert.is(storeAndMaybeRing(s, { index: 3, value: 3 }), true, 'and now it has been');
  assert.is(s.rig.controller.pinLevel(), false);
});

test('an invalid value in the shadow is reported and ignored', () => {
  const s = withShadow(8);
  s.shadow.words[2] = 8;
  s.rig.write(0x1008, 1);
  s.rig.run();
  assert.is(s.rig.io.begun.length, 0);
  assert.is(s.rig.checker.countOf('doorbellValue'), 1);
});

test('shadow pages that do not start on a page are an invalid field', () => {
  const { rig } = rigWith(8);
  const page = rig.dma.allocate(4096).iova;
  const services = rig.controller.services;
  assert.is(services.setShadowDoorbells(page + 4, page), 2);
  assert.is(services.setShadowDoorbells(page, page + 8), 2);
  assert.is(services.setShadowDoorbells(0, page), 2);
});

test('the admin queue keeps its doorbell', () => {
  const s = withShadow(8);
  s.rig.admin.put({ cid: 9 });
  s.rig.admin.ring();
  s.rig.run();
  assert.is(s.rig.admin.take()[0]?.cid, 9);
});

test.run();
