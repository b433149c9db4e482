import * as lists from '../../../sdk/spec/nvme/identify.js';
import {
  PrimaryCapabilities,
  SecondaryEntry,
  SecondaryList,
} from '../../../sdk/spec/nvme/identify-controller.js';
import type { ResourcePool } from '../secondary-controllers.js';
import { onlyGroup } from '../subsystem.js';
import type { AdminContext } from './context.js';

const namespaceListMaximum = lists.NamespaceList.entries.count;

/** Identifiers above `after`, ascending, as many as fit. */
export function writeNamespaceList(
  words: Uint32Array,
  nsids: readonly number[],
  after: number,
): void {
  const shown = nsids.filter((nsid) => nsid > after).slice(0, namespaceListMaximum);
  words.set(shown);
}

/** Controller identifiers from `from` on, ascending. */
export function writeControllerList(
  words: Uint32Array,
  ids: readonly number[],
  from: number,
): void {
  const shown = ids.filter((id) => id >= from).slice(0, lists.controllerListMaximum);
  lists.ControllerList.count.set(words, 0, shown.length);
  writeIds(lists.ControllerList.identifiers.bytes(words, 0), shown);
}

function writeIds(target: Uint8Array, ids: readonly number[]): void {
  target.set(new Uint8Array(Uint16Array.from(ids).buffer));
}

/** CNS 04h: the one NVM set, when its identifier is at least `from`. */
export function writeNvmSets(context: AdminContext, words: Uint32Array, from: number): void {
  if (from > onlyGroup) return;
  const { subsystem, profile } = context;
  const at = lists.NvmSetList.entries.at(0, 0);
  lists.NvmSetList.count.set(words, 0, 1);
  lists.NvmSetEntry.nvmsetid.set(words, at, onlyGroup);
  lists.NvmSetEntry.endgid.set(words, at, onlyGroup);
  lists.NvmSetEntry.rr4kt.set(words, at, Math.ceil(subsystem.media.typicalReadNs / 100));
  lists.NvmSetEntry.tnvmsetcap.setCount(words, at, BigInt(profile.subsystem.capacityBytes));
  lists.NvmSetEntry.unvmsetcap.setCount(words, at, BigInt(subsystem.unallocatedBytes));
}

/** CNS 19h. */
export function writeEnduranceGroups(words: Uint32Array, from: number): void {
  if (from > onlyGroup) return;
  lists.EnduranceGroupList.count.set(words, 0, 1);
  writeIds(lists.EnduranceGroupList.identifiers.bytes(words, 0), [onlyGroup]);
}

/** CNS 16h: one granularity for all formats. */
export function writeGranularity(context: AdminContext, words: Uint32Array): void {
  const unit = context.profile.subsystem.allocationBytes;
  const at = lists.GranularityList.entries.at(0, 0);
  lists.GranularityList.count.set(words, 0, 0);
  lists.GranularityEntry.nszeg.set(words, at, unit);
  lists.GranularityEntry.ncapg.set(words, at, unit);
}

/** CNS 1Ch: the NVM command set, alone. */
export function writeCommandSets(words: Uint32Array): void {
  const { combinations } = lists.CommandSets;
  combinations.item.nvm.set(words, combinations.at(0, 0), 1);
}

/** CNS 14h. */
export function writePrimary(context: AdminContext, words: Uint32Array): void {
  const P = PrimaryCapabilities;
  const { secondaries } = context.subsystem;
  P.cntlid.set(words, 0, secondaries.primaryId);
  P.crtVq.set(words, 0, 1);
  P.crtVi.set(words, 0, 1);
  const { queues, vectors } = secondaries;
  P.vqfrt.set(words, 0, queues.flexible);
  P.vqrfa.set(words, 0, secondaries.assignedQueues());
  P.vqrfap.set(words, 0, queues.primaryAssigned);
  P.vqprt.set(words, 0, queues.private);
  P.vqfrsm.set(words, 0, largestShare(queues));
  P.vqgran.set(words, 0, 1);
  P.vifrt.set(words, 0, vectors.flexible);
  P.virfa.set(words, 0, secondaries.assignedVectors());
  P.virfap.set(words, 0, vectors.primaryAssigned);
  P.viprt.set(words, 0, vectors.private);
  P.vifrsm.set(words, 0, largestShare(vectors));
  P.vigran.set(words, 0, 1);
}

function largestShare(pool: ResourcePool): number {
  return Math.min(pool.flexible, pool.secondaryMaximum);
}

/** CNS 15h: secondary controllers from `from` on. */
export function writeSecondaries(context: AdminContext, words: Uint32Array, from: number): void {
  const { secondaries } = context.subsystem;
  const shown = secondaries.list.filter((controller) => controller.id >= from);
  SecondaryList.count.set(words, 0, shown.length);
  for (const [index, controller] of shown.entries()) {
    const at = SecondaryList.entries.at(0, index);
    SecondaryEntry.scid.set(words, at, controller.id);
    SecondaryEntry.pcid.set(words, at, secondaries.primaryId);
    SecondaryEntry.online.set(words, at, controller.isOnline ? 1 : 0);
    SecondaryEntry.vfn.set(words, at, controller.virtualFunction);
    SecondaryEntry.nvq.set(words, at, controller.queues);
    SecondaryEntry.nvi.set(words, at, controller.vectors);
  }
}
