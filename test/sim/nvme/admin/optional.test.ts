import * as assert from 'uvu/assert';
import {
  DirectiveReceive,
  DirectiveSend,
  SecurityReceive,
  VirtualizationManagement,
} from '../../../../sdk/spec/nvme/admin-command.js';
import {
  DirectiveParameters,
  StreamsParameters,
  StreamsStatus,
} from '../../../../sdk/spec/nvme/directives.js';
import { Feature } from '../../../../sdk/spec/nvme/features.js';
import { Cns } from '../../../../sdk/spec/nvme/identify.js';
import {
  PrimaryCapabilities,
  SecondaryEntry,
  SecondaryList,
} from '../../../../sdk/spec/nvme/identify-controller.js';
import { LogPage, TelemetryLog } from '../../../../sdk/spec/nvme/logs.js';
import { Write } from '../../../../sdk/spec/nvme/nvm-command.js';
import { AdminOpcode, NvmOpcode } from '../../../../sdk/spec/nvme/opcodes.js';
import { Csts } from '../../../../sdk/spec/nvme/registers.js';
import { Status } from '../../../../sdk/spec/nvme/status.js';
import { msNs } from '../../../../sdk/units.js';
import { suite } from '../../../support/suite.js';
import { AdminBench } from './bench.js';

const test = suite('directives, security, virtualization, keep alive');

// Directives.

function receive(bench: AdminBench, ask: { type: number; operation: number; nsr?: number }) {
  return bench.run({
    opcode: AdminOpcode.directiveReceive,
    nsid: 1,
    fields: [
      [DirectiveReceive.numd, 1024],
      [DirectiveReceive.dtype, ask.type],
      [DirectiveReceive.doper, ask.operation],
      [DirectiveReceive.nsr, ask.nsr ?? 0],
    ],
    data: bench.page,
  });
}

function send(bench: AdminBench, ask: { type: number; operation: number; cdw12?: number }) {
  const { endir, tdtype, dtype, doper } = DirectiveSend;
  const isOn = ask.cdw12 ?? 0;
  return bench.run({
    opcode: AdminOpcode.directiveSend,
    nsid: 1,
    fields: [
      [dtype, ask.type],
      [doper, ask.operation],
      [endir, isOn],
      [tdtype, 1],
    ],
  });
}

function streams(bench: AdminBench) {
  return receive(bench, { type: 1, operation: 1 });
}

test('the identify directive says which directives are there and which are on', async () => {
  const bench = await AdminBench.open();
  const D = DirectiveParameters;
  const read = async () => {
    assert.is((await receive(bench, { type: 0, operation: 1 })).status, 0);
    const fields = [D.identifySupported, D.streamsSupported, D.identifyEnabled, D.streamsEnabled];
    return fields.map((field) => field.get(bench.page.words, 0));
  };
  assert.equal(await read(), [1, 1, 1, 0]);
  assert.is((await send(bench, { type: 0, operation: 1, cdw12: 1 })).status, 0);
  assert.equal(await read(), [1, 1, 1, 1]);
  await bench.reset();
  assert.equal(await read(), [1, 1, 1, 0]);
});

test('streams are reserved from a pool of the subsystem and given back', async () => {
  const bench = await AdminBench.open();
  const { nssa, nsa } = StreamsParameters;
  await send(bench, { type: 0, operation: 1, cdw12: 1 });
  const allocated = await receive(bench, { type: 1, operation: 3, nsr: 10 });
  assert.equal([allocated.status, allocated.dw0], [0, 10]);
  await streams(bench);
  assert.equal([nssa.get(bench.page.words, 0), nsa.get(bench.page.words, 0)], [6, 10]);
  assert.is((await send(bench, { type: 1, operation: 2 })).status, 0);
  await streams(bench);
  assert.equal([nssa.get(bench.page.words, 0), nsa.get(bench.page.words, 0)], [16, 0]);
});

test('streams commands need the directive to be enabled', async () => {
  const bench = await AdminBench.open();
  assert.is((await receive(bench, { type: 1, operation: 2 })).status, Status.invalidField);
  assert.is((await send(bench, { type: 1, operation: 2 })).status, Status.invalidField);
});

test('directive types and operations that do not exist are refused', async () => {
  const bench = await AdminBench.open();
  assert.is((await receive(bench, { type: 2, operation: 1 })).status, Status.invalidField);
  assert.is((await receive(bench, { type: 0, operation: 9 })).status, Status.invalidField);
  assert.is((await send(bench, { type: 0, operation: 9 })).status, Status.invalidField);
});

