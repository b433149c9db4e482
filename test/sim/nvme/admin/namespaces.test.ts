import * as assert from 'uvu/assert';
import {
  Abort,
  FormatNvm,
  Identify,
  NamespaceAttachment,
  NamespaceManagement,
} from '../../../../sdk/spec/nvme/admin-command.js';
import { Feature } from '../../../../sdk/spec/nvme/features.js';
import { Cns, ControllerList, Nsid } from '../../../../sdk/spec/nvme/identify.js';
import { IdentifyController } from '../../../../sdk/spec/nvme/identify-controller.js';
import { IdentifyNamespace } from '../../../../sdk/spec/nvme/identify-namespace.js';
import { AdminOpcode } from '../../../../sdk/spec/nvme/opcodes.js';
import { Status } from '../../../../sdk/spec/nvme/status.js';
import { GiB, MiB } from '../../../../sdk/units.js';
import { suite } from '../../../support/suite.js';
import { AdminBench, type FieldValue } from './bench.js';

const test = suite('namespaces');

const N = IdentifyNamespace;

interface Wish {
  readonly blocks: number;
  readonly capacity?: number;
  readonly format?: number;
  readonly protection?: number;
  readonly isShared?: boolean;
  readonly anaGroup?: number;
}

function create(bench: AdminBench, wish: Wish) {
  const data = bench.buffer();
  N.nsze.set(data.words, 0, wish.blocks);
  N.ncap.set(data.words, 0, wish.capacity ?? wish.blocks);
  N.flbasIndex.set(data.words, 0, wish.format ?? 0);
  N.dpsType.set(data.words, 0, wish.protection ?? 0);
  N.nmicShared.set(data.words, 0, wish.isShared === true ? 1 : 0);
  N.anagrpid.set(data.words, 0, wish.anaGroup ?? 0);
  return bench.run({ opcode: AdminOpcode.namespaceManagement, data });
}

function remove(bench: AdminBench, nsid: number) {
  const fields = [[NamespaceManagement.sel, 1]] as const;
  return bench.run({ opcode: AdminOpcode.namespaceManagement, nsid, fields });
}

function attach(bench: AdminBench, nsid: number, ids: readonly number[], select = 0) {
  const data = bench.buffer();
  ControllerList.count.set(data.words, 0, ids.length);
  new Uint16Array(data.words.buffer, data.words.byteOffset + 2, ids.length).set(ids);
  const fields = [[NamespaceAttachment.sel, select]] as const;
  return bench.run({ opcode: AdminOpcode.namespaceAttachment, nsid, fields, data });
}

function format(bench: AdminBench, nsid: number, ...fields: FieldValue[]) {
  return bench.run({ opcode: AdminOpcode.formatNvm, nsid, fields });
}

test('a created namespace has the lowest free identifier and is not active', async () => {
  const bench = await AdminBench.open();
  const outcome = await create(bench, { blocks: 2048 });
  assert.equal([outcome.status, outcome.dw0], [0, 2]);
  const allocated = await bench.identify(Cns.allocatedNamespaces);
  assert.equal([...allocated.subarray(0, 3)], [1, 2, 0]);
  const active = await bench.identify(Cns.activeNamespaces);
  assert.equal([...active.subarray(0, 2)], [1, 0]);
  assert.is(N.nsze.get(await bench.identify(Cns.namespace, 2), 0), 0);
  assert.is(N.nsze.get(await bench.identify(Cns.allocatedNamespace, 2), 0), 2048);
});

test('an attached namespace is active, a detached one is not', async () => {
  const bench = await AdminBench.open();
  await create(bench, { blocks: 2048 });
  assert.is((await attach(bench, 2, [0])).status, 0);
  assert.equal([...(await bench.identify(Cns.activeNamespaces)).subarray(0, 3)], [1, 2, 0]);
  const ids = await bench.identify(Cns.controllersOfNamespace, 2);
  assert.equal([ids[0]! & 0xffff, ids[0]! >>> 16], [1, 0]);
  assert.is((await attach(bench, 2, [0], 1)).status, 0);
  assert.equal([...(await bench.identify(Cns.activeNamespaces)).subarray(0, 2)], [1, 0]);
});

test('creating takes from the pool what deleting gives back, in allocation units', async () => {
  const bench = await AdminBench.open();
  const free = async () =>
    IdentifyController.unvmcap.count(await bench.identify(Cns.controller), 0);
  const before = await free();
  assert.is(before, BigInt(64 * GiB - 8 * GiB));
  await create(bench, { blocks: 3 });
  assert.is(await free(), before - BigInt(1 * MiB));
  await remove(bench, 2);
  assert.is(await free(), before);
});

