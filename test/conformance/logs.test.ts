import * as assert from 'uvu/assert';
import { GetLogPage } from '../../sdk/spec/nvme/admin-command.js';
import { IdentifyController } from '../../sdk/spec/nvme/identify-controller.js';
import {
  CommandEffects,
  EffectsLog,
  FirmwareSlotLog,
  LogPage,
  SupportedPagesLog,
} from '../../sdk/spec/nvme/logs.js';
import { SanitizeLog } from '../../sdk/spec/nvme/logs-events.js';
import { ErrorEntry, HealthLog } from '../../sdk/spec/nvme/logs-health.js';
import { AdminOpcode, NvmOpcode } from '../../sdk/spec/nvme/opcodes.js';
import { Status, StatusFlag } from '../../sdk/spec/nvme/status.js';
import { poison } from '../../sdk/testing/buffer.js';
import type { Rig } from '../../sdk/testing/rig.js';
import { statements } from './statement.js';

const statement = statements('log pages');

const cite = '[NVMe-2.0 §5.16 Get Log Page]';
const healthCite = '[NVMe-2.0 §5.16.1.3 SMART / Health Information]';

const health = (rig: Rig) => rig.logPage({ lid: LogPage.health, bytes: 512 });

for (const [name, lid, bytes] of [
  ['Error Information', LogPage.error, 64],
  ['SMART / Health Information', LogPage.health, 512],
  ['Firmware Slot Information', LogPage.firmwareSlot, 512],
] as const) {
  statement(`the ${name} log can be read`, '[NVMe-2.0 §3.1.2.1]', async (rig) => {
    await rig.logPage({ lid, bytes });
  });

  statement(`the first dword of the ${name} log can be read alone`, cite, async (rig) => {
    const whole = await rig.logPage({ lid, bytes });
    const data = rig.buffer(rig.pageBytes);
    const part = data.slice(0, 4);
    const command = rig.command(AdminOpcode.getLogPage, 0xffff_ffff, part).set(GetLogPage.lid, lid);
    await rig.adminOk(command);
    assert.is(part.words[0], whole[0]);
    assert.ok(data.slice(4).holds(poison), 'nothing was written beyond the dword asked for');
  });
}

for (const lid of [0x6f, 0x7f, 0xbe]) {
  statement(`the reserved log page ${lid.toString(16)}h is refused`, cite, async (rig) => {
    const [completion, data] = await rig.tryLog({ lid, bytes: 512 });
    rig.refused(completion, Status.invalidLogPage, Status.invalidField);
    assert.ok(data.holds(poison));
  });
}

statement('part of a log at an offset is what the whole has there', cite, async (rig) => {
  rig.needs((await rig.id(IdentifyController.lpaExtended)) === 1, 'log page offsets');
  const whole = await rig.logPage({ lid: LogPage.firmwareSlot, bytes: 512 });
  for (const offset of [4, 8, 64, 508]) {
    const part = await rig.logPage({ lid: LogPage.firmwareSlot, bytes: 4, offset });
    assert.is(part[0], whole[offset / 4]);
  }
});

statement('a log offset that is not a dword is refused', cite, async (rig) => {
  rig.needs((await rig.id(IdentifyController.lpaExtended)) === 1, 'log page offsets');
  const [completion] = await rig.tryLog({ lid: LogPage.firmwareSlot, bytes: 4, offset: 2 });
  rig.refused(completion, Status.invalidField);
});

statement('a log offset beyond the page is refused', cite, async (rig) => {
  rig.needs((await rig.id(IdentifyController.lpaExtended)) === 1, 'log page offsets');
  const [completion] = await rig.tryLog({ lid: LogPage.health, bytes: 4, offset: 1024 });
  rig.refused(completion, Status.invalidField);
});

statement('the composite temperature is one that a drive can have', healthCite, async (rig) => {
  const kelvin = HealthLog.temperature.get(await health(rig), 0);
  assert.ok(kelvin > 233 && kelvin < 400);
});

statement('available spare and its threshold are percentages', healthCite, async (rig) => {
  const words = await health(rig);
  assert.ok(HealthLog.spare.get(words, 0) <= 100);
  assert.ok(HealthLog.spareThreshold.get(words, 0) <= 100);
});

statement('reserved critical warning bits are zero', healthCite, async (rig) => {
  assert.is((await health(rig))[0]! & 0xc0, 0);
});

statement('each read command adds one to the host reads', healthCite, async (rig) => {
  const ns = await rig.namespace();
  const pair = await rig.queuePair({ entries: 16 });
  const before = HealthLog.hostReads.count(await health(rig), 0);
  for (let i = 0; i < 7; i++) await pair.runOk(ns.read({ lba: i }, ns.buffer(1)));
  assert.is(HealthLog.hostReads.count(await health(rig), 0) - before, 7n);
});

statement('each write command adds one to the host writes', healthCite, async (rig) => {
  const ns = await rig.namespace();
  const pair = await rig.queuePair({ entries: 16 });
  const before = HealthLog.hostWrites.count(await health(rig), 0);
  for (let i = 0; i < 5; i++) await pair.runOk(ns.write({ lba: i }, ns.buffer(1)));
  assert.is(HealthLog.hostWrites.count(await health(rig), 0) - before, 5n);
});