test('a write with a stream opens it, releasing the identifier closes it', async () => {
  const bench = await AdminBench.open();
  await send(bench, { type: 0, operation: 1, cdw12: 1 });
  const { sq, cq } = await bench.ioPair();
  const command = bench.commandOf({
    opcode: NvmOpcode.write,
    nsid: 1,
    fields: [
      [Write.nlb, 1],
      [Write.dtype, 1],
      [Write.dspec, 5],
    ],
    data: bench.buffer(),
  });
  assert.is((await bench.raw.execute(sq, cq, { command })).status, 0);
  assert.is((await receive(bench, { type: 1, operation: 2 })).status, 0);
  const at = StreamsStatus.pairs.at(0, 0);
  const { first, second } = StreamsStatus.pairs.item;
  assert.equal(
    [first, second].map((field) => field.get(bench.page.words, at)),
    [1, 5],
  );
  await bench.run({
    opcode: AdminOpcode.directiveSend,
    nsid: 1,
    fields: [
      [DirectiveSend.dtype, 1],
      [DirectiveSend.doper, 1],
      [DirectiveSend.dspec, 5],
    ],
  });
  await receive(bench, { type: 1, operation: 2 });
  assert.is(first.get(bench.page.words, at), 0);
});

// Security.

function security(bench: AdminBench, protocol: number, specific: number, bytes: number) {
  return bench.run({
    opcode: AdminOpcode.securityReceive,
    fields: [
      [SecurityReceive.secp, protocol],
      [SecurityReceive.spsp0, specific],
      [SecurityReceive.al, bytes],
    ],
    data: bench.page,
  });
}

test('security protocol 0 lists itself, with a big endian length', async () => {
  const bench = await AdminBench.open();
  bench.page.words.fill(0xffff_ffff);
  assert.is((await security(bench, 0, 0, 16)).status, 0);
  assert.equal([...bench.page.bytes.subarray(0, 10)], [0, 0, 0, 0, 0, 0, 0, 1, 0, 0]);
  assert.is(bench.page.bytes[16], 0xff, 'no more than the allocation length');
});

test('the certificate of protocol 0 is empty, other protocols are refused', async () => {
  const bench = await AdminBench.open();
  bench.page.words.fill(0xffff_ffff);
  assert.is((await security(bench, 0, 1, 4)).status, 0);
  assert.equal([...bench.page.bytes.subarray(0, 4)], [0, 0, 0, 0]);
  assert.is((await security(bench, 1, 0, 4)).status, Status.invalidField);
  assert.is((await security(bench, 0, 2, 4)).status, Status.invalidField);
  const sent = await bench.run({ opcode: AdminOpcode.securitySend, data: bench.page });
  assert.is(sent.status, Status.invalidField);
});

// Virtualization.

interface Move {
  readonly action: number;
  readonly id?: number;
  readonly type?: number;
  readonly count?: number;
}

function manage(bench: AdminBench, move: Move) {
  return bench.run({
    opcode: AdminOpcode.virtualizationManagement,
    fields: [
      [VirtualizationManagement.act, move.action],
      [VirtualizationManagement.cntlid, move.id ?? 0],
      [VirtualizationManagement.rt, move.type ?? 0],
      [VirtualizationManagement.nr, move.count ?? 0],
    ],
  });
}

const primary = 1;
const offline = 7;
const assign = 8;
const online = 9;

async function secondary(bench: AdminBench, index: number) {
  const page = await bench.identify(Cns.secondaryControllers);
  const at = SecondaryList.entries.at(0, index);
  const S = SecondaryEntry;
  return [S.scid, S.online, S.vfn, S.nvq, S.nvi].map((field) => field.get(page, at));
}

test('a secondary controller goes online with enough resources and not before', async () => {
  const bench = await AdminBench.open();
  assert.equal(await secondary(bench, 0), [1, 0, 1, 0, 0]);
  const early = await manage(bench, { action: online, id: 1 });
  assert.is(early.status, Status.invalidSecondaryControllerState);
  assert.is((await manage(bench, { action: assign, id: 1, type: 0, count: 4 })).dw0, 4);
  assert.is((await manage(bench, { action: assign, id: 1, type: 1, count: 2 })).status, 0);
  assert.is((await manage(bench, { action: online, id: 1 })).status, 0);
  assert.equal(await secondary(bench, 0), [1, 1, 1, 4, 2]);
  const page = await bench.identify(Cns.primaryCapabilities);
  const P = PrimaryCapabilities;
  assert.equal(
    [P.vqfrt, P.vqrfa, P.virfa].map((field) => field.get(page, 0)),
    [32, 4, 2],
  );
});

test('resources of an online controller do not change; offline gives them back', async () => {
  const bench = await AdminBench.open();
  await manage(bench, { action: assign, id: 1, type: 0, count: 2 });
  await manage(bench, { action: assign, id: 1, type: 1, count: 1 });
  await manage(bench, { action: online, id: 1 });
  const outcome = await manage(bench, { action: assign, id: 1, type: 0, count: 4 });
  assert.is(outcome.status, Status.invalidSecondaryControllerState);
  assert.is((await manage(bench, { action: offline, id: 1 })).status, 0);
  assert.equal(await secondary(bench, 0), [1, 0, 1, 0, 0]);
});

