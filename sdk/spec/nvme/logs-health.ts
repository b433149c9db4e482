import { bits, repeat, struct, u32, u64, wide } from '../layout.js';

/** Fields of a command that an error entry points at: byte and bit [NVMe-2.0 §5.16.1.2 PEL]. */
export const ErrorEntry = struct(
  {
    title: 'Error Information Log Entry',
    cite: '[NVMe-2.0 §5.16.1.2 Error Information]',
    bytes: 64,
  },
  {
    count: u64(0, 'Error Count'),
    sqid: bits(8, 15, 0, 'Submission Queue ID'),
    cid: bits(8, 31, 16, 'Command ID'),
    phase: bits(12, 0, 0, 'Phase Tag of the completion'),
    status: bits(12, 15, 1, 'Status Field'),
    byte: bits(12, 23, 16, 'Byte of the command that is in error'),
    bit: bits(12, 26, 24, 'Bit of the byte that is in error'),
    lba: u64(16, 'LBA'),
    nsid: u32(24, 'Namespace'),
    vsia: bits(28, 7, 0, 'Vendor Specific Information Available'),
    trtype: bits(28, 15, 8, 'Transport Type (TRTYPE)'),
    commandSpecific: u64(32, 'Command Specific Information'),
    transportSpecific: bits(40, 15, 0, 'Transport Type Specific Information'),
  },
);

/** Byte and bit all ones: the error is not about one field of the command. */
export const noParameter = { byte: 0xff, bit: 7 } as const;

/** SQID and CID of an error that belongs to no command. */
export const noCommand = 0xffff;

/** Bits of the critical warning byte [NVMe-2.0 §5.16.1.3 Critical Warning]. */
export const CriticalWarning = {
  spare: 0x01,
  temperature: 0x02,
  reliability: 0x04,
  readOnly: 0x08,
  backup: 0x10,
  persistentMemory: 0x20,
} as const;

export const HealthLog = struct(
  {
    title: 'SMART / Health Information log',
    cite: '[NVMe-2.0 §5.16.1.3 SMART / Health Information]',
    bytes: 512,
  },
  {
    warningSpare: bits(0, 0, 0, 'Available spare is below its threshold (Critical Warning)'),
    warningTemperature: bits(0, 1, 1, 'A temperature is outside its threshold (Critical Warning)'),
    warningReliability: bits(0, 2, 2, 'Reliability is degraded (Critical Warning)'),
    warningReadOnly: bits(0, 3, 3, 'All media is read only (Critical Warning)'),
    warningBackup: bits(0, 4, 4, 'Volatile memory backup has failed (Critical Warning)'),
    warningPersistentMemory: bits(0, 5, 5, 'Persistent memory region (Critical Warning)'),
    temperature: bits(0, 23, 8, 'Composite Temperature in kelvin'),
    spare: bits(0, 31, 24, 'Available Spare in per cent'),
    spareThreshold: bits(4, 7, 0, 'Available Spare Threshold in per cent'),
    used: bits(4, 15, 8, 'Percentage Used'),
    enduranceWarnings: bits(4, 23, 16, 'Endurance Group Critical Warning Summary'),
    dataUnitsRead: wide(32, 16, 'count', 'Data Units Read, thousands of 512 bytes'),
    dataUnitsWritten: wide(48, 16, 'count', 'Data Units Written, thousands of 512 bytes'),
    hostReads: wide(64, 16, 'count', 'Host Read Commands'),
    hostWrites: wide(80, 16, 'count', 'Host Write Commands'),
    busyMinutes: wide(96, 16, 'count', 'Controller Busy Time in minutes'),
    powerCycles: wide(112, 16, 'count', 'Power Cycles'),
    powerOnHours: wide(128, 16, 'count', 'Power On Hours'),
    unsafeShutdowns: wide(144, 16, 'count', 'Unsafe Shutdowns'),
    mediaErrors: wide(160, 16, 'count', 'Media and Data Integrity Errors'),
    errorEntries: wide(176, 16, 'count', 'Number of Error Information Log Entries'),
    warningMinutes: u32(192, 'Warning Composite Temperature Time in minutes'),
    criticalMinutes: u32(196, 'Critical Composite Temperature Time in minutes'),
    sensor1: bits(200, 15, 0, 'Temperature Sensor 1 in kelvin'),
    sensor2: bits(200, 31, 16, 'Temperature Sensor 2 in kelvin'),
    sensor3: bits(204, 15, 0, 'Temperature Sensor 3 in kelvin'),
    sensor4: bits(204, 31, 16, 'Temperature Sensor 4 in kelvin'),
    sensor5: bits(208, 15, 0, 'Temperature Sensor 5 in kelvin'),
    sensor6: bits(208, 31, 16, 'Temperature Sensor 6 in kelvin'),
    sensor7: bits(212, 15, 0, 'Temperature Sensor 7 in kelvin'),
    sensor8: bits(212, 31, 16, 'Temperature Sensor 8 in kelvin'),
    thermal1Count: u32(216, 'Thermal Management Temperature 1 Transition Count'),
    thermal2Count: u32(220, 'Thermal Management Temperature 2 Transition Count'),
    thermal1Seconds: u32(224, 'Total Time For Thermal Management Temperature 1 in seconds'),
    thermal2Seconds: u32(228, 'Total Time For Thermal Management Temperature 2 in seconds'),
  },
);

