import * as assert from 'uvu/assert';
import { GetFeatures, SetFeatures } from '../../../../sdk/spec/nvme/admin-command.js';
import {
  AutonomousEntry,
  AutonomousTable,
  Feature,
  HostBehavior,
  HostThermalFeature,
  LbaRange,
  QueueCountFeature,
  TemperatureFeature,
  TimestampData,
} from '../../../../sdk/spec/nvme/features.js';
import { Nsid } from '../../../../sdk/spec/nvme/identify.js';
import { AdminOpcode } from '../../../../sdk/spec/nvme/opcodes.js';
import { Status } from '../../../../sdk/spec/nvme/status.js';
import { msNs, secondNs } from '../../../../sdk/units.js';
import { suite } from '../../../support/suite.js';
import { AdminBench, type FieldValue } from './bench.js';

const test = suite('features');

const { arbitration, temperatureThreshold, timestamp, hostIdentifier } = Feature;
const current = 0;
const defaultValue = 1;
const saved = 2;
const capabilities = 3;
const save: FieldValue = [SetFeatures.sv, 1];

test('current, default and saved are three values', async () => {
  const bench = await AdminBench.open();
  const initial = (await bench.getFeature(arbitration, defaultValue)).dw0;
  await bench.setFeature(arbitration, 0x0102_0302);
  await bench.setFeature(arbitration, 0x0102_0303, { fields: [save] });
  await bench.setFeature(arbitration, 0x0102_0304);
  const of = async (select: number) => (await bench.getFeature(arbitration, select)).dw0;
  assert.is(await of(current), 0x0102_0304);
  assert.is(await of(defaultValue), initial);
  assert.is(await of(saved), 0x0102_0303);
});

test('a reset brings back the saved value, or the default of what was not saved', async () => {
  const bench = await AdminBench.open();
  const coalescing = Feature.interruptCoalescing;
  await bench.setFeature(arbitration, 0x0102_0303, { fields: [save] });
  await bench.setFeature(arbitration, 0x0102_0304);
  await bench.setFeature(coalescing, 0x0a05);
  await bench.reset();
  assert.is((await bench.getFeature(arbitration)).dw0, 0x0102_0303);
  assert.is((await bench.getFeature(coalescing)).dw0, 0);
});

test('a saved value survives a power cycle', async () => {
  const bench = await AdminBench.open();
  await bench.setFeature(arbitration, 0x0102_0303, { fields: [save] });
  await bench.powerCycle();
  assert.is((await bench.getFeature(arbitration)).dw0, 0x0102_0303);
});

test('a feature that cannot be saved refuses Save and keeps its value', async () => {
  const bench = await AdminBench.open();
  const outcome = await bench.setFeature(Feature.keepAlive, 1000, { fields: [save] });
  assert.is(outcome.status, Status.featureNotSaveable);
  assert.is((await bench.getFeature(Feature.keepAlive)).dw0, 0);
});

test('capabilities say saveable, per namespace and changeable', async () => {
  const bench = await AdminBench.open();
  const of = async (fid: number) => (await bench.getFeature(fid, capabilities)).dw0;
  assert.is(await of(arbitration), 0b101);
  assert.is(await of(Feature.errorRecovery), 0b111);
  assert.is(await of(Feature.keepAlive), 0b100);
});

test('an unknown feature and an unknown selection are refused', async () => {
  const bench = await AdminBench.open();
  assert.is((await bench.getFeature(0x7c)).status, Status.invalidField);
  assert.is((await bench.setFeature(0x7c, 0)).status, Status.invalidField);
  assert.is((await bench.getFeature(arbitration, 4)).status, Status.invalidField);
});

test('a feature of the controller is not set for one namespace', async () => {
  const bench = await AdminBench.open();
  const outcome = await bench.setFeature(arbitration, 1, { nsid: 1 });
  assert.is(outcome.status, Status.featureNotNamespaceSpecific);
  assert.is((await bench.setFeature(arbitration, 1, { nsid: Nsid.broadcast })).status, 0);
});

test('a feature of a namespace needs one that is active', async () => {
  const bench = await AdminBench.open();
  const { errorRecovery } = Feature;
  const rows: [nsid: number, status: number][] = [
    [0, Status.invalidNamespaceOrFormat],
    [5, Status.invalidField],
    [5000, Status.invalidNamespaceOrFormat],
    [1, 0],
  ];
  for (const [nsid, status] of rows) {
    assert.is((await bench.setFeature(errorRecovery, 3, { nsid })).status, status, `set ${nsid}`);
    assert.is((await bench.getFeature(errorRecovery, 0, { nsid })).status, status, `get ${nsid}`);
  }
});

