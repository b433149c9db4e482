import type { Tracks } from '../spans.js';

/** A clock that all cores share: thermal throttling and power states make it slower. */
export class CoreClock {
  /** Per mille of the nominal clock, 1..1000. */
  permille = 1000;
  readonly megahertz: number;

  constructor(megahertz: number) {
    this.megahertz = megahertz;
  }

  /** Cycles per microsecond now. */
  get rate(): number {
    return (this.megahertz * this.permille) / 1000;
  }
}

/**
 * Cores that do the same work: each is a server that takes one piece of work after the other, and a
 * piece goes to the core that is free first. Fractions of a nanosecond are carried from piece to
 * piece, so that no clock is rounded.
 */
export class CoreGroup {
  /** Work done so far. */
  busyNs = 0;
  pieces = 0;
  /** Set while somebody watches. */
  tracks: Tracks | null = null;
  private readonly freeAtNs: Float64Array;
  private readonly carries: Float64Array;
  private readonly clock: CoreClock;

  constructor(count: number, clock: CoreClock) {
    this.freeAtNs = new Float64Array(count);
    this.carries = new Float64Array(count);
    this.clock = clock;
  }

  get count(): number {
    return this.freeAtNs.length;
  }

  /** When the first core is free. */
  get earliestNs(): number {
    return this.freeAtNs.length === 1 ? this.freeAtNs[0]! : this.freeAtNs[this.choose(-1)]!;
  }

  /** When the last one is. */
  get latestNs(): number {
    let latest = 0;
    for (const freeNs of this.freeAtNs) latest = Math.max(latest, freeNs);
    return latest;
  }

  /** @returns when a core that starts at `startNs` or later has done so many cycles */
  run(startNs: number, cycles: number): number {
    const core = this.freeAtNs.length === 1 ? 0 : this.choose(startNs);
    const freeNs = this.freeAtNs[core]!;
    let fromNs = freeNs;
    let work = cycles * 1000;
    if (freeNs < startNs) fromNs = startNs;
    else work += this.carries[core]!;
    const perUs = this.clock.rate;
    const ns = Math.floor(work / perUs);
    this.carries[core] = work - ns * perUs;
    this.busyNs += ns;
    this.pieces++;
    const endNs = fromNs + ns;
    this.freeAtNs[core] = endNs;
    if (this.tracks !== null) this.tracks.span(core, fromNs, endNs);
    return endNs;
  }

  /** All work is forgotten. */
  clear(): void {
    this.freeAtNs.fill(0);
    this.carries.fill(0);
  }

  /** The core that ends a piece just then goes on with the command; else who is free first. */
  private choose(startNs: number): number {
    const free = this.freeAtNs;
    let best = 0;
    for (let core = 0; core < free.length; core++) {
      if (free[core] === startNs) return core;
      if (free[core]! < free[best]!) best = core;
    }
    return best;
  }
}
