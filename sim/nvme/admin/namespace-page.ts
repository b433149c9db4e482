import { CommandSet } from '../../../sdk/spec/nvme/identify.js';
import {
  ExtendedLbaFormat,
  GuardFormat,
  IdentifyNamespace,
  IdentifyNamespaceIndependent,
  IdentifyNamespaceNvm,
  LbaFormat,
  NamespaceDescriptor,
  NamespaceIdentifierType,
} from '../../../sdk/spec/nvme/identify-namespace.js';
import { AnaState } from '../../../sdk/spec/nvme/logs.js';
import type { Profile } from '../../profiles/profile.js';
import type { Namespace } from '../namespace.js';
import type { AdminContext } from './context.js';

const N = IdentifyNamespace;

const formatsOfLowIndex = 16;

/** Identify Namespace of one namespace, CNS 00h and 11h. */
export function writeNamespace(
  context: AdminContext,
  words: Uint32Array,
  namespace: Namespace,
): void {
  writeCommon(context.profile, words);
  N.nsze.set(words, 0, namespace.sizeBlocks);
  N.ncap.set(words, 0, namespace.capacityBlocks);
  // What cannot be reached is not counted [NVM-1.0 §? Asymmetric Namespace Access].
  const isReachable = isShown(context.subsystem.anaState(namespace.anaGroupId));
  N.nuse.set(words, 0, isReachable ? namespace.usedBlocks : 0);
  N.nsfeatDealloc.set(words, 0, 1);
  N.nsfeatUidReuse.set(words, 0, 1);
  N.flbasIndex.set(words, 0, namespace.formatIndex % formatsOfLowIndex);
  N.flbasIndexHigh.set(words, 0, Math.floor(namespace.formatIndex / formatsOfLowIndex));
  N.flbasExtended.set(words, 0, namespace.isMetadataExtended ? 1 : 0);
  N.dpsType.set(words, 0, namespace.protectionType);
  N.dpsFirst.set(words, 0, namespace.isProtectionFirst ? 1 : 0);
  N.nmicShared.set(words, 0, namespace.isShared ? 1 : 0);
  writeReservations(context.profile, words);
  N.fpiSupported.set(words, 0, 1);
  N.fpiRemaining.set(words, 0, context.subsystem.formatRemaining(namespace));
  N.dlfeatReads.set(words, 0, 1);
  N.dlfeatWriteZeroes.set(words, 0, 1);
  writeAtomicity(words, namespace);
  N.noiob.set(words, 0, namespace.optimalBoundaryBlocks);
  const bytes = isReachable ? context.subsystem.allocatedBytes(namespace) : 0;
  N.nvmcap.setCount(words, 0, BigInt(bytes));
  N.mssrl.set(words, 0, namespace.copyLimits.maxRangeBlocks);
  N.mcl.set(words, 0, namespace.copyLimits.maxBlocks);
  N.msrc.set(words, 0, namespace.copyLimits.maxRanges);
  N.anagrpid.set(words, 0, namespace.anaGroupId);
  N.nsattrWriteProtected.set(words, 0, namespace.isWriteProtected ? 1 : 0);
  N.nvmsetid.set(words, 0, namespace.nvmSetId);
  N.endgid.set(words, 0, namespace.enduranceGroupId);
  N.nguid.bytes(words, 0).set(namespace.identifiers.nguid);
  N.eui64.bytes(words, 0).set(namespace.identifiers.eui64);
}

function isShown(anaState: number): boolean {
  return anaState !== AnaState.inaccessible && anaState !== AnaState.persistentLoss;
}

/** CNS 00h with the broadcast identifier: what all namespaces have in common. */
export function writeCommon(profile: Profile, words: Uint32Array): void {
  N.nlbaf.set(words, 0, profile.lbaFormats.length);
  for (const [index, format] of profile.lbaFormats.entries()) {
    const at = N.lbaf.at(0, index);
    LbaFormat.ms.set(words, at, format.metadataBytes);
    LbaFormat.lbads.set(words, at, Math.log2(format.dataBytes));
    LbaFormat.rp.set(words, at, format.relativePerformance);
  }
  N.mcExtended.set(words, 0, 1);
  N.mcSeparate.set(words, 0, 1);
  for (const field of [N.dpcType1, N.dpcType2, N.dpcType3, N.dpcFirst, N.dpcLast]) {
    field.set(words, 0, 1);
  }
}

