import { assert } from '../../sdk/assert.js';
import { type FaultKind, notGiven } from '../../sdk/faults/kinds.js';
import { type Fault, type FaultPlan, faultValue } from '../../sdk/faults/plan.js';
import type { Command } from '../nvme/command.js';
import { CommandFault, type CommandJudge } from '../nvme/command-fault.js';
import type { Prng } from '../prng.js';
import type { World } from '../world.js';
import { firstBlock, isMatch, isWriting } from './match.js';

/** The card as a plan reaches it. */
export interface FaultTarget {
  powerCut(options: { readonly isProtected: boolean }): void;
  restore(): void;
  linkDown(): void;
  linkUp(): void;
  busReset(): void;
  surpriseRemove(): void;
  /** CSTS.CFS on one function's controller; with a code, its firmware leaves a crash log. */
  failController(functionIndex: number, code: number | null): void;
  /** @returns whether there are such blocks */
  loseBlocks(nsid: number, lba: number, blockCount: number): boolean;
  /** @returns whether the block is there and written */
  flipBit(nsid: number, lba: number, bit: number): boolean;
  temperatureKelvin: number;
  /** @returns whether there is such a die */
  failDie(place: DiePlace, operation: 'program' | 'erase', count: number): boolean;
  stallDie(place: DiePlace, ns: number): boolean;
  dieCount(drive: number): number;
  spuriousInterrupt(functionIndex: number, vector: number): void;
}

export interface DiePlace {
  readonly drive: number;
  readonly die: number;
}

/** What became of one fault of the plan. */
export interface FaultOutcome {
  readonly kind: FaultKind;
  /** Commands that met its conditions; 0 for faults that wait for an event or a time. */
  readonly matched: number;
  /** How often it struck. */
  readonly struck: number;
  /** When it last did, virtual time; -1 when it did not. */
  readonly lastNs: number;
}

/** What a fault is that only marks its command. */
const markOf: Partial<Record<FaultKind, number>> = {
  'stuck command': CommandFault.stuck,
  'write fault': CommandFault.writeFault,
  'lost completion': CommandFault.lostEntry,
  'doubled completion': CommandFault.doubledEntry,
  'lost interrupt': CommandFault.lostInterrupt,
  'poisoned TLP': CommandFault.poisoned,
  'aborted TLP': CommandFault.refused,
};
const wrongOf = [CommandFault.wrongCid, CommandFault.wrongQueue, CommandFault.wrongHead] as const;

/**
 * Carries a plan out on one card. Chance is the plan's own: with and without it the card draws the
 * same numbers. What hits the whole card at a command happens right after the command was fetched,
 * as an event of its own.
 */
export class FaultInjector {
  private readonly world: World;
  private readonly target: FaultTarget;
  private readonly faults: readonly Fault[];
  private readonly chance: readonly Prng[];
  private readonly matched: Int32Array;
  private readonly struck: Int32Array;
  private readonly lastNs: Float64Array;
  /** Kelvin before the heat. */
  private readonly before: Float64Array;
  private readonly onStrike: number;
  private readonly onRelief: number;

  constructor(options: {
    readonly world: World;
    readonly target: FaultTarget;
    readonly plan: FaultPlan;
    readonly ordinal: number;
  }) {
    const { world, plan, ordinal } = options;
    this.world = world;
    this.target = options.target;
    this.faults = plan.faults.filter(({ card }) => card === notGiven || card === ordinal);
    const { length } = this.faults;
    this.chance = this.faults.map((_, i) => world.prng(`fault ${plan.seed} ${ordinal} ${i}`));
    this.matched = new Int32Array(length);
    this.struck = new Int32Array(length);
    this.lastNs = new Float64Array(length).fill(-1);
    this.before = new Float64Array(length);
    this.onStrike = world.register((index) => this.strike(index));
    this.onRelief = world.register((index) => this.relieve(index));
  }

  /** Set what waits for an event or a time. Once, when the card is complete. */
  arm(): void {
    for (const [index, { moment, at }] of this.faults.entries()) {
      if (moment === 'event' && at >= this.world.eventCount) {
        this.world.beforeEvent(at, this.onStrike, index);
      }
      if (moment === 'time' && at >= this.world.nowNs) {
        this.world.schedule(at - this.world.nowNs, this.onStrike, index);
      }
    }
  }

  /** In the order of the plan, this card's faults only. */
  get outcomes(): readonly FaultOutcome[] {
    return this.faults.map(({ kind }, i) => ({
      kind,
      matched: this.matched[i]!,
      struck: this.struck[i]!,
      lastNs: this.lastNs[i]!,
    }));
  }

  /** The judge of one function's commands; null when no fault of the plan looks at commands. */
  judgeOf(functionIndex: number): CommandJudge | null {
    const isAsked = this.faults.some(
      (fault) => fault.moment === 'command' && fault.functionIndex === functionIndex,
    );
    return isAsked ? { judge: (command) => this.judge(command, functionIndex) } : null;
  }

