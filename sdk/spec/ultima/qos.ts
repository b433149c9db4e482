import { bits, repeat, struct, u32, u64, wide } from '../layout.js';

/**
 * Quality of service on the card, programmed with the standard's own commands over vendor
 * specific identifiers [NVMe-2.0 §5.27.1 FID]: Set Features and Get Features (current, default,
 * saved, capabilities; Save keeps a value over resets and power cycles), Get Log Page. Only the
 * primary controller has them.
 *
 * A value counts at once, also for commands that wait. What the media work on is not called back:
 * `quietDepth` units of the capabilities and `depth` by reservation, but all that had come when no
 * client had a policy. A reset puts the saved value in force.
 */
export const QosFeature = {
  /** The whole table of tiers, `QosTierTable`; not for one namespace. */
  tiers: 0xc0,
  /** The tier of one namespace, `QosAssignment`. */
  assignment: 0xc1,
  /**
   * The tier of one I/O submission queue of this controller, `QosQueueAssignment`: its commands are
   * a client by themselves, whatever namespace they are for. It ends with the queue, and cannot be
   * saved.
   */
  queueAssignment: 0xc2,
  /** What the card does, as a run has measured it, `QosCapacityTable`. */
  capacity: 0xc3,
} as const;

export const QosLogPage = {
  /** What the card can do, `QosCapabilities`. */
  capabilities: 0xc0,
  /**
   * What it did: a header, `QosCountersHeader`, and one entry, `QosCounters`, per client that has a
   * policy, then one for each class of copies that its drives make by themselves.
   */
  counters: 0xc1,
  /** The last intervals of each, `QosHistory`, behind the same header. */
  history: 0xc2,
} as const;

/** Status of a command, status code type 1 (command specific), vendor's codes. */
export const QosStatus = {
  /** The reservations of all clients are more than the card can keep. Nothing has changed. */
  overcommitted: 0x1c0,
} as const;

/**
 * Information of asynchronous events of the vendor's type; the log page is `counters`, and reading
 * it lets the next event come.
 */
export const QosEvent = {
  /** The media have slowed: of each reservation a part is kept, or another part than before. */
  shortfall: 0x00,
  /** All reservations are kept again. */
  allKept: 0x01,
} as const;

/** What drives copy by themselves is a client of the scheduler, too. */
export const QosCopies = {
  none: 0,
  /** Garbage collection. */
  collection: 1,
  /**
   * Wear levelling, refresh, what is saved from blocks that fail, what patrols read, and pages of
   * the drives' maps that writes need: a read pays for its own.
   */
  upkeep: 2,
} as const;

export const qosTierMaximum = 8;

/** The first tier of every table; it reserves nothing, limits nothing and cannot be changed. */
export const qosBestEffortIndex = 0;

/** Weights and factors are thousandths. */
export const qosThousand = 1000;

export const QosTier = struct(
  { title: 'QoS tier', cite: '[Ultima QoS]', bytes: 128 },
  {
    name: wide(0, 64, 'text', 'Lower case letters, digits, inner hyphens; empty: no tier here'),
    minIops: u64(64, 'Assured IOPS of 4 KiB reads, 0 none'),
    minBytes: u64(72, 'Assured bytes per second, 0 none; the larger of the two counts'),
    maxIops: u64(80, 'Most IOPS of 4 KiB reads, 0 no limit'),
    maxBytes: u64(88, 'Most bytes per second, 0 no limit; the smaller of the two counts'),
    weight: u32(96, 'Part of what is left over, in thousandths'),
    burst: u32(100, 'Units of a burst above the steady rate, 0 the default'),
    latencyNs: u64(104, 'Latency that admission plans for in ns, 0 none'),
  },
);

export const QosTierTable = struct(
  { title: 'QoS tier table', cite: '[Ultima QoS]', bytes: 1024 },
  { tiers: repeat(0, qosTierMaximum, QosTier, 'Tiers by index; the first is best effort') },
);

/** Command dword 11 of Set Features, completion dword 0 of Get Features. */
export const QosAssignment = struct(
  { title: 'QoS assignment', cite: '[Ultima QoS]', bytes: 4 },
  {
    tier: bits(0, 2, 0, 'Index of a tier that is in the table'),
    bestEffort: bits(
      0,
      31,
      31,
      'Set: take it without its reservation where that does not fit. Get: it was',
    ),
  },
);

/** Command dword 11 of Set and Get Features, completion dword 0 of Get Features. */
export const QosQueueAssignment = struct(
  { title: 'QoS assignment of a queue', cite: '[Ultima QoS]', bytes: 4 },
  {
    queue: bits(0, 15, 0, 'Submission Queue Identifier'),
    tier: bits(0, 18, 16, 'Index of a tier that is in the table'),
    bestEffort: bits(0, 31, 31, 'As of a namespace'),
  },
);