test('the broadcast identifier sets a feature of every namespace', async () => {
  const bench = await AdminBench.open();
  await bench.setFeature(Feature.errorRecovery, 7, { nsid: Nsid.broadcast });
  assert.is((await bench.getFeature(Feature.errorRecovery, 0, { nsid: 1 })).dw0, 7);
});

test('thresholds of composite and sensor, over and under, are four values', async () => {
  const bench = await AdminBench.open();
  const { tmpth, tmpsel, thsel } = TemperatureFeature;
  const which = (sensor: number, type: number) => thsel.put(tmpsel.put(0, sensor), type);
  for (const [i, [sensor, type]] of [
    [0, 0],
    [0, 1],
    [1, 0],
    [1, 1],
  ].entries()) {
    await bench.setFeature(temperatureThreshold, tmpth.put(which(sensor!, type!), 100 + i));
  }
  const fields: FieldValue[] = [[GetFeatures.cdw11, which(1, 1)]];
  const { dw0 } = await bench.getFeature(temperatureThreshold, 0, { fields });
  assert.is(tmpth.of(dw0), 103);
  const missing = await bench.setFeature(temperatureThreshold, which(2, 0));
  assert.is(missing.status, Status.invalidField);
});

test('one setting can reach all sensors', async () => {
  const bench = await AdminBench.open();
  const { tmpth, tmpsel } = TemperatureFeature;
  await bench.setFeature(temperatureThreshold, tmpsel.put(tmpth.put(0, 333), 0xf));
  for (const sensor of [0, 1]) {
    const fields: FieldValue[] = [[GetFeatures.cdw11, tmpsel.put(0, sensor)]];
    const { dw0 } = await bench.getFeature(temperatureThreshold, 0, { fields });
    assert.is(tmpth.of(dw0), 333);
  }
});

test('queues are granted up to what the card has, and not while queues exist', async () => {
  const bench = await AdminBench.open();
  const { nsq, ncq } = QueueCountFeature;
  const ask = (submission: number, completion: number) =>
    bench.setFeature(Feature.numberOfQueues, ncq.put(nsq.put(0, submission), completion));
  const granted = (await ask(1000, 4)).dw0;
  assert.equal([nsq.of(granted), ncq.of(granted)], [64, 4]);
  assert.is((await ask(0x1_0000, 1)).status, Status.invalidField);
  await ask(2, 2);
  await bench.ioPair();
  assert.is((await ask(4, 4)).status, Status.commandSequenceError);
});

test('a queue identifier above the granted count is refused', async () => {
  const bench = await AdminBench.open();
  await bench.setFeature(Feature.numberOfQueues, 0);
  const outcome = await bench.run({
    opcode: AdminOpcode.createCompletionQueue,
    fields: [
      [SetFeatures.fid, 2],
      [SetFeatures.value, 1],
    ],
    data: bench.page,
  });
  assert.is(outcome.status, Status.invalidQueueIdentifier);
});

test('the timestamp counts on from what the host set, and says that the host set it', async () => {
  const bench = await AdminBench.open();
  const data = bench.buffer();
  const read = async () => {
    await bench.getFeature(timestamp, 0, { data });
    return {
      ms: TimestampData.high.get(data.words, 0) * 2 ** 32 + TimestampData.low.get(data.words, 0),
      origin: TimestampData.origin.get(data.words, 0),
    };
  };
  await bench.raw.elapse(secondNs);
  const before = await read();
  assert.is(before.origin, 0);
  assert.ok(before.ms >= 1000 && before.ms < 1100, `${before.ms}`);
  TimestampData.low.set(data.words, 0, 5);
  TimestampData.high.set(data.words, 0, 0x1234);
  await bench.setFeature(timestamp, 0, { data });
  await bench.raw.elapse(250 * msNs);
  const after = await read();
  assert.is(after.origin, 1);
  const passed = after.ms - 0x1234 * 2 ** 32 - 5;
  assert.ok(passed >= 250 && passed < 260, `${passed}`);
});

