import * as assert from 'uvu/assert';
import { GetLogPage } from '../../../../sdk/spec/nvme/admin-command.js';
import { Sqe } from '../../../../sdk/spec/nvme/command.js';
import { AsyncEventResult } from '../../../../sdk/spec/nvme/completion.js';
import { EventFeature, Feature, HostThermalFeature } from '../../../../sdk/spec/nvme/features.js';
import {
  AnaGroup,
  AnaState,
  EffectsLog,
  EnduranceGroupLog,
  HealthLog,
  LogPage,
  SupportedPagesLog,
  TelemetryLog,
} from '../../../../sdk/spec/nvme/logs.js';
import { AdminOpcode, NvmOpcode } from '../../../../sdk/spec/nvme/opcodes.js';
import { Status } from '../../../../sdk/spec/nvme/status.js';
import { secondNs } from '../../../../sdk/units.js';
import { suite } from '../../../support/suite.js';
import { AdminBench, type FieldValue } from './bench.js';

const test = suite('log pages');

async function health(bench: AdminBench): Promise<Uint32Array> {
  return (await bench.getLog(LogPage.health, 512)).words;
}

test('SMART counts commands and thousands of 512 bytes, rounded up', async () => {
  const bench = await AdminBench.open();
  const data = bench.buffer(8192);
  await bench.io({ opcode: NvmOpcode.write, nsid: 1, lba: 0, data, blocks: 16 });
  const few = await health(bench);
  assert.is(HealthLog.hostWrites.count(few, 0), 1n);
  assert.is(HealthLog.dataUnitsWritten.count(few, 0), 1n);
  assert.is(HealthLog.dataUnitsRead.count(few, 0), 0n);
  for (let i = 0; i < 100; i++) {
    await bench.io({ opcode: NvmOpcode.read, nsid: 1, lba: 0, data, blocks: 16 });
  }
  const many = await health(bench);
  assert.is(HealthLog.hostReads.count(many, 0), 100n);
  // 100 × 16 blocks are 1.6 units.
  assert.is(HealthLog.dataUnitsRead.count(many, 0), 2n);
});

test('SMART tells a clean shutdown from an unsafe one', async () => {
  const bench = await AdminBench.open();
  await bench.raw.shutdown('normal');
  await bench.powerCycle();
  const clean = await health(bench);
  assert.is(HealthLog.powerCycles.count(clean, 0), 2n);
  assert.is(HealthLog.unsafeShutdowns.count(clean, 0), 0n);
  await bench.powerCycle();
  const unsafe = await health(bench);
  assert.is(HealthLog.powerCycles.count(unsafe, 0), 3n);
  assert.is(HealthLog.unsafeShutdowns.count(unsafe, 0), 1n);
});

test('SMART counts hours of power and minutes above the limits', async () => {
  const bench = await AdminBench.open();
  bench.card.subsystem.health.setTemperature(345);
  await bench.raw.elapse(3600 * secondNs);
  bench.card.subsystem.health.setTemperature(355);
  await bench.raw.elapse(7200 * secondNs);
  const page = await health(bench);
  assert.is(HealthLog.powerOnHours.count(page, 0), 3n);
  assert.is(HealthLog.warningMinutes.get(page, 0), 60);
  assert.is(HealthLog.criticalMinutes.get(page, 0), 120);
  assert.is(HealthLog.temperature.get(page, 0), 355);
  assert.is(HealthLog.warningTemperature.get(page, 0), 1);
});

test('SMART counts transitions of host controlled thermal management and their time', async () => {
  const bench = await AdminBench.open();
  const { tmt1, tmt2 } = HostThermalFeature;
  await bench.setFeature(Feature.hostThermal, tmt2.put(tmt1.put(0, 320), 330));
  const { health: heat } = bench.card.subsystem;
  heat.setTemperature(325);
  await bench.raw.elapse(10 * secondNs);
  heat.setTemperature(335);
  await bench.raw.elapse(20 * secondNs);
  heat.setTemperature(300);
  const page = await health(bench);
  assert.equal(
    [HealthLog.thermal1Count, HealthLog.thermal2Count].map((field) => field.get(page, 0)),
    [1, 1],
  );
  assert.is(HealthLog.thermal1Seconds.get(page, 0), 10);
  assert.is(HealthLog.thermal2Seconds.get(page, 0), 20);
});

