import * as assert from 'uvu/assert';
import { NvmeController } from '../../../sdk/nvme/controller.js';
import { KiB, MiB } from '../../../sdk/units.js';
import { latencyParts } from '../../../sim/nvme/latency-breakdown.js';
import { suite } from '../../support/suite.js';
import { InsideRig } from './inside-rig.js';

const test = suite('media with an inside');
const unitBytes = 4 * KiB;
const unit = (): Uint8Array => new Uint8Array(unitBytes).fill(7);
const blank = (): Uint8Array => new Uint8Array(unitBytes);

test('a read costs its stages, the drive and the link, and the parts are the whole', async () => {
  const rig = await InsideRig.open();
  await rig.namespace.read(5, blank());
  const means = rig.breakdown.means();
  // One cycle is one nanosecond: 300 to look up, 150 in the cache, 100 to send, data pointer 50.
  assert.is(means.decode, 200);
  assert.is(means.prepare, 50 + 300 + 150 + 100);
  assert.is(means.array, 40_000);
  assert.is(means.transfer, 10_000);
  assert.is(means['die wait'], 0);
  const sum = latencyParts.reduce((total, part) => total + means[part]!, 0);
  assert.is(sum, rig.breakdown.totalNs);
  assert.equal(rig.log, ['read 5+1']);
  await rig.close();
});

test('a write ends in the buffer, long before its program does', async () => {
  const rig = await InsideRig.open();
  const ns = await rig.timeOf(() => rig.namespace.write(5, unit()));
  assert.ok(ns < 20_000, `${ns} ns`);
  assert.is(rig.breakdown.means()['buffer wait'], 0);
  // A read of it is served from the buffer.
  await rig.namespace.read(5, blank());
  assert.equal(
    rig.log.filter((line) => line.startsWith('read')),
    [],
  );
  await rig.close();
});

test('a flush of a volatile buffer waits for the medium, of a protected one it does not', async () => {
  for (const isVolatile of [true, false]) {
    const rig = await InsideRig.open({ cache: { isVolatile } });
    await rig.namespace.write(5, unit());
    const ns = await rig.timeOf(() => rig.namespace.flush());
    assert.is(ns > 300_000, isVolatile, `${ns} ns`);
    await rig.close();
  }
});

test('a forced write over a volatile buffer ends with its program', async () => {
  const rig = await InsideRig.open();
  const ns = await rig.timeOf(() => rig.namespace.write(5, unit(), { isFua: true }));
  assert.ok(ns > 300_000, `${ns} ns`);
  await rig.close();
});

test('a full buffer makes writes as slow as the medium', async () => {
  const rig = await InsideRig.open();
  const count = 160;
  const ns = await rig.timeOf(() =>
    Promise.all(Array.from({ length: count }, (_, i) => rig.namespace.write(i, unit()))),
  );
  // Room for 16 units, in rows of 4: four programs of 300 us run at one time.
  const programs = (count - 16) / 16;
  assert.ok(ns >= programs * 300_000, `${ns} ns`);
  assert.ok(ns < (programs + 3) * 300_000, `${ns} ns`);
  assert.ok(rig.breakdown.means()['buffer wait']! > 100_000);
  await rig.close();
});

test('rewrites of a unit that waits cost the medium nothing', async () => {
  const rig = await InsideRig.open({ inside: { buffer: { drainPermille: 1000 } } });
  for (let i = 0; i < 50; i++) await rig.namespace.write(9, unit());
  await rig.namespace.flush();
  assert.equal(rig.log, ['write 9+1 stream 0', 'flush']);
  await rig.close();
});

test('a read does not stand behind all that a buffer gives away at its mark', async () => {
  const rig = await InsideRig.open({
    inside: {
      buffer: { writeBytes: 4 * MiB, drainPermille: 500, rowsPerDie: 64 },
      stages: { lookup: { cycles: 10_000 } },
    },
  });
  for (let lba = 0; lba < 513; lba++) await rig.namespace.write(lba, unit());
  const ns = await rig.timeOf(() => rig.namespace.read(5000, blank()));
  // 512 units wait to be looked up for 10 us each, a few rows of four of them ahead of the read.
  assert.ok(ns < 50_000 + 400_000, `${ns} ns`);
  await rig.close();
});

