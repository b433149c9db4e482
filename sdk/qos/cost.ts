import { BlockOp, type BlockRequest } from '../block/request.js';

/** Bytes of what costs one unit: a read of this size, and of anything smaller. */
export const unitBytes = 4096;

/**
 * What requests cost, in units: one is a 4 KiB read. A request's weight by kind is multiplied by
 * its size in units, which is 1 at least: a device spends no less on a smaller read.
 */
export interface CostWeights {
  /** A write, per unit of its size; 1 where writes are as dear as reads. */
  readonly write: number;
  /** A discard or a write of zeroes, per request: what it covers does not move. */
  readonly discard: number;
  /** A flush. */
  readonly flush: number;
}

/** For a medium that writes as fast as it reads. Flash that is written at random wants 7 to 10. */
const evenWeights: CostWeights = { write: 1, discard: 1, flush: 1 };

/** Costs by operation, ready for the data path. */
export class CostModel {
  readonly weights: CostWeights;
  private readonly perUnit: Float64Array;
  private readonly perRequest: Float64Array;
  private readonly result = new Float64Array(1);

  /** @throws RangeError for a weight outside 0.01..10,000 */
  constructor(weights: CostWeights = evenWeights) {
    for (const [kind, weight] of Object.entries(weights)) {
      if (!(weight >= 0.01 && weight <= 10_000)) {
        throw new RangeError(`${kind} costs ${weight} units: 0.01..10,000 can be`);
      }
    }
    this.weights = weights;
    this.perUnit = new Float64Array(8);
    this.perRequest = new Float64Array(8);
    this.perUnit[BlockOp.read] = 1;
    this.perUnit[BlockOp.write] = weights.write;
    this.perRequest[BlockOp.discard] = weights.discard;
    this.perRequest[BlockOp.writeZeroes] = weights.discard;
    this.perRequest[BlockOp.flush] = weights.flush;
  }

  /** @returns units, above 0 */
  of(request: BlockRequest, blockBytes: number): number {
    this.put(request, blockBytes, this.result, 0);
    return this.result[0]!;
  }

  /** The same into a table: on a data path a fraction that is returned may become an object. */
  put(request: BlockRequest, blockBytes: number, costs: Float64Array, at: number): void {
    const { op } = request;
    const size = (request.blockCount * blockBytes) / unitBytes;
    costs[at] = this.perRequest[op]! + this.perUnit[op]! * Math.max(1, size);
  }
}
