import type { Prng } from '../../sim/prng.js';
import { type Campaign, campaign, type Tally } from '../support/campaign.js';
import { GatedLoops } from '../support/gated-loops.js';
import { unitNs, workerCount } from '../support/qos-targets.js';

/** Units of the requests of each client. */
const costs = [1, 4, 1, 4, 1, 4] as const;
/** More requests than the gate hands over. */
const depth = 64;
const depthUnits = 32;
/** A device is judged each 100 ms, and who was behind catches up with a burst. */
const settleNs = 400e6;
const spanNs = 200e6;
const unitsPerSecond = (workerCount * 1e9) / unitNs;
const none = Number.POSITIVE_INFINITY;

interface Step {
  readonly kind: 'share' | 'pace' | 'run';
  readonly client: number;
  readonly reservation: number;
  readonly weight: number;
  readonly factor: number;
}

const storm: Campaign<Step> = {
  claim:
    'a device becomes slower and faster under clients that always want more: as long as it does ' +
    'what is reserved each reservation is kept and nothing is told; below that best effort gets ' +
    'nothing, each reservation keeps the same part, and that part is told',
  plan,
  run: (steps, _seed, tally) => new Storm(tally).all(steps),
};

export const stormOfQosSlow = campaign(storm);

function plan(prng: Prng): Step[] {
  return Array.from({ length: 30 }, () => {
    const what = prng.below(10);
    return {
      kind: what < 4 ? 'share' : what < 7 ? 'pace' : 'run',
      client: prng.below(costs.length),
      reservation: prng.chance(0.3) ? 0 : Math.round(10 ** (3 + 1.3 * prng.unit())),
      weight: 1 + prng.below(8),
      factor: prng.chance(0.3) ? 1 : 20 ** prng.unit(),
    };
  });
}

class Storm {
  private readonly tally: Tally;
  private readonly loops = new GatedLoops({ costs, depth, depthUnits });
  private readonly reservations: number[] = costs.map(() => 0);
  private factor = 1;

  constructor(tally: Tally) {
    this.tally = tally;
  }

  all(steps: readonly Step[]): string | null {
    for (const [index, step] of steps.entries()) {
      this.count(`${step.kind} steps`);
      const wrong = this.one(step);
      if (wrong !== null) return `step ${index + 1}, ${step.kind}: ${wrong}`;
    }
    const { told } = this.loops;
    this.count('shortfalls told', told.filter((part) => part < 1).length);
    this.count('ends of shortfalls told', told.filter((part) => part === 1).length);
    return null;
  }

  private one({ kind, client, reservation, weight, factor }: Step): string | null {
    const { loops } = this;
    if (kind === 'share') {
      this.reservations[client] = reservation;
      loops.clients[client]!.change({ reservation, limit: none, weight });
      return null;
    }
    if (kind === 'pace') {
      this.factor = factor;
      loops.pace(factor);
      return null;
    }
    loops.runFor(settleNs);
    loops.served.fill(0);
    loops.runFor(spanNs);
    if (loops.failedCount > 0) return `${loops.failedCount} requests failed`;
    const told = loops.told.at(-1) ?? 1;
    if (told !== loops.gate.keptPart) return `${told} told, ${loops.gate.keptPart} kept`;
    return this.audit();
  }

  private audit(): string | null {
    const { keptPart } = this.loops.gate;
    const capacity = unitsPerSecond / this.factor;
    const part = capacity / this.reservations.reduce((sum, one) => sum + one, 0);
    if (part > 0.95 && part < 1.05) return null;
    this.count(part < 1 ? 'spans too slow' : 'spans quick enough');
    const kept = Math.min(1, part);
    if (Math.abs(keptPart - kept) > 0.04 * kept) {
      return `${kept} of each reservation can be kept, ${keptPart} is said`;
    }
    const seconds = spanNs / 1e9;
    // What is under way when a span begins or ends, of everybody.
    const slack = 2 * depthUnits + 2 * Math.max(...costs);
    for (const [client, reservation] of this.reservations.entries()) {
      const served = this.loops.served[client]!;
      const due = kept * reservation * seconds;
      if (served < 0.95 * due - slack) return `client ${client} got ${served}, ${due} was due`;
      const most = part >= 1 ? none : 1.05 * due + 0.02 * capacity * seconds + slack;
      if (served > most) return `client ${client} got ${served} where ${due} was due to it`;
    }
    return null;
  }

  private count(name: string, by = 1): void {
    this.tally[name] = (this.tally[name] ?? 0) + by;
  }
}
