import { GiB, KiB, MiB, TiB } from '../../sdk/units.js';
import { checkInside, insideRules } from './inside-rules.js';
import type {
  LbaFormatProfile,
  MediaProfile,
  NamespaceProfile,
  Profile,
  QosProfile,
} from './profile.js';

import {
  check,
  flag,
  integer,
  list,
  optional,
  powerOfTwo,
  type RuleOf,
  refuse,
  text,
  timeNs,
} from './rule.js';

const lbaFormatRules = {
  dataBytes: powerOfTwo(512, 64 * KiB),
  metadataBytes: integer(0, 64),
  relativePerformance: integer(0, 3),
} satisfies RuleOf<LbaFormatProfile>;

const namespaceRules = {
  bytes: integer(1 * MiB, 1024 * TiB),
  lbaFormat: integer(0, 63),
  protectionType: integer(0, 3),
  isMetadataExtended: flag,
  isShared: flag,
} satisfies RuleOf<NamespaceProfile>;

const mediaRules = {
  parallelUnits: integer(1, 65_536),
  readNs: timeNs,
  readNextNs: timeNs,
  writeNs: timeNs,
  writeNextNs: timeNs,
  flushNs: timeNs,
  flushNextNs: timeNs,
  trimNs: timeNs,
  jitterPermille: integer(0, 500),
} satisfies RuleOf<MediaProfile>;

const qosRules = {
  capacityUnits: integer(1, 100_000_000),
  depthUnits: integer(1, 65_536),
  quietDepthUnits: integer(1, 65_536),
  fetchBurst: integer(1, 65_536),
  scheduleNs: timeNs,
  writeCostPermille: integer(10, 1_000_000),
  discardCostPermille: integer(10, 1_000_000),
  copyWeightPermille: integer(1, 1_000_000),
  copyUnits: integer(1, 100_000_000),
} satisfies RuleOf<QosProfile>;

const profileRules = {
  name: text(1, 40),
  summary: text(1, 200),
  identity: {
    vendorId: integer(1, 0xfffe),
    deviceId: integer(0, 0xffff),
    subsystemVendorId: integer(1, 0xfffe),
    subsystemId: integer(0, 0xffff),
    revisionId: integer(0, 0xff),
    serialNumber: text(1, 20),
    modelNumber: text(1, 40),
    firmwareRevision: text(1, 8),
    ieeeOui: integer(0, 0xff_ffff),
  },
  link: {
    generation: integer(1, 5),
    lanes: powerOfTwo(1, 16),
    maxPayloadBytes: powerOfTwo(128, 4096),
    maxReadBytes: powerOfTwo(128, 4096),
    completionBytes: powerOfTwo(64, 4096),
    packetOverheadBytes: integer(12, 64),
    ackBytes: integer(0, 64),
    postedCreditBytes: integer(64, 1 * MiB),
    creditReturnNs: integer(0, 100_000),
    readTags: integer(1, 1024),
    reservedReadTags: integer(0, 1023),
    propagationNs: integer(0, 100_000),
    completerNs: integer(0, 100_000),
  },
  host: { submitNs: timeNs, storeNs: timeNs, completeNs: timeNs, interruptNs: timeNs },
  controller: {
    queuePairs: integer(1, 64),
    queueEntries: integer(2, 4096),
    isContiguousQueuesRequired: flag,
    hasWeightedRoundRobin: flag,
    readyTimeout500Ms: integer(1, 255),
    doorbellStride: integer(0, 8),
    pageBytesMin: powerOfTwo(4 * KiB, 4 * KiB),
    pageBytesMax: powerOfTwo(4 * KiB, 64 * KiB),
    hasSubsystemReset: flag,
    maxTransferBytes: powerOfTwo(8 * KiB, 64 * MiB),
    hasSgl: flag,
    memoryBufferBytes: integer(0, 64 * MiB),
    hasDoorbellBuffer: flag,
    vectors: integer(1, 2048),
    asyncEventLimit: integer(1, 256),
    abortLimit: integer(1, 256),
    errorLogEntries: integer(1, 256),
    firmwareSlots: integer(1, 7),
    virtualFunctions: integer(0, 64),
  },
  firmware: {
    readyNs: timeNs,
    disableNs: timeNs,
    shutdownNs: timeNs,
    bootNs: timeNs,
    fetchNs: timeNs,
    decodeNs: timeNs,
    completeNs: timeNs,
    adminNs: timeNs,
    formatNsPerGiB: timeNs,
    activateNs: timeNs,
    selfTestShortNs: timeNs,
    selfTestExtendedNs: timeNs,
  },
  media: optional(mediaRules),
  inside: optional(insideRules),
  qos: optional(qosRules),
  cache: { isVolatile: flag, bytes: integer(0, 64 * GiB) },
  subsystem: {
    maxNamespaces: integer(1, 65_536),
    capacityBytes: integer(1 * MiB, 1024 * TiB),
    allocationBytes: powerOfTwo(4 * KiB, 1 * GiB),
    hasNamespaceManagement: flag,
    hasReservations: flag,
    atomicBlocks: integer(1, 65_536),
    atomicPowerFailBlocks: integer(1, 65_536),
  },
  lbaFormats: list(1, 64, lbaFormatRules),
  namespaces: list(0, 1024, namespaceRules),
} satisfies RuleOf<Profile>;

