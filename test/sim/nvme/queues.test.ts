import * as assert from 'uvu/assert';
import { suite } from '../../support/suite.js';
import { Rig } from './rig.js';

const test = suite('queues of a controller');

test('a command on the admin queue completes with its identifier and the head of its queue', () => {
  const rig = new Rig();
  rig.enable();
  rig.admin.put({ cid: 0x1234 });
  rig.admin.ring();
  rig.run();
  const [entry] = rig.admin.take();
  assert.is(entry?.cid, 0x1234);
  assert.is(entry?.sqHead, 1);
  assert.is(entry?.sqId, 0);
  assert.is(entry?.status, 0);
  assert.is(entry?.phase, 1);
  rig.checker.demandNone();
});

for (const entries of [2, 3, 7, 4096]) {
  test(`phase and wrap hold over three passes of a queue of ${entries} entries`, () => {
    const rig = new Rig();
    rig.enable();
    const ring = rig.pair(1, entries);
    let sent = 0;
    let got = 0;
    while (got < 3 * entries + 1) {
      for (let i = 0; i < entries - 1; i++) ring.put({ cid: sent++ % 0x10000 });
      ring.ring();
      rig.run();
      for (const entry of ring.take()) assert.is(entry.cid, got++ % 0x10000);
      assert.is(got, sent);
    }
    rig.checker.demandNone();
  });
}

test.run();
