import * as assert from 'uvu/assert';
import { Admission } from '../../../sdk/qos/admission.js';
import { admissionOf, calibrate } from '../../../sdk/qos/calibrate.js';
import { QosGate } from '../../../sdk/qos/gate.js';
import { openCard } from '../../sim/nvme/qos/load.js';
import { suite } from '../../support/suite.js';

const test = suite('a run that measures capacity');
const near = (value: number | null, expected: number, part: number): boolean =>
  value !== null && Math.abs(value / expected - 1) <= part;

test('it finds what the media do, and what a write costs', async () => {
  const { controller, qos } = await openCard(1);
  const found = calibrate(await controller.namespace(1), {
    writes: true,
    requests: 2_000,
    regionBytes: 1024 * 1024,
  });
  // Eight at a time, 80 us a read and 160 us a write, 30 % up and down.
  assert.ok(near(found.writeCost, 2, 0.03), `a write costs ${found.writeCost}`);
  const last = found.points.at(-1)!;
  assert.ok(near(last.reads, 100_000, 0.03), `${last.reads} reads`);
  assert.ok(near(last.mixed, 100_000, 0.05), `${last.mixed} units mixed`);
  assert.ok(near(last.writes, 100_000, 0.05), `${last.writes} units of writes`);
  // At 200 us no more than eight writes and no queue: 99 % of 160 us and 30 % are below 208 us.
  assert.is(found.points[0]!.latencyNs, 500_000);
  assert.ok(
    found.points.every(({ latencyNs }, i, all) => i === 0 || latencyNs > all[i - 1]!.latencyNs),
  );
  await qos.setCapacity(found, { isSaved: true });
  const { capacityUnits, isMeasured } = await qos.capabilities();
  assert.is(isMeasured, true);
  const { reads, mixed, writes, large } = last;
  const least = Math.min(reads!, mixed!, writes!, large!);
  assert.ok(Math.abs(capacityUnits - 0.9 * least) <= 1, `${capacityUnits} of ${least}`);
});

test('a gate promises what was measured through it: what the device does at its depth', async () => {
  const { controller } = await openCard(1);
  const gate = new QosGate(await controller.namespace(1), { depthUnits: 2 });
  const share = { reservation: 0, limit: Number.POSITIVE_INFINITY, weight: 1 };
  const probe = gate.open(share);
  const found = calibrate(probe, { writes: false, requests: 2_000 });
  probe.close();
  // Two at a time of eight, 80 us each; large ones, 16 units each, are no slower by the unit.
  const admission = new Admission(admissionOf(found));
  assert.ok(near(admission.available(), 0.9 * 25_000, 0.05), `${admission.available()}`);
  assert.throws(
    () => admission.admit('most', { share: { ...share, reservation: 24_000 } }),
    /'most' asks for 24000 units per second; 0 of 2[12]\d{3} are promised to others/,
  );
  assert.throws(() => admissionOf({ ...found, points: [] }), /within 50 ms/);
});

test('without leave to write it reads only, and says so', async () => {
  const { controller } = await openCard(1);
  const found = calibrate(await controller.namespace(1), { writes: false, requests: 500 });
  assert.is(found.writeCost, null);
  assert.equal([...new Set(found.measured.map(({ kind }) => kind))], ['reads', 'large']);
  assert.ok(found.points.every(({ mixed, writes }) => mixed === null && writes === null));
});

test('what cannot be measured is refused with the value', async () => {
  const { controller } = await openCard(1);
  const namespace = await controller.namespace(1);
  const bad = [
    [{ requests: 10 }, /10 requests per measurement/],
    [{ headroom: 1 }, /headroom 1/],
    [{ regionBytes: 4096 }, /too small to be measured/],
  ] as const;
  for (const [options, message] of bad) {
    assert.throws(() => calibrate(namespace, { writes: false, ...options }), message);
  }
});

test.run();
