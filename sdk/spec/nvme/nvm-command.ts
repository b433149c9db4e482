import { bits, count0, repeat, struct, u32, u64, wide } from '../layout.js';
import { commandLayout } from './command.js';

export const Flush = struct(commandLayout('Flush', '[NVM-1.0 §? Flush]'), {});

/** PRINFO is PRACT and the three check bits of PRCHK [NVM-1.0 §5.2.1 PRINFO]. */
export const Read = struct(commandLayout('Read', '[NVM-1.0 §3.2.4 Read]'), {
  ilbrtHigh: u64(0x08, 'Upper bits of expected tags: LBST and ELBRT (CDW2, CDW3)'),
  slba: u64(0x28, 'Starting LBA (SLBA)'),
  nlb: count0(0x30, 15, 0, 'Number of Logical Blocks (NLB)'),
  stc: bits(0x30, 24, 24, 'Storage Tag Check (STC)'),
  prchkRef: bits(0x30, 26, 26, 'Check the reference tag (PRCHK bit 0)'),
  prchkApp: bits(0x30, 27, 27, 'Check the application tag (PRCHK bit 1)'),
  prchkGuard: bits(0x30, 28, 28, 'Check the guard (PRCHK bit 2)'),
  pract: bits(0x30, 29, 29, 'Protection Information Action (PRACT)'),
  fua: bits(0x30, 30, 30, 'Force Unit Access (FUA)'),
  lr: bits(0x30, 31, 31, 'Limited Retry (LR)'),
  dsm: bits(0x34, 7, 0, 'Dataset Management hints (DSM)'),
  eilbrt: u32(0x38, 'Expected Initial Logical Block Reference Tag (EILBRT)'),
  elbat: bits(0x3c, 15, 0, 'Expected Logical Block Application Tag (ELBAT)'),
  elbatm: bits(0x3c, 31, 16, 'Expected Logical Block Application Tag Mask (ELBATM)'),
});

export const Write = struct(commandLayout('Write', '[NVM-1.0 §3.2.6 Write]'), {
  ilbrtHigh: u64(0x08, 'Upper bits of tags: LBST and ILBRT (CDW2, CDW3)'),
  slba: u64(0x28, 'Starting LBA (SLBA)'),
  nlb: count0(0x30, 15, 0, 'Number of Logical Blocks (NLB)'),
  dtype: bits(0x30, 23, 20, 'Directive Type (DTYPE)'),
  stc: bits(0x30, 24, 24, 'Storage Tag Check (STC)'),
  prchkRef: bits(0x30, 26, 26, 'Check the reference tag (PRCHK bit 0)'),
  prchkApp: bits(0x30, 27, 27, 'Check the application tag (PRCHK bit 1)'),
  prchkGuard: bits(0x30, 28, 28, 'Check the guard (PRCHK bit 2)'),
  pract: bits(0x30, 29, 29, 'Protection Information Action (PRACT)'),
  fua: bits(0x30, 30, 30, 'Force Unit Access (FUA)'),
  lr: bits(0x30, 31, 31, 'Limited Retry (LR)'),
  dsm: bits(0x34, 7, 0, 'Dataset Management hints (DSM)'),
  dspec: bits(0x34, 31, 16, 'Directive Specific (DSPEC)'),
  ilbrt: u32(0x38, 'Initial Logical Block Reference Tag (ILBRT)'),
  lbat: bits(0x3c, 15, 0, 'Logical Block Application Tag (LBAT)'),
  lbatm: bits(0x3c, 31, 16, 'Logical Block Application Tag Mask (LBATM)'),
});

