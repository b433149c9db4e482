import * as assert from 'uvu/assert';
import { NvmeController } from '../../sdk/nvme/controller.js';
import { SpanLog } from '../../sdk/observe/span-log.js';
import { SimCard } from '../../sim/card.js';
import { suite } from '../support/suite.js';
import { unbuffered } from './faults/unbuffered.js';

/** When link, cores, channels and dies say that they were busy. */
const test = suite('busy parts of a card');

interface Watched {
  readonly card: SimCard;
  readonly names: readonly string[];
  readonly log: SpanLog;
}

async function run(isWatched: boolean): Promise<Watched> {
  const card = new SimCard({ profile: unbuffered });
  const log = new SpanLog({ capacity: 65_536 });
  const names = isWatched ? card.watch(log) : [];
  const controller = await NvmeController.open(card.open());
  const namespace = await controller.namespace(1);
  const bytes = new Uint8Array(256 * 1024).fill(7);
  for (let i = 0; i < 8; i++)
    await namespace.write((i * bytes.length) / namespace.blockBytes, bytes);
  for (let i = 0; i < 8; i++)
    await namespace.read((i * bytes.length) / namespace.blockBytes, bytes);
  await controller.close();
  return { card, names, log };
}

test('there is a track per link direction, core, channel and die of the profile', async () => {
  const { card, names } = await run(true);
  const { inside } = card.profile;
  assert.ok(inside?.flash);
  const { flash, cores } = inside!;
  const dies = flash!.channels * flash!.packagesPerChannel * flash!.diesPerPackage;
  const count = (prefix: string) => names.filter((name) => name.startsWith(prefix)).length;
  assert.is(count('link'), 2);
  assert.is(count('front core'), cores.frontCores);
  assert.is(count('back core'), cores.backCores);
  assert.is(count('drive channel'), flash!.channels);
  assert.is(count('drive die'), dies);
  assert.is(new Set(names).size, names.length);
});

test('no part is busy longer than time goes on, and each kind was busy', async () => {
  const { card, names, log } = await run(true);
  const { nowNs } = card.world;
  for (const kind of ['link to host', 'link to card', 'front core', 'drive channel', 'drive die']) {
    let busiest = 0;
    for (const [track, name] of names.entries()) {
      const busyNs = log.busyNs(track, 0, nowNs);
      assert.ok(busyNs <= nowNs, `${name} ${busyNs} of ${nowNs}`);
      if (name.startsWith(kind)) busiest = Math.max(busiest, busyNs);
    }
    assert.ok(busiest > 0, `${kind} was never busy`);
  }
});

test('the link to the host is busy for what crossed it at its rate', async () => {
  const { card, names, log } = await run(true);
  const { generation, lanes } = card.profile.link;
  // [PCIe-4.0 §4.2.2.1] generation 3: 8 GT/s, 128 of 130 bits are payload.
  assert.is(generation, 3);
  const bytesPerNs = (8 * lanes * 128) / 130 / 8;
  const busyNs = log.busyNs(names.indexOf('link to host'), 0, Infinity);
  const wantedNs = card.link.upBytes / bytesPerNs;
  assert.ok(Math.abs(busyNs / wantedNs - 1) < 0.01, `${busyNs} ns for ${wantedNs}`);
});

test('watching changes nothing', async () => {
  const [watched, alone] = [await run(true), await run(false)];
  assert.is(watched.card.world.eventHash, alone.card.world.eventHash);
});

test.run();
