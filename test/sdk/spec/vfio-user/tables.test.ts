import * as assert from 'uvu/assert';
import * as access from '../../../../sdk/spec/vfio-user/access.js';
import { leastPayloads } from '../../../../sdk/spec/vfio-user/commands.js';
import * as device from '../../../../sdk/spec/vfio-user/device.js';
import * as dma from '../../../../sdk/spec/vfio-user/dma.js';
import * as feature from '../../../../sdk/spec/vfio-user/feature.js';
import { Command, MessageFlags, MessageHeader } from '../../../../sdk/spec/vfio-user/header.js';
import { IrqInfo, IrqSet } from '../../../../sdk/spec/vfio-user/interrupt.js';
import { VersionMessage } from '../../../../sdk/spec/vfio-user/version.js';
import { suite } from '../../../support/suite.js';

const test = suite('vfio-user tables');

/** Bytes as the text of the protocol lays them out, to words. */
function words(hex: string): Uint32Array {
  const bytes = Buffer.from(hex.replace(/\s/g, ''), 'hex');
  return new Uint32Array(new Uint8Array(bytes).buffer);
}

test('a header has id, command, size of all, flags and error', () => {
  const reply = words('34 12 0a 00  20 00 00 00  21 00 00 00  16 00 00 00');
  assert.is(MessageHeader.id.get(reply, 0), 0x1234);
  assert.is(MessageHeader.command.get(reply, 0), Command.regionWrite);
  assert.is(MessageHeader.size.get(reply, 0), 32);
  const flags = MessageHeader.flags.get(reply, 0);
  assert.is(MessageFlags.type.of(flags), 1);
  assert.is(MessageFlags.noReply.of(flags), 0);
  assert.is(MessageFlags.hasError.of(flags), 1);
  assert.is(MessageHeader.error.get(reply, 0), 22);
  assert.is(MessageFlags.noReply.of(0x10), 1);
});

test('a version is two half words', () => {
  const version = words('00 00 03 00');
  assert.is(VersionMessage.major.get(version, 0), 0);
  assert.is(VersionMessage.minor.get(version, 0), 3);
});

test('a DMA map names flags, file offset, address and size', () => {
  const map = words(`
    20 00 00 00  03 00 00 00  00 00 10 00 00 00 00 00
    00 00 00 00 02 00 00 00   00 00 20 00 00 00 00 00`);
  assert.is(dma.DmaMap.layout.bytes, 32);
  assert.is(dma.DmaMap.argsz.get(map, 0), 32);
  assert.is(dma.DmaMap.isReadable.get(map, 0), 1);
  assert.is(dma.DmaMap.isWritable.get(map, 0), 1);
  assert.is(dma.DmaMap.offset.get(map, 0), 0x10_0000);
  assert.is(dma.DmaMap.address.get(map, 0), 0x2_0000_0000);
  assert.is(dma.DmaMap.length.get(map, 0), 0x20_0000);
});

test('a DMA unmap names address and size behind its flags', () => {
  const unmap = words('18 00 00 00  02 00 00 00  00 10 00 00 01 00 00 00  00 20 00 00 00 00 00 00');
  assert.is(dma.DmaUnmap.layout.bytes, 24);
  assert.is(dma.DmaUnmap.isAll.get(unmap, 0), 1);
  assert.is(dma.DmaUnmap.wantsBitmap.get(unmap, 0), 0);
  assert.is(dma.DmaUnmap.address.get(unmap, 0), 0x1_0000_1000);
  assert.is(dma.DmaUnmap.length.get(unmap, 0), 0x2000);
});

test('DMA by message has two quadwords before its data', () => {
  const read = words('00 10 00 00 01 00 00 00  40 00 00 00 00 00 00 00');
  assert.is(dma.DmaTransfer.address.get(read, 0), 0x1_0000_1000);
  assert.is(dma.DmaTransfer.count.get(read, 0), 64);
});

test('device info says that a PCI device has nine regions and five kinds of interrupts', () => {
  const info = words('10 00 00 00  03 00 00 00  09 00 00 00  05 00 00 00');
  assert.is(device.DeviceInfo.canReset.get(info, 0), 1);
  assert.is(device.DeviceInfo.isPci.get(info, 0), 1);
  assert.is(device.DeviceInfo.regionCount.get(info, 0), 9);
  assert.is(device.DeviceInfo.irqCount.get(info, 0), 5);
});

