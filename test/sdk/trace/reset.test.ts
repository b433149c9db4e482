import * as assert from 'uvu/assert';
import { BlockStatus } from '../../../sdk/block/request.js';
import { NvmeController } from '../../../sdk/nvme/controller.js';
import { readTrace } from '../../../sdk/trace/read.js';
import { type ReplayResult, replayTrace } from '../../../sdk/trace/replay.js';
import { openSimulated } from '../../../sim/open.js';
import { suite } from '../../support/suite.js';

const test = suite('a replay while the controller is reset');
const trace = await readTrace('fixtures/traces/ext4-sqlite.blkparse.gz', { limit: 3000 });

/** Replay at full speed and ask for `resets` resets at once, again and again. */
async function underResets(resets: number): Promise<{ result: ReplayResult; done: number }> {
  const card = openSimulated('sim:simple?bytes=1GiB&seed=3');
  const controller = await NvmeController.open(card.open(), { queueEntries: 64 });
  const namespace = await controller.namespace(1);
  const asked: Promise<void>[] = [];
  const result = await replayTrace(namespace, trace, {
    mode: 'depth',
    keep: 1000,
    onProgress: ({ phase }) => {
      if (phase === 'read-back' || controller.state !== 'ready') return;
      for (let i = 0; i < resets; i++) asked.push(controller.reset());
    },
  });
  await Promise.all(asked);
  await controller.close();
  card.checker.demandNone();
  await card.close();
  return { result, done: asked.length };
}

test('each request ends, those in flight as unknown, and no block is wrong', async () => {
  const { result, done } = await underResets(1);
  assert.ok(done >= 5, `${done} resets`);
  assert.is(result.requests, 3000);
  assert.ok(result.failed > 0);
  const expected: number[] = [BlockStatus.unknown, BlockStatus.notExecuted];
  for (const { status } of result.firstFailures) assert.ok(expected.includes(status), `${status}`);
  assert.equal(result.firstMismatches, []);
});

test('resets asked for at the same time run one after the other', async () => {
  const { result, done } = await underResets(3);
  assert.ok(done >= 9, `${done} resets`);
  assert.equal(result.firstMismatches, []);
});

test.run();
