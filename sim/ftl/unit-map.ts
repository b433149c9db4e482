import type { Blocks } from './blocks.js';
import { FilledContents, FilledPlaces, type FillOrder } from './fill-order.js';
import type { Layout } from './layout.js';
import { UnitTable } from './unit-table.js';

/** What a logical unit that cannot be read any more maps to. */
export const lostUnit = -1;
/** A logical unit that holds nothing. */
export const unmappedUnit = 0;

/**
 * Where each logical unit lies, and what each physical one holds. Both tables hold number + 1, so
 * that an untouched table says "nothing". A physical unit is valid when each points at the other:
 * there is no third table to disagree with.
 */
export class UnitMap {
  /** Logical units that lie on flash. */
  mappedCount = 0;
  private readonly layout: Layout;
  private readonly blocks: Blocks;
  private readonly places: UnitTable;
  private readonly contents: UnitTable;

  constructor(layout: Layout, blocks: Blocks) {
    this.layout = layout;
    this.blocks = blocks;
    this.places = new UnitTable(layout.mappedUnits);
    this.contents = new UnitTable(layout.physicalUnits);
  }

  /** A drive that was never written has every unit where `order` says. */
  fill(order: FillOrder): void {
    this.places.fillWith(new FilledPlaces(order));
    this.contents.fillWith(new FilledContents(order));
    this.mappedCount = order.units;
  }

  /** Physical unit + 1, `unmappedUnit` or `lostUnit`. */
  find(unit: number): number {
    return this.places.get(unit);
  }

  /** The logical unit that a physical one holds, -1 when its content is void. */
  unitAt(physical: number): number {
    const unit = this.contents.get(physical) - 1;
    return unit >= 0 && this.places.get(unit) === physical + 1 ? unit : -1;
  }

  /** How many of these physical units are valid. */
  countAt(first: number, units: number): number {
    let count = 0;
    for (let i = 0; i < units; i++) if (this.unitAt(first + i) >= 0) count++;
    return count;
  }

  /** What was once written to a physical unit, valid or not; -1 for nothing. */
  writtenAt(physical: number): number {
    return this.contents.get(physical) - 1;
  }

  blockOf(physical: number): number {
    return Math.trunc(physical / this.layout.unitsPerBlock);
  }

  /** The unit lies at `physical` in `block` from now on. @returns what it mapped to before */
  place(unit: number, physical: number, block: number): number {
    const before = this.places.get(unit);
    if (before > 0) this.invalidate(before - 1);
    else this.mappedCount++;
    this.places.set(unit, physical + 1);
    this.contents.set(physical, unit + 1);
    this.count(block, 1);
    return before;
  }

  /** A physical unit is written with nothing in it. */
  placeNothing(physical: number): void {
    this.contents.set(physical, 0);
  }

  /** @param value  `unmappedUnit` or `lostUnit` */
  forget(unit: number, value: number): void {
    const before = this.places.get(unit);
    if (before === value) return;
    if (before > 0) {
      this.invalidate(before - 1);
      this.mappedCount--;
    }
    this.places.set(unit, value);
  }

  /** A unit whose last write is undone lies at this physical unit again, which still holds it. */
  putBack(unit: number, physical: number): void {
    this.invalidate(this.places.get(unit) - 1);
    this.places.set(unit, physical + 1);
    this.count(this.blockOf(physical), 1);
  }

  /** The next unit, from `unit` on, that may map to something. */
  skipUntouched(unit: number): number {
    return this.places.skipUntouched(unit);
  }

  get bytes(): number {
    return this.places.bytes + this.contents.bytes;
  }

  private invalidate(physical: number): void {
    this.count(this.blockOf(physical), -1);
  }

  private count(block: number, change: number): void {
    const { blocks } = this;
    blocks.validUnits[block] = blocks.validUnits[block]! + change;
    const pool = blocks.poolOf(block);
    blocks.poolValidUnits[pool] = blocks.poolValidUnits[pool]! + change;
  }
}
