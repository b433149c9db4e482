import type { BlockDevice } from './block/device.js';
import type { NvmeController } from './nvme/controller.js';
import { type CardTier, UltimaQos } from './nvme/ultima-qos.js';
import { Admission, type AdmissionOptions } from './qos/admission.js';
import type { CostModel } from './qos/cost.js';
import { type QosDevice, QosGate } from './qos/gate.js';
import { bestEffort, shareOf, type Tier, TierTable } from './qos/tiers.js';

/** Who is promised what on a card: plain data, the same for every card. */
export interface QosPolicy {
  /** Besides the three that every card has, or in their place; best-effort stays as it is. */
  readonly tiers?: readonly Tier[];
  /** Name of the tier of each namespace; the others are best effort. */
  readonly namespaces: Readonly<Record<number, string>>;
}

export interface PolicyOptions {
  /** Where a minimum does not fit, take the rest of the tier without it instead of refusing. */
  readonly orBestEffort?: boolean;
  /** The card keeps it over resets and power cycles. */
  readonly isSaved?: boolean;
  /** For a card that has no policies of its own: the gate before its namespaces. */
  readonly gate?: {
    /** What the card can promise, see `admissionOf`; nothing is refused when left out. */
    readonly capacity?: AdmissionOptions;
    /** See `QosGate`. */
    readonly depthUnits?: number;
    readonly cost?: CostModel;
    readonly onShortfall?: (keptPart: number) => void;
  };
}

export interface PolicyInForce {
  /** 'card' where it schedules by itself, for all its hosts; 'gate' where that is done here. */
  readonly by: 'card' | 'gate';
  /** By namespace: what to use. */
  readonly devices: ReadonlyMap<number, BlockDevice>;
  /** Namespaces that have their tier without its minimum, which did not fit. */
  readonly withoutMinimum: readonly number[];
}

/**
 * Put a policy in force: the card does it where it can, and a gate in front of its namespaces where
 * it cannot. Whoever writes the policy need not know which.
 *
 * @throws RangeError for a tier that cannot be or that there is not, before anything changed;
 *   UltimaError QOS_OVERCOMMITTED with the numbers, for a card that has kept what came before
 */
export async function enforce(
  controller: NvmeController,
  policy: QosPolicy,
  options: PolicyOptions = {},
): Promise<PolicyInForce> {
  const table = new TierTable();
  for (const tier of policy.tiers ?? []) table.set(tier);
  const wanted = Object.entries(policy.namespaces).map(([nsid, name]) => ({
    nsid: Number(nsid),
    tier: table.get(name),
  }));
  const qos = new UltimaQos(controller.admin);
  if (await qos.isThere()) {
    return onCard(controller, qos, { wanted, tiers: table.list(), options });
  }
  return atGate(controller, wanted, options);
}

interface Wanted {
  readonly nsid: number;
  readonly tier: Tier;
}

async function onCard(
  controller: NvmeController,
  qos: UltimaQos,
  how: {
    readonly wanted: readonly Wanted[];
    readonly tiers: readonly Tier[];
    readonly options: PolicyOptions;
  },
): Promise<PolicyInForce> {
  const { wanted, tiers } = how;
  const { orBestEffort = false, isSaved = false } = how.options;
  // Tiers that only others use stay where they are.
  const list: (CardTier | null)[] = [...(await qos.tiers())];
  for (const tier of tiers) {
    if (tier.name === bestEffort.name) continue;
    const found = list.findIndex((each) => each?.name === tier.name);
    const index = found >= 0 ? found : list.indexOf(null, 1);
    if (index < 0) throw new RangeError(`tier '${tier.name}' would be the ninth of the card`);
    list[index] = tier;
  }
  await qos.setTiers(list, { isSaved });
  const devices = new Map<number, BlockDevice>();
  const withoutMinimum: number[] = [];
  for (const { nsid, tier } of wanted) {
    const index = list.findIndex((each) => each?.name === tier.name);
    const isKept = await qos.assign(nsid, index, { orBestEffort, isSaved });
    if (!isKept) withoutMinimum.push(nsid);
    devices.set(nsid, await controller.namespace(nsid));
  }
  return { by: 'card', devices, withoutMinimum };
}

async function atGate(
  controller: NvmeController,
  wanted: readonly Wanted[],
  { orBestEffort = false, gate: how = {} }: PolicyOptions,
): Promise<PolicyInForce> {
  const { capacity, ...gateOptions } = how;
  const admission = capacity === undefined ? null : new Admission(capacity);
  const withoutMinimum: number[] = [];
  // All is admitted before anything is opened.
  const admitted = wanted.map(({ nsid, tier }) => {
    const share = shareOf(tier);
    const { latencyTargetNs } = tier;
    const target = latencyTargetNs === undefined ? {} : { latencyTargetNs };
    const asked = { share, orBestEffort, ...target };
    const given = admission === null ? share : admission.admit(`namespace ${nsid}`, asked);
    if (given.reservation < share.reservation) withoutMinimum.push(nsid);
    return { nsid, share: given };
  });
  // They share a queue pair, so that a poll of one is a poll of all.
  const namespaces = await Promise.all(wanted.map(({ nsid }) => controller.namespace(nsid)));
  const devices = new Map<number, QosDevice>();
  const [first] = namespaces;
  if (first === undefined) return { by: 'gate', devices, withoutMinimum };
  const gate = new QosGate(first, { clientCount: wanted.length, ...gateOptions });
  for (const [i, { nsid, share }] of admitted.entries()) {
    devices.set(nsid, gate.open(share, namespaces[i]!));
  }
  return { by: 'gate', devices, withoutMinimum };
}
