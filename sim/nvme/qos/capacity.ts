import { type CapacityPoint, capacityAt, isRising } from '../../../sdk/qos/admission.js';
import { Status } from '../../../sdk/spec/nvme/status.js';
import {
  QosCapacityPoint,
  QosCapacityTable,
  qosCapacityPoints,
  qosThousand,
} from '../../../sdk/spec/ultima/qos.js';
import type { QosProfile } from '../../profiles/profile.js';

const tableWords = QosCapacityTable.layout.bytes / 4;
const leastWriteCost = 10;
const mostWriteCost = 1_000_000;
const mostHeadroom = 900;

/**
 * What the card can promise: what its maker says, or what a measuring run has found, which the host
 * keeps here. Of what was measured at a latency the least counts, whatever the mix and the size.
 */
export class CardCapacity {
  words: Uint32Array = new Uint32Array(tableWords);
  private points: readonly CapacityPoint[] = [];
  private readonly profile: QosProfile;

  constructor(profile: QosProfile) {
    this.profile = profile;
  }

  get isMeasured(): boolean {
    return this.points.length > 0;
  }

  /** What a write costs in reads of its size, in thousandths. */
  get writeCostPermille(): number {
    return QosCapacityTable.writeCost.get(this.words, 0) || this.profile.writeCostPermille;
  }

  /** Units per second that may be promised at a latency. */
  available(latencyNs: number): number {
    if (!this.isMeasured) return this.profile.capacityUnits;
    const headroom = QosCapacityTable.headroom.get(this.words, 0) / qosThousand;
    return capacityAt(this.points, latencyNs) * (1 - headroom);
  }

  /** @returns 0 or the status of a table that cannot be */
  check(words: Uint32Array): number {
    const writeCost = QosCapacityTable.writeCost.get(words, 0);
    const isCost = writeCost >= leastWriteCost && writeCost <= mostWriteCost;
    const isPossible =
      (writeCost === 0 || isCost) && QosCapacityTable.headroom.get(words, 0) <= mostHeadroom;
    return isPossible && pointsOf(words) !== null ? 0 : Status.invalidField;
  }

  set(words: Uint32Array): void {
    const points = pointsOf(words);
    if (points === null) return;
    this.words = words;
    this.points = points;
  }
}

/** @returns null for points that cannot be */
function pointsOf(words: Uint32Array): readonly CapacityPoint[] | null {
  const count = QosCapacityTable.count.get(words, 0);
  if (count > qosCapacityPoints) return null;
  const { latencyNs, reads, mixed, writes, large } = QosCapacityPoint;
  const points: CapacityPoint[] = [];
  for (let index = 0; index < count; index++) {
    const at = QosCapacityTable.points.at(0, index);
    const measured = [reads, mixed, writes, large];
    if (![latencyNs, ...measured].every((field) => field.isExact(words, at))) return null;
    const units = measured.map((field) => field.get(words, at)).filter((value) => value > 0);
    if (units.length === 0) return null;
    points.push({ latencyNs: latencyNs.get(words, at), unitsPerSecond: Math.min(...units) });
  }
  return points.every((point, index) => isRising(points[index - 1], point)) ? points : null;
}
