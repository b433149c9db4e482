import { NvmeController } from '../../../sdk/nvme/controller.js';
import type { Namespace } from '../../../sdk/nvme/namespace.js';
import { KiB, MiB } from '../../../sdk/units.js';
import { SimCard } from '../../../sim/card.js';
import { LatencyBreakdown } from '../../../sim/nvme/latency-breakdown.js';
import { defineProfile, findProfile, type ProfileChanges } from '../../../sim/profiles/index.js';
import type { InsideProfile, StageProfile } from '../../../sim/profiles/inside.js';
import type { Profile } from '../../../sim/profiles/profile.js';
import { World } from '../../../sim/world.js';
import { PlainDrive } from './plain-drive.js';

const core = (cycles: number): StageProfile => ({ cycles, isHardware: false });

/** Round costs: one cycle is one nanosecond. */
export const plainInside: InsideProfile = {
  cores: {
    clockMegahertz: 1000,
    frontCores: 1,
    backCores: 1,
    lookupUnits: 0,
    slotCycles: 10,
    lightThrottlePermille: 500,
    heavyThrottlePermille: 250,
    lightThrottleKelvin: 350,
    heavyThrottleKelvin: 360,
  },
  stages: {
    fetch: core(100),
    decode: core(200),
    walk: core(50),
    lookup: core(300),
    cache: core(150),
    issue: core(100),
    complete: core(250),
    interrupt: core(80),
  },
  buffer: {
    writeBytes: 16 * 4 * KiB,
    readBytes: 0,
    copyNs: 500,
    drainPermille: 0,
    rowsPerDie: 2,
    reservedPermille: 0,
  },
  drives: 1,
  stripeBytes: 16 * KiB,
  flash: {
    channels: 2,
    packagesPerChannel: 1,
    diesPerPackage: 1,
    planesPerDie: 1,
    blocksPerPlane: 256,
    pagesPerBlock: 64,
    pageBytes: 16 * KiB,
    pagesPerProgram: 1,
    pageTypes: [{ readNs: 50_000, programNs: 300_000 }],
    pageOrder: 'alternating',
    eraseNs: 3_000_000,
    readSpreadPermille: 0,
    bus: 'nv-ddr2',
    busMegatransfers: 400,
    busBytes: 1,
    isBusQuantised: false,
    busPieceBytes: 0,
    hasMultiPlane: false,
    hasIndependentReads: false,
    hasCacheRead: false,
    hasCacheProgram: false,
    cacheBusyNs: 0,
    hasProgramSuspend: false,
    hasEraseSuspend: false,
    programSuspendNs: 0,
    eraseSuspendNs: 0,
    suspendLimit: 0,
    reservedSuspends: 0,
    readStops: 0,
    readStopNs: 0,
    codewordBytes: 1024,
    correctableBits: 60,
    retryLevels: 0,
    retryGainPermille: 0,
    decodeNs: 0,
    freshErrorsPerTbit: 0,
    wearErrorsPerTbit: 0,
    retentionErrorsPerTbitDay: 0,
    disturbErrorsPerTbitKiloread: 0,
    enduranceCycles: 10_000,
    factoryBadPpm: 0,
    programFailPpb: 0,
    eraseFailPpb: 0,
    wornFailPpm: 0,
  },
  ftl: {
    overProvisioningPermille: 100,
    streams: 1,
    separatesRelocated: true,
    detectsHotData: false,
    mapCacheBytes: 0,
    victim: 'greedy',
    victimChoices: 2,
    gcIdleFreeBlocks: 4,
    gcFreeBlocks: 3,
    isGcPreemptible: false,
    hasDynamicWearLevelling: false,
    staticWearGap: 0,
    spareBlocks: 2,
    refreshReads: 0,
    refreshDays: 0,
    refreshRetries: 0,
    scanEveryNs: 0,
    scanPages: 1,
  },
  inPlace: null,
};

const simple = findProfile('simple');

/** A profile with an inside of round numbers, and blocks of 4 KiB. */
export function plainProfile(changes: ProfileChanges = {}): Profile {
  const base = defineProfile(simple, {
    media: null,
    inside: plainInside,
    firmware: { fetchNs: 0, decodeNs: 0, completeNs: 0 },
    subsystem: { capacityBytes: 64 * MiB },
    namespaces: [{ ...simple.namespaces[0]!, bytes: 32 * MiB, lbaFormat: 2 }],
  });
  return defineProfile(base, changes);
}

/** A whole card over plain drives. */
export class InsideRig {
  readonly card: SimCard;
  readonly breakdown = new LatencyBreakdown();
  readonly controller: NvmeController;
  readonly namespace: Namespace;

  private constructor(card: SimCard, controller: NvmeController, namespace: Namespace) {
    this.card = card;
    this.controller = controller;
    this.namespace = namespace;
    card.controller.observe(this.breakdown);
  }

  static async open(changes: ProfileChanges = {}, row = 4): Promise<InsideRig> {
    const drives: PlainDrive[] = [];
    const world = new World();
    const card = new SimCard({
      profile: plainProfile(changes),
      world,
      makeDrive: (index, listener) => {
        const drive = new PlainDrive(world, listener, { units: 1 << 20, row });
        drives[index] = drive;
        return drive;
      },
    });
    const controller = await NvmeController.open(card.open(), { queueEntries: 64 });
    const rig = new InsideRig(card, controller, await controller.namespace(1));
    rig.made = drives;
    return rig;
  }

  get drive(): PlainDrive {
    return this.made[0]!;
  }

  get log(): string[] {
    return this.made.flatMap((drive) => drive.log);
  }

  /** Virtual time that an action takes. */
  async timeOf(action: () => Promise<unknown>): Promise<number> {
    const startNs = this.card.world.nowNs;
    await action();
    return this.card.world.nowNs - startNs;
  }

  async close(): Promise<void> {
    this.card.checker.demandNone();
    await this.controller.close();
    await this.card.close();
  }

  private made: readonly PlainDrive[] = [];
}