  private judge(command: Command, functionIndex: number): void {
    command.fault = 0;
    command.faultNs = 0;
    for (let index = 0; index < this.faults.length; index++) {
      const fault = this.faults[index]!;
      if (fault.moment !== 'command' || fault.functionIndex !== functionIndex) continue;
      if (!isMatch(fault.match, command)) continue;
      const since = this.matched[index]! - fault.match.first + 1;
      this.matched[index]!++;
      if (since < 0 || since % fault.match.every !== 0) continue;
      if (this.struck[index]! >= fault.count) continue;
      if (!this.chance[index]!.chance(fault.match.probability)) continue;
      this.meet(index, command);
    }
  }

  /** A fault strikes at a command. */
  private meet(index: number, command: Command): void {
    const fault = this.faults[index]!;
    const mark = markOf[fault.kind];
    if (mark !== undefined) {
      if (mark === CommandFault.writeFault && !isWriting(command)) return;
      const isDeaf = faultValue(fault, 'ignoresAbort') === 1;
      command.fault |= isDeaf ? mark | CommandFault.deaf : mark;
      this.count(index);
      return;
    }
    switch (fault.kind) {
      case 'latency spike':
        command.faultNs += faultValue(fault, 'addNs');
        this.count(index);
        return;
      case 'corrupted completion':
        command.fault |= wrongOf[faultValue(fault, 'field')]!;
        this.count(index);
        return;
      case 'media error':
      case 'silent corruption':
        // At once: the command itself must meet it.
        if (this.spoilBlocks(fault, firstBlock(command))) this.count(index);
        return;
      default:
        // Counted now, so that the next command does not set it off again.
        this.count(index);
        this.world.schedule(0, this.onStrike, index);
    }
  }

  private strike(index: number): void {
    const fault = this.faults[index]!;
    const isDone = this.hit(fault, index);
    if (fault.moment !== 'command' && isDone) this.count(index);
  }

  /** @returns whether there was something to hit */
  private hit(fault: Fault, index: number): boolean {
    const { target } = this;
    switch (fault.kind) {
      case 'power cut':
        target.powerCut({ isProtected: faultValue(fault, 'isProtected') === 1 });
        this.relieveAfter(index, faultValue(fault, 'restoreAfterNs'));
        return true;
      case 'link down':
        target.linkDown();
        this.relieveAfter(index, faultValue(fault, 'upAfterNs'));
        return true;
      case 'bus reset':
        target.busReset();
        return true;
      case 'surprise removal':
        target.surpriseRemove();
        return true;
      case 'controller fatal status':
        target.failController(fault.functionIndex, null);
        return true;
      case 'firmware assert':
        target.failController(fault.functionIndex, faultValue(fault, 'code'));
        return true;
      case 'thermal throttling':
        this.before[index] = target.temperatureKelvin;
        target.temperatureKelvin = faultValue(fault, 'kelvin');
        this.relieveAfter(index, faultValue(fault, 'forNs'));
        return true;
      case 'spurious interrupt':
        target.spuriousInterrupt(fault.functionIndex, faultValue(fault, 'vector'));
        return true;
      case 'program failure':
      case 'erase failure':
      case 'growing bad blocks':
      case 'slow die':
        return this.hitDrive(fault);
      default:
        return this.spoilBlocks(fault, notGiven);
    }
  }

  private hitDrive(fault: Fault): boolean {
    const { target } = this;
    const { drive } = fault;
    const place = { drive, die: faultValue(fault, 'die') };
    const count = faultValue(fault, 'operations');
    switch (fault.kind) {
      case 'slow die':
        return target.stallDie(place, faultValue(fault, 'addNs'));
      case 'program failure':
        return target.failDie(place, 'program', count);
      case 'erase failure':
        return target.failDie(place, 'erase', count);
      default: {
        const dies = target.dieCount(drive);
        for (let die = 0; die < dies; die++) target.failDie({ drive, die }, 'erase', count);
        return dies > 0;
      }
    }
  }

  private spoilBlocks(fault: Fault, commandBlock: number): boolean {
    const given = faultValue(fault, 'lba');
    const lba = given === notGiven ? commandBlock : given;
    if (lba === notGiven) return false;
    const { namespace } = fault;
    if (fault.kind === 'silent corruption') {
      return this.target.flipBit(namespace, lba, faultValue(fault, 'bit'));
    }
    return this.target.loseBlocks(namespace, lba, faultValue(fault, 'blockCount'));
  }

  private relieveAfter(index: number, ns: number): void {
    if (ns !== notGiven) this.world.schedule(ns, this.onRelief, index);
  }

  /** What a fault took away comes back. */
  private relieve(index: number): void {
    const { kind } = this.faults[index]!;
    if (kind === 'power cut') this.target.restore();
    else if (kind === 'link down') this.target.linkUp();
    else this.target.temperatureKelvin = this.before[index]!;
  }

  private count(index: number): void {
    assert(index < this.faults.length, 'a fault outside the plan');
    this.struck[index]!++;
    this.lastNs[index] = this.world.nowNs;
  }
}
