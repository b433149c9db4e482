import * as assert from 'uvu/assert';
import { DeviceSelfTest, Sanitize, SetFeatures } from '../../../../sdk/spec/nvme/admin-command.js';
import { AsyncEventResult } from '../../../../sdk/spec/nvme/completion.js';
import { Feature } from '../../../../sdk/spec/nvme/features.js';
import { Nsid } from '../../../../sdk/spec/nvme/identify.js';
import {
  LogPage,
  SanitizeLog,
  SelfTestLog,
  SelfTestOutcome,
  SelfTestResult,
} from '../../../../sdk/spec/nvme/logs.js';
import { AdminOpcode, NvmOpcode } from '../../../../sdk/spec/nvme/opcodes.js';
import { Status, statusKind } from '../../../../sdk/spec/nvme/status.js';
import { msNs, secondNs } from '../../../../sdk/units.js';
import { suite } from '../../../support/suite.js';
import { AdminBench, type FieldValue } from './bench.js';

const test = suite('self-test and sanitize');

function selfTest(bench: AdminBench, code: number, nsid = 0) {
  const fields = [[DeviceSelfTest.stc, code]] as const;
  return bench.run({ opcode: AdminOpcode.deviceSelfTest, nsid, fields });
}

async function selfTestLog(bench: AdminBench) {
  const { words } = await bench.getLog(LogPage.selfTest, 564);
  const at = SelfTestLog.results.at(0, 0);
  return {
    running: SelfTestLog.running.get(words, 0),
    percent: SelfTestLog.percent.get(words, 0),
    code: SelfTestResult.code.get(words, at),
    outcome: SelfTestResult.outcome.get(words, at),
    nsid: SelfTestResult.nsid.get(words, at),
    second: SelfTestResult.outcome.get(words, SelfTestLog.results.at(0, 1)),
  };
}

test('a short self-test runs in the background for its time and passes', async () => {
  const bench = await AdminBench.open();
  assert.is((await selfTest(bench, 1, 1)).status, 0);
  await bench.raw.elapse(50 * msNs);
  const running = await selfTestLog(bench);
  assert.equal([running.running, running.outcome], [1, SelfTestOutcome.unused]);
  assert.ok(running.percent >= 50 && running.percent < 60, `${running.percent} per cent`);
  await bench.raw.elapse(60 * msNs);
  const done = await selfTestLog(bench);
  assert.equal([done.running, done.code, done.outcome, done.nsid], [0, 1, 0, 1]);
});

test('one self-test at a time', async () => {
  const bench = await AdminBench.open();
  await selfTest(bench, 2);
  assert.is((await selfTest(bench, 1)).status, Status.selfTestInProgress);
});

test('a self-test can be aborted, and the newest result comes first', async () => {
  const bench = await AdminBench.open();
  await selfTest(bench, 1);
  await bench.raw.elapse(150 * msNs);
  await selfTest(bench, 2);
  assert.is((await selfTest(bench, 15)).status, 0);
  const log = await selfTestLog(bench);
  const newest = [log.running, log.code, log.outcome, log.second];
  assert.equal(newest, [0, 2, SelfTestOutcome.aborted, SelfTestOutcome.passed]);
});

test('a reset aborts a short self-test and not an extended one', async () => {
  const bench = await AdminBench.open();
  await selfTest(bench, 1);
  await bench.reset();
  assert.is((await selfTestLog(bench)).outcome, SelfTestOutcome.abortedByReset);
  await selfTest(bench, 2);
  await bench.reset();
  assert.is((await selfTestLog(bench)).running, 2);
  await bench.raw.elapse(secondNs);
  assert.equal([(await selfTestLog(bench)).running, (await selfTestLog(bench)).outcome], [0, 0]);
});

test('an extended self-test goes on after a power cycle with what was left', async () => {
  const bench = await AdminBench.open('simple?firmware.selfTestExtendedNs=10000000000');
  await selfTest(bench, 2);
  await bench.raw.elapse(5 * secondNs);
  // A second without power and a second with it.
  await bench.powerCycle();
  const log = await selfTestLog(bench);
  assert.is(log.running, 2);
  assert.ok(log.percent >= 59 && log.percent <= 61, `${log.percent} per cent`);
  await bench.raw.elapse(4 * secondNs);
  assert.is((await selfTestLog(bench)).outcome, SelfTestOutcome.passed);
});

