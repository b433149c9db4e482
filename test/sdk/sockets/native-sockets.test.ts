import { connect } from 'node:net';
import * as assert from 'uvu/assert';
import { native } from '../../../native/index.js';
import { readBlocks, writeBlocks } from '../../../sdk/block/promised.js';
import { openSockets } from '../../../sdk/sockets/open.js';
import type { Stream } from '../../../sdk/sockets/stream.js';
import { fabricRig, until } from '../../support/fabric-rig.js';
import { skip, suite } from '../../support/suite.js';

const test = suite('sdk/fabric native sockets');

if (!native.isAvailable) {
  test('the addon is needed', () => skip(`native addon: ${native.unavailableReason}`));
} else {
  for (const side of ['target', 'initiator', 'both'] as const) {
    test(`with ${side} driven in batches what is written is read, on three queues`, async () => {
      const served = await openSockets();
      const used = await openSockets();
      const rig = await fabricRig({}, side === 'initiator' ? {} : { sockets: served });
      try {
        const host = await rig.connect({
          queues: 3,
          dataDigest: true,
          ...(side === 'target' ? {} : { sockets: used }),
        });
        const device = host.namespace(1);
        for (const [lba, blocks] of [
          [0, 1],
          [10, 255],
          [300, 17],
          [3000, 1000],
        ] as const) {
          const data = Uint8Array.from({ length: blocks * 512 }, (_, i) => (i * 7 + lba) >> 2);
          for (let at = 0; at < blocks; at += 200) {
            await writeBlocks(device, lba + at, data.subarray(at * 512, (at + 200) * 512));
          }
          const found = new Uint8Array(Math.min(blocks, 256) * 512);
          await readBlocks(device, lba, found);
          assert.is(Buffer.compare(found, data.subarray(0, found.length)), 0);
        }
        assert.is(rig.target.status.violations, 0);
      } finally {
        await rig.close();
        served.close();
        used.close();
      }
    });
  }

  test('what does not fit into a connection goes when there is room, in its order', async () => {
    const sockets = await openSockets();
    const total = 40 * 200_000;
    let accepted: Stream | null = null;
    let sentLater = 0;
    const listening = await sockets.listen({ host: '127.0.0.1', port: 0 }, (stream) => {
      accepted = stream;
      const sent = (): void => {
        sentLater++;
      };
      stream.attach({ receive: () => {}, sent, gone: () => {} });
    });
    const peer = connect(listening.place.port, '127.0.0.1');
    peer.pause();
    try {
      await until('it is accepted', () => accepted !== null);
      let kept = 0;
      for (let i = 0; i < 40; i++) {
        const chunk = new Uint8Array(200_000).fill(i);
        if (accepted!.send(chunk, chunk.length) === false) kept++;
      }
      assert.ok(kept > 0, 'all of it fitted: the test is too small');
      let at = 0;
      peer.on('data', (bytes: Uint8Array) => {
        assert.is(bytes[0], Math.floor(at / 200_000));
        at += bytes.length;
      });
      peer.resume();
      await until('all of it has come', () => {
        sockets.poll();
        return at === total && sentLater === kept;
      });
    } finally {
      peer.destroy();
      listening.close();
      sockets.close();
    }
  });

  test('nobody at the other end is an error that names the place', async () => {
    const sockets = await openSockets();
    try {
      await sockets.connect({ host: '127.0.0.1', port: 1 }, 1000);
      assert.unreachable();
    } catch (error) {
      assert.match(
        error instanceof Error ? error.message : '',
        /127\.0\.0\.1:1 cannot be reached: .*ECONNREFUSED/,
      );
    } finally {
      sockets.close();
    }
  });
}

test.run();
