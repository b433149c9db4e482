import { KiB } from '../sdk/units.js';
import type { LoadOptions } from './io-load.js';

/** What is known of a real drive. Latencies in microseconds, as printed by the source. */
export interface Target {
  readonly iops?: number;
  readonly megabytesPerSecond?: number;
  readonly meanUs?: number;
  readonly p50Us?: number;
  readonly p99Us?: number;
  /** Reported, not judged. */
  readonly p99999Us?: number;
}

export interface Row {
  readonly name: string;
  readonly profile: string;
  readonly load: Pick<LoadOptions, 'depth' | 'bytes' | 'readPercent' | 'isSequential'>;
  /** The drive was never written; otherwise it is full, as the review prepared it. */
  readonly isFresh?: boolean;
  readonly target: Target;
  /** No constant of the profile was chosen by looking at this row. */
  readonly isHeldOut: boolean;
  readonly source: string;
}

const randomRead = (depth: number): Row['load'] => ({ depth, bytes: 4 * KiB, readPercent: 100 });
const randomWrite = (depth: number): Row['load'] => ({ depth, bytes: 4 * KiB, readPercent: 0 });
const sequential = (readPercent: number): Row['load'] => ({
  depth: 32,
  bytes: 128 * KiB,
  readPercent,
  isSequential: true,
});

const anandtech = 'AnandTech 11209';
const intel = 'data sheet, by AnandTech 11930';
const samsung = 'data sheet';

/** The calibration rows for which there is a profile. */
export const rows: readonly Row[] = [
  {
    name: 'rr_qd1',
    profile: 'p4800x',
    load: randomRead(1),
    target: { iops: 108_300, meanUs: 8.9, p50Us: 9, p99Us: 10, p99999Us: 37 },
    isHeldOut: false,
    source: anandtech,
  },
  {
    name: 'rr_qd16',
    profile: 'p4800x',
    load: randomRead(16),
    target: { iops: 584_800, meanUs: 25.5, p50Us: 25, p99Us: 41, p99999Us: 81 },
    isHeldOut: false,
    source: anandtech,
  },
  {
    name: 'rr_sheet',
    profile: 'p4800x',
    load: randomRead(16),
    target: { iops: 550_000 },
    isHeldOut: true,
    source: intel,
  },
  {
    name: 'rw_sheet',
    profile: 'p4800x',
    load: randomWrite(16),
    target: { iops: 500_000 },
    isHeldOut: false,
    source: intel,
  },
  {
    name: 'mixed7030_sheet',
    profile: 'p4800x',
    load: { depth: 16, bytes: 4 * KiB, readPercent: 70 },
    target: { iops: 500_000 },
    isHeldOut: false,
    source: intel,
  },
  {
    name: 'sr_sheet',
    profile: 'p4800x',
    load: sequential(100),
    target: { megabytesPerSecond: 2400 },
    isHeldOut: true,
    source: intel,
  },
  {
    name: 'sw_sheet',
    profile: 'p4800x',
    load: sequential(0),
    target: { megabytesPerSecond: 2000 },
    isHeldOut: false,
    source: intel,
  },
  {
    name: 'rr_qd1',
    profile: 'p3700',
    load: randomRead(1),
    target: { iops: 12_800, meanUs: 77.9, p50Us: 76, p99Us: 96, p99999Us: 2768 },
    isHeldOut: false,
    source: anandtech,
  },
  {
    name: 'rr_qd16',
    profile: 'p3700',
    load: randomRead(16),
    target: { iops: 167_200, meanUs: 93.9, p50Us: 91, p99Us: 163, p99999Us: 2320 },
    isHeldOut: false,
    source: anandtech,
  },
  {
    name: 'rr_qd1',
    profile: '9100max',
    load: randomRead(1),
    target: { iops: 9_200, meanUs: 107.7, p50Us: 104, p99Us: 117, p99999Us: 306 },
    isHeldOut: false,
    source: anandtech,
  },
  {
    name: 'rr_qd16',
    profile: '9100max',
    load: randomRead(16),
    target: { iops: 135_700, meanUs: 116.2, p50Us: 114, p99Us: 205, p99999Us: 1560 },
    isHeldOut: true,
    source: anandtech,
  },
  {
    name: 'rr_qd1',
    profile: '983zet',
    load: randomRead(1),
    target: { meanUs: 16 },
    isHeldOut: false,
    source: 'AnandTech 13951',
  },
  {
    name: 'rr_sheet',
    profile: '970pro',
    load: randomRead(128),
    target: { iops: 370_000 },
    isHeldOut: true,
    source: samsung,
  },
  {
    name: 'rw_sheet',
    profile: '970pro',
    load: randomWrite(128),
    isFresh: true,
    target: { iops: 500_000 },
    isHeldOut: false,
    source: samsung,
  },
  {
    name: 'sr_sheet',
    profile: '970pro',
    load: sequential(100),
    target: { megabytesPerSecond: 3500 },
    isHeldOut: true,
    source: samsung,
  },
  {
    name: 'sw_sheet',
    profile: '970pro',
    load: sequential(0),
    isFresh: true,
    target: { megabytesPerSecond: 2300 },
    isHeldOut: true,
    source: samsung,
  },
];

/** Rows of the table without a profile here, or that only compare. */
export const rowsLeftOut = 'P5800X (three rows), 983 DCT and P4510 (relative figures), 16 x P5800X';