test('resources run out, and each wrong request has its own status', async () => {
  const bench = await AdminBench.open();
  const rows: [Move, number][] = [
    [{ action: assign, id: 1, count: 9 }, Status.invalidControllerResourceCount],
    [{ action: assign, id: 0, count: 1 }, Status.invalidControllerIdentifier],
    [{ action: assign, id: 9, count: 1 }, Status.invalidControllerIdentifier],
    [{ action: assign, id: 1, type: 2, count: 1 }, Status.invalidResourceIdentifier],
    [{ action: 3 }, Status.invalidField],
    [{ action: primary, count: 33 }, Status.invalidControllerResourceCount],
  ];
  for (const [move, status] of rows) {
    assert.is((await manage(bench, move)).status, status, JSON.stringify(move));
  }
  for (const id of [1, 2, 3, 4]) {
    assert.is((await manage(bench, { action: assign, id, count: 8 })).status, 0);
  }
  const none = await manage(bench, { action: assign, id: 5, count: 1 });
  assert.is(none.status, Status.invalidControllerResourceCount);
});

test('what the primary controller is given counts from its next reset on', async () => {
  const bench = await AdminBench.open();
  const own = async () =>
    PrimaryCapabilities.vqrfap.get(await bench.identify(Cns.primaryCapabilities), 0);
  assert.is((await manage(bench, { action: primary, count: 6 })).dw0, 6);
  assert.is(await own(), 0);
  await bench.reset();
  assert.is(await own(), 6);
});

test('a subsystem reset takes secondary controllers offline', async () => {
  const bench = await AdminBench.open();
  await manage(bench, { action: assign, id: 1, type: 0, count: 2 });
  await manage(bench, { action: assign, id: 1, type: 1, count: 1 });
  await manage(bench, { action: online, id: 1 });
  bench.raw.write('nssr', 0x4e56_4d65);
  await bench.raw.enable();
  assert.equal(await secondary(bench, 0), [1, 0, 1, 0, 0]);
});

// Keep alive.

test('a controller without keep alive in time fails, and remembers why', async () => {
  const bench = await AdminBench.open();
  await bench.setFeature(Feature.keepAlive, 450);
  assert.is((await bench.getFeature(Feature.keepAlive)).dw0, 500, 'rounded up to KAS');
  await bench.raw.elapse(490 * msNs);
  assert.is(Csts.cfs.of(bench.raw.read('csts')), 0);
  await bench.raw.elapse(20 * msNs);
  assert.is(Csts.cfs.of(bench.raw.read('csts')), 1);
  await bench.reset();
  const error = await bench.lastError();
  assert.equal([error.status, error.cid], [Status.keepAliveTimerExpired, 0xffff]);
  const { words } = await bench.getLog(LogPage.telemetryController, 512);
  assert.is(TelemetryLog.controllerAvailable.get(words, 0), 1);
});

test('keep alive commands hold the timer off, and 0 turns it off', async () => {
  const bench = await AdminBench.open();
  await bench.setFeature(Feature.keepAlive, 500);
  for (let i = 0; i < 5; i++) {
    await bench.raw.elapse(400 * msNs);
    assert.is((await bench.run({ opcode: AdminOpcode.keepAlive })).status, 0);
  }
  await bench.setFeature(Feature.keepAlive, 0);
  await bench.raw.elapse(2000 * msNs);
  assert.is(Csts.cfs.of(bench.raw.read('csts')), 0);
});

test('a reset turns the keep alive timer off', async () => {
  const bench = await AdminBench.open();
  await bench.setFeature(Feature.keepAlive, 500);
  await bench.reset();
  await bench.raw.elapse(2000 * msNs);
  assert.is(Csts.cfs.of(bench.raw.read('csts')), 0);
});

// What every command obeys.

test('an identifier in a command that names no namespace is refused', async () => {
  const bench = await AdminBench.open();
  for (const opcode of [AdminOpcode.abort, AdminOpcode.keepAlive, AdminOpcode.firmwareCommit]) {
    assert.is((await bench.run({ opcode, nsid: 1 })).status, Status.invalidField);
  }
});

test('a reserved field that is not zero is reported, and the command runs', async () => {
  const bench = await AdminBench.open();
  const { checker } = bench.card;
  await bench.must({ opcode: AdminOpcode.keepAlive });
  assert.is(checker.countOf('reservedNotZero'), 0);
  await bench.must({ opcode: AdminOpcode.keepAlive, fields: [[SecurityReceive.al, 0x10]] });
  assert.is(checker.countOf('reservedNotZero'), 1);
  assert.is(checker.reports.at(-1)?.value, 0x10);
});

test('an SGL in an admin command is refused', async () => {
  const bench = await AdminBench.open();
  const command = bench.commandOf({ opcode: AdminOpcode.identify, data: bench.page });
  command.words[0]! |= 1 << 14;
  const { status } = await bench.raw.admin(command);
  assert.is(status & 0x7ff, Status.invalidField);
});

test.run();