test('the host identifier has 8 or 16 bytes and is gone after a reset', async () => {
  const bench = await AdminBench.open();
  const data = bench.buffer();
  data.bytes.set([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
  assert.is((await bench.setFeature(hostIdentifier, 1, { data })).status, 0);
  assert.is(bench.card.subsystem.controller(0).hostId, '0102030405060708090a0b0c0d0e0f10');
  data.bytes.fill(0xee);
  await bench.getFeature(hostIdentifier, 0, { data, fields: [[GetFeatures.cdw11, 1]] });
  assert.equal([...data.bytes.subarray(0, 4), data.bytes[16]], [1, 2, 3, 4, 0xee]);
  await bench.reset();
  assert.is(bench.card.subsystem.controller(0).hostId, '');
});

test('host thermal management wants ordered temperatures inside its bounds', async () => {
  const bench = await AdminBench.open();
  const { tmt1, tmt2 } = HostThermalFeature;
  const set = (light: number, heavy: number) =>
    bench.setFeature(Feature.hostThermal, tmt2.put(tmt1.put(0, light), heavy));
  assert.is((await set(330, 340)).status, 0);
  assert.is((await set(340, 330)).status, Status.invalidField);
  assert.is((await set(100, 340)).status, Status.invalidField);
  assert.is((await set(330, 500)).status, Status.invalidField);
  assert.is((await set(0, 0)).status, 0);
});

test('a power state that does not exist is refused', async () => {
  const bench = await AdminBench.open();
  assert.is((await bench.setFeature(Feature.powerManagement, 4)).status, 0);
  assert.is((await bench.getFeature(Feature.powerManagement)).dw0, 4);
  assert.is((await bench.setFeature(Feature.powerManagement, 5)).status, Status.invalidField);
});

test('an idle controller follows its transition table, and wakes for a command', async () => {
  const bench = await AdminBench.open();
  const data = bench.buffer();
  const at = AutonomousTable.entries.at(0, 0);
  AutonomousEntry.itps.set(data.words, at, 3);
  AutonomousEntry.itpt.set(data.words, at, 100);
  assert.is((await bench.setFeature(Feature.autonomousPowerState, 1, { data })).status, 0);
  await bench.raw.elapse(50 * msNs);
  assert.is((await bench.getFeature(Feature.powerManagement)).dw0, 0);
  await bench.raw.elapse(100 * msNs);
  assert.is((await bench.getFeature(Feature.powerManagement)).dw0, 3);
  await bench.read(1, 0, bench.buffer());
  assert.is((await bench.getFeature(Feature.powerManagement)).dw0, 0);
});

test('a transition to an operational state is refused', async () => {
  const bench = await AdminBench.open();
  const data = bench.buffer();
  AutonomousEntry.itps.set(data.words, 0, 1);
  AutonomousEntry.itpt.set(data.words, 0, 100);
  const outcome = await bench.setFeature(Feature.autonomousPowerState, 1, { data });
  assert.is(outcome.status, Status.invalidField);
});

test('LBA ranges are kept, and refused when they overlap or end outside', async () => {
  const bench = await AdminBench.open();
  const data = bench.buffer();
  const range = (i: number, first: number, blocks: number) => {
    LbaRange.slba.set(data.words, i * 16, first);
    LbaRange.nlb.set(data.words, i * 16, blocks - 1);
  };
  range(0, 0, 100);
  range(1, 100, 100);
  const { lbaRangeType } = Feature;
  assert.is((await bench.setFeature(lbaRangeType, 1, { nsid: 1, data })).status, 0);
  data.words.fill(0xffff_ffff);
  assert.is((await bench.getFeature(lbaRangeType, 0, { nsid: 1, data })).dw0, 1);
  assert.is(LbaRange.slba.get(data.words, 16), 100);
  assert.is(data.words[1023], 0, 'the whole list is returned');
  range(1, 99, 100);
  const overlap = await bench.setFeature(lbaRangeType, 1, { nsid: 1, data });
  assert.is(overlap.status, Status.overlappingRange);
  range(1, 2 ** 40, 1);
  const outside = await bench.setFeature(lbaRangeType, 1, { nsid: 1, data });
  assert.is(outside.status, Status.lbaOutOfRange);
});

test('host behaviour takes 0 and 1 and no extended formats', async () => {
  const bench = await AdminBench.open();
  const data = bench.buffer();
  data.words.fill(0);
  HostBehavior.acre.set(data.words, 0, 1);
  assert.is((await bench.setFeature(Feature.hostBehavior, 0, { data })).status, 0);
  HostBehavior.lbafee.set(data.words, 0, 1);
  const refused = await bench.setFeature(Feature.hostBehavior, 0, { data });
  assert.is(refused.status, Status.invalidField);
});

test('a card without a volatile cache has no write cache feature', async () => {
  const bench = await AdminBench.open('simple?cache.isVolatile=false');
  assert.is((await bench.getFeature(Feature.volatileWriteCache)).status, Status.invalidField);
});

test('the only command set profile is the first', async () => {
  const bench = await AdminBench.open();
  assert.is((await bench.setFeature(Feature.commandSetProfile, 0)).status, 0);
  const outcome = await bench.setFeature(Feature.commandSetProfile, 1);
  assert.is(outcome.status, Status.commandSetCombinationRejected);
});

test('events that the card does not have cannot be asked for', async () => {
  const bench = await AdminBench.open();
  const outcome = await bench.setFeature(Feature.asynchronousEvents, 0x8000_0000);
  assert.is(outcome.status, Status.invalidField);
});

test.run();
