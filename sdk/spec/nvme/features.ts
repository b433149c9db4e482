import { bits, count0, repeat, struct, u32, u64, wide } from '../layout.js';

/** FID: feature identifiers of the base and of the NVM command set [NVMe-2.0 §5.27.1 FID]. */
export const Feature = {
  arbitration: 0x01,
  powerManagement: 0x02,
  lbaRangeType: 0x03,
  temperatureThreshold: 0x04,
  errorRecovery: 0x05,
  volatileWriteCache: 0x06,
  numberOfQueues: 0x07,
  interruptCoalescing: 0x08,
  interruptVector: 0x09,
  writeAtomicity: 0x0a,
  asynchronousEvents: 0x0b,
  autonomousPowerState: 0x0c,
  hostMemoryBuffer: 0x0d,
  timestamp: 0x0e,
  keepAlive: 0x0f,
  hostThermal: 0x10,
  nonOperationalPower: 0x11,
  readRecovery: 0x12,
  predictableLatency: 0x13,
  predictableLatencyWindow: 0x14,
  lbaStatusAttributes: 0x15,
  hostBehavior: 0x16,
  sanitizeConfig: 0x17,
  enduranceEvents: 0x18,
  commandSetProfile: 0x19,
  spinup: 0x1a,
  enhancedControllerMetadata: 0x7d,
  controllerMetadata: 0x7e,
  namespaceMetadata: 0x7f,
  softwareProgress: 0x80,
  hostIdentifier: 0x81,
  reservationNotification: 0x82,
  reservationPersistence: 0x83,
  writeProtect: 0x84,
} as const;

const word = (title: string, mnemonic: string) => ({
  title,
  cite: `[NVMe-2.0 §5.27.1 ${mnemonic}]`,
  bytes: 4,
});

/** AB: the burst that stands for no limit. */
export const burstUnlimited = 7;

export const ArbitrationFeature = struct(word('Arbitration', 'Arbitration'), {
  ab: bits(0, 2, 0, 'Arbitration Burst, power of two, 7 no limit (AB)'),
  lpw: count0(0, 15, 8, 'Low Priority Weight (LPW)'),
  mpw: count0(0, 23, 16, 'Medium Priority Weight (MPW)'),
  hpw: count0(0, 31, 24, 'High Priority Weight (HPW)'),
});

export const PowerManagementFeature = struct(word('Power Management', 'Power Management'), {
  ps: bits(0, 4, 0, 'Power State (PS)'),
  wh: bits(0, 7, 5, 'Workload Hint (WH)'),
});

export const LbaRangeFeature = struct(
  { title: 'LBA Range Type', cite: '[NVM-1.0 §4.1.3.1 LBA Range Type]', bytes: 4 },
  { num: count0(0, 5, 0, 'Number of LBA Ranges (NUM)') },
);

export const LbaRange = struct(
  { title: 'LBA Range Type entry', cite: '[NVM-1.0 §4.1.3.1 LBA Range Type]', bytes: 64 },
  {
    type: bits(0, 7, 0, 'Type', { general: 0, fileSystem: 1, raid: 2, cache: 3, swap: 4 }),
    overwriteable: bits(0, 8, 8, 'May be overwritten (Attributes)'),
    hidden: bits(0, 9, 9, 'Hidden from the operating system (Attributes)'),
    slba: u64(16, 'Starting LBA (SLBA)'),
    nlb: u64(24, "Number of Logical Blocks, 0's based (NLB)"),
    guid: wide(32, 16, 'id', 'Unique Identifier (GUID)'),
  },
);

export const lbaRangeMaximum = 64;

export const ThresholdSelect = { composite: 0, sensor8: 8, all: 15 } as const;
export const ThresholdType = { over: 0, under: 1 } as const;

export const TemperatureFeature = struct(word('Temperature Threshold', 'Temperature Threshold'), {
  tmpth: bits(0, 15, 0, 'Temperature Threshold in kelvin (TMPTH)'),
  tmpsel: bits(0, 19, 16, 'Threshold Temperature Select (TMPSEL)'),
  thsel: bits(0, 21, 20, 'Threshold Type Select (THSEL)', ThresholdType),
});

export const ErrorRecoveryFeature = struct(
  { title: 'Error Recovery', cite: '[NVM-1.0 §4.1.3.2 Error Recovery]', bytes: 4 },
  {
    tler: bits(0, 15, 0, 'Time Limited Error Recovery in 100 ms, 0 no limit (TLER)'),
    dulbe: bits(0, 16, 16, 'Deallocated or Unwritten Logical Block Error Enable (DULBE)'),
  },
);

