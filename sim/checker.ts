import { assert } from '../sdk/assert.js';
import type { World } from './world.js';

/**
 * What a driver may do wrong, seen from the card. One name per rule, with the sentence that a
 * report carries.
 */
export const CheckerRules = {
  registerReadOnly: 'a write to a read-only register',
  registerReserved: 'an access to a reserved register',
  registerWhileEnabled: 'a register was changed that may only change while the controller is off',
  configReadOnly: 'a write to a read-only configuration field',
  memoryDisabled: 'a BAR access while Memory Space Enable is off',
  doorbellQueue: 'a doorbell of a queue that does not exist',
  doorbellValue: 'a doorbell value beyond the queue',
  doorbellUnchanged: 'a doorbell rung without change',
  doorbellDisabled: 'a doorbell while the controller is not ready',
  queueOverrun: 'a submission queue tail that passes the head',
  phaseIgnored: 'a completion queue head beyond what was posted: the phase tag was ignored',
  commandIdReused: 'a command identifier used again while in flight',
  reservedNotZero: 'a reserved field that is not zero',
  dataPointerInvalid: 'a PRP or SGL that breaks the rules',
  queueDeletedInUse: 'a queue deleted with commands in flight',
  queueMemoryInvalid: 'queue memory that the device cannot reach',
  dmaUnmapped: 'a data pointer to memory that is not mapped',
  dmaFreed: 'a data pointer to memory that was freed',
  dmaReadOnly: 'a data pointer to memory that the device may only read',
  dmaWriteOnly: 'a data pointer to memory that the device may only write',
  dmaNotBusMaster: 'work for a device that may not master the bus',
  dmaAfterReset: 'DMA for work of before a reset',
  msixMisuse: 'an MSI-X table entry changed while not masked, or used without being set up',
  shadowDoorbell: 'a shadow doorbell buffer that breaks the rules',
  shutdownIgnored: 'commands after a shutdown notification',
  sequence: 'steps of the standard in the wrong order',
} as const satisfies Record<string, string>;

export type CheckerRule = keyof typeof CheckerRules;

/** Where it happened; what is left out was not known. */
export interface ReportPlace {
  readonly controller?: number;
  readonly queue?: number;
  readonly cid?: number;
  /** The value at fault: an address, a doorbell value, an offset. */
  readonly value?: number;
}

export interface CheckerReport extends ReportPlace {
  readonly rule: CheckerRule;
  readonly text: string;
  /** Virtual time. */
  readonly atNs: number;
}

const keptReports = 256;

/**
 * The protocol checker: every misuse of the card by a driver, by rule, with the command and the
 * virtual time. The last 256 reports are kept; the counts never saturate. A test may demand none.
 */
export class Checker {
  /** Reports so far, all rules. */
  total = 0;
  private readonly world: World;
  private readonly ring: CheckerReport[] = [];
  private readonly counts = new Map<CheckerRule, number>();
  private readonly expected = new Set<CheckerRule>();

  constructor(world: World) {
    this.world = world;
  }

  /** @param text what was seen, when the rule's own sentence does not say enough */
  report(rule: CheckerRule, place: ReportPlace = {}, text: string = CheckerRules[rule]): void {
    this.counts.set(rule, this.countOf(rule) + 1);
    if (this.expected.has(rule)) return;
    const report: CheckerReport = { rule, text, atNs: this.world.nowNs, ...place };
    if (this.ring.length < keptReports) this.ring.push(report);
    else this.ring[this.total % keptReports] = report;
    this.total++;
  }

  /** Reports of a rule so far, expected ones included. */
  countOf(rule: CheckerRule): number {
    return this.counts.get(rule) ?? 0;
  }

  /** A rig misuses the card on purpose: count this rule from now on, but report it no more. */
  expect(...rules: CheckerRule[]): void {
    for (const rule of rules) this.expected.add(rule);
  }

  /** The reports kept, oldest first. */
  get reports(): readonly CheckerReport[] {
    const start = this.total > keptReports ? this.total % keptReports : 0;
    return [...this.ring.slice(start), ...this.ring.slice(0, start)];
  }

  /** One line per report. */
  describe(): string {
    return this.reports.map(line).join('\n');
  }

  clear(): void {
    this.ring.length = 0;
    this.counts.clear();
    this.total = 0;
  }

  /** @throws AssertionFailure with the reports, when there are any */
  demandNone(): void {
    assert(this.total === 0, `${this.total} protocol violations:\n${this.describe()}`);
  }
}

function line(report: CheckerReport): string {
  const places = [
    report.controller === undefined ? '' : ` controller ${report.controller}`,
    report.queue === undefined ? '' : ` queue ${report.queue}`,
    report.cid === undefined ? '' : ` cid 0x${report.cid.toString(16)}`,
    report.value === undefined ? '' : ` value 0x${report.value.toString(16)}`,
  ];
  return `${report.atNs} ns ${report.rule}:${places.join('')} ${report.text}`;
}
