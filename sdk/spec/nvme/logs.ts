import { bits, repeat, struct, u32, u64, wide } from '../layout.js';

export * from './logs-events.js';
export * from './logs-health.js';

/** LID: log page identifiers [NVMe-2.0 §5.16.1 Get Log Page identifiers]. */
export const LogPage = {
  supportedPages: 0x00,
  error: 0x01,
  health: 0x02,
  firmwareSlot: 0x03,
  changedNamespaces: 0x04,
  effects: 0x05,
  selfTest: 0x06,
  telemetryHost: 0x07,
  telemetryController: 0x08,
  enduranceGroup: 0x09,
  predictableLatency: 0x0a,
  predictableLatencyAggregate: 0x0b,
  ana: 0x0c,
  persistentEvent: 0x0d,
  lbaStatus: 0x0e,
  enduranceAggregate: 0x0f,
  mediaUnits: 0x10,
  capacityConfigurations: 0x11,
  featureEffects: 0x12,
  miEffects: 0x13,
  lockdown: 0x14,
  bootPartition: 0x15,
  discovery: 0x70,
  reservation: 0x80,
  sanitize: 0x81,
  changedZones: 0xbf,
} as const;

/** CSE: how long a command holds others back [NVMe-2.0 §5.16.1.6 CSE]. */
export const SubmissionLimits = { none: 0, sameNamespace: 1, anyNamespace: 2 } as const;

export const CommandEffects = struct(
  {
    title: 'Commands Supported and Effects',
    cite: '[NVMe-2.0 §5.16.1.6 Commands Supported and Effects]',
    bytes: 4,
  },
  {
    csupp: bits(0, 0, 0, 'Command Supported (CSUPP)'),
    lbcc: bits(0, 1, 1, 'Logical Block Content Change (LBCC)'),
    ncc: bits(0, 2, 2, 'Namespace Capability Change (NCC)'),
    nic: bits(0, 3, 3, 'Namespace Inventory Change (NIC)'),
    ccc: bits(0, 4, 4, 'Controller Capability Change (CCC)'),
    cse: bits(0, 18, 16, 'Command Submission and Execution (CSE)', SubmissionLimits),
    uss: bits(0, 19, 19, 'UUID Selection Supported (USS)'),
    scopeNamespace: bits(0, 20, 20, 'Namespace Scope (CSP)'),
    scopeController: bits(0, 21, 21, 'Controller Scope (CSP)'),
    scopeSet: bits(0, 22, 22, 'NVM Set Scope (CSP)'),
    scopeEnduranceGroup: bits(0, 23, 23, 'Endurance Group Scope (CSP)'),
    scopeDomain: bits(0, 24, 24, 'Domain Scope (CSP)'),
    scopeSubsystem: bits(0, 25, 25, 'NVM Subsystem Scope (CSP)'),
  },
);

export const EffectsLog = struct(
  {
    title: 'Commands Supported and Effects log',
    cite: '[NVMe-2.0 §5.16.1.6 Commands Supported and Effects]',
    bytes: 4096,
  },
  {
    admin: repeat(0, 256, CommandEffects, 'Admin commands by opcode (ACS)'),
    io: repeat(1024, 256, CommandEffects, 'I/O commands by opcode (IOCS)'),
  },
);

export const SupportedPage = struct(
  { title: 'LID Supported and Effects', cite: '[NVMe-2.0 §5.16.1.1 LID]', bytes: 4 },
  {
    lsupp: bits(0, 0, 0, 'LID Supported (LSUPP)'),
    ios: bits(0, 1, 1, 'Index Offset Supported (IOS)'),
    lidsp: bits(0, 31, 16, 'LID Specific Parameter (LIDSP)'),
  },
);

export const SupportedPagesLog = struct(
  {
    title: 'Supported Log Pages log',
    cite: '[NVMe-2.0 §5.16.1.1 Supported Log Pages]',
    bytes: 1024,
  },
  { pages: repeat(0, 256, SupportedPage, 'By log page identifier') },
);

export const FeatureEffects = struct(
  {
    title: 'FID Supported and Effects',
    cite: '[NVMe-2.0 §5.16.1.19 Feature Identifiers Supported and Effects]',
    bytes: 4,
  },
  {
    fsupp: bits(0, 0, 0, 'FID Supported (FSUPP)'),
    udcc: bits(0, 1, 1, 'User Data Content Change (UDCC)'),
    ncc: bits(0, 2, 2, 'Namespace Capability Change (NCC)'),
    nic: bits(0, 3, 3, 'Namespace Inventory Change (NIC)'),
    ccc: bits(0, 4, 4, 'Controller Capability Change (CCC)'),
    uss: bits(0, 19, 19, 'UUID Selection Supported (USS)'),
    scopeNamespace: bits(0, 20, 20, 'Namespace Scope (FSP)'),
    scopeController: bits(0, 21, 21, 'Controller Scope (FSP)'),
    scopeSet: bits(0, 22, 22, 'NVM Set Scope (FSP)'),
    scopeEnduranceGroup: bits(0, 23, 23, 'Endurance Group Scope (FSP)'),
    scopeDomain: bits(0, 24, 24, 'Domain Scope (FSP)'),
    scopeSubsystem: bits(0, 25, 25, 'NVM Subsystem Scope (FSP)'),
  },
);

export const FeatureEffectsLog = struct(
  {
    title: 'Feature Identifiers Supported and Effects log',
    cite: '[NVMe-2.0 §5.16.1.19 Feature Identifiers Supported and Effects]',
    bytes: 1024,
  },
  { features: repeat(0, 256, FeatureEffects, 'By feature identifier') },
);

