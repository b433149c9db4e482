import * as assert from 'uvu/assert';
import { UltimaError } from '../../../sdk/errors.js';
import { NvmeController } from '../../../sdk/nvme/controller.js';
import { GetLogPage, logDwords } from '../../../sdk/spec/nvme/admin-command.js';
import { Sqe } from '../../../sdk/spec/nvme/command.js';
import { Feature } from '../../../sdk/spec/nvme/features.js';
import { Cns } from '../../../sdk/spec/nvme/identify.js';
import { LogPage } from '../../../sdk/spec/nvme/logs.js';
import { AdminOpcode } from '../../../sdk/spec/nvme/opcodes.js';
import { Status, statusKind } from '../../../sdk/spec/nvme/status.js';
import { Prng } from '../../../sim/prng.js';
import { suite } from '../../support/suite.js';
import { FakeFunction } from './fake-function.js';
import { simRig } from './rig.js';

const test = suite('admin commands');

test('identify, features and logs come back typed', async () => {
  const rig = await simRig('sim:ultima-g2?bytes=64MiB');
  const { admin } = rig.controller;
  const id = await admin.identifyController();
  assert.is(id.modelNumber, 'Ultima G2 Storage Card');
  assert.ok(id.namespaceCount >= 1);
  assert.ok((await admin.controllers()).includes(id.controllerId));
  const { value } = await admin.getFeature(Feature.temperatureThreshold);
  await admin.setFeature(Feature.temperatureThreshold, value - 1);
  assert.is((await admin.getFeature(Feature.temperatureThreshold)).value, value - 1);
  const preset = await admin.getFeature(Feature.temperatureThreshold, { select: 'default' });
  assert.is(preset.value, value);
  const health = await admin.health();
  assert.ok(health.temperatureKelvin > 250 && health.temperatureKelvin < 400);
  assert.is(health.sparePercent, 100);
  const slots = await admin.firmwareSlots();
  assert.is(slots.revisions[slots.activeSlot - 1], id.firmwareRevision);
  await rig.close();
});

test('a long log page is read in pieces, of which the last may clear the event', async () => {
  const fn = new FakeFunction();
  const retains: number[] = [];
  fn.judge = ({ opcode, queueId, words }) => {
    if (queueId !== 0 || opcode !== AdminOpcode.getLogPage) return 0;
    const offset = GetLogPage.lpo.get(words, 0);
    const bytes = logDwords(words, 0) * 4;
    assert.ok(bytes <= 4096);
    retains.push(GetLogPage.rae.get(words, 0));
    const target = fn.dma.words(Sqe.prp1.get(words, 0), bytes / 4);
    for (let i = 0; i < bytes / 4; i++) target![i] = offset + 4 * i;
    return 0;
  };
  const controller = await NvmeController.open(fn);
  const log = await controller.admin.logPage(LogPage.telemetryHost, 10240, { offset: 512 });
  assert.is(
    log.every((word, i) => word === 512 + 4 * i),
    true,
  );
  assert.equal(retains, [1, 1, 0]);
  await controller.close();
});

test('a refused command rejects with the status in words, and is in the error log', async () => {
  const rig = await simRig('sim:ultima-g2?bytes=64MiB');
  const { admin } = rig.controller;
  const error = await admin.identify(0xff).catch((reason: unknown) => reason);
  assert.instance(error, UltimaError);
  if (!(error instanceof UltimaError)) return;
  assert.is(error.code, 'COMMAND_FAILED');
  assert.is(statusKind(Number(error.facts.status)), Status.invalidField);
  assert.match(error.message, /identify: invalid field/);
  const [newest] = await admin.errorLog(4);
  assert.ok(newest !== undefined && newest.count >= 1);
  await rig.close();
});