export const Compare = struct(commandLayout('Compare', '[NVM-1.0 §3.2.1 Compare]'), {
  ilbrtHigh: u64(0x08, 'Upper bits of expected tags: LBST and ELBRT (CDW2, CDW3)'),
  slba: u64(0x28, 'Starting LBA (SLBA)'),
  nlb: count0(0x30, 15, 0, 'Number of Logical Blocks (NLB)'),
  stc: bits(0x30, 24, 24, 'Storage Tag Check (STC)'),
  prchkRef: bits(0x30, 26, 26, 'Check the reference tag (PRCHK bit 0)'),
  prchkApp: bits(0x30, 27, 27, 'Check the application tag (PRCHK bit 1)'),
  prchkGuard: bits(0x30, 28, 28, 'Check the guard (PRCHK bit 2)'),
  pract: bits(0x30, 29, 29, 'Protection Information Action (PRACT)'),
  fua: bits(0x30, 30, 30, 'Force Unit Access (FUA)'),
  lr: bits(0x30, 31, 31, 'Limited Retry (LR)'),
  eilbrt: u32(0x38, 'Expected Initial Logical Block Reference Tag (EILBRT)'),
  elbat: bits(0x3c, 15, 0, 'Expected Logical Block Application Tag (ELBAT)'),
  elbatm: bits(0x3c, 31, 16, 'Expected Logical Block Application Tag Mask (ELBATM)'),
});

export const Verify = struct(commandLayout('Verify', '[NVM-1.0 §3.2.5 Verify]'), {
  ilbrtHigh: u64(0x08, 'Upper bits of expected tags: LBST and ELBRT (CDW2, CDW3)'),
  slba: u64(0x28, 'Starting LBA (SLBA)'),
  nlb: count0(0x30, 15, 0, 'Number of Logical Blocks (NLB)'),
  stc: bits(0x30, 24, 24, 'Storage Tag Check (STC)'),
  prchkRef: bits(0x30, 26, 26, 'Check the reference tag (PRCHK bit 0)'),
  prchkApp: bits(0x30, 27, 27, 'Check the application tag (PRCHK bit 1)'),
  prchkGuard: bits(0x30, 28, 28, 'Check the guard (PRCHK bit 2)'),
  pract: bits(0x30, 29, 29, 'Protection Information Action (PRACT)'),
  fua: bits(0x30, 30, 30, 'Force Unit Access (FUA)'),
  lr: bits(0x30, 31, 31, 'Limited Retry (LR)'),
  eilbrt: u32(0x38, 'Expected Initial Logical Block Reference Tag (EILBRT)'),
  elbat: bits(0x3c, 15, 0, 'Expected Logical Block Application Tag (ELBAT)'),
  elbatm: bits(0x3c, 31, 16, 'Expected Logical Block Application Tag Mask (ELBATM)'),
});

export const WriteZeroes = struct(commandLayout('Write Zeroes', '[NVM-1.0 §3.2.8 Write Zeroes]'), {
  ilbrtHigh: u64(0x08, 'Upper bits of tags: LBST and ILBRT (CDW2, CDW3)'),
  slba: u64(0x28, 'Starting LBA (SLBA)'),
  nlb: count0(0x30, 15, 0, 'Number of Logical Blocks (NLB)'),
  stc: bits(0x30, 24, 24, 'Storage Tag Check (STC)'),
  deac: bits(0x30, 25, 25, 'Deallocate (DEAC)'),
  prchkRef: bits(0x30, 26, 26, 'Check the reference tag (PRCHK bit 0)'),
  prchkApp: bits(0x30, 27, 27, 'Check the application tag (PRCHK bit 1)'),
  prchkGuard: bits(0x30, 28, 28, 'Check the guard (PRCHK bit 2)'),
  pract: bits(0x30, 29, 29, 'Protection Information Action (PRACT)'),
  fua: bits(0x30, 30, 30, 'Force Unit Access (FUA)'),
  lr: bits(0x30, 31, 31, 'Limited Retry (LR)'),
  ilbrt: u32(0x38, 'Initial Logical Block Reference Tag (ILBRT)'),
  lbat: bits(0x3c, 15, 0, 'Logical Block Application Tag (LBAT)'),
  lbatm: bits(0x3c, 31, 16, 'Logical Block Application Tag Mask (LBATM)'),
});

