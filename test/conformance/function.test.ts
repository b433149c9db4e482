import * as assert from 'uvu/assert';
import { Cap, doorbellEnd } from '../../sdk/spec/nvme/registers.js';
import { Express } from '../../sdk/spec/pcie/express.js';
import {
  barSize,
  CapabilityHeader,
  CapabilityId,
  Header,
  MemoryBar,
  NvmeClass,
} from '../../sdk/spec/pcie/header.js';
import { Msix } from '../../sdk/spec/pcie/msix.js';
import { PowerManagement } from '../../sdk/spec/pcie/power-management.js';
import type { Rig } from '../../sdk/testing/rig.js';
import { statements } from './statement.js';

const statement = statements('PCI function');

/** The first 256 bytes of configuration space. */
function header(rig: Rig): Uint32Array {
  return Uint32Array.from({ length: 64 }, (_, i) => rig.fn.config.read32(i * 4));
}

/** Capability identifiers and where they are; stops after 48, which is more than can be. */
function capabilities(words: Uint32Array): { id: number; offset: number }[] {
  const found: { id: number; offset: number }[] = [];
  let offset = Header.capabilitiesPointer.get(words, 0) & 0xfc;
  while (offset !== 0 && found.length < 48) {
    found.push({ id: CapabilityHeader.capabilityId.get(words, offset / 4), offset });
    offset = CapabilityHeader.nextPointer.get(words, offset / 4) & 0xfc;
  }
  return found;
}

function capabilityAt(words: Uint32Array, id: number): number | undefined {
  const offset = capabilities(words).find((capability) => capability.id === id)?.offset;
  return offset === undefined ? undefined : offset / 4;
}

statement(
  'the class code is mass storage, non-volatile memory, NVM Express',
  '[NVMe-PCIe-1.0 §3.8.1.3 CC]',
  async (rig) => {
    const words = header(rig);
    assert.is(Header.baseClass.get(words, 0), NvmeClass.baseClass);
    assert.is(Header.subClass.get(words, 0), NvmeClass.subClass);
    assert.is(Header.programmingInterface.get(words, 0), NvmeClass.programmingInterface);
  },
);

statement('the header is that of an endpoint', '[PCIe-4.0 §7.5.1.1.9 Header Type]', async (rig) => {
  assert.is(Header.headerLayout.get(header(rig), 0), 0);
});

statement(
  'vendor and device are real identifiers',
  '[PCIe-4.0 §7.5.1.1.1 Vendor ID]',
  async (rig) => {
    const words = header(rig);
    assert.ok(![0, 0xffff].includes(Header.vendorId.get(words, 0)));
    assert.is.not(Header.deviceId.get(words, 0), 0xffff);
  },
);

statement('vendor and device cannot be written', '[PCIe-4.0 §7.5.1.1.1 Vendor ID]', async (rig) => {
  const before = rig.fn.config.read32(0);
  rig.fn.config.write32(0, 0);
  assert.is(rig.fn.config.read32(0), before);
});

statement(
  'byte, word and dword reads of configuration space agree',
  '[PCIe-4.0 §7.2]',
  async (rig) => {
    const { config } = rig.fn;
    for (const offset of [0x00, 0x08, 0x2c]) {
      const whole = config.read32(offset);
      assert.is(config.read16(offset) + config.read16(offset + 2) * 0x1_0000, whole);
      const bytes = [0, 1, 2, 3].map((i) => config.read8(offset + i) * 256 ** i);
      assert.is(
        bytes.reduce((sum, byte) => sum + byte, 0),
        whole,
      );
    }
  },
);

statement(
  'the capability list ends',
  '[PCIe-4.0 §7.5.1.1.11 Capabilities Pointer]',
  async (rig) => {
    const words = header(rig);
    assert.is(Header.capabilitiesList.get(words, 0), 1);
    const offsets = capabilities(words).map(({ offset }) => offset);
    assert.ok(offsets.length < 48);
    assert.is(new Set(offsets).size, offsets.length);
    assert.ok(offsets.every((offset) => offset >= 0x40));
  },
);

for (const [name, id] of [
  ['PCI Express', CapabilityId.pciExpress],
  ['power management', CapabilityId.powerManagement],
] as const) {
  statement(`there is one ${name} capability`, '[NVMe-PCIe-1.0 §3.8]', async (rig) => {
    assert.is(capabilities(header(rig)).filter((capability) => capability.id === id).length, 1);
  });
}

