import * as assert from 'uvu/assert';
import { NvmeController } from '../../../sdk/nvme/controller.js';
import { NvmOpcode } from '../../../sdk/spec/nvme/opcodes.js';
import { SimCard } from '../../../sim/card.js';
import type { Command } from '../../../sim/nvme/command.js';
import {
  LatencyBreakdown,
  latencyParts,
  splitLatency,
} from '../../../sim/nvme/latency-breakdown.js';
import { Prng } from '../../../sim/prng.js';
import { findProfile } from '../../../sim/profiles/index.js';
import { suite } from '../../support/suite.js';
import { Load, openCard, runLoads } from './qos/load.js';

const test = suite('latency breakdown');

/** Everything at once, on a full drive. */
async function mixedRun(name: string, observer: (command: Command) => void): Promise<void> {
  const card = new SimCard({ profile: findProfile(name), seed: 5, carriesData: false });
  card.fill();
  const controller = await NvmeController.open(card.open(), { queueEntries: 128 });
  const namespace = await controller.namespace(1);
  card.controller.observe({ completed: observer });
  const prng = new Prng(5, 'mixed');
  const blocks = [1, 2, 8, 32];
  const work: Promise<void>[] = [];
  for (let i = 0; i < 400; i++) {
    const count = blocks[prng.below(4)]!;
    const lba = prng.below(namespace.blockCount - count);
    const data = new Uint8Array(count * namespace.blockBytes);
    const kind = prng.below(10);
    if (kind < 5) work.push(namespace.read(lba, data));
    else if (kind < 8) work.push(namespace.write(lba, data, { isFua: kind === 7 }));
    else if (kind === 8) work.push(namespace.flush());
    else work.push(namespace.deallocate([{ lba, blockCount: count }]));
  }
  await Promise.all(work);
  await controller.close();
  await card.close();
}

for (const name of ['simple', 'ultima-g2', 'p4800x', 'p3700', '970pro', 'tlc-enterprise']) {
  test(`the parts of every command add up to its whole: ${name}`, async () => {
    const parts = new Float64Array(latencyParts.length);
    let commands = 0;
    await mixedRun(name, (command) => {
      const wholeNs = command.postedNs - command.doorbellNs;
      assert.is(splitLatency(command, parts), wholeNs);
      let sum = 0;
      for (const part of parts) {
        assert.ok(part >= 0);
        sum += part;
      }
      assert.is(sum, wholeNs);
      if (command.queueId > 0) commands++;
    });
    assert.ok(commands >= 400, `${commands} commands`);
  });
}

test('a breakdown counts the commands of its opcode alone', async () => {
  const reads = new LatencyBreakdown(NvmOpcode.read);
  const all = new LatencyBreakdown();
  await mixedRun('p3700', (command) => {
    reads.completed(command);
    all.completed(command);
  });
  assert.ok(reads.count > 100 && reads.count < all.count);
  const sum = Object.values(reads.means()).reduce((total, part) => total + part, 0);
  assert.ok(Math.abs(sum - reads.totalNs / reads.count) < 1e-6);
  assert.ok(reads.means().array! > 10_000);
});

test('time in line for a share of the card is a part of its own', async () => {
  for (const isShared of [false, true]) {
    const { card, controller, qos } = await openCard(4);
    const tiers = await qos.tiers();
    if (isShared)
      await qos.assign(
        1,
        tiers.findIndex((tier) => tier?.name === 'high'),
      );
    const reads = new LatencyBreakdown(NvmOpcode.read);
    card.controller.observe(reads);
    const loads: Load[] = [];
    for (let nsid = 1; nsid <= 4; nsid++) {
      loads.push(new Load(await controller.namespace(nsid), { depth: 64 }));
    }
    runLoads(card, loads, card.world.nowNs + 10_000_000);
    const { 'share wait': shareNs, prepare, 'die wait': dieNs } = reads.means();
    // Without a policy nobody is held; with one, most of the 256 wait for the media of the card.
    if (isShared) assert.ok(shareNs! > 4 * (prepare! + dieNs!), `${shareNs} ${prepare} ${dieNs}`);
    else assert.is(shareNs, 0);
  }
});

test.run();
