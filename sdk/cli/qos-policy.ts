import { readFileSync } from 'node:fs';
import type { NvmeController } from '../nvme/controller.js';
import type { CardTier, UltimaQos } from '../nvme/ultima-qos.js';
import { Admission } from '../qos/admission.js';
import { policyFrom, policyJson, type QosPolicy } from '../qos/policy-file.js';
import { bestEffort, shareOf, type Tier, TierTable } from '../qos/tiers.js';
import { usageError } from './arguments.js';
import { rateText } from './qos-views.js';
import { table, type VerbResult } from './verb-result.js';

type Tiers = readonly (CardTier | null)[];

/** What a card has now. */
interface InForce {
  readonly tiers: Tiers;
  /** Tier by namespace, where it has another than best-effort. */
  readonly namespaces: ReadonlyMap<number, string>;
  readonly queues: readonly { readonly queueId: number; readonly tier: string }[];
  /** Namespaces whose minimum did not fit. */
  readonly withoutMinimum: ReadonlySet<number>;
}

interface Change {
  readonly what: string;
  readonly from: string | null;
  readonly to: string | null;
}

/** How a card comes from what it has to what a policy says. */
interface Plan {
  readonly tiers: Tiers;
  readonly tierChanges: readonly Change[];
  /** Namespaces that get a tier, in the order in which they do. */
  readonly assigned: readonly {
    readonly nsid: number;
    readonly from: string;
    readonly to: string;
  }[];
  /** Of them those that are best effort while the tiers change: they gain nothing by theirs. */
  readonly released: readonly number[];
  readonly withoutMinimum: readonly number[];
  readonly promisedUnits: number;
  readonly availableUnits: number;
}