test('the read cache answers what was read, until it is written or trimmed', async () => {
  const rig = await InsideRig.open({ inside: { buffer: { readBytes: 1 * MiB } } });
  const readNs = (lba: number): Promise<number> =>
    rig.timeOf(() => rig.namespace.read(lba, blank()));
  assert.ok((await readNs(3)) > 50_000);
  assert.ok((await readNs(3)) < 20_000);
  await rig.namespace.deallocate([{ lba: 3, blockCount: 1 }]);
  assert.ok((await readNs(3)) > 50_000);
  await rig.close();
});

test('a long read goes to every drive in runs of a stripe', async () => {
  const rig = await InsideRig.open({ inside: { drives: 2, stripeBytes: 4 * unitBytes } });
  await rig.namespace.read(0, new Uint8Array(16 * unitBytes));
  assert.equal(rig.log, ['read 0+4', 'read 4+4', 'read 0+4', 'read 4+4']);
  await rig.close();
});

test('a trim, a format and a sanitize reach the drive', async () => {
  const rig = await InsideRig.open();
  await rig.namespace.write(0, unit());
  await rig.namespace.flush();
  await rig.namespace.deallocate([{ lba: 10, blockCount: 20 }]);
  assert.ok(rig.log.includes('trim 10+20'), rig.log.join());
  await rig.controller.admin.format(1, { formatIndex: 2 });
  assert.ok(rig.log.includes(`trim 0+${(32 * MiB) / unitBytes}`), rig.log.join());
  await rig.close();
});

test('what cannot be read ends as an unrecovered read error and counts', async () => {
  const rig = await InsideRig.open();
  await rig.namespace.read(0, blank());
  rig.drive.loseUnit(77);
  await rig.namespace.read(77, blank()).then(
    () => assert.unreachable('the unit is lost'),
    (error: Error) => assert.match(error.message, /[Uu]nrecovered/),
  );
  assert.is(rig.card.subsystem.health.mediaErrors, 1);
  await rig.close();
});

test('a worn out drive is read only, and says so', async () => {
  const rig = await InsideRig.open();
  await rig.namespace.write(0, unit());
  await rig.namespace.flush();
  rig.drive.wearOut();
  await rig.namespace.write(1, unit()).then(
    () => assert.unreachable('the drive takes no writes'),
    (error: Error) => assert.match(error.message, /[Ww]rite [Pp]rotected/),
  );
  const back = blank();
  await rig.namespace.read(0, back);
  assert.is(back[0], 7);
  const { health } = rig.card.subsystem;
  assert.is(health.sparePercent, 0);
  assert.is(health.usedPercent, 7);
  assert.is(health.commonWarnings & 0b1001, 0b1001, 'spare and read only');
  await rig.close();
});

test('the media units of the log are those of the drive', async () => {
  const rig = await InsideRig.open();
  for (let i = 0; i < 8; i++) await rig.namespace.write(i, unit());
  await rig.namespace.flush();
  // The plain drive writes everything twice.
  assert.is(rig.card.subsystem.health.mediaWrittenBytes, 2 * 8 * unitBytes);
  assert.is(rig.card.subsystem.health.writtenBytes, 8 * unitBytes);
  await rig.close();
});

test('after a power cut the card goes on, with or without protection', async () => {
  for (const isVolatile of [true, false]) {
    const rig = await InsideRig.open({ cache: { isVolatile } });
    const writes = Array.from({ length: 30 }, (_, i) =>
      rig.namespace.write(i, unit()).catch(() => {}),
    );
    await rig.namespace.write(0, unit());
    rig.card.world.advance(30_000);
    rig.card.powerCut();
    await Promise.all(writes);
    await rig.card.function.close();
    rig.card.restore();
    rig.card.world.advance(20_000_000);
    const controller = await NvmeController.open(rig.card.open(), { queueEntries: 64 });
    const namespace = await controller.namespace(1);
    await Promise.all(Array.from({ length: 40 }, (_, i) => namespace.write(i, unit())));
    await namespace.flush();
    await namespace.read(3, blank());
    assert.ok(rig.log.includes(isVolatile ? 'cut' : 'protected cut'));
    await controller.close();
    await rig.card.close();
  }
});

test.run();
