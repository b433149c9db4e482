import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { Errno } from '../../native/kernel.js';
import { VfioIrq } from '../../native/uapi/vfio.js';
import { openVfio, type VfioOptions } from '../../native/vfio/function.js';
import { Sysfs } from '../../native/vfio/sysfs.js';
import type { PciFunction } from '../../sdk/device.js';
import { UltimaError } from '../../sdk/errors.js';
import { suite } from '../support/suite.js';
import { FakeKernel } from './fake-kernel.js';

const address = '0000:01:00.0';
const root = mkdtempSync(join(tmpdir(), 'ultima-sysfs-'));
makeSysfs();
const sysfs = new Sysfs(root);

const vfio = suite('native/vfio');

vfio(
  'the legacy interface opens container, group, model and device in the one valid order',
  async () => {
    const kernel = new FakeKernel();
    const fn = await open(kernel, { iommu: 'group' });
    assert.equal(kernel.log.slice(0, 10), [
      'open /dev/vfio/vfio',
      'getApiVersion',
      'open /dev/vfio/4',
      'groupGetStatus',
      'groupSetContainer',
      'checkExtension',
      'setIommu',
      'iommuGetInfo',
      'iommuGetInfo',
      'groupGetDeviceFd',
    ]);
    await fn.close();
  },
);

vfio('iommufd binds, allocates, attaches, and only then asks for the usable ranges', async () => {
  const kernel = new FakeKernel();
  kernel.hasIommufd = true;
  const fn = await open(kernel, { iommu: 'iommufd' });
  assert.equal(kernel.log.slice(0, 7), [
    'open /dev/iommu',
    'open /dev/vfio/devices/vfio0',
    'deviceBindIommufd',
    'ioasAlloc',
    'deviceAttachIommufdPt',
    'ioasIovaRanges',
    'ioasIovaRanges',
  ]);
  await fn.close();
  assert.equal(kernel.openCount, 0);
  assert.equal(kernel.mappings, []);
});

vfio('calls that reset the device run off the JavaScript thread, and only those', async () => {
  for (const [iommu, opening] of [
    ['group', 'groupGetDeviceFd'],
    ['iommufd', 'deviceBindIommufd'],
  ] as const) {
    const kernel = new FakeKernel();
    kernel.hasIommufd = true;
    const fn = await open(kernel, { iommu });
    await fn.reset('function');
    await fn.close();
    assert.equal(kernel.elsewhere, [opening, 'deviceReset']);
  }
});

vfio('memory is mapped with the access that was asked for, over both interfaces', async () => {
  for (const iommu of ['group', 'iommufd'] as const) {
    const kernel = new FakeKernel();
    kernel.hasIommufd = true;
    const fn = await open(kernel, { iommu });
    for (const access of ['read', 'write'] as const) fn.dma.allocate(4096, { access });
    assert.equal(
      kernel.mappings.map((mapping) => mapping.access),
      ['rw', 'r', 'w'],
    );
    await fn.close();
    assert.equal(kernel.mappings, []);
  }
});

vfio('whichever call of an open fails, all is given back and the next open works', async () => {
  for (const iommu of ['group', 'iommufd'] as const) {
    const golden = new FakeKernel();
    golden.hasIommufd = true;
    await (await open(golden, { iommu })).close();
    const calls = golden.log.slice(
      0,
      golden.log.findIndex((call) => call.startsWith('write')),
    );
    let failed = 0;
    for (const [step, call] of calls.entries()) {
      const kernel = new FakeKernel();
      kernel.hasIommufd = true;
      const nth = calls.slice(0, step + 1).filter((other) => other === call).length;
      kernel.failure = { call, nth, errno: Errno.EIO };
      const error = await open(kernel, { iommu }).then(
        (fn) => fn.close().then(() => null),
        (thrown: unknown) => thrown,
      );
      if (error !== null) {
        failed++;
        assert.instance(error, UltimaError, `${iommu}, step ${step} ${call}: ${error}`);
      }
      assert.equal(kernel.openCount, 0, `${iommu}, descriptors left after a failing ${call}`);
      assert.equal(kernel.mappings, [], `${iommu}, mappings left after a failing ${call}`);
      assert.is(kernel.buffers.size, 0, `${iommu}, memory left after a failing ${call}`);
      await (await open(kernel, { iommu })).close();
    }
    assert.ok(failed >= 10, `only ${failed} of ${calls.length} failing calls failed the open`);
  }
});

