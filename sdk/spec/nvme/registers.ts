import { bits, count0, type Struct, struct, u32, u64 } from '../layout.js';

/** Byte offsets of the controller properties in BAR0 [NVMe-2.0 §3.1.3], [NVMe-PCIe-1.0 §3.1.1]. */
export const Register = {
  cap: 0x00,
  vs: 0x08,
  intms: 0x0c,
  intmc: 0x10,
  cc: 0x14,
  csts: 0x1c,
  nssr: 0x20,
  aqa: 0x24,
  asq: 0x28,
  acq: 0x30,
  cmbloc: 0x38,
  cmbsz: 0x3c,
  bpinfo: 0x40,
  bprsel: 0x44,
  bpmbl: 0x48,
  cmbmsc: 0x50,
  cmbsts: 0x58,
  cmbebs: 0x5c,
  cmbswtp: 0x60,
  nssd: 0x64,
  crto: 0x68,
  pmrcap: 0xe00,
  pmrctl: 0xe04,
  pmrsts: 0xe08,
  pmrebs: 0xe0c,
  pmrswtp: 0xe10,
  pmrmscl: 0xe14,
  pmrmscu: 0xe18,
} as const;

export type RegisterName = keyof typeof Register;

/** Where doorbells begin in BAR0 [NVMe-PCIe-1.0 §3.1.2]. */
export const doorbellBase = 0x1000;

/** CC.MPS, CAP.MPSMIN and CAP.MPSMAX say 2^(12 + value) bytes. */
export const pageShiftBase = 12;

/** CAP.TO counts these. */
export const timeoutUnitMs = 500;

/** Writing this to NSSR resets the NVM subsystem: "NVMe" [NVMe-2.0 §3.1.3.7 NSSR]. */
export const nssrReset = 0x4e564d65;

/** What a dword of a function that is gone reads as. */
export const allOnes = 0xffff_ffff;

/**
 * Byte offset in BAR0 of the tail doorbell of submission queue `queueId`.
 *
 * @param dstrd  CAP.DSTRD: doorbells lie 4 << dstrd bytes apart
 * @cite         [NVMe-PCIe-1.0 §3.1.2.1 SQyTDBL]
 */
export function submissionDoorbell(queueId: number, dstrd: number): number {
  return doorbellBase + 2 * queueId * (4 << dstrd);
}

/**
 * Byte offset in BAR0 of the head doorbell of completion queue `queueId`.
 *
 * @cite [NVMe-PCIe-1.0 §3.1.2.2 CQyHDBL]
 */
export function completionDoorbell(queueId: number, dstrd: number): number {
  return doorbellBase + (2 * queueId + 1) * (4 << dstrd);
}

/** Bytes of BAR0 up to the end of the doorbells of `queueCount` queue pairs, admin included. */
export function doorbellEnd(queueCount: number, dstrd: number): number {
  return doorbellBase + 2 * queueCount * (4 << dstrd);
}

/** A tail or head doorbell write: the new index is in the low 16 bits. */
export const Doorbell = struct(
  { title: 'Queue doorbell', cite: '[NVMe-PCIe-1.0 §3.1.2 SQyTDBL, CQyHDBL]', bytes: 4 },
  { index: bits(0x00, 15, 0, 'Submission Queue Tail (SQT) or Completion Queue Head (CQH)') },
);

export const ArbitrationMechanism = {
  'round robin': 0,
  'weighted round robin with urgent': 1,
  vendor: 7,
} as const;

export const CommandSetSelect = { nvm: 0, all: 6, 'admin only': 7 } as const;

export const ShutdownNotification = { none: 0, normal: 1, abrupt: 2 } as const;

export const ShutdownStatus = { none: 0, occurring: 1, complete: 2 } as const;

