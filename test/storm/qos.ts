import type { Share } from '../../sdk/qos/scheduler.js';
import type { Prng } from '../../sim/prng.js';
import { type Campaign, campaign, type Tally } from '../support/campaign.js';
import { QosAudit } from '../support/qos-audit.js';
import * as targets from '../support/qos-targets.js';

const clientCount = 16;
const windowNs = 10_000_000;
const capacity = (targets.workerCount * 1e9) / targets.unitNs;
const largest = Math.max(...targets.costs);
/** Mean units of an arrival: of the costs as drawn below, twice. */
const meanUnits = 2 * 1.5;
const none = Number.POSITIVE_INFINITY;
/** Written in a plan for no limit: JSON has no Infinity. */
const unlimited = 0;

interface Step {
  readonly kind: 'arrive' | 'join' | 'leave' | 'change' | 'pace';
  readonly afterNs: number;
  readonly client: number;
  readonly share?: Required<Share>;
  readonly count?: number;
  readonly cost?: number;
  readonly factor?: number;
}

const storm: Campaign<Step> = {
  claim:
    'clients come, go and change their shares under load while the device slows down, over the ' +
    'scheduler and over the gate: no bound of a limit or a reservation is passed, a device that ' +
    'is free waits for nobody within its limit, weights share what is left, reservations that ' +
    'the device can keep are kept, and every request is served once, in order',
  plan,
  run: (steps, _seed, tally) => {
    for (const name of ['scheduler', 'gate'] as const) {
      const violation = new Storm(name, tally).all(steps);
      if (violation !== null) return `${name}: ${violation}`;
    }
    return null;
  },
};

export const stormOfQos = campaign(storm);

function plan(prng: Prng): Step[] {
  const load = 0.3 + 1.3 * prng.unit();
  const unrest = [0.002, 0.02, 0.2, 0.5][prng.below(4)]!;
  const meanNs = (1e9 * meanUnits) / (load * capacity);
  const steps: Step[] = [];
  for (let client = 0; client < clientCount; client += 1 + prng.below(3)) {
    steps.push({ kind: 'join', afterNs: 0, client, share: someShare(prng) });
  }
  for (let i = 0; i < 4000; i++) {
    const client = prng.below(clientCount);
    const afterNs =
      Math.round(-Math.log(1 - prng.unit()) * meanNs) + (prng.chance(0.002) ? 3e6 : 0);
    steps.push(
      prng.chance(unrest) ? disturb(prng, client, afterNs) : arrival(prng, client, afterNs),
    );
  }
  return steps;
}

function arrival(prng: Prng, client: number, afterNs: number): Step {
  const cost = [0.25, 1, 1, 1, 2, 4][prng.below(6)]!;
  return { kind: 'arrive', afterNs, client, count: 1 + prng.below(3), cost };
}

function disturb(prng: Prng, client: number, afterNs: number): Step {
  const kind = (['join', 'join', 'leave', 'change', 'change', 'change', 'pace'] as const)[
    prng.below(7)
  ]!;
  if (kind === 'leave') return { kind, afterNs, client };
  if (kind !== 'pace') return { kind, afterNs, client, share: someShare(prng) };
  return { kind, afterNs, client, factor: prng.chance(0.6) ? 1 : 0.5 * 20 ** prng.unit() };
}

function someShare(prng: Prng): Required<Share> {
  const reservation = prng.chance(0.4) ? 0 : Math.round(10 ** (2 + 2.3 * prng.unit()));
  const factor = 1 + 4 * prng.unit() ** 2;
  const isLimited = prng.chance(0.5);
  return {
    reservation,
    limit: isLimited
      ? Math.round(Math.max(reservation, 50 + prng.below(9000)) * factor)
      : unlimited,
    weight: prng.chance(0.5) ? 1 : 1 + prng.below(8),
    reservationBurst: 1 + prng.below(64),
    limitBurst: 1 + prng.below(64),
  };
}

class Storm {
  private readonly tally: Tally;
  private readonly audit: QosAudit;
  private readonly target: targets.QosTarget;
  private readonly free: number[] = [];
  private readonly isOut = new Uint8Array(targets.requestCount);
  private nowNs = 1e9;
  private windowEndNs = 1e9 + windowNs;
  private endedTwice = -1;

