import * as assert from 'uvu/assert';
import { BlockOp, BlockRequest, BlockStatus } from '../../../sdk/block/request.js';
import { UltimaError } from '../../../sdk/errors.js';
import type { CompletionMode, SglUse } from '../../../sdk/nvme/options.js';
import { Prng } from '../../../sim/prng.js';
import { suite } from '../../support/suite.js';
import { isStamped, pollUntil, requestOn, scatter, simRig, stamp } from './rig.js';

const test = suite('the driver on the simulated card');
const page = 4096;

/** The code of the UltimaError that a promise rejects with, and its outcome. */
async function failureOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return 'none';
  } catch (error) {
    if (!(error instanceof UltimaError)) return String(error);
    return `${error.code} ${error.facts.outcome}`;
  }
}

for (const sgl of ['never', 'always'] as const satisfies readonly SglUse[]) {
  test(`every size and first-page offset reads back what was written (SGL ${sgl})`, async () => {
    const rig = await simRig('sim:simple?bytes=64MiB', { sgl, queueEntries: 32 });
    const { namespace } = rig;
    const whole = namespace.memory.allocate(1024 * 1024 + page);
    for (const blocks of [1, 2, 7, 8, 9, 15, 16, 17, 255, 256, 257, 1024, 2048]) {
      for (const offset of [0, 4, 512, page - 4]) {
        const slice = { region: whole, offset, length: blocks * 512 };
        const view = whole.bytes.subarray(offset, offset + blocks * 512);
        for (let i = 0; i < view.length; i++) view[i] = (i * 7 + blocks + offset) & 0xff;
        const wanted = view.slice();
        await namespace.write(3, slice);
        view.fill(0xee);
        await namespace.read(3, slice);
        assert.is(Buffer.compare(view, wanted), 0, `${blocks} blocks at offset ${offset}`);
      }
    }
    await rig.close();
  });
}

test('scattered memory of any shape arrives in order, by PRP, SGL or bounced', async () => {
  const seed = 42;
  console.log(`seed ${seed}`);
  const prng = new Prng(seed, 'scatter');
  for (const sgl of ['never', 'when needed'] as const) {
    const rig = await simRig('sim:simple?bytes=64MiB', { sgl, queueEntries: 8 });
    const { namespace } = rig;
    const region = namespace.memory.allocate(64 * 1024);
    const back = namespace.memory.allocate(64 * 1024);
    let isOver = false;
    const request = new BlockRequest(() => {
      isOver = true;
    });
    const run = (): void => {
      isOver = false;
      namespace.submit(request);
      pollUntil(namespace, () => isOver);
      assert.is(request.status, BlockStatus.ok);
    };
    for (const unit of [4, 512, 1, page, 100]) {
      const bytes = unit === 100 ? 51200 : 65536;
      stamp(region, unit, 1);
      request.lba = 100;
      request.blockCount = bytes / 512;
      request.op = BlockOp.write;
      scatter(request, { region, bytes, unit }, prng);
      run();
      request.op = BlockOp.read;
      back.bytes.fill(0);
      scatter(request, { region: back, bytes, unit }, prng);
      run();
      const isEqual = Buffer.compare(
        back.bytes.subarray(0, bytes),
        region.bytes.subarray(0, bytes),
      );
      assert.is(isEqual, 0, `pieces of ${unit}, SGL ${sgl}`);
    }
    await rig.close();
  }
});

for (const completionMode of [
  'polling',
  'interrupt',
  'hybrid',
] as const satisfies readonly CompletionMode[]) {
  test(`a reset under a full queue ends each command once (${completionMode})`, async () => {
    const rig = await simRig('sim:ultima-g2?bytes=64MiB', { completionMode, queueEntries: 64 });
    const { namespace, controller } = rig;
    const buffers = Array.from({ length: 200 }, () => namespace.memory.allocate(page));
    const outcomes = buffers.map((buffer, i) => failureOf(namespace.write(i, buffer)));
    await controller.reset();
    const ends = await Promise.all(outcomes);
    assert.is(ends.length, 200);
    // Those beyond the queue's depth waited for the reset and were carried out after it.
    assert.ok(ends.filter((end) => end === 'none').length >= 200 - 63);
    assert.is(
      ends.every((end) => end === 'none' || end === 'COMMAND_ABORTED unknown'),
      true,
    );
    stamp(buffers[0]!, 0, 5);
    await namespace.write(0, buffers[0]!);
    await namespace.read(0, buffers[1]!);
    assert.is(isStamped(buffers[1]!, 0, 5), true);
    await rig.close();
  });
}

