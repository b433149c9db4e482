import * as assert from 'uvu/assert';
import { BlockOp, BlockRequest, BlockStatus } from '../../../sdk/block/request.js';
import { UltimaError } from '../../../sdk/errors.js';
import { NvmeController } from '../../../sdk/nvme/controller.js';
import type { QueueObserver } from '../../../sdk/nvme/observer.js';
import { Cns } from '../../../sdk/spec/nvme/identify.js';
import { IdentifyController } from '../../../sdk/spec/nvme/identify-controller.js';
import { IdentifyNamespace } from '../../../sdk/spec/nvme/identify-namespace.js';
import { NvmOpcode } from '../../../sdk/spec/nvme/opcodes.js';
import { MediaStatus, statusKind } from '../../../sdk/spec/nvme/status.js';
import { suite } from '../../support/suite.js';
import { FakeFunction } from './fake-function.js';
import { isStamped, pollUntil, requestOn, simRig, stamp } from './rig.js';

const test = suite('namespace');
const page = 4096;

async function errorOf(promise: Promise<unknown>): Promise<UltimaError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof UltimaError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

test('plain bytes are copied in and out of device memory', async () => {
  const rig = await simRig('sim:simple?bytes=16MiB');
  const out = Uint8Array.from({ length: 1024 }, (_, i) => i & 0xff);
  await rig.namespace.write(1, out);
  const back = new Uint8Array(1024);
  await rig.namespace.read(1, back);
  assert.equal(back, out);
  await rig.close();
});

test('namespaces opened at the same time share a queue pair, and pairs made so differ', async () => {
  const rig = await simRig('sim:simple?bytes=16MiB');
  const { controller } = rig;
  const made = await Promise.all([1, 2, 3].map(() => controller.createQueuePair()));
  assert.is(new Set(made.map((pair) => pair.id)).size, 3);
  for (const pair of controller.queuePairs.slice()) await controller.deleteQueuePair(pair);
  const opened = await Promise.all([1, 2, 3].map(() => controller.namespace(1)));
  assert.is(controller.queuePairs.length, 1);
  for (const { queuePair } of opened) assert.is(queuePair, controller.queuePairs[0]);
  await rig.close();
});

test('compare tells whether the blocks hold the data', async () => {
  const rig = await simRig('sim:simple?bytes=16MiB');
  const { namespace } = rig;
  const buffer = namespace.memory.allocate(page);
  stamp(buffer, 0, 1);
  await namespace.write(0, buffer);
  assert.is(await namespace.compare(0, buffer), true);
  buffer.words[700]! ^= 1;
  assert.is(await namespace.compare(0, buffer), false);
  await rig.close();
});

test('compare-and-write writes when the data is as expected, and only then', async () => {
  const rig = await simRig('sim:simple?bytes=16MiB');
  const { namespace } = rig;
  const [old, next, back] = [0, 1, 2].map(() => namespace.memory.allocate(512));
  stamp(old!, 0, 1);
  stamp(next!, 0, 2);
  await namespace.write(0, old!);
  assert.is(await namespace.compareAndWrite(0, { expected: next!, next: next! }), false);
  await namespace.read(0, back!);
  assert.is(isStamped(back!, 0, 1), true);
  assert.is(await namespace.compareAndWrite(0, { expected: old!, next: next! }), true);
  await namespace.read(0, back!);
  assert.is(isStamped(back!, 0, 2), true);
  await rig.close();
});

test('the doorbell of a fused pair is rung once, behind its second half', async () => {
  const fn = new FakeFunction();
  const controller = await NvmeController.open(fn);
  const namespace = await controller.namespace(1);
  const buffer = namespace.memory.allocate(512);
  const before = fn.trace.length;
  await namespace.compareAndWrite(0, { expected: buffer, next: buffer });
  // Queue 1's tail doorbell lies at 1008h with a stride of 4.
  const rings = fn.trace.slice(before).filter((line) => line.startsWith('bar 0x1008'));
  assert.equal(rings, ['bar 0x1008 = 2']);
  const pair = fn.fetched.filter((one) => one.queueId === 1);
  assert.equal(
    pair.map((one) => [one.opcode, (one.words[0]! >>> 8) & 3]),
    [
      [NvmOpcode.compare, 1],
      [NvmOpcode.write, 2],
    ],
  );
  await controller.close();
});

