import type { PciFunction } from '../device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { allOnes } from '../spec/nvme/registers.js';
import {
  CapabilityHeader,
  CapabilityId,
  compatibleConfigBytes,
  Header,
  NvmeClass,
} from '../spec/pcie/header.js';
import { removed } from './registers.js';

/** What configuration space says about a function. */
export interface PciIdentity {
  readonly vendor: number;
  readonly device: number;
  readonly subsystemVendor: number;
  readonly subsystem: number;
  readonly revision: number;
  /** Offsets of the capabilities of the first 256 bytes by identifier. */
  readonly capabilities: ReadonlyMap<number, number>;
  readonly hasMsix: boolean;
}

/** More capabilities than fit in the space without overlap: the list runs in a circle. */
const mostCapabilities = (compatibleConfigBytes - Header.layout.bytes) / 4;

/**
 * Read who the function is, and make sure that it is an NVM Express I/O controller.
 *
 * @throws UltimaError DEVICE_REMOVED, DEVICE_UNSUPPORTED
 */
export function probe(fn: PciFunction): PciIdentity {
  const words = new Uint32Array(Header.layout.bytes / 4);
  for (let i = 0; i < words.length; i++) words[i] = fn.config.read32(i * 4);
  if (words[0] === allOnes) throw removed(fn, 'reading configuration space');
  const found = {
    baseClass: Header.baseClass.get(words, 0),
    subClass: Header.subClass.get(words, 0),
    programmingInterface: Header.programmingInterface.get(words, 0),
  };
  if (
    found.baseClass !== NvmeClass.baseClass ||
    found.subClass !== NvmeClass.subClass ||
    found.programmingInterface !== NvmeClass.programmingInterface
  ) {
    throw new UltimaError(
      ErrorCode.deviceUnsupported,
      `${fn.address} is not an NVM Express I/O controller (its class code says so)`,
      { address: fn.address, ...found },
    );
  }
  const capabilities = walk(fn, words);
  return {
    vendor: Header.vendorId.get(words, 0),
    device: Header.deviceId.get(words, 0),
    subsystemVendor: Header.subsystemVendorId.get(words, 0),
    subsystem: Header.subsystemId.get(words, 0),
    revision: Header.revisionId.get(words, 0),
    capabilities,
    hasMsix: capabilities.has(CapabilityId.msix),
  };
}

function walk(fn: PciFunction, header: Uint32Array): Map<number, number> {
  const found = new Map<number, number>();
  if (Header.capabilitiesList.get(header, 0) === 0) return found;
  let offset = Header.capabilitiesPointer.get(header, 0);
  for (let count = 0; offset >= Header.layout.bytes; count++) {
    if (count > mostCapabilities) throw circular(fn);
    // The two low bits of a pointer are reserved [PCIe-4.0 §7.5.1.1.11].
    offset -= offset % 4;
    const dword = fn.config.read32(offset);
    if (dword === allOnes) throw removed(fn, 'walking the capability list');
    found.set(CapabilityHeader.capabilityId.of(dword), offset);
    offset = CapabilityHeader.nextPointer.of(dword);
  }
  return found;
}

function circular(fn: PciFunction): UltimaError {
  return new UltimaError(
    ErrorCode.deviceMisbehaved,
    `${fn.address}: the list of PCI capabilities has no end`,
    { address: fn.address },
  );
}

/** Let the function answer memory accesses; legacy interrupts stay off. */
export function enableMemory(fn: PciFunction): void {
  let command = commandOf(fn);
  command = Header.memorySpaceEnable.put(command, 1);
  command = Header.interruptDisable.put(command, 1);
  fn.config.write16(commandOffset, command % statusSpan);
}

/** Let the function reach memory, or keep it from it. */
export function setBusMaster(fn: PciFunction, isOn: boolean): void {
  const command = Header.busMasterEnable.put(commandOf(fn), isOn ? 1 : 0);
  fn.config.write16(commandOffset, command % statusSpan);
}

export function isBusMaster(fn: PciFunction): boolean {
  return Header.busMasterEnable.of(commandOf(fn)) === 1;
}

const commandOffset = Header.busMasterEnable.dword * 4;

/** Command and Status share a dword; the status half is cleared by ones and is left alone. */
const statusSpan = 2 ** 16;

function commandOf(fn: PciFunction): number {
  return fn.config.read16(commandOffset);
}
