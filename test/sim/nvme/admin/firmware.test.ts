import * as assert from 'uvu/assert';
import { FirmwareCommit, FirmwareDownload } from '../../../../sdk/spec/nvme/admin-command.js';
import { AsyncEventResult } from '../../../../sdk/spec/nvme/completion.js';
import { EventFeature, Feature } from '../../../../sdk/spec/nvme/features.js';
import { Cns } from '../../../../sdk/spec/nvme/identify.js';
import { IdentifyController } from '../../../../sdk/spec/nvme/identify-controller.js';
import { FirmwareSlotLog, LogPage } from '../../../../sdk/spec/nvme/logs.js';
import { AdminOpcode } from '../../../../sdk/spec/nvme/opcodes.js';
import { Status } from '../../../../sdk/spec/nvme/status.js';
import { ActivationNeeds, makeFirmwareImage } from '../../../../sdk/spec/ultima/firmware.js';
import { suite } from '../../../support/suite.js';
import { AdminBench } from './bench.js';

const test = suite('firmware');

const pieceBytes = 4096;

function downloadPiece(bench: AdminBench, bytes: Uint8Array, first: number) {
  const data = bench.buffer(bytes.length);
  data.bytes.set(bytes);
  return bench.run({
    opcode: AdminOpcode.firmwareDownload,
    fields: [
      [FirmwareDownload.numd, bytes.length / 4],
      [FirmwareDownload.ofst, first / 4],
    ],
    data,
  });
}

async function download(bench: AdminBench, image: Uint8Array): Promise<void> {
  // Last piece first: the order is the host's.
  for (let first = image.length - pieceBytes; first >= 0; first -= pieceBytes) {
    if (first === 0) continue;
    const outcome = await downloadPiece(bench, image.subarray(first, first + pieceBytes), first);
    assert.is(outcome.status, 0);
  }
}

async function bring(bench: AdminBench, revision: string, needs?: number): Promise<void> {
  const image = makeFirmwareImage(
    needs === undefined
      ? { revision, lengthBytes: 2 * pieceBytes }
      : { revision, lengthBytes: 2 * pieceBytes, needs },
  );
  assert.is((await downloadPiece(bench, image.subarray(0, pieceBytes), 0)).status, 0);
  await download(bench, image);
}

function commit(bench: AdminBench, slot: number, action: number) {
  const fields = [
    [FirmwareCommit.fs, slot],
    [FirmwareCommit.ca, action],
  ] as const;
  return bench.run({ opcode: AdminOpcode.firmwareCommit, fields });
}

async function running(bench: AdminBench): Promise<string> {
  return IdentifyController.fr.text(await bench.identify(Cns.controller), 0);
}

async function slots(bench: AdminBench) {
  const { words } = await bench.getLog(LogPage.firmwareSlot, 512);
  const F = FirmwareSlotLog;
  const names = [F.frs1, F.frs2, F.frs3].map((field) => field.text(words, 0));
  return { active: F.active.get(words, 0), next: F.next.get(words, 0), names };
}

test('an image replaces a slot without running', async () => {
  const bench = await AdminBench.open();
  await bring(bench, '1.1.0');
  assert.is((await commit(bench, 2, 0)).status, 0);
  assert.equal(await slots(bench), { active: 1, next: 0, names: ['1.0.0', '1.1.0', ''] });
  await bench.reset();
  assert.is(await running(bench), '1.0.0');
});

test('an image committed for the next reset runs after it and not before', async () => {
  const bench = await AdminBench.open();
  await bring(bench, '1.1.0');
  assert.is((await commit(bench, 2, 1)).status, 0);
  assert.is(await running(bench), '1.0.0');
  assert.is((await slots(bench)).next, 2);
  await bench.reset();
  assert.is(await running(bench), '1.1.0');
  assert.equal([(await slots(bench)).active, (await slots(bench)).next], [2, 0]);
});

test('an image of a slot can be activated again later', async () => {
  const bench = await AdminBench.open();
  await bring(bench, '1.1.0');
  await commit(bench, 2, 1);
  await bench.reset();
  assert.is((await commit(bench, 1, 2)).status, 0);
  await bench.reset();
  assert.is(await running(bench), '1.0.0');
});

