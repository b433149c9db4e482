import * as assert from 'uvu/assert';
import { UltimaError } from '../../../sdk/errors.js';
import { NvmeController } from '../../../sdk/nvme/controller.js';
import type { ControllerEvent } from '../../../sdk/nvme/events.js';
import { Cap, Csts, Register } from '../../../sdk/spec/nvme/registers.js';
import { Header } from '../../../sdk/spec/pcie/header.js';
import { suite } from '../../support/suite.js';
import { FakeFunction } from './fake-function.js';

const test = suite('bring-up');

/** The code of the UltimaError that a promise rejects with. */
async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return 'no error';
  } catch (error) {
    return error instanceof UltimaError ? error.code : String(error);
  }
}

test('a controller opens, names its namespace and gives everything back on close', async () => {
  const fn = new FakeFunction();
  const controller = await NvmeController.open(fn);
  assert.is(controller.state, 'ready');
  assert.equal(await controller.namespaceIds(), [1]);
  const namespace = await controller.namespace(1);
  assert.is(namespace.blockBytes, 512);
  assert.is(namespace.blockCount, 2 ** 32 + 1_000_000);
  const data = controller.memory.allocate(4096);
  data.bytes.fill(7);
  await namespace.write(5, data);
  data.bytes.fill(0);
  await namespace.read(5, data);
  assert.is(
    data.bytes.every((byte) => byte === 7),
    true,
  );
  controller.memory.free(data);
  await controller.close();
  assert.is(controller.state, 'closed');
  assert.is(fn.isClosed, true);
  assert.is(fn.dma.liveCount, 0);
  assert.equal(fn.dma.faults, []);
});

test('bus mastering is enabled only after the controller is known to be disabled', async () => {
  const fn = new FakeFunction();
  const controller = await NvmeController.open(fn);
  const bme = fn.trace.findIndex(
    (line) => line.startsWith('config 0x4') && Number(line.split('= ')[1]) % 8 >= 4,
  );
  const enable = fn.trace.findIndex(
    (line) => line.startsWith('bar 0x14') && Number(line.split('= ')[1]) % 2 === 1,
  );
  const aqa = fn.trace.findIndex((line) => line.startsWith('bar 0x24'));
  assert.ok(bme !== -1 && bme < aqa && aqa < enable);
  await controller.close();
});

test('CSTS of all-ones during enable is a removed device, at once, never ready', async () => {
  const fn = new FakeFunction();
  let isGone = false;
  fn.onRead = (offset, value) => {
    if (fn.trace.some((line) => line.startsWith('bar 0x24'))) isGone = true;
    return isGone && offset === Register.csts ? 0xffff_ffff : value;
  };
  const startNs = fn.nowNs;
  assert.is(await codeOf(NvmeController.open(fn)), 'DEVICE_REMOVED');
  assert.ok(fn.nowNs - startNs < 1_000_000_000);
  assert.is(fn.dma.liveCount, 0);
});

test('CAP of all-ones is a removed device', async () => {
  const fn = new FakeFunction();
  fn.onRead = () => 0xffff_ffff;
  assert.is(await codeOf(NvmeController.open(fn)), 'DEVICE_REMOVED');
});

test('a controller that never becomes ready is given up after the time of CAP.TO', async () => {
  const fn = new FakeFunction();
  fn.readyDelayNs = Number.POSITIVE_INFINITY;
  const startNs = fn.nowNs;
  assert.is(await codeOf(NvmeController.open(fn)), 'CONTROLLER_TIMEOUT');
  // CAP.TO is 2 units of 500 ms; the disable on the way out may take as long again.
  assert.ok(fn.nowNs - startNs >= 1_000_000_000);
  assert.ok(fn.nowNs - startNs <= 4_000_000_000);
  assert.is(fn.dma.liveCount, 0);
  assert.is(fn.isClosed, true);
});

test('a fatal status while enabling is reported as such, before the time of CAP.TO', async () => {
  const fn = new FakeFunction();
  fn.readyDelayNs = Number.POSITIVE_INFINITY;
  fn.onRead = (offset, value) => {
    const isEnabling = fn.trace.some((line) => line.startsWith('bar 0x24'));
    return offset === Register.csts && isEnabling ? Csts.cfs.put(value, 1) : value;
  };
  assert.is(await codeOf(NvmeController.open(fn)), 'CONTROLLER_FATAL');
});

