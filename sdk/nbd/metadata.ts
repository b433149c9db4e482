import { AllocationFlag } from '../spec/nbd/transmission.js';

/** A range of an export about which something is known. */
export interface NbdRange {
  readonly byteOffset: number;
  readonly byteLength: number;
  /** Whether there is data now; without it the range reads as zeroes. */
  readonly isData: boolean;
}

/**
 * Ranges in ascending order that do not overlap, from the first that ends behind `startByte`; one
 * by one where something has to be read for them.
 */
export type NbdRanges = (startByte: number) => Iterable<NbdRange> | AsyncIterable<NbdRange>;

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

const allocationName = 'base:allocation';
const differencePrefix = 'ultima:diff-';
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
 * @returns how many; later where the ranges come one by one
 */
export function findExtents(
  context: MetadataContext,
  query: ExtentQuery,
  into: Float64Array,
): number | Promise<number> {
  const ranges = context.ranges(query.offset);
  const list = new ExtentList(context, query, into);
  if (Symbol.asyncIterator in ranges) return awaitExtents(ranges, list);
  for (const range of ranges) if (!list.add(range)) break;
  return list.end();
}

async function awaitExtents(ranges: AsyncIterable<NbdRange>, list: ExtentList): Promise<number> {
  for await (const range of ranges) if (!list.add(range)) break;
  return list.end();
}

/** Extents as they are found. */
class ExtentList {
  private readonly context: MetadataContext;
  private readonly most: number;
  private readonly endByte: number;
  private readonly into: Float64Array;
  /** Up to where all is said. */
  private at: number;
  private count = 0;
  private isFull = false;

  constructor(context: MetadataContext, query: ExtentQuery, into: Float64Array) {
    this.context = context;
    this.most = query.most;
    this.at = query.offset;
    this.endByte = query.offset + query.length;
    this.into = into;
  }

  /** @returns whether the next range matters, too */
  add({ byteOffset, byteLength, isData }: NbdRange): boolean {
    const { context, endByte } = this;
    this.put(byteOffset, context.gapFlags);
    this.put(byteOffset + byteLength, isData ? context.dataFlags : context.zeroFlags);
    return !this.isFull && this.at < endByte;
  }

  /** No range follows. @returns how many extents there are */
  end(): number {
    this.put(this.endByte, this.context.gapFlags);
    return this.count;
  }

  private put(untilByte: number, flags: number): void {
    const { into, count } = this;
    const until = Math.min(untilByte, this.endByte);
    if (until <= this.at || this.isFull) return;
    if (count > 0 && into[2 * count - 1] === flags) into[2 * count - 2]! += until - this.at;
    else if (count === this.most) {
      this.isFull = true;
      return;
    } else {
      into[2 * count] = until - this.at;
      into[2 * count + 1] = flags;
      this.count++;
    }
    this.at = until;
  }
}