test('activation without reset takes its time and announces itself', async () => {
  const bench = await AdminBench.open();
  await bench.setFeature(Feature.asynchronousEvents, EventFeature.firmware.put(0, 1));
  const event = bench.post({ opcode: AdminOpcode.asynchronousEventRequest });
  await bring(bench, '2.0.0', ActivationNeeds.nothing);
  const startNs = bench.nowNs;
  assert.is((await commit(bench, 3, 3)).status, 0);
  assert.ok(bench.nowNs - startNs >= 5_000_000, 'activateNs');
  assert.is(await running(bench), '2.0.0');
  const { dw0 } = await bench.waitFor(event);
  assert.equal([AsyncEventResult.type.of(dw0), AsyncEventResult.info.of(dw0)], [2, 1]);
});

test('an image that needs a reset says so and waits for it', async () => {
  const bench = await AdminBench.open();
  await bring(bench, '1.1.0', ActivationNeeds.controllerReset);
  const outcome = await commit(bench, 2, 3);
  assert.is(outcome.status, Status.firmwareNeedsControllerReset);
  assert.not.ok(outcome.isFinal);
  assert.is(await running(bench), '1.0.0');
  await bench.reset();
  assert.is(await running(bench), '1.1.0');
});

test('an image that needs a subsystem reset does not start at a controller reset', async () => {
  const bench = await AdminBench.open();
  await bring(bench, '1.1.0', ActivationNeeds.subsystemReset);
  assert.is((await commit(bench, 2, 1)).status, Status.firmwareNeedsSubsystemReset);
  await bench.reset();
  assert.is(await running(bench), '1.0.0');
  bench.raw.write('nssr', 0x4e56_4d65);
  await bench.raw.enable();
  assert.is(await running(bench), '1.1.0');
});

test('a power cycle starts an image that needs a conventional reset', async () => {
  const bench = await AdminBench.open();
  await bring(bench, '1.1.0', ActivationNeeds.conventionalReset);
  assert.is((await commit(bench, 2, 1)).status, Status.firmwareNeedsConventionalReset);
  await bench.powerCycle();
  assert.is(await running(bench), '1.1.0');
});

test('a hot reset of the bus starts an image that needs a conventional reset', async () => {
  const bench = await AdminBench.open();
  await bring(bench, '1.1.0', ActivationNeeds.conventionalReset);
  await commit(bench, 2, 1);
  await bench.raw.fn.reset('bus');
  await bench.raw.enable();
  assert.is(await running(bench), '1.1.0');
});

test('a damaged image is refused and its slot keeps what it had', async () => {
  const bench = await AdminBench.open();
  const image = makeFirmwareImage({ revision: 'bad', lengthBytes: 2 * pieceBytes });
  image[5000]! ^= 1;
  await downloadPiece(bench, image.subarray(0, pieceBytes), 0);
  await download(bench, image);
  assert.is((await commit(bench, 1, 1)).status, Status.invalidFirmwareImage);
  assert.equal((await slots(bench)).names, ['1.0.0', '', '']);
});

test('an image with a piece missing is refused', async () => {
  const bench = await AdminBench.open();
  const image = makeFirmwareImage({ revision: '9', lengthBytes: 3 * pieceBytes });
  await downloadPiece(bench, image.subarray(0, pieceBytes), 0);
  await downloadPiece(bench, image.subarray(2 * pieceBytes), 2 * pieceBytes);
  assert.is((await commit(bench, 2, 0)).status, Status.invalidFirmwareImage);
});

test('pieces that overlap are refused', async () => {
  const bench = await AdminBench.open();
  const piece = new Uint8Array(pieceBytes);
  await downloadPiece(bench, piece, pieceBytes);
  const outcome = await downloadPiece(bench, piece, pieceBytes);
  assert.is(outcome.status, Status.overlappingRange);
});

test('pieces off the granularity are refused', async () => {
  const bench = await AdminBench.open();
  assert.is((await downloadPiece(bench, new Uint8Array(2048), 0)).status, Status.invalidField);
  const shifted = await downloadPiece(bench, new Uint8Array(pieceBytes), 2048);
  assert.is(shifted.status, Status.invalidField);
});

test('a slot that does not exist is refused, and an empty one has no image', async () => {
  const bench = await AdminBench.open();
  await bring(bench, '1.1.0');
  assert.is((await commit(bench, 4, 0)).status, Status.invalidFirmwareSlot);
  assert.is((await commit(bench, 0, 2)).status, Status.invalidFirmwareSlot);
  assert.is((await commit(bench, 3, 2)).status, Status.invalidFirmwareImage);
  assert.is((await commit(bench, 2, 6)).status, Status.invalidField);
});

test('a reset forgets what was downloaded and not committed', async () => {
  const bench = await AdminBench.open();
  await bring(bench, '1.1.0');
  await bench.reset();
  assert.is((await commit(bench, 2, 0)).status, Status.invalidFirmwareImage);
});

test.run();