vfio('device addresses keep clear of 0 and of the interrupt window', async () => {
  const kernel = new FakeKernel();
  kernel.memlock = Number.MAX_SAFE_INTEGER;
  kernel.ranges = [
    [0, 0xfffff],
    [0xfef0_0000, 0x7f_ffff_ffff],
  ];
  const fn = await open(kernel, { arenaBytes: 512 * 1024 });
  const first = fn.dma.allocate(4096);
  assert.ok(first.iova >= 0x1_0000);
  const large = fn.dma.allocate(1024 * 1024);
  assert.ok(large.iova >= 0xfef0_0000);
  await fn.close();
});

vfio('allocating and freeing a hundred thousand regions leaves nothing behind', async () => {
  const kernel = new FakeKernel();
  const fn = await open(kernel, { arenaBytes: 1024 * 1024 });
  const mappings = kernel.mappings.length;
  let previous = fn.dma.allocate(4096);
  const firstIova = previous.iova;
  for (let i = 0; i < 100_000; i++) {
    const next = fn.dma.allocate(((i * 37) % 9000) + 1, { alignment: 64 });
    fn.dma.free(previous);
    previous = next;
  }
  fn.dma.free(previous);
  assert.is(kernel.mappings.length, mappings);
  assert.is(fn.dma.allocate(4096).iova, firstIova);
  await fn.close();
});

vfio(
  'memory beyond the limit of locked memory is refused with the limit and the remedy',
  async () => {
    const kernel = new FakeKernel();
    const fn = await open(kernel, { arenaBytes: 4 * 1024 * 1024 });
    const before = kernel.mappings.length;
    assert.throws(
      () => fn.dma.allocate(8 * 1024 * 1024),
      (error: unknown) =>
        error instanceof UltimaError &&
        error.code === 'DMA_MAP_FAILED' &&
        error.message.includes('8388608') &&
        error.message.includes('ulimit -l'),
    );
    assert.is(kernel.mappings.length, before);
    assert.is(kernel.buffers.size, 1);
    await fn.close();
  },
);

vfio(
  'memory of a function that was closed is lost: freeing it is no mistake any more',
  async () => {
    const fn = await open(new FakeKernel());
    const [kept, freed] = [fn.dma.allocate(4096), fn.dma.allocate(4096)];
    fn.dma.free(freed);
    await fn.close();
    assert.equal([kept.isFreed, kept.isLost, freed.isLost], [true, true, false]);
    fn.dma.free(kept);
    assert.throws(() => fn.dma.free(freed), /freed already/);
    assert.throws(
      () => fn.dma.allocate(1),
      (error: unknown) => error instanceof UltimaError && error.code === 'DMA_MAP_FAILED',
    );
  },
);

vfio('ten thousand refused mappings leave the address allocator as it was', async () => {
  const kernel = new FakeKernel();
  const fn = await open(kernel, { arenaBytes: 1024 * 1024 });
  kernel.memlock = 0;
  for (let i = 0; i < 10_000; i++) {
    assert.throws(() => fn.dma.allocate(2 * 1024 * 1024));
  }
  kernel.memlock = 2 ** 40;
  const region = fn.dma.allocate(2 * 1024 * 1024);
  const arenaEnd = 0x1_0000 + 1024 * 1024;
  assert.is(region.iova, arenaEnd);
  await fn.close();
});