export const WriteCacheFeature = struct(word('Volatile Write Cache', 'Volatile Write Cache'), {
  wce: bits(0, 0, 0, 'Volatile Write Cache Enable (WCE)'),
});

/** The same shape for what is asked (command dword 11) and what is given (completion dword 0). */
export const QueueCountFeature = struct(word('Number of Queues', 'Number of Queues'), {
  nsq: count0(0, 15, 0, 'Number of I/O Submission Queues (NSQR, NSQA)'),
  ncq: count0(0, 31, 16, 'Number of I/O Completion Queues (NCQR, NCQA)'),
});

/** FFFFh, which as a count is one more, may not be asked for. */
export const queueCountForbidden = 0x1_0000;

export const CoalescingFeature = struct(word('Interrupt Coalescing', 'Interrupt Coalescing'), {
  thr: count0(0, 7, 0, 'Aggregation Threshold in entries (THR)'),
  time: bits(0, 15, 8, 'Aggregation Time in 100 us (TIME)'),
});

export const VectorFeature = struct(
  word('Interrupt Vector Configuration', 'Interrupt Vector Configuration'),
  {
    iv: bits(0, 15, 0, 'Interrupt Vector (IV)'),
    cd: bits(0, 16, 16, 'Coalescing Disable (CD)'),
  },
);

export const AtomicityFeature = struct(
  { title: 'Write Atomicity Normal', cite: '[NVM-1.0 §4.1.3.? Write Atomicity Normal]', bytes: 4 },
  { dn: bits(0, 0, 0, 'Disable Normal (DN)') },
);

export const EventFeature = struct(
  word('Asynchronous Event Configuration', 'Asynchronous Event Configuration'),
  {
    smart: bits(0, 7, 0, 'SMART / Health Critical Warnings'),
    namespace: bits(0, 8, 8, 'Namespace Attribute Notices'),
    firmware: bits(0, 9, 9, 'Firmware Activation Notices'),
    telemetry: bits(0, 10, 10, 'Telemetry Log Notices'),
    ana: bits(0, 11, 11, 'Asymmetric Namespace Access Change Notices'),
    predictableLatency: bits(0, 12, 12, 'Predictable Latency Event Aggregate Log Change Notices'),
    lbaStatus: bits(0, 13, 13, 'LBA Status Information Notices'),
    endurance: bits(0, 14, 14, 'Endurance Group Event Aggregate Log Change Notices'),
    shutdown: bits(0, 15, 15, 'Normal NVM Subsystem Shutdown'),
    zone: bits(0, 27, 27, 'Zone Descriptor Changed Notices'),
    discovery: bits(0, 31, 31, 'Discovery Log Page Change Notification'),
  },
);

export const AutonomousFeature = struct(
  word('Autonomous Power State Transition', 'Autonomous Power State Transition'),
  { apste: bits(0, 0, 0, 'Autonomous Power State Transition Enable (APSTE)') },
);

export const AutonomousEntry = struct(
  {
    title: 'Autonomous Power State Transition entry',
    cite: '[NVMe-2.0 §5.27.1.? Autonomous Power State Transition]',
    bytes: 8,
  },
  {
    itps: bits(0, 7, 3, 'Idle Transition Power State (ITPS)'),
    itpt: bits(0, 31, 8, 'Idle Time Prior to Transition in milliseconds (ITPT)'),
  },
);

export const AutonomousTable = struct(
  {
    title: 'Autonomous Power State Transition data',
    cite: '[NVMe-2.0 §5.27.1.? Autonomous Power State Transition]',
    bytes: 256,
  },
  { entries: repeat(0, 32, AutonomousEntry, 'One entry for each power state') },
);

export const HostMemoryFeature = struct(word('Host Memory Buffer', 'Host Memory Buffer'), {
  ehm: bits(0, 0, 0, 'Enable Host Memory (EHM)'),
  mr: bits(0, 1, 1, 'Memory Return (MR)'),
});

export const HostMemoryDescriptor = struct(
  {
    title: 'Host Memory Buffer Descriptor Entry',
    cite: '[NVMe-2.0 §5.27.1.? Host Memory Buffer]',
    bytes: 16,
  },
  {
    badd: u64(0, 'Buffer Address (BADD)'),
    bsize: u32(8, 'Buffer Size in memory pages (BSIZE)'),
  },
);

