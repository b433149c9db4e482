import { bits, struct, u32 } from '../layout.js';

/** Bytes of configuration space, and of the part that PCI-compatible access reaches. */
export const configBytes = 4096;
export const compatibleConfigBytes = 256;
/** BARs of a type 0 header. */
export const barCount = 6;

/** Type 0 header: an endpoint [PCIe-4.0 §7.5.1 Type 0/1 Common Configuration Space]. */
export const Header = struct(
  { title: 'Type 0 Configuration Space Header', cite: 'PCIe-4.0 §7.5.1.2', bytes: 64 },
  {
    vendorId: bits(0x00, 15, 0, 'Vendor ID'),
    deviceId: bits(0x00, 31, 16, 'Device ID'),
    ioSpaceEnable: bits(0x04, 0, 0, 'Command: I/O Space Enable'),
    memorySpaceEnable: bits(0x04, 1, 1, 'Command: Memory Space Enable'),
    busMasterEnable: bits(0x04, 2, 2, 'Command: Bus Master Enable'),
    parityErrorResponse: bits(0x04, 6, 6, 'Command: Parity Error Response'),
    serrEnable: bits(0x04, 8, 8, 'Command: SERR# Enable'),
    interruptDisable: bits(0x04, 10, 10, 'Command: Interrupt Disable'),
    immediateReadiness: bits(0x04, 16, 16, 'Status: Immediate Readiness'),
    interruptStatus: bits(0x04, 19, 19, 'Status: Interrupt Status'),
    capabilitiesList: bits(0x04, 20, 20, 'Status: Capabilities List'),
    masterDataParityError: bits(0x04, 24, 24, 'Status: Master Data Parity Error'),
    signaledTargetAbort: bits(0x04, 27, 27, 'Status: Signaled Target Abort'),
    receivedTargetAbort: bits(0x04, 28, 28, 'Status: Received Target Abort'),
    receivedMasterAbort: bits(0x04, 29, 29, 'Status: Received Master Abort'),
    signaledSystemError: bits(0x04, 30, 30, 'Status: Signaled System Error'),
    detectedParityError: bits(0x04, 31, 31, 'Status: Detected Parity Error'),
    revisionId: bits(0x08, 7, 0, 'Revision ID'),
    programmingInterface: bits(0x08, 15, 8, 'Class Code: Programming Interface'),
    subClass: bits(0x08, 23, 16, 'Class Code: Sub-Class'),
    baseClass: bits(0x08, 31, 24, 'Class Code: Base Class'),
    cacheLineSize: bits(0x0c, 7, 0, 'Cache Line Size'),
    latencyTimer: bits(0x0c, 15, 8, 'Latency Timer'),
    headerLayout: bits(0x0c, 22, 16, 'Header Type: Header Layout'),
    multiFunction: bits(0x0c, 23, 23, 'Header Type: Multi-Function Device'),
    bist: bits(0x0c, 31, 24, 'Built-in Self Test'),
    bar0: u32(0x10, 'Base Address Register 0'),
    bar1: u32(0x14, 'Base Address Register 1'),
    bar2: u32(0x18, 'Base Address Register 2'),
    bar3: u32(0x1c, 'Base Address Register 3'),
    bar4: u32(0x20, 'Base Address Register 4'),
    bar5: u32(0x24, 'Base Address Register 5'),
    cardbusCis: u32(0x28, 'Cardbus CIS Pointer'),
    subsystemVendorId: bits(0x2c, 15, 0, 'Subsystem Vendor ID'),
    subsystemId: bits(0x2c, 31, 16, 'Subsystem ID'),
    expansionRom: u32(0x30, 'Expansion ROM Base Address'),
    capabilitiesPointer: bits(0x34, 7, 0, 'Capabilities Pointer'),
    interruptLine: bits(0x3c, 7, 0, 'Interrupt Line'),
    interruptPin: bits(0x3c, 15, 8, 'Interrupt Pin'),
    minGrant: bits(0x3c, 23, 16, 'Min_Gnt'),
    maxLatency: bits(0x3c, 31, 24, 'Max_Lat'),
  },
);

/** Class code of an NVM Express I/O controller [NVMe-PCIe-1.0 §? CC]. */
export const NvmeClass = { baseClass: 0x01, subClass: 0x08, programmingInterface: 0x02 } as const;

/** The low bits of a memory BAR [PCIe-4.0 §7.5.1.2.1 Base Address Registers]. */
export const MemoryBar = struct(
  { title: 'Base Address Register for Memory', cite: 'PCIe-4.0 §7.5.1.2.1', bytes: 4 },
  {
    space: bits(0x00, 0, 0, 'Memory Space Indicator (0 memory, 1 I/O)'),
    type: bits(0x00, 2, 1, 'Type', { bits32: 0, bits64: 2 }),
    isPrefetchable: bits(0x00, 3, 3, 'Prefetchable'),
    /** In units of 16 bytes; the bits that the size of the window covers read as 0. */
    address: bits(0x00, 31, 4, 'Base Address'),
  },
);

/**
 * The dwords of a 64-bit memory BAR that can hold any address aligned to the window's size, as
 * masks
 * of the bits that software can write. The others read as 0: that is how a size is found.
 */
export function barWriteMask(bytes: number): { readonly low: number; readonly high: number } {
  const span = 0x1_0000_0000;
  const low = bytes >= span ? 0 : -bytes >>> 0;
  const high = bytes > span ? -(bytes / span) >>> 0 : 0xffff_ffff;
  return { low, high };
}

/** Window size in bytes from a BAR read back after all-ones; `high` is 0 without a 64-bit BAR. */
export function barSize(low: number, high: number): number {
  const address = MemoryBar.address.put(0, MemoryBar.address.of(low));
  if (address !== 0) return 0x1_0000_0000 - address;
  return high === 0 ? 0 : (0x1_0000_0000 - high) * 0x1_0000_0000;
}

/** Every capability of the PCI-compatible space starts with this [PCIe-4.0 §7.5.3.1]. */
export const CapabilityHeader = struct(
  { title: 'Capability List Register', cite: 'PCIe-4.0 §7.5.3.1', bytes: 4 },
  {
    capabilityId: bits(0x00, 7, 0, 'Capability ID'),
    nextPointer: bits(0x00, 15, 8, 'Next Capability Pointer'),
  },
);

/** Every extended capability starts with this [PCIe-4.0 §7.6.3]. */
export const ExtendedCapabilityHeader = struct(
  { title: 'PCI Express Extended Capability Header', cite: 'PCIe-4.0 §7.6.3', bytes: 4 },
  {
    capabilityId: bits(0x00, 15, 0, 'PCI Express Extended Capability ID'),
    version: bits(0x00, 19, 16, 'Capability Version'),
    nextOffset: bits(0x00, 31, 20, 'Next Capability Offset'),
  },
);

/** Where the list of extended capabilities begins. */
export const firstExtendedCapability = 0x100;

export const CapabilityId = {
  powerManagement: 0x01,
  msi: 0x05,
  vendorSpecific: 0x09,
  pciExpress: 0x10,
  msix: 0x11,
} as const;

export const ExtendedCapabilityId = {
  advancedErrorReporting: 0x0001,
  virtualChannel: 0x0002,
  deviceSerialNumber: 0x0003,
  alternativeRoutingId: 0x000e,
  singleRootIoVirtualization: 0x0010,
} as const;
