import { AllocationFlag } from '../spec/nbd/transmission.js';

/** A range of an export about which something is known. */
export interface NbdRange {
  readonly byteOffset: number;
  readonly byteLength: number;
  /** Whether there is data now; without it the range reads as zeroes. */
  readonly isData: boolean;
}

/** Ranges in ascending order that do not overlap, from the first that ends behind `startByte`. */
export type NbdRanges = (startByte: number) => Iterable<NbdRange>;

/** What an export knows about its ranges besides their content. */
export interface NbdMetadata {
  /** What is allocated; all that lies between is a hole and reads as zeroes. */
  readonly allocated?: NbdRanges;
  /** The snapshots to compare with, newest state of affairs: asked at each negotiation. */
  differences?(): readonly NbdDifference[];
}

export interface NbdDifference {
  readonly snapshot: string;
  /** What has changed since; all that lies between is as it was. */
  readonly changed: NbdRanges;
}

/** Bits of an extent of 'ultima:diff-SNAPSHOT'. An unchanged extent has none of them. */
export const DifferenceFlag = { changed: 1 << 0, zero: 1 << 1 } as const;

/** A metadata context that a client can choose [NBD §Metadata querying]. */
export interface MetadataContext {
  readonly name: string;
  readonly ranges: NbdRanges;
  /** Of what lies in a range with data, in one without, and between ranges. */
  readonly dataFlags: number;
  readonly zeroFlags: number;
  readonly gapFlags: number;
}

export const allocationName = 'base:allocation';
export const differencePrefix = 'ultima:diff-';
/** Contexts that one export lists at most. */
const mostContexts = 4096;

/** Everything is allocated, as far as anybody knows. */
function* whole(): Generator<NbdRange> {
  yield { byteOffset: 0, byteLength: Number.MAX_SAFE_INTEGER, isData: true };
}

export function contextsOf(metadata: NbdMetadata): MetadataContext[] {
  const hole = AllocationFlag.hole | AllocationFlag.zero;
  const { changed, zero } = DifferenceFlag;
  const allocation: MetadataContext = {
    name: allocationName,
    ranges: metadata.allocated ?? whole,
    dataFlags: 0,
    zeroFlags: hole,
    gapFlags: hole,
  };
  const differences = (metadata.differences?.() ?? []).slice(0, mostContexts);
  return [
    allocation,
    ...differences.map((difference) => ({
      name: differencePrefix + difference.snapshot,
      ranges: difference.changed,
      dataFlags: changed,
      zeroFlags: changed | zero,
      gapFlags: 0,
    })),
  ];
}

export interface ExtentQuery {
  readonly offset: number;
  readonly length: number;
  /** Extents to find at most. */
  readonly most: number;
}

/**
 * The extents of a range, from its start without a gap.
 *
 * @param into  pairs of length and flags; room for `most`
 * @returns how many
 */
export function findExtents(
  context: MetadataContext,
  { offset, length, most }: ExtentQuery,
  into: Float64Array,
): number {
  const end = offset + length;
  let at = offset;
  let count = 0;
  const put = (untilByte: number, flags: number): void => {
    if (untilByte <= at) return;
    if (count > 0 && into[2 * count - 1] === flags) into[2 * count - 2]! += untilByte - at;
    else if (count === most) return;
    else {
      into[2 * count] = untilByte - at;
      into[2 * count + 1] = flags;
      count++;
    }
    at = untilByte;
  };
  for (const { byteOffset, byteLength, isData } of context.ranges(offset)) {
    if (byteOffset >= end) break;
    put(Math.min(byteOffset, end), context.gapFlags);
    if (at < byteOffset) return count;
    const until = Math.min(byteOffset + byteLength, end);
    put(until, isData ? context.dataFlags : context.zeroFlags);
    if (at < until) return count;
  }
  put(end, context.gapFlags);
  return count;
}
