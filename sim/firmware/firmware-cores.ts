import { msNs } from '../../sdk/units.js';
import type { FirmwareTiming } from '../nvme/firmware-timing.js';
import type { CoresProfile, StageName, StagesProfile } from '../profiles/inside.js';
import type { FirmwareProfile } from '../profiles/profile.js';
import type { World } from '../world.js';
import { CoreClock, CoreGroup } from './core-group.js';
import { makeStages, type Stages } from './stages.js';

/** How fast the card may run now, and what waking it costs. */
export interface Pace {
  /** 0 none, 1 light, 2 heavy thermal throttling. */
  readonly throttleLevel: number;
  /** Clock of the power state in permille. */
  readonly powerPermille: number;
  /** Way back from a power state that does no I/O, 0 in one that does. */
  readonly exitNs: number;
}

export interface FirmwareCoresParts {
  readonly cores: CoresProfile;
  readonly stages: StagesProfile;
  /** Latencies around the stages that no core is needed for. */
  readonly firmware: FirmwareProfile;
  /** Asked after a pause, and after `paceChanged`. */
  readonly pace: () => Pace;
}

/** So long without a command, and the power state may have become another one. */
const pauseNs = 1 * msNs;

/**
 * The software of a card on its cores: one group serves the host's side of all controllers, one the
 * medium's. Each stage of each command is work for a core of its group, first come first served, or
 * takes a slot of an accelerator.
 *
 * A completion is work from the moment when the medium has ended, beside the transfer of the data;
 * what it waits and takes is added behind the transfer.
 */
export class FirmwareCores implements FirmwareTiming {
  readonly clock: CoreClock;
  readonly front: CoreGroup;
  readonly back: CoreGroup;
  readonly stages: Stages;
  private readonly cores: CoresProfile;
  private readonly firmware: FirmwareProfile;
  private readonly pace: () => Pace;
  private isPaceKnown = false;
  private lastFetchNs = 0;
  private awakeAtNs = 0;

  constructor(parts: FirmwareCoresParts) {
    const { cores, stages } = parts;
    this.cores = cores;
    this.firmware = parts.firmware;
    this.pace = parts.pace;
    this.clock = new CoreClock(cores.clockMegahertz);
    this.front = new CoreGroup(cores.frontCores, this.clock);
    this.back = new CoreGroup(cores.backCores, this.clock);
    this.stages = makeStages(stages, cores, this);
  }

  busyNs(world: World): number {
    const { decode } = this.stages;
    return Math.max(this.front.earliestNs, decode.hardwareFreeAtNs) - world.nowNs;
  }

  start(): void {
    // Cores serve all controllers: what they do for the others goes on.
  }

  fetch(world: World): number {
    const { nowNs } = world;
    if (!this.isPaceKnown || nowNs - this.lastFetchNs > pauseNs) this.wake(nowNs);
    this.lastFetchNs = nowNs;
    const startNs = Math.max(nowNs, this.awakeAtNs);
    return this.stages.fetch.run(startNs, 1) - nowNs + this.firmware.fetchNs;
  }

  decode(world: World): number {
    const { nowNs } = world;
    return this.stages.decode.run(nowNs, 1) - nowNs + this.firmware.decodeNs;
  }

  walk(world: World, startInNs: number, pieces: number, isReserved: boolean): number {
    const { nowNs } = world;
    return this.stages.walk.run(nowNs + startInNs, pieces, isReserved) - nowNs;
  }

  complete(world: World, isReserved: boolean): number {
    const { nowNs } = world;
    return this.stages.complete.run(nowNs, 1, isReserved) - nowNs + this.firmware.completeNs;
  }

  interrupt(world: World): number {
    const { nowNs } = world;
    return this.stages.interrupt.run(nowNs, 1) - nowNs;
  }

  /** Temperature or power state are others than before. */
  paceChanged(): void {
    this.isPaceKnown = false;
  }

  /** The power went: nothing is under way. */
  powerLost(): void {
    this.front.clear();
    this.back.clear();
    for (const stage of Object.values(this.stages)) stage.clear();
    this.isPaceKnown = false;
    this.awakeAtNs = 0;
  }

  /** For a crash log: what the cores had done. */
  facts(): Record<string, number | string> {
    const facts: Record<string, number | string> = {
      'clock-megahertz': this.clock.rate,
      'front-busy-ns': this.front.busyNs,
      'back-busy-ns': this.back.busyNs,
      'front-free-at-ns': this.front.earliestNs,
      'back-free-at-ns': this.back.earliestNs,
    };
    for (const [name, stage] of Object.entries(this.stages)) facts[`stage-${name}`] = stage.count;
    return facts;
  }

  /** Times that a stage ran, and the work of a group, for reports. */
  countOf(name: StageName): number {
    return this.stages[name].count;
  }

  private wake(nowNs: number): void {
    const { throttleLevel, powerPermille, exitNs } = this.pace();
    const { lightThrottlePermille, heavyThrottlePermille } = this.cores;
    const heat = [1000, lightThrottlePermille, heavyThrottlePermille][throttleLevel] ?? 1000;
    this.clock.permille = Math.max(1, Math.floor((heat * powerPermille) / 1000));
    this.isPaceKnown = true;
    this.awakeAtNs = nowNs + exitNs;
  }
}