function writeReservations(profile: Profile, words: Uint32Array): void {
  if (!profile.subsystem.hasReservations) return;
  for (const field of reservationFields) field.set(words, 0, 1);
}

const reservationFields = [
  N.rescapPersist,
  N.rescapWriteExclusive,
  N.rescapExclusiveAccess,
  N.rescapWriteExclusiveRegistrants,
  N.rescapExclusiveAccessRegistrants,
  N.rescapWriteExclusiveAll,
  N.rescapExclusiveAccessAll,
  N.rescapIekey13,
];

function writeAtomicity(words: Uint32Array, namespace: Namespace): void {
  const { atomicity } = namespace;
  N.nsfeatAtomic.set(words, 0, 1);
  N.nawun.set(words, 0, atomicity.writeBlocks);
  N.nawupf.set(words, 0, atomicity.powerFailBlocks);
  N.nacwu.set(words, 0, atomicity.compareWriteBlocks);
  N.nabsn.set(words, 0, boundaryField(atomicity.boundaryBlocks));
  N.nabo.set(words, 0, atomicity.boundaryOffset);
  N.nabspf.set(words, 0, boundaryField(atomicity.powerFailBoundaryBlocks));
}

/** 0's based, with 0 for no boundary. */
function boundaryField(blocks: number): number {
  return blocks === 0 ? 0 : blocks - 1;
}

/** CNS 05h for the NVM command set: 16-bit guards, no storage tags. */
export function writeNamespaceNvm(profile: Profile, words: Uint32Array): void {
  for (let index = 0; index < profile.lbaFormats.length; index++) {
    const at = IdentifyNamespaceNvm.elbaf.at(0, index);
    ExtendedLbaFormat.pif.set(words, at, GuardFormat.guard16);
  }
}

/** CNS 08h. */
export function writeIndependent(
  context: AdminContext,
  words: Uint32Array,
  namespace: Namespace,
): void {
  const I = IdentifyNamespaceIndependent;
  I.nsfeatUidReuse.set(words, 0, 1);
  I.nmicShared.set(words, 0, namespace.isShared ? 1 : 0);
  if (context.profile.subsystem.hasReservations) I.rescap.set(words, 0, I.rescap.max);
  I.fpiSupported.set(words, 0, 1);
  I.fpiRemaining.set(words, 0, context.subsystem.formatRemaining(namespace));
  I.anagrpid.set(words, 0, namespace.anaGroupId);
  I.nsattrWriteProtected.set(words, 0, namespace.isWriteProtected ? 1 : 0);
  I.nvmsetid.set(words, 0, namespace.nvmSetId);
  I.endgid.set(words, 0, namespace.enduranceGroupId);
  I.nstatReady.set(words, 0, namespace.isReady ? 1 : 0);
}

/** CNS 03h: EUI-64, NGUID, UUID and command set, one after the other. */
export function writeDescriptors(words: Uint32Array, namespace: Namespace): void {
  const { eui64, nguid, uuid } = namespace.identifiers;
  const list: [type: number, id: Uint8Array][] = [
    [NamespaceIdentifierType.eui64, eui64],
    [NamespaceIdentifierType.nguid, nguid],
    [NamespaceIdentifierType.uuid, uuid],
    [NamespaceIdentifierType.csi, Uint8Array.of(CommandSet.nvm)],
  ];
  const bytes = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
  const header = new Uint32Array(1);
  let offset = 0;
  for (const [type, id] of list) {
    NamespaceDescriptor.nidt.set(header, 0, type);
    NamespaceDescriptor.nidl.set(header, 0, id.length);
    bytes.set(new Uint8Array(header.buffer), offset);
    bytes.set(id, offset + header.byteLength);
    offset += header.byteLength + id.length;
  }
}
