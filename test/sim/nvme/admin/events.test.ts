import * as assert from 'uvu/assert';
import { Abort, GetLogPage, NamespaceManagement } from '../../../../sdk/spec/nvme/admin-command.js';
import { AbortResult, AsyncEventResult } from '../../../../sdk/spec/nvme/completion.js';
import { EventFeature, Feature, TemperatureFeature } from '../../../../sdk/spec/nvme/features.js';
import { Nsid } from '../../../../sdk/spec/nvme/identify.js';
import { CriticalWarning, LogPage } from '../../../../sdk/spec/nvme/logs.js';
import { AdminOpcode, NvmOpcode } from '../../../../sdk/spec/nvme/opcodes.js';
import { Status, statusKind } from '../../../../sdk/spec/nvme/status.js';
import { suite } from '../../../support/suite.js';
import { AdminBench } from './bench.js';

const test = suite('asynchronous events and abort');

const request = { opcode: AdminOpcode.asynchronousEventRequest } as const;

function eventOf(dw0: number): readonly [type: number, information: number, page: number] {
  const { type, info, logPage } = AsyncEventResult;
  return [type.of(dw0), info.of(dw0), logPage.of(dw0)];
}

const hot = 350;
const cool = 300;

test('a request waits until there is an event', async () => {
  const bench = await AdminBench.open();
  const cid = bench.post(request);
  assert.not.ok(await bench.hasEnded(cid, 1_000_000_000));
});

test('one request above the limit is refused', async () => {
  const bench = await AdminBench.open('simple?controller.asyncEventLimit=2');
  bench.post(request);
  bench.post(request);
  const outcome = await bench.run(request);
  assert.is(outcome.status, Status.asynchronousEventLimitExceeded);
});

test('a temperature above the threshold is an event when the host wants it', async () => {
  const bench = await AdminBench.open();
  const cid = bench.post(request);
  bench.card.subsystem.health.setTemperature(hot);
  assert.not.ok(await bench.hasEnded(cid));
  bench.card.subsystem.health.setTemperature(cool);
  await bench.setFeature(Feature.asynchronousEvents, CriticalWarning.temperature);
  bench.card.subsystem.health.setTemperature(hot);
  const outcome = await bench.waitFor(cid);
  assert.equal(eventOf(outcome.dw0), [1, 1, LogPage.health]);
});

test('a threshold set below the temperature is an event at once', async () => {
  const bench = await AdminBench.open();
  await bench.setFeature(Feature.asynchronousEvents, CriticalWarning.temperature);
  const cid = bench.post(request);
  await bench.setFeature(Feature.temperatureThreshold, TemperatureFeature.tmpth.put(0, 290));
  assert.equal(eventOf((await bench.waitFor(cid)).dw0), [1, 1, LogPage.health]);
});

test('an event type is masked until its log page is read', async () => {
  const bench = await AdminBench.open();
  const { health } = bench.card.subsystem;
  const warnings = CriticalWarning.temperature | CriticalWarning.spare;
  await bench.setFeature(Feature.asynchronousEvents, warnings);
  const first = bench.post(request);
  health.setTemperature(hot);
  await bench.waitFor(first);
  const second = bench.post(request);
  health.setSpare(5);
  assert.not.ok(await bench.hasEnded(second));
  await bench.getLog(LogPage.health, 512, [[GetLogPage.rae, 1]]);
  assert.not.ok(await bench.hasEnded(second), 'retained');
  await bench.getLog(LogPage.health, 512);
  assert.equal(eventOf((await bench.waitFor(second)).dw0), [1, 2, LogPage.health]);
});

test('events of different types do not mask one another', async () => {
  const bench = await AdminBench.open();
  const wanted = EventFeature.namespace.put(CriticalWarning.temperature, 1);
  await bench.setFeature(Feature.asynchronousEvents, wanted);
  const first = bench.post(request);
  const second = bench.post(request);
  bench.card.subsystem.health.setTemperature(hot);
  await bench.waitFor(first);
  await bench.run({
    opcode: AdminOpcode.namespaceManagement,
    nsid: 1,
    fields: [[NamespaceManagement.sel, 1]],
  });
  assert.equal(eventOf((await bench.waitFor(second)).dw0), [2, 0, LogPage.changedNamespaces]);
});

test('a deleted namespace is in the changed list once', async () => {
  const bench = await AdminBench.open();
  await bench.run({
    opcode: AdminOpcode.namespaceManagement,
    nsid: Nsid.broadcast,
    fields: [[NamespaceManagement.sel, 1]],
  });
  const first = await bench.getLog(LogPage.changedNamespaces, 4096);
  assert.equal([...first.words.subarray(0, 2)], [1, 0]);
  const second = await bench.getLog(LogPage.changedNamespaces, 4096);
  assert.is(second.words[0], 0);
});

