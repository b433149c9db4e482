import { UltimaError } from '../../sdk/errors.js';
import { NvmeController } from '../../sdk/nvme/controller.js';
import type { ControllerEvent } from '../../sdk/nvme/events.js';
import { type CardTier, qosEventOf, UltimaQos } from '../../sdk/nvme/ultima-qos.js';
import type { SimCard } from '../../sim/card.js';
import type { Prng } from '../../sim/prng.js';
import { kelvin, Load, oneCore, openCard, runLoads } from '../sim/nvme/qos/load.js';
import { type Campaign, campaign, type Tally } from '../support/campaign.js';

const namespaceCount = 6;
const tierCount = 5;
const msNs = 1_000_000;
const none = Number.POSITIVE_INFINITY;
/** Of the profile of these tests. */
const makersCapacity = 90_000;
const heats = [kelvin.cool, kelvin.warm, kelvin.hot];
/** A request, and what may have been in the media when a span began. */
const slackUnits = 1 + 2 * 8 + 1;

interface Step {
  readonly kind:
    | 'table'
    | 'assign'
    | 'queue'
    | 'capacity'
    | 'load'
    | 'run'
    | 'heat'
    | 'other commands'
    | 'reset'
    | 'power cut';
  readonly client: number;
  readonly tier: number;
  readonly value: number;
  readonly isSaved: boolean;
  readonly orBestEffort: boolean;
  /** Minimum and maximum of each tier but the first; 0 for none. */
  readonly rates?: readonly (readonly [number, number])[];
}

const storm: Campaign<Step> = {
  claim:
    'policies of a card change under load and heat, by every vendor command, over resets and ' +
    'power cuts: what is promised is what was accepted and fits, a limit holds, what was saved ' +
    'comes back, what is kept when the card is too slow is told, and every command ends once',
  plan,
  run: (steps, seed, tally) => new Storm(tally).all(steps, seed),
};

export const stormOfQosCard = campaign(storm);

/** What comes how often, of a hundred. */
const kinds = [
  ['table', 12],
  ['assign', 28],
  ['queue', 8],
  ['capacity', 5],
  ['load', 12],
  ['run', 20],
  ['heat', 5],
  ['other commands', 4],
  ['reset', 4],
  ['power cut', 2],
] as const satisfies readonly (readonly [Step['kind'], number])[];

function kindOf(percent: number): Step['kind'] {
  let left = percent;
  for (const [kind, share] of kinds) {
    left -= share;
    if (left < 0) return kind;
  }
  return 'run';
}

function plan(prng: Prng): Step[] {
  return Array.from({ length: 60 }, () => {
    const kind = kindOf(prng.below(100));
    return {
      kind,
      client: 1 + prng.below(namespaceCount),
      tier: prng.below(tierCount + 1),
      value: prng.below(1000),
      isSaved: prng.chance(0.5),
      orBestEffort: prng.chance(0.3),
      ...(kind === 'table' ? { rates: someRates(prng) } : {}),
    };
  });
}

function someRates(prng: Prng): [number, number][] {
  return Array.from({ length: tierCount - 1 }, () => {
    const minimum = prng.chance(0.4) ? 0 : Math.round(10 ** (2 + 2.7 * prng.unit()));
    const maximum = prng.chance(0.4) ? 0 : Math.round(Math.max(minimum, 200) * (1 + prng.unit()));
    return [minimum, maximum];
  });
}

interface Values {
  table: readonly (CardTier | null)[];
  readonly tiers: number[];
  capacity: number;
}

class Storm {
  private readonly tally: Tally;
  private card!: SimCard;
  private controller!: NvmeController;
  private qos!: UltimaQos;
  private loads: Load[] = [];
  private current!: Values;
  private saved!: Values;
  private initial!: Values;
  private steps = 0;

  constructor(tally: Tally) {
    this.tally = tally;
  }

