import { bits, repeat, struct, u32, u64, wide } from '../layout.js';

/**
 * Quality of service on the card, programmed with the standard's own commands over vendor
 * specific identifiers [NVMe-2.0 §5.27.1 FID]: Set Features and Get Features (current, default,
 * saved, capabilities; Save keeps a value over resets and power cycles), Get Log Page. Only the
 * primary controller has them.
 *
 * A value counts at once, also for commands that wait. A reset puts the saved value in force.
 */
export const QosFeature = {
  /** The whole table of tiers, `QosTierTable`; not for one namespace. */
  tiers: 0xc0,
  /** The tier of one namespace, `QosAssignment`. */
  assignment: 0xc1,
} as const;

export const QosLogPage = {
  /** What the card can do, `QosCapabilities`. */
  capabilities: 0xc0,
  /** What it did, `QosCountersLog`: a header and one entry per namespace that has a policy. */
  counters: 0xc1,
} as const;

/** Status of a command, status code type 1 (command specific), vendor's codes. */
export const QosStatus = {
  /** The reservations of all namespaces are more than the card can keep. Nothing has changed. */
  overcommitted: 0x1c0,
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
  { tier: bits(0, 2, 0, 'Index of a tier that is in the table') },
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
  },
);

export const QosCountersHeader = struct(
  { title: 'QoS counters log', cite: '[Ultima QoS]', bytes: 64 },
  {
    count: u32(0, 'Entries that follow'),
    interval: u64(8, 'Complete intervals since power came'),
  },
);
