import { bits, struct, u32, u64, wide } from '../layout.js';

export const TelemetryLog = struct(
  {
    title: 'Telemetry log header',
    cite: '[NVMe-2.0 §5.16.1.8 Telemetry]',
    bytes: 512,
  },
  {
    lid: bits(0, 7, 0, 'Log Identifier'),
    ieee: bits(4, 31, 8, 'IEEE OUI Identifier'),
    area1: bits(8, 15, 0, 'Telemetry Data Area 1 Last Block'),
    area2: bits(8, 31, 16, 'Telemetry Data Area 2 Last Block'),
    area3: bits(12, 15, 0, 'Telemetry Data Area 3 Last Block'),
    area4: u32(16, 'Telemetry Data Area 4 Last Block'),
    hostGeneration: bits(380, 15, 8, 'Telemetry Host-Initiated Data Generation Number'),
    controllerAvailable: bits(380, 23, 16, 'Telemetry Controller-Initiated Data Available'),
    controllerGeneration: bits(380, 31, 24, 'Telemetry Controller-Initiated Generation Number'),
    reason: wide(384, 128, 'raw', 'Reason Identifier'),
  },
);

/** Telemetry is read in blocks: offset and length are multiples of this many bytes. */
export const telemetryBlockBytes = 512;

export const SanitizeStatus = {
  never: 0,
  completed: 1,
  inProgress: 2,
  failed: 3,
  completedNoDeallocate: 4,
} as const;

/** A time that the controller does not estimate. */
export const noEstimate = 0xffff_ffff;

/** SPROG when no sanitize is running. */
export const sanitizeProgressDone = 0xffff;

/** SPROG counts in parts of this. */
export const sanitizeProgressSpan = 0x1_0000;

export const SanitizeLog = struct(
  {
    title: 'Sanitize Status log',
    cite: '[NVMe-2.0 §5.16.1.25 Sanitize Status]',
    bytes: 512,
  },
  {
    progress: bits(0, 15, 0, 'Sanitize Progress in 65536ths (SPROG)'),
    status: bits(0, 18, 16, 'Most recent sanitize operation (SSTAT)', SanitizeStatus),
    passes: bits(0, 23, 19, 'Completed overwrite passes (SSTAT)'),
    erased: bits(0, 24, 24, 'Global Data Erased (SSTAT)'),
    cdw10: u32(4, 'Sanitize Command Dword 10 Information (SCDW10)'),
    overwriteTime: u32(8, 'Estimated Time For Overwrite in seconds'),
    blockTime: u32(12, 'Estimated Time For Block Erase in seconds'),
    cryptoTime: u32(16, 'Estimated Time For Crypto Erase in seconds'),
    overwriteTimeNoDeallocate: u32(20, 'Overwrite with No-Deallocate Media Modification in s'),
    blockTimeNoDeallocate: u32(24, 'Block Erase with No-Deallocate Media Modification in s'),
    cryptoTimeNoDeallocate: u32(28, 'Crypto Erase with No-Deallocate Media Modification in s'),
  },
);

export const ReservationEvent = {
  empty: 0,
  registrationPreempted: 1,
  reservationReleased: 2,
  reservationPreempted: 3,
} as const;

export const ReservationLog = struct(
  {
    title: 'Reservation Notification log',
    cite: '[NVMe-2.0 §5.16.1.24 Reservation Notification]',
    bytes: 64,
  },
  {
    count: u64(0, 'Log Page Count'),
    type: bits(8, 7, 0, 'Reservation Notification Log Page Type', ReservationEvent),
    available: bits(8, 15, 8, 'Number of Available Log Pages'),
    nsid: u32(12, 'Namespace ID'),
  },
);

export const PersistentEventLog = struct(
  {
    title: 'Persistent Event log header',
    cite: '[NVMe-2.0 §5.16.1.14 Persistent Event]',
    bytes: 512,
  },
  {
    lid: bits(0, 7, 0, 'Log Identifier'),
    events: u32(4, 'Total Number of Events (TNEV)'),
    length: u64(8, 'Total Log Length in bytes (TLL)'),
    revision: bits(16, 7, 0, 'Log Revision'),
    headerLength: bits(16, 31, 16, 'Log Header Length in bytes, from byte 20 on (LHL)'),
    timestamp: u64(20, 'Timestamp'),
    powerOnHours: wide(28, 16, 'count', 'Power on Hours (POH)'),
    powerCycles: u64(44, 'Power Cycle Count'),
    vid: bits(52, 15, 0, 'PCI Vendor ID (VID)'),
    ssvid: bits(52, 31, 16, 'PCI Subsystem Vendor ID (SSVID)'),
    sn: wide(56, 20, 'text', 'Serial Number (SN)'),
    mn: wide(76, 40, 'text', 'Model Number (MN)'),
    subnqn: wide(116, 256, 'text', 'NVM Subsystem NVMe Qualified Name (SUBNQN)'),
    generation: bits(372, 15, 0, 'Generation Number'),
    context: wide(374, 4, 'raw', 'Reporting Context Information'),
    supported: wide(480, 32, 'raw', 'Supported Events Bitmap'),
  },
);

export const PersistentEventType = {
  health: 0x01,
  firmwareCommit: 0x02,
  timestampChange: 0x03,
  powerOnOrReset: 0x04,
  hardwareError: 0x05,
  namespaceChange: 0x06,
  formatStart: 0x07,
  formatCompletion: 0x08,
  sanitizeStart: 0x09,
  sanitizeCompletion: 0x0a,
  setFeature: 0x0b,
  telemetryCreated: 0x0c,
  thermalExcursion: 0x0d,
  vendor: 0xde,
  tcg: 0xdf,
} as const;

export const PersistentEvent = struct(
  {
    title: 'Persistent Event header',
    cite: '[NVMe-2.0 §5.16.1.14.1 Persistent Event format]',
    bytes: 24,
  },
  {
    type: bits(0, 7, 0, 'Event Type', PersistentEventType),
    revision: bits(0, 15, 8, 'Event Type Revision'),
    headerLength: bits(0, 23, 16, 'Event Header Length, from byte 3 on (EHL)'),
    cntlid: bits(4, 15, 0, 'Controller Identifier'),
    timestamp: wide(6, 8, 'count', 'Event Timestamp'),
    vendorLength: bits(20, 15, 0, 'Vendor Specific Information Length (VSIL)'),
    length: bits(20, 31, 16, 'Event Length (EL)'),
  },
);

/** Identifiers of the sets or groups with pending events follow, 16 bits each, ascending. */
export const AggregateLog = struct(
  {
    title: 'Event Aggregate log header',
    cite: '[NVMe-2.0 §5.16.1.12 Event Aggregate]',
    bytes: 8,
  },
  { count: u64(0, 'Number of Entries') },
);