vfio('an unmapping that unmapped nothing is an error, never silence', async () => {
  const kernel = new FakeKernel();
  const fn = await open(kernel, { arenaBytes: 1024 * 1024 });
  const region = fn.dma.allocate(4096, { access: 'read' });
  kernel.unmapsShort = true;
  assert.throws(
    () => fn.dma.free(region),
    (error: unknown) => error instanceof UltimaError && error.facts.unmapped === 0,
  );
});

vfio('freed memory is poisoned on request, and freeing it twice is refused', async () => {
  const kernel = new FakeKernel();
  const fn = await open(kernel, { poisonsFreed: true, arenaBytes: 1024 * 1024 });
  const region = fn.dma.allocate(4096);
  fn.dma.free(region);
  assert.ok(region.isFreed);
  assert.ok(region.bytes.every((byte) => byte === 0xdb));
  assert.throws(() => fn.dma.free(region), /freed already/);
  const again = fn.dma.allocate(4096);
  assert.is(again.iova, region.iova);
  assert.ok(again.bytes.every((byte) => byte === 0));
  await fn.close();
});

vfio(
  'all vectors are connected in one call, and a second connection first disconnects',
  async () => {
    const kernel = new FakeKernel();
    const fn = await open(kernel);
    fn.interrupts.enable(5);
    assert.is(kernel.eventfdsOf.get(2)?.length, 5);
    fn.interrupts.enable(3);
    assert.is(kernel.eventfdsOf.get(2)?.length, 3);
    assert.throws(() => fn.interrupts.enable(10), /10 vectors asked for, the function has 9/);
    await fn.close();
    assert.equal(kernel.openCount, 0);
  },
);

vfio(
  'a vector that fires wakes its waiter, and a masked one only once it is unmasked',
  async () => {
    const kernel = new FakeKernel();
    const fn = await open(kernel);
    fn.interrupts.enable(2);
    const fd = kernel.eventfdsOf.get(2)![1]!;
    const far = fn.clock.nowNs() + 5e9;
    const waiting = fn.interrupts.wait(1, far);
    kernel.signalEvent(fd);
    assert.is(await waiting, true);
    assert.is(fn.interrupts.take(1), false);
    fn.interrupts.mask(1);
    kernel.signalEvent(fd);
    assert.is(fn.interrupts.take(1), false);
    const masked = fn.interrupts.wait(1, far);
    fn.interrupts.unmask(1);
    assert.is(await masked, true);
    assert.is(await fn.interrupts.wait(0, fn.clock.nowNs() + 1e6), false);
    await fn.close();
  },
);

vfio('all who wait for a vector hear of it, also when it was masked', async () => {
  const kernel = new FakeKernel();
  const fn = await open(kernel);
  fn.interrupts.enable(1);
  const fd = kernel.eventfdsOf.get(2)![0]!;
  const far = fn.clock.nowNs() + 1e9;
  const waiting = [fn.interrupts.wait(0, far), fn.interrupts.wait(0, far)];
  kernel.signalEvent(fd);
  assert.equal(await Promise.all(waiting), [true, true]);
  fn.interrupts.mask(0);
  const masked = [fn.interrupts.wait(0, far), fn.interrupts.wait(0, far)];
  kernel.signalEvent(fd);
  await new Promise((resolve) => setImmediate(resolve));
  fn.interrupts.unmask(0);
  assert.equal(await Promise.all(masked), [true, true]);
  await fn.close();
});

vfio(
  'registers outside the mappable areas go through the file, inside them through memory',
  async () => {
    const kernel = new FakeKernel();
    kernel.sparse = [[0, 0x2000]];
    kernel.deviceFile.set([0x78, 0x56, 0x34, 0x12], 0x2004);
    const fn = await open(kernel);
    const bar = fn.bar(0);
    assert.is(bar.read32(0x2004), 0x1234_5678);
    assert.ok(kernel.log.includes('map 0+2000'));
    const calls = kernel.log.length;
    bar.write32(0x1000, 1);
    assert.is(kernel.log.length, calls);
    bar.write32(0x3000, 1);
    assert.is(kernel.log.at(-1), 'write 3000');
    await fn.close();
  },
);

