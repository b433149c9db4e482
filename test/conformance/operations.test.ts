import * as assert from 'uvu/assert';
import {
  DeviceSelfTest,
  DirectiveOperation,
  DirectiveReceive,
  DirectiveSend,
  DirectiveType,
  FirmwareCommit,
  FirmwareDownload,
  Sanitize,
  SecurityReceive,
  SelfTestCode,
  VirtualizationManagement,
} from '../../sdk/spec/nvme/admin-command.js';
import { DirectiveParameters } from '../../sdk/spec/nvme/directives.js';
import { Feature } from '../../sdk/spec/nvme/features.js';
import { Nsid } from '../../sdk/spec/nvme/identify.js';
import { IdentifyController as Id } from '../../sdk/spec/nvme/identify-controller.js';
import { LogPage } from '../../sdk/spec/nvme/logs.js';
import { SanitizeLog, TelemetryLog } from '../../sdk/spec/nvme/logs-events.js';
import { SelfTestLog, SelfTestOutcome } from '../../sdk/spec/nvme/logs-health.js';
import { AdminOpcode } from '../../sdk/spec/nvme/opcodes.js';
import { Cap } from '../../sdk/spec/nvme/registers.js';
import { Status } from '../../sdk/spec/nvme/status.js';
import type { Rig } from '../../sdk/testing/rig.js';
import { msNs, secondNs } from '../../sdk/units.js';
import { bench, blocksOf, write } from './io-bench.js';
import { statements } from './statement.js';

const statement = statements(
  'self-test, sanitize, firmware, directives, security, doorbell buffers',
);

const selfTestCite = '[NVMe-2.0 §5.9 Device Self-test]';
const sanitizeCite = '[NVMe-2.0 §5.24 Sanitize]';
const firmwareCite = '[NVMe-2.0 §5.12 Firmware Commit]';
const directiveCite = '[NVMe-2.0 §8.7 Directives]';
const dbbufCite = '[NVMe-2.0 §5.8 Doorbell Buffer Config]';

const selfTestLog = (rig: Rig) => rig.logPage({ lid: LogPage.selfTest, bytes: 564 });

function selfTest(rig: Rig, code: number) {
  return rig.admin(
    rig.command(AdminOpcode.deviceSelfTest, Nsid.broadcast).set(DeviceSelfTest.stc, code),
  );
}

async function canTest(rig: Rig): Promise<void> {
  rig.needs((await rig.id(Id.oacsSelfTest)) === 1, 'device self-test');
  await selfTest(rig, SelfTestCode.abort);
}

/** The outcome and code of the newest result. */
function newest(words: Uint32Array): { outcome: number; code: number } {
  const { results } = SelfTestLog;
  const at = results.at(0, 0);
  return { outcome: results.item.outcome.get(words, at), code: results.item.code.get(words, at) };
}

statement('a running short self-test is reported', selfTestCite, async (rig) => {
  await canTest(rig);
  rig.succeeded(await selfTest(rig, SelfTestCode.short));
  assert.is(SelfTestLog.running.get(await selfTestLog(rig), 0), SelfTestCode.short);
  await selfTest(rig, SelfTestCode.abort);
});

statement('a second self-test while one runs is refused', selfTestCite, async (rig) => {
  await canTest(rig);
  rig.succeeded(await selfTest(rig, SelfTestCode.short));
  rig.refused(await selfTest(rig, SelfTestCode.short), Status.selfTestInProgress);
  await selfTest(rig, SelfTestCode.abort);
});

statement('an aborted self-test is in the log as aborted', selfTestCite, async (rig) => {
  await canTest(rig);
  rig.succeeded(await selfTest(rig, SelfTestCode.extended));
  rig.succeeded(await selfTest(rig, SelfTestCode.abort));
  const words = await selfTestLog(rig);
  assert.is(SelfTestLog.running.get(words, 0), 0);
  assert.equal(newest(words), { outcome: SelfTestOutcome.aborted, code: SelfTestCode.extended });
});

