import * as assert from 'uvu/assert';
import { Abort, GetFeatures } from '../../sdk/spec/nvme/admin-command.js';
import { AbortResult, AsyncEventResult } from '../../sdk/spec/nvme/completion.js';
import { Feature, TemperatureFeature } from '../../sdk/spec/nvme/features.js';
import { IdentifyController } from '../../sdk/spec/nvme/identify-controller.js';
import { LogPage } from '../../sdk/spec/nvme/logs.js';
import { HealthLog } from '../../sdk/spec/nvme/logs-health.js';
import { AdminOpcode } from '../../sdk/spec/nvme/opcodes.js';
import { Status } from '../../sdk/spec/nvme/status.js';
import type { Rig } from '../../sdk/testing/rig.js';
import { msNs } from '../../sdk/units.js';
import { statements } from './statement.js';

const statement = statements('asynchronous events and abort');

const eventCite = '[NVMe-2.0 §5.2 Asynchronous Event Request]';
const abortCite = '[NVMe-2.0 §5.1 Abort]';

/** Post a request; it is with the controller when this returns. */
async function request(rig: Rig): Promise<number> {
  const { adminSq } = rig.controller;
  const cid = adminSq.post(rig.command(AdminOpcode.asynchronousEventRequest));
  adminSq.ring();
  await rig.adminOk(rig.command(AdminOpcode.getFeatures).set(GetFeatures.fid, 7));
  return cid;
}

const waitEvent = (rig: Rig, cid: number) =>
  rig.controller.waitFor(rig.controller.adminCq, { sqid: 0, cid });

/** Whether a command completes within a millisecond. */
async function completes(rig: Rig): Promise<boolean> {
  return (await rig.controller.next(rig.controller.adminCq, msNs)) !== undefined;
}

/** Put the over temperature threshold below the drive's temperature. */
async function overheat(rig: Rig): Promise<void> {
  // Retained, because reading the page would let the event come again.
  const words = await rig.logPage({ lid: LogPage.health, bytes: 512, retain: true });
  const kelvin = HealthLog.temperature.get(words, 0);
  rig.succeeded(await rig.setFeature({ fid: Feature.asynchronousEvents, value: 0xff }));
  const value = TemperatureFeature.tmpth.put(0, kelvin - 20);
  rig.succeeded(await rig.setFeature({ fid: Feature.temperatureThreshold, value }));
}

/** Put the threshold back above any temperature. */
async function coolDown(rig: Rig): Promise<void> {
  const value = TemperatureFeature.tmpth.put(0, 0xffff);
  rig.succeeded(await rig.setFeature({ fid: Feature.temperatureThreshold, value }));
}

statement('an event request stays outstanding while nothing happens', eventCite, async (rig) => {
  await request(rig);
  assert.not.ok(await completes(rig));
});

statement('as many event requests as AERL says may be outstanding', eventCite, async (rig) => {
  const limit = Math.min(await rig.id(IdentifyController.aerl), 16);
  for (let i = 0; i < limit; i++) await request(rig);
  assert.not.ok(await completes(rig));
});

statement('one event request too many is refused', eventCite, async (rig) => {
  const limit = await rig.id(IdentifyController.aerl);
  rig.needs(limit <= 16, 'an event request limit below 17');
  for (let i = 0; i < limit; i++) await request(rig);
  const completion = await rig.admin(rig.command(AdminOpcode.asynchronousEventRequest));
  rig.refused(completion, Status.asynchronousEventLimitExceeded);
});

statement('a threshold below the temperature raises a SMART event', eventCite, async (rig) => {
  const cid = await request(rig);
  await overheat(rig);
  const { dw0, status } = await waitEvent(rig, cid);
  assert.is(status, 0);
  assert.is(AsyncEventResult.type.of(dw0), 1);
  assert.is(AsyncEventResult.info.of(dw0), 1);
  assert.is(AsyncEventResult.logPage.of(dw0), LogPage.health);
  await coolDown(rig);
});

statement('the health log shows the warning that raised the event', eventCite, async (rig) => {
  const cid = await request(rig);
  await overheat(rig);
  await waitEvent(rig, cid);
  const words = await rig.logPage({ lid: LogPage.health, bytes: 512 });
  assert.is(HealthLog.warningTemperature.get(words, 0), 1);
  await coolDown(rig);
});

statement('a reserved bit of an event result is zero', eventCite, async (rig) => {
  const cid = await request(rig);
  await overheat(rig);
  const { dw0 } = await waitEvent(rig, cid);
  assert.is(dw0 & 0xff00_00f8, 0);
  await coolDown(rig);
});

statement('the same type of event is masked until its log page is read', eventCite, async (rig) => {
  rig.needs((await rig.id(IdentifyController.aerl)) >= 2, 'two event requests');
  const cid = await request(rig);
  await overheat(rig);
  await waitEvent(rig, cid);
  await coolDown(rig);
  const second = await request(rig);
  await overheat(rig);
  assert.not.ok(await completes(rig));
  await rig.logPage({ lid: LogPage.health, bytes: 512 });
  // What happened meanwhile is reported now, or what is the case now on the next occasion.
  await coolDown(rig);
  await overheat(rig);
  assert.is(AsyncEventResult.type.of((await waitEvent(rig, second)).dw0), 1);
  await coolDown(rig);
});

statement('reading the log page with Retain does not unmask the event', eventCite, async (rig) => {
  const cid = await request(rig);
  await overheat(rig);
  await waitEvent(rig, cid);
  await coolDown(rig);
  await request(rig);
  await rig.logPage({ lid: LogPage.health, bytes: 512, retain: true });
  await overheat(rig);
  assert.not.ok(await completes(rig));
  await coolDown(rig);
});