test('region info leads to a sparse mmap capability with its areas', () => {
  const info = words(`
    40 00 00 00  0f 00 00 00  00 00 00 00  20 00 00 00
    00 40 00 00 00 00 00 00   00 10 00 00 00 00 00 00
    01 00 01 00  00 00 00 00  01 00 00 00  00 00 00 00
    00 10 00 00 00 00 00 00   00 20 00 00 00 00 00 00`);
  assert.is(device.RegionInfo.layout.bytes, 32);
  assert.is(device.RegionInfo.isReadable.get(info, 0), 1);
  assert.is(device.RegionInfo.isWritable.get(info, 0), 1);
  assert.is(device.RegionInfo.isMappable.get(info, 0), 1);
  assert.is(device.RegionInfo.hasCapabilities.get(info, 0), 1);
  assert.is(device.RegionInfo.index.get(info, 0), 0);
  assert.is(device.RegionInfo.capabilityOffset.get(info, 0), 32);
  assert.is(device.RegionInfo.length.get(info, 0), 0x4000);
  assert.is(device.RegionInfo.offset.get(info, 0), 0x1000);
  assert.is(device.CapabilityHeader.id.get(info, 8), device.RegionCapability.sparseMmap);
  assert.is(device.CapabilityHeader.version.get(info, 8), 1);
  assert.is(device.CapabilityHeader.next.get(info, 8), 0);
  assert.is(device.SparseMmap.areaCount.get(info, 8), 1);
  assert.is(device.SparseArea.offset.get(info, 12), 0x1000);
  assert.is(device.SparseArea.length.get(info, 12), 0x2000);
});

test('a sub-region with a descriptor has its index and type in dwords 4 and 5', () => {
  const sub = words(`
    00 10 00 00 00 00 00 00  04 00 00 00 00 00 00 00
    02 00 00 00  01 00 00 00  07 00 00 00  00 00 00 00  0d 00 00 00 00 00 00 00`);
  assert.is(device.SubRegionIoFd.layout.bytes, 40);
  assert.is(device.SubRegionIoFd.offset.get(sub, 0), 0x1000);
  assert.is(device.SubRegionIoFd.length.get(sub, 0), 4);
  assert.is(device.SubRegionIoFd.fdIndex.get(sub, 0), 2);
  assert.is(device.SubRegionIoFd.type.get(sub, 0), device.IoFdType.ioregionfd);
  assert.is(device.SubRegionIoFd.flags.get(sub, 0), 7);
  assert.is(device.SubRegionIoFd.value.get(sub, 0), 13);
});

test('interrupt info has its flags in bits 0 to 3', () => {
  const info = words('10 00 00 00  09 00 00 00  02 00 00 00  41 00 00 00');
  assert.is(IrqInfo.hasEventfd.get(info, 0), 1);
  assert.is(IrqInfo.isMaskable.get(info, 0), 0);
  assert.is(IrqInfo.isAutomasked.get(info, 0), 0);
  assert.is(IrqInfo.cannotResize.get(info, 0), 1);
  assert.is(IrqInfo.index.get(info, 0), 2);
  assert.is(IrqInfo.count.get(info, 0), 65);
});

test('an interrupt set has three kinds of data and three actions', () => {
  const set = words('14 00 00 00  24 00 00 00  02 00 00 00  01 00 00 00  03 00 00 00');
  assert.is(IrqSet.layout.bytes, 20);
  assert.is(IrqSet.hasEventfds.get(set, 0), 1);
  assert.is(IrqSet.trigger.get(set, 0), 1);
  assert.is(IrqSet.index.get(set, 0), 2);
  assert.is(IrqSet.start.get(set, 0), 1);
  assert.is(IrqSet.count.get(set, 0), 3);
  const masks = [0x01, 0x02, 0x04, 0x08, 0x10, 0x20].map((flags) => {
    const one = new Uint32Array([20, flags, 0, 0, 0]);
    const fields = [IrqSet.hasNone, IrqSet.hasBooleans, IrqSet.hasEventfds];
    return [...fields, IrqSet.mask, IrqSet.unmask, IrqSet.trigger].map((f) => f.get(one, 0));
  });
  const identity = [0, 1, 2, 3, 4, 5].map((i) => [0, 1, 2, 3, 4, 5].map((k) => Number(k === i)));
  assert.equal(masks, identity);
});

test('a region access has offset, region and count; multiple writes carry eight bytes each', () => {
  const write = words('14 00 00 00 00 00 00 00  00 00 00 00  04 00 00 00  01 00 46 00 00 00 00 00');
  assert.is(access.RegionAccess.offset.get(write, 0), 0x14);
  assert.is(access.RegionAccess.region.get(write, 0), 0);
  assert.is(access.RegionAccess.count.get(write, 0), 4);
  assert.is(access.RegionWriteItem.layout.bytes, 24);
  assert.equal([...access.RegionWriteItem.data.bytes(write, 0)], [1, 0, 0x46, 0, 0, 0, 0, 0]);
});

test('a feature has its number in the low half word and get, set, probe above it', () => {
  const probe = words('08 00 00 00  02 00 05 00');
  assert.is(feature.DeviceFeature.feature.get(probe, 0), feature.Feature.migrationState);
  assert.is(feature.DeviceFeature.get.get(probe, 0), 1);
  assert.is(feature.DeviceFeature.set.get(probe, 0), 0);
  assert.is(feature.DeviceFeature.probe.get(probe, 0), 1);
});

test('the commands are 1 to 13 and 15 to 18, and each has a least payload', () => {
  const numbers = [...Object.values(Command)];
  assert.equal(numbers, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 16, 17, 18]);
  assert.equal([...leastPayloads.keys()], numbers);
});

test.run();