statement('a controller reset aborts a short self-test', selfTestCite, async (rig) => {
  await canTest(rig);
  rig.succeeded(await selfTest(rig, SelfTestCode.short));
  await rig.enable();
  const words = await selfTestLog(rig);
  assert.is(SelfTestLog.running.get(words, 0), 0);
  assert.is(newest(words).outcome, SelfTestOutcome.abortedByReset);
});

statement('a short self-test ends and passes on a good drive', selfTestCite, async (rig) => {
  await canTest(rig);
  rig.succeeded(await selfTest(rig, SelfTestCode.short));
  const untilNs = rig.fn.clock.nowNs() + 150 * secondNs;
  while (SelfTestLog.running.get(await selfTestLog(rig), 0) !== 0) {
    assert.ok(rig.fn.clock.nowNs() < untilNs, 'a short self-test takes at most two minutes');
    await rig.controller.elapse(100 * msNs);
  }
  const result = newest(await selfTestLog(rig));
  assert.equal(result, { outcome: SelfTestOutcome.passed, code: SelfTestCode.short });
});

statement('a reserved self-test code is refused', selfTestCite, async (rig) => {
  await canTest(rig);
  rig.refused(await selfTest(rig, 5), Status.invalidField);
});

/** Start a sanitize and wait until its log says that it is over. */
async function sanitize(rig: Rig, action: number): Promise<number> {
  await rig.adminOk(rig.command(AdminOpcode.sanitize).set(Sanitize.sanact, action));
  const untilNs = rig.fn.clock.nowNs() + 3600 * secondNs;
  for (;;) {
    const words = await rig.logPage({ lid: LogPage.sanitize, bytes: 512 });
    const status = SanitizeLog.status.get(words, 0);
    if (status !== 2) return status;
    assert.ok(rig.fn.clock.nowNs() < untilNs, 'a sanitize ends within an hour');
    await rig.controller.elapse(100 * msNs);
  }
}

for (const [name, action, field] of [
  ['block erase', 2, Id.sanicapBlock],
  ['crypto erase', 4, Id.sanicapCrypto],
] as const) {
  statement(`a ${name} sanitize ends and leaves nothing of the data`, sanitizeCite, async (rig) => {
    rig.needs((await rig.id(field)) === 1, `sanitize with ${name}`);
    const made = await bench(rig);
    await write(made, 11, { count: 8, seed: 11 });
    const status = await sanitize(rig, action);
    assert.ok(status === 1 || status === 4, 'completed');
    assert.not.ok((await blocksOf(made, 11, 8)).holds({ kind: 'random', seed: 11 }));
  });
}

statement('reads are refused while a sanitize runs', sanitizeCite, async (rig) => {
  rig.needs((await rig.id(Id.sanicapBlock)) === 1, 'sanitize with block erase');
  const made = await bench(rig);
  await rig.adminOk(rig.command(AdminOpcode.sanitize).set(Sanitize.sanact, 2));
  const words = await rig.logPage({ lid: LogPage.sanitize, bytes: 512 });
  if (SanitizeLog.status.get(words, 0) === 2) {
    const completion = await made.pair.run(made.ns.read({ lba: 0 }, made.ns.buffer(1)));
    rig.refused(completion, Status.sanitizeInProgress);
  }
  let isRunning = true;
  while (isRunning) {
    await rig.controller.elapse(100 * msNs);
    const log = await rig.logPage({ lid: LogPage.sanitize, bytes: 512 });
    isRunning = SanitizeLog.status.get(log, 0) === 2;
  }
});

statement('a reserved sanitize action is refused', sanitizeCite, async (rig) => {
  rig.needs((await rig.id(Id.sanicapBlock)) === 1, 'sanitize');
  const completion = await rig.admin(rig.command(AdminOpcode.sanitize).set(Sanitize.sanact, 7));
  rig.refused(completion, Status.invalidField);
});