export const HostMemoryAttributes = struct(
  {
    title: 'Host Memory Buffer attributes',
    cite: '[NVMe-2.0 §5.27.1.? Host Memory Buffer]',
    bytes: 4096,
  },
  {
    hsize: u32(0, 'Host Memory Buffer Size in memory pages (HSIZE)'),
    hmdla: u64(4, 'Host Memory Descriptor List Address (HMDLAL, HMDLAU)'),
    hmdlec: u32(12, 'Host Memory Descriptor List Entry Count (HMDLEC)'),
  },
);

export const TimestampOrigin = { sinceReset: 0, setByHost: 1 } as const;

export const TimestampData = struct(
  { title: 'Timestamp', cite: '[NVMe-2.0 §5.27.1.? Timestamp]', bytes: 8 },
  {
    low: u32(0, 'Milliseconds, low dword'),
    high: bits(4, 15, 0, 'Milliseconds, bits 47..32'),
    synch: bits(4, 16, 16, 'Counting may have stopped for some time (Synch)'),
    origin: bits(4, 19, 17, 'Timestamp Origin', TimestampOrigin),
  },
);

export const KeepAliveFeature = struct(word('Keep Alive Timer', 'Keep Alive Timer'), {
  kato: u32(0, 'Keep Alive Timeout in milliseconds, 0 off (KATO)'),
});

export const HostThermalFeature = struct(
  word('Host Controlled Thermal Management', 'Host Controlled Thermal Management'),
  {
    tmt2: bits(0, 15, 0, 'Thermal Management Temperature 2 in kelvin (TMT2)'),
    tmt1: bits(0, 31, 16, 'Thermal Management Temperature 1 in kelvin (TMT1)'),
  },
);

export const NonOperationalFeature = struct(
  word('Non-Operational Power State Config', 'Non-Operational Power State Config'),
  { noppme: bits(0, 0, 0, 'Non-Operational Power State Permissive Mode Enable (NOPPME)') },
);

export const ReadRecoveryFeature = struct(
  word('Read Recovery Level Config', 'Read Recovery Level Config'),
  { rrl: bits(0, 3, 0, 'Read Recovery Level (RRL)') },
);

export const PredictableLatencyFeature = struct(
  word('Predictable Latency Mode Config', 'Predictable Latency Mode Config'),
  { lpe: bits(0, 0, 0, 'Predictable Latency Enable (LPE)') },
);

export const PredictableLatencyConfig = struct(
  {
    title: 'Predictable Latency Mode configuration',
    cite: '[NVMe-2.0 §5.27.1.? Predictable Latency Mode Config]',
    bytes: 512,
  },
  {
    events: bits(0, 15, 0, 'Enable Event'),
    reads: u64(32, 'DTWIN Reads Threshold'),
    writes: u64(40, 'DTWIN Writes Threshold'),
    time: u64(48, 'DTWIN Time Threshold'),
  },
);

export const LatencyWindow = { deterministic: 1, nonDeterministic: 2 } as const;

export const LatencyWindowFeature = struct(
  word('Predictable Latency Mode Window', 'Predictable Latency Mode Window'),
  { wsel: bits(0, 2, 0, 'Window Select (WSEL)', LatencyWindow) },
);

export const LbaStatusFeature = struct(
  {
    title: 'LBA Status Information Attributes',
    cite: '[NVM-1.0 §4.1.3.? LBA Status Information Attributes]',
    bytes: 4,
  },
  {
    lsiri: bits(0, 15, 0, 'LBA Status Information Report Interval in 100 ms (LSIRI)'),
    lsipi: bits(0, 31, 16, 'LBA Status Information Poll Interval in 100 ms (LSIPI)'),
  },
);

export const HostBehavior = struct(
  {
    title: 'Host Behavior Support',
    cite: '[NVMe-2.0 §5.27.1.? Host Behavior Support]',
    bytes: 512,
  },
  {
    acre: bits(0, 7, 0, 'Advanced Command Retry Enable (ACRE)'),
    etdas: bits(0, 15, 8, 'Extended Telemetry Data Area 4 Supported (ETDAS)'),
    lbafee: bits(0, 23, 16, 'LBA Format Extension Enable (LBAFEE)'),
  },
);

export const SanitizeFeature = struct(word('Sanitize Config', 'Sanitize Config'), {
  nodrm: bits(0, 0, 0, 'No-Deallocate Response Mode: warn instead of refuse (NODRM)'),
});

