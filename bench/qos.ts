import { type Bench, type Figures, machine } from './figures.js';
import * as guarantee from './qos/guarantees.js';
import { insideFigures } from './qos/inside-figures.js';
import {
  FifoPolicy,
  OurPolicy,
  TextbookPolicy,
  TokenBucketPolicy,
  WeightedRoundRobinPolicy,
} from './qos/policies.js';
import { probeShares, runProbe, sharesBeside, unloadedP99Us } from './qos/probe.js';
import { reportQos } from './qos/report.js';

/** What each client is promised is kept, beside whatever its neighbours do. */
export const bench: Bench = {
  claim: 'guaranteed IOPS and latency beside 62 saturating neighbours, in virtual time',
  run,
  report: reportQos,
};

async function run(): Promise<Figures> {
  const figures: Record<string, number> = {};
  const ours = runProbe(new OurPolicy(probeShares));
  const unloadedUs = unloadedP99Us(new OurPolicy(probeShares));
  figures.S1_reservationMetPct_worst100ms = ours.worstMetPct;
  figures.S2_overLimitPct = guarantee.overLimitPct();
  figures.S3_p99Ratio = ours.p99Us / unloadedUs;
  figures.S4_weightErrorPct = guarantee.weightErrorPct();
  figures.S4_jain = ours.jainOfNeighbours;
  for (const count of [2, 100, 10_000]) {
    figures[`S4_jain_${count}`] = guarantee.jainOfEquals(count);
  }
  figures.S5_settleMs = guarantee.settleMs();
  figures.S6_workConservingPct = guarantee.workConservingPct();
  figures.S7_costShareErrorPct = guarantee.costShareErrorPct();
  figures.S8_skewedMetPct = guarantee.skewedMetPct();
  figures.S9_lostChanges = guarantee.lostByChanges();
  figures.S10_overcommitRefused = guarantee.overcommitRefused();
  figures.S10_reservationMetPct_slowed = guarantee.slowedMetPct();
  for (const count of [10, 100, 1_000, 10_000]) {
    figures[`S11_nsPerOp_${count}`] = guarantee.nsPerOperation(count, 2);
    figures[`S11_nsPerOp_limited_${count}`] = guarantee.nsPerOperation(count, 0.8);
  }
  for (const count of [2, 10, 100, 1_000, 10_000]) {
    const options = { neighbours: count - 2, neighbourDepth: 2, seconds: 1 };
    const probe = runProbe(new OurPolicy(sharesBeside(count - 2)), options);
    figures[`S1_reservationMetPct_worst100ms_tenants_${count}`] = probe.worstMetPct;
    figures[`S3_p99Us_tenants_${count}`] = probe.p99Us;
  }
  neighbours(figures);
  beside(figures);
  await insideFigures(figures);
  return {
    conditions: {
      device: '8 workers of 80 us, 30 % up and down: 100,000 units per second',
      tenants:
        'one reserves 20,000 (weight 4) and gets 18,000 Poisson arrivals per second; ' +
        'one reserves 5,000 (weight 2) at depth 32; 62 best effort at depth 32',
      time: 'virtual, 5 s, the first 0.5 s dropped; S11 is processor time',
      pieces: `of ${pieceUnits} units; _whole: the device works on requests as they are`,
      s11: 'push and pull; all with reservation, limit, weight; limit 2 times a fair share, or 0.8',
      inside:
        'sim:ultima-g2 with all its drives and dies and its own numbers for the scheduler, few ' +
        'small blocks (the erase in proportion), full and overwritten once; 64 volumes reserve ' +
        '20,000 (18,000 Poisson), 5,000 (depth 32), 10,000 (9,000 steady), 10,000 (9,000 in ' +
        'bursts of 32), 20,000 (depth 1), 20,000 (18,000 Poisson writes), 58 nothing; 300 ms ' +
        'after 50 ms; mixed: 4 KiB reads and writes, 256 KiB reads, discards',
      insideRatios:
        'p99 beside the neighbours to p99 of the same tenants without neighbours and without the ' +
        'one at depth 32, which asks for more than it reserves; the worst of the tenants. ' +
        'ToUnloaded: of the Poisson tenant, with the one at depth 32 and the neighbours, to that ' +
        'of an idle card',
      insidePrice:
        'bestEffortWritePct: random 4 KiB writes of the neighbours under policies, in percent of ' +
        'the same without; at least 80, and 95 while nobody with a reservation asks for anything ' +
        '(quiet). allWritePct: of all tenants; at least 85',
      tokenBucket: 'each neighbour limited to its part of what is not reserved',
      wrrUrgent: 'both reserved tenants in the urgent class',
      seed: 1,
      ...machine(),
    },
    figures,
  };
}

/** Pieces of large requests: this device works on a request as a whole. */
const pieceUnits = 8;

/** Neighbours that write, are large, or both: the reserved tenants must not notice. */
function neighbours(figures: Record<string, number>): void {
  const costs = {
    write: () => 10,
    '256KiB': () => 64,
    mixed: (count: number) => (count % 10 < 7 ? 1 : 10),
  };
  for (const [name, neighbourCost] of Object.entries(costs)) {
    const load = { neighbourCost, neighbourDepth: 8 };
    const probe = runProbe(new OurPolicy(probeShares, pieceUnits), load);
    figures[`S1_reservationMetPct_worst100ms_${name}`] = probe.worstMetPct;
    figures[`S3_p99Us_${name}`] = probe.p99Us;
    const whole = runProbe(new OurPolicy(probeShares), load);
    figures[`S1_reservationMetPct_worst100ms_${name}_whole`] = whole.worstMetPct;
  }
}

/** The same probe under what others do. */
function beside(figures: Record<string, number>): void {
  const part = (100_000 - 25_000) / 62;
  const weights = probeShares.map((share) => share.weight);
  const reserved = probeShares.flatMap((share, client) => (share.reservation > 0 ? [client] : []));
  const policies = {
    fifo: new FifoPolicy(),
    wrr: new WeightedRoundRobinPolicy(weights),
    wrrUrgent: new WeightedRoundRobinPolicy(weights, reserved),
    tokenBucket: new TokenBucketPolicy(
      probeShares.map((share) => (share.reservation > 0 ? Number.POSITIVE_INFINITY : part)),
    ),
    textbook: new TextbookPolicy(probeShares),
    ours: new OurPolicy(probeShares),
  };
  for (const [name, policy] of Object.entries(policies)) {
    const probe = runProbe(policy);
    figures[`p99Us_${name}`] = probe.p99Us;
    figures[`p999Us_${name}`] = probe.p999Us;
    figures[`worstMetPct_${name}`] = probe.worstMetPct;
    figures[`secondIops_${name}`] = probe.secondUnits;
    figures[`neighboursIops_${name}`] = probe.neighboursUnits;
    figures[`usedPct_${name}`] = probe.usedPct;
  }
}