  async all(steps: readonly Step[], _seed: number): Promise<string | null> {
    const opened = await openCard(namespaceCount, oneCore, this.hear);
    this.card = opened.card;
    this.controller = opened.controller;
    this.qos = opened.qos;
    // What was never written is read without the media.
    for (let client = 1; client <= namespaceCount; client++) {
      await (await this.controller.namespace(client)).write(0, new Uint8Array(4096));
    }
    const table = await this.qos.tiers();
    const fresh = (): Values => ({
      table,
      tiers: Array.from({ length: namespaceCount + 1 }, () => 0),
      capacity: makersCapacity,
    });
    this.initial = fresh();
    this.current = fresh();
    this.saved = fresh();
    for (const step of steps) {
      this.steps++;
      const wrong = (await this.one(step)) ?? (await this.audit());
      if (wrong !== null) return `step ${this.steps}, ${step.kind}: ${wrong}`;
    }
    return this.end();
  }

  private async one(step: Step): Promise<string | null> {
    this.count(`${step.kind} steps`);
    switch (step.kind) {
      case 'table':
        return this.setTable(step);
      case 'assign':
        return this.assign(step);
      case 'queue':
        await this.quiet(this.qos.assignQueue(1, step.tier, step));
        return null;
      case 'capacity':
        return this.setCapacity(step);
      case 'load':
        await this.load(step);
        return null;
      case 'run':
        return this.run(step);
      case 'heat':
        this.card.subsystem.health.setTemperature(heats[step.value % heats.length]!);
        return null;
      case 'other commands':
        return this.others(step);
      case 'reset':
        await this.controller.reset();
        await this.restored();
        return null;
      case 'power cut':
        return this.powerCut();
    }
  }

  private async setTable(step: Step): Promise<string | null> {
    const [first] = this.initial.table;
    const tiers = step.rates!.map(([minimum, maximum], index) => ({
      ...first!,
      name: `t${index + 1}`,
      minIops: minimum,
      maxIops: maximum === 0 ? none : maximum,
      burst: 1 + (step.value % 40),
    }));
    const { isSaved } = step;
    const isTaken = await this.quiet(this.qos.setTiers([first!, ...tiers], { isSaved }));
    if (!isTaken) return null;
    const table = await this.qos.tiers();
    const isSame = table.every(
      (tier, i) => (tier?.minIops ?? -1) === (tiers[i - 1]?.minIops ?? (i === 0 ? 0 : -1)),
    );
    if (!isSame) return 'a table that was taken reads back as another';
    this.current.table = table;
    if (isSaved) this.saved.table = table;
    return null;
  }

  private async assign({ client, tier, isSaved, orBestEffort }: Step): Promise<string | null> {
    const before = await this.qos.capabilities();
    const options = { isSaved, orBestEffort };
    const wanted = this.current.table[tier] ?? null;
    const had = await this.keptOf(client);
    const isTaken = await this.quiet(this.qos.assign(client, tier, options));
    const reservation = wanted?.minIops ?? 0;
    const fits =
      reservation === 0 || before.promisedUnits - had + reservation <= before.capacityUnits;
    const isRight = wanted !== null && (fits || orBestEffort);
    if (isTaken !== isRight) {
      return (
        `tier ${tier} for ${client} was ${isTaken ? 'taken' : 'refused'}: ${reservation} beside ` +
        `${before.promisedUnits - had} of ${before.capacityUnits}`
      );
    }
    if (!isTaken) return null;
    // What the media had when the first policy came is not called back from them.
    if (!this.hasPolicy) this.firstPolicyNs = this.card.world.nowNs;
    this.current.tiers[client] = tier;
    if (isSaved) this.saved.tiers[client] = tier;
    const after = await this.qos.capabilities();
    const promised = before.promisedUnits - had + (fits ? reservation : 0);
    return after.promisedUnits === promised
      ? null
      : `${after.promisedUnits} units are promised where ${promised} should be`;
  }

  private async keptOf(client: number): Promise<number> {
    const counters = await this.qos.counters();
    const own = counters.find(({ nsid }) => nsid === client);
    if (own === undefined || own.isBestEffort) return 0;
    return this.current.table[own.tier]?.minIops ?? 0;
  }

