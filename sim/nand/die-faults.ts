import { FlashKind } from './flash-ops.js';

/** Operations that a fault plan wants to fail, and pauses that it wants, by die. */
export class DieFaults {
  /** A pause that begins as soon as the page register is empty. */
  readonly stallNs: Float64Array;
  private readonly programs: Int32Array;
  private readonly erases: Int32Array;

  constructor(dies: number) {
    this.stallNs = new Float64Array(dies);
    this.programs = new Int32Array(dies);
    this.erases = new Int32Array(dies);
  }

  /** The next operations of a kind fail. */
  failNext(kind: number, die: number, count: number): void {
    const faults = kind === FlashKind.erase ? this.erases : this.programs;
    faults[die] = faults[die]! + count;
  }

  /** An operation ends. @returns whether it is to fail */
  takeFailure(kind: number, die: number): boolean {
    const faults = kind === FlashKind.erase ? this.erases : this.programs;
    if (faults[die] === 0) return false;
    faults[die] = faults[die]! - 1;
    return true;
  }

  /** @returns the pause that is due now, 0 for none */
  takeStallNs(die: number): number {
    const ns = this.stallNs[die]!;
    this.stallNs[die] = 0;
    return ns;
  }
}
