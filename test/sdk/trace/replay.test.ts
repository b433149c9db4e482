import * as assert from 'uvu/assert';
import { BlockOp } from '../../../sdk/block/request.js';
import { UltimaError } from '../../../sdk/errors.js';
import type { ReplayOptions, ReplayResult } from '../../../sdk/trace/replay.js';
import { replayTrace } from '../../../sdk/trace/replay.js';
import type { Trace } from '../../../sdk/trace/trace.js';
import { TraceBuilder } from '../../../sdk/trace/trace.js';
import { Prng } from '../../../sim/prng.js';
import { suite } from '../../support/suite.js';
import type { Fault, FaultyOptions } from './faulty-device.js';
import { FaultyDevice } from './faulty-device.js';

const test = suite('replay');
const { read, write, flush, discard, writeZeroes } = BlockOp;

type Step = readonly [timeNs: number, op: BlockOp, offset: number, length: number, flags?: number];

function trace(steps: readonly Step[]): Trace {
  const builder = new TraceBuilder({ source: 'made', format: 'made', tickNs: 1 });
  for (const [timeNs, op, offset, length, flags] of steps) {
    builder.stamp(0, timeNs);
    builder.add(op, flags ?? 0, offset, length, builder.deviceIndex('a'));
  }
  return builder.build();
}

/** Many requests on few blocks, so that they overlap all the time. */
function crowded(seed: number, count = 1500): Trace {
  const prng = new Prng(seed, 'crowded');
  const ops = [read, read, read, write, write, write, write, discard, writeZeroes, flush];
  return trace(
    Array.from({ length: count }, (_, i) => {
      const op = ops[prng.below(ops.length)]!;
      const length = op === flush ? 0 : 4096 * (1 + prng.below(6));
      return [i * 9_000, op, 4096 * prng.below(100), length, 0] as const;
    }),
  );
}

function mixed(device: FaultyDevice, options: ReplayOptions = {}): Promise<ReplayResult> {
  return replayTrace(device, crowded(7), { mode: 'depth', depth: 16, ...options });
}

test('overlapping reads and writes on a device that reorders are all accepted', async () => {
  for (const discarded of ['zeroes', 'ones', 'old'] as const) {
    for (const seed of [1, 2]) {
      for (const mode of ['recorded', 'depth'] as const) {
        const device = new FaultyDevice({ seed, discarded });
        const result = await replayTrace(device, crowded(seed), { mode, depth: 24 });
        const what = `seed ${seed}, ${mode}, discarded blocks read as ${discarded}`;
        assert.equal(result.firstMismatches, [], what);
        assert.is(result.requests, 1500, what);
        assert.ok(result.heldBack > 0, `nothing overlapped: ${what}`);
        assert.is(device.peakInFlight, 24, what);
      }
    }
  }
});

const faults: readonly [Fault['kind'], RegExp][] = [
  ['lostWrite', /stale/],
  ['misdirectedWrite', /misplaced|stale/],
  ['tornWrite', /torn/],
  ['staleRead', /stale/],
  ['misdirectedRead', /misplaced/],
  ['flippedRead', /torn/],
  ['untouchedRead', /foreign/],
];

/** A log that is written once from front to back and read twice: each block has one right value. */
function log(): Trace {
  const steps: Step[] = [];
  for (let i = 0; i < 300; i++) steps.push([i * 300_000, write, i * 8192, 8192]);
  for (let i = 0; i < 300; i++) steps.push([(300 + i) * 300_000, write, i * 8192, 8192]);
  for (let i = 0; i < 300; i++) steps.push([(600 + i) * 300_000, read, i * 8192, 8192]);
  return trace(steps);
}

for (const [kind, expected] of faults) {
  test(`one block with the fault ${kind} is found and told apart, wherever it is`, async () => {
    // Of 1200 blocks that are written, the second 600 stay to be read; 600 are read.
    for (const at of kind.endsWith('Write') ? [600, 601, 850, 1199] : [0, 1, 250, 599]) {
      const device = new FaultyDevice({ seed: 5, fault: { kind, at } });
      const result = await replayTrace(device, log(), { mode: 'recorded' });
      assert.ok(device.wasHit, `${kind} at block ${at} did not happen`);
      assert.ok(result.mismatches > 0, `${kind} at block ${at} was not seen`);
      assert.match(result.firstMismatches[0]!.kind, expected, `${kind} at block ${at}`);
    }
  });
}