statement('reading another log page does not unmask the event', eventCite, async (rig) => {
  const cid = await request(rig);
  await overheat(rig);
  await waitEvent(rig, cid);
  await coolDown(rig);
  await request(rig);
  await rig.logPage({ lid: LogPage.error, bytes: 64 });
  await overheat(rig);
  assert.not.ok(await completes(rig));
  await coolDown(rig);
});

statement('a masked type does not hold back another type', eventCite, async (rig) => {
  const cid = await request(rig);
  await overheat(rig);
  await waitEvent(rig, cid);
  const second = await request(rig);
  const pair = await rig.queuePair({ entries: 8 });
  pair.sq.ringValue(0xffff);
  const { dw0 } = await waitEvent(rig, second);
  assert.is(AsyncEventResult.type.of(dw0), 0);
  await coolDown(rig);
});

statement('a controller reset forgets which events are masked', eventCite, async (rig) => {
  const cid = await request(rig);
  await overheat(rig);
  await waitEvent(rig, cid);
  await coolDown(rig);
  await rig.enable();
  const again = await request(rig);
  await overheat(rig);
  assert.is(AsyncEventResult.type.of((await waitEvent(rig, again)).dw0), 1);
  await coolDown(rig);
});

statement(
  'reading the log page without retaining lets the event come again',
  eventCite,
  async (rig) => {
    rig.needs((await rig.id(IdentifyController.aerl)) >= 2, 'two event requests');
    const first = await request(rig);
    await overheat(rig);
    await waitEvent(rig, first);
    await coolDown(rig);
    await rig.logPage({ lid: LogPage.health, bytes: 512 });
    const second = await request(rig);
    await overheat(rig);
    const { dw0 } = await waitEvent(rig, second);
    assert.is(AsyncEventResult.type.of(dw0), 1);
    await coolDown(rig);
  },
);

statement(
  'an event that happened without a request is reported to the next one',
  eventCite,
  async (rig) => {
    await overheat(rig);
    const { dw0 } = await waitEvent(rig, await request(rig));
    assert.is(AsyncEventResult.type.of(dw0), 1);
    await coolDown(rig);
  },
);

statement(
  'a SMART event that is not enabled is not reported',
  '[NVMe-2.0 §5.27.1.? Asynchronous Event Configuration]',
  async (rig) => {
    await request(rig);
    const words = await rig.logPage({ lid: LogPage.health, bytes: 512 });
    rig.succeeded(await rig.setFeature({ fid: Feature.asynchronousEvents, value: 0 }));
    const value = TemperatureFeature.tmpth.put(0, HealthLog.temperature.get(words, 0) - 20);
    rig.succeeded(await rig.setFeature({ fid: Feature.temperatureThreshold, value }));
    assert.not.ok(await completes(rig));
    await coolDown(rig);
  },
);

statement('a controller reset forgets outstanding event requests', eventCite, async (rig) => {
  const limit = await rig.id(IdentifyController.aerl);
  rig.needs(limit <= 16, 'an event request limit below 17');
  for (let i = 0; i < limit; i++) await request(rig);
  await rig.enable();
  for (let i = 0; i < limit; i++) await request(rig);
  assert.not.ok(await completes(rig));
});

function abort(rig: Rig, sqid: number, cid: number) {
  return rig.command(AdminOpcode.abort).set(Abort.sqid, sqid).set(Abort.cid, cid);
}

statement(
  'an abort of a command that does not exist succeeds and says not aborted',
  abortCite,
  async (rig) => {
    const completion = await rig.admin(abort(rig, 0, 0xfff0));
    if (completion.status !== 0) return rig.refused(completion, Status.invalidField);
    assert.is(AbortResult.notAborted.of(completion.dw0), 1);
  },
);

statement(
  'an aborted event request completes as aborted, and only if abort says so',
  abortCite,
  async (rig) => {
    const cid = await request(rig);
    const { dw0 } = await rig.adminOk(abort(rig, 0, cid));
    if (AbortResult.notAborted.of(dw0) === 1) {
      assert.not.ok(await completes(rig));
      return;
    }
    rig.refused(await waitEvent(rig, cid), Status.abortRequested);
  },
);

statement('an abort of a command that completed says not aborted', abortCite, async (rig) => {
  const ns = await rig.namespace();
  const pair = await rig.queuePair({ entries: 8 });
  const { cid } = await pair.runOk(ns.read({ lba: 0 }, ns.buffer(1)));
  const { dw0 } = await rig.adminOk(abort(rig, pair.sq.id, cid));
  assert.is(AbortResult.notAborted.of(dw0), 1);
});

statement('reserved bits of an abort result are zero', abortCite, async (rig) => {
  const completion = await rig.admin(abort(rig, 0, 0xfff1));
  if (completion.status === 0) assert.is(completion.dw0 & 0xffff_fffe, 0);
});

statement('every aborted read ends once, as success or as aborted', abortCite, async (rig) => {
  const ns = await rig.namespace();
  const pair = await rig.queuePair({ entries: 64 });
  const cids = Array.from({ length: 16 }, (_, i) => pair.post(ns.read({ lba: i }, ns.buffer(1))));
  pair.ring();
  const aborted = (await rig.adminOk(abort(rig, pair.sq.id, cids[15] ?? 0))).dw0;
  for (const cid of cids) {
    const completion = await pair.wait(cid);
    if (completion.status === 0) continue;
    rig.refused(completion, Status.abortRequested);
    assert.is(cid, cids[15]);
    assert.is(AbortResult.notAborted.of(aborted), 0);
  }
  assert.is(await rig.controller.next(pair.cq, msNs), undefined);
});

statement.run();