test('SMART tells how much of the life is used', async () => {
  const bench = await AdminBench.open();
  const { health: counters, profile } = bench.card.subsystem;
  // Three writes of the whole card per day for five years are all of it.
  counters.writtenBytes = profile.subsystem.capacityBytes * 3 * 365 * 5 * 0.5;
  assert.is(HealthLog.used.get(await health(bench), 0), 50);
  counters.writtenBytes *= 1000;
  assert.is(HealthLog.used.get(await health(bench), 0), 255);
});

test('a page can be read in pieces, and longer than it is', async () => {
  const bench = await AdminBench.open();
  const whole = await bench.getLog(LogPage.effects, 8192);
  assert.is(whole.status, 0);
  assert.ok(whole.words.subarray(1024).every((word) => word === 0));
  for (const offset of [0, 1024, 4092]) {
    const piece = await bench.getLog(LogPage.effects, 4, [[GetLogPage.lpo, offset]]);
    assert.is(piece.words[0], whole.words[offset / 4]);
  }
});

test('offsets beyond the page or inside a dword are refused', async () => {
  const bench = await AdminBench.open();
  const at = (offset: number) => bench.getLog(LogPage.health, 4, [[GetLogPage.lpo, offset]]);
  assert.is((await at(512)).status, 0);
  assert.is((await at(516)).status, Status.invalidField);
  assert.is((await at(2)).status, Status.invalidField);
});

test('pages that do not exist, index offsets and namespaces are refused', async () => {
  const bench = await AdminBench.open();
  assert.is((await bench.getLog(0x6f, 512)).status, Status.invalidLogPage);
  const index = await bench.getLog(LogPage.health, 512, [[GetLogPage.ot, 1]]);
  assert.is(index.status, Status.invalidField);
  const outcome = await bench.run({
    opcode: AdminOpcode.getLogPage,
    nsid: 1,
    fields: [[GetLogPage.lid, LogPage.health]],
    data: bench.page,
  });
  assert.is(outcome.status, Status.invalidField);
});

test('every supported page can be read and no other', async () => {
  const bench = await AdminBench.open();
  const { words } = await bench.getLog(LogPage.supportedPages, 1024);
  for (let lid = 0; lid < 256; lid++) {
    const isSupported = words[SupportedPagesLog.pages.at(0, lid)]! % 2 === 1;
    const answer = await bench.getLog(lid, 512, [[GetLogPage.lsi, 1]]);
    assert.is(answer.status, isSupported ? 0 : Status.invalidLogPage, `page ${lid}`);
  }
});

test('effects name exactly the opcodes that are not refused as invalid', async () => {
  const bench = await AdminBench.open();
  const { words } = await bench.getLog(LogPage.effects, 4096);
  for (let opcode = 0; opcode < 256; opcode++) {
    if (opcode === AdminOpcode.asynchronousEventRequest) continue;
    const isSupported = words[EffectsLog.admin.at(0, opcode)]! % 2 === 1;
    const outcome = await bench.run({ opcode, nsid: 0xffff_0000 });
    assert.is(outcome.status !== Status.invalidOpcode, isSupported, `opcode ${opcode}`);
  }
});

