import {
  CapabilityHeader,
  DeviceInfo,
  RegionCapability,
  RegionInfo,
  RegionIoFds,
  regionCount,
  SparseArea,
  SparseMmap,
} from '../../sdk/spec/vfio-user/device.js';
import { Errno } from '../../sdk/spec/vfio-user/header.js';
import { Irq, IrqInfo, IrqSet, irqCount } from '../../sdk/spec/vfio-user/interrupt.js';
import { type Answer, bytesOf, done, echoOf, type Handler, type Place } from './answers.js';
import type { Message } from './message-stream.js';
import type { IrqRequest } from './peer-interrupts.js';
import type { MappableArea } from './served-function.js';

/** [vfio-user §VFIO_USER_DEVICE_GET_INFO] */
export const getInfo: Handler = (message) => {
  const words = echoOf(message, DeviceInfo);
  if (DeviceInfo.argsz.get(words, 0) < DeviceInfo.layout.bytes) return Errno.EINVAL;
  words.fill(0);
  DeviceInfo.argsz.set(words, 0, DeviceInfo.layout.bytes);
  DeviceInfo.canReset.set(words, 0, 1);
  DeviceInfo.isPci.set(words, 0, 1);
  DeviceInfo.regionCount.set(words, 0, regionCount);
  DeviceInfo.irqCount.set(words, 0, irqCount);
  return { payload: bytesOf(words) };
};

/** [vfio-user §VFIO_USER_DEVICE_GET_REGION_INFO] */
export const getRegionInfo: Handler = (message, place) => {
  const asked = RegionInfo.argsz.get(message.words, 0);
  const index = RegionInfo.index.get(message.words, 0);
  if (asked < RegionInfo.layout.bytes || index >= regionCount) return Errno.EINVAL;
  const length = place.served.regions.lengthOf(index);
  const { area } = place.served;
  const isMappable = index === area.region && place.peerMessageFds > 0;
  const full = RegionInfo.layout.bytes + (isMappable ? sparseBytes : 0);
  const isWhole = asked >= full;
  const words = new Uint32Array((isWhole ? full : RegionInfo.layout.bytes) / 4);
  RegionInfo.argsz.set(words, 0, full);
  RegionInfo.isReadable.set(words, 0, length > 0 ? 1 : 0);
  RegionInfo.isWritable.set(words, 0, length > 0 ? 1 : 0);
  RegionInfo.index.set(words, 0, index);
  RegionInfo.length.set(words, 0, length);
  if (!isMappable) return { payload: bytesOf(words) };
  RegionInfo.isMappable.set(words, 0, 1);
  RegionInfo.hasCapabilities.set(words, 0, 1);
  // A peer that asked for too little sees in argsz how much to ask for; QEMU wants the offset then,
  // too.
  RegionInfo.capabilityOffset.set(words, 0, RegionInfo.layout.bytes);
  if (isWhole) addSparseArea(words, area);
  return { payload: bytesOf(words), fds: [area.memory.fd] };
};

const sparseBytes = SparseMmap.layout.bytes + SparseArea.layout.bytes;

function addSparseArea(words: Uint32Array, area: MappableArea): void {
  const at = RegionInfo.layout.bytes / 4;
  CapabilityHeader.id.set(words, at, RegionCapability.sparseMmap);
  CapabilityHeader.version.set(words, at, 1);
  SparseMmap.areaCount.set(words, at, 1);
  const areaAt = at + SparseMmap.layout.bytes / 4;
  SparseArea.offset.set(words, areaAt, area.offset);
  SparseArea.length.set(words, areaAt, area.length);
}

/** No part of a region has a descriptor of its own: doorbells are mapped instead. */
export const getRegionIoFds: Handler = (message) => {
  const words = echoOf(message, RegionIoFds);
  const isWrong = RegionIoFds.flags.get(words, 0) !== 0 || RegionIoFds.count.get(words, 0) !== 0;
  if (isWrong || RegionIoFds.argsz.get(words, 0) < RegionIoFds.layout.bytes) return Errno.EINVAL;
  if (RegionIoFds.index.get(words, 0) >= regionCount) return Errno.EINVAL;
  RegionIoFds.argsz.set(words, 0, RegionIoFds.layout.bytes);
  return { payload: bytesOf(words) };
};

/** [vfio-user §VFIO_USER_DEVICE_GET_IRQ_INFO] */
export const getIrqInfo: Handler = (message, place) => {
  const asked = IrqInfo.argsz.get(message.words, 0);
  const index = IrqInfo.index.get(message.words, 0);
  if (asked < IrqInfo.layout.bytes || index >= irqCount) return Errno.EINVAL;
  const count = place.served.interrupts.countOf(index);
  const words = new Uint32Array(IrqInfo.layout.bytes / 4);
  IrqInfo.argsz.set(words, 0, IrqInfo.layout.bytes);
  IrqInfo.index.set(words, 0, index);
  IrqInfo.count.set(words, 0, count);
  IrqInfo.hasEventfd.set(words, 0, count > 0 ? 1 : 0);
  IrqInfo.isMaskable.set(words, 0, count > 0 ? 1 : 0);
  IrqInfo.isAutomasked.set(words, 0, index === Irq.intx ? 1 : 0);
  return { payload: bytesOf(words) };
};

/** [vfio-user §VFIO_USER_DEVICE_SET_IRQS] */
export const setIrqs: Handler = (message, place) => {
  const request = irqRequestOf(message);
  if (request === null) return Errno.EINVAL;
  const { interrupts } = place.served;
  const errno = interrupts.apply(request);
  if (errno !== 0) return errno;
  if (request.index === Irq.msix) place.served.followInterrupts();
  return { ...done, keepsFds: request.eventfds !== null };
};

/** @returns null when flags, lengths and descriptors do not fit together */
function irqRequestOf(message: Message): IrqRequest | null {
  const { words, payload, fds } = message;
  const count = IrqSet.count.get(words, 0);
  const kinds = [IrqSet.hasNone, IrqSet.hasBooleans, IrqSet.hasEventfds].map((f) =>
    f.get(words, 0),
  );
  const actions = [IrqSet.mask, IrqSet.unmask, IrqSet.trigger].map((f) => f.get(words, 0));
  if (!isOneOf(kinds) || !isOneOf(actions)) return null;
  const [, hasBooleans, hasEventfds] = kinds;
  const data = hasBooleans === 1 ? count : 0;
  const bytes = IrqSet.layout.bytes + data;
  if (IrqSet.argsz.get(words, 0) < bytes || payload.length < bytes) return null;
  if (hasEventfds !== 1 && fds.length > 0) return null;
  return {
    index: IrqSet.index.get(words, 0),
    start: IrqSet.start.get(words, 0),
    count,
    action: actions[0] === 1 ? 'mask' : actions[1] === 1 ? 'unmask' : 'trigger',
    booleans: hasBooleans === 1 ? payload.subarray(IrqSet.layout.bytes, bytes) : null,
    eventfds: hasEventfds === 1 ? fds : null,
  };
}

function isOneOf(flags: readonly number[]): boolean {
  return flags.reduce((sum, flag) => sum + flag, 0) === 1;
}

/** [vfio-user §VFIO_USER_DEVICE_RESET] */
export function reset(_message: Message, place: Place): Answer {
  place.served.reset();
  place.served.migration.reset();
  return done;
}