  constructor(name: 'scheduler' | 'gate', tally: Tally) {
    this.tally = tally;
    const ahead = name === 'gate' ? 2 * targets.depthUnits : 0;
    const depthUnits = targets.workerCount * largest + ahead;
    this.audit = new QosAudit({ largest, depthUnits });
    const Target = name === 'scheduler' ? targets.SchedulerTarget : targets.GateTarget;
    this.target = new Target(this.audit, clientCount);
    this.target.onEnd = (request) => this.ended(request);
    for (let request = targets.requestCount - 1; request >= 0; request--) this.free.push(request);
    this.audit.pace(capacity);
    this.audit.window(this.nowNs);
  }

  all(steps: readonly Step[]): string | null {
    const violation = this.target.advance(this.nowNs);
    if (violation !== null) return violation;
    for (const step of steps) {
      const wrong = this.until(this.nowNs + step.afterNs) ?? this.one(step);
      if (wrong !== null) return wrong;
    }
    const wrong = this.drain();
    this.count('reservations held for 10 ms', this.audit.sureWindows);
    return wrong;
  }

  private one(step: Step): string | null {
    const { audit, target, nowNs } = this;
    const { client } = step;
    if (step.kind === 'pace') {
      target.pace(step.factor!);
      audit.pace(capacity / step.factor!);
      this.count('changes of pace');
      return null;
    }
    if (step.kind === 'join' && !audit.has(client)) {
      audit.join(client, shareOf(step), nowNs);
      target.join(client, shareOf(step), nowNs);
      this.count('clients added');
      return null;
    }
    if (!audit.has(client)) return null;
    if (step.kind === 'leave') return this.leave(client);
    if (step.kind === 'arrive') return this.arrive(step);
    audit.change(client, shareOf(step), nowNs);
    target.change(client, shareOf(step), nowNs);
    this.count('policy changes');
    return target.advance(nowNs);
  }

  private arrive(step: Step): string | null {
    const { audit, target, nowNs } = this;
    const cost = step.cost!;
    for (let i = 0; i < step.count!; i++) {
      const request = this.free.pop();
      if (request === undefined) break;
      this.isOut[request] = 1;
      audit.arrive(step.client, request, cost);
      target.arrive(step.client, request, cost, nowNs);
      this.count('requests');
    }
    return target.advance(nowNs);
  }

  /** Who has something to do cannot go; nothing has changed then. */
  private leave(client: number): string | null {
    const mayGo = this.audit.waitingOf(client) === 0;
    try {
      this.target.leave(client);
      if (!mayGo) return `client ${client} has gone while requests of it wait`;
    } catch (error) {
      if (mayGo || !(error instanceof RangeError)) throw error;
      this.count('departures refused');
      return null;
    }
    this.audit.leave(client);
    this.count('clients removed');
    return null;
  }

  /** Everything up to a time, window by window. */
  private until(untilNs: number): string | null {
    for (;;) {
      const nextNs = Math.min(this.target.nextNs(), this.windowEndNs);
      if (nextNs > untilNs) break;
      this.nowNs = Math.max(this.nowNs, nextNs);
      const violation = this.target.advance(this.nowNs);
      if (violation !== null) return violation;
      if (this.nowNs < this.windowEndNs) continue;
      const wrong = this.audit.window(this.nowNs) ?? this.books();
      if (wrong !== null) return wrong;
      this.windowEndNs += windowNs;
      this.count('checks');
    }
    this.nowNs = untilNs;
    return null;
  }

  private books(): string | null {
    if (this.endedTwice >= 0) return `request ${this.endedTwice} ended twice`;
    const { audit, target } = this;
    if (audit.waitingCount === target.waitingCount) return null;
    return `${target.waitingCount} requests wait where ${audit.waitingCount} were not served`;
  }

  /** Without limits everything that waits is served, and nothing is missing. */
  private drain(): string | null {
    const share = { reservation: 0, limit: none, weight: 1, reservationBurst: 1, limitBurst: 1 };
    for (const client of this.audit.members) {
      this.audit.change(client, share, this.nowNs);
      this.target.change(client, share, this.nowNs);
    }
    const violation = this.target.advance(this.nowNs) ?? this.until(this.nowNs + 2e9);
    if (violation !== null) return violation;
    const missing = targets.requestCount - this.free.length;
    return missing === 0 ? this.books() : `${missing} requests never ended`;
  }

  private ended(request: number): void {
    if (this.isOut[request] !== 1) this.endedTwice = request;
    this.isOut[request] = 0;
    this.free.push(request);
  }

  private count(name: string, by = 1): void {
    this.tally[name] = (this.tally[name] ?? 0) + by;
  }
}

function shareOf(step: Step): Required<Share> {
  const share = step.share!;
  return share.limit === unlimited ? { ...share, limit: none } : share;
}