/** Anything that was put together at run time. @throws as checkProfile, never answers false */
export function isProfile(value: unknown): value is Profile {
  check(value, profileRules, '');
  return true;
}

/**
 * Prove that a profile is possible.
 *
 * @throws UltimaError PROFILE_INVALID that names the field, its value and the range
 */
export function checkProfile(profile: Profile): Profile {
  check(profile, profileRules, '');
  const { link, controller, subsystem, namespaces, lbaFormats, qos } = profile;
  if (link.reservedReadTags >= link.readTags) {
    refuse('link.reservedReadTags', link.reservedReadTags, `less than readTags, ${link.readTags}`);
  }
  if (qos !== null && qos.quietDepthUnits < qos.depthUnits) {
    refuse('qos.quietDepthUnits', qos.quietDepthUnits, `at least depthUnits, ${qos.depthUnits}`);
  }
  if ((profile.media === null) === (profile.inside === null)) {
    const both = profile.media === null ? 'null' : 'a group';
    refuse('inside', both, 'null when media is a group, a group when media is null');
  }
  checkInside(profile);
  if (controller.pageBytesMax < controller.pageBytesMin) {
    refuse('controller.pageBytesMax', controller.pageBytesMax, 'at least pageBytesMin');
  }
  let usedBytes = 0;
  namespaces.forEach((namespace, index) => {
    const place = `namespaces[${index}]`;
    const format = lbaFormats[namespace.lbaFormat];
    if (format === undefined) {
      refuse(`${place}.lbaFormat`, namespace.lbaFormat, `0..${lbaFormats.length - 1}`);
    } else {
      checkFormat(namespace, format, place);
    }
    usedBytes += namespace.bytes;
  });
  if (namespaces.length > subsystem.maxNamespaces) {
    refuse('namespaces', namespaces.length, `at most subsystem.maxNamespaces items`);
  }
  if (usedBytes > subsystem.capacityBytes) {
    refuse('subsystem.capacityBytes', subsystem.capacityBytes, `at least ${usedBytes}, the sum`);
  }
  return profile;
}

function checkFormat(namespace: NamespaceProfile, format: LbaFormatProfile, place: string): void {
  if (namespace.bytes % format.dataBytes !== 0) {
    refuse(`${place}.bytes`, namespace.bytes, `a multiple of ${format.dataBytes}`);
  }
  if (namespace.protectionType !== 0 && format.metadataBytes < 8) {
    refuse(`${place}.protectionType`, namespace.protectionType, '0 without 8 bytes of metadata');
  }
}