export const EnduranceEventFeature = struct(
  word('Endurance Group Event Configuration', 'Endurance Group Event Configuration'),
  {
    endgid: bits(0, 15, 0, 'Endurance Group Identifier (ENDGID)'),
    warnings: bits(0, 23, 16, 'Endurance Group Critical Warnings'),
  },
);

export const CommandSetProfileFeature = struct(
  word('I/O Command Set Profile', 'I/O Command Set Profile'),
  { iocsci: bits(0, 8, 0, 'I/O Command Set Combination Index (IOCSCI)') },
);

export const SpinupFeature = struct(word('Spinup Control', 'Spinup Control'), {
  scpe: bits(0, 0, 0, 'Spinup Control Enable (SCPE)'),
});

export const SoftwareProgressFeature = struct(
  word('Software Progress Marker', 'Software Progress Marker'),
  { pbslc: bits(0, 7, 0, 'Pre-boot Software Load Count (PBSLC)') },
);

export const HostIdentifierFeature = struct(word('Host Identifier', 'Host Identifier'), {
  exhid: bits(0, 0, 0, 'Enable Extended Host Identifier, 128 bits (EXHID)'),
});

/** Bytes of host identifier data, by EXHID. */
export const hostIdBytes = { short: 8, extended: 16 } as const;

export const ReservationMaskFeature = struct(
  word('Reservation Notification Mask', 'Reservation Notification Mask'),
  {
    regpre: bits(0, 1, 1, 'Mask Registration Preempted (REGPRE)'),
    resrel: bits(0, 2, 2, 'Mask Reservation Released (RESREL)'),
    respre: bits(0, 3, 3, 'Mask Reservation Preempted (RESPRE)'),
  },
);

export const ReservationPersistFeature = struct(
  word('Reservation Persistence', 'Reservation Persistence'),
  { ptpl: bits(0, 0, 0, 'Persist Through Power Loss (PTPL)') },
);

export const WriteProtection = { none: 0, protected: 1, untilPowerCycle: 2, permanent: 3 } as const;

export const WriteProtectFeature = struct(
  word('Namespace Write Protection Config', 'Namespace Write Protection Config'),
  { wps: bits(0, 2, 0, 'Write Protection State (WPS)', WriteProtection) },
);

export const MetadataFeature = struct(word('Host Metadata', 'Host Metadata'), {
  ea: bits(0, 14, 13, 'Element Action (EA)', { addOrUpdate: 0, deleteEntries: 1, addEntry: 2 }),
});

export const hostMetadataBytes = 4096;

/** The shape of a feature's value word, by identifier, for whoever prints one. */
export const FeatureTables = {
  [Feature.arbitration]: ArbitrationFeature,
  [Feature.powerManagement]: PowerManagementFeature,
  [Feature.lbaRangeType]: LbaRangeFeature,
  [Feature.temperatureThreshold]: TemperatureFeature,
  [Feature.errorRecovery]: ErrorRecoveryFeature,
  [Feature.volatileWriteCache]: WriteCacheFeature,
  [Feature.numberOfQueues]: QueueCountFeature,
  [Feature.interruptCoalescing]: CoalescingFeature,
  [Feature.interruptVector]: VectorFeature,
  [Feature.writeAtomicity]: AtomicityFeature,
  [Feature.asynchronousEvents]: EventFeature,
  [Feature.autonomousPowerState]: AutonomousFeature,
  [Feature.hostMemoryBuffer]: HostMemoryFeature,
  [Feature.keepAlive]: KeepAliveFeature,
  [Feature.hostThermal]: HostThermalFeature,
  [Feature.nonOperationalPower]: NonOperationalFeature,
  [Feature.readRecovery]: ReadRecoveryFeature,
  [Feature.predictableLatency]: PredictableLatencyFeature,
  [Feature.predictableLatencyWindow]: LatencyWindowFeature,
  [Feature.lbaStatusAttributes]: LbaStatusFeature,
  [Feature.sanitizeConfig]: SanitizeFeature,
  [Feature.enduranceEvents]: EnduranceEventFeature,
  [Feature.commandSetProfile]: CommandSetProfileFeature,
  [Feature.spinup]: SpinupFeature,
  [Feature.softwareProgress]: SoftwareProgressFeature,
  [Feature.hostIdentifier]: HostIdentifierFeature,
  [Feature.reservationNotification]: ReservationMaskFeature,
  [Feature.reservationPersistence]: ReservationPersistFeature,
  [Feature.writeProtect]: WriteProtectFeature,
} as const;
