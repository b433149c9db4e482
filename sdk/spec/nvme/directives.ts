import { bits, repeat, struct, u32, wide } from '../layout.js';

/** Returned by Directive Receive, Identify, Return Parameters: one bit for each directive type. */
export const DirectiveParameters = struct(
  {
    title: 'Identify directive parameters',
    cite: '[NVMe-2.0 §8.7.2.1.1 Return Parameters]',
    bytes: 4096,
  },
  {
    identifySupported: bits(0, 0, 0, 'Identify directive is supported'),
    streamsSupported: bits(0, 1, 1, 'Streams directive is supported'),
    identifyEnabled: bits(32, 0, 0, 'Identify directive is enabled'),
    streamsEnabled: bits(32, 1, 1, 'Streams directive is enabled'),
  },
);

export const StreamsParameters = struct(
  {
    title: 'Streams directive parameters',
    cite: '[NVMe-2.0 §8.7.3.1.1 Return Parameters]',
    bytes: 32,
  },
  {
    msl: bits(0, 15, 0, 'Max Streams Limit (MSL)'),
    nssa: bits(0, 31, 16, 'NVM Subsystem Streams Available (NSSA)'),
    nsso: bits(4, 15, 0, 'NVM Subsystem Streams Open (NSSO)'),
    nssc: bits(4, 23, 16, 'NVM Subsystem Stream Capability (NSSC)'),
    sws: u32(16, 'Stream Write Size in blocks (SWS)'),
    sgs: bits(20, 15, 0, 'Stream Granularity Size in units of SWS (SGS)'),
    nsa: bits(20, 31, 16, 'Namespace Streams Allocated (NSA)'),
    nso: bits(24, 15, 0, 'Namespace Streams Open (NSO)'),
  },
);

const OpenStreamPair = struct(
  { title: 'Open streams', cite: '[NVMe-2.0 §8.7.3.1.2 Get Status]', bytes: 4 },
  {
    first: bits(0, 15, 0, 'Open stream count, or a stream identifier'),
    second: bits(0, 31, 16, 'Stream identifier'),
  },
);

/** A count and that many stream identifiers, 16 bits each. */
export const StreamsStatus = struct(
  {
    title: 'Streams directive status',
    cite: '[NVMe-2.0 §8.7.3.1.2 Get Status]',
    bytes: 4096,
  },
  { pairs: repeat(0, 1024, OpenStreamPair, 'Count, then identifiers') },
);

/** Completion dword 0 of Directive Receive, Streams, Allocate Resources. */
export const StreamsAllocated = struct(
  { title: 'Streams allocated', cite: '[NVMe-2.0 §8.7.3.1.3 Allocate Resources]', bytes: 4 },
  { nsa: bits(0, 15, 0, 'Namespace Streams Allocated (NSA)') },
);

/** Security protocol 00h: what the device can do. Lengths are big endian. */
export const SecurityInformation = struct(
  { title: 'Security protocol information', cite: '[NVMe-2.0 §5.25 Security Receive]', bytes: 12 },
  {
    listLength: wide(6, 2, 'raw', 'Supported security protocol list length, big endian'),
    protocols: wide(8, 4, 'raw', 'Supported security protocols'),
  },
);

/** SP Specific values of security protocol 00h. */
export const SecuritySpecific = { protocolList: 0x0000, certificate: 0x0001 } as const;
