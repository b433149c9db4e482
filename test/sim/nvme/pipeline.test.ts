import * as assert from 'uvu/assert';
import type { Command } from '../../../sim/nvme/command.js';
import { suite } from '../../support/suite.js';
import { type HostRing, linkNs, Rig } from './rig.js';

const test = suite('commands in a controller');

/** Status codes as the standard numbers them. */
const code = {
  /** With More and Do Not Retry. */
  invalidField: 0x6002,
  commandIdConflict: 0x2003,
  dataTransferError: 0x04,
  abortRequested: 0x07,
  abortedSqDeletion: 0x08,
  missingFused: 0x200a,
} as const;

function rigWith(entries = 64): { rig: Rig; ring: HostRing } {
  const rig = new Rig();
  rig.enable();
  return { rig, ring: rig.pair(1, entries) };
}

// Fused operations.

test('two halves in a row reach the command set as partners, in order', () => {
  const { rig, ring } = rigWith();
  const seen: [number, number | undefined, number][] = [];
  rig.io.onBegin = (command) => {
    seen.push([command.cid, command.partner?.cid, command.fuse]);
    rig.controller.services.complete(command, 0);
  };
  ring.put({ cid: 1, fuse: 1 });
  ring.put({ cid: 2, fuse: 2 });
  ring.put({ cid: 3 });
  ring.ring();
  rig.run();
  assert.equal(seen, [
    [1, 2, 1],
    [2, 1, 2],
    [3, undefined, 0],
  ]);
  assert.equal(
    ring.take().map((entry) => entry.cid),
    [1, 2, 3],
  );
});

test('a pair that wraps round the end of its queue is a pair', () => {
  const { rig, ring } = rigWith(4);
  for (let i = 0; i < 3; i++) {
    ring.put({ cid: i });
    ring.ring();
    rig.run();
    ring.take();
  }
  ring.put({ cid: 8, fuse: 1 });
  ring.put({ cid: 9, fuse: 2 });
  ring.ring();
  rig.run();
  assert.equal(
    ring.take().map((entry) => entry.status),
    [0, 0],
  );
});

test('a first half followed by anything else is aborted for its missing partner', () => {
  const { rig, ring } = rigWith();
  ring.put({ cid: 1, fuse: 1 });
  ring.put({ cid: 2 });
  ring.put({ cid: 3, fuse: 1 });
  ring.put({ cid: 4, fuse: 1 });
  ring.put({ cid: 5, fuse: 2 });
  ring.ring();
  rig.run();
  const ends = ring.take().map((entry) => [entry.cid, entry.status]);
  assert.equal(ends.sort(), [
    [1, code.missingFused],
    [2, 0],
    [3, code.missingFused],
    [4, 0],
    [5, 0],
  ]);
});

test('a second half alone is aborted for its missing partner', () => {
  const { rig, ring } = rigWith();
  ring.put({ cid: 1, fuse: 2 });
  ring.ring();
  rig.run();
  assert.is(ring.take()[0]?.status, code.missingFused);
  assert.is(rig.io.begun.length, 0);
  assert.equal(rig.adminExecutor.errors, [{ queueId: 1, cid: 1, status: code.missingFused }]);
});

test('the reserved fuse code is an invalid field', () => {
  const { rig, ring } = rigWith();
  ring.put({ cid: 1, fuse: 3 });
  ring.ring();
  rig.run();
  assert.is(ring.take()[0]?.status, code.invalidField);
});

test('fused and SGL commands on the admin queue are invalid fields', () => {
  const { rig } = rigWith();
  rig.admin.put({ cid: 1, fuse: 1 });
  rig.admin.put({ cid: 2, psdt: 1 });
  rig.admin.ring();
  rig.run();
  assert.equal(
    rig.admin.take().map((entry) => entry.status),
    [code.invalidField, code.invalidField],
  );
});

// Identifiers, abort, deletion.