function faulty(fault: Fault, more: Partial<FaultyOptions> = {}): FaultyDevice {
  return new FaultyDevice({ seed: 5, fault, ...more });
}

test('a write that is lost over older data reads as stale and names both versions', async () => {
  // Block 700 of those written lies in the second pass: request 350, blocks 100 and 101.
  const device = faulty({ kind: 'lostWrite', at: 700 });
  const result = await replayTrace(device, log());
  const { kind, lba, expectedVersion, foundVersion, foundLba } = result.firstMismatches[0]!;
  assert.is(kind, 'stale');
  assert.is(Math.floor(lba / 2), 50);
  assert.is(expectedVersion, 351);
  assert.is(foundVersion, 51);
  assert.is(foundLba, lba);
});

test('a misdirected write shows at both places', async () => {
  const device = faulty({ kind: 'misdirectedWrite', at: 1199 });
  const result = await replayTrace(device, log());
  // Seen by the reads of the log or by the read-back: the last block went one too far.
  const kinds = new Set(result.firstMismatches.map((mismatch) => mismatch.kind));
  assert.ok(kinds.has('stale') || kinds.has('lost'), [...kinds].join());
});

test('what no recorded read looks at is found by the read-back', async () => {
  const steps: Step[] = [[0, write, 0, 8192]];
  const lost = faulty({ kind: 'lostWrite', at: 1 });
  const result = await replayTrace(lost, trace(steps));
  assert.is(result.mismatches, 1);
  assert.is(result.firstMismatches[0]!.request, -1);
  const unread = faulty({ kind: 'lostWrite', at: 1 });
  assert.is((await replayTrace(unread, trace(steps), { readsBack: false })).mismatches, 0);
});

test('a failed write is counted, and its blocks may hold old or new data', async () => {
  const device = faulty({ kind: 'failedWrite', at: 700 });
  const result = await replayTrace(device, log());
  assert.is(result.failed, 1);
  assert.is(result.firstFailures[0]!.request, 350);
  assert.is(result.mismatches, 0);
});

test('a device that stops answering ends the replay with the facts', async () => {
  const device = faulty({ kind: 'stuck', at: 0 });
  try {
    await replayTrace(device, log(), { mode: 'depth', depth: 8, deadlineNs: 2_000_000_000 });
  } catch (error) {
    assert.instance(error, UltimaError);
    assert.match(String(error), /no request ended for 2\d{3} ms of device time with \d+ in flight/);
    return;
  }
  throw new Error('the replay ended');
});

test('as recorded, requests start at their time, divided by the speed', async () => {
  const steps: Step[] = [
    [0, write, 0, 4096],
    [1_000_000, read, 0, 4096],
    [7_000_000, flush, 0, 0],
  ];
  for (const speed of [1, 2, 0.5]) {
    const device = new FaultyDevice({ seed: 1 });
    await replayTrace(device, trace(steps), { speed, readsBack: false });
    const startNs = device.submitted[0]!.atNs;
    const times = device.submitted.map((request) => request.atNs - startNs);
    assert.equal(times, [0, 1_000_000 / speed, 7_000_000 / speed]);
  }
});

test('at a depth, that many requests are in flight and time stamps do not matter', async () => {
  const steps = Array.from({ length: 200 }, (_, i): Step => [i * 1e9, read, i * 4096, 4096]);
  const device = new FaultyDevice({ seed: 1 });
  const result = await replayTrace(device, trace(steps), { mode: 'depth', depth: 5 });
  assert.is(device.peakInFlight, 5);
  // 200 requests of at most 200 us, five at a time.
  assert.ok(result.durationNs <= 200 * 200_000);
  assert.is(result.latency.read.count, 200);
});

test('FUA reaches the device, and no other flag does', async () => {
  const device = new FaultyDevice({ seed: 1 });
  await replayTrace(device, trace([[0, write, 0, 4096, 1]]), { readsBack: false });
  assert.is(device.submitted[0]!.flags, 1);
});

