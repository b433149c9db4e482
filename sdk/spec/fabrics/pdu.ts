import { bits, count0, type Layout, type Struct, struct, u32 } from '../layout.js';

/** PDU types of NVMe/TCP [NVMe-TCP-1.0 §3.6.1 PDU-Type]. */
export const PduType = {
  icReq: 0x00,
  icResp: 0x01,
  h2cTermReq: 0x02,
  c2hTermReq: 0x03,
  capsuleCmd: 0x04,
  capsuleResp: 0x05,
  h2cData: 0x06,
  c2hData: 0x07,
  r2t: 0x09,
} as const;

export type PduType = (typeof PduType)[keyof typeof PduType];

/** Flags of the common header. `last` and `success` mean something in data PDUs only. */
export const PduFlag = { headerDigest: 1, dataDigest: 2, last: 4, success: 8 } as const;

/** PFV: the one format there is. */
export const pduFormatVersion = 0;

/** A digest is a CRC32C, low byte first [NVMe-TCP-1.0 §3.3.1.1 Digests]. */
export const digestBytes = 4;

/** Largest header of all: the connection's first exchange. */
export const largestHeaderBytes = 128;

/** Bytes of a refused PDU that a termination request may show [NVMe-TCP-1.0 §3.6.2.3]. */
export const mostTermDataBytes = 128;

/** MAXH2CDATA is this at least [NVMe-TCP-1.0 §3.6.2.2 ICResp]. */
export const leastMaxDataBytes = 4096;

/** Ports that IANA gave to discovery and to I/O over TCP [NVMe-TCP-1.0 §3.1.1]. */
export const discoveryPort = 8009;
export const defaultPort = 4420;

const layout = (title: string, section: string, bytes: number): Layout => ({
  title,
  cite: `[NVMe-TCP-1.0 §${section}]`,
  bytes,
});

/** What every PDU starts with. Offsets of all tables here count from it. */
const common = {
  type: bits(0x00, 7, 0, 'PDU type', PduType),
  flags: bits(0x00, 15, 8, 'Flags (FLAGS)'),
  hlen: bits(0x00, 23, 16, 'Header Length (HLEN)'),
  pdo: bits(0x00, 31, 24, 'PDU Data Offset (PDO)'),
  plen: u32(0x04, 'PDU Length (PLEN)'),
} as const;

export const PduHeader = struct(layout('PDU common header', '3.6.1 CH', 8), common);

/** HPDA and CPDA count dwords from 1. */
export const InitializeRequest = struct(
  layout('Initialize Connection Request', '3.6.2.1 ICReq', 128),
  {
    ...common,
    pfv: bits(0x08, 15, 0, 'PDU Format Version (PFV)'),
    hpda: bits(0x08, 23, 16, "Host PDU Data Alignment in dwords, 0's based (HPDA)"),
    headerDigest: bits(0x08, 24, 24, 'Header digest wanted (HDGST_ENABLE)'),
    dataDigest: bits(0x08, 25, 25, 'Data digest wanted (DDGST_ENABLE)'),
    maxr2t: count0(0x0c, 31, 0, 'R2Ts outstanding for one command (MAXR2T)'),
  },
);

export const InitializeResponse = struct(
  layout('Initialize Connection Response', '3.6.2.2 ICResp', 128),
  {
    ...common,
    pfv: bits(0x08, 15, 0, 'PDU Format Version (PFV)'),
    cpda: bits(0x08, 23, 16, "Controller PDU Data Alignment in dwords, 0's based (CPDA)"),
    headerDigest: bits(0x08, 24, 24, 'Header digest used (HDGST_ENABLE)'),
    dataDigest: bits(0x08, 25, 25, 'Data digest used (DDGST_ENABLE)'),
    maxh2cdata: u32(0x0c, 'Most bytes of one H2CData PDU (MAXH2CDATA)'),
  },
);

/** Largest value of HPDA and CPDA: 128 bytes. */
export const mostDataAlignment = 31;

/** FES of H2CTermReq and C2HTermReq alike. */
export const FatalError = {
  invalidHeaderField: 1,
  sequenceError: 2,
  headerDigestError: 3,
  dataOutOfRange: 4,
  /** Of C2HTermReq; H2CTermReq says `dataLimitExceeded` with it. */
  r2tLimitExceeded: 5,
  unsupportedParameter: 6,
} as const;

export type FatalError = (typeof FatalError)[keyof typeof FatalError];

/** Both directions; the header that was refused follows. */
export const TermRequest = struct(layout('Termination Request', '3.6.2.3 TermReq', 24), {
  ...common,
  fes: bits(0x08, 15, 0, 'Fatal Error Status (FES)', FatalError),
  feiLow: bits(0x08, 31, 16, 'Fatal Error Information, bits 15:0 (FEI)'),
  feiHigh: bits(0x0c, 15, 0, 'Fatal Error Information, bits 31:16 (FEI)'),
});

/** The submission queue entry follows, then data in the capsule. */
export const CapsuleCommand = struct(layout('Command Capsule', '3.6.2.5 CapsuleCmd', 72), {
  ...common,
});

/** The completion queue entry follows. */
export const CapsuleResponse = struct(layout('Response Capsule', '3.6.2.6 CapsuleResp', 24), {
  ...common,
});

/** Where an entry starts inside its capsule, in dwords. */
export const capsuleEntryDword = 2;

export const HostData = struct(layout('Host To Controller Data', '3.6.2.7 H2CData', 24), {
  ...common,
  cccid: bits(0x08, 15, 0, 'Command Capsule CID (CCCID)'),
  ttag: bits(0x08, 31, 16, 'Transfer Tag (TTAG)'),
  offset: u32(0x0c, 'Data Offset (DATAO)'),
  length: u32(0x10, 'Data Length (DATAL)'),
});

export const ControllerData = struct(layout('Controller To Host Data', '3.6.2.8 C2HData', 24), {
  ...common,
  cccid: bits(0x08, 15, 0, 'Command Capsule CID (CCCID)'),
  offset: u32(0x0c, 'Data Offset (DATAO)'),
  length: u32(0x10, 'Data Length (DATAL)'),
});

export const ReadyToTransfer = struct(layout('Ready To Transfer', '3.6.2.9 R2T', 24), {
  ...common,
  cccid: bits(0x08, 15, 0, 'Command Capsule CID (CCCID)'),
  ttag: bits(0x08, 31, 16, 'Transfer Tag (TTAG)'),
  offset: u32(0x0c, 'Requested Data Offset (R2TO)'),
  length: u32(0x10, 'Requested Data Length (R2TL)'),
});

/** HLEN of each type, 0 for what is no type. Digests do not count. */
const headerBytes: readonly number[] = headerLengths([
  [PduType.icReq, InitializeRequest],
  [PduType.icResp, InitializeResponse],
  [PduType.h2cTermReq, TermRequest],
  [PduType.c2hTermReq, TermRequest],
  [PduType.capsuleCmd, CapsuleCommand],
  [PduType.capsuleResp, CapsuleResponse],
  [PduType.h2cData, HostData],
  [PduType.c2hData, ControllerData],
  [PduType.r2t, ReadyToTransfer],
]);

function headerLengths(tables: readonly (readonly [type: number, table: Struct])[]): number[] {
  const lengths = new Array<number>(256).fill(0);
  for (const [type, table] of tables) lengths[type] = table.layout.bytes;
  return lengths;
}

export function headerBytesOf(type: number): number {
  return headerBytes[type]!;
}