test('copy, verify, write zeroes and deallocate do what they say', async () => {
  const rig = await simRig('sim:simple?bytes=16MiB');
  const { namespace } = rig;
  const buffer = namespace.memory.allocate(page);
  stamp(buffer, 8, 1);
  await namespace.write(8, buffer);
  await namespace.verify({ lba: 8, blockCount: 8 });
  const sources = [
    { lba: 8, blockCount: 4 },
    { lba: 12, blockCount: 4 },
  ];
  await namespace.copy(sources, 100);
  await namespace.read(100, buffer);
  assert.is(isStamped(buffer, 8, 1), true);
  await namespace.writeZeroes({ lba: 100, blockCount: 8 });
  await namespace.deallocate(sources);
  for (const lba of [100, 8]) {
    await namespace.read(lba, buffer);
    assert.is(
      buffer.words.every((word) => word === 0),
      true,
    );
  }
  await rig.close();
});

test('a block marked uncorrectable reads as a media error until it is written', async () => {
  const rig = await simRig('sim:simple?bytes=16MiB');
  const { namespace } = rig;
  const buffer = namespace.memory.allocate(page);
  await namespace.writeUncorrectable({ lba: 3, blockCount: 1 });
  const error = await errorOf(namespace.read(0, buffer));
  assert.is(error.code, 'COMMAND_FAILED');
  assert.is(error.facts.blockStatus, BlockStatus.mediaError);
  assert.is(statusKind(Number(error.facts.status)), MediaStatus.unrecoveredReadError);
  await namespace.write(0, buffer);
  await namespace.read(0, buffer);
  await rig.close();
});

test('a reservation is registered, acquired, reported and released', async () => {
  const rig = await simRig('sim:simple?bytes=16MiB');
  const { reservations } = rig.namespace;
  await reservations.register({ action: 'register', newKey: 0xabcn });
  await reservations.acquire({ action: 'acquire', type: 'write exclusive', key: 0xabcn });
  const state = await reservations.report();
  assert.is(state.type, 'write exclusive');
  assert.is(state.registered.length, 1);
  assert.is(state.registered[0]!.isHolder, true);
  assert.is(state.registered[0]!.key, 0xabcn);
  await reservations.release({ action: 'release', type: 'write exclusive', key: 0xabcn });
  assert.is((await reservations.report()).type, 'none');
  await rig.close();
});

test('protection information of its own is checked by the controller', async () => {
  const rig = await simRig('sim:simple?bytes=16MiB');
  await rig.controller.admin.format(1, { formatIndex: 1, protectionType: 1 });
  const namespace = await rig.controller.namespace(1);
  const buffer = namespace.memory.allocate(512);
  stamp(buffer, 5, 1);
  const insert = { action: true, applicationTag: 0x1234 };
  await namespace.write(5, buffer, { protection: insert });
  const check = { action: true, checkGuard: true, checkReference: true };
  await namespace.read(5, buffer, { protection: check });
  assert.is(isStamped(buffer, 5, 1), true);
  const wrong = { ...check, checkApplication: true, applicationTag: 1, applicationMask: 0xffff };
  const error = await errorOf(namespace.read(5, buffer, { protection: wrong }));
  assert.is(statusKind(Number(error.facts.status)), MediaStatus.applicationTagCheckError);
  assert.is(error.facts.blockStatus, BlockStatus.integrityError);
  await rig.close();
});

test('an aborted promise settles when the card is done with the memory', async () => {
  const rig = await simRig('sim:simple?bytes=16MiB&media.writeNs=50000000&cache.bytes=0');
  const { namespace } = rig;
  const abort = new AbortController();
  const writing = namespace.write(0, namespace.memory.allocate(page), { signal: abort.signal });
  await Promise.resolve();
  abort.abort();
  const result = await writing.then(
    () => null,
    (error: unknown) => error,
  );
  // An abort may come too late: then the write has happened, and the promise says so.
  if (result !== null) {
    assert.instance(result, UltimaError);
    assert.is(result instanceof UltimaError && result.code, 'COMMAND_ABORTED');
  }
  const early = namespace.write(0, namespace.memory.allocate(page), { signal: abort.signal });
  assert.is((await errorOf(early)).facts.outcome, 'not executed');
  await rig.close();
});