vfio('a BAR that may not be mapped works through the file', async () => {
  const kernel = new FakeKernel();
  kernel.barIsMappable = false;
  const fn = await open(kernel);
  fn.bar(0).write32(0x14, 0xabcd);
  assert.is(fn.bar(0).read32(0x14), 0xabcd);
  assert.throws(() => fn.bar(2), /no BAR 2/);
  assert.throws(() => fn.bar(7), /BAR 7 is not in 0..5/);
  await fn.close();
});

vfio(
  'closing stops bus mastering, then interrupts, then DMA, then windows, then descriptors',
  async () => {
    const kernel = new FakeKernel();
    kernel.deviceFile.set([0x06, 0x04], 0x1_0004);
    const fn = await open(kernel);
    fn.bar(0);
    fn.interrupts.enable(1);
    const from = kernel.log.length;
    await fn.close();
    const closing = kernel.log.slice(from).filter((call) => call !== 'close eventfd');
    assert.equal(closing, [
      'write 10004',
      'deviceSetIrqs',
      'deviceSetIrqs',
      'deviceSetIrqs',
      'iommuUnmapDma',
      'munmap',
      'munmap',
      'close device',
      'close group',
      'close container',
    ]);
    assert.equal([...kernel.deviceFile.subarray(0x1_0004, 0x1_0006)], [0x02, 0x04]);
    await fn.close();
  },
);

vfio('the kernel asking for the device back tells the owner, who may end in order', async () => {
  const kernel = new FakeKernel();
  let asked = (): void => undefined;
  const request = new Promise<void>((resolve) => {
    asked = resolve;
  });
  const fn = await open(kernel, { onRemovalRequest: asked });
  kernel.signalEvent(kernel.eventfdsOf.get(VfioIrq.request)![0]!);
  await request;
  assert.is(fn.isRemoved, false);
  await fn.close();
});

for (const irq of ['request', 'error'] as const) {
  vfio(`a function counts as removed after its ${irq} event when nobody listens`, async () => {
    const kernel = new FakeKernel();
    const fn = await open(kernel);
    assert.is(fn.isRemoved, false);
    kernel.signalEvent(kernel.eventfdsOf.get(VfioIrq[irq])![0]!);
    // The fake calls back in the next turn of the event loop.
    await new Promise((resolve) => setImmediate(resolve));
    assert.is(fn.isRemoved, true);
    await fn.close();
    assert.is(kernel.openCount, 0);
  });
}

vfio('iommufd is taken by itself where both of its nodes are, the group elsewhere', async () => {
  for (const [hasIommufd, hasCdev, first] of [
    [true, true, 'deviceBindIommufd'],
    [true, false, 'getApiVersion'],
    [false, false, 'getApiVersion'],
  ] as const) {
    const kernel = new FakeKernel();
    kernel.hasIommufd = hasIommufd;
    kernel.hasCdev = hasCdev;
    const fn = await open(kernel);
    const calls = kernel.log.filter((call) => !/^(open|close) /.test(call));
    assert.is(calls[0], first);
    await fn.close();
    assert.is(kernel.openCount, 0);
  }
});

vfio('a wait costs one call once its vector is watched', async () => {
  const kernel = new FakeKernel();
  const fn = await open(kernel);
  fn.interrupts.enable(1);
  const fd = kernel.eventfdsOf.get(VfioIrq.msix)![0]!;
  const far = fn.clock.nowNs() + 5e9;
  let calls = 0;
  const takeEvent = kernel.takeEvent.bind(kernel);
  kernel.takeEvent = (one) => {
    calls++;
    return takeEvent(one);
  };
  for (let round = 0; round < 4; round++) {
    const waiting = fn.interrupts.wait(0, far);
    kernel.signalEvent(fd);
    assert.is(await waiting, true);
  }
  // The first wait finds out by itself that nothing fired yet.
  assert.is(calls, 5);
  await fn.close();
});