for (const completionMode of ['polling', 'interrupt'] as const) {
  test(`who polls all through a reset rings no doorbell (${completionMode})`, async () => {
    const rig = await simRig('sim:simple?bytes=64MiB', { completionMode, queueEntries: 16 });
    const { namespace, controller } = rig;
    const again = Array.from({ length: 15 }, () => {
      const request = requestOn(namespace, BlockOp.write, page);
      request.done = () => again.push(request);
      return request;
    });
    const turn = (): void => {
      while (again.length > 0 && namespace.canSubmit()) namespace.submit(again.pop()!);
      namespace.poll();
    };
    for (let round = 0; round < 20; round++) {
      for (let i = 0; i < 30 + round; i++) {
        turn();
        namespace.clock.idle(namespace.clock.nowNs() + 5_000 + round * 100);
      }
      let isOver = false;
      const reset = controller.reset().then(() => {
        isOver = true;
      });
      while (!isOver) {
        turn();
        await namespace.clock.turn(namespace.clock.nowNs() + 5_000);
      }
      await reset;
    }
    // `close` demands that the checker has seen nothing.
    await rig.close();
  });
}

test('twenty thousand mixed requests through a polled queue all verify', async () => {
  const seed = 7;
  console.log(`seed ${seed}`);
  const prng = new Prng(seed, 'mix');
  const rig = await simRig('sim:ultima-g2?bytes=256MiB', { queueEntries: 64 });
  const { namespace } = rig;
  const generations = new Uint32Array(4096);
  let ended = 0;
  let wrong = 0;
  const total = 20_000;
  const busy = new Set<number>();
  const start = (request: BlockRequest): void => {
    let lba = prng.below(4096);
    while (busy.has(lba)) lba = (lba + 1) % 4096;
    busy.add(lba);
    request.lba = lba;
    request.op = generations[lba] === 0 || prng.below(3) === 0 ? BlockOp.write : BlockOp.read;
    const region = request.regions[0]!;
    if (request.op === BlockOp.write) stamp(region, lba, ++generations[lba]!);
    else region.words.fill(0);
    namespace.submit(request);
  };
  let started = 0;
  for (; started < 48; started++) {
    const request = requestOn(namespace, BlockOp.read, page);
    request.done = (one) => {
      busy.delete(one.lba);
      ended++;
      const isRight = isStamped(one.regions[0]!, one.lba, generations[one.lba]!);
      if (one.status !== BlockStatus.ok || !isRight) wrong++;
      if (started++ < total) start(one);
    };
    start(request);
  }
  pollUntil(namespace, () => ended >= total);
  pollUntil(namespace, () => busy.size === 0);
  assert.is(wrong, 0);
  await rig.close();
});

test('blocks beyond 2^32, and of a namespace above 16 TiB, are addressed right', async () => {
  const rig = await simRig('sim:simple?bytes=20TiB&subsystem.capacityBytes=24189255811072');
  const { namespace } = rig;
  const buffer = namespace.memory.allocate(page);
  const places = [0, 2 ** 32 - 8, 2 ** 32, 2 ** 32 + 8, namespace.blockCount - 8];
  for (const lba of places) {
    stamp(buffer, lba, 1);
    await namespace.write(lba, buffer);
  }
  for (const lba of places) {
    await namespace.read(lba, buffer);
    assert.is(isStamped(buffer, lba, 1), true, `block ${lba}`);
  }
  await rig.close();
});