/** @throws UltimaError USAGE that names the file, the place in it, the value and what can be */
export function readPolicy(file: string): QosPolicy {
  let text: string;
  try {
    text = readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (error) {
    throw usageError(`${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
  try {
    const value: unknown = JSON.parse(text);
    return policyFrom(value);
  } catch (error) {
    if (error instanceof SyntaxError) throw usageError(`${file} is no JSON: ${error.message}`);
    if (error instanceof RangeError) throw usageError(`${file}: ${error.message}`);
    throw error;
  }
}

/** The policy of a card, in the shape of the file. */
export async function showPolicy(qos: UltimaQos): Promise<VerbResult> {
  const { tiers, namespaces, withoutMinimum } = await inForce(qos);
  const own = tiers.filter((tier) => tier !== null).filter(({ name }) => name !== bestEffort.name);
  const json = policyJson({ tiers: own, namespaces: Object.fromEntries(namespaces) });
  const rows = [...namespaces].map(([nsid, name]) => [
    String(nsid),
    withoutMinimum.has(nsid) ? `${name} (its minimum does not fit)` : name,
  ]);
  const all = 'all namespaces are best-effort';
  const assigned = rows.length === 0 ? [all] : table(['namespace', 'tier'], rows);
  const described = own.map((tier) => `tier '${tier.name}': ${describe(tier)}`);
  return { json, lines: [...described, ...assigned] };
}

/**
 * Let a card have exactly what a policy says: its tiers and the three that every card has, and no
 * namespace another tier than there. All is checked before anything changes.
 *
 * @throws UltimaError USAGE for a namespace that is not there; QOS_OVERCOMMITTED with the numbers
 */
export async function applyPolicy(
  controller: NvmeController,
  qos: UltimaQos,
  how: {
    readonly policy: QosPolicy;
    readonly isDryRun: boolean;
    readonly orBestEffort: boolean;
  },
): Promise<VerbResult> {
  const { policy, isDryRun, orBestEffort } = how;
  await checkNamespaces(controller, policy);
  const now = await inForce(qos);
  const plan = admitted(now, planOf(now, policy), await admissionOf(qos), orBestEffort);
  if (!isDryRun) await carryOut(qos, plan, orBestEffort);
  const changes = [
    ...plan.tierChanges,
    ...plan.assigned.map(({ nsid, from, to }) => ({ what: `namespace ${nsid}`, from, to })),
  ];
  const { promisedUnits, availableUnits, withoutMinimum } = plan;
  const lines = [
    ...changes.map(({ what, from, to }) => `${what}: ${from ?? 'none'} -> ${to ?? 'none'}`),
    ...withoutMinimum.map((nsid) => `namespace ${nsid}: without its minimum, which does not fit`),
    `promised ${rateText(promisedUnits)} of ${rateText(availableUnits)}`,
    endOf(changes.length, isDryRun),
  ];
  return { json: { changes, promisedUnits, availableUnits, withoutMinimum, isDryRun }, lines };
}

/** @throws UltimaError USAGE for a namespace of the policy that the controller does not have */
export async function checkNamespaces(
  controller: NvmeController,
  { namespaces }: QosPolicy,
): Promise<void> {
  const there = await controller.namespaceIds();
  const missing = Object.keys(namespaces).find((nsid) => !there.includes(Number(nsid)));
  if (missing === undefined) return;
  const some = there.length > 16 ? `${there.slice(0, 16).join(', ')}, ..` : there.join(', ');
  throw usageError(`namespace ${missing} of the policy is not there; there are ${some}`);
}

function endOf(changes: number, isDryRun: boolean): string {
  if (changes === 0) return 'the card has this policy already';
  return isDryRun ? 'nothing was changed: a dry run' : 'in force and saved';
}

async function inForce(qos: UltimaQos): Promise<InForce> {
  const tiers = await qos.tiers();
  const clients = (await qos.counters()).map((one) => ({
    ...one,
    name: tiers[one.tier]?.name ?? bestEffort.name,
  }));
  const ofNamespaces = clients.filter(({ nsid }) => nsid > 0);
  return {
    tiers,
    namespaces: new Map(ofNamespaces.map(({ nsid, name }) => [nsid, name])),
    queues: clients
      .filter(({ queueId }) => queueId > 0)
      .map(({ queueId, name }) => ({ queueId, tier: name })),
    withoutMinimum: new Set(
      ofNamespaces.filter(({ isBestEffort }) => isBestEffort).map(({ nsid }) => nsid),
    ),
  };
}

/** Of what the card has measured, or of what its maker says, whatever the latency. */
async function admissionOf(qos: UltimaQos): Promise<Admission> {
  const { points, headroom } = await qos.capacity();
  const { capacityUnits } = await qos.capabilities();
  if (points.length === 0) {
    const all = [{ latencyNs: 1, unitsPerSecond: capacityUnits }];
    return new Admission({ capacity: all, headroom: 0 });
  }
  const capacity = points.map(({ latencyNs, reads, mixed, writes, large }) => {
    const measured = [reads, mixed, writes, large].filter((units) => units !== null);
    return { latencyNs, unitsPerSecond: Math.min(...measured) };
  });
  return new Admission({ capacity, headroom });
}

type Planned = Pick<Plan, 'tiers' | 'tierChanges' | 'assigned'>;

function planOf(now: InForce, policy: QosPolicy): Planned {
  const wanted = new TierTable();
  for (const tier of policy.tiers ?? []) wanted.set(tier);
  const tiers = now.tiers.map((tier) =>
    tier === null ? null : (wanted.list().find(({ name }) => name === tier.name) ?? null),
  );
  const tierChanges: Change[] = [];
  for (const tier of wanted.list()) {
    const before = named(now.tiers, tier.name);
    if (before === null) tiers[tiers.indexOf(null, 1)] = tier;
    const from = before === null ? null : describe(before);
    const to = describe(tier);
    if (from !== to) tierChanges.push({ what: `tier '${tier.name}'`, from, to });
  }
  for (const tier of now.tiers) {
    if (tier === null || named(tiers, tier.name) !== null) continue;
    tierChanges.push({ what: `tier '${tier.name}'`, from: describe(tier), to: null });
  }
  const nsids = new Set([...now.namespaces.keys(), ...Object.keys(policy.namespaces).map(Number)]);
  const assigned = [...nsids]
    .sort((a, b) => a - b)
    .map((nsid) => ({
      nsid,
      from: now.namespaces.get(nsid) ?? bestEffort.name,
      to: policy.namespaces[nsid] ?? bestEffort.name,
    }));
  return { tiers, tierChanges, assigned };
}

/** The plan, when all that it promises can be kept. */
function admitted(now: InForce, plan: Planned, admission: Admission, orBestEffort: boolean): Plan {
  const { tiers, tierChanges, assigned } = plan;
  for (const { queueId, tier } of now.queues) {
    const found = named(tiers, tier);
    if (found === null) throw usageError(`queue ${queueId} has tier '${tier}', which would go`);
    admission.admit(`queue ${queueId}`, asked(found, false));
  }
  // Who keeps a tier has it while the others get theirs.
  const stays = assigned.filter(
    ({ nsid, from, to }) => from === to && !now.withoutMinimum.has(nsid),
  );
  const comes = assigned.filter((one) => !stays.includes(one));
  const withoutMinimum: number[] = [];
  for (const { nsid, to } of [...stays, ...comes]) {
    const want = asked(named(tiers, to) ?? bestEffort, orBestEffort);
    const given = admission.admit(`namespace ${nsid}`, want);
    if (given.reservation < want.share.reservation) withoutMinimum.push(nsid);
  }
  const lacking = stays.filter(({ nsid }) => withoutMinimum.includes(nsid));
  const changed = [...lacking, ...comes];
  const released = changed.filter(({ from, to }) => {
    const before = named(now.tiers, from);
    const after = named(tiers, from);
    if (before === null || from === bestEffort.name) return false;
    const isSame = after !== null && describe(after) === describe(before);
    const least = shareOf(named(tiers, to) ?? bestEffort).reservation;
    return !isSame || least < shareOf(before).reservation;
  });
  const names = assigned.filter(({ nsid }) => !withoutMinimum.includes(nsid)).map(({ to }) => to);
  const kept = [...names, ...now.queues.map(({ tier }) => tier)].map((name) => named(tiers, name));
  return {
    tiers,
    tierChanges,
    assigned: changed,
    released: released.map(({ nsid }) => nsid),
    withoutMinimum,
    promisedUnits: Math.ceil(admission.promised),
    availableUnits: Math.floor(admission.available(strictestNs(kept))),
  };
}

/** What is promised at any moment on the way is no more than before, or than in the end. */
async function carryOut(qos: UltimaQos, plan: Plan, orBestEffort: boolean): Promise<void> {
  const { tiers, tierChanges, assigned, released } = plan;
  const isSaved = true;
  for (const nsid of released) await qos.assign(nsid, 0, { isSaved });
  if (tierChanges.length > 0) await qos.setTiers(tiers, { isSaved });
  for (const { nsid, to } of assigned) {
    if (to === bestEffort.name && released.includes(nsid)) continue;
    const index = tiers.findIndex((tier) => tier?.name === to);
    await qos.assign(nsid, index, { isSaved, orBestEffort });
  }
}

function asked(tier: Tier, orBestEffort: boolean) {
  const { latencyTargetNs } = tier;
  const target = latencyTargetNs === undefined ? {} : { latencyTargetNs };
  return { share: shareOf(tier), orBestEffort, ...target };
}

function strictestNs(tiers: Tiers): number {
  const used = tiers.filter((tier) => tier !== null);
  const reserving = used.filter((tier) => shareOf(tier).reservation > 0);
  return Math.min(...reserving.map(({ latencyTargetNs }) => latencyTargetNs ?? Infinity));
}

function named(tiers: Tiers, name: string): CardTier | null {
  return tiers.find((tier) => tier?.name === name) ?? null;
}

/** All that a tier says, in words. */
function describe(tier: Tier): string {
  const { minIops, minBytesPerSecond, maxIops, maxBytesPerSecond, weight } = tier;
  const said = [
    minIops > 0 ? `at least ${minIops.toLocaleString('en-US')} units/s` : '',
    minBytesPerSecond > 0 ? `at least ${minBytesPerSecond.toLocaleString('en-US')} bytes/s` : '',
    maxIops < Infinity ? `at most ${maxIops.toLocaleString('en-US')} units/s` : '',
    maxBytesPerSecond < Infinity
      ? `at most ${maxBytesPerSecond.toLocaleString('en-US')} bytes/s`
      : '',
    `weight ${weight}`,
    tier.burst === undefined ? '' : `burst ${tier.burst}`,
    tier.latencyTargetNs === undefined ? '' : `latency ${tier.latencyTargetNs} ns`,
  ];
  return said.filter((text) => text !== '').join(', ');
}
