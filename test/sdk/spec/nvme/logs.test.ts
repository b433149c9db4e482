import * as assert from 'uvu/assert';
import * as features from '../../../../sdk/spec/nvme/features.js';
import * as logs from '../../../../sdk/spec/nvme/logs.js';
import { suite } from '../../../support/suite.js';

const test = suite('logs and features');

interface Readable {
  get(words: Uint32Array, at: number): number;
}

type Row = readonly [name: string, field: Readable, byte: number, bytes: number[], value: number];

function checkRows(length: number, rows: readonly Row[]): void {
  for (const [name, field, byte, bytes, value] of rows) {
    const page = new Uint32Array(length / 4);
    new Uint8Array(page.buffer).set(bytes, byte);
    assert.is(field.get(page, 0), value, name);
  }
}

test('an error entry has its fields at the bytes of the standard', () => {
  const E = logs.ErrorEntry;
  checkRows(64, [
    ['count', E.count, 0, [9, 0, 0, 0, 0, 0, 0, 0], 9],
    ['SQID', E.sqid, 8, [1, 2], 0x0201],
    ['CID', E.cid, 10, [3, 4], 0x0403],
    ['status', E.status, 12, [0x04, 0x00], 2],
    ['byte', E.byte, 14, [40], 40],
    ['bit', E.bit, 15, [5], 5],
    ['LBA', E.lba, 16, [0, 0, 0, 0, 1, 0, 0, 0], 2 ** 32],
    ['NSID', E.nsid, 24, [1, 0, 0, 0], 1],
    ['TRTYPE', E.trtype, 29, [1], 1],
    ['command specific', E.commandSpecific, 32, [1, 0, 0, 0, 0, 0, 0, 0], 1],
  ]);
});

test('the SMART page has its fields at the bytes of the standard', () => {
  const H = logs.HealthLog;
  checkRows(512, [
    ['temperature warning', H.warningTemperature, 0, [2], 1],
    ['temperature', H.temperature, 1, [0x2c, 0x01], 300],
    ['spare', H.spare, 3, [100], 100],
    ['spare threshold', H.spareThreshold, 4, [10], 10],
    ['used', H.used, 5, [3], 3],
    ['warning time', H.warningMinutes, 192, [1, 0, 0, 0], 1],
    ['critical time', H.criticalMinutes, 196, [1, 0, 0, 0], 1],
    ['sensor 1', H.sensor1, 200, [1, 1], 257],
    ['sensor 8', H.sensor8, 214, [1, 1], 257],
    ['thermal 1 count', H.thermal1Count, 216, [1, 0, 0, 0], 1],
    ['thermal 2 seconds', H.thermal2Seconds, 228, [1, 0, 0, 0], 1],
  ]);
  const wide = { read: H.dataUnitsRead, written: H.dataUnitsWritten, cycles: H.powerCycles };
  assert.equal([wide.read.offset, wide.written.offset, wide.cycles.offset], [32, 48, 112]);
  const rest = [H.hostReads, H.hostWrites, H.busyMinutes, H.powerOnHours, H.unsafeShutdowns];
  assert.equal(
    rest.map((field) => field.offset),
    [64, 80, 96, 128, 144],
  );
  assert.equal([H.mediaErrors.offset, H.errorEntries.offset], [160, 176]);
});

test('firmware slots: running slot in bits 2..0, next in 6..4, revisions from byte 8', () => {
  const page = new Uint32Array(128);
  new Uint8Array(page.buffer)[0] = 0x21;
  assert.is(logs.FirmwareSlotLog.active.get(page, 0), 1);
  assert.is(logs.FirmwareSlotLog.next.get(page, 0), 2);
  assert.is(logs.FirmwareSlotLog.frs1.offset, 8);
  assert.is(logs.FirmwareSlotLog.frs7.offset, 56);
});

test('the self-test page is 564 bytes with results of 28 bytes from byte 4', () => {
  assert.is(logs.SelfTestLog.layout.bytes, 564);
  assert.is(logs.SelfTestLog.results.at(0, 1) * 4, 32);
  const R = logs.SelfTestResult;
  checkRows(28, [
    ['outcome', R.outcome, 0, [0x27], 7],
    ['code', R.code, 0, [0x27], 2],
    ['segment', R.segment, 1, [3], 3],
    ['NSID valid', R.nsidValid, 2, [1], 1],
    ['NSID', R.nsid, 12, [1, 0, 0, 0], 1],
    ['status code type', R.sct, 24, [2], 2],
    ['status code', R.sc, 25, [0x81], 0x81],
  ]);
});

