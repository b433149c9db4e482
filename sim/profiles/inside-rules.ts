import { GiB, KiB, MiB } from '../../sdk/units.js';
import { checkFlashDrive, checkInPlaceDrive } from '../ftl/check-drive.js';
import type { FtlProfile } from '../ftl/ftl-profile.js';
import { capacityUnits, rowUnitsOf, unitBytes } from '../inside/drive-kinds.js';
import type { FlashProfile, PageTypeProfile } from '../nand/flash-profile.js';
import type { InPlaceProfile } from '../nand/in-place-profile.js';
import type { BufferProfile, CoresProfile, InsideProfile, StageProfile } from './inside.js';
import type { Profile } from './profile.js';
import {
  flag,
  integer,
  list,
  oneOf,
  optional,
  powerOfTwo,
  type RuleOf,
  refuse,
  timeNs,
} from './rule.js';

const permille = integer(1, 1000);

const stage = {
  cycles: integer(0, 10_000_000),
  isHardware: flag,
} satisfies RuleOf<StageProfile>;

const coresRules = {
  clockMegahertz: integer(1, 10_000),
  frontCores: integer(1, 64),
  backCores: integer(1, 64),
  slotCycles: integer(1, 100_000),
  lookupUnits: integer(0, 65_536),
  lightThrottlePermille: permille,
  heavyThrottlePermille: permille,
  lightThrottleKelvin: integer(1, 1000),
  heavyThrottleKelvin: integer(1, 1000),
} satisfies RuleOf<CoresProfile>;

const bufferRules = {
  writeBytes: integer(0, 4 * GiB),
  readBytes: integer(0, 4 * GiB),
  copyNs: integer(0, 1_000_000),
  drainPermille: integer(0, 1000),
  rowsPerDie: integer(1, 64),
  reservedPermille: integer(0, 900),
} satisfies RuleOf<BufferProfile>;

const pageTypeRules = { readNs: timeNs, programNs: timeNs } satisfies RuleOf<PageTypeProfile>;
const rate = integer(0, 1_000_000_000_000);

const flashRules = {
  channels: integer(1, 64),
  packagesPerChannel: integer(1, 64),
  diesPerPackage: integer(1, 64),
  planesPerDie: integer(1, 16),
  blocksPerPlane: integer(4, 65_536),
  pagesPerBlock: integer(4, 65_536),
  pageBytes: powerOfTwo(4 * KiB, 256 * KiB),
  pagesPerProgram: integer(1, 16),
  pageTypes: list(1, 4, pageTypeRules),
  pageOrder: oneOf('alternating', 'paired'),
  eraseNs: timeNs,
  readSpreadPermille: integer(0, 900),
  bus: oneOf('nv-ddr2', 'nv-ddr3', 'toggle'),
  busMegatransfers: integer(1, 10_000),
  busBytes: powerOfTwo(1, 8),
  isBusQuantised: flag,
  busPieceBytes: integer(0, 1 * MiB),
  hasMultiPlane: flag,
  hasIndependentReads: flag,
  hasCacheRead: flag,
  hasCacheProgram: flag,
  cacheBusyNs: timeNs,
  hasProgramSuspend: flag,
  hasEraseSuspend: flag,
  programSuspendNs: timeNs,
  eraseSuspendNs: timeNs,
  suspendLimit: integer(0, 1000),
  reservedSuspends: integer(0, 1000),
  readStops: integer(0, 1000),
  readStopNs: timeNs,
  codewordBytes: powerOfTwo(512, 16 * KiB),
  correctableBits: integer(0, 10_000),
  retryLevels: integer(0, 64),
  retryGainPermille: integer(0, 1000),
  decodeNs: timeNs,
  freshErrorsPerTbit: rate,
  wearErrorsPerTbit: rate,
  retentionErrorsPerTbitDay: rate,
  disturbErrorsPerTbitKiloread: rate,
  enduranceCycles: integer(1, 10_000_000),
  factoryBadPpm: integer(0, 100_000),
  programFailPpb: integer(0, 1_000_000_000),
  eraseFailPpb: integer(0, 1_000_000_000),
  wornFailPpm: integer(0, 1_000_000),
} satisfies RuleOf<FlashProfile>;