test('an identifier used again in flight is a conflict and leaves the first one alone', () => {
  const { rig, ring } = rigWith();
  const services = rig.controller.services;
  rig.io.onBegin = (command) => services.delay(command, 100_000);
  rig.io.onFinish = (command) => services.complete(command, 0, 0xabcd);
  ring.put({ cid: 5 });
  ring.put({ cid: 5 });
  ring.ring();
  rig.run(50_000);
  assert.equal(
    ring.take().map((entry) => [entry.cid, entry.status]),
    [[5, code.commandIdConflict]],
  );
  assert.is(rig.checker.countOf('commandIdReused'), 1);
  rig.run();
  assert.equal(
    ring.take().map((entry) => [entry.cid, entry.status, entry.dw0]),
    [[5, 0, 0xabcd]],
  );
  ring.put({ cid: 5 });
  ring.ring();
  rig.run();
  assert.is(ring.take()[0]?.status, 0);
});

test('an abort ends a command that is executing, delayed, held or still queued', () => {
  const { rig, ring } = rigWith();
  const services = rig.controller.services;
  const second = rig.pair(2, 64);
  rig.io.onBegin = (command) => {
    if (command.cid === 2) services.delay(command, 1_000_000);
  };
  ring.put({ cid: 1 });
  ring.put({ cid: 2 });
  ring.put({ cid: 3, fuse: 1 });
  ring.ring();
  rig.run(50_000);
  second.put({ cid: 4 });
  second.put({ cid: 9 });
  second.ring();
  for (const [queue, cid] of [
    [1, 1],
    [1, 2],
    [1, 3],
    [2, 9],
  ] as const) {
    assert.is(services.abort(queue, cid), true, `cid ${cid}`);
  }
  rig.run();
  assert.equal(
    ring.take().map((entry) => [entry.cid, entry.status]),
    [
      [1, code.abortRequested],
      [2, code.abortRequested],
      [3, code.abortRequested],
    ],
  );
  assert.equal(
    second.take().map((entry) => [entry.cid, entry.status]),
    [[9, code.abortRequested]],
  );
  assert.equal(rig.io.cancelled, [1, 2]);
  assert.equal(rig.io.finished, []);
});

test('an abort of what is not there, or is complete, does nothing', () => {
  const { rig, ring } = rigWith();
  const services = rig.controller.services;
  ring.put({ cid: 1 });
  ring.ring();
  assert.is(services.abort(1, 2), false);
  assert.is(services.abort(7, 1), false);
  assert.is(services.abort(0xffff, 1), false);
  while (rig.io.begun.length === 0) rig.run(10);
  assert.is(services.abort(1, 1), false, 'its entry is on the way');
  rig.run();
  assert.is(ring.take()[0]?.status, 0);
  assert.is(services.abort(1, 1), false);
});

test('slots of aborted commands whose timers are to come are reused only after them', () => {
  const { rig, ring } = rigWith(1024);
  const services = rig.controller.services;
  rig.io.onBegin = (command) => services.delay(command, 100_000);
  rig.io.onFinish = (command) => services.complete(command, 0, command.cid);
  let cid = 0;
  for (let round = 0; round < 20; round++) {
    const first = cid;
    for (let i = 0; i < 40; i++) ring.put({ cid: cid++ });
    ring.ring();
    rig.run(20_000);
    for (let i = 0; i < 40; i += 2) assert.ok(services.abort(1, first + i));
    rig.run(7_000);
  }
  rig.run();
  const ends = ring.take();
  assert.is(ends.length, 800);
  for (const entry of ends) {
    const isAborted = entry.cid % 2 === 0;
    assert.is(entry.status, isAborted ? code.abortRequested : 0);
    if (!isAborted) assert.is(entry.dw0, entry.cid);
  }
  rig.checker.demandNone();
});

test('deleting a submission queue ends its commands in flight and reports the misuse', () => {
  const { rig, ring } = rigWith();
  const services = rig.controller.services;
  rig.io.onBegin = () => {};
  for (let cid = 0; cid < 5; cid++) ring.put({ cid });
  ring.ring();
  rig.run();
  assert.is(services.deleteSubmissionQueue(1), 0);
  rig.run();
  assert.equal(
    ring.take({ rings: false }).map((entry) => entry.status),
    new Array(5).fill(code.abortedSqDeletion),
  );
  assert.is(rig.checker.countOf('queueDeletedInUse'), 1);
  assert.is(services.deleteCompletionQueue(1), 0);
  assert.is(services.hasIoQueues, false);
});

