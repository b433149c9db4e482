import type { BlockDevice } from './block/device.js';
import type { NvmeController } from './nvme/controller.js';
import type { Namespace } from './nvme/namespace.js';
import { type CardQosCounters, type CardTier, UltimaQos } from './nvme/ultima-qos.js';
import { Admission, type AdmissionOptions } from './qos/admission.js';
import type { CostModel } from './qos/cost.js';
import { type QosDevice, QosGate } from './qos/gate.js';
import type { QosPolicy } from './qos/policy-file.js';
import { bestEffort, shareOf, type Tier, TierTable } from './qos/tiers.js';

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
 * @throws RangeError for a tier that cannot be or that there is not; UltimaError NAMESPACE_INVALID,
 *   QOS_OVERCOMMITTED with the numbers. What was in force before is in force then.
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
  const { wanted } = how;
  const { orBestEffort = false, isSaved = false } = how.options;
  const before = { tiers: await qos.tiers(), clients: await qos.counters() };
  const list = tableWith(before.tiers, how.tiers);
  const indexOf = ({ tier }: Wanted): number => list.findIndex((each) => each?.name === tier.name);
  const indexes = new Map(wanted.map((each) => [each.nsid, indexOf(each)]));
  const devices = await openAll(controller, wanted);
  const withoutMinimum: number[] = [];
  try {
    // What some give up may be what others get.
    for (const { nsid, tier } of before.clients) {
      if (nsid !== 0 && indexes.get(nsid) !== tier) await qos.assign(nsid, 0, { isSaved });
    }
    await qos.setTiers(list, { isSaved });
    for (const [nsid, index] of indexes) {
      const isKept = await qos.assign(nsid, index, { orBestEffort, isSaved });
      if (!isKept) withoutMinimum.push(nsid);
    }
  } catch (error) {
    await putBack(qos, before, { nsids: [...indexes.keys()], isSaved });
    throw error;
  }
  return { by: 'card', devices, withoutMinimum };
}

/** Tiers that only others use stay where they are. @throws RangeError when there are too many */
function tableWith(before: readonly (CardTier | null)[], tiers: readonly Tier[]) {
  const list: (CardTier | null)[] = [...before];
  for (const tier of tiers) {
    if (tier.name === bestEffort.name) continue;
    const found = list.findIndex((each) => each?.name === tier.name);
    const index = found >= 0 ? found : list.indexOf(null, 1);
    if (index < 0) throw new RangeError(`tier '${tier.name}' would be the ninth of the card`);
    list[index] = tier;
  }
  return list;
}

/** What has been changed of a policy that cannot be is as it was. */
async function putBack(
  qos: UltimaQos,
  before: {
    readonly tiers: readonly (CardTier | null)[];
    readonly clients: readonly CardQosCounters[];
  },
  { nsids, isSaved }: { readonly nsids: readonly number[]; readonly isSaved: boolean },
): Promise<void> {
  for (const nsid of nsids) await qos.assign(nsid, 0, { isSaved });
  await qos.setTiers(before.tiers, { isSaved });
  for (const { nsid, tier, isBestEffort: orBestEffort } of before.clients) {
    if (nsid !== 0) await qos.assign(nsid, tier, { orBestEffort, isSaved });
  }
}

/** They share a queue pair, so that a poll of one is a poll of all. */
async function openAll(
  controller: NvmeController,
  wanted: readonly Wanted[],
): Promise<Map<number, Namespace>> {
  const opened = await Promise.all(wanted.map(({ nsid }) => controller.namespace(nsid)));
  return new Map(opened.map((namespace) => [namespace.nsid, namespace]));
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
  const namespaces = await openAll(controller, wanted);
  const devices = new Map<number, QosDevice>();
  const [first] = namespaces.values();
  if (first === undefined) return { by: 'gate', devices, withoutMinimum };
  const gate = new QosGate(first, { clientCount: wanted.length, ...gateOptions });
  for (const { nsid, share } of admitted)
    devices.set(nsid, gate.open(share, namespaces.get(nsid)!));
  return { by: 'gate', devices, withoutMinimum };
}