test('format ends a self-test of its namespace', async () => {
  const bench = await AdminBench.open();
  await selfTest(bench, 2, Nsid.broadcast);
  await bench.run({ opcode: AdminOpcode.formatNvm, nsid: 1 });
  assert.is((await selfTestLog(bench)).outcome, SelfTestOutcome.abortedByFormat);
});

test('self-test codes and namespaces that do not exist are refused', async () => {
  const bench = await AdminBench.open();
  assert.is((await selfTest(bench, 0)).status, Status.invalidField);
  assert.is((await selfTest(bench, 3)).status, Status.invalidField);
  assert.is((await selfTest(bench, 1, 5)).status, Status.invalidField);
  assert.is((await selfTest(bench, 1, 5000)).status, Status.invalidNamespaceOrFormat);
});

function sanitize(bench: AdminBench, action: number, ...more: FieldValue[]) {
  const fields: FieldValue[] = [[Sanitize.sanact, action], ...more];
  return bench.run({ opcode: AdminOpcode.sanitize, fields });
}

async function sanitizeLog(bench: AdminBench) {
  const { words } = await bench.getLog(LogPage.sanitize, 512);
  return {
    status: SanitizeLog.status.get(words, 0),
    progress: SanitizeLog.progress.get(words, 0),
    erased: SanitizeLog.erased.get(words, 0),
    passes: SanitizeLog.passes.get(words, 0),
    cdw10: SanitizeLog.cdw10.get(words, 0),
  };
}

/** 64 GiB at 1 ms for each: what one pass takes on the card of these tests. */
const passNs = 64 * msNs;

test('a card that never was sanitized says so', async () => {
  const bench = await AdminBench.open();
  const log = await sanitizeLog(bench);
  assert.equal([log.status, log.progress, log.erased], [0, 0xffff, 0]);
});

for (const [name, action, passes] of [
  ['block erase', 2, 1],
  ['overwrite', 3, 2],
  ['crypto erase', 4, 1],
] as const) {
  test(`${name} takes its time, erases all data, and is an event`, async () => {
    const bench = await AdminBench.open();
    const data = bench.buffer();
    data.words.fill(0xaaaa_5555);
    await bench.write(1, 8, data);
    const event = bench.post({ opcode: AdminOpcode.asynchronousEventRequest });
    assert.is((await sanitize(bench, action, [Sanitize.owpass, passes])).status, 0);
    const log = await sanitizeLog(bench);
    assert.is(log.status, 2);
    assert.ok(log.progress < 0xffff);
    await bench.raw.elapse(passNs * passes);
    const done = await sanitizeLog(bench);
    assert.equal([done.status, done.progress, done.erased], [1, 0xffff, 1]);
    assert.is(done.passes, action === 3 ? 2 : 0);
    assert.is(done.cdw10, action + passes * 16);
    const { dw0 } = await bench.waitFor(event);
    const { type, info, logPage } = AsyncEventResult;
    assert.equal([type.of(dw0), info.of(dw0), logPage.of(dw0)], [6, 1, LogPage.sanitize]);
    assert.is(await bench.read(1, 8, data), 0);
    assert.ok(data.words.subarray(0, 128).every((word) => word === 0));
  });
}

test('sanitize refuses data commands and format, control commands go on', async () => {
  const bench = await AdminBench.open();
  const data = bench.buffer();
  await bench.ioPair();
  await sanitize(bench, 2);
  assert.is(await bench.read(1, 0, data), Status.sanitizeInProgress);
  assert.is(await bench.write(1, 0, data), Status.sanitizeInProgress);
  for (const [opcode, nsid] of [
    [AdminOpcode.formatNvm, 1],
    [AdminOpcode.deviceSelfTest, 0],
    [AdminOpcode.namespaceManagement, 0],
    [AdminOpcode.firmwareCommit, 0],
    [AdminOpcode.sanitize, 0],
  ] as const) {
    const fields: FieldValue[] = opcode === AdminOpcode.sanitize ? [[Sanitize.sanact, 2]] : [];
    const outcome = await bench.run({ opcode, nsid, fields });
    assert.is(outcome.status, Status.sanitizeInProgress, `opcode ${opcode.toString(16)}`);
  }
  await bench.identify(1);
  assert.is((await bench.getFeature(Feature.arbitration)).status, 0);
  assert.is((await bench.getLog(LogPage.health, 512)).status, 0);
});