export const WriteUncorrectable = struct(
  commandLayout('Write Uncorrectable', '[NVM-1.0 §3.2.7 Write Uncorrectable]'),
  {
    slba: u64(0x28, 'Starting LBA (SLBA)'),
    nlb: count0(0x30, 15, 0, 'Number of Logical Blocks (NLB)'),
  },
);

export const DatasetManagement = struct(
  commandLayout('Dataset Management', '[NVM-1.0 §3.2.3 Dataset Management]'),
  {
    nr: count0(0x28, 7, 0, 'Number of Ranges (NR)'),
    idr: bits(0x2c, 0, 0, 'Integral Dataset for Read (IDR)'),
    idw: bits(0x2c, 1, 1, 'Integral Dataset for Write (IDW)'),
    ad: bits(0x2c, 2, 2, 'Deallocate (AD)'),
  },
);

/** One range of a dataset management command. The length is not 0's based. */
export const DatasetRange = struct(
  { title: 'Dataset Management Range', cite: '[NVM-1.0 §3.2.3 Dataset Management]', bytes: 16 },
  {
    af: bits(0x00, 3, 0, 'Access Frequency (AF)'),
    al: bits(0x00, 5, 4, 'Access Latency (AL)'),
    sr: bits(0x00, 8, 8, 'Sequential Read Range (SR)'),
    sw: bits(0x00, 9, 9, 'Sequential Write Range (SW)'),
    wp: bits(0x00, 10, 10, 'Write Prepare (WP)'),
    cas: bits(0x00, 31, 24, 'Command Access Size (CAS)'),
    length: u32(0x04, 'Length in logical blocks'),
    slba: u64(0x08, 'Starting LBA (SLBA)'),
  },
);

export const Copy = struct(commandLayout('Copy', '[NVM-1.0 §3.2.2 Copy]'), {
  ilbrtHigh: u64(0x08, 'Upper bits of tags: LBST and ILBRT (CDW2, CDW3)'),
  sdlba: u64(0x28, 'Starting Destination LBA (SDLBA)'),
  nr: count0(0x30, 7, 0, 'Number of Ranges (NR)'),
  df: bits(0x30, 11, 8, 'Descriptor Format (DF)'),
  prinfor: bits(0x30, 15, 12, 'Protection Information Field Read (PRINFOR)'),
  dtype: bits(0x30, 23, 20, 'Directive Type (DTYPE)'),
  stcw: bits(0x30, 24, 24, 'Storage Tag Check Write (STCW)'),
  stcr: bits(0x30, 25, 25, 'Storage Tag Check Read (STCR)'),
  prinfow: bits(0x30, 29, 26, 'Protection Information Field Write (PRINFOW)'),
  fua: bits(0x30, 30, 30, 'Force Unit Access (FUA)'),
  lr: bits(0x30, 31, 31, 'Limited Retry (LR)'),
  dspec: bits(0x34, 31, 16, 'Directive Specific (DSPEC)'),
  ilbrt: u32(0x38, 'Initial Logical Block Reference Tag (ILBRT)'),
  lbat: bits(0x3c, 15, 0, 'Logical Block Application Tag (LBAT)'),
  lbatm: bits(0x3c, 31, 16, 'Logical Block Application Tag Mask (LBATM)'),
});

/** PRINFO as a four-bit value, as Copy carries it twice. */
export const Prinfo = struct(
  { title: 'Protection Information Field', cite: '[NVM-1.0 §5.2.1 PRINFO]', bytes: 4 },
  {
    prchkRef: bits(0x00, 0, 0, 'Check the reference tag (PRCHK bit 0)'),
    prchkApp: bits(0x00, 1, 1, 'Check the application tag (PRCHK bit 1)'),
    prchkGuard: bits(0x00, 2, 2, 'Check the guard (PRCHK bit 2)'),
    pract: bits(0x00, 3, 3, 'Protection Information Action (PRACT)'),
  },
);

