import type { Share } from '../../sdk/qos/scheduler.js';
import {
  type Client,
  type ClientResult,
  type Device,
  jain,
  type Policy,
  probeDevice,
  runModel,
  unitsIn,
  windows,
} from './model.js';

const none = Number.POSITIVE_INFINITY;
const neighbourCount = 62;

/** A tenant with 20,000 reserved, one with 5,000, and 62 that take all they get. */
export const probeShares: readonly Share[] = sharesBeside(neighbourCount);

export function sharesBeside(neighbours: number): Share[] {
  return [
    { reservation: 20_000, limit: none, weight: 4 },
    { reservation: 5_000, limit: none, weight: 2 },
    ...Array.from({ length: neighbours }, () => ({ reservation: 0, limit: none, weight: 1 })),
  ];
}

export interface ProbeOptions {
  readonly device?: Device;
  /** What the neighbours' requests cost. */
  readonly neighbourCost?: (count: number) => number;
  readonly neighbourDepth?: number;
  /** 62 when left out. */
  readonly neighbours?: number;
  readonly seconds?: number;
}

export interface ProbeResult {
  readonly p50Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
  /** Worst 100 ms of either reserved tenant: percent of its reservation or demand that it got. */
  readonly worstMetPct: number;
  /** Units per second of the second tenant. */
  readonly secondUnits: number;
  /** Units per second of all neighbours together. */
  readonly neighboursUnits: number;
  readonly jainOfNeighbours: number;
  readonly usedPct: number;
  /** Units that each client got per 100 ms, for plots. */
  readonly perWindow: readonly (readonly number[])[];
}

const windowNs = 1e8;
const settledNs = 5e8;

/** Noisy neighbours: an open-loop tenant at 90 % of its reservation beside 63 saturating ones. */
export function runProbe(policy: Policy, options: ProbeOptions = {}): ProbeResult {
  const { device = probeDevice, neighbourCost, neighbourDepth = 32, seconds = 5 } = options;
  const { neighbours = neighbourCount } = options;
  const neighbour: Client = {
    depth: neighbourDepth,
    ...(neighbourCost === undefined ? {} : { cost: neighbourCost }),
  };
  const clients: Client[] = [
    { ratePerSecond: 18_000 },
    { depth: 32 },
    ...Array.from({ length: neighbours }, () => neighbour),
  ];
  const untilNs = seconds * 1e9;
  const result = runModel(policy, clients, { device, untilNs, seed: 1 });
  const span = { fromNs: settledNs, untilNs, windowNs };
  const [first, second, ...others] = result.clients;
  const seen = (untilNs - settledNs) / 1e9;
  // Nothing takes a request back that the device works on: so long may one wait for a worker.
  const most = Math.max(...[0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(neighbourCost ?? (() => 1)));
  const longest = Math.min(most, policy.pieceUnits ?? most);
  const graceNs = 1.5 * longest * device.unitNs(0) + 100_000;
  return {
    p50Us: first!.latency.percentile(50) / 1000,
    p99Us: first!.latency.percentile(99) / 1000,
    p999Us: first!.latency.percentile(99.9) / 1000,
    worstMetPct: Math.min(worstOfDemand(first!, span, graceNs), worstOf(second!, span, 5_000)),
    secondUnits: unitsIn(second!, settledNs, untilNs) / seen,
    neighboursUnits: others.reduce((sum, one) => sum + unitsIn(one, settledNs, untilNs), 0) / seen,
    jainOfNeighbours: jain(others.map((one) => unitsIn(one, settledNs, untilNs))),
    usedPct: result.used * 100,
    perWindow: result.clients.map((one) => windows(one, { ...span, fromNs: 0 })),
  };
}

interface Span {
  readonly fromNs: number;
  readonly untilNs: number;
  readonly windowNs: number;
}

/** Always backlogged: each window must hold the reservation. */
function worstOf(result: ClientResult, span: Span, reservation: number): number {
  const promised = (reservation * span.windowNs) / 1e9;
  return Math.min(...windows(result, span).map((units) => Math.min(100, (100 * units) / promised)));
}

/**
 * Below its reservation: each window must hold what came in it. What came at its very end may be
 * served in the next.
 */
function worstOfDemand(result: ClientResult, span: Span, graceNs: number): number {
  const served = windows(result, span);
  return Math.min(
    ...served.map((units, index) => {
      const fromNs = span.fromNs + index * span.windowNs;
      const untilNs = fromNs + span.windowNs - graceNs;
      const came = result.arrivals.filter((at) => at >= fromNs && at < untilNs).length;
      return Math.min(100, (100 * units) / came);
    }),
  );
}

/** p99 of the open-loop tenant when nobody else is there, in microseconds. */
export function unloadedP99Us(policy: Policy): number {
  const clients: Client[] = [{ ratePerSecond: 18_000 }];
  const result = runModel(policy, clients, { device: probeDevice, untilNs: 5e9, seed: 1 });
  return result.clients[0]!.latency.percentile(99) / 1000;
}