export const MiEffects = struct(
  {
    title: 'NVMe-MI Command Supported and Effects',
    cite: '[NVMe-2.0 §5.16.1.20 NVMe-MI Commands Supported and Effects]',
    bytes: 4,
  },
  {
    csupp: bits(0, 0, 0, 'Command Supported (CSUPP)'),
    udcc: bits(0, 1, 1, 'User Data Content Change (UDCC)'),
    ncc: bits(0, 2, 2, 'Namespace Capability Change (NCC)'),
    nic: bits(0, 3, 3, 'Namespace Inventory Change (NIC)'),
    ccc: bits(0, 4, 4, 'Controller Capability Change (CCC)'),
    scope: bits(0, 31, 20, 'Command Scope (CSP)'),
  },
);

export const MiEffectsLog = struct(
  {
    title: 'NVMe-MI Commands Supported and Effects log',
    cite: '[NVMe-2.0 §5.16.1.20 NVMe-MI Commands Supported and Effects]',
    bytes: 4096,
  },
  { commands: repeat(0, 256, MiEffects, 'By NVMe-MI opcode') },
);

export const FirmwareSlotLog = struct(
  {
    title: 'Firmware Slot Information log',
    cite: '[NVMe-2.0 §5.16.1.4 Firmware Slot Information]',
    bytes: 512,
  },
  {
    active: bits(0, 2, 0, 'Slot that is running (AFI)'),
    next: bits(0, 6, 4, 'Slot that runs after the next reset, 0 none (AFI)'),
    frs1: wide(8, 8, 'text', 'Firmware Revision for Slot 1 (FRS1)'),
    frs2: wide(16, 8, 'text', 'Firmware Revision for Slot 2 (FRS2)'),
    frs3: wide(24, 8, 'text', 'Firmware Revision for Slot 3 (FRS3)'),
    frs4: wide(32, 8, 'text', 'Firmware Revision for Slot 4 (FRS4)'),
    frs5: wide(40, 8, 'text', 'Firmware Revision for Slot 5 (FRS5)'),
    frs6: wide(48, 8, 'text', 'Firmware Revision for Slot 6 (FRS6)'),
    frs7: wide(56, 8, 'text', 'Firmware Revision for Slot 7 (FRS7)'),
  },
);

const ChangedEntry = struct(
  { title: 'Changed Namespace entry', cite: '[NVMe-2.0 §5.16.1.5 Changed Namespace]', bytes: 4 },
  { nsid: u32(0, 'Namespace Identifier (NSID)') },
);

/** Ascending; a first entry of FFFFFFFFh says that more changed than fit. */
export const ChangedNamespaceLog = struct(
  {
    title: 'Changed Namespace List log',
    cite: '[NVMe-2.0 §5.16.1.5 Changed Namespace List]',
    bytes: 4096,
  },
  { entries: repeat(0, 1024, ChangedEntry, 'Namespace identifiers') },
);

export const AnaState = {
  optimized: 0x01,
  nonOptimized: 0x02,
  inaccessible: 0x03,
  persistentLoss: 0x04,
  change: 0x0f,
} as const;

export const AnaLog = struct(
  {
    title: 'Asymmetric Namespace Access log header',
    cite: '[NVMe-2.0 §5.16.1.13 Asymmetric Namespace Access]',
    bytes: 16,
  },
  {
    changeCount: u64(0, 'Change Count'),
    groups: bits(8, 15, 0, 'Number of ANA Group Descriptors'),
  },
);

/** The group's namespace identifiers follow, one dword each, unless groups only were asked for. */
export const AnaGroup = struct(
  {
    title: 'ANA Group Descriptor',
    cite: '[NVMe-2.0 §5.16.1.13 ANA Group Descriptor]',
    bytes: 32,
  },
  {
    id: u32(0, 'ANA Group ID'),
    namespaces: u32(4, 'Number of NSID Values'),
    changeCount: u64(8, 'Change Count'),
    state: bits(16, 3, 0, 'Asymmetric Namespace Access State', AnaState),
  },
);

export const LbaStatusLog = struct(
  {
    title: 'LBA Status Information log header',
    cite: '[NVM-1.0 §4.1.4.? LBA Status Information]',
    bytes: 16,
  },
  {
    lslplen: u32(0, 'LBA Status Log Page Length in bytes (LSLPLEN)'),
    nlslne: u32(4, 'Number of LBA Status Log Namespace Elements (NLSLNE)'),
    estulb: u32(8, 'Estimate of Unrecoverable Logical Blocks (ESTULB)'),
    lsgc: bits(12, 31, 16, 'LBA Status Generation Counter (LSGC)'),
  },
);

export const LbaStatusElement = struct(
  {
    title: 'LBA Status Log Namespace Element header',
    cite: '[NVM-1.0 §4.1.4.? LBA Status Information]',
    bytes: 16,
  },
  {
    neid: u32(0, 'Namespace Element Identifier (NEID)'),
    nlrd: u32(4, 'Number of LBA Range Descriptors (NLRD)'),
    ratype: bits(8, 7, 0, 'Recommended Action Type (RATYPE)'),
  },
);

export const LbaStatusRange = struct(
  {
    title: 'LBA Range Descriptor',
    cite: '[NVM-1.0 §4.1.4.? LBA Status Information]',
    bytes: 16,
  },
  {
    rslba: u64(0, 'Range Starting LBA (RSLBA)'),
    rnlb: u32(8, 'Range Number of Logical Blocks (RNLB)'),
  },
);