statement('leaving failure mode without a failure succeeds', sanitizeCite, async (rig) => {
  rig.needs((await rig.id(Id.sanicapBlock)) === 1, 'sanitize');
  rig.succeeded(await rig.admin(rig.command(AdminOpcode.sanitize).set(Sanitize.sanact, 1)));
});

async function canUpdate(rig: Rig): Promise<void> {
  rig.needs((await rig.id(Id.oacsFirmware)) === 1, 'firmware download and commit');
}

function commit(rig: Rig, slot: number, action: number) {
  const command = rig
    .command(AdminOpcode.firmwareCommit)
    .set(FirmwareCommit.fs, slot)
    .set(FirmwareCommit.ca, action);
  return rig.admin(command, 60 * secondNs);
}

statement('a firmware slot that does not exist is refused', firmwareCite, async (rig) => {
  await canUpdate(rig);
  const slots = await rig.id(Id.frmwSlots);
  rig.needs(slots < 7, 'a slot number that is free');
  rig.refused(await commit(rig, slots + 1, 2), Status.invalidFirmwareSlot);
});

statement('a reserved commit action is refused', firmwareCite, async (rig) => {
  await canUpdate(rig);
  rig.refused(await commit(rig, 1, 4), Status.invalidField);
});

statement(
  'a commit of an image that was never downloaded is refused',
  firmwareCite,
  async (rig) => {
    await canUpdate(rig);
    const slot = (await rig.id(Id.frmwSlots)) > 1 ? 2 : 1;
    rig.refused(await commit(rig, slot, 0), Status.invalidFirmwareImage, Status.invalidField);
  },
);

statement('an image that is not firmware is not activated', firmwareCite, async (rig) => {
  await canUpdate(rig);
  const slots = await rig.id(Id.frmwSlots);
  rig.needs(slots > 1, 'a second firmware slot');
  const before = Id.fr.text(await rig.controllerWords(), 0);
  const data = rig.buffer(4096, { kind: 'random', seed: 1 });
  const download = rig
    .command(AdminOpcode.firmwareDownload, 0, data)
    .set(FirmwareDownload.numd, 1024)
    .set(FirmwareDownload.ofst, 0);
  const { status } = await rig.admin(download);
  if (status === 0) rig.refused(await commit(rig, 2, 1), Status.invalidFirmwareImage);
  await rig.enable();
  assert.is(Id.fr.text(await rig.controllerWords(), 0), before);
});

statement(
  'firmware pieces that overlap are refused',
  '[NVMe-2.0 §5.13 Firmware Image Download]',
  async (rig) => {
    await canUpdate(rig);
    rig.needs([1, 0xff].includes(await rig.id(Id.fwug)), 'firmware pieces of 4 KiB');
    const data = rig.buffer(8192, { kind: 'zeroes' });
    const piece = (offset: number) =>
      rig
        .command(AdminOpcode.firmwareDownload, 0, data)
        .set(FirmwareDownload.numd, 2048)
        .set(FirmwareDownload.ofst, offset);
    await rig.adminOk(piece(0));
    const completion = await rig.admin(piece(1024));
    if (completion.status !== 0) return rig.refused(completion, Status.overlappingRange);
    const slot = (await rig.id(Id.frmwSlots)) > 1 ? 2 : 1;
    rig.refused(await commit(rig, slot, 0), Status.overlappingRange, Status.invalidFirmwareImage);
  },
);

async function canDirect(rig: Rig): Promise<Uint32Array> {
  rig.needs((await rig.id(Id.oacsDirectives)) === 1, 'directives');
  const { nsid } = await rig.namespace();
  const data = rig.buffer(4096);
  const command = rig
    .command(AdminOpcode.directiveReceive, nsid, data)
    .set(DirectiveReceive.numd, 1024)
    .set(DirectiveReceive.dtype, DirectiveType.identify)
    .set(DirectiveReceive.doper, DirectiveOperation.identifyReturnParameters);
  await rig.adminOk(command);
  return data.words;
}