export const Cap = struct(
  { title: 'Controller Capabilities (CAP)', cite: '[NVMe-2.0 §3.1.3.1 CAP]', bytes: 8 },
  {
    mqes: count0(0x00, 15, 0, 'Maximum Queue Entries Supported (MQES)'),
    cqr: bits(0x00, 16, 16, 'Contiguous Queues Required (CQR)'),
    amsWrr: bits(0x00, 17, 17, 'Weighted Round Robin with Urgent supported (AMS bit 0)'),
    amsVendor: bits(0x00, 18, 18, 'Vendor specific arbitration supported (AMS bit 1)'),
    to: bits(0x00, 31, 24, 'Timeout, in units of 500 ms (TO)'),
    dstrd: bits(0x04, 3, 0, 'Doorbell Stride, 2^(2 + value) bytes (DSTRD)'),
    nssrs: bits(0x04, 4, 4, 'NVM Subsystem Reset Supported (NSSRS)'),
    cssNvm: bits(0x04, 5, 5, 'NVM command set supported (CSS bit 0)'),
    cssIocs: bits(0x04, 11, 11, 'One or more I/O command sets supported (CSS bit 6)'),
    cssNoio: bits(0x04, 12, 12, 'No I/O command set supported (CSS bit 7)'),
    bps: bits(0x04, 13, 13, 'Boot Partition Support (BPS)'),
    cps: bits(0x04, 15, 14, 'Controller Power Scope (CPS)', {
      'not reported': 0,
      controller: 1,
      domain: 2,
      'NVM subsystem': 3,
    }),
    mpsmin: bits(0x04, 19, 16, 'Memory Page Size Minimum, 2^(12 + value) bytes (MPSMIN)'),
    mpsmax: bits(0x04, 23, 20, 'Memory Page Size Maximum, 2^(12 + value) bytes (MPSMAX)'),
    pmrs: bits(0x04, 24, 24, 'Persistent Memory Region Supported (PMRS)'),
    cmbs: bits(0x04, 25, 25, 'Controller Memory Buffer Supported (CMBS)'),
    nsss: bits(0x04, 26, 26, 'NVM Subsystem Shutdown Supported (NSSS)'),
    crwms: bits(0x04, 27, 27, 'Controller Ready With Media Support (CRMS bit 0)'),
    crims: bits(0x04, 28, 28, 'Controller Ready Independent of Media Support (CRMS bit 1)'),
  },
);

export const Vs = struct(
  { title: 'Version (VS)', cite: '[NVMe-2.0 §3.1.3.2 VS]', bytes: 4 },
  {
    ter: bits(0x00, 7, 0, 'Tertiary Version Number (TER)'),
    mnr: bits(0x00, 15, 8, 'Minor Version Number (MNR)'),
    mjr: bits(0x00, 31, 16, 'Major Version Number (MJR)'),
  },
);

export const Intms = struct(
  { title: 'Interrupt Mask Set (INTMS)', cite: '[NVMe-2.0 §3.1.3.3 INTMS]', bytes: 4 },
  { ivms: u32(0x00, 'Interrupt Vector Mask Set (IVMS)') },
);

export const Intmc = struct(
  { title: 'Interrupt Mask Clear (INTMC)', cite: '[NVMe-2.0 §3.1.3.4 INTMC]', bytes: 4 },
  { ivmc: u32(0x00, 'Interrupt Vector Mask Clear (IVMC)') },
);

export const Cc = struct(
  { title: 'Controller Configuration (CC)', cite: '[NVMe-2.0 §3.1.3.5 CC]', bytes: 4 },
  {
    en: bits(0x00, 0, 0, 'Enable (EN)'),
    css: bits(0x00, 6, 4, 'I/O Command Set Selected (CSS)', CommandSetSelect),
    mps: bits(0x00, 10, 7, 'Memory Page Size, 2^(12 + value) bytes (MPS)'),
    ams: bits(0x00, 13, 11, 'Arbitration Mechanism Selected (AMS)', ArbitrationMechanism),
    shn: bits(0x00, 15, 14, 'Shutdown Notification (SHN)', ShutdownNotification),
    iosqes: bits(0x00, 19, 16, 'I/O Submission Queue Entry Size, 2^value bytes (IOSQES)'),
    iocqes: bits(0x00, 23, 20, 'I/O Completion Queue Entry Size, 2^value bytes (IOCQES)'),
    crime: bits(0x00, 24, 24, 'Controller Ready Independent of Media Enable (CRIME)'),
  },
);

export const Csts = struct(
  { title: 'Controller Status (CSTS)', cite: '[NVMe-2.0 §3.1.3.6 CSTS]', bytes: 4 },
  {
    rdy: bits(0x00, 0, 0, 'Ready (RDY)'),
    cfs: bits(0x00, 1, 1, 'Controller Fatal Status (CFS)'),
    shst: bits(0x00, 3, 2, 'Shutdown Status (SHST)', ShutdownStatus),
    nssro: bits(0x00, 4, 4, 'NVM Subsystem Reset Occurred (NSSRO)'),
    pp: bits(0x00, 5, 5, 'Processing Paused (PP)'),
    st: bits(0x00, 6, 6, 'Shutdown Type: 1 is an NVM subsystem shutdown (ST)'),
  },
);

