import * as assert from 'uvu/assert';
import {
  CreateCompletionQueue,
  NamespaceAttachment,
  Sanitize,
  VirtualizationManagement,
} from '../../../../sdk/spec/nvme/admin-command.js';
import { AsyncEventResult } from '../../../../sdk/spec/nvme/completion.js';
import {
  EventFeature,
  Feature,
  QueueCountFeature,
  ReservationMaskFeature,
} from '../../../../sdk/spec/nvme/features.js';
import { Cns, ControllerList } from '../../../../sdk/spec/nvme/identify.js';
import { IdentifyController } from '../../../../sdk/spec/nvme/identify-controller.js';
import { LogPage, ReservationLog } from '../../../../sdk/spec/nvme/logs.js';
import {
  ReservationAcquire,
  ReservationRegister,
  ReservationRelease,
} from '../../../../sdk/spec/nvme/nvm-command.js';
import { AdminOpcode, NvmOpcode } from '../../../../sdk/spec/nvme/opcodes.js';
import { Csts } from '../../../../sdk/spec/nvme/registers.js';
import { Status, statusKind } from '../../../../sdk/spec/nvme/status.js';
import { suite } from '../../../support/suite.js';
import { AdminBench, type FieldValue } from './bench.js';

const test = suite('several controllers');

/** The SR-IOV capability of the physical function. */
const sriovControl = 0x168;
const vfCount = 0x170;
const enableAndMemory = 0x0009;

interface Pair {
  readonly primary: AdminBench;
  readonly secondary: AdminBench;
}

/** A primary controller, and a secondary one with four queues that is online. */
async function openPair(): Promise<Pair> {
  const primary = await AdminBench.open('simple?controller.virtualFunctions=2');
  const { config } = primary.raw.fn;
  config.write16(vfCount, 2);
  config.write16(sriovControl, enableAndMemory);
  const { act, cntlid, rt, nr } = VirtualizationManagement;
  const manage = (...fields: FieldValue[]) =>
    primary.must({
      opcode: AdminOpcode.virtualizationManagement,
      fields: [[cntlid, 1], ...fields],
    });
  await manage([act, 8], [rt, 0], [nr, 4]);
  await manage([act, 8], [rt, 1], [nr, 2]);
  await manage([act, 9]);
  return { primary, secondary: await AdminBench.openFunction(primary.card, 1) };
}

function attach(bench: AdminBench, nsid: number, id: number, select = 0): Promise<number> {
  const data = bench.buffer();
  ControllerList.count.set(data.words, 0, 1);
  new Uint16Array(data.words.buffer, data.words.byteOffset + 2, 1)[0] = id;
  const fields: FieldValue[] = [[NamespaceAttachment.sel, select]];
  return bench.must({ opcode: AdminOpcode.namespaceAttachment, nsid, fields, data });
}

async function eventOf(bench: AdminBench, cid: number) {
  const { dw0 } = await bench.waitFor(cid);
  const { type, info, logPage } = AsyncEventResult;
  return [type.of(dw0), info.of(dw0), logPage.of(dw0)];
}

test('a secondary controller names itself and has the queues that it was given', async () => {
  const { secondary } = await openPair();
  const page = await secondary.identify(Cns.controller);
  assert.is(IdentifyController.cntlid.get(page, 0), 1);
  assert.is(IdentifyController.cmicVirtualFunction.get(page, 0), 1);
  assert.is(IdentifyController.oacsVirtualization.get(page, 0), 0);
  const { dw0 } = await secondary.setFeature(Feature.numberOfQueues, 0x003f_003f);
  // Four queue resources are the admin queue and three I/O queues.
  assert.is(QueueCountFeature.nsq.of(dw0), 3);
  const refused = await secondary.run({ opcode: AdminOpcode.virtualizationManagement });
  assert.is(refused.status, Status.invalidOpcode);
});

test('a secondary controller has the interrupt vectors that it was given', async () => {
  const { secondary } = await openPair();
  const create = (vector: number) =>
    secondary.run({
      opcode: AdminOpcode.createCompletionQueue,
      fields: [
        [CreateCompletionQueue.qid, 1],
        [CreateCompletionQueue.qsize, 16],
        [CreateCompletionQueue.pc, 1],
        [CreateCompletionQueue.ien, 1],
        [CreateCompletionQueue.iv, vector],
      ],
      data: secondary.page,
    });
  assert.is((await create(2)).status, Status.invalidInterruptVector);
  assert.is((await create(1)).status, 0);
});

test('a reset of the primary controller takes its secondary controllers offline', async () => {
  const { primary, secondary } = await openPair();
  assert.is(Csts.rdy.of(secondary.raw.read('csts')), 1);
  await primary.reset();
  assert.is(Csts.rdy.of(secondary.raw.read('csts')), 0);
  assert.not.ok(primary.card.subsystem.secondaries.find(1)?.isOnline);
});

test('virtual functions that are turned off come back offline', async () => {
  const { primary } = await openPair();
  primary.raw.fn.config.write16(sriovControl, 0);
  assert.not.ok(primary.card.subsystem.secondaries.find(1)?.isOnline);
});

test('attaching by one controller is an event of the other', async () => {
  const { primary, secondary } = await openPair();
  await secondary.setFeature(Feature.asynchronousEvents, EventFeature.namespace.put(0, 1));
  const cid = secondary.post({ opcode: AdminOpcode.asynchronousEventRequest });
  assert.is((await secondary.identify(Cns.activeNamespaces))[0], 0);
  await attach(primary, 1, 1);
  assert.equal(await eventOf(secondary, cid), [2, 0, LogPage.changedNamespaces]);
  assert.is((await secondary.getLog(LogPage.changedNamespaces, 4096)).words[0], 1);
  assert.is((await secondary.identify(Cns.activeNamespaces))[0], 1);
  const controllers = await primary.identify(Cns.controllersOfNamespace, 1);
  assert.equal([...controllers.subarray(0, 2)], [2 | (0 << 16), 1]);
});