statement('the identify directive is supported and enabled', directiveCite, async (rig) => {
  const words = await canDirect(rig);
  assert.is(DirectiveParameters.identifySupported.get(words, 0), 1);
  assert.is(DirectiveParameters.identifyEnabled.get(words, 0), 1);
});

statement('only supported directives are enabled', directiveCite, async (rig) => {
  const words = await canDirect(rig);
  for (let i = 0; i < 8; i++) assert.is(words[8 + i]! & ~words[i]!, 0);
});

statement(
  'streams can be enabled and disabled where they are supported',
  directiveCite,
  async (rig) => {
    const words = await canDirect(rig);
    rig.needs(DirectiveParameters.streamsSupported.get(words, 0) === 1, 'streams');
    const { nsid } = await rig.namespace();
    for (const isEnabled of [1, 0]) {
      const command = rig
        .command(AdminOpcode.directiveSend, nsid, rig.buffer(4))
        .set(DirectiveSend.dtype, DirectiveType.identify)
        .set(DirectiveSend.doper, DirectiveOperation.identifyEnable)
        .set(DirectiveSend.tdtype, DirectiveType.streams)
        .set(DirectiveSend.endir, isEnabled);
      await rig.adminOk(command);
      assert.is(DirectiveParameters.streamsEnabled.get(await canDirect(rig), 0), isEnabled);
    }
  },
);

statement('a directive type that does not exist is refused', directiveCite, async (rig) => {
  await canDirect(rig);
  const { nsid } = await rig.namespace();
  const command = rig
    .command(AdminOpcode.directiveReceive, nsid, rig.buffer(4096))
    .set(DirectiveReceive.numd, 1024)
    .set(DirectiveReceive.dtype, 0x3f)
    .set(DirectiveReceive.doper, 1);
  rig.refused(await rig.admin(command), Status.invalidField);
});

statement(
  'security protocol 0 lists protocols in ascending order',
  '[NVMe-2.0 §5.25 Security Receive]',
  async (rig) => {
    rig.needs((await rig.id(Id.oacsSecurity)) === 1, 'security send and receive');
    const data = rig.buffer(512);
    const command = rig.command(AdminOpcode.securityReceive, 0, data).set(SecurityReceive.al, 512);
    await rig.adminOk(command);
    const length = data.bytes[6]! * 256 + data.bytes[7]!;
    const protocols = [...data.bytes.slice(8, 8 + length)];
    assert.is(protocols[0], 0);
    assert.equal(
      protocols,
      protocols.toSorted((a, b) => a - b),
    );
  },
);

statement(
  'a security protocol that does not exist is refused',
  '[NVMe-2.0 §5.25 Security Receive]',
  async (rig) => {
    rig.needs((await rig.id(Id.oacsSecurity)) === 1, 'security send and receive');
    const command = rig
      .command(AdminOpcode.securityReceive, 0, rig.buffer(512))
      .set(SecurityReceive.secp, 0x7f)
      .set(SecurityReceive.al, 512);
    rig.refused(await rig.admin(command), Status.invalidField);
  },
);

async function canTelemetry(rig: Rig): Promise<void> {
  rig.needs((await rig.id(Id.lpaTelemetry)) === 1, 'telemetry');
}

statement(
  'host telemetry that is created has blocks in order of area',
  '[NVMe-2.0 §5.16.1.8 Telemetry Host-Initiated]',
  async (rig) => {
    await canTelemetry(rig);
    const words = await rig.logPage({ lid: LogPage.telemetryHost, bytes: 512, lsp: 1 });
    const [one, two, three] = [TelemetryLog.area1, TelemetryLog.area2, TelemetryLog.area3].map(
      (f) => f.get(words, 0),
    );
    assert.ok(one! <= two! && two! <= three!);
  },
);

