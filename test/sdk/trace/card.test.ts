import * as assert from 'uvu/assert';
import { BlockOp } from '../../../sdk/block/request.js';
import { NvmeController } from '../../../sdk/nvme/controller.js';
import { openCard } from '../../../sdk/open.js';
import { readTrace } from '../../../sdk/trace/read.js';
import { type ReplayOptions, type ReplayResult, replayTrace } from '../../../sdk/trace/replay.js';
import { StageRecorder } from '../../../sdk/trace/stages.js';
import { suite } from '../../support/suite.js';

const test = suite('the recorded database on the simulated card');

const trace = await readTrace('fixtures/traces/ext4-sqlite.blkparse.gz', { limit: 2000 });

interface Outcome {
  readonly result: ReplayResult;
  readonly recorder: StageRecorder;
  readonly eventHash: string;
}

/** mkfs, mount, load and the first transactions, on a fresh card. */
async function replayed(address: string, options: ReplayOptions): Promise<Outcome> {
  const { fn, inside } = await openCard(address);
  assert.ok(inside !== null);
  const controller = await NvmeController.open(fn);
  const namespace = await controller.namespace(1);
  const recorder = new StageRecorder(namespace.clock, trace.count);
  for (const pair of controller.queuePairs) pair.observer = recorder;
  inside.observe(recorder);
  const result = await replayTrace(namespace, trace, { ...options, recorder });
  const eventHash = inside.eventHash();
  await controller.close();
  assert.equal(result.firstMismatches, []);
  assert.equal(result.firstFailures, []);
  assert.equal(inside.misuse(), []);
  assert.is(result.requests, 2000);
  return { result, recorder, eventHash };
}

test('as recorded, on blocks of 512 and of 4096 bytes, no byte is wrong', async () => {
  for (const format of [0, 2]) {
    const address = `sim:simple?bytes=1GiB&lbaFormat=${format}`;
    const { result } = await replayed(address, { mode: 'recorded' });
    // The record's own pace: blktrace has request 2000 at 5.082 s, request 1 at 0.0007 s.
    const seconds = result.durationNs / 1e9;
    assert.ok(seconds > 5.08 && seconds < 5.09, `${seconds}`);
    assert.is(result.plan.foldedRecords, 0);
  }
});

test('as fast as possible, no byte is wrong and the card is busier than as recorded', async () => {
  const { result } = await replayed('sim:ultima-g2', { mode: 'depth', depth: 32 });
  assert.ok(result.iops > 10_000, `${result.iops}`);
});

test('on a card smaller than the record, folded back, no byte is wrong', async () => {
  const { result } = await replayed('sim:simple?bytes=64MiB', { mode: 'depth' });
  assert.ok(result.plan.foldedRecords > 0);
});

test('one seed gives one run, event for event', async () => {
  const address = 'sim:ultima-g2?seed=9';
  const first = await replayed(address, { mode: 'depth', readsBack: false });
  const second = await replayed(address, { mode: 'depth', readsBack: false });
  assert.is(second.eventHash, first.eventHash);
});

test('the stages of the reads add up to their latency, and media takes its time', async () => {
  const address = 'sim:simple?bytes=1GiB&media.readNs=10000&media.readNextNs=0';
  const { result, recorder } = await replayed(address, { readsBack: false });
  const steps = recorder.means(BlockOp.read);
  const sum = steps.reduce((total, { meanNs }) => total + meanNs, 0);
  assert.ok(Math.abs(sum - result.latency.read.mean) < 1, `${sum}`);
  const media = steps.find(({ name }) => name === 'media start → media end');
  // Each read waits 10 us for the medium; only a busy firmware can make it more.
  assert.ok(media !== undefined && media.meanNs >= 10_000 && media.meanNs < 11_000);
});

test.run();