const ftlRules = {
  overProvisioningPermille: integer(1, 900),
  streams: integer(1, 64),
  separatesRelocated: flag,
  detectsHotData: flag,
  mapCacheBytes: integer(0, 64 * GiB),
  victim: oneOf('greedy', 'cost-benefit', 'fifo', 'd-choices', 'random'),
  victimChoices: integer(1, 65_536),
  gcIdleFreeBlocks: integer(1, 65_536),
  gcFreeBlocks: integer(1, 65_536),
  isGcPreemptible: flag,
  hasDynamicWearLevelling: flag,
  staticWearGap: integer(0, 1_000_000),
  spareBlocks: integer(0, 65_536),
  refreshReads: integer(0, 1_000_000_000),
  refreshDays: integer(0, 100_000),
  refreshRetries: integer(0, 64),
  scanEveryNs: timeNs,
  scanPages: integer(1, 65_536),
} satisfies RuleOf<FtlProfile>;

const inPlaceRules = {
  channels: integer(1, 64),
  diesPerChannel: integer(1, 64),
  bytesPerDie: integer(1 * MiB, 64 * GiB),
  stripeDies: integer(1, 64),
  readNs: timeNs,
  writeNs: timeNs,
  commandNs: timeNs,
  channelMBPerS: integer(1, 100_000),
  spreadPermille: integer(0, 900),
  busyReadsPpm: integer(0, 1_000_000),
  busyNs: timeNs,
  enduranceWrites: integer(1, Number.MAX_SAFE_INTEGER),
  wearMoveWrites: integer(0, 1_000_000_000),
} satisfies RuleOf<InPlaceProfile>;

export const insideRules = {
  cores: coresRules,
  stages: {
    fetch: stage,
    decode: stage,
    walk: stage,
    lookup: stage,
    cache: stage,
    issue: stage,
    complete: stage,
    interrupt: stage,
  },
  buffer: bufferRules,
  drives: integer(1, 64),
  stripeBytes: powerOfTwo(4 * KiB, 64 * MiB),
  flash: optional(flashRules),
  ftl: optional(ftlRules),
  inPlace: optional(inPlaceRules),
} satisfies RuleOf<InsideProfile>;

/** What the fields of an inside must be together, and with the rest of their profile. */
export function checkInside(profile: Profile): void {
  const { inside, subsystem } = profile;
  if (inside === null) return;
  const { flash, ftl, inPlace, buffer } = inside;
  if ((flash === null) === (inPlace === null)) {
    const both = flash === null ? 'null' : 'a group';
    refuse('inside.inPlace', both, 'null when flash is a group, a group when flash is null');
  }
  if ((flash === null) !== (ftl === null)) {
    refuse('inside.ftl', ftl === null ? 'null' : 'a group', 'a group with flash, null without');
  }
  if (flash !== null && ftl !== null) {
    const lists = inside.drives * ftl.streams;
    const rows = 2 * lists * rowUnitsOf(inside) * unitBytes;
    const least = Math.ceil(rows / (1 - buffer.reservedPermille / 1000));
    if (buffer.writeBytes < least) {
      refuse('inside.buffer.writeBytes', buffer.writeBytes, `at least ${least}, two rows each`);
    }
    if (flash.reservedSuspends > flash.suspendLimit) {
      refuse('inside.flash.reservedSuspends', flash.reservedSuspends, 'at most suspendLimit');
    }
  }
  if (flash !== null && ftl !== null) checkFlashDrive(flash, ftl, 'inside.');
  if (inPlace !== null) checkInPlaceDrive(inPlace, 'inside.');
  const bytes = capacityUnits(inside) * unitBytes;
  if (subsystem.capacityBytes > bytes) {
    refuse('subsystem.capacityBytes', subsystem.capacityBytes, `at most ${bytes}, of all drives`);
  }
}