test('a deadline aborts the command and is named in the error', async () => {
  const rig = await simRig('sim:simple?bytes=16MiB&media.readNs=900000000');
  const { namespace } = rig;
  const startNs = namespace.clock.nowNs();
  const reading = namespace.read(0, namespace.memory.allocate(page), {
    deadlineNs: startNs + 1_000_000,
  });
  const error = await errorOf(reading);
  assert.is(error.code, 'COMMAND_TIMEOUT');
  assert.ok(namespace.clock.nowNs() - startNs < 500_000_000);
  assert.is(rig.controller.state, 'ready');
  await rig.close();
});

test('requests that cannot be are refused before anything changes', async () => {
  const rig = await simRig('sim:simple?bytes=16MiB');
  const { namespace } = rig;
  const good = () => requestOn(namespace, BlockOp.read, page);
  const end = namespace.blockCount;
  const cases: [string, (request: BlockRequest) => void, typeof RangeError | typeof TypeError][] = [
    ['beyond the end', (r) => (r.lba = end - 7), RangeError],
    ['negative', (r) => (r.lba = -1), RangeError],
    ['a fraction', (r) => (r.lba = 0.5), RangeError],
    ['not a number', (r) => (r.lba = Number.NaN), RangeError],
    ['part of a block', (r) => spoilLength(r, 513), RangeError],
    ['a fraction of a byte', (r) => r.setData(r.region!, 0.5, page), RangeError],
    ['no blocks', (r) => (r.blockCount = 0), RangeError],
    ['more blocks than data', (r) => (r.blockCount = 9), RangeError],
    ['no segment', (r) => (r.segmentCount = 0), RangeError],
    ['outside its region', (r) => r.setData(r.region!, 4, page), RangeError],
    ['before its region', (r) => r.setData(r.region!, -4, page), RangeError],
    ['a fraction of a count', (r) => (r.blockCount = 7.5), RangeError],
    ['unknown flag', (r) => (r.flags = 2), RangeError],
    ['freed', (r) => namespace.memory.free(r.region!), TypeError],
    ['foreign', (r) => r.setData(new FakeFunction().dma.allocate(page), 0, page), TypeError],
  ];
  for (const [what, spoil, kind] of cases) {
    const request = good();
    spoil(request);
    let thrown: unknown = null;
    try {
      namespace.submit(request);
    } catch (error) {
      thrown = error;
    }
    assert.instance(thrown, kind, what);
  }
  const bare = new BlockRequest(() => {});
  bare.blockCount = 8;
  bare.segmentCount = 1;
  assert.throws(() => namespace.submit(bare), 'freed memory');
  await namespace.read(0, namespace.memory.allocate(page));
  await rig.close();
});

function spoilLength(request: BlockRequest, bytes: number): void {
  request.blockCount = bytes / 512;
  request.setData(request.region!, 0, bytes);
}

test('data that is no whole number of blocks is refused with both numbers', async () => {
  const rig = await simRig('sim:simple?bytes=16MiB');
  const { namespace } = rig;
  const messageOf = async (run: () => Promise<unknown>): Promise<string> => {
    try {
      await run();
      return 'nothing was thrown';
    } catch (error) {
      return error instanceof RangeError ? error.message : String(error);
    }
  };
  const before = new Uint8Array(1024).fill(9);
  await namespace.write(0, before);
  for (const bytes of [0, 1, 511, 513, 1023]) {
    const said = `${bytes} bytes of data; it must be whole blocks of 512 bytes, at least one`;
    const data = new Uint8Array(bytes);
    assert.is(await messageOf(() => namespace.write(0, data)), said);
    assert.is(await messageOf(() => namespace.read(0, data)), said);
    if (bytes === 0) continue;
    assert.is(await messageOf(() => namespace.compare(0, data)), said);
    assert.is(await messageOf(() => namespace.write(0, data, { isLimitedRetry: true })), said);
  }
  const after = new Uint8Array(1024);
  await namespace.read(0, after);
  assert.equal(after, before);
  assert.is(
    await messageOf(() => namespace.read(namespace.blockCount - 1, new Uint8Array(1024))),
    'blocks 32767..32768 of a device that has blocks 0..32767',
  );
  await rig.close();
});

