import * as assert from 'uvu/assert';
import { campaignOfNvmeTcp } from '../../fuzz/nvme-tcp.js';
import { suite } from '../../support/suite.js';

const test = suite('NVMe/TCP campaign');

test('a few hundred PDUs on their way through a liar break nothing', async () => {
  const { violation, tally } = await campaignOfNvmeTcp.explore(1, performance.now() + 300);
  assert.is(violation, null);
  // A slow machine still has tried one plan.
  assert.ok(tally.pdus! > 30, `${tally.pdus} PDUs`);
});

test.run();
