import { bits, count0, repeat, struct, u32, u64, wide } from '../layout.js';

/** RP: how a block format compares with the others. */
export const RelativePerformance = { best: 0, better: 1, good: 2, degraded: 3 } as const;

export const LbaFormat = struct(
  { title: 'LBA Format', cite: '[NVM-1.0 §4.1.5.1 LBA Format]', bytes: 4 },
  {
    ms: bits(0, 15, 0, 'Metadata Size in bytes (MS)'),
    lbads: bits(0, 23, 16, 'LBA Data Size, power of two (LBADS)'),
    rp: bits(0, 25, 24, 'Relative Performance (RP)', RelativePerformance),
  },
);

/** DPS.PIT: the type of protection information that a namespace is formatted with. */
export const ProtectionType = { none: 0, type1: 1, type2: 2, type3: 3 } as const;

/** DLFEAT: what a deallocated block reads as. */
export const DeallocatedReads = { notReported: 0, zeroes: 1, ones: 2 } as const;

export const IdentifyNamespace = struct(
  {
    title: 'Identify Namespace, NVM command set',
    cite: '[NVM-1.0 §4.1.5.1 Identify Namespace]',
    bytes: 4096,
  },
  {
    nsze: u64(0, 'Namespace Size in blocks (NSZE)'),
    ncap: u64(8, 'Namespace Capacity in blocks (NCAP)'),
    nuse: u64(16, 'Namespace Utilization in blocks (NUSE)'),
    nsfeatThin: bits(24, 0, 0, 'Thin provisioning (NSFEAT.THINP)'),
    nsfeatAtomic: bits(24, 1, 1, 'NAWUN, NAWUPF and NACWU are defined (NSFEAT.NSABP)'),
    nsfeatDealloc: bits(24, 2, 2, 'Deallocated or unwritten block error (NSFEAT.DAE)'),
    nsfeatUidReuse: bits(24, 3, 3, 'NGUID and EUI64 are never reused (NSFEAT.UIDREUSE)'),
    nsfeatOptimal: bits(24, 4, 4, 'NPWG, NPWA, NPDG, NPDA and NOWS are defined (NSFEAT.OPTPERF)'),
    nlbaf: count0(24, 15, 8, 'Number of LBA Formats (NLBAF)'),
    flbasIndex: bits(24, 19, 16, 'Format index, low four bits (FLBAS)'),
    flbasExtended: bits(24, 20, 20, 'Metadata at the end of the data block (FLBAS)'),
    flbasIndexHigh: bits(24, 22, 21, 'Format index, high two bits (FLBAS)'),
    mcExtended: bits(24, 24, 24, 'Metadata as part of an extended data block (MC)'),
    mcSeparate: bits(24, 25, 25, 'Metadata in a separate buffer (MC)'),
    dpcType1: bits(28, 0, 0, 'Protection Information Type 1 (DPC)'),
    dpcType2: bits(28, 1, 1, 'Protection Information Type 2 (DPC)'),
    dpcType3: bits(28, 2, 2, 'Protection Information Type 3 (DPC)'),
    dpcFirst: bits(28, 3, 3, 'Protection information in the first bytes of metadata (DPC)'),
    dpcLast: bits(28, 4, 4, 'Protection information in the last bytes of metadata (DPC)'),
    dpsType: bits(28, 10, 8, 'Protection Information Type (DPS.PIT)', ProtectionType),
    dpsFirst: bits(28, 11, 11, 'Protection information is first in metadata (DPS.PIP)'),
    nmicShared: bits(28, 16, 16, 'Two or more controllers may attach (NMIC)'),
    rescapPersist: bits(28, 24, 24, 'Persist Through Power Loss (RESCAP)'),
    rescapWriteExclusive: bits(28, 25, 25, 'Write Exclusive (RESCAP)'),
    rescapExclusiveAccess: bits(28, 26, 26, 'Exclusive Access (RESCAP)'),
    rescapWriteExclusiveRegistrants: bits(
      28,
      27,
      27,
      'Write Exclusive - Registrants Only (RESCAP)',
    ),
    rescapExclusiveAccessRegistrants: bits(
      28,
      28,
      28,
      'Exclusive Access - Registrants Only (RESCAP)',
    ),
    rescapWriteExclusiveAll: bits(28, 29, 29, 'Write Exclusive - All Registrants (RESCAP)'),
    rescapExclusiveAccessAll: bits(28, 30, 30, 'Exclusive Access - All Registrants (RESCAP)'),
    rescapIekey13: bits(28, 31, 31, 'Ignore Existing Key as of revision 1.3 (RESCAP)'),
    fpiRemaining: bits(32, 6, 0, 'Per cent still to be formatted (FPI)'),
    fpiSupported: bits(32, 7, 7, 'Format Progress Indicator is supported (FPI)'),
    dlfeatReads: bits(32, 10, 8, 'What a deallocated block reads as (DLFEAT)', DeallocatedReads),
    dlfeatWriteZeroes: bits(32, 11, 11, 'Deallocate bit in Write Zeroes (DLFEAT)'),
    dlfeatGuard: bits(32, 12, 12, 'Guard of deallocated blocks is a valid CRC (DLFEAT)'),
    nawun: count0(32, 31, 16, 'Namespace Atomic Write Unit Normal in blocks (NAWUN)'),
    nawupf: count0(36, 15, 0, 'Namespace Atomic Write Unit Power Fail in blocks (NAWUPF)'),
    nacwu: count0(36, 31, 16, 'Namespace Atomic Compare and Write Unit in blocks (NACWU)'),
    nabsn: bits(40, 15, 0, "Namespace Atomic Boundary Size Normal, 0's based, 0 none (NABSN)"),
    nabo: bits(40, 31, 16, 'Namespace Atomic Boundary Offset (NABO)'),
    nabspf: bits(44, 15, 0, "Atomic Boundary Size Power Fail, 0's based, 0 none (NABSPF)"),
    noiob: bits(44, 31, 16, 'Namespace Optimal I/O Boundary in blocks, 0 none (NOIOB)'),
    nvmcap: wide(48, 16, 'count', 'NVM Capacity in bytes (NVMCAP)'),
    npwg: count0(64, 15, 0, 'Namespace Preferred Write Granularity in blocks (NPWG)'),
    npwa: count0(64, 31, 16, 'Namespace Preferred Write Alignment in blocks (NPWA)'),
    npdg: count0(68, 15, 0, 'Namespace Preferred Deallocate Granularity in blocks (NPDG)'),
    npda: count0(68, 31, 16, 'Namespace Preferred Deallocate Alignment in blocks (NPDA)'),
    nows: count0(72, 15, 0, 'Namespace Optimal Write Size in blocks (NOWS)'),
    mssrl: bits(72, 31, 16, 'Maximum Single Source Range Length in blocks (MSSRL)'),
    mcl: u32(76, 'Maximum Copy Length in blocks (MCL)'),
    msrc: count0(80, 7, 0, 'Maximum Source Range Count (MSRC)'),
    anagrpid: u32(92, 'ANA Group Identifier (ANAGRPID)'),
    nsattrWriteProtected: bits(96, 24, 24, 'Currently write protected (NSATTR)'),
    nvmsetid: bits(100, 15, 0, 'NVM Set Identifier (NVMSETID)'),
    endgid: bits(100, 31, 16, 'Endurance Group Identifier (ENDGID)'),
    nguid: wide(104, 16, 'id', 'Namespace Globally Unique Identifier (NGUID)'),
    eui64: wide(120, 8, 'id', 'IEEE Extended Unique Identifier (EUI64)'),
    lbaf: repeat(128, 64, LbaFormat, 'LBA Formats (LBAF)'),
    vs: wide(384, 3712, 'raw', 'Vendor Specific (VS)'),
  },
);

