import type { FtlProfile } from '../ftl/ftl-profile.js';
import type { FlashProfile } from '../nand/flash-profile.js';
import type { InPlaceProfile } from '../nand/in-place-profile.js';

/** What a stage of the firmware costs. */
export interface StageProfile {
  /** On a core, or from one end of the pipeline to the other. */
  readonly cycles: number;
  /** Done by an accelerator: the command takes a slot of its pipeline, and no core. */
  readonly isHardware: boolean;
}

export interface CoresProfile {
  readonly clockMegahertz: number;
  /** Cores for doorbells, entries, data pointers, completions and interrupts. */
  readonly frontCores: number;
  /** Cores for map, cache and flash. */
  readonly backCores: number;
  /** Cycles from one command to the next in an accelerator. */
  readonly slotCycles: number;
  /**
   * Units of a read that are looked up before other commands may come in between. 0: commands are
   * served whole, in the order in which they came.
   */
  readonly lookupUnits: number;
  /** Clock at light and heavy thermal throttling, in permille. */
  readonly lightThrottlePermille: number;
  readonly heavyThrottlePermille: number;
  /** Composite temperatures at which the card throttles by itself. */
  readonly lightThrottleKelvin: number;
  readonly heavyThrottleKelvin: number;
}

/** Every piece of firmware work for a command, in the order in which a read meets them. */
export interface StagesProfile {
  /** Per fetch: a doorbell is seen, a queue chosen, the request sent. */
  readonly fetch: StageProfile;
  /** Per entry: checked and handed to its command set. */
  readonly decode: StageProfile;
  /** Per piece of the data pointer. */
  readonly walk: StageProfile;
  /** Per unit of the map that a command touches. */
  readonly lookup: StageProfile;
  /** Per command: write buffer and read cache searched; copies of units come on top. */
  readonly cache: StageProfile;
  /** Per unit that goes to the medium. */
  readonly issue: StageProfile;
  /** Per command: its completion entry is made. */
  readonly complete: StageProfile;
  /** Per interrupt message that goes out. */
  readonly interrupt: StageProfile;
}

export type StageName = keyof StagesProfile;

export interface BufferProfile {
  /** Units of 4 KiB that wait for the medium; 0: a write ends when it is on the medium. */
  readonly writeBytes: number;
  /** Units that were read; 0 is no cache. */
  readonly readBytes: number;
  /** One unit into the buffer's memory or out of it. */
  readonly copyNs: number;
  /** Fill in permille from which on the buffer is drained; below, only a flush drains it. */
  readonly drainPermille: number;
  /** Rows that may be on their way to a drive at one time, for each of its dies. */
  readonly rowsPerDie: number;
  /** Part of the write buffer in permille that only reserved writes may fill. */
  readonly reservedPermille: number;
}

/** What is behind the firmware of a card: drives of one kind, side by side. */
export interface InsideProfile {
  readonly cores: CoresProfile;
  readonly stages: StagesProfile;
  readonly buffer: BufferProfile;
  /** Drives; units are spread over them in stripes. */
  readonly drives: number;
  readonly stripeBytes: number;
  /** Flash with its translation layer, or a medium that is written in place: one of the two. */
  readonly flash: FlashProfile | null;
  readonly ftl: FtlProfile | null;
  readonly inPlace: InPlaceProfile | null;
}

/** A stage on a core. */
export function software(cycles: number): StageProfile {
  return { cycles, isHardware: false };
}

/** A stage in an accelerator. */
export function hardware(cycles: number): StageProfile {
  return { cycles, isHardware: true };
}