/** What one data unit stands for [NVMe-2.0 §5.16.1.3 Data Units Read]. */
export const dataUnitBytes = 512_000;

/** Code of the self-test that runs; 0 is none. The command's own codes are in admin-command. */
export const RunningSelfTest = { none: 0, short: 1, extended: 2, vendor: 14 } as const;

export const SelfTestOutcome = {
  passed: 0,
  aborted: 1,
  abortedByReset: 2,
  abortedByNamespace: 3,
  abortedByFormat: 4,
  fatal: 5,
  failedUnknown: 6,
  failed: 7,
  abortedUnknown: 8,
  abortedBySanitize: 9,
  unused: 15,
} as const;

export const SelfTestResult = struct(
  {
    title: 'Self-test Result',
    cite: '[NVMe-2.0 §5.16.1.7 Self-test Result]',
    bytes: 28,
  },
  {
    outcome: bits(0, 3, 0, 'Result of the self-test (Device Self-test Status)', SelfTestOutcome),
    code: bits(0, 7, 4, 'Self-test Code (Device Self-test Status)', RunningSelfTest),
    segment: bits(0, 15, 8, 'Segment Number'),
    nsidValid: bits(0, 16, 16, 'NSID is valid (Valid Diagnostic Information)'),
    lbaValid: bits(0, 17, 17, 'Failing LBA is valid (Valid Diagnostic Information)'),
    sctValid: bits(0, 18, 18, 'Status Code Type is valid (Valid Diagnostic Information)'),
    scValid: bits(0, 19, 19, 'Status Code is valid (Valid Diagnostic Information)'),
    powerOnHours: u64(4, 'Power On Hours (POH)'),
    nsid: u32(12, 'Namespace Identifier'),
    failingLba: u64(16, 'Failing LBA'),
    sct: bits(24, 2, 0, 'Status Code Type'),
    sc: bits(24, 15, 8, 'Status Code'),
    vs: bits(24, 31, 16, 'Vendor Specific'),
  },
);

export const selfTestResultMaximum = 20;

export const SelfTestLog = struct(
  { title: 'Device Self-test log', cite: '[NVMe-2.0 §5.16.1.7 Device Self-test]', bytes: 564 },
  {
    running: bits(0, 3, 0, 'Current Device Self-Test Operation', RunningSelfTest),
    percent: bits(0, 14, 8, 'Current Device Self-Test Completion in per cent'),
    results: repeat(4, 20, SelfTestResult, 'Self-test Results, newest first'),
  },
);

export const EnduranceGroupLog = struct(
  {
    title: 'Endurance Group Information log',
    cite: '[NVMe-2.0 §5.16.1.10 Endurance Group Information]',
    bytes: 512,
  },
  {
    warningSpare: bits(0, 0, 0, 'Available spare is below its threshold (Critical Warning)'),
    warningReliability: bits(0, 2, 2, 'Reliability is degraded (Critical Warning)'),
    warningReadOnly: bits(0, 3, 3, 'All namespaces are read only (Critical Warning)'),
    spare: bits(0, 31, 24, 'Available Spare in per cent'),
    spareThreshold: bits(4, 7, 0, 'Available Spare Threshold in per cent'),
    used: bits(4, 15, 8, 'Percentage Used'),
    domainId: bits(4, 31, 16, 'Domain Identifier'),
    estimate: wide(32, 16, 'count', 'Endurance Estimate in billions of bytes'),
    dataUnitsRead: wide(48, 16, 'count', 'Data Units Read in billions of bytes'),
    dataUnitsWritten: wide(64, 16, 'count', 'Data Units Written in billions of bytes'),
    mediaUnitsWritten: wide(80, 16, 'count', 'Media Units Written in billions of bytes'),
    hostReads: wide(96, 16, 'count', 'Host Read Commands'),
    hostWrites: wide(112, 16, 'count', 'Host Write Commands'),
    mediaErrors: wide(128, 16, 'count', 'Media and Data Integrity Errors'),
    errorEntries: wide(144, 16, 'count', 'Number of Error Information Log Entries'),
    total: wide(160, 16, 'count', 'Total Endurance Group Capacity in bytes (TEGCAP)'),
    unallocated: wide(176, 16, 'count', 'Unallocated Endurance Group Capacity (UEGCAP)'),
  },
);

export const PredictableLatencyLog = struct(
  {
    title: 'Predictable Latency Per NVM Set log',
    cite: '[NVMe-2.0 §5.16.1.11 Predictable Latency Per NVM Set]',
    bytes: 512,
  },
  {
    window: bits(0, 2, 0, 'Window of the NVM set (Status)', { off: 0, dtwin: 1, ndwin: 2 }),
    events: bits(0, 31, 16, 'Event Type'),
    dtwinReadsTypical: u64(32, 'DTWIN Reads Typical'),
    dtwinWritesTypical: u64(40, 'DTWIN Writes Typical'),
    dtwinTimeMaximum: u64(48, 'DTWIN Time Maximum in milliseconds'),
    ndwinTimeHigh: u64(56, 'NDWIN Time Minimum High in milliseconds'),
    ndwinTimeLow: u64(64, 'NDWIN Time Minimum Low in milliseconds'),
    dtwinReadsEstimate: u64(128, 'DTWIN Reads Estimate'),
    dtwinWritesEstimate: u64(136, 'DTWIN Writes Estimate'),
    dtwinTimeEstimate: u64(144, 'DTWIN Time Estimate in milliseconds'),
  },
);
