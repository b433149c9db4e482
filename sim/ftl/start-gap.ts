import { UnitTable } from './unit-table.js';

/**
 * Start-Gap wear levelling (Qureshi et al., MICRO 2009): n units lie in n + 1 places. After every
 * so many writes the unit beside the empty place moves into it, and the gap is one further down;
 * after a whole round every unit lies one place further up. Two registers, no table.
 */
export class StartGap {
  /** The most that any place was written. */
  mostWrites = 0;
  /** Where the unit of the last `move` lies now. */
  lastTarget = 0;
  private readonly units: number;
  private readonly period: number;
  private readonly writes: UnitTable;
  private start = 0;
  private gap: number;
  private sinceMove = 0;

  /** @param period  writes between two moves; 0 is never */
  constructor(units: number, period: number) {
    this.units = units;
    this.period = period;
    this.gap = units;
    this.writes = new UnitTable(units + 1);
  }

  placeOf(unit: number): number {
    const turned = unit + this.start;
    const place = turned >= this.units ? turned - this.units : turned;
    return place >= this.gap ? place + 1 : place;
  }

  /** @returns how often the place was written, this time included */
  countWrite(place: number): number {
    const count = this.writes.get(place) + 1;
    this.writes.set(place, count);
    if (count > this.mostWrites) this.mostWrites = count;
    this.sinceMove++;
    return count;
  }

  get isMoveDue(): boolean {
    return this.period > 0 && this.sinceMove >= this.period;
  }

  /** The unit beside the gap moves into it, to `lastTarget`. @returns where it lay */
  move(): number {
    this.sinceMove = 0;
    this.lastTarget = this.gap;
    if (this.gap === 0) {
      // The last place holds a unit: it comes round to the first, and every unit has moved once.
      this.gap = this.units;
      this.start = this.start + 1 === this.units ? 0 : this.start + 1;
    } else {
      this.gap--;
    }
    const count = this.writes.get(this.lastTarget) + 1;
    this.writes.set(this.lastTarget, count);
    if (count > this.mostWrites) this.mostWrites = count;
    return this.gap;
  }
}
