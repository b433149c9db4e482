import { FeatureSelect } from '../../sdk/spec/nvme/admin-command.js';
import { Feature } from '../../sdk/spec/nvme/features.js';
import { Cns } from '../../sdk/spec/nvme/identify.js';
import { IdentifyController } from '../../sdk/spec/nvme/identify-controller.js';
import { IdentifyNamespace, LbaFormat } from '../../sdk/spec/nvme/identify-namespace.js';
import { Cap } from '../../sdk/spec/nvme/registers.js';
import { activeNamespaces } from '../../sdk/testing/namespace.js';
import type { Rig } from '../../sdk/testing/rig.js';
import { defineProfile } from '../../sim/profiles/index.js';
import type { Profile } from '../../sim/profiles/profile.js';
import { simple } from '../../sim/profiles/simple.js';

/** What a controller offers, as far as a sequence depends on it. */
export interface Facts {
  readonly queueEntries: number;
  readonly queuePairs: number;
  readonly vectors: number;
  readonly isContiguousQueuesRequired: boolean;
  readonly hasSgl: boolean;
  readonly maxTransferBytes: number;
  readonly eventLimit: number;
  readonly abortLimit: number;
  readonly errorEntries: number;
  readonly namespaces: number;
  /** How many of them exist. */
  readonly active: number;
  readonly isShared: boolean;
  readonly blocks: number;
  readonly blockBytes: number;
  readonly formats: readonly { readonly dataBytes: number; readonly metadataBytes: number }[];
  readonly hasVolatileCache: boolean;
  readonly readyTimeout500Ms: number;
  /** Identify structures, features and log pages that may be asked for. */
  readonly structures: readonly number[];
  readonly features: readonly number[];
  readonly logs: readonly number[];
}

/** What may be asked of both: what both have, and what neither has. */
export function sharedFacts(left: Facts, right: Facts): Facts {
  const alike = (range: readonly number[], a: readonly number[], b: readonly number[]) =>
    range.filter((id) => a.includes(id) === b.includes(id));
  return {
    ...left,
    queueEntries: Math.min(left.queueEntries, right.queueEntries),
    queuePairs: Math.min(left.queuePairs, right.queuePairs),
    structures: alike(candidates.structures, left.structures, right.structures),
    features: alike(candidates.features, left.features, right.features),
    logs: alike(candidates.logs, left.logs, right.logs),
  };
}

const candidates = {
  structures: [...Array.from({ length: 0x20 }, (_, i) => i), 0x80, 0xff],
  features: [...Object.values(Feature), 0, 0x1f, 0x70, 0x90, 0xbf],
  logs: [1, 2, 3, 4, 5, 6, 0x0a, 0x20, 0x3f, 0x7f],
} as const;

/** Those of `ids` that end well. */
async function offered(
  ids: readonly number[],
  probe: (id: number) => Promise<{ readonly status: number }>,
): Promise<number[]> {
  const found: number[] = [];
  for (const id of ids) if ((await probe(id)).status === 0) found.push(id);
  return found;
}

export async function readFacts(rig: Rig): Promise<Facts> {
  const { controller } = rig;
  const C = IdentifyController;
  const N = IdentifyNamespace;
  const id = await rig.controllerWords();
  const ns = await rig.identify(Cns.namespace, { nsid: 1 });
  const formats = Array.from({ length: N.nlbaf.get(ns, 0) }, (_, i) => ({
    dataBytes: 2 ** LbaFormat.lbads.get(ns, N.lbaf.at(0, i)),
    metadataBytes: LbaFormat.ms.get(ns, N.lbaf.at(0, i)),
  }));
  return {
    queueEntries: controller.cap(Cap.mqes),
    queuePairs: await rig.queueCount(),
    vectors: rig.fn.interrupts.vectorCount,
    isContiguousQueuesRequired: controller.cap(Cap.cqr) === 1,
    hasSgl: C.sglsSupport.get(id, 0) !== 0,
    maxTransferBytes: await rig.maxTransferBytes(2 ** 24),
    eventLimit: C.aerl.get(id, 0),
    abortLimit: C.acl.get(id, 0),
    errorEntries: C.elpe.get(id, 0),
    namespaces: C.nn.get(id, 0),
    active: (await activeNamespaces(rig)).length,
    isShared: N.nmicShared.get(ns, 0) === 1,
    blocks: N.nsze.get(ns, 0),
    blockBytes: formats[N.flbasIndex.get(ns, 0)]!.dataBytes,
    formats,
    hasVolatileCache: C.vwcPresent.get(id, 0) === 1,
    readyTimeout500Ms: controller.cap(Cap.to),
    structures: await offered(candidates.structures, async (cns) => {
      const [first] = await rig.tryIdentify(cns, { nsid: 1 });
      return first.status === 0 ? first : (await rig.tryIdentify(cns))[0];
    }),
    features: await offered(candidates.features, async (fid) => {
      const plain = await rig.getFeature({ fid, select: FeatureSelect.capabilities });
      if (plain.status === 0) return plain;
      return rig.getFeature({ fid, select: FeatureSelect.capabilities, nsid: 1 });
    }),
    logs: await offered(candidates.logs, async (lid) => (await rig.tryLog({ lid, bytes: 64 }))[0]),
  };
}

/** A simulated card as like the one with these facts as a profile can say. */
export function twinProfile(facts: Facts): Profile {
  const bytes = facts.blocks * facts.blockBytes;
  return defineProfile(simple, {
    name: 'twin',
    controller: {
      queuePairs: facts.queuePairs,
      queueEntries: facts.queueEntries,
      vectors: facts.vectors,
      isContiguousQueuesRequired: facts.isContiguousQueuesRequired,
      hasWeightedRoundRobin: false,
      hasSubsystemReset: false,
      hasSgl: facts.hasSgl,
      maxTransferBytes: facts.maxTransferBytes,
      memoryBufferBytes: 0,
      asyncEventLimit: facts.eventLimit,
      abortLimit: facts.abortLimit,
      errorLogEntries: facts.errorEntries,
      firmwareSlots: 1,
      virtualFunctions: 0,
      readyTimeout500Ms: facts.readyTimeout500Ms,
    },
    cache: { isVolatile: facts.hasVolatileCache },
    subsystem: {
      maxNamespaces: facts.namespaces,
      capacityBytes: facts.active * bytes,
      hasReservations: false,
    },
    lbaFormats: facts.formats.map((format) => ({ ...format, relativePerformance: 0 })),
    namespaces: Array.from({ length: facts.active }, () => ({
      bytes,
      lbaFormat: facts.formats.findIndex(
        (format) => format.dataBytes === facts.blockBytes && format.metadataBytes === 0,
      ),
      protectionType: 0,
      isMetadataExtended: false,
      isShared: facts.isShared,
    })),
  });
}
