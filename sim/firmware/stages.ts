import type { CoresProfile, StageName, StageProfile, StagesProfile } from '../profiles/inside.js';
import { Accelerator } from './accelerator.js';
import type { CoreClock, CoreGroup } from './core-group.js';

/** A stage of the firmware: work for a shared core, or a slot in hardware of its own. */
export class FirmwareStage {
  /** Times that it ran. */
  count = 0;
  readonly cycles: number;
  private readonly cores: CoreGroup;
  private readonly hardware: Accelerator | null;

  constructor(profile: StageProfile, parts: StageParts) {
    this.cycles = profile.cycles;
    this.cores = parts.cores;
    this.hardware = profile.isHardware ? new Accelerator(parts.slotCycles, parts.clock) : null;
  }

  /**
   * @param isReserved  hardware takes it before what others wait for; a core does not
   * @returns           when `times` runs of the stage that start at `startNs` or later are over
   */
  run(startNs: number, times: number, isReserved = false): number {
    this.count += times;
    if (this.cycles === 0) return startNs;
    if (this.hardware === null) return this.cores.run(startNs, this.cycles * times);
    let endNs = startNs;
    for (let i = 0; i < times; i++) endNs = this.hardware.pass(startNs, this.cycles, isReserved);
    return endNs;
  }

  /** When hardware could take the next command; 0 for a stage on a core. */
  get hardwareFreeAtNs(): number {
    return this.hardware === null ? 0 : Math.ceil(this.hardware.freeAtNs);
  }

  clear(): void {
    this.hardware?.clear();
  }
}

export interface StageParts {
  readonly cores: CoreGroup;
  readonly clock: CoreClock;
  readonly slotCycles: number;
}

/**
 * Units looked up in the map and sent to the medium, one after the other: the second is looked up
 * while the first is sent.
 *
 * @returns when the last one is sent
 */
export function lookUpAndIssue(
  stages: Stages,
  startNs: number,
  units: number,
  isReserved = false,
): number {
  const { lookup, issue } = stages;
  let endNs = startNs;
  for (let i = 0; i < units; i++) {
    endNs = issue.run(lookup.run(startNs, 1, isReserved), 1, isReserved);
  }
  return endNs;
}

/** Stages that the cores near the host do; the others are done near the medium. */
const frontStages: ReadonlySet<StageName> = new Set<StageName>([
  'fetch',
  'decode',
  'walk',
  'complete',
  'interrupt',
]);

export type Stages = Readonly<Record<StageName, FirmwareStage>>;

export function makeStages(
  profile: StagesProfile,
  cores: CoresProfile,
  parts: { readonly front: CoreGroup; readonly back: CoreGroup; readonly clock: CoreClock },
): Stages {
  const make = (name: StageName): FirmwareStage =>
    new FirmwareStage(profile[name], {
      cores: frontStages.has(name) ? parts.front : parts.back,
      clock: parts.clock,
      slotCycles: cores.slotCycles,
    });
  return {
    fetch: make('fetch'),
    decode: make('decode'),
    walk: make('walk'),
    lookup: make('lookup'),
    cache: make('cache'),
    issue: make('issue'),
    complete: make('complete'),
    interrupt: make('interrupt'),
  };
}
