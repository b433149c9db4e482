import {
  RunningSelfTest,
  SelfTestOutcome,
  selfTestResultMaximum,
} from '../../../sdk/spec/nvme/logs.js';
import type { World } from '../../world.js';

export interface SelfTestRecord {
  readonly code: number;
  readonly outcome: number;
  readonly powerOnHours: number;
  /** Namespace that was tested; 0 for none, all-ones for all. */
  readonly nsid: number;
}

/**
 * The self-test of one controller [NVMe-2.0 §8.6]. It runs in the background in virtual time. A
 * short test ends with a reset of the controller; an extended one goes on, over power cycles, too.
 */
export class SelfTestOperation {
  /** RunningSelfTest; 0 when none is running. */
  code: number = RunningSelfTest.none;
  nsid = 0;
  /** Newest first. */
  readonly records: SelfTestRecord[] = [];
  private readonly world: World;
  private readonly powerOnHours: () => number;
  private readonly onEnd: number;
  private startNs = 0;
  private totalNs = 0;
  private doneNs = 0;
  private generation = 0;

  constructor(world: World, powerOnHours: () => number) {
    this.world = world;
    this.powerOnHours = powerOnHours;
    this.onEnd = world.register((generation) => this.finish(generation));
  }

  get isRunning(): boolean {
    return this.code !== RunningSelfTest.none;
  }

  /** 0..99 while running. */
  get percent(): number {
    if (!this.isRunning) return 0;
    return Math.min(99, Math.floor((100 * this.elapsedNs()) / this.totalNs));
  }

  start(test: { readonly code: number; readonly nsid: number; readonly ns: number }): void {
    this.code = test.code;
    this.nsid = test.nsid;
    this.totalNs = test.ns;
    this.doneNs = 0;
    this.resume();
  }

  /** End it with an outcome; nothing happens when none is running. */
  end(outcome: number): void {
    if (!this.isRunning) return;
    const { code, nsid } = this;
    this.records.unshift({ code, outcome, nsid, powerOnHours: this.powerOnHours() });
    if (this.records.length > selfTestResultMaximum) this.records.pop();
    this.code = RunningSelfTest.none;
    this.generation++;
  }

  /** A reset of the controller, or the power. */
  reset(): void {
    if (this.code === RunningSelfTest.short) this.end(SelfTestOutcome.abortedByReset);
  }

  powerLost(): void {
    this.reset();
    if (!this.isRunning) return;
    this.doneNs = this.elapsedNs();
    this.generation++;
  }

  powerRestored(): void {
    if (this.isRunning) this.resume();
  }

  private resume(): void {
    this.startNs = this.world.nowNs;
    this.generation++;
    this.world.schedule(this.totalNs - this.doneNs, this.onEnd, this.generation);
  }

  private elapsedNs(): number {
    return Math.min(this.totalNs, this.doneNs + this.world.nowNs - this.startNs);
  }

  private finish(generation: number): void {
    if (generation === this.generation) this.end(SelfTestOutcome.passed);
  }
}