test('an admin command completes after all entries that were on their way before it', () => {
  const rig = new Rig({ changes: { firmware: { completeNs: 50_000 } } });
  rig.enable();
  const ring = rig.pair(1, 64);
  const services = rig.controller.services;
  const length = 1 << 20;
  const buffer = rig.dma.allocate(length);
  const bytes = new Uint8Array(length);
  const order: string[] = [];
  rig.controller.observe({
    completed: (command) => order.push(`${command.queueId}:${command.cid}`),
  });
  // A megabyte takes 16 µs on the link; the admin command comes while it is there.
  rig.io.onBegin = (command) => {
    const status = services.mapData(command, length);
    assert.is(status || services.toHost(command, bytes, 0, 0, length), 0);
    services.complete(command, 0);
    rig.admin.put({ cid: 99 });
    rig.admin.ring();
  };
  const sgl = [buffer.iova % 2 ** 32, Math.floor(buffer.iova / 2 ** 32), length, 0];
  ring.put({ cid: 1, opcode: 2, psdt: 1, dwords: sgl });
  ring.ring();
  rig.run();
  assert.equal(order, ['1:1', '0:99']);
});

test('a card full of commands that never end still takes admin commands', () => {
  const rig = new Rig({ changes: { controller: { queueEntries: 4096 } } });
  rig.enable();
  const services = rig.controller.services;
  rig.io.onBegin = () => {};
  const rings = [1, 2].map((id) => rig.pair(id, 4096));
  for (const ring of rings) {
    for (let cid = 0; cid < 4095; cid++) ring.put({ cid });
    ring.ring();
  }
  rig.run(100_000_000);
  const begun = rig.io.begun.length;
  assert.ok(begun < 8190);
  rig.admin.put({ cid: 7 });
  rig.admin.ring();
  rig.run();
  assert.is(rig.admin.take()[0]?.cid, 7);
  // Each command that is aborted lets one more in, until all have been in and are gone.
  for (const ring of rings) {
    for (let cid = 0; cid < 4095; cid++) assert.ok(services.abort(ring.id, cid));
    rig.run(100_000_000);
  }
  assert.is(rings[0]!.take().length + rings[1]!.take().length, 8190);
  rig.checker.demandNone();
});

// Data.

test('data for memory that was freed is a data transfer error, and nothing else happens', () => {
  const { rig, ring } = rigWith();
  const services = rig.controller.services;
  const buffer = rig.dma.allocate(4096);
  rig.dma.free(buffer);
  rig.io.onBegin = (command) => {
    const bytes = new Uint8Array(4096);
    const status = services.mapData(command, 4096) || services.toHost(command, bytes, 0, 0, 4096);
    services.complete(command, status);
  };
  const faults: string[] = [];
  rig.memory.onFault((fault, iova) => {
    faults.push(`${fault} ${iova - buffer.iova} of ${rig.memory.queue}:${rig.memory.cid}`);
  });
  ring.put({ cid: 8, opcode: 2, prp1: buffer.iova });
  ring.ring();
  rig.run();
  assert.is(ring.take()[0]?.status, code.dataTransferError);
  assert.equal(faults, ['freed 0 of 1:8']);
});

// Time.

test('the stages of a read follow each other and add up to the whole', () => {
  const { rig, ring } = rigWith();
  const services = rig.controller.services;
  const buffer = rig.dma.allocate(4096);
  const bytes = new Uint8Array(4096).fill(7);
  const mediaNs = 80_000;
  rig.io.onBegin = (command) => services.delay(command, mediaNs);
  rig.io.onFinish = (command) => {
    assert.is(services.mapData(command, 4096), 0);
    services.complete(command, services.toHost(command, bytes, 0, 0, 4096));
  };
  const seen: number[][] = [];
  rig.controller.observe({
    completed: (c: Command) =>
      seen.push([
        c.doorbellNs,
        c.fetchedNs,
        c.decodedNs,
        c.mediaStartNs,
        c.mediaEndNs,
        c.dataEndNs,
        c.postedNs,
      ]),
  });
  const startNs = rig.world.nowNs;
  ring.put({ cid: 1, opcode: 2, prp1: buffer.iova });
  ring.ring();
  rig.run();
  const { fetchNs, decodeNs, completeNs } = rig.profile.firmware;
  // Closed form: one entry is 1 ns on the link, 4 KiB are 64 ns, one crossing is 100 or 200 ns.
  const fetched = startNs + fetchNs + linkNs.nonPosted + 1;
  const decoded = fetched + decodeNs;
  const mediaEnd = decoded + mediaNs;
  const dataEnd = mediaEnd + 64 + linkNs.posted;
  const posted = dataEnd + Math.max(completeNs, 1);
  assert.equal(seen, [[startNs, fetched, decoded, decoded, mediaEnd, dataEnd, posted]]);
  assert.is(buffer.bytes[4095], 7);
});