test('sanitize ends reads and formats that are under way', async () => {
  const bench = await AdminBench.open('simple?media.readNs=1000000000');
  const { sq, cq } = await bench.ioPair();
  const data = bench.buffer();
  const read = sq.post(bench.commandOf({ opcode: NvmOpcode.read, nsid: 1, data }));
  sq.ring();
  const format = bench.post({ opcode: AdminOpcode.formatNvm, nsid: 1 });
  await bench.raw.elapse(msNs);
  await sanitize(bench, 2);
  const done = await bench.raw.waitFor(cq, { sqid: 1, cid: read });
  assert.is(statusKind(done.status), Status.sanitizeInProgress);
  assert.is((await bench.waitFor(format)).status, Status.sanitizeInProgress);
});

test('sanitize waits for no firmware: a pending activation refuses it', async () => {
  const bench = await AdminBench.open();
  bench.card.subsystem.firmware.activateAtReset(1);
  assert.is((await sanitize(bench, 2)).status, Status.firmwareNeedsControllerReset);
});

test('a new sanitize takes back the event of the one before', async () => {
  const bench = await AdminBench.open();
  await sanitize(bench, 2);
  await bench.raw.elapse(passNs);
  await sanitize(bench, 2);
  const event = bench.post({ opcode: AdminOpcode.asynchronousEventRequest });
  assert.not.ok(await bench.hasEnded(event, passNs / 2));
  await bench.waitFor(event);
});

test('sanitize goes on over a controller reset and over a power cycle', async () => {
  const bench = await AdminBench.open();
  await sanitize(bench, 3, [Sanitize.owpass, 8]);
  await bench.reset();
  assert.is((await sanitizeLog(bench)).status, 2);
  await bench.powerCycle();
  await bench.raw.elapse(8 * passNs);
  assert.is((await sanitizeLog(bench)).status, 1);
});

test('after a failure in restricted mode only another restricted sanitize helps', async () => {
  const bench = await AdminBench.open();
  const data = bench.buffer();
  await bench.ioPair();
  bench.card.subsystem.sanitizer.failsNext = true;
  await sanitize(bench, 2);
  await bench.raw.elapse(passNs);
  assert.is((await sanitizeLog(bench)).status, 3);
  assert.is(await bench.read(1, 0, data), Status.sanitizeFailed);
  assert.is((await sanitize(bench, 1)).status, Status.sanitizeFailed);
  assert.is((await sanitize(bench, 2, [Sanitize.ause, 1])).status, Status.sanitizeFailed);
  assert.is((await sanitize(bench, 2)).status, 0);
  await bench.raw.elapse(passNs);
  assert.is(await bench.read(1, 0, data), 0);
});

test('failure in unrestricted mode can be left', async () => {
  const bench = await AdminBench.open();
  const data = bench.buffer();
  bench.card.subsystem.sanitizer.failsNext = true;
  await sanitize(bench, 2, [Sanitize.ause, 1]);
  await bench.raw.elapse(passNs);
  assert.is((await sanitize(bench, 1)).status, 0);
  assert.is(await bench.read(1, 0, data), 0);
});

test('no deallocation is refused, or a warning when the host prefers that', async () => {
  const bench = await AdminBench.open();
  assert.is((await sanitize(bench, 2, [Sanitize.ndas, 1])).status, Status.invalidField);
  await bench.setFeature(Feature.sanitizeConfig, 1);
  const event = bench.post({ opcode: AdminOpcode.asynchronousEventRequest });
  assert.is((await sanitize(bench, 2, [Sanitize.ndas, 1])).status, 0);
  await bench.raw.elapse(passNs);
  assert.is((await sanitizeLog(bench)).status, 4);
  assert.is(AsyncEventResult.info.of((await bench.waitFor(event)).dw0), 2);
});

test('a write ends the state of global data erased', async () => {
  const bench = await AdminBench.open();
  const data = bench.buffer();
  await sanitize(bench, 2);
  await bench.raw.elapse(passNs);
  assert.is((await sanitizeLog(bench)).erased, 1);
  await bench.write(1, 0, data);
  assert.is((await sanitizeLog(bench)).erased, 0);
});

test('a saved sanitize configuration survives a power cycle', async () => {
  const bench = await AdminBench.open();
  await bench.setFeature(Feature.sanitizeConfig, 1, { fields: [[SetFeatures.sv, 1]] });
  await bench.powerCycle();
  assert.is((await bench.getFeature(Feature.sanitizeConfig)).dw0, 1);
});

test.run();