  private async setCapacity({ value, isSaved }: Step): Promise<string | null> {
    const reads = value === 0 ? 0 : value * 100;
    const point = { latencyNs: msNs, reads, mixed: null, writes: null, large: null };
    const capacity = { points: reads === 0 ? [] : [point], writeCost: null, headroom: 0 };
    await this.qos.setCapacity(capacity, { isSaved });
    this.current.capacity = reads === 0 ? makersCapacity : reads;
    if (isSaved) this.saved.capacity = this.current.capacity;
    return null;
  }

  private async load({ client, value }: Step): Promise<void> {
    if (this.loads.length >= 8) return;
    const namespace = await this.controller.namespace(client);
    const how =
      value % 3 === 0 ? { rate: 100 + 20 * value, depth: 64 } : { depth: 1 + (value % 32) };
    this.loads.push(new Load(namespace, how));
    this.clients.push(client);
  }

  private clients: number[] = [];

  /** A span without changes: a limit holds in it. */
  private run({ value }: Step): string | null {
    // What ended while nobody looked belongs to the time before.
    for (const load of this.loads) load.work();
    const startNs = this.card.world.nowNs;
    // Some as long as the card needs to notice that it is too slow.
    const spanNs = (value % 10 === 0 ? 250 : 1 + (value % 20)) * msNs;
    runLoads(this.card, this.loads, startNs + spanNs);
    this.count('ms of load', spanNs / msNs);
    for (let client = 1; client <= namespaceCount; client++) {
      const tier = this.current.table[this.current.tiers[client]!];
      if (tier == null || tier.maxIops === none || this.hadQueueTier) continue;
      const served = this.loads.reduce(
        (sum, load, i) =>
          this.clients[i] === client
            ? sum + load.countIn(startNs + 1, startNs + spanNs + 1, this.firstPolicyNs)
            : sum,
        0,
      );
      const allowed = (tier.maxIops * spanNs) / 1e9 + (tier.burst ?? 32) + slackUnits;
      if (served > allowed) return `namespace ${client} was served ${served}; ${allowed} may be`;
      this.count('limits checked');
    }
    return null;
  }

  /** When the policy came that is in force without others before it; a reset ends what is older. */
  private firstPolicyNs = -1;

  private get hasPolicy(): boolean {
    return this.hadQueueTier || this.current.tiers.some((tier) => tier !== 0);
  }

  /** Since the last reset: what has waited as the queue's goes by its share, not a namespace's. */
  private hadQueueTier = false;

  private async others({ client, value }: Step): Promise<string | null> {
    const namespace = await this.controller.namespace(client);
    if (value % 2 === 0) {
      await namespace.flush();
      this.count('flushes');
      return null;
    }
    const region = namespace.memory.allocate(namespace.blockBytes);
    const zeroes = { region, offset: 0, length: namespace.blockBytes };
    const isEqual = await namespace.compareAndWrite(1, { expected: zeroes, next: zeroes });
    namespace.memory.free(region);
    this.count('fused pairs');
    return isEqual ? null : 'zeroes that nobody wrote over are not equal to zeroes';
  }

  private async powerCut(): Promise<string | null> {
    for (const load of this.loads) load.isStopped = true;
    this.card.powerCut();
    await this.controller.close().catch(() => {});
    for (const load of this.loads) load.work();
    const lost = this.loads.reduce((sum, load) => sum + load.inFlight, 0);
    if (lost > 0) return `${lost} requests did not end with the power`;
    this.loads = [];
    this.clients = [];
    this.card.restore();
    runLoads(this.card, [], this.card.world.nowNs + 1_000 * msNs);
    this.controller = await NvmeController.open(this.card.open(), {
      queueEntries: 1024,
      onEvent: this.hear,
    });
    this.qos = new UltimaQos(this.controller.admin);
    await this.restored();
    return null;
  }