vfio('each reason not to open a function is named with what to do', async () => {
  const refusals: [string, Partial<VfioOptions>, (kernel: FakeKernel) => void, RegExp][] = [
    ['01:00.0', {}, () => undefined, /no PCI address; write it as 0000:01:00.0/],
    ['0000:09:00.0', {}, () => undefined, /no PCI function 0000:09:00.0/],
    ['0000:02:00.0', {}, () => undefined, /held by nvme, not by vfio-pci/],
    ['0000:03:00.0', {}, () => undefined, /no IOMMU group: turn the IOMMU on/],
    [address, {}, (kernel) => (kernel.isViable = false), /group 4 is not viable/],
    [address, { iommu: 'iommufd' }, () => undefined, /cannot open \/dev\/iommu \(ENOENT\)/],
  ];
  for (const [name, options, prepare, message] of refusals) {
    const kernel = new FakeKernel();
    prepare(kernel);
    const error = await openVfio(name, { kernel, sysfs, ...options }).then(
      () => null,
      (thrown: unknown) => thrown,
    );
    assert.instance(error, UltimaError);
    assert.match(String(error), message);
    assert.is(kernel.openCount, 0);
  }
});

vfio('a group that another process holds is busy', async () => {
  const kernel = new FakeKernel();
  const fn = await open(kernel, { iommu: 'group' });
  const error = await open(kernel, { iommu: 'group' }).catch((thrown: unknown) => thrown);
  assert.instance(error, UltimaError);
  assert.match(String(error), /held by another process/);
  await fn.close();
});

for (const iommu of ['group', 'iommufd'] as const) {
  vfio(`a function that somebody has locked is opened over ${iommu} when it is free`, async () => {
    const kernel = new FakeKernel();
    kernel.hasIommufd = true;
    kernel.lockedTries = 2;
    const fn = await open(kernel, { iommu });
    assert.is(kernel.lockedTries, 0);
    await fn.close();
  });
}

vfio('a function that stays locked is busy, and nothing is left open', async () => {
  const kernel = new FakeKernel();
  kernel.lockedTries = Number.POSITIVE_INFINITY;
  const error = await open(kernel, { iommu: 'group' }).catch((thrown: unknown) => thrown);
  assert.instance(error, UltimaError);
  assert.match(String(error), /held the lock of the function for 1000 ms/);
  assert.is(kernel.openCount, 0);
});

vfio.after(() => rmSync(root, { recursive: true }));

function open(kernel: FakeKernel, options: Partial<VfioOptions> = {}): Promise<PciFunction> {
  return openVfio(address, { kernel, sysfs, arenaBytes: 1024 * 1024, ...options });
}

/** Three functions: one on vfio-pci, one on nvme, one on vfio-pci but without an IOMMU group. */
function makeSysfs(): void {
  const drivers = {
    '0000:01:00.0': 'vfio-pci',
    '0000:02:00.0': 'nvme',
    '0000:03:00.0': 'vfio-pci',
  };
  for (const [name, driver] of Object.entries(drivers)) {
    const path = join(root, 'bus/pci/devices', name);
    mkdirSync(path, { recursive: true });
    mkdirSync(join(root, 'bus/pci/drivers', driver), { recursive: true });
    symlinkSync(join(root, 'bus/pci/drivers', driver), join(path, 'driver'));
  }
  const first = join(root, 'bus/pci/devices/0000:01:00.0');
  mkdirSync(join(first, 'vfio-dev/vfio0'), { recursive: true });
  mkdirSync(join(root, 'kernel/iommu_groups/4/devices'), { recursive: true });
  symlinkSync(join(root, 'kernel/iommu_groups/4'), join(first, 'iommu_group'));
}

vfio.run();
