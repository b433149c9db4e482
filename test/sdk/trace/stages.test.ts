import * as assert from 'uvu/assert';
import { BlockOp, BlockRequest } from '../../../sdk/block/request.js';
import type { Clock } from '../../../sdk/device.js';
import { StageRecorder } from '../../../sdk/trace/stages.js';
import { suite } from '../../support/suite.js';

const test = suite('time split');

/** A clock that a test sets, and a queue whose command identifier is slot + 512. */
function setUp(requests: number) {
  const time = { ns: 0 };
  const clock: Clock = { nowNs: () => time.ns, idle: () => {}, turn: async () => {} };
  const queue = { id: 3, cidOf: (slot: number) => slot + 512 };
  return { time, queue, recorder: new StageRecorder(clock, requests) };
}

function request(op: BlockOp, tag: number): BlockRequest {
  const made = new BlockRequest(() => {});
  made.op = op;
  made.tag = tag;
  return made;
}

test('driver and card stamp one request; each step is the distance of two stamps', () => {
  const { time, queue, recorder } = setUp(1);
  const read = request(BlockOp.read, 0);
  time.ns = 1000;
  recorder.starting(0, read);
  recorder.submitted(queue, 9);
  recorder.started();
  time.ns = 1100;
  recorder.rang(queue, 9);
  const cid = 9 + 512;
  const stamps = { fetchedNs: 1300, mediaStartNs: 1700, mediaEndNs: 2500, postedNs: 4100 };
  recorder.completed({ queueId: 3, cid, ...stamps });
  time.ns = 7300;
  recorder.seen(queue, 9);
  time.ns = 13_700;
  recorder.ended(0, read);
  recorder.calledBack(queue, 9);
  assert.equal(recorder.means(), [
    { name: 'submit → doorbell', meanNs: 100 },
    { name: 'doorbell → fetch', meanNs: 200 },
    { name: 'fetch → media start', meanNs: 400 },
    { name: 'media start → media end', meanNs: 800 },
    { name: 'media end → completion', meanNs: 1600 },
    { name: 'completion → seen', meanNs: 3200 },
    { name: 'seen → callback', meanNs: 6400 },
  ]);
});

test('without a card to look into, its steps take no time and the sum stays right', () => {
  const { time, queue, recorder } = setUp(1);
  const read = request(BlockOp.read, 0);
  recorder.starting(0, read);
  recorder.submitted(queue, 0);
  recorder.started();
  time.ns = 50;
  recorder.rang(queue, 0);
  time.ns = 900;
  recorder.seen(queue, 0);
  time.ns = 1000;
  recorder.ended(0, read);
  const means = recorder.means(BlockOp.read).map(({ meanNs }) => meanNs);
  assert.equal(means, [50, 0, 0, 0, 0, 850, 100]);
});

test('commands that are not of the replay, such as admin commands, leave no trace', () => {
  const { time, queue, recorder } = setUp(1);
  recorder.submitted(queue, 1);
  recorder.rang(queue, 1);
  const stamps = { fetchedNs: 1, mediaStartNs: 1, mediaEndNs: 1, postedNs: 1 };
  recorder.completed({ queueId: 0, cid: 1, ...stamps });
  recorder.completed({ queueId: 3, cid: 513, ...stamps });
  time.ns = 10;
  recorder.seen(queue, 1);
  recorder.calledBack(queue, 1);
  assert.is(recorder.log.count, 0);
});

test('means of one operation leave the others out', () => {
  const { time, recorder } = setUp(2);
  const read = request(BlockOp.read, 0);
  const write = request(BlockOp.write, 1);
  recorder.starting(0, read);
  recorder.started();
  recorder.starting(1, write);
  recorder.started();
  time.ns = 100;
  recorder.ended(0, read);
  time.ns = 300;
  recorder.ended(1, write);
  const total = (op?: BlockOp) => recorder.means(op).reduce((sum, { meanNs }) => sum + meanNs, 0);
  assert.equal([total(BlockOp.read), total(BlockOp.write), total()], [100, 300, 200]);
});

test.run();