export const CopyRange0 = struct(
  { title: 'Copy Source Range, format 0h', cite: '[NVM-1.0 §3.2.2 Copy]', bytes: 32 },
  {
    slba: u64(0x08, 'Starting LBA (SLBA)'),
    nlb: count0(0x10, 15, 0, 'Number of Logical Blocks (NLB)'),
    eilbrt: u32(0x18, 'Expected Initial Logical Block Reference Tag (EILBRT)'),
    elbat: bits(0x1c, 15, 0, 'Expected Logical Block Application Tag (ELBAT)'),
    elbatm: bits(0x1c, 31, 16, 'Expected Logical Block Application Tag Mask (ELBATM)'),
  },
);

export const CopyRange1 = struct(
  { title: 'Copy Source Range, format 1h', cite: '[NVM-1.0 §3.2.2 Copy]', bytes: 40 },
  {
    slba: u64(0x08, 'Starting LBA (SLBA)'),
    nlb: count0(0x10, 15, 0, 'Number of Logical Blocks (NLB)'),
    tags: wide(0x1a, 10, 'raw', 'Expected storage tag and reference tag (ELBST, EILBRT)'),
    elbat: bits(0x24, 15, 0, 'Expected Logical Block Application Tag (ELBAT)'),
    elbatm: bits(0x24, 31, 16, 'Expected Logical Block Application Tag Mask (ELBATM)'),
  },
);

/** The 8 bytes of protection information with a 16-bit guard; numbers are big endian. */
export const ProtectionInformation = struct(
  { title: 'Protection Information, 16b Guard', cite: '[NVM-1.0 §5.2.1 PI]', bytes: 8 },
  {
    guard: wide(0x00, 2, 'raw', 'Guard: CRC-16 of the block, big endian'),
    app: wide(0x02, 2, 'raw', 'Application Tag, big endian'),
    ref: wide(0x04, 4, 'raw', 'Storage and Reference Space, big endian'),
  },
);

export const ReservationType = {
  none: 0,
  'write exclusive': 1,
  'exclusive access': 2,
  'write exclusive, registrants only': 3,
  'exclusive access, registrants only': 4,
  'write exclusive, all registrants': 5,
  'exclusive access, all registrants': 6,
} as const;

export const RegisterAction = { register: 0, unregister: 1, replace: 2 } as const;
export const AcquireAction = { acquire: 0, preempt: 1, preemptAndAbort: 2 } as const;
export const ReleaseAction = { release: 0, clear: 1 } as const;
export const PersistThroughPowerLoss = { unchanged: 0, off: 2, on: 3 } as const;

export const ReservationRegister = struct(
  commandLayout('Reservation Register', '[NVMe-2.0 §7.3 Reservation Register]'),
  {
    rrega: bits(0x28, 2, 0, 'Reservation Register Action (RREGA)', RegisterAction),
    iekey: bits(0x28, 3, 3, 'Ignore Existing Key (IEKEY)'),
    cptpl: bits(0x28, 31, 30, 'Change Persist Through Power Loss (CPTPL)', PersistThroughPowerLoss),
  },
);

export const ReservationRegisterData = struct(
  { title: 'Reservation Register Data', cite: '[NVMe-2.0 §7.3]', bytes: 16 },
  {
    crkey: wide(0x00, 8, 'count', 'Current Reservation Key (CRKEY)'),
    nrkey: wide(0x08, 8, 'count', 'New Reservation Key (NRKEY)'),
  },
);

export const ReservationAcquire = struct(
  commandLayout('Reservation Acquire', '[NVMe-2.0 §7.2 Reservation Acquire]'),
  {
    racqa: bits(0x28, 2, 0, 'Reservation Acquire Action (RACQA)', AcquireAction),
    iekey: bits(0x28, 3, 3, 'Ignore Existing Key (IEKEY)'),
    rtype: bits(0x28, 15, 8, 'Reservation Type (RTYPE)', ReservationType),
  },
);

export const ReservationAcquireData = struct(
  { title: 'Reservation Acquire Data', cite: '[NVMe-2.0 §7.2]', bytes: 16 },
  {
    crkey: wide(0x00, 8, 'count', 'Current Reservation Key (CRKEY)'),
    prkey: wide(0x08, 8, 'count', 'Preempt Reservation Key (PRKEY)'),
  },
);

