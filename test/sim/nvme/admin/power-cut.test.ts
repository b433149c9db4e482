import * as assert from 'uvu/assert';
import {
  FirmwareCommit,
  FirmwareDownload,
  FormatNvm,
  NamespaceAttachment,
  Sanitize,
  SetFeatures,
} from '../../../../sdk/spec/nvme/admin-command.js';
import { Feature } from '../../../../sdk/spec/nvme/features.js';
import { Cns, ControllerList } from '../../../../sdk/spec/nvme/identify.js';
import { IdentifyController } from '../../../../sdk/spec/nvme/identify-controller.js';
import { IdentifyNamespace } from '../../../../sdk/spec/nvme/identify-namespace.js';
import { LogPage, SanitizeLog, SanitizeStatus } from '../../../../sdk/spec/nvme/logs.js';
import { AdminOpcode } from '../../../../sdk/spec/nvme/opcodes.js';
import { makeFirmwareImage } from '../../../../sdk/spec/ultima/firmware.js';
import { secondNs } from '../../../../sdk/units.js';
import { suite } from '../../../support/suite.js';
import { AdminBench } from './bench.js';

const test = suite('power cuts during admin commands');

const N = IdentifyNamespace;

/** A little of everything that changes what the card keeps. */
async function changeEverything(bench: AdminBench): Promise<void> {
  const made = bench.buffer();
  N.nsze.set(made.words, 0, 4096);
  N.ncap.set(made.words, 0, 4096);
  await bench.run({ opcode: AdminOpcode.namespaceManagement, data: made });
  const list = bench.buffer();
  ControllerList.count.set(list.words, 0, 1);
  const fields = [[NamespaceAttachment.sel, 0]] as const;
  await bench.run({ opcode: AdminOpcode.namespaceAttachment, nsid: 2, fields, data: list });
  const format = [[FormatNvm.lbafl, 2]] as const;
  await bench.run({ opcode: AdminOpcode.formatNvm, nsid: 2, fields: format });
  const image = bench.buffer();
  image.bytes.set(makeFirmwareImage({ revision: '1.1.0', lengthBytes: 4096 }));
  const piece = [[FirmwareDownload.numd, 1024]] as const;
  await bench.run({ opcode: AdminOpcode.firmwareDownload, fields: piece, data: image });
  const commit = [
    [FirmwareCommit.fs, 2],
    [FirmwareCommit.ca, 0],
  ] as const;
  await bench.run({ opcode: AdminOpcode.firmwareCommit, fields: commit });
  const save = [[SetFeatures.sv, 1]] as const;
  await bench.setFeature(Feature.arbitration, 0x0303_0303, { fields: save });
  await bench.run({ opcode: AdminOpcode.sanitize, fields: [[Sanitize.sanact, 2]] });
}

/** What must hold whatever was cut. */
async function checkCard(bench: AdminBench): Promise<void> {
  const { subsystem } = bench.card;
  const controller = await bench.identify(Cns.controller);
  assert.ok(['1.0.0', '1.1.0'].includes(IdentifyController.fr.text(controller, 0)));
  const free = IdentifyController.unvmcap.count(controller, 0);
  let used = 0n;
  const list = await bench.identify(Cns.allocatedNamespaces);
  for (const nsid of list.subarray(0, list.indexOf(0))) {
    const page = await bench.identify(Cns.allocatedNamespace, nsid);
    used += N.nvmcap.count(page, 0);
    assert.is(N.fpiRemaining.get(page, 0), 0, 'no format is left running');
    assert.ok([0, 2].includes(N.flbasIndex.get(page, 0)));
  }
  assert.is(free + used, BigInt(subsystem.profile.subsystem.capacityBytes));
  const { words } = await bench.getLog(LogPage.sanitize, 512);
  const status = SanitizeLog.status.get(words, 0);
  assert.ok(status === SanitizeStatus.never || status === SanitizeStatus.completed);
  const weights = (await bench.getFeature(Feature.arbitration)).dw0;
  assert.ok(weights === 7 || weights === 0x0303_0303, 'the default or what was saved');
  assert.is(await bench.read(1, 0, bench.buffer()), 0);
}

test('a cut at any event leaves a card that comes back whole', async () => {
  const whole = await AdminBench.open();
  const first = whole.card.world.eventCount;
  await changeEverything(whole);
  const last = whole.card.world.eventCount;
  assert.ok(last - first > 20, 'there is something to cut');
  const step = Math.max(1, Math.floor((last - first) / 60));
  for (let at = first + 1; at < last; at += step) {
    const bench = await AdminBench.open();
    bench.card.powerCutAtEvent(at);
    // The host sees a device that is gone: its commands end in a timeout or an error.
    await changeEverything(bench).catch(() => {});
    await bench.powerCycle();
    // A sanitize that had begun goes on by itself.
    await bench.raw.elapse(secondNs);
    await checkCard(bench).catch((error: unknown) => {
      throw new Error(`cut before event ${at} of ${first}..${last}: ${String(error)}`);
    });
  }
});

test.run();