test('reads and writes widen to whole blocks, discards shrink, large transfers split', async () => {
  const device = new FaultyDevice({ seed: 1, limits: { maxTransferBytes: 16_384 } });
  const result = await replayTrace(
    device,
    trace([
      [0, read, 1024, 1024],
      [1e6, write, 4095, 4098],
      [2e6, discard, 4095, 12_290],
      [3e6, discard, 100, 4000],
      [4e6, write, 0, 40_960],
    ]),
    { readsBack: false },
  );
  const sent = device.submitted.map(({ op, lba, blocks }) => [op, lba, blocks]);
  assert.equal(sent, [
    [read, 0, 1],
    [write, 0, 3],
    [discard, 1, 3],
    [write, 0, 4],
    [write, 4, 4],
    [write, 8, 2],
  ]);
  const { roundedRecords, droppedRecords, splitRecords, foldedRecords } = result.plan;
  assert.equal([roundedRecords, droppedRecords, splitRecords, foldedRecords], [4, 1, 1, 0]);
});

test('no request is larger than a mebibyte, whatever the device takes', async () => {
  const device = new FaultyDevice({ seed: 1, limits: { maxTransferBytes: 2 ** 30 } });
  const result = await replayTrace(device, trace([[0, read, 0, 5 * 2 ** 20]]));
  assert.equal(
    device.submitted.map(({ lba, blocks }) => [lba, blocks]),
    [0, 1, 2, 3, 4].map((piece) => [piece * 256, 256]),
  );
  assert.is(result.plan.splitRecords, 1);
});

test('what lies beyond the device is folded back, inside and at the end', async () => {
  const device = new FaultyDevice({ seed: 1, blockCount: 100 });
  const result = await replayTrace(
    device,
    trace([
      [0, write, 4096 * 250, 4096],
      [1e6, write, 4096 * 199, 8192],
      [2e6, discard, 0, 4096 * 1000],
    ]),
    { readsBack: false },
  );
  const sent = device.submitted.map(({ lba, blocks }) => [lba, blocks]);
  assert.equal(sent, [
    [50, 1],
    [98, 2],
    [0, 100],
  ]);
  assert.is(result.plan.foldedRecords, 3);
});

test('recorded devices lie side by side', async () => {
  const builder = new TraceBuilder({ source: 'made', format: 'made', tickNs: 1 });
  builder.add(write, 0, 4096, 4096, builder.deviceIndex('a'));
  builder.add(write, 0, 4096, 4096, builder.deviceIndex('b'));
  const device = new FaultyDevice({ seed: 1 });
  await replayTrace(device, builder.build(), { readsBack: false });
  // The second begins at the next MiB: 256 blocks of 4096 bytes.
  assert.equal(
    device.submitted.map(({ lba }) => lba),
    [1, 257],
  );
});

test('unknown initial content is left unchecked on request, written content is not', async () => {
  const device = new FaultyDevice({ seed: 1 });
  await mixed(device, { seed: 1 });
  const strict = await replayTrace(device, trace([[0, read, 4096 * 50, 4096 * 50]]), { seed: 2 });
  assert.ok(strict.mismatches > 0);
  assert.is(strict.firstMismatches[0]!.kind, 'foreign');
  const lax = await mixed(device, { seed: 3, initial: 'any' });
  assert.is(lax.mismatches, 0);
  assert.ok(lax.unknownBytes > 0);
});

test('requests, bytes, verified bytes and latencies add up', async () => {
  const device = new FaultyDevice({ seed: 1 });
  const result = await replayTrace(device, log());
  assert.is(result.requests, 900);
  assert.is(result.readBytes, 300 * 8192);
  assert.is(result.writeBytes, 600 * 8192);
  assert.is(result.readBackBytes, 300 * 8192);
  assert.is(result.verifiedBytes, 2 * 300 * 8192);
  const { all, read: reads, write: writes } = result.latency;
  assert.equal([all.count, reads.count, writes.count], [900, 300, 600]);
  let inTimeline = 0;
  for (const { count } of result.timeline.all) inTimeline += count;
  assert.is(inTimeline, 900);
  assert.ok(result.durationNs >= 899 * 300_000);
});

test('options out of range are refused before anything is written', async () => {
  const device = new FaultyDevice({ seed: 1 });
  for (const options of [{ depth: 0 }, { depth: 1.5 }, { speed: 0 }, { speed: Number.NaN }]) {
    try {
      await replayTrace(device, log(), options);
      throw new Error('accepted');
    } catch (error) {
      assert.instance(error, RangeError);
    }
  }
  assert.is(device.submitted.length, 0);
});

test.run();