test('a namespace detached from one controller stays with the other', async () => {
  const { primary, secondary } = await openPair();
  await attach(primary, 1, 1);
  await attach(primary, 1, 0, 1);
  assert.is(await primary.read(1, 0, primary.buffer()), Status.invalidField);
  assert.is(await secondary.read(1, 0, secondary.buffer()), 0);
});

test('errors and features are of one controller, health is of the subsystem', async () => {
  const { primary, secondary } = await openPair();
  await primary.run({ opcode: 0x7f });
  assert.is((await primary.lastError()).count, 1);
  assert.is((await secondary.lastError()).count, 0);
  await primary.setFeature(Feature.arbitration, 0x0101_0101);
  assert.is.not((await secondary.getFeature(Feature.arbitration)).dw0, 0x0101_0101);
});

test('host identifiers of one subsystem have one format', async () => {
  const { primary, secondary } = await openPair();
  const data = primary.buffer();
  data.bytes.set([1]);
  assert.is((await primary.setFeature(Feature.hostIdentifier, 1, { data })).status, 0);
  const own = secondary.buffer();
  own.bytes.set([2]);
  const short = await secondary.setFeature(Feature.hostIdentifier, 0, { data: own });
  assert.is(short.status, Status.hostIdentifierInconsistentFormat);
  assert.is((await secondary.setFeature(Feature.hostIdentifier, 1, { data: own })).status, 0);
});

interface Key {
  readonly current?: number;
  readonly next?: number;
}

async function reserve(bench: AdminBench, opcode: number, fields: FieldValue[], key: Key) {
  const { sq, cq } = await bench.ioPair();
  const data = bench.buffer();
  data.words[0] = key.current ?? 0;
  data.words[2] = key.next ?? 0;
  const command = bench.commandOf({ opcode, nsid: 1, fields, data });
  const { status } = await bench.raw.execute(sq, cq, { command });
  assert.is(statusKind(status), 0, `opcode ${opcode}`);
}

async function registeredPair(): Promise<Pair> {
  const pair = await openPair();
  await attach(pair.primary, 1, 1);
  for (const [i, bench] of [pair.primary, pair.secondary].entries()) {
    const data = bench.buffer();
    data.bytes.set([i + 1]);
    assert.is((await bench.setFeature(Feature.hostIdentifier, 1, { data })).status, 0);
    const register: FieldValue[] = [[ReservationRegister.rrega, 0]];
    await reserve(bench, NvmOpcode.reservationRegister, register, { next: 100 + i });
  }
  return pair;
}

/** Registrants only, so that the other host is told of the release. */
const registrantsOnly = 3;

test('the release of a shared reservation is an event of the other registrant', async () => {
  const { primary, secondary } = await registeredPair();
  const cid = secondary.post({ opcode: AdminOpcode.asynchronousEventRequest });
  const acquire: FieldValue[] = [[ReservationAcquire.rtype, registrantsOnly]];
  await reserve(primary, NvmOpcode.reservationAcquire, acquire, { current: 100 });
  const release: FieldValue[] = [[ReservationRelease.rtype, registrantsOnly]];
  await reserve(primary, NvmOpcode.reservationRelease, release, { current: 100 });
  assert.equal(await eventOf(secondary, cid), [6, 0, LogPage.reservation]);
  const { words } = await secondary.getLog(LogPage.reservation, 64);
  const R = ReservationLog;
  const [type, nsid] = [R.type.get(words, 0), R.nsid.get(words, 0)];
  assert.equal([type, nsid, R.count.get(words, 0), R.available.get(words, 0)], [2, 1, 1, 0]);
  const empty = await secondary.getLog(LogPage.reservation, 64);
  assert.is(R.type.get(empty.words, 0), 0);
});

test('a masked reservation notification is neither logged nor an event', async () => {
  const { primary, secondary } = await registeredPair();
  const mask = ReservationMaskFeature.resrel.put(0, 1);
  await secondary.setFeature(Feature.reservationNotification, mask, { nsid: 1 });
  const cid = secondary.post({ opcode: AdminOpcode.asynchronousEventRequest });
  const acquire: FieldValue[] = [[ReservationAcquire.rtype, registrantsOnly]];
  await reserve(primary, NvmOpcode.reservationAcquire, acquire, { current: 100 });
  const release: FieldValue[] = [[ReservationRelease.rtype, registrantsOnly]];
  await reserve(primary, NvmOpcode.reservationRelease, release, { current: 100 });
  assert.not.ok(await secondary.hasEnded(cid));
  const { words } = await secondary.getLog(LogPage.reservation, 64);
  assert.is(ReservationLog.type.get(words, 0), 0);
});

test('sanitize stops every controller and tells the one that started it', async () => {
  const { primary, secondary } = await openPair();
  await attach(primary, 1, 1);
  const other = secondary.post({ opcode: AdminOpcode.asynchronousEventRequest });
  const own = primary.post({ opcode: AdminOpcode.asynchronousEventRequest });
  await secondary.ioPair();
  await primary.must({ opcode: AdminOpcode.sanitize, fields: [[Sanitize.sanact, 2]] });
  const status = await secondary.read(1, 0, secondary.buffer());
  assert.is(status, Status.sanitizeInProgress);
  assert.equal(await eventOf(primary, own), [6, 1, LogPage.sanitize]);
  assert.not.ok(await secondary.hasEnded(other));
});

test.run();
