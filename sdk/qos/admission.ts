import { ErrorCode, UltimaError } from '../errors.js';
import type { Share } from './scheduler.js';

/** What a device does at a latency: units of a 4 KiB read per second, as measured. */
export interface CapacityPoint {
  readonly latencyNs: number;
  readonly unitsPerSecond: number;
}

export interface AdmissionOptions {
  /** By rising latency and capacity, at least one point. */
  readonly capacity: readonly CapacityPoint[];
  /** Part of the capacity that is promised to nobody; 0.1 when left out. */
  readonly headroom?: number;
}

export interface Asked {
  readonly share: Share;
  /** The latest that its requests should take; the device's last point when left out. */
  readonly latencyTargetNs?: number;
  /** Take it as best effort where its reservation does not fit, instead of refusing it. */
  readonly orBestEffort?: boolean;
}

/**
 * Who may be promised what: the sum of all reservations stays within what the device does at the
 * strictest latency that one of them asked for, less some headroom. A device that has become slower
 * since is `ShortfallWatch`'s business.
 */
export class Admission {
  private readonly points: readonly CapacityPoint[];
  private readonly headroom: number;
  private readonly admitted = new Map<string, { reservation: number; latencyNs: number }>();

  /** @throws RangeError for points that do not rise, or a headroom outside 0..0.9 */
  constructor(options: AdmissionOptions) {
    this.headroom = options.headroom ?? 0.1;
    if (!(this.headroom >= 0 && this.headroom <= 0.9)) {
      throw new RangeError(`a headroom of ${this.headroom}: 0..0.9`);
    }
    checkPoints(options.capacity);
    this.points = options.capacity;
  }

  /** Units per second that may be promised when nobody asks for less than this latency. */
  available(latencyNs = Number.POSITIVE_INFINITY): number {
    return this.capacityAt(latencyNs) * (1 - this.headroom);
  }

  /** Units per second that are promised. */
  get promised(): number {
    let sum = 0;
    for (const { reservation } of this.admitted.values()) sum += reservation;
    return sum;
  }

  /**
   * Promise a share to somebody, or change what was promised.
   *
   * @returns the share to use: the one asked for, or the same without its reservation
   * @throws  UltimaError QOS_OVERCOMMITTED with what was asked, promised and available; nothing has
   *   changed then
   */
  admit(name: string, asked: Asked): Share {
    const { share } = asked;
    const latencyNs = asked.latencyTargetNs ?? Number.POSITIVE_INFINITY;
    const own = this.admitted.get(name)?.reservation ?? 0;
    const others = this.promised - own;
    const strictest = Math.min(latencyNs, this.strictestNs(name));
    const available = this.available(share.reservation > 0 ? strictest : undefined);
    if (share.reservation === 0 || others + share.reservation <= available) {
      this.admitted.set(name, { reservation: share.reservation, latencyNs });
      return share;
    }
    if (asked.orBestEffort === true) {
      this.admitted.set(name, { reservation: 0, latencyNs: Number.POSITIVE_INFINITY });
      return { ...share, reservation: 0 };
    }
    const rounded = (units: number): number => Math.floor(units);
    throw new UltimaError(
      ErrorCode.qosOvercommitted,
      `'${name}' asks for ${rounded(share.reservation)} units per second; ` +
        `${rounded(others)} of ${rounded(available)} are promised to others`,
      { asked: share.reservation, promised: others, available },
    );
  }

  release(name: string): void {
    this.admitted.delete(name);
  }

  private strictestNs(except: string): number {
    let strictest = Number.POSITIVE_INFINITY;
    for (const [name, { reservation, latencyNs }] of this.admitted) {
      if (name !== except && reservation > 0) strictest = Math.min(strictest, latencyNs);
    }
    return strictest;
  }

  private capacityAt(latencyNs: number): number {
    return capacityAt(this.points, latencyNs);
  }
}

/**
 * Units per second at a latency: between the points as on a line; nothing below the first, the last
 * beyond it.
 */
export function capacityAt(points: readonly CapacityPoint[], latencyNs: number): number {
  if (latencyNs < points[0]!.latencyNs) return 0;
  for (let i = 1; i < points.length; i++) {
    const from = points[i - 1]!;
    const to = points[i]!;
    if (latencyNs >= to.latencyNs) continue;
    const part = (latencyNs - from.latencyNs) / (to.latencyNs - from.latencyNs);
    return from.unitsPerSecond + part * (to.unitsPerSecond - from.unitsPerSecond);
  }
  return points.at(-1)!.unitsPerSecond;
}

/** Whether a point may follow another, or be the first. */
export function isRising(last: CapacityPoint | undefined, point: CapacityPoint): boolean {
  const { latencyNs, unitsPerSecond } = last ?? { latencyNs: 0, unitsPerSecond: 0 };
  const isLater = point.latencyNs > latencyNs && point.unitsPerSecond >= unitsPerSecond;
  return isLater && point.unitsPerSecond > 0;
}

function checkPoints(points: readonly CapacityPoint[]): void {
  if (points.length === 0) throw new RangeError('a capacity needs at least one point');
  for (const [index, point] of points.entries()) {
    if (!isRising(points[index - 1], point)) {
      throw new RangeError(
        `capacity ${point.unitsPerSecond} units/s at ${point.latencyNs} ns: latencies must rise ` +
          'from point to point, and capacities must not fall',
      );
    }
  }
}