test('block formats with metadata and protection information carry data', async () => {
  for (const [format, dataBytes] of [
    [0, 512],
    [1, 512],
    [2, 4096],
    [3, 4096],
    [4, 4096],
  ] as const) {
    for (const protectionType of format === 0 || format === 2 ? [0] : [0, 1, 2, 3]) {
      for (const isExtended of format === 0 || format === 2 ? [false] : [false, true]) {
        const rig = await simRig('sim:simple?bytes=16MiB');
        const options = { formatIndex: format, protectionType, isExtended };
        await rig.controller.admin.format(1, options);
        const namespace = await rig.controller.namespace(1);
        const what = `format ${format} PI ${protectionType} extended ${isExtended}`;
        assert.is(namespace.format.dataBytes, dataBytes, what);
        const region = namespace.memory.allocate(namespace.blockBytes * 4);
        stamp(region, 9, protectionType);
        await namespace.write(9, region);
        region.words.fill(0);
        await namespace.read(9, region);
        const isAllThere = protectionType === 0 || namespace.format.metadataBytes === 8;
        if (isAllThere) assert.is(isStamped(region, 9, protectionType), true, what);
        await rig.close();
      }
    }
  }
});

test('two namespaces on one queue pair keep their blocks apart', async () => {
  const rig = await simRig('sim:simple?bytes=16MiB');
  const { controller } = rig;
  const { admin } = controller;
  const { controllerId } = await admin.identifyController();
  const nsid = await admin.createNamespace({ blockCount: 32768 });
  assert.not.equal(nsid, 1);
  await admin.attachNamespace(nsid, [controllerId]);
  const pair = await controller.createQueuePair({ entries: 64 });
  const first = await controller.namespace(1, { queuePair: pair });
  const second = await controller.namespace(nsid, { queuePair: pair });
  const buffer = controller.memory.allocate(page);
  for (const namespace of [first, second]) {
    stamp(buffer, 0, namespace.nsid);
    await namespace.write(0, buffer);
  }
  for (const namespace of [first, second]) {
    await namespace.read(0, buffer);
    assert.is(isStamped(buffer, 0, namespace.nsid), true);
  }
  await admin.detachNamespace(nsid, [controllerId]);
  await admin.deleteNamespace(nsid);
  await rig.close();
});

test('many submission queues can share one completion queue', async () => {
  const rig = await simRig('sim:ultima-g2?bytes=64MiB');
  const { controller } = rig;
  const first = await controller.createQueuePair({ entries: 32, completionEntries: 256 });
  const more = [];
  for (let i = 0; i < 3; i++) {
    more.push(await controller.createQueuePair({ entries: 32, shareCompletionOf: first }));
  }
  const work = [first, ...more].map(async (queuePair, i) => {
    const namespace = await controller.namespace(1, { queuePair });
    const buffer = controller.memory.allocate(page);
    for (let round = 0; round < 20; round++) {
      stamp(buffer, i, round);
      await namespace.write(i, buffer);
      buffer.words.fill(0);
      await namespace.read(i, buffer);
      assert.is(isStamped(buffer, i, round), true);
    }
  });
  await Promise.all(work);
  const refused = await controller.deleteQueuePair(first).catch((error: unknown) => error);
  assert.instance(refused, TypeError);
  for (const pair of more.reverse()) await controller.deleteQueuePair(pair);
  await controller.deleteQueuePair(first);
  await rig.close();
});

test('a poll counts what it ends for others on its queue pair or its completion queue', async () => {
  const rig = await simRig('sim:simple?bytes=16MiB');
  const { controller } = rig;
  const first = await controller.createQueuePair({ entries: 32, completionEntries: 256 });
  const other = await controller.createQueuePair({ entries: 32, shareCompletionOf: first });
  const polled = await controller.namespace(1, { queuePair: first });
  for (const queuePair of [first, other]) {
    const namespace = await controller.namespace(1, { queuePair });
    let ended = 0;
    for (let i = 0; i < 5; i++) {
      const request = requestOn(namespace, BlockOp.read, 4096);
      request.done = () => ended++;
      namespace.submit(request);
    }
    let counted = namespace.poll();
    while (ended < 5) {
      const seen = polled.poll() + namespace.poll();
      counted += seen;
      if (seen === 0) polled.clock.idle(polled.clock.nowNs() + 1_000_000);
    }
    assert.is(counted, 5);
  }
  await rig.close();
});

