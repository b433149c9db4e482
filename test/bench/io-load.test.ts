import * as assert from 'uvu/assert';
import { IoLoad } from '../../bench/io-load.js';
import { NvmeController } from '../../sdk/nvme/controller.js';
import { open } from '../../sdk/open.js';
import { suite } from '../support/suite.js';

const test = suite('load on namespaces');

test('namespaces that share a queue pair keep their depth, and none of them is forgotten', async () => {
  const controller = await NvmeController.open(await open('sim:simple?bytes=16MiB'));
  const queuePair = await controller.createQueuePair({ entries: 64 });
  const share = { queuePair };
  const namespaces = [await controller.namespace(1, share), await controller.namespace(1, share)];
  for (const depth of [1, 2, 7]) {
    const load = new IoLoad(namespaces, { bytes: 4096, depth, readPercent: 100 });
    const { requests, meanInFlight } = load.run(300);
    assert.is(requests, 300);
    assert.ok(Math.abs(meanInFlight - depth) < 0.1 * depth, `${meanInFlight} of ${depth}`);
  }
  await controller.close();
});

test.run();