statement('the function offers MSI-X or MSI', '[NVMe-PCIe-1.0 §3.5 Interrupts]', async (rig) => {
  const ids = capabilities(header(rig)).map(({ id }) => id);
  assert.ok(ids.includes(CapabilityId.msix) || ids.includes(CapabilityId.msi));
});

statement(
  'the MSI-X table has as many entries as there are vectors',
  '[PCIe-4.0 §7.7.2.2 Table Size]',
  async (rig) => {
    const words = header(rig);
    const at = capabilityAt(words, CapabilityId.msix);
    rig.needs(at !== undefined, 'MSI-X');
    assert.is(Msix.tableCount.get(words, at ?? 0), rig.fn.interrupts.vectorCount);
  },
);

statement(
  'the MSI-X table and its pending bits do not overlap',
  '[PCIe-4.0 §7.7.2]',
  async (rig) => {
    const words = header(rig);
    const at = capabilityAt(words, CapabilityId.msix);
    rig.needs(at !== undefined, 'MSI-X');
    const table = Msix.tableOffset8.get(words, at ?? 0) * 8;
    const pending = Msix.pendingOffset8.get(words, at ?? 0) * 8;
    const count = Msix.tableCount.get(words, at ?? 0);
    if (Msix.tableBar.get(words, at ?? 0) !== Msix.pendingBar.get(words, at ?? 0)) return;
    const isBefore = table + count * 16 <= pending;
    assert.ok(isBefore || pending + Math.ceil(count / 64) * 8 <= table);
  },
);

statement(
  'the MSI-X table does not lie over registers or doorbells',
  '[NVMe-PCIe-1.0 §3.1]',
  async (rig) => {
    const words = header(rig);
    const at = capabilityAt(words, CapabilityId.msix);
    rig.needs(at !== undefined && Msix.tableBar.get(words, at) === 0, 'an MSI-X table in BAR 0');
    const doorbells = doorbellEnd((await rig.queueCount()) + 1, rig.controller.cap(Cap.dstrd));
    assert.ok(Msix.tableOffset8.get(words, at ?? 0) * 8 >= doorbells);
  },
);

statement('BAR 0 is 64-bit memory', '[NVMe-PCIe-1.0 §3.8.1.10 MLBAR]', async (rig) => {
  const bar = Header.bar0.get(header(rig), 0);
  assert.is(MemoryBar.space.of(bar), 0);
  assert.is(MemoryBar.type.of(bar), 2);
});

statement(
  'BAR 0 sizes to a power of two that holds every doorbell',
  '[PCIe-4.0 §7.5.1.2.1 Base Address Registers]',
  async (rig) => {
    await rig.controller.disable();
    const { config } = rig.fn;
    const [low, high] = [config.read32(0x10), config.read32(0x14)];
    const command = config.read16(0x04);
    config.write16(0x04, command & ~2);
    config.write32(0x10, 0xffff_ffff);
    config.write32(0x14, 0xffff_ffff);
    const size = barSize(config.read32(0x10), config.read32(0x14));
    config.write32(0x10, low);
    config.write32(0x14, high);
    config.write16(0x04, command);
    assert.is(size, rig.fn.bar(0).length);
    assert.is(Math.log2(size) % 1, 0);
    await rig.enable();
    const queues = await rig.queueCount();
    assert.ok(size >= doorbellEnd(queues + 1, rig.controller.cap(Cap.dstrd)));
  },
);

statement('the function can be reset alone', '[NVMe-PCIe-1.0 §3.8.5 PXDCAP.FLRC]', async (rig) => {
  const words = header(rig);
  const at = capabilityAt(words, CapabilityId.pciExpress);
  assert.ok(at !== undefined);
  assert.is(Express.functionResetCapable.get(words, at ?? 0), 1);
});

statement(
  'the function is a PCI Express endpoint with a link',
  '[PCIe-4.0 §7.5.3]',
  async (rig) => {
    const words = header(rig);
    const at = capabilityAt(words, CapabilityId.pciExpress) ?? 0;
    assert.is(Express.portType.get(words, at), 0);
    assert.ok(Express.version.get(words, at) >= 1);
  },
);

statement('the function is in D0', '[PCIe-4.0 §7.5.2.2 PMCSR]', async (rig) => {
  const words = header(rig);
  const at = capabilityAt(words, CapabilityId.powerManagement) ?? 0;
  assert.is(PowerManagement.powerState.get(words, at), 0);
});

statement.run();