test('shadow doorbells carry the same I/O, also after a reset', async () => {
  const rig = await simRig('sim:simple?bytes=16MiB', { shadowDoorbells: true, queueEntries: 16 });
  const { namespace, controller } = rig;
  const buffer = namespace.memory.allocate(page);
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 50; i++) {
      stamp(buffer, i, round);
      await namespace.write(i * 8, buffer);
      await namespace.read(i * 8, buffer);
      assert.is(isStamped(buffer, i, round), true);
    }
    await controller.reset();
  }
  await rig.close();
});

test('weighted round robin is enabled with a priority per queue', async () => {
  const rig = await simRig('sim:ultima-g2?bytes=64MiB', { arbitration: 'weighted round robin' });
  for (const priority of ['urgent', 'high', 'medium', 'low'] as const) {
    const queuePair = await rig.controller.createQueuePair({ entries: 32, priority });
    const namespace = await rig.controller.namespace(1, { queuePair });
    await namespace.read(0, namespace.memory.allocate(page));
  }
  await rig.close();
});

test('a card that is pulled out ends everything as unknown, and close still works', async () => {
  const rig = await simRig('sim:ultima-g2?bytes=64MiB', { queueEntries: 64 });
  const { namespace, controller, card } = rig;
  const ends = Array.from({ length: 40 }, (_, i) =>
    failureOf(namespace.write(i, namespace.memory.allocate(page))),
  );
  await Promise.resolve();
  await Promise.resolve();
  card.surpriseRemove();
  const outcomes = await Promise.all(ends);
  assert.is(
    outcomes.every(
      (end) => end === 'DEVICE_REMOVED unknown' || end === 'DEVICE_REMOVED not executed',
    ),
    true,
  );
  const late = namespace.write(0, namespace.memory.allocate(page));
  assert.is(await failureOf(late), 'DEVICE_REMOVED not executed');
  assert.is(controller.state, 'removed');
  assert.match(await failureOf(controller.reset()), /^DEVICE_REMOVED/);
  await controller.close();
  await controller.close();
});

test('a request that waited while the controller was reset is carried out after it', async () => {
  const rig = await simRig('sim:simple?bytes=64MiB', { queueEntries: 4 });
  const { namespace, controller } = rig;
  const [first, second] = [1, 2].map(() => namespace.memory.allocate(8 * 1024 * 1024));
  const begun = failureOf(namespace.write(0, first!));
  const waiting = failureOf(namespace.write(20000, second!));
  await controller.reset();
  assert.is(await begun, 'COMMAND_ABORTED unknown');
  assert.is(await waiting, 'none');
  await rig.close();
});

test('promises on a lost card or a closed controller end as not executed', async () => {
  const rig = await simRig('sim:simple?bytes=64MiB', { queueEntries: 4 });
  const { namespace, controller, card } = rig;
  const buffer = namespace.memory.allocate(page);
  const large = namespace.memory.allocate(8 * 1024 * 1024);
  const early = [
    namespace.write(0, large),
    namespace.write(20000, large),
    namespace.read(0, buffer),
  ];
  const ends = early.map((promise) => failureOf(promise));
  await Promise.resolve();
  card.surpriseRemove();
  for (const end of ends) assert.match(await end, /^DEVICE_REMOVED (unknown|not executed)$/);
  assert.is(await failureOf(namespace.read(0, buffer)), 'DEVICE_REMOVED not executed');
  assert.is(
    await failureOf(namespace.verify({ lba: 0, blockCount: 1 })),
    'DEVICE_REMOVED not executed',
  );
  await controller.close();
  assert.match(await failureOf(namespace.flush()), /^COMMAND_ABORTED not executed/);
  assert.is(namespace.poll(), 0);
});

test('idle memory: a controller that was opened and closed leaves nothing mapped', async () => {
  const rig = await simRig('sim:simple?bytes=16MiB', { shadowDoorbells: true });
  await rig.controller.createQueuePair({ entries: 16 });
  await rig.close();
  await rig.controller.close();
});

test.run();