statement('data units count thousands of 512 bytes, rounded up', healthCite, async (rig) => {
  const ns = await rig.namespace();
  const pair = await rig.queuePair({ entries: 16 });
  const blocks = Math.floor((await rig.maxTransferBytes(65_536)) / ns.transferBytes);
  const before = HealthLog.dataUnitsRead.count(await health(rig), 0);
  const commands = Math.ceil(2_048_000 / (blocks * ns.blockBytes));
  const data = ns.buffer(blocks);
  for (let i = 0; i < commands; i++) await pair.runOk(ns.read({ lba: 0, count: blocks }, data));
  const units = Number(HealthLog.dataUnitsRead.count(await health(rig), 0) - before);
  assert.ok(units >= 3 && units <= 6);
});

statement('a controller has been powered on at least once', healthCite, async (rig) => {
  rig.needs(HealthLog.powerCycles.count(await health(rig), 0) > 0n, 'a power cycle count');
});

statement('a controller reset is no power cycle', healthCite, async (rig) => {
  const before = HealthLog.powerCycles.count(await health(rig), 0);
  await rig.enable();
  assert.is(HealthLog.powerCycles.count(await health(rig), 0), before);
});

statement('health of a namespace is refused where it is not kept', healthCite, async (rig) => {
  const { nsid } = await rig.namespace();
  rig.needs(
    (await rig.id(IdentifyController.lpaSmartPerNamespace)) === 0,
    'health per controller only',
  );
  const [completion] = await rig.tryLog({ lid: LogPage.health, bytes: 512, nsid });
  rig.refused(completion, Status.invalidField);
});

statement(
  'the running firmware slot exists and holds the revision',
  '[NVMe-2.0 §5.16.1.4 Firmware Slot Information]',
  async (rig) => {
    const words = await rig.logPage({ lid: LogPage.firmwareSlot, bytes: 512 });
    const active = FirmwareSlotLog.active.get(words, 0);
    assert.ok(active >= 1 && active <= (await rig.id(IdentifyController.frmwSlots)));
    const slots = [
      FirmwareSlotLog.frs1,
      FirmwareSlotLog.frs2,
      FirmwareSlotLog.frs3,
      FirmwareSlotLog.frs4,
      FirmwareSlotLog.frs5,
      FirmwareSlotLog.frs6,
      FirmwareSlotLog.frs7,
    ];
    const identity = await rig.controllerWords();
    assert.is(slots[active - 1]?.text(words, 0), IdentifyController.fr.text(identity, 0));
  },
);

statement(
  'slots that the controller does not have are empty',
  '[NVMe-2.0 §5.16.1.4 Firmware Slot Information]',
  async (rig) => {
    const words = await rig.logPage({ lid: LogPage.firmwareSlot, bytes: 512 });
    const slots = await rig.id(IdentifyController.frmwSlots);
    for (let slot = slots + 1; slot <= 7; slot++) {
      assert.equal([words[slot * 2], words[slot * 2 + 1]], [0, 0]);
    }
  },
);

/** The effects entry of a command. */
async function effects(
  rig: Rig,
  table: 'admin' | 'io',
  opcode: number,
  field: keyof typeof CommandEffects,
) {
  rig.needs((await rig.id(IdentifyController.lpaEffects)) === 1, 'the effects log');
  const words = await rig.logPage({ lid: LogPage.effects, bytes: 4096 });
  const bits = CommandEffects[field];
  assert.ok('get' in bits);
  return bits.get(words, EffectsLog[table].at(0, opcode));
}

for (const name of [
  'deleteSubmissionQueue',
  'createSubmissionQueue',
  'getLogPage',
  'deleteCompletionQueue',
  'createCompletionQueue',
  'identify',
  'abort',
  'setFeatures',
  'getFeatures',
  'asynchronousEventRequest',
] as const) {
  statement(
    `the effects log names the mandatory command ${name}`,
    '[NVMe-2.0 §5.16.1.6 Commands Supported and Effects]',
    async (rig) => {
      assert.is(await effects(rig, 'admin', AdminOpcode[name], 'csupp'), 1);
    },
  );
}

for (const name of ['flush', 'read', 'write'] as const) {
  statement(
    `the effects log names the mandatory command ${name}`,
    '[NVMe-2.0 §5.16.1.6 Commands Supported and Effects]',
    async (rig) => {
      assert.is(await effects(rig, 'io', NvmOpcode[name], 'csupp'), 1);
    },
  );
}

statement(
  'the effects log says that a write changes blocks and a read does not',
  '[NVMe-2.0 §5.16.1.6 Commands Supported and Effects]',
  async (rig) => {
    assert.is(await effects(rig, 'io', NvmOpcode.write, 'lbcc'), 1);
    assert.is(await effects(rig, 'io', NvmOpcode.read, 'lbcc'), 0);
  },
);