export const Nssr = struct(
  { title: 'NVM Subsystem Reset (NSSR)', cite: '[NVMe-2.0 §3.1.3.7 NSSR]', bytes: 4 },
  { nssrc: u32(0x00, 'NVM Subsystem Reset Control: 4E564D65h resets (NSSRC)') },
);

export const Aqa = struct(
  { title: 'Admin Queue Attributes (AQA)', cite: '[NVMe-2.0 §3.1.3.8 AQA]', bytes: 4 },
  {
    asqs: count0(0x00, 11, 0, 'Admin Submission Queue Size (ASQS)'),
    acqs: count0(0x00, 27, 16, 'Admin Completion Queue Size (ACQS)'),
  },
);

export const Asq = struct(
  { title: 'Admin Submission Queue Base Address (ASQ)', cite: '[NVMe-2.0 §3.1.3.9 ASQ]', bytes: 8 },
  { asqb: u64(0x00, 'Admin Submission Queue Base, page aligned (ASQB)') },
);

export const Acq = struct(
  {
    title: 'Admin Completion Queue Base Address (ACQ)',
    cite: '[NVMe-2.0 §3.1.3.10 ACQ]',
    bytes: 8,
  },
  { acqb: u64(0x00, 'Admin Completion Queue Base, page aligned (ACQB)') },
);

export const Cmbloc = struct(
  {
    title: 'Controller Memory Buffer Location (CMBLOC)',
    cite: '[NVMe-2.0 §3.1.3.11 CMBLOC]',
    bytes: 4,
  },
  {
    bir: bits(0x00, 2, 0, 'Base Indicator Register (BIR)'),
    cqmms: bits(0x00, 3, 3, 'Queue Mixed Memory Support (CQMMS)'),
    cqpds: bits(0x00, 4, 4, 'Queue Physically Discontiguous Support (CQPDS)'),
    cdpmls: bits(0x00, 5, 5, 'Data Pointer Mixed Locations Support (CDPMLS)'),
    cdpcils: bits(0x00, 6, 6, 'Data Pointer and Command Independent Locations (CDPCILS)'),
    cdmmms: bits(0x00, 7, 7, 'Data Metadata Mixed Memory Support (CDMMMS)'),
    cqda: bits(0x00, 8, 8, 'Queue Dword Alignment (CQDA)'),
    ofst: bits(0x00, 31, 12, 'Offset, in units of CMBSZ.SZU (OFST)'),
  },
);

export const Cmbsz = struct(
  {
    title: 'Controller Memory Buffer Size (CMBSZ)',
    cite: '[NVMe-2.0 §3.1.3.12 CMBSZ]',
    bytes: 4,
  },
  {
    sqs: bits(0x00, 0, 0, 'Submission Queue Support (SQS)'),
    cqs: bits(0x00, 1, 1, 'Completion Queue Support (CQS)'),
    lists: bits(0x00, 2, 2, 'PRP SGL List Support (LISTS)'),
    rds: bits(0x00, 3, 3, 'Read Data Support (RDS)'),
    wds: bits(0x00, 4, 4, 'Write Data Support (WDS)'),
    szu: bits(0x00, 11, 8, 'Size Units, 4 KiB × 16^value (SZU)', {
      '4 KiB': 0,
      '64 KiB': 1,
      '1 MiB': 2,
      '16 MiB': 3,
      '256 MiB': 4,
      '4 GiB': 5,
      '64 GiB': 6,
    }),
    sz: bits(0x00, 31, 12, 'Size (SZ)'),
  },
);

/** Bytes that CMBSZ describes, or one unit of CMBLOC.OFST when `count` is 1. */
export function cmbBytes(count: number, szu: number): number {
  return count * 4096 * 16 ** szu;
}

export const Bpinfo = struct(
  { title: 'Boot Partition Information (BPINFO)', cite: '[NVMe-2.0 §? BPINFO]', bytes: 4 },
  {
    bpsz: bits(0x00, 14, 0, 'Boot Partition Size, in units of 128 KiB (BPSZ)'),
    brs: bits(0x00, 25, 24, 'Boot Read Status (BRS)', {
      'no read requested': 0,
      'in progress': 1,
      'completed successfully': 2,
      error: 3,
    }),
    abpid: bits(0x00, 31, 31, 'Active Boot Partition ID (ABPID)'),
  },
);