test('host telemetry is captured when asked, and stays until it is asked again', async () => {
  const bench = await AdminBench.open();
  const capture: FieldValue = [GetLogPage.lsp, 1];
  const none = await bench.getLog(LogPage.telemetryHost, 512);
  assert.is(TelemetryLog.area1.get(none.words, 0), 0);
  const first = await bench.getLog(LogPage.telemetryHost, 2048, [capture]);
  assert.equal(
    [TelemetryLog.area1, TelemetryLog.hostGeneration].map((field) => field.get(first.words, 0)),
    [2, 1],
  );
  await bench.raw.elapse(secondNs);
  const again = await bench.getLog(LogPage.telemetryHost, 2048);
  assert.equal([...again.words.subarray(128)], [...first.words.subarray(128)]);
  const second = await bench.getLog(LogPage.telemetryHost, 2048, [capture]);
  assert.is(TelemetryLog.hostGeneration.get(second.words, 0), 2);
  assert.not.equal([...second.words.subarray(128)], [...first.words.subarray(128)]);
});

test('telemetry is read in blocks of 512 bytes', async () => {
  const bench = await AdminBench.open();
  const { telemetryHost } = LogPage;
  assert.is((await bench.getLog(telemetryHost, 256)).status, Status.invalidField);
  const shifted = await bench.getLog(telemetryHost, 512, [[GetLogPage.lpo, 256]]);
  assert.is(shifted.status, Status.invalidField);
});

test('a sanitize that failed leaves controller telemetry until it is read', async () => {
  const bench = await AdminBench.open();
  await bench.setFeature(Feature.asynchronousEvents, EventFeature.telemetry.put(0, 1));
  const event = bench.post({ opcode: AdminOpcode.asynchronousEventRequest });
  bench.card.subsystem.sanitizer.failsNext = true;
  await bench.run({ opcode: AdminOpcode.sanitize, fields: [[Sqe.cdw10, 10]] });
  const { dw0 } = await bench.waitFor(event);
  const { type, info, logPage } = AsyncEventResult;
  assert.equal([type.of(dw0), info.of(dw0), logPage.of(dw0)], [2, 2, 8]);
  await bench.run({ opcode: AdminOpcode.sanitize, fields: [[Sqe.cdw10, 1]] });
  const first = await bench.getLog(LogPage.telemetryController, 512);
  assert.is(TelemetryLog.controllerAvailable.get(first.words, 0), 1);
  const second = await bench.getLog(LogPage.telemetryController, 512);
  assert.is(TelemetryLog.controllerAvailable.get(second.words, 0), 0);
});

test('ANA shows the group, its namespaces and a change of state as an event', async () => {
  const bench = await AdminBench.open();
  await bench.setFeature(Feature.asynchronousEvents, EventFeature.ana.put(0, 1));
  const event = bench.post({ opcode: AdminOpcode.asynchronousEventRequest });
  const before = await bench.getLog(LogPage.ana, 64);
  assert.is(AnaGroup.state.get(before.words, 4), AnaState.optimized);
  assert.is(before.words[12], 1, 'the one namespace');
  bench.card.subsystem.setAnaState(1, AnaState.inaccessible);
  assert.is(AsyncEventResult.info.of((await bench.waitFor(event)).dw0), 3);
  const after = await bench.getLog(LogPage.ana, 64);
  assert.is(AnaGroup.state.get(after.words, 4), AnaState.inaccessible);
  assert.is(after.words[0], 1, 'change count');
  assert.is(await bench.read(1, 0, bench.buffer()), Status.asymmetricAccessInaccessible);
});

test('ANA leaves namespaces out when groups only are asked for', async () => {
  const bench = await AdminBench.open();
  const { words } = await bench.getLog(LogPage.ana, 64, [[GetLogPage.lsp, 1]]);
  assert.equal([AnaGroup.namespaces.get(words, 4), words[12]], [0, 0]);
});

test('the endurance group is asked by its identifier', async () => {
  const bench = await AdminBench.open();
  const ask = (group: number) =>
    bench.getLog(LogPage.enduranceGroup, 512, [[GetLogPage.lsi, group]]);
  const { words } = await ask(1);
  assert.is(EnduranceGroupLog.total.count(words, 0), BigInt(64 * 2 ** 30));
  assert.is((await ask(2)).status, Status.invalidField);
});

test.run();
