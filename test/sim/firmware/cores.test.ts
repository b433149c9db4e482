import * as assert from 'uvu/assert';
import { Feature } from '../../../sdk/spec/nvme/features.js';
import { LogPage } from '../../../sdk/spec/nvme/logs.js';
import { secondNs } from '../../../sdk/units.js';
import { Accelerator } from '../../../sim/firmware/accelerator.js';
import { CoreClock, CoreGroup } from '../../../sim/firmware/core-group.js';
import { FirmwareCores } from '../../../sim/firmware/firmware-cores.js';
import { World } from '../../../sim/world.js';
import { suite } from '../../support/suite.js';
import { InsideRig, plainInside, plainProfile } from '../inside/inside-rig.js';

const test = suite('firmware cores');
const block = (): Uint8Array => new Uint8Array(4096);

test('one core does one piece after the other, more cores as many at a time', () => {
  const one = new CoreGroup(1, new CoreClock(1000));
  assert.equal(
    [0, 0, 0].map((at) => one.run(at, 100)),
    [100, 200, 300],
  );
  assert.is(one.run(1000, 100), 1100);
  const two = new CoreGroup(2, new CoreClock(1000));
  assert.equal(
    [0, 0, 0, 0].map((at) => two.run(at, 100)),
    [100, 100, 200, 200],
  );
  assert.is(two.busyNs, 400);
});

test('a clock that divides no nanosecond loses nothing', () => {
  // 310 cycles at 700 MHz are 442.857.. ns; 7,000 of them are 3,100,000 ns.
  const group = new CoreGroup(1, new CoreClock(700));
  let endNs = 0;
  for (let i = 0; i < 7000; i++) endNs = group.run(0, 310);
  assert.is(endNs, 3_100_000);
});

test('an accelerator takes one command per slot and each for its latency', () => {
  const pipe = new Accelerator(10, new CoreClock(1000));
  assert.equal(
    [0, 0, 0].map((at) => pipe.pass(at, 100, false)),
    [100, 110, 120],
  );
});

test('entries are fetched no faster than an accelerator decodes them', () => {
  const world = new World();
  const decode = { cycles: 200, isHardware: true };
  const cores = new FirmwareCores({
    cores: plainInside.cores,
    stages: { ...plainInside.stages, decode },
    firmware: plainProfile().firmware,
    pace: () => ({ throttleLevel: 0, powerPermille: 1000, exitNs: 0 }),
  });
  for (let i = 0; i < 50; i++) cores.decode(world);
  assert.is(cores.busyNs(world), 50 * 10);
});

test('a reserved command enters an accelerator before what waits, and takes nothing for free', () => {
  const pipe = new Accelerator(10, new CoreClock(1000));
  for (let i = 0; i < 50; i++) pipe.pass(0, 100, false);
  assert.equal([pipe.pass(5, 100, true), pipe.pass(5, 100, true)], [105, 115]);
  // 52 slots are taken: the next command of others comes behind all of them.
  assert.is(pipe.pass(5, 100, false), 52 * 10 + 100);
  assert.is(pipe.busyNs, 53 * 10);
});

test('reads cannot come faster than the busiest group of cores lets them', async () => {
  // Back cores: 300 + 150 + 100 cycles per read, whatever the depth; front cores: less.
  const rig = await InsideRig.open({ inside: { stages: { lookup: { cycles: 9_750 } } } });
  const count = 400;
  const ns = await rig.timeOf(() =>
    Promise.all(Array.from({ length: count }, (_, i) => rig.namespace.read(i, block()))),
  );
  assert.ok(Math.abs(ns / (count * 10_000) - 1) < 0.03, `${ns} ns`);
  const twice = await InsideRig.open({
    inside: { cores: { backCores: 2 }, stages: { lookup: { cycles: 9_750 } } },
  });
  const halfNs = await twice.timeOf(() =>
    Promise.all(Array.from({ length: count }, (_, i) => twice.namespace.read(i, block()))),
  );
  assert.ok(Math.abs(halfNs / (count * 5_000) - 1) < 0.04, `${halfNs} ns`);
  await rig.close();
  await twice.close();
});

test('every stage costs what it says, on its cores or in hardware', async () => {
  const baseNs = await readNs({});
  for (const name of ['fetch', 'decode', 'walk', 'lookup', 'cache', 'issue', 'complete'] as const) {
    const more = await readNs({ [name]: { cycles: 20_000 } });
    const costs = { fetch: 100, decode: 200, walk: 50, lookup: 300, cache: 150, issue: 100 };
    const before = { ...costs, complete: 250 }[name];
    assert.is(more - baseNs, 20_000 - before, name);
    const hardware = await readNs({ [name]: { cycles: 20_000, isHardware: true } });
    assert.is(hardware, more, `${name} in hardware has the same latency`);
  }
});

/** One read alone: nothing waits. */
async function readNs(stages: Record<string, object>): Promise<number> {
  const rig = await InsideRig.open({ inside: { stages } });
  const ns = await rig.timeOf(() => rig.namespace.read(1, block()));
  await rig.close();
  return ns;
}

test('heat makes the cores slower, by the limits of the card and of the host', async () => {
  const rig = await InsideRig.open();
  const { health } = rig.card.subsystem;
  const stagesNs = async (): Promise<number> => {
    const before = rig.breakdown.sumsNs[1]!;
    await rig.namespace.read(1, block());
    return rig.breakdown.sumsNs[1]! - before;
  };
  assert.is(await stagesNs(), 200);
  health.setTemperature(350);
  assert.is(await stagesNs(), 400);
  health.setTemperature(360);
  assert.is(await stagesNs(), 800);
  health.setTemperature(320);
  assert.is(await stagesNs(), 200);
  // Host controlled thermal management: light from 315 K, heavy from 330 K.
  await rig.controller.admin.setFeature(Feature.hostThermal, 315 * 65_536 + 330);
  assert.is(await stagesNs(), 400);
  await rig.close();
});

test('a power state that does no I/O costs its way back, one with less power a slower clock', async () => {
  const rig = await InsideRig.open();
  const readFrom = async (state: number): Promise<number> => {
    await rig.controller.admin.setFeature(Feature.powerManagement, state);
    rig.card.world.advance(1 * secondNs);
    return rig.timeOf(() => rig.namespace.read(1, block()));
  };
  const fullNs = await readFrom(0);
  const slowNs = await readFrom(2);
  assert.ok(slowNs > fullNs + 1000, `${slowNs} ns at less power, ${fullNs} ns at full`);
  // State 3 says 2,000 us of exit latency.
  assert.ok(Math.abs((await readFrom(3)) - fullNs - 2_000_000) < 10_000);
  await rig.close();
});

test('a failed assertion is a fatal status with a crash log in the telemetry', async () => {
  const rig = await InsideRig.open();
  const pending = rig.namespace.read(1, block()).catch(() => 'failed');
  rig.card.world.advance(10_000);
  rig.card.controller.crash(0xdead);
  await pending;
  await rig.controller.reset().catch(() => {});
  const words = await rig.controller.admin.logPage(LogPage.telemetryController, 512 * 4);
  const text = Buffer.from(words.buffer, words.byteOffset, words.byteLength).toString('latin1');
  assert.match(text, /assert-code 57005\n/);
  assert.match(text, /inFlight \d+\n/);
  assert.match(text, /stage-decode \d+\n/);
  await rig.controller.close();
  await rig.card.close();
});

test.run();