/** PIF: the shape of the protection information of an extended format. */
export const GuardFormat = { guard16: 0, guard32: 1, guard64: 2 } as const;

export const ExtendedLbaFormat = struct(
  { title: 'Extended LBA Format', cite: '[NVM-1.0 §4.1.5.3 ELBAF]', bytes: 4 },
  {
    sts: bits(0, 6, 0, 'Storage Tag Size in bits (STS)'),
    pif: bits(0, 8, 7, 'Protection Information Format (PIF)', GuardFormat),
  },
);

export const IdentifyNamespaceNvm = struct(
  {
    title: 'I/O Command Set Specific Identify Namespace, NVM',
    cite: '[NVM-1.0 §4.1.5.3 I/O Command Set Specific Identify Namespace]',
    bytes: 4096,
  },
  {
    lbstm: wide(0, 8, 'raw', 'Logical Block Storage Tag Mask (LBSTM)'),
    picGuard16Sts: bits(8, 0, 0, '16-bit guard with storage tag (PIC)'),
    picGuard16Stm: bits(8, 1, 1, '16-bit guard with storage tag mask (PIC)'),
    picStcrs: bits(8, 2, 2, 'Storage Tag Check Read Support (PIC)'),
    elbaf: repeat(12, 64, ExtendedLbaFormat, 'Extended LBA Formats (ELBAF)'),
  },
);

export const IdentifyNamespaceIndependent = struct(
  {
    title: 'I/O Command Set Independent Identify Namespace',
    cite: '[NVMe-2.0 §5.17.2.8 I/O Command Set Independent Identify Namespace]',
    bytes: 4096,
  },
  {
    nsfeatUidReuse: bits(0, 3, 3, 'NGUID and EUI64 are never reused (NSFEAT.UIDREUSE)'),
    nsfeatRmedia: bits(0, 4, 4, 'Rotational media (NSFEAT.RMEDIA)'),
    nmicShared: bits(0, 8, 8, 'Two or more controllers may attach (NMIC)'),
    rescap: bits(0, 23, 16, 'Reservation Capabilities (RESCAP)'),
    fpiRemaining: bits(0, 30, 24, 'Per cent still to be formatted (FPI)'),
    fpiSupported: bits(0, 31, 31, 'Format Progress Indicator is supported (FPI)'),
    anagrpid: u32(4, 'ANA Group Identifier (ANAGRPID)'),
    nsattrWriteProtected: bits(8, 0, 0, 'Currently write protected (NSATTR)'),
    nvmsetid: bits(8, 31, 16, 'NVM Set Identifier (NVMSETID)'),
    endgid: bits(12, 15, 0, 'Endurance Group Identifier (ENDGID)'),
    nstatReady: bits(12, 16, 16, 'Namespace Ready (NSTAT.NRDY)'),
  },
);

/** NIDT: kinds of namespace identification descriptors. */
export const NamespaceIdentifierType = { eui64: 1, nguid: 2, uuid: 3, csi: 4 } as const;

/** The four bytes before each identifier; the next descriptor follows the identifier's bytes. */
export const NamespaceDescriptor = struct(
  {
    title: 'Namespace Identification Descriptor',
    cite: '[NVMe-2.0 §5.17.2.4 Namespace Identification Descriptor list]',
    bytes: 4,
  },
  {
    nidt: bits(0, 7, 0, 'Namespace Identifier Type (NIDT)', NamespaceIdentifierType),
    nidl: bits(0, 15, 8, 'Namespace Identifier Length in bytes (NIDL)'),
  },
);