export const Bprsel = struct(
  { title: 'Boot Partition Read Select (BPRSEL)', cite: '[NVMe-2.0 §? BPRSEL]', bytes: 4 },
  {
    bprsz: bits(0x00, 9, 0, 'Boot Partition Read Size, in units of 4 KiB (BPRSZ)'),
    bprof: bits(0x00, 29, 10, 'Boot Partition Read Offset, in units of 4 KiB (BPROF)'),
    bpid: bits(0x00, 31, 31, 'Boot Partition Identifier (BPID)'),
  },
);

export const Bpmbl = struct(
  { title: 'Boot Partition Memory Buffer Location (BPMBL)', cite: '[NVMe-2.0 §? BPMBL]', bytes: 8 },
  { bmbba: u64(0x00, 'Boot Partition Memory Buffer Base Address (BMBBA)') },
);

export const Cmbmsc = struct(
  {
    title: 'Controller Memory Buffer Memory Space Control (CMBMSC)',
    cite: '[NVMe-2.0 §? CMBMSC]',
    bytes: 8,
  },
  {
    cre: bits(0x00, 0, 0, 'Capabilities Registers Enabled (CRE)'),
    cmse: bits(0x00, 1, 1, 'Controller Memory Space Enable (CMSE)'),
    cbaLow: bits(0x00, 31, 12, 'Controller Base Address, bits 31:12 (CBA)'),
    cbaHigh: u32(0x04, 'Controller Base Address, bits 63:32 (CBA)'),
  },
);

export const Cmbsts = struct(
  { title: 'Controller Memory Buffer Status (CMBSTS)', cite: '[NVMe-2.0 §? CMBSTS]', bytes: 4 },
  { cbai: bits(0x00, 0, 0, 'Controller Base Address Invalid (CBAI)') },
);

export const Cmbebs = struct(
  {
    title: 'Controller Memory Buffer Elasticity Buffer Size (CMBEBS)',
    cite: '[NVMe-2.0 §? CMBEBS]',
    bytes: 4,
  },
  {
    cmbszu: bits(0x00, 3, 0, 'CMB Elasticity Buffer Size Units (CMBSZU)'),
    cmbrbb: bits(0x00, 4, 4, 'CMB Read Bypass Behavior (CMBRBB)'),
    cmbwbz: bits(0x00, 31, 8, 'CMB Elasticity Buffer Size Base (CMBWBZ)'),
  },
);

export const Cmbswtp = struct(
  {
    title: 'Controller Memory Buffer Sustained Write Throughput (CMBSWTP)',
    cite: '[NVMe-2.0 §? CMBSWTP]',
    bytes: 4,
  },
  {
    cmbswtu: bits(0x00, 3, 0, 'CMB Sustained Write Throughput Units (CMBSWTU)'),
    cmbswtv: bits(0x00, 31, 8, 'CMB Sustained Write Throughput (CMBSWTV)'),
  },
);

export const Nssd = struct(
  { title: 'NVM Subsystem Shutdown (NSSD)', cite: '[NVMe-2.0 §? NSSD]', bytes: 4 },
  {
    nssc: bits(0x00, 31, 0, 'NVM Subsystem Shutdown Control (NSSC)', {
      normal: 0x4e726d6c,
      abrupt: 0x41627074,
    }),
  },
);

export const Crto = struct(
  { title: 'Controller Ready Timeouts (CRTO)', cite: '[NVMe-2.0 §? CRTO]', bytes: 4 },
  {
    crwmt: bits(0x00, 15, 0, 'Controller Ready With Media Timeout, 500 ms units (CRWMT)'),
    crimt: bits(0x00, 31, 16, 'Controller Ready Independent of Media Timeout (CRIMT)'),
  },
);

