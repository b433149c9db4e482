import { assert } from '../assert.js';
import type { UnitSpace } from './unit-space.js';
import type { Volume } from './volume.js';

/** A unit that writes under way are going to bring into an extent of a volume. */
export class Attachment {
  volume: Volume | null = null;
  extent = 0;
  unit = 0;
  /** Cells that have been written to it since. */
  cells = 0;
  /** Writes under way that need it. */
  writes = 0;
  index = 0;
}

/**
 * Units chosen for extents whose map does not name them yet, because their data is on its way. Each
 * holds one name of its unit, so that nothing else can take it. Without them, two writes to one
 * fresh extent would take two units.
 */
export class Attachments {
  private readonly units: UnitSpace;
  private readonly active: Attachment[] = [];
  private readonly spare: Attachment[] = [];
  private count = 0;

  constructor(units: UnitSpace) {
    this.units = units;
  }

  find(volume: Volume, extent: number): Attachment | null {
    const { active } = this;
    for (let i = 0; i < this.count; i++) {
      const one = active[i]!;
      if (one.extent === extent && one.volume === volume) return one;
    }
    return null;
  }

  /** One to which none of these cells has been written. */
  findWithout(volume: Volume, extent: number, mask: number): Attachment | null {
    const { active } = this;
    for (let i = 0; i < this.count; i++) {
      const one = active[i]!;
      const isHere = one.extent === extent && one.volume === volume;
      if (isHere && (one.cells & mask) === 0) return one;
    }
    return null;
  }

  /** The unit has one name already, which belongs to the attachment from now on. */
  attach(volume: Volume, extent: number, unit: number): Attachment {
    const one = this.spare.pop() ?? new Attachment();
    one.volume = volume;
    one.extent = extent;
    one.unit = unit;
    one.writes = 1;
    one.cells = 0;
    one.index = this.count;
    this.active[this.count++] = one;
    volume.attaching++;
    return one;
  }

  /** One more write to the extent's own unit, which the map names already. */
  attachOwn(volume: Volume, extent: number, unit: number): Attachment {
    this.units.refs[unit]!++;
    return this.attach(volume, extent, unit);
  }

  /** A write has ended, and the map names the unit or will not. */
  leave(one: Attachment): void {
    assert(one.writes > 0, 'a write leaves an attachment twice');
    if (--one.writes > 0) return;
    const last = this.active[--this.count]!;
    this.active[one.index] = last;
    last.index = one.index;
    one.volume!.attaching--;
    one.volume = null;
    this.units.release(one.unit);
    this.spare.push(one);
  }
}