test('effects: admin commands from byte 0, I/O commands from byte 1024', () => {
  assert.is(logs.EffectsLog.admin.at(0, 0x80) * 4, 512);
  assert.is(logs.EffectsLog.io.at(0, 1) * 4, 1028);
  checkRows(4, [
    ['CSUPP', logs.CommandEffects.csupp, 0, [1], 1],
    ['LBCC', logs.CommandEffects.lbcc, 0, [2], 1],
    ['CSE', logs.CommandEffects.cse, 2, [2], 2],
    ['scope', logs.CommandEffects.scopeSubsystem, 3, [2], 1],
  ]);
});

test('telemetry: areas at 8, 10, 12 and 16, generations at 381 and 383, reason at 384', () => {
  const T = logs.TelemetryLog;
  checkRows(512, [
    ['area 1', T.area1, 8, [1, 0], 1],
    ['area 2', T.area2, 10, [2, 0], 2],
    ['area 3', T.area3, 12, [3, 0], 3],
    ['area 4', T.area4, 16, [4, 0, 0, 0], 4],
    ['host generation', T.hostGeneration, 381, [5], 5],
    ['available', T.controllerAvailable, 382, [1], 1],
    ['generation', T.controllerGeneration, 383, [7], 7],
  ]);
  assert.is(T.reason.offset, 384);
});

test('sanitize status: progress, status, passes, erased and the command at their places', () => {
  const S = logs.SanitizeLog;
  checkRows(512, [
    ['progress', S.progress, 0, [0xff, 0xff], 0xffff],
    ['status', S.status, 2, [0x0a], 2],
    ['passes', S.passes, 2, [0x0a], 1],
    ['erased', S.erased, 3, [1], 1],
    ['command', S.cdw10, 4, [2, 0, 0, 0], 2],
    ['crypto time', S.cryptoTime, 16, [9, 0, 0, 0], 9],
  ]);
});

test('ANA and reservation notification pages keep their offsets', () => {
  checkRows(32, [
    ['groups', logs.AnaLog.groups, 8, [1, 0], 1],
    ['namespaces', logs.AnaGroup.namespaces, 4, [2, 0, 0, 0], 2],
    ['state', logs.AnaGroup.state, 16, [1], 1],
    ['type', logs.ReservationLog.type, 8, [3], 3],
    ['NSID', logs.ReservationLog.nsid, 12, [1, 0, 0, 0], 1],
  ]);
});

test('log pages and features carry the identifiers of the standard', () => {
  const pages = logs.LogPage;
  assert.equal([pages.error, pages.ana, pages.featureEffects, pages.sanitize], [1, 12, 18, 0x81]);
  const ids = features.Feature;
  assert.equal([ids.numberOfQueues, ids.keepAlive, ids.hostBehavior], [7, 15, 0x16]);
  assert.equal([ids.hostIdentifier, ids.writeProtect], [0x81, 0x84]);
});

test('feature words have their fields at the bits of the standard', () => {
  const value = 0x0605_0403;
  assert.is(features.ArbitrationFeature.ab.of(value), 3);
  assert.is(features.ArbitrationFeature.lpw.of(value), 5);
  assert.is(features.ArbitrationFeature.hpw.of(value), 7);
  assert.is(features.QueueCountFeature.nsq.of(0x0007_003f), 64);
  assert.is(features.QueueCountFeature.ncq.of(0x0007_003f), 8);
  assert.is(features.TemperatureFeature.tmpth.of(0x0013_0157), 343);
  assert.is(features.TemperatureFeature.tmpsel.of(0x0013_0157), 3);
  assert.is(features.TemperatureFeature.thsel.of(0x0013_0157), 1);
  assert.is(features.VectorFeature.cd.of(0x0001_0002), 1);
  assert.is(features.HostThermalFeature.tmt1.of(0x0150_0140), 0x150);
  assert.is(features.ErrorRecoveryFeature.dulbe.of(0x0001_0000), 1);
  assert.is(features.TimestampData.origin.of(0x0002_0000), 1);
});

test.run();