test('raw carries any command and returns any status', async () => {
  const rig = await simRig('sim:ultima-g2?bytes=64MiB');
  const words = new Uint32Array(16);
  words[0] = 0xc5;
  const result = await rig.controller.admin.raw(words);
  assert.is(statusKind(result.status), Status.invalidOpcode);
  const identify = new Uint32Array(16);
  identify[0] = AdminOpcode.identify;
  identify[10] = Cns.controller;
  const page = new Uint8Array(4096);
  assert.is((await rig.controller.admin.raw(identify, page)).status, 0);
  assert.is(Buffer.from(page.subarray(24, 30)).toString(), 'Ultima');
  await rig.close();
});

test('namespaces are created, attached, used, detached and deleted', async () => {
  const rig = await simRig('sim:simple?bytes=16MiB');
  const { controller } = rig;
  const { controllerId } = await controller.admin.identifyController();
  const nsid = await controller.admin.createNamespace({ blockCount: 8192, formatIndex: 2 });
  await controller.admin.attachNamespace(nsid, [controllerId]);
  assert.ok((await controller.namespaceIds()).includes(nsid));
  const namespace = await controller.namespace(nsid);
  assert.is(namespace.blockBytes, 4096);
  await namespace.write(0, namespace.memory.allocate(4096));
  await controller.admin.detachNamespace(nsid, [controllerId]);
  await controller.admin.deleteNamespace(nsid);
  assert.not.ok((await controller.namespaceIds()).includes(nsid));
  await rig.close();
});

test('firmware is downloaded in pieces and committed to a slot', async () => {
  const rig = await simRig('sim:simple?bytes=16MiB');
  const { admin } = rig.controller;
  const image = new Uint8Array(4096 * 3).fill(0x5a);
  await admin.downloadFirmware(image);
  const result = await admin.commitFirmware(2, 'replace');
  // Whether this image is taken is the card's affair; the command itself was well formed.
  assert.not.equal(statusKind(result.status), Status.invalidField);
  await rig.close();
});

test('a namespace identifier that cannot be is refused before a command is sent', async () => {
  const rig = await simRig('sim:simple?bytes=16MiB');
  for (const nsid of [0, -1, 1.5, 2 ** 32 - 1]) {
    const error = await rig.controller.namespace(nsid).catch((reason: unknown) => reason);
    assert.is(error instanceof UltimaError && error.code, 'NAMESPACE_INVALID');
  }
  await rig.close();
});

test('what a hostile device answers never hangs or breaks the driver', async () => {
  const seed = 20;
  console.log(`seed ${seed}`);
  const prng = new Prng(seed, 'hostile');
  let opened = 0;
  for (let round = 0; round < 150; round++) {
    const fn = new FakeFunction();
    const rate = [0, 0.01, 0.1, 0.5][round % 4]!;
    fn.onIdentify = (_, page) => {
      for (let i = 0; i < 40; i++) if (prng.chance(rate)) page[prng.below(1024)] = prng.word();
    };
    fn.onRead = (_, value) => (prng.chance(rate / 20) ? prng.word() : value);
    fn.judge = (command) => {
      if (prng.chance(rate))
        fn.postEntry(prng.below(2), { cid: prng.below(65536), sqid: prng.below(3) });
      if (prng.chance(rate)) return prng.below(32768);
      if (prng.chance(rate / 4)) return command.queueId === 0 ? 'drop' : 'twice';
      return 0;
    };
    const limits = { adminTimeoutNs: 2_000_000, commandTimeoutNs: 5_000_000, queueEntries: 8 };
    const startNs = fn.nowNs;
    try {
      const controller = await NvmeController.open(fn, { ...limits, abortTimeoutNs: 1_000_000 });
      opened++;
      for (const namespace of await controller.namespaces().catch(() => [])) {
        const buffer = namespace.memory.allocate(namespace.blockBytes);
        await namespace.read(0, buffer).catch(() => {});
        await namespace.write(0, buffer).catch(() => {});
      }
      await controller.close();
    } catch (error) {
      const isNamed = error instanceof UltimaError || error instanceof RangeError;
      assert.ok(isNamed, `round ${round}: ${String(error)}`);
    }
    assert.ok(fn.nowNs - startNs < 3_600_000_000_000, `round ${round} took an hour`);
  }
  assert.ok(opened > 30);
});

test.run();
