import { ruleOf } from '../../sdk/faults/kinds.js';
import { type Fault, type FaultPlan, faultValue, invalidPlan } from '../../sdk/faults/plan.js';
import type { SimCard } from '../card.js';
import type { DiePlace, FaultTarget } from './injector.js';

/** What a fault plan does to a card, in the words of the card. */
export class CardFaults implements FaultTarget {
  private readonly card: SimCard;

  constructor(card: SimCard) {
    this.card = card;
  }

  powerCut(options: { readonly isProtected: boolean }): void {
    this.card.powerCut(options);
  }

  restore(): void {
    this.card.restore();
  }

  linkDown(): void {
    this.card.linkDown();
  }

  linkUp(): void {
    this.card.linkUp();
  }

  busReset(): void {
    this.card.busReset();
  }

  surpriseRemove(): void {
    this.card.surpriseRemove();
  }

  failController(functionIndex: number, code: number | null): void {
    this.card.controllers[functionIndex]?.crash(code);
  }

  loseBlocks(nsid: number, lba: number, blockCount: number): boolean {
    const namespace = this.card.subsystem.namespace(nsid);
    if (namespace === undefined || lba >= namespace.sizeBlocks) return false;
    const count = Math.min(blockCount, namespace.sizeBlocks - lba);
    return namespace.medium.fill({ lba, count }, 'bad', true) === 0;
  }

  flipBit(nsid: number, lba: number, bit: number): boolean {
    const namespace = this.card.subsystem.namespace(nsid);
    if (namespace === undefined || lba >= namespace.sizeBlocks) return false;
    return namespace.medium.flipBit(lba, bit);
  }

  get temperatureKelvin(): number {
    return this.card.subsystem.health.temperatureKelvin;
  }

  set temperatureKelvin(kelvin: number) {
    this.card.subsystem.health.setTemperature(kelvin);
  }

  failDie({ drive, die }: DiePlace, operation: 'program' | 'erase', count: number): boolean {
    const found = this.card.inside.drives[drive];
    if (found === undefined || die >= found.dieCount) return false;
    if (operation === 'program') found.failPrograms(die, count);
    else found.failErases(die, count);
    return true;
  }

  stallDie({ drive, die }: DiePlace, ns: number): boolean {
    const found = this.card.inside.drives[drive];
    if (found === undefined || die >= found.dieCount) return false;
    found.stallDie(die, ns);
    return true;
  }

  dieCount(drive: number): number {
    return this.card.inside.drives[drive]?.dieCount ?? 0;
  }

  spuriousInterrupt(functionIndex: number, vector: number): void {
    this.card.functions[functionIndex]?.raise(vector);
  }
}

/**
 * The card has every place that the plan names.
 *
 * @throws UltimaError FAULT_PLAN_INVALID naming the field and what this card has
 */
export function demandPlaces(plan: FaultPlan, card: SimCard): void {
  for (const [i, fault] of plan.faults.entries()) {
    if (fault.card !== card.ordinal && fault.card >= 0) continue;
    const { controller } = card.profile;
    if (fault.functionIndex > controller.virtualFunctions) {
      const what = `${fault.functionIndex}: this card has 0..${controller.virtualFunctions}`;
      throw invalidPlan(`faults[${i}].where.function`, what);
    }
    if (ruleOf(fault.kind).needsDrive === true) demandDrive(`faults[${i}]`, fault, card);
  }
}

function demandDrive(at: string, fault: Fault, card: SimCard): void {
  const { drives } = card.inside;
  if (drives.length === 0) {
    const what = `"${fault.kind}": the profile ${card.profile.name} models no drive`;
    throw invalidPlan(`${at}.kind`, what);
  }
  const drive = drives[fault.drive];
  if (drive === undefined) {
    const what = `${fault.drive}: this card has drives 0..${drives.length - 1}`;
    throw invalidPlan(`${at}.where.drive`, what);
  }
  const die = faultValue(fault, 'die');
  if (die >= drive.dieCount) {
    throw invalidPlan(`${at}.die`, `${die}: its drive has dies 0..${drive.dieCount - 1}`);
  }
}