test('more requests than fit in flight are refused, and canSubmit says so', async () => {
  const rig = await simRig('sim:simple?bytes=16MiB', { queueEntries: 8 });
  const { namespace } = rig;
  let ended = 0;
  for (let i = 0; i < 7; i++) {
    assert.is(namespace.canSubmit(), true);
    const request = requestOn(namespace, BlockOp.read, page);
    request.done = () => ended++;
    namespace.submit(request);
  }
  assert.is(namespace.canSubmit(), false);
  const extra = requestOn(namespace, BlockOp.read, page);
  assert.throws(
    () => namespace.submit(extra),
    (error: unknown) => {
      return error instanceof UltimaError && error.code === 'QUEUE_FULL';
    },
  );
  pollUntil(namespace, () => ended === 7);
  await rig.close();
});

test('done never runs inside submit', async () => {
  const rig = await simRig('sim:simple?bytes=16MiB');
  const { namespace, card, controller } = rig;
  card.surpriseRemove();
  namespace.queuePair.checkClock();
  let isInside = true;
  let count = 0;
  for (const op of [BlockOp.read, BlockOp.write, BlockOp.flush] as const) {
    const request = new BlockRequest(() => {
      assert.is(isInside, false);
      count++;
    });
    request.op = op;
    request.blockCount = op === BlockOp.flush ? 0 : 8;
    if (op !== BlockOp.flush) request.setData(namespace.memory.allocate(page), 0, page);
    namespace.submit(request);
  }
  isInside = false;
  pollUntil(namespace, () => count === 3);
  await controller.close();
});

test('all 16 dwords of an entry are written, whatever the ring slot held before', async () => {
  const fn = new FakeFunction();
  const controller = await NvmeController.open(fn, { queueEntries: 2 });
  const namespace = await controller.namespace(1);
  const ring = namespace.queuePair.submission.words;
  const lba = 2 ** 32 + 5;
  for (const op of [
    BlockOp.read,
    BlockOp.write,
    BlockOp.flush,
    BlockOp.discard,
    BlockOp.writeZeroes,
  ]) {
    ring.fill(0xffff_ffff);
    const before = fn.fetched.length;
    if (op === BlockOp.read) await namespace.read(lba, namespace.memory.allocate(page));
    else if (op === BlockOp.write) await namespace.write(lba, namespace.memory.allocate(page));
    else if (op === BlockOp.flush) await namespace.flush();
    else if (op === BlockOp.discard) await namespace.discard({ lba, blockCount: 8 });
    else await namespace.writeZeroes({ lba, blockCount: 8 });
    const [one] = fn.fetched.slice(before);
    const words = one!.words;
    assert.is(words[1], 1);
    // CDW2, CDW3 and the metadata pointer of these commands are 0 here; so is the second PRP.
    for (const i of [2, 3, 4, 5, 8, 9, 13, 14, 15]) assert.is(words[i], 0, `op ${op} dword ${i}`);
    if (op === BlockOp.read || op === BlockOp.write || op === BlockOp.writeZeroes) {
      assert.equal([...words.subarray(10, 13)], [5, 1, 7]);
    }
  }
  await controller.close();
});

test('a flush is one command whatever its request carried before', async () => {
  const fn = new FakeFunction();
  const controller = await NvmeController.open(fn);
  const namespace = await controller.namespace(1);
  let isOver = false;
  const request = new BlockRequest(() => {
    isOver = true;
  });
  request.op = BlockOp.flush;
  request.blockCount = 100;
  const before = fn.fetched.length;
  namespace.submit(request);
  pollUntil(namespace, () => isOver);
  assert.is(fn.fetched.length - before, 1);
  await controller.close();
});