test('a wrong doorbell value is an error event', async () => {
  const bench = await AdminBench.open();
  bench.card.checker.expect('doorbellValue', 'doorbellQueue');
  const cid = bench.post(request);
  const { sq } = await bench.ioPair();
  sq.ringValue(1000);
  assert.equal(eventOf((await bench.waitFor(cid)).dw0), [0, 1, LogPage.error]);
});

test('a reset forgets requests and events', async () => {
  const bench = await AdminBench.open();
  await bench.setFeature(Feature.asynchronousEvents, CriticalWarning.temperature);
  bench.post(request);
  await bench.reset();
  const cid = bench.post(request);
  bench.card.subsystem.health.setTemperature(hot);
  assert.not.ok(await bench.hasEnded(cid));
});

test('abort ends a waiting event request and says so', async () => {
  const bench = await AdminBench.open();
  const cid = bench.post(request);
  const dw0 = await bench.must({ opcode: AdminOpcode.abort, fields: [[Abort.cid, cid]] });
  assert.is(AbortResult.notAborted.of(dw0), 0);
  const outcome = await bench.waitFor(cid);
  assert.is(outcome.status, Status.abortRequested);
});

test('abort of a command that is not there changes nothing and says so', async () => {
  const bench = await AdminBench.open();
  const fields = [[Abort.cid, 0x1234]] as const;
  const dw0 = await bench.must({ opcode: AdminOpcode.abort, fields });
  assert.is(AbortResult.notAborted.of(dw0), 1);
});

test('aborts above the limit are refused, those within it work', async () => {
  const bench = await AdminBench.open('simple?controller.abortLimit=1');
  const fields = [[Abort.cid, 0x1234]] as const;
  const sq = bench.raw.adminSq;
  const first = sq.post(bench.commandOf({ opcode: AdminOpcode.abort, fields }));
  const second = sq.post(bench.commandOf({ opcode: AdminOpcode.abort, fields }));
  sq.ring();
  assert.is((await bench.waitFor(second)).status, Status.abortLimitExceeded);
  assert.is((await bench.waitFor(first)).status, 0);
  const third = await bench.run({ opcode: AdminOpcode.abort, fields });
  assert.is(third.status, 0);
});

test('the error log points at the field that was wrong', async () => {
  const bench = await AdminBench.open();
  const outcome = await bench.run({
    opcode: AdminOpcode.getLogPage,
    fields: [[GetLogPage.lid, 0x7f]],
    data: bench.page,
  });
  assert.is(outcome.status, Status.invalidLogPage);
  assert.ok(outcome.hasMore);
  assert.ok(outcome.isFinal);
  const error = await bench.lastError();
  assert.is(error.status, Status.invalidLogPage);
  assert.equal([error.byte, error.bit, error.sqid, error.count], [40, 0, 0, 1]);
});

test('errors are counted and the newest comes first', async () => {
  const bench = await AdminBench.open();
  for (const opcode of [0x7f, 0x3f]) await bench.run({ opcode, nsid: opcode });
  const { words } = await bench.getLog(LogPage.error, 3 * 64);
  assert.equal([words[0], words[16], words[32]], [2, 1, 0]);
  assert.equal([words[6], words[22]], [0x3f, 0x7f]);
});

test('errors survive a controller reset', async () => {
  const bench = await AdminBench.open();
  await bench.run({ opcode: 0x7f });
  await bench.reset();
  assert.is((await bench.lastError()).count, 1);
});

test('a command in flight and one still in the queue are both aborted', async () => {
  const bench = await AdminBench.open('simple?media.readNs=1000000000&media.parallelUnits=1');
  const { sq, cq } = await bench.ioPair();
  const read = () =>
    sq.post(bench.commandOf({ opcode: NvmOpcode.read, nsid: 1, data: bench.buffer() }));
  const first = read();
  const second = read();
  sq.ring();
  await bench.raw.elapse(1_000_000);
  for (const cid of [second, first]) {
    const fields = [
      [Abort.cid, cid],
      [Abort.sqid, 1],
    ] as const;
    const startNs = bench.nowNs;
    const dw0 = await bench.must({ opcode: AdminOpcode.abort, fields });
    assert.is(AbortResult.notAborted.of(dw0), 0);
    const done = await bench.raw.waitFor(cq, { sqid: 1, cid });
    assert.is(statusKind(done.status), Status.abortRequested);
    assert.ok(bench.nowNs - startNs < 1_000_000, 'before its time');
  }
});

test.run();