test('a namespace larger than the pool is refused with the bytes that it needs', async () => {
  const bench = await AdminBench.open();
  const outcome = await create(bench, { blocks: (60 * GiB) / 512 });
  assert.is(outcome.status, Status.namespaceInsufficientCapacity);
  assert.is((await bench.lastError()).specific, 60 * GiB);
});

test('creation is refused for each reason with its own status', async () => {
  const bench = await AdminBench.open();
  const rows: [Wish, number][] = [
    [{ blocks: 0 }, Status.invalidField],
    [{ blocks: 8, capacity: 9 }, Status.invalidField],
    [{ blocks: 8, capacity: 4 }, Status.thinProvisioningNotSupported],
    [{ blocks: 8, format: 5 }, Status.invalidFormat],
    [{ blocks: 8, protection: 1 }, Status.invalidFormat],
    [{ blocks: 8, format: 1, protection: 4 }, Status.invalidField],
    [{ blocks: 8, anaGroup: 7 }, Status.invalidField],
  ];
  for (const [wish, status] of rows) {
    assert.is((await create(bench, wish)).status, status, JSON.stringify(wish));
  }
});

test('there are no more namespaces than the card allows', async () => {
  const bench = await AdminBench.open('simple?subsystem.maxNamespaces=2');
  assert.is((await create(bench, { blocks: 8 })).status, 0);
  const outcome = await create(bench, { blocks: 8 });
  assert.is(outcome.status, Status.namespaceIdentifierUnavailable);
});

test('attachment is refused for each reason with its own status', async () => {
  const bench = await AdminBench.open();
  await create(bench, { blocks: 8 });
  await create(bench, { blocks: 8, isShared: true });
  const rows: [nsid: number, ids: number[], select: number, status: number][] = [
    [1, [0], 0, Status.namespaceAlreadyAttached],
    [2, [0], 1, Status.namespaceNotAttached],
    [2, [0, 1], 0, Status.namespaceIsPrivate],
    [2, [], 0, Status.controllerListInvalid],
    [2, [99], 0, Status.controllerListInvalid],
    [2, [1, 0], 0, Status.controllerListInvalid],
    [9, [0], 0, Status.invalidField],
    [200, [0], 0, Status.invalidNamespaceOrFormat],
    [2, [0], 2, Status.invalidField],
    [3, [0, 1], 0, 0],
  ];
  for (const [nsid, ids, select, status] of rows) {
    const outcome = await attach(bench, nsid, ids, select);
    assert.is(outcome.status, status, `nsid ${nsid} ids ${ids} select ${select}`);
  }
});

test('an identifier is never given twice', async () => {
  const bench = await AdminBench.open();
  await create(bench, { blocks: 8 });
  const first = await bench.identify(Cns.allocatedNamespace, 2);
  await remove(bench, 2);
  await create(bench, { blocks: 8 });
  const second = await bench.identify(Cns.allocatedNamespace, 2);
  assert.not.equal([...N.nguid.bytes(first, 0)], [...N.nguid.bytes(second, 0)]);
});

test('commands to a deleted namespace are refused', async () => {
  const bench = await AdminBench.open();
  const data = bench.buffer();
  assert.is(await bench.write(1, 0, data), 0);
  await remove(bench, 1);
  assert.is(await bench.read(1, 0, data), Status.invalidField);
  assert.is((await remove(bench, 1)).status, Status.invalidField);
});

test('a deleted and created namespace holds nothing of before', async () => {
  const bench = await AdminBench.open();
  const data = bench.buffer();
  data.words.fill(0x1234_5678);
  await bench.write(1, 0, data);
  await remove(bench, 1);
  await create(bench, { blocks: 2048 });
  await attach(bench, 1, [0]);
  assert.is(await bench.read(1, 0, data), 0);
  assert.ok(data.words.subarray(0, 128).every((word) => word === 0));
});

test('lists begin after the identifier that is asked, and refuse the last two', async () => {
  const bench = await AdminBench.open();
  await create(bench, { blocks: 8 });
  const after = await bench.identify(Cns.allocatedNamespaces, 1);
  assert.equal([...after.subarray(0, 2)], [2, 0]);
  for (const nsid of [Nsid.lastUsable, Nsid.broadcast]) {
    const outcome = await bench.run({
      opcode: AdminOpcode.identify,
      nsid,
      fields: [[Identify.cns, Cns.activeNamespaces]],
      data: bench.page,
    });
    assert.is(outcome.status, Status.invalidNamespaceOrFormat);
  }
});

test('format erases, changes the block size and keeps the bytes of the namespace', async () => {
  const bench = await AdminBench.open();
  const data = bench.buffer();
  data.words.fill(0xdead_beef);
  await bench.write(1, 0, data);
  const started = bench.nowNs;
  assert.is((await format(bench, 1, [FormatNvm.lbafl, 2])).status, 0);
  assert.ok(bench.nowNs - started >= 8 * 1_000_000, 'formatNsPerGiB of 8 GiB');
  const page = await bench.identify(Cns.namespace, 1);
  assert.equal([N.flbasIndex.get(page, 0), N.nsze.get(page, 0)], [2, (8 * GiB) / 4096]);
  assert.is(N.nuse.get(page, 0), 0);
  assert.is(await bench.read(1, 0, data), 0);
  assert.ok(data.words.every((word) => word === 0));
});