for (const [name, opcode, field] of [
  ['compare', NvmOpcode.compare, IdentifyController.oncsCompare],
  ['write uncorrectable', NvmOpcode.writeUncorrectable, IdentifyController.oncsWriteUncorrectable],
  ['dataset management', NvmOpcode.datasetManagement, IdentifyController.oncsDatasetManagement],
  ['write zeroes', NvmOpcode.writeZeroes, IdentifyController.oncsWriteZeroes],
  ['verify', NvmOpcode.verify, IdentifyController.oncsVerify],
  ['copy', NvmOpcode.copy, IdentifyController.oncsCopy],
] as const) {
  statement(
    `the effects log names ${name} where ONCS does`,
    '[NVMe-2.0 §5.16.1.6 Commands Supported and Effects]',
    async (rig) => {
      rig.needs((await rig.id(field)) === 1, name);
      assert.is(await effects(rig, 'io', opcode, 'csupp'), 1);
    },
  );
}

statement(
  'supported log pages include the mandatory ones',
  '[NVMe-2.0 §5.16.1.1 Supported Log Pages]',
  async (rig) => {
    rig.needs(
      (await rig.id(IdentifyController.lpaSupportedPages)) === 1,
      'the Supported Log Pages log',
    );
    const words = await rig.logPage({ lid: LogPage.supportedPages, bytes: 1024 });
    const { pages } = SupportedPagesLog;
    for (const lid of [0, 1, 2, 3]) assert.is(pages.item.lsupp.get(words, pages.at(0, lid)), 1);
  },
);

statement(
  'every supported log page can be read',
  '[NVMe-2.0 §5.16.1.1 Supported Log Pages]',
  async (rig) => {
    rig.needs(
      (await rig.id(IdentifyController.lpaSupportedPages)) === 1,
      'the Supported Log Pages log',
    );
    const words = await rig.logPage({ lid: LogPage.supportedPages, bytes: 1024 });
    const { pages } = SupportedPagesLog;
    for (let lid = 0; lid < 256; lid++) {
      const isSupported = pages.item.lsupp.get(words, pages.at(0, lid)) === 1;
      const [completion] = await rig.tryLog({ lid, bytes: 512 });
      if (!isSupported) rig.refused(completion, Status.invalidLogPage, Status.invalidField);
      // A supported page may still ask for parameters of its own.
      else assert.is.not(completion.status & 0x7ff, Status.invalidLogPage);
    }
  },
);

statement(
  'a failed command with More set has an entry in the error log',
  '[NVMe-2.0 §5.16.1.2 Error Information]',
  async (rig) => {
    const ns = await rig.namespace();
    const pair = await rig.queuePair({ entries: 8 });
    const failed = await pair.run(ns.read({ lba: ns.blockCount }, ns.buffer(1)));
    rig.needs((failed.status & StatusFlag.more) !== 0, 'error log entries for failed reads');
    const words = await rig.logPage({ lid: LogPage.error, bytes: 64 });
    assert.is(ErrorEntry.sqid.get(words, 0), pair.sq.id);
    assert.is(ErrorEntry.cid.get(words, 0), failed.cid);
    assert.is(ErrorEntry.nsid.get(words, 0), ns.nsid);
  },
);

statement(
  'error log entries are newest first',
  '[NVMe-2.0 §5.16.1.2 Error Information]',
  async (rig) => {
    const ns = await rig.namespace();
    const pair = await rig.queuePair({ entries: 8 });
    for (let i = 0; i < 3; i++) await pair.run(ns.read({ lba: ns.blockCount }, ns.buffer(1)));
    const count = Math.min(await rig.id(IdentifyController.elpe), 16);
    const words = await rig.logPage({ lid: LogPage.error, bytes: count * 64 });
    const counts = Array.from({ length: count }, (_, i) => ErrorEntry.count.get(words, i * 16));
    const used = counts.filter((value) => value !== 0);
    assert.equal(
      used,
      used.toSorted((a, b) => b - a),
    );
    assert.is(new Set(used).size, used.length);
  },
);

statement('the error count of the health log counts error log entries', healthCite, async (rig) => {
  const ns = await rig.namespace();
  const pair = await rig.queuePair({ entries: 8 });
  const before = HealthLog.errorEntries.count(await health(rig), 0);
  const failed = await pair.run(ns.read({ lba: ns.blockCount }, ns.buffer(1)));
  rig.needs((failed.status & StatusFlag.more) !== 0, 'error log entries for failed reads');
  assert.is(HealthLog.errorEntries.count(await health(rig), 0) - before, 1n);
});

statement(
  'no sanitize is running, and the log says so',
  '[NVMe-2.0 §5.16.1.25 Sanitize Status]',
  async (rig) => {
    const words = await rig.controllerWords();
    const actions = [
      IdentifyController.sanicapBlock,
      IdentifyController.sanicapCrypto,
      IdentifyController.sanicapOverwrite,
    ];
    rig.needs(
      actions.some((field) => field.get(words, 0) === 1),
      'sanitize',
    );
    const log = await rig.logPage({ lid: LogPage.sanitize, bytes: 512 });
    assert.is(SanitizeLog.progress.get(log, 0), 0xffff);
    assert.is.not(SanitizeLog.status.get(log, 0), 2);
  },
);

statement.run();