export const ReservationRelease = struct(
  commandLayout('Reservation Release', '[NVMe-2.0 §7.4 Reservation Release]'),
  {
    rrela: bits(0x28, 2, 0, 'Reservation Release Action (RRELA)', ReleaseAction),
    iekey: bits(0x28, 3, 3, 'Ignore Existing Key (IEKEY)'),
    rtype: bits(0x28, 15, 8, 'Reservation Type (RTYPE)', ReservationType),
  },
);

export const ReservationReleaseData = struct(
  { title: 'Reservation Release Data', cite: '[NVMe-2.0 §7.4]', bytes: 8 },
  { crkey: wide(0x00, 8, 'count', 'Current Reservation Key (CRKEY)') },
);

export const ReservationReport = struct(
  commandLayout('Reservation Report', '[NVMe-2.0 §7.5 Reservation Report]'),
  {
    numd: count0(0x28, 31, 0, 'Number of Dwords (NUMD)'),
    eds: bits(0x2c, 0, 0, 'Extended Data Structure (EDS)'),
  },
);

/** Header of the report; 24 bytes, or the first part of the 64 of the extended one. */
export const ReservationStatus = struct(
  { title: 'Reservation Status', cite: '[NVMe-2.0 §7.5]', bytes: 24 },
  {
    gen: u32(0x00, 'Generation (GEN)'),
    rtype: bits(0x04, 7, 0, 'Reservation Type (RTYPE)', ReservationType),
    regctl: bits(0x04, 23, 8, 'Number of Registered Controllers (REGCTL)'),
    ptpls: bits(0x08, 15, 8, 'Persist Through Power Loss State (PTPLS)'),
  },
);

export const reservationStatusExtendedBytes = 64;

/** CNTLID of a registrant that no controller is associated with. */
export const noRegisteredController = 0xffff;

export const RegisteredController = struct(
  { title: 'Registered Controller', cite: '[NVMe-2.0 §7.5]', bytes: 24 },
  {
    cntlid: bits(0x00, 15, 0, 'Controller ID (CNTLID)'),
    holds: bits(0x00, 16, 16, 'Reservation Status: holds the reservation (RCSTS bit 0)'),
    hostid: wide(0x08, 8, 'id', 'Host Identifier (HOSTID)'),
    rkey: wide(0x10, 8, 'count', 'Reservation Key (RKEY)'),
  },
);

export const RegisteredControllerExtended = struct(
  { title: 'Registered Controller Extended', cite: '[NVMe-2.0 §7.5]', bytes: 64 },
  {
    cntlid: bits(0x00, 15, 0, 'Controller ID (CNTLID)'),
    holds: bits(0x00, 16, 16, 'Reservation Status: holds the reservation (RCSTS bit 0)'),
    rkey: wide(0x08, 8, 'count', 'Reservation Key (RKEY)'),
    hostid: wide(0x10, 16, 'id', 'Host Identifier (HOSTID)'),
  },
);

export const LbaStatusDescriptor = struct(
  { title: 'LBA Status Descriptor', cite: '[NVM-1.0 §4.2.1]', bytes: 16 },
  {
    dslba: u64(0x00, 'Descriptor Starting LBA (DSLBA)'),
    nlb: u32(0x08, 'Number of Logical Blocks (NLB)'),
    status: bits(0x0c, 23, 16, 'Status'),
  },
);

export const LbaStatusHeader = struct(
  { title: 'LBA Status Descriptor List', cite: '[NVM-1.0 §4.2.1]', bytes: 8 },
  {
    nlsd: u32(0x00, 'Number of LBA Status Descriptors (NLSD)'),
    cmpc: bits(0x04, 2, 0, 'Completion Condition (CMPC)'),
  },
);

/** Room for 256 ranges, the most that NR can say. */
export const DatasetRanges = struct(
  { title: 'Dataset Management Ranges', cite: '[NVM-1.0 §3.2.3]', bytes: 4096 },
  { ranges: repeat(0x00, 256, DatasetRange, 'Range') },
);