test('format sets metadata and protection information', async () => {
  const bench = await AdminBench.open();
  const { lbafl, mset, pi, pil } = FormatNvm;
  assert.is((await format(bench, 1, [lbafl, 3], [mset, 1], [pi, 2], [pil, 1])).status, 0);
  const page = await bench.identify(Cns.namespace, 1);
  const set = [N.flbasExtended, N.dpsType, N.dpsFirst].map((field) => field.get(page, 0));
  assert.equal(set, [1, 2, 1]);
});

test('format is refused for each reason with its own status', async () => {
  const bench = await AdminBench.open();
  const rows: [nsid: number, fields: FieldValue[], status: number][] = [
    [1, [[FormatNvm.lbafl, 5]], Status.invalidFormat],
    [1, [[FormatNvm.pi, 1]], Status.invalidFormat],
    [1, [[FormatNvm.pi, 5]], Status.invalidField],
    [1, [[FormatNvm.ses, 3]], Status.invalidField],
    [1, [[FormatNvm.lbafu, 1]], Status.invalidFormat],
    [0, [], Status.invalidNamespaceOrFormat],
    [7, [], Status.invalidField],
    [200, [], Status.invalidNamespaceOrFormat],
  ];
  for (const [nsid, fields, status] of rows) {
    const outcome = await format(bench, nsid, ...fields);
    assert.is(outcome.status, status, `nsid ${nsid} status ${status.toString(16)}`);
  }
});

test('a namespace refuses commands while it is formatted, and says how much is left', async () => {
  const bench = await AdminBench.open();
  const data = bench.buffer();
  await bench.ioPair();
  const cid = bench.post({ opcode: AdminOpcode.formatNvm, nsid: 1 });
  await bench.raw.elapse(4_000_000);
  const page = await bench.identify(Cns.namespace, 1);
  const left = N.fpiRemaining.get(page, 0);
  assert.ok(left > 30 && left < 70, `${left} per cent`);
  assert.is(await bench.read(1, 0, data), Status.formatInProgress);
  assert.is((await bench.waitFor(cid)).status, 0);
  assert.is(await bench.read(1, 0, data), 0);
});

test('an aborted format leaves the data as it was', async () => {
  const bench = await AdminBench.open();
  const data = bench.buffer();
  data.words.fill(7);
  await bench.write(1, 0, data);
  const cid = bench.post({ opcode: AdminOpcode.formatNvm, nsid: 1 });
  await bench.raw.elapse(1_000_000);
  await bench.run({ opcode: AdminOpcode.abort, cid: cid + 1000, fields: abortOf(cid) });
  assert.is((await bench.waitFor(cid)).status, Status.abortRequested);
  data.words.fill(0);
  assert.is(await bench.read(1, 0, data), 0);
  assert.ok(data.words.subarray(0, 128).every((word) => word === 7));
});

test('write protection stops writes, format and deletion until it is lifted', async () => {
  const bench = await AdminBench.open();
  const data = bench.buffer();
  await bench.setFeature(Feature.writeProtect, 1, { nsid: 1 });
  assert.is(await bench.write(1, 0, data), Status.namespaceWriteProtected);
  assert.is(await bench.read(1, 0, data), 0);
  assert.is((await format(bench, 1)).status, Status.namespaceWriteProtected);
  assert.is((await remove(bench, 1)).status, Status.namespaceWriteProtected);
  const page = await bench.identify(Cns.namespace, 1);
  assert.is(N.nsattrWriteProtected.get(page, 0), 1);
  await bench.setFeature(Feature.writeProtect, 0, { nsid: 1 });
  assert.is(await bench.write(1, 0, data), 0);
});

test('protection until a power cycle ends with it, permanent protection never', async () => {
  const bench = await AdminBench.open();
  await bench.setFeature(Feature.writeProtect, 2, { nsid: 1 });
  const lifted = await bench.setFeature(Feature.writeProtect, 0, { nsid: 1 });
  assert.is(lifted.status, Status.featureNotChangeable);
  await bench.powerCycle();
  assert.is((await bench.getFeature(Feature.writeProtect, 0, { nsid: 1 })).dw0, 0);
  await bench.setFeature(Feature.writeProtect, 3, { nsid: 1 });
  await bench.powerCycle();
  assert.is((await bench.getFeature(Feature.writeProtect, 0, { nsid: 1 })).dw0, 3);
});

function abortOf(cid: number) {
  return [[Abort.cid, cid]] as const;
}

test.run();