test('queues of 2 and of 65536 entries in CAP.MQES both open', async () => {
  for (const [mqes, slots] of [
    [2, 1],
    [65536, 1023],
  ]) {
    const fn = new FakeFunction();
    Cap.mqes.set(fn.cap, 0, mqes!);
    const controller = await NvmeController.open(fn, { adminEntries: 2, eventRequests: 0 });
    const pair = await controller.createQueuePair();
    assert.is(pair.submission.slotCount, slots);
    await controller.close();
  }
});

test('CAP.MQES of 0, which means one entry, is refused in words', async () => {
  const fn = new FakeFunction();
  Cap.mqes.set(fn.cap, 0, 1);
  assert.is(await codeOf(NvmeController.open(fn)), 'DEVICE_UNSUPPORTED');
});

test('a function of another class is refused', async () => {
  const fn = new FakeFunction();
  Header.subClass.set(fn.cfgWords, 0, 0x06);
  assert.is(await codeOf(NvmeController.open(fn)), 'DEVICE_UNSUPPORTED');
});

test('a circular capability list ends in an error', async () => {
  const fn = new FakeFunction();
  // The second capability points back to the first.
  fn.cfgWords[0x80 / 4] = 0x4011;
  assert.is(await codeOf(NvmeController.open(fn)), 'DEVICE_MISBEHAVED');
});

test('a mapping that fails at any step fails the open and leaves nothing mapped', async () => {
  for (let budget = 0; budget < 20; budget++) {
    const fn = new FakeFunction();
    fn.dma.budget = budget;
    const code = await codeOf(NvmeController.open(fn));
    assert.is(fn.dma.liveCount > 0, code === 'no error');
    assert.equal(fn.dma.faults, []);
    if (code === 'no error') return;
  }
  assert.unreachable('twenty mappings are enough to open');
});

test('a device that is gone after any number of register reads never hangs the open', async () => {
  let isOpen = false;
  for (let reads = 0; !isOpen; reads++) {
    const fn = new FakeFunction();
    let count = 0;
    fn.onRead = (_, value) => {
      if (count++ === reads) fn.isRemoved = true;
      return fn.isRemoved ? 0xffff_ffff : value;
    };
    const result = await codeOf(NvmeController.open(fn, { adminTimeoutNs: 1_000_000 }));
    isOpen = result === 'no error';
    if (!isOpen)
      assert.ok(['DEVICE_REMOVED', 'COMMAND_TIMEOUT', 'CONTROLLER_TIMEOUT'].includes(result));
    if (!isOpen) assert.is(fn.dma.liveCount, 0);
    assert.ok(reads < 200);
  }
});

test('a quirk of the table is applied and reported', async () => {
  const fn = new FakeFunction();
  // HGST SN100: its registers must be left alone for a while after CC.EN = 0.
  Header.vendorId.set(fn.cfgWords, 0, 0x1c58);
  Header.deviceId.set(fn.cfgWords, 0, 0x0003);
  const names: string[] = [];
  const onEvent = (event: ControllerEvent) => {
    if (event.kind === 'quirk') names.push(event.name);
  };
  const controller = await NvmeController.open(fn, { onEvent });
  assert.equal(names, ['delay before ready']);
  const startNs = fn.nowNs;
  await controller.reset();
  assert.ok(fn.nowNs - startNs >= 2_300_000_000);
  await controller.close();
});

test('a closed controller leaves nothing mapped, bounce memory included', async () => {
  const fn = new FakeFunction();
  const controller = await NvmeController.open(fn);
  const namespace = await controller.namespace(1);
  const buffer = namespace.memory.allocate(4096);
  const slices = [
    { region: buffer, offset: 1, length: 300 },
    { region: buffer, offset: 1001, length: 212 },
  ];
  await namespace.read(0, slices);
  namespace.memory.free(buffer);
  await controller.close();
  assert.is(fn.dma.liveCount, 0);
});

test('an open that failed can be tried again on the same function', async () => {
  const fn = new FakeFunction();
  fn.readyDelayNs = Number.POSITIVE_INFINITY;
  assert.is(await codeOf(NvmeController.open(fn)), 'CONTROLLER_TIMEOUT');
  fn.readyDelayNs = 1000;
  const controller = await NvmeController.open(fn);
  assert.is(controller.state, 'ready');
  await controller.close();
});

test('a host identifier of another length, or of zeroes, is refused before anything is done', async () => {
  const fn = new FakeFunction();
  for (const hostIdentifier of [new Uint8Array(8).fill(1), new Uint8Array(16)]) {
    const refusal = await NvmeController.open(fn, { hostIdentifier }).catch((error) => error);
    assert.instance(refusal, RangeError);
    assert.match(refusal.message, /host identifier of (8|16) bytes/);
  }
});

test.run();