export const Pmrcap = struct(
  {
    title: 'Persistent Memory Region Capabilities (PMRCAP)',
    cite: '[NVMe-2.0 §? PMRCAP]',
    bytes: 4,
  },
  {
    rds: bits(0x00, 3, 3, 'Read Data Support (RDS)'),
    wds: bits(0x00, 4, 4, 'Write Data Support (WDS)'),
    bir: bits(0x00, 7, 5, 'Base Indicator Register (BIR)'),
    pmrtu: bits(0x00, 9, 8, 'Persistent Memory Region Time Units (PMRTU)', {
      '500 ms': 0,
      minutes: 1,
    }),
    pmrwbm: bits(0x00, 13, 10, 'Persistent Memory Region Write Barrier Mechanisms (PMRWBM)'),
    pmrto: bits(0x00, 23, 16, 'Persistent Memory Region Timeout (PMRTO)'),
    cmss: bits(0x00, 24, 24, 'Controller Memory Space Supported (CMSS)'),
  },
);

export const Pmrctl = struct(
  { title: 'Persistent Memory Region Control (PMRCTL)', cite: '[NVMe-2.0 §? PMRCTL]', bytes: 4 },
  { en: bits(0x00, 0, 0, 'Enable (EN)') },
);

export const Pmrsts = struct(
  { title: 'Persistent Memory Region Status (PMRSTS)', cite: '[NVMe-2.0 §? PMRSTS]', bytes: 4 },
  {
    err: bits(0x00, 7, 0, 'Error (ERR)'),
    nrdy: bits(0x00, 8, 8, 'Not Ready (NRDY)'),
    hsts: bits(0x00, 11, 9, 'Health Status (HSTS)', {
      normal: 0,
      'restore error': 1,
      'read only': 2,
      unreliable: 3,
    }),
    cbai: bits(0x00, 12, 12, 'Controller Base Address Invalid (CBAI)'),
  },
);

export const Pmrebs = struct(
  {
    title: 'Persistent Memory Region Elasticity Buffer Size (PMREBS)',
    cite: '[NVMe-2.0 §? PMREBS]',
    bytes: 4,
  },
  {
    pmrszu: bits(0x00, 3, 0, 'PMR Elasticity Buffer Size Units (PMRSZU)'),
    rbb: bits(0x00, 4, 4, 'PMR Read Bypass Behavior (RBB)'),
    pmrwbz: bits(0x00, 31, 8, 'PMR Elasticity Buffer Size Base (PMRWBZ)'),
  },
);

export const Pmrswtp = struct(
  {
    title: 'Persistent Memory Region Sustained Write Throughput (PMRSWTP)',
    cite: '[NVMe-2.0 §? PMRSWTP]',
    bytes: 4,
  },
  {
    pmrswtu: bits(0x00, 3, 0, 'PMR Sustained Write Throughput Units (PMRSWTU)'),
    pmrswtv: bits(0x00, 31, 8, 'PMR Sustained Write Throughput (PMRSWTV)'),
  },
);

export const Pmrmscl = struct(
  {
    title: 'Persistent Memory Region Memory Space Control Lower (PMRMSCL)',
    cite: '[NVMe-2.0 §? PMRMSCL]',
    bytes: 4,
  },
  {
    cmse: bits(0x00, 1, 1, 'Controller Memory Space Enable (CMSE)'),
    cba: bits(0x00, 31, 12, 'Controller Base Address, bits 31:12 (CBA)'),
  },
);

export const Pmrmscu = struct(
  {
    title: 'Persistent Memory Region Memory Space Control Upper (PMRMSCU)',
    cite: '[NVMe-2.0 §? PMRMSCU]',
    bytes: 4,
  },
  { cba: u32(0x00, 'Controller Base Address, bits 63:32 (CBA)') },
);

/** The table of each register, under the names of `Register`. */
export const registerTables = {
  cap: Cap,
  vs: Vs,
  intms: Intms,
  intmc: Intmc,
  cc: Cc,
  csts: Csts,
  nssr: Nssr,
  aqa: Aqa,
  asq: Asq,
  acq: Acq,
  cmbloc: Cmbloc,
  cmbsz: Cmbsz,
  bpinfo: Bpinfo,
  bprsel: Bprsel,
  bpmbl: Bpmbl,
  cmbmsc: Cmbmsc,
  cmbsts: Cmbsts,
  cmbebs: Cmbebs,
  cmbswtp: Cmbswtp,
  nssd: Nssd,
  crto: Crto,
  pmrcap: Pmrcap,
  pmrctl: Pmrctl,
  pmrsts: Pmrsts,
  pmrebs: Pmrebs,
  pmrswtp: Pmrswtp,
  pmrmscl: Pmrmscl,
  pmrmscu: Pmrmscu,
} as const satisfies Record<RegisterName, Struct>;
