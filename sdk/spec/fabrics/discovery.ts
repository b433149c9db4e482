import { bits, struct, u64, wide } from '../layout.js';

/** The header is followed by entries from byte 1024 on [NVMe-2.0 §5.16.1.23 Discovery]. */
export const DiscoveryLog = struct(
  { title: 'Discovery log header', cite: '[NVMe-2.0 §5.16.1.23 Discovery]', bytes: 1024 },
  {
    generation: u64(0, 'Generation Counter (GENCTR)'),
    records: u64(8, 'Number of Records (NUMREC)'),
    recfmt: bits(16, 15, 0, 'Record Format (RECFMT)'),
  },
);

export const TransportType = { rdma: 1, fibreChannel: 2, tcp: 3, loop: 254 } as const;
export const AddressFamily = { ipv4: 1, ipv6: 2 } as const;
export const SubsystemType = { referral: 1, nvm: 2, current: 3 } as const;
export const SecureChannel = { notSpecified: 0, required: 1, notRequired: 2 } as const;
/** SECTYPE, the first byte of TSAS for TCP [NVMe-TCP-1.0 §3.1.3 TSAS]. */
export const TcpSecurity = { none: 0, tls12: 1, tls13: 2 } as const;

export const DiscoveryEntry = struct(
  { title: 'Discovery log entry', cite: '[NVMe-2.0 §5.16.1.23 Discovery]', bytes: 1024 },
  {
    trtype: bits(0, 7, 0, 'Transport Type (TRTYPE)', TransportType),
    adrfam: bits(0, 15, 8, 'Address Family (ADRFAM)', AddressFamily),
    subtype: bits(0, 23, 16, 'Subsystem Type (SUBTYPE)', SubsystemType),
    secureChannel: bits(0, 25, 24, 'Secure channel (TREQ)', SecureChannel),
    noFlowControl: bits(0, 26, 26, 'SQ flow control may be disabled (TREQ)'),
    portid: bits(4, 15, 0, 'Port ID (PORTID)'),
    cntlid: bits(4, 31, 16, 'Controller ID (CNTLID)'),
    asqsz: bits(8, 15, 0, 'Admin Max SQ Size (ASQSZ)'),
    trsvcid: wide(32, 32, 'text', 'Transport Service Identifier (TRSVCID)'),
    subnqn: wide(256, 256, 'text', 'NVM Subsystem Qualified Name (SUBNQN)'),
    traddr: wide(512, 256, 'text', 'Transport Address (TRADDR)'),
    sectype: bits(768, 7, 0, 'Security Type of TCP (TSAS.SECTYPE)', TcpSecurity),
  },
);