test('the data of a write crosses the link before its media time starts', () => {
  const { rig, ring } = rigWith();
  const services = rig.controller.services;
  const buffer = rig.dma.allocate(4096);
  buffer.bytes.fill(9);
  const bytes = new Uint8Array(4096);
  rig.io.onBegin = (command) => {
    assert.is(services.mapData(command, 4096), 0);
    assert.is(services.fromHost(command, bytes, 0, 0, 4096), 0);
    services.delay(command, 10_000);
  };
  rig.io.onFinish = (command) => services.complete(command, 0);
  let split = 0;
  rig.controller.observe({
    completed: (c: Command) => {
      split = c.mediaStartNs - c.fetchedNs;
      assert.is(c.mediaEndNs - c.mediaStartNs, 10_000);
    },
  });
  ring.put({ cid: 1, opcode: 1, prp1: buffer.iova });
  ring.ring();
  rig.run();
  assert.is(split, Math.max(linkNs.nonPosted + 64, rig.profile.firmware.decodeNs));
  assert.is(bytes[0], 9);
});

test('entries, and data of reserved commands, do not wait for the data that others fetch', () => {
  const { rig, ring } = rigWith();
  const services = rig.controller.services;
  const buffer = rig.dma.allocate(4096);
  const bytes = new Uint8Array(4096);
  let isReserved = false;
  rig.io.onBegin = (command) => {
    command.isReserved = isReserved;
    assert.is(services.mapData(command, 4096), 0);
    assert.is(services.fromHost(command, bytes, 0, 0, 4096), 0);
    services.delay(command, 0);
  };
  rig.io.onFinish = (command) => services.complete(command, 0);
  const seen: number[][] = [];
  rig.controller.observe({
    completed: (c: Command) =>
      seen.push([c.fetchedNs - c.doorbellNs, c.mediaStartNs - c.doorbellNs]),
  });
  rig.link.hasReservedTags = true;
  for (isReserved of [false, true]) {
    rig.link.reserveRead(1024 * 1024);
    ring.put({ cid: 1, opcode: 1, prp1: buffer.iova });
    ring.ring();
    rig.run();
    ring.take();
  }
  const { fetchNs, decodeNs } = rig.profile.firmware;
  const fetched = fetchNs + linkNs.nonPosted + 1;
  const othersNs = (1024 * 1024) / 64;
  assert.equal(seen, [
    [fetched, othersNs + 64 + linkNs.nonPosted],
    [fetched, fetched + Math.max(linkNs.nonPosted + 64, decodeNs)],
  ]);
});

test('decoding is one core: commands leave it one after the other', () => {
  const rig = new Rig({ changes: { firmware: { decodeNs: 1_000 } } });
  rig.enable();
  const ring = rig.pair(1, 64);
  const decodedNs: number[] = [];
  rig.controller.observe({ completed: (c) => decodedNs.push(c.decodedNs) });
  for (let cid = 0; cid < 30; cid++) ring.put({ cid });
  ring.ring();
  rig.run();
  for (let i = 1; i < 30; i++) assert.is(decodedNs[i]! - decodedNs[i - 1]!, 1_000);
});

test('after some turns a command allocates no slot and the world holds no event', () => {
  const { rig, ring } = rigWith();
  for (let i = 0; i < 10_000; i++) {
    ring.put({ cid: i });
    ring.ring();
    rig.run(20_000);
    ring.take();
  }
  assert.is(rig.world.pendingCount, 0);
  assert.is(rig.io.begun.length, 10_000);
  rig.checker.demandNone();
});

test.run();
