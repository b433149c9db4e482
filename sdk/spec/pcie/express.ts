import { bits, struct } from '../layout.js';

/** Payload and read request sizes are powers of two from 128 bytes. */
const sizes = {
  bytes128: 0,
  bytes256: 1,
  bytes512: 2,
  bytes1024: 3,
  bytes2048: 4,
  bytes4096: 5,
} as const;

/** 128, 256 .. 4096 bytes as the fields of Device Control hold it. */
export function encodeTransferBytes(bytes: number): number {
  return Math.log2(bytes) - 7;
}

export function decodeTransferBytes(field: number): number {
  return 2 ** (field + 7);
}

/** [PCIe-4.0 §7.5.3 PCI Express Capability Structure], version 2, as endpoints have it */
export const Express = struct(
  { title: 'PCI Express Capability', cite: 'PCIe-4.0 §7.5.3', bytes: 60 },
  {
    capabilityId: bits(0x00, 7, 0, 'Capability ID'),
    nextPointer: bits(0x00, 15, 8, 'Next Capability Pointer'),
    version: bits(0x00, 19, 16, 'Capability Version'),
    portType: bits(0x00, 23, 20, 'Device/Port Type', { endpoint: 0, legacyEndpoint: 1 }),
    slotImplemented: bits(0x00, 24, 24, 'Slot Implemented'),
    interruptMessage: bits(0x00, 29, 25, 'Interrupt Message Number'),

    payloadSupported: bits(0x04, 2, 0, 'DevCap: Max_Payload_Size Supported', sizes),
    phantomFunctions: bits(0x04, 4, 3, 'DevCap: Phantom Functions Supported'),
    extendedTagSupported: bits(0x04, 5, 5, 'DevCap: Extended Tag Field Supported'),
    l0sLatency: bits(0x04, 8, 6, 'DevCap: Endpoint L0s Acceptable Latency'),
    l1Latency: bits(0x04, 11, 9, 'DevCap: Endpoint L1 Acceptable Latency'),
    roleBasedErrors: bits(0x04, 15, 15, 'DevCap: Role-Based Error Reporting'),
    slotPowerValue: bits(0x04, 25, 18, 'DevCap: Captured Slot Power Limit Value'),
    slotPowerScale: bits(0x04, 27, 26, 'DevCap: Captured Slot Power Limit Scale'),
    functionResetCapable: bits(0x04, 28, 28, 'DevCap: Function Level Reset Capability'),

    correctableEnable: bits(0x08, 0, 0, 'DevCtl: Correctable Error Reporting Enable'),
    nonFatalEnable: bits(0x08, 1, 1, 'DevCtl: Non-Fatal Error Reporting Enable'),
    fatalEnable: bits(0x08, 2, 2, 'DevCtl: Fatal Error Reporting Enable'),
    unsupportedEnable: bits(0x08, 3, 3, 'DevCtl: Unsupported Request Reporting Enable'),
    relaxedOrdering: bits(0x08, 4, 4, 'DevCtl: Enable Relaxed Ordering'),
    payload: bits(0x08, 7, 5, 'DevCtl: Max_Payload_Size', sizes),
    extendedTag: bits(0x08, 8, 8, 'DevCtl: Extended Tag Field Enable'),
    phantomEnable: bits(0x08, 9, 9, 'DevCtl: Phantom Functions Enable'),
    auxPowerEnable: bits(0x08, 10, 10, 'DevCtl: Aux Power PM Enable'),
    noSnoop: bits(0x08, 11, 11, 'DevCtl: Enable No Snoop'),
    readRequest: bits(0x08, 14, 12, 'DevCtl: Max_Read_Request_Size', sizes),
    initiateFunctionReset: bits(0x08, 15, 15, 'DevCtl: Initiate Function Level Reset'),
    correctableDetected: bits(0x08, 16, 16, 'DevSta: Correctable Error Detected'),
    nonFatalDetected: bits(0x08, 17, 17, 'DevSta: Non-Fatal Error Detected'),
    fatalDetected: bits(0x08, 18, 18, 'DevSta: Fatal Error Detected'),
    unsupportedDetected: bits(0x08, 19, 19, 'DevSta: Unsupported Request Detected'),
    auxPowerDetected: bits(0x08, 20, 20, 'DevSta: AUX Power Detected'),
    transactionsPending: bits(0x08, 21, 21, 'DevSta: Transactions Pending'),

    maxLinkSpeed: bits(0x0c, 3, 0, 'LnkCap: Max Link Speed'),
    maxLinkWidth: bits(0x0c, 9, 4, 'LnkCap: Maximum Link Width'),
    aspmSupport: bits(0x0c, 11, 10, 'LnkCap: Active State Power Management Support'),
    l0sExitLatency: bits(0x0c, 14, 12, 'LnkCap: L0s Exit Latency'),
    l1ExitLatency: bits(0x0c, 17, 15, 'LnkCap: L1 Exit Latency'),
    clockPowerManagement: bits(0x0c, 18, 18, 'LnkCap: Clock Power Management'),
    portNumber: bits(0x0c, 31, 24, 'LnkCap: Port Number'),

    aspmControl: bits(0x10, 1, 0, 'LnkCtl: Active State Power Management Control'),
    readCompletionBoundary: bits(0x10, 3, 3, 'LnkCtl: Read Completion Boundary'),
    commonClock: bits(0x10, 6, 6, 'LnkCtl: Common Clock Configuration'),
    extendedSynch: bits(0x10, 7, 7, 'LnkCtl: Extended Synch'),
    clockPowerEnable: bits(0x10, 8, 8, 'LnkCtl: Enable Clock Power Management'),
    linkSpeed: bits(0x10, 19, 16, 'LnkSta: Current Link Speed'),
    linkWidth: bits(0x10, 25, 20, 'LnkSta: Negotiated Link Width'),
    slotClock: bits(0x10, 28, 28, 'LnkSta: Slot Clock Configuration'),

    completionTimeoutRanges: bits(0x24, 3, 0, 'DevCap2: Completion Timeout Ranges Supported'),
    completionTimeoutDisableSupported: bits(
      0x24,
      4,
      4,
      'DevCap2: Completion Timeout Disable Supported',
    ),
    completionTimeout: bits(0x28, 3, 0, 'DevCtl2: Completion Timeout Value'),
    completionTimeoutDisable: bits(0x28, 4, 4, 'DevCtl2: Completion Timeout Disable'),
    supportedSpeeds: bits(0x2c, 7, 1, 'LnkCap2: Supported Link Speeds Vector'),
    targetSpeed: bits(0x30, 3, 0, 'LnkCtl2: Target Link Speed'),
  },
);

/** Nanoseconds per bytes on one lane: line rate and line code of generation 1.. [PCIe-4.0 §4.2]. */
export const laneRates = [
  { ns: 4, bytes: 1 }, // 2.5 GT/s, 8b/10b
  { ns: 2, bytes: 1 }, // 5 GT/s, 8b/10b
  { ns: 130, bytes: 128 }, // 8 GT/s, 128b/130b
  { ns: 65, bytes: 128 }, // 16 GT/s, 128b/130b
  { ns: 65, bytes: 256 }, // 32 GT/s, 128b/130b
] as const;

/** A completion has a three-dword header where a 64-bit request has four [PCIe-4.0 §2.2.1]. */
export const completionHeaderSaving = 4;

/** What software waits after a function-level or a conventional reset [PCIe-4.0 §6.6]. */
export const resetSettleNs = 100_000_000;