export const qosCapacityPoints = 8;

/** Units per second with 99 % of the requests below a latency; 0 where it was not measured. */
export const QosCapacityPoint = struct(
  { title: 'QoS capacity point', cite: '[Ultima QoS]', bytes: 48 },
  {
    latencyNs: u64(0, 'Latency of 99 % of the requests, in ns'),
    reads: u64(8, 'Reads of 4 KiB'),
    mixed: u64(16, 'Seven reads to three writes of 4 KiB'),
    writes: u64(24, 'Writes of 4 KiB'),
    large: u64(32, 'Reads of 64 KiB'),
  },
);

/** What may be promised is the least that was measured, less the headroom. */
export const QosCapacityTable = struct(
  { title: 'QoS capacity table', cite: '[Ultima QoS]', bytes: 512 },
  {
    count: u32(0, "Points that follow, by rising latency; 0 for the maker's capacity"),
    writeCost: u32(4, "What a write costs in reads of its size, in thousandths; 0 the maker's"),
    headroom: u32(8, 'Part that is promised to nobody, in thousandths'),
    points: repeat(64, qosCapacityPoints, QosCapacityPoint, 'Points'),
  },
);

export const QosCapabilities = struct(
  { title: 'QoS capabilities log', cite: '[Ultima QoS]', bytes: 64 },
  {
    tiers: u32(0, 'Tiers that a table can have'),
    namespaces: u32(4, 'Namespaces that can have a policy'),
    capacity: u64(8, 'Units per second that can be reserved; a unit is a 4 KiB read'),
    depth: u32(16, 'Units that the media work on at one time'),
    unitBytes: u32(20, 'Bytes of a read that costs one unit'),
    writeCost: u32(24, 'What a write costs in reads of its size, in thousandths'),
    discardCost: u32(28, 'What any other command costs in units, in thousandths'),
    intervalMs: u32(32, 'Length of an interval of the counters in milliseconds'),
    isMeasured: u32(36, '1 when the capacity comes from a measuring run'),
    promised: u64(40, 'Units per second that are reserved'),
    history: u32(48, 'Intervals that the history keeps'),
    kept: u32(52, 'Part of each reservation that the media keep now, in thousandths'),
    quietDepth: u32(56, 'Units at one time while no client with a reservation has commands'),
  },
);

export const QosCounters = struct(
  { title: 'QoS counters of a namespace', cite: '[Ultima QoS]', bytes: 64 },
  {
    nsid: u32(0, 'Namespace Identifier'),
    tier: u32(4, 'Index of its tier'),
    served: u64(8, 'Units handed to the media'),
    reserved: u64(16, 'Units of these by reservation'),
    throttled: u64(24, 'Commands that had to wait in the card'),
    guaranteed: u32(32, 'Intervals in which it had a reservation and commands'),
    met: u32(36, 'Intervals of these in which it got its units or was not waiting'),
    lastServed: u64(40, 'Units in the last complete interval'),
    waiting: u32(48, 'Commands that wait now'),
    queue: u32(52, 'Submission Queue Identifier, 0 for a namespace; then the NSID is 0'),
    isBestEffort: bits(56, 0, 0, '1 when its reservation did not fit and is not kept'),
    copies: bits(56, 9, 8, 'Class of copies, 0 for a namespace or a queue'),
    kept: u32(60, 'Units per second that it is sure of now'),
  },
);

export const QosCountersHeader = struct(
  { title: 'QoS counters log', cite: '[Ultima QoS]', bytes: 64 },
  {
    count: u32(0, 'Entries that follow'),
    interval: u64(8, 'Complete intervals since power came'),
  },
);

export const qosHistoryIntervals = 16;

export const QosSample = struct(
  { title: 'QoS interval', cite: '[Ultima QoS]', bytes: 32 },
  {
    interval: u64(0, 'Which one'),
    served: u32(8, 'Units handed to the media'),
    due: u32(12, 'Units that it reserves in an interval'),
    throttled: u32(16, 'Commands that began to wait'),
    isGuaranteed: bits(20, 0, 0, 'It had a reservation and commands'),
    isMet: bits(20, 1, 1, 'It got its units or was not waiting'),
  },
);

export const QosHistory = struct(
  { title: 'QoS history of a client', cite: '[Ultima QoS]', bytes: 576 },
  {
    nsid: u32(0, 'Namespace Identifier, 0 for a queue'),
    queue: u32(4, 'Submission Queue Identifier, 0 for a namespace'),
    tier: u32(8, 'Index of its tier'),
    count: u32(12, 'Intervals that follow, the latest last'),
    copies: u32(16, 'Class of copies, 0 for a namespace or a queue'),
    samples: repeat(64, qosHistoryIntervals, QosSample, 'Complete intervals'),
  },
);
