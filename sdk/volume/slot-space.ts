import { allCells, cellsPerUnit } from './format.js';
import type { UnitSpace } from './unit-space.js';

/** Slots for nodes, sixteen to a unit. A slot is numbered unit × 16 + its place. */
export class SlotSpace {
  private readonly units: UnitSpace;
  /** Units that hold slots, each with the mask of slots in use. */
  private readonly used = new Map<number, number>();
  /** Free slots of those units; the last one goes first. */
  private spare: number[] = [];

  constructor(units: UnitSpace) {
    this.units = units;
  }

  get spareCount(): number {
    return this.spare.length;
  }

  get unitCount(): number {
    return this.used.size;
  }

  isSlotUnit(unit: number): boolean {
    return this.used.has(unit);
  }

  /** Put a 1 for each unit of slots. */
  markUnits(system: Uint8Array): void {
    for (const unit of this.used.keys()) system[unit] = 1;
  }

  /** @returns a slot, 0 when the pool has no unit left */
  allocate(): number {
    if (this.spare.length === 0) {
      const unit = this.units.allocate();
      if (unit === 0) return 0;
      this.used.set(unit, 0);
      this.listSpare(unit, 0);
    }
    const slot = this.spare.pop()!;
    this.mark(slot);
    return slot;
  }

  free(slot: number): void {
    const unit = Math.floor(slot / cellsPerUnit);
    this.used.set(unit, this.used.get(unit)! & ~(1 << (slot % cellsPerUnit)));
    this.spare.push(slot);
  }

  /** While loading: a node lies here. @returns false when another one does, too */
  claim(slot: number): boolean {
    const unit = Math.floor(slot / cellsPerUnit);
    const bit = 1 << (slot % cellsPerUnit);
    const mask = this.used.get(unit) ?? 0;
    this.used.set(unit, mask | bit);
    return (mask & bit) === 0;
  }

  /** After loading, and after a checkpoint: units without a node go back. */
  settle(): void {
    this.spare = [];
    for (const [unit, mask] of this.used) {
      if (mask === 0) {
        this.used.delete(unit);
        this.units.free(unit);
      } else if (mask !== allCells) {
        this.listSpare(unit, mask);
      }
    }
  }

  private listSpare(unit: number, mask: number): void {
    for (let i = cellsPerUnit - 1; i >= 0; i--) {
      if (((mask >>> i) & 1) === 0) this.spare.push(unit * cellsPerUnit + i);
    }
  }

  private mark(slot: number): void {
    const unit = Math.floor(slot / cellsPerUnit);
    this.used.set(unit, this.used.get(unit)! | (1 << (slot % cellsPerUnit)));
  }
}
