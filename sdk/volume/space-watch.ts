/** A share of a pool's units is in use that somebody wants to know of. */
export interface SpaceEvent {
  /** Of the thresholds that were given, the highest that is reached now; 0 below all of them. */
  readonly percent: number;
  readonly freeBytes: number;
}

export type SpaceListener = (event: SpaceEvent) => void;

/** Tells when the use of a pool crosses a threshold, upwards and downwards, once each time. */
export class SpaceWatch {
  private readonly percents: readonly number[];
  private readonly listener: SpaceListener;
  private reached = 0;

  /** @throws RangeError for a threshold outside 1..100 */
  constructor(percents: readonly number[], listener: SpaceListener) {
    for (const percent of percents) {
      if (percent >= 1 && percent <= 100) continue;
      throw new RangeError(`a threshold of ${percent} percent; 1 to 100 make sense`);
    }
    this.percents = percents.toSorted((a, b) => a - b);
    this.listener = listener;
  }

  /** Called with every poll: compares, and allocates only when it tells. */
  look(usedUnits: number, allUnits: number, unitBytes: number): void {
    const used = (100 * usedUnits) / allUnits;
    let reached = 0;
    for (let i = 0; i < this.percents.length; i++) {
      if (used >= this.percents[i]!) reached = this.percents[i]!;
    }
    if (reached === this.reached) return;
    this.reached = reached;
    this.listener({ percent: reached, freeBytes: (allUnits - usedUnits) * unitBytes });
  }
}