test('an observer sees the four stages of every command in order', async () => {
  const rig = await simRig('sim:simple?bytes=16MiB', { queueEntries: 8 });
  const { namespace } = rig;
  const stages: string[] = [];
  const note = (stage: string) => (_: unknown, slot: number) => stages.push(`${slot} ${stage}`);
  const observer: QueueObserver = {
    submitted: note('submitted'),
    rang: note('rang'),
    seen: note('seen'),
    calledBack: note('called back'),
  };
  namespace.queuePair.observer = observer;
  await Promise.all([0, 8, 16].map((lba) => namespace.read(lba, namespace.memory.allocate(page))));
  for (const slot of [0, 1, 2]) {
    const own = stages.filter((stage) => stage.startsWith(`${slot} `));
    assert.equal(
      own,
      ['submitted', 'rang', 'seen', 'called back'].map((stage) => `${slot} ${stage}`),
    );
  }
  namespace.queuePair.observer = null;
  await rig.close();
});

for (const boundary of [64, 100]) {
  test(`no command crosses a multiple of ${boundary} blocks or is larger than MDTS`, async () => {
    const fn = new FakeFunction();
    fn.onIdentify = (cns, identify) => {
      if (cns === Cns.namespace) IdentifyNamespace.noiob.set(identify, 0, boundary);
      // 2^4 pages of 4 KiB: 128 blocks of 512 bytes.
      if (cns === Cns.controller) IdentifyController.mdts.set(identify, 0, 4);
    };
    const controller = await NvmeController.open(fn, { queueEntries: 4 });
    const namespace = await controller.namespace(1);
    for (const [lba, count] of [
      [0, boundary],
      [boundary - 1, 2],
      [2 * boundary - 3, 5],
      [7, 1000],
    ] as const) {
      const before = fn.fetched.length;
      await namespace.read(lba, namespace.memory.allocate(count * 512));
      let next = lba;
      for (const { words } of fn.fetched.slice(before)) {
        const blocks = (words[12]! & 0xffff) + 1;
        assert.is(words[10], next);
        assert.is(Math.floor(next / boundary), Math.floor((next + blocks - 1) / boundary));
        assert.ok(blocks <= 128);
        next += blocks;
      }
      assert.is(next, lba + count);
    }
    await controller.close();
  });
}

test('separate metadata travels beside the data', async () => {
  const rig = await simRig('sim:simple?bytes=16MiB');
  await rig.controller.admin.format(1, { formatIndex: 4 });
  const namespace = await rig.controller.namespace(1);
  const data = namespace.memory.allocate(2 * page);
  const own = namespace.memory.allocate(128);
  const metadata = { region: own, offset: 0, length: 128 };
  stamp(data, 1, 1);
  stamp(own, 2, 2);
  await namespace.write(6, data, { metadata });
  data.words.fill(0);
  own.words.fill(0);
  await namespace.read(6, data, { metadata });
  assert.is(isStamped(data, 1, 1), true);
  assert.is(isStamped(own, 2, 2), true);
  await rig.close();
});

test('a large request of which one piece fails ends once, as failed', async () => {
  const rig = await simRig('sim:simple?bytes=16MiB', { queueEntries: 4 });
  const { namespace } = rig;
  const bytes = 4 * 1024 * 1024;
  await namespace.writeUncorrectable({ lba: 5000, blockCount: 1 });
  const request = requestOn(namespace, BlockOp.read, bytes);
  let ends = 0;
  request.done = () => ends++;
  namespace.submit(request);
  pollUntil(namespace, () => ends === 1);
  assert.is(request.status, BlockStatus.mediaError);
  for (let i = 0; i < 100; i++) namespace.poll();
  assert.is(ends, 1);
  await rig.close();
});

test('one doorbell hands over everything that was submitted between two polls', async () => {
  const fn = new FakeFunction();
  const controller = await NvmeController.open(fn);
  const namespace = await controller.namespace(1);
  const before = fn.trace.length;
  await Promise.all(
    Array.from({ length: 20 }, (_, i) => namespace.read(i, namespace.memory.allocate(512))),
  );
  const rings = fn.trace.slice(before).filter((line) => line.startsWith('bar 0x1008'));
  assert.equal(rings, ['bar 0x1008 = 20']);
  await controller.close();
});

test.run();