statement(
  'telemetry at an offset inside a block is refused',
  '[NVMe-2.0 §5.16.1.8 Telemetry Host-Initiated]',
  async (rig) => {
    await canTelemetry(rig);
    const [completion] = await rig.tryLog({ lid: LogPage.telemetryHost, bytes: 512, offset: 256 });
    rig.refused(completion, Status.invalidField);
  },
);

statement('a doorbell buffer inside a page is refused', dbbufCite, async (rig) => {
  rig.needs((await rig.id(Id.oacsDbbuf)) === 1, 'doorbell buffers');
  const memory = rig.buffer(4 * rig.pageBytes, { kind: 'zeroes' });
  const command = rig
    .command(AdminOpcode.doorbellBufferConfig)
    .prps(memory.iova + 64, memory.iova + 2 * rig.pageBytes);
  rig.refused(await rig.admin(command), Status.invalidField, Status.prpOffsetInvalid);
});

statement(
  'with doorbell buffers, commands whose doorbells are written still run',
  dbbufCite,
  async (rig) => {
    rig.needs((await rig.id(Id.oacsDbbuf)) === 1, 'doorbell buffers');
    const made = await bench(rig);
    const [shadow, events] = [
      rig.buffer(rig.pageBytes, { kind: 'zeroes' }),
      rig.buffer(rig.pageBytes, { kind: 'zeroes' }),
    ];
    const stride = 4 << rig.controller.cap(Cap.dstrd);
    const { pair } = made;
    const place = (index: number) => ((2 * pair.sq.id + index) * stride) / 4;
    await rig.adminOk(rig.command(AdminOpcode.doorbellBufferConfig).prps(shadow.iova, events.iova));
    for (let i = 0; i < 70; i++) {
      const cid = pair.post(made.ns.read({ lba: i }, made.ns.buffer(1)));
      shadow.words[place(0)] = pair.sq.tail;
      pair.ring();
      rig.succeeded(await pair.wait(cid));
      shadow.words[place(1)] = pair.cq.head;
    }
    assert.ok(events.words[place(0)]! < pair.sq.entries, 'EventIdx is an index of the queue');
  },
);

statement(
  'virtualization management refuses a controller that does not exist',
  '[NVMe-2.0 §5.28 Virtualization Management]',
  async (rig) => {
    rig.needs((await rig.id(Id.oacsVirtualization)) === 1, 'virtualization management');
    const command = rig
      .command(AdminOpcode.virtualizationManagement)
      .set(VirtualizationManagement.act, 7)
      .set(VirtualizationManagement.cntlid, 0xfff0);
    rig.refused(await rig.admin(command), Status.invalidControllerIdentifier);
  },
);

statement(
  'a reserved virtualization action is refused',
  '[NVMe-2.0 §5.28 Virtualization Management]',
  async (rig) => {
    rig.needs((await rig.id(Id.oacsVirtualization)) === 1, 'virtualization management');
    const command = rig
      .command(AdminOpcode.virtualizationManagement)
      .set(VirtualizationManagement.act, 5);
    rig.refused(await rig.admin(command), Status.invalidField);
  },
);

statement(
  'keep alive succeeds whether or not the timer runs',
  '[NVMe-2.0 §5.18 Keep Alive]',
  async (rig) => {
    rig.needs((await rig.id(Id.kas)) !== 0, 'keep alive');
    await rig.adminOk(rig.command(AdminOpcode.keepAlive));
    rig.succeeded(await rig.setFeature({ fid: Feature.keepAlive, value: 60_000 }));
    await rig.adminOk(rig.command(AdminOpcode.keepAlive));
    rig.succeeded(await rig.setFeature({ fid: Feature.keepAlive, value: 0 }));
  },
);

statement.run();