  /** What was saved is in force; a tier that the saved table lacks is nobody's. */
  private async restored(): Promise<void> {
    this.current.table = this.saved.table;
    this.current.capacity = this.saved.capacity;
    this.hadQueueTier = false;
    this.firstPolicyNs = -1;
    this.lastTold = null;
    for (let client = 1; client <= namespaceCount; client++) {
      const tier = this.saved.tiers[client]!;
      this.current.tiers[client] = this.saved.table[tier] == null ? 0 : tier;
    }
  }

  /** What the last event said of reservations; a reset forgets what was not told yet. */
  private lastTold: 'shortfall' | 'all kept' | null = null;

  private readonly hear = (event: ControllerEvent): void => {
    const told = qosEventOf(event);
    if (told === null) return;
    this.lastTold = told;
    this.heardCount++;
    this.count(told);
  };

  private heardCount = 0;

  /** What is kept is what the last event said, once none waits for the counters to be read. */
  private async auditKept(): Promise<string | null> {
    for (let before = -1; before !== this.heardCount; ) {
      before = this.heardCount;
      await this.qos.counters();
    }
    const { keptPart } = await this.qos.capabilities();
    if (this.lastTold !== null && (this.lastTold === 'shortfall') !== keptPart < 1) {
      return `'${this.lastTold}' was told last, and ${keptPart} of each reservation is kept`;
    }
    for (const { nsid, tier, isBestEffort, keptUnitsPerSecond } of await this.qos.counters()) {
      const promised = isBestEffort ? 0 : (this.current.table[tier]?.minIops ?? 0);
      const error = Math.abs(keptUnitsPerSecond - keptPart * promised);
      if (error <= 1 + promised / 1000) continue;
      return `namespace ${nsid} keeps ${keptUnitsPerSecond} of ${promised} at ${keptPart}`;
    }
    return null;
  }

  private async audit(): Promise<string | null> {
    const { qos, current } = this;
    if ((await qos.tierOfQueue(1)) !== 0) this.hadQueueTier = true;
    for (let client = 1; client <= namespaceCount; client++) {
      const tier = await qos.tierOf(client);
      if (tier !== current.tiers[client]) {
        return `namespace ${client} has tier ${tier}, not ${current.tiers[client]}`;
      }
    }
    const { promisedUnits, capacityUnits } = await qos.capabilities();
    if (capacityUnits !== current.capacity) return `a capacity of ${capacityUnits}`;
    const counters = await qos.counters();
    const sum = counters
      .filter(({ isBestEffort }) => !isBestEffort)
      .reduce((total, { tier }) => total + (current.table[tier]?.minIops ?? 0), 0);
    if (sum !== promisedUnits) return `${promisedUnits} promised where the tiers say ${sum}`;
    const history = await qos.history();
    const isSame = history.length === counters.length;
    this.count('audits');
    if (!isSame) return `${history.length} histories of ${counters.length} clients`;
    return this.auditKept();
  }

  /** Without policies everything ends. */
  private async end(): Promise<string | null> {
    for (const load of this.loads) load.isStopped = true;
    await this.quiet(this.qos.assignQueue(1, 0));
    for (let client = 1; client <= namespaceCount; client++) await this.qos.assign(client, 0);
    runLoads(this.card, this.loads, this.card.world.nowNs + 200 * msNs);
    const left = this.loads.reduce((sum, load) => sum + load.inFlight, 0);
    if (left > 0) return `${left} requests never ended`;
    this.count(
      'requests',
      this.loads.reduce((sum, load) => sum + load.statuses.length, 0),
    );
    this.card.checker.demandNone();
    return null;
  }

  /** @returns whether it was taken; what the card refuses is no violation */
  private async quiet(attempt: Promise<unknown>): Promise<boolean> {
    try {
      await attempt;
      this.count('changes taken');
      return true;
    } catch (error) {
      if (!(error instanceof UltimaError)) throw error;
      this.count('changes refused');
      return false;
    }
  }

  private count(name: string, by = 1): void {
    this.tally[name] = (this.tally[name] ?? 0) + by;
  }
}
