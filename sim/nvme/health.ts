import { CriticalWarning } from '../../sdk/spec/nvme/logs.js';
import { secondNs } from '../../sdk/units.js';
import type { World } from '../world.js';
import type { MediaWear } from './io/media-model.js';

/** Composite temperature limits in kelvin: a card without a heat sink. */
export const warningKelvin = 343; // guess: 70 degrees Celsius
export const criticalKelvin = 353; // guess: 80 degrees Celsius
export const spareThresholdPercent = 10; // guess
/** So often can the whole capacity be written. */
const rewritesInLife = 5_475; // guess: 3 drive writes per day for 5 years
const restingKelvin = 313; // guess: 40 degrees Celsius in a ventilated host

const minuteNs = 60 * secondNs;

/**
 * What the SMART page is made of: real counters of the subsystem. The I/O path calls `countRead`,
 * `countWrite`, `enter` and `leave`; all are a few additions.
 */
export class Health {
  readBytes = 0;
  writtenBytes = 0;
  readCommands = 0;
  writeCommands = 0;
  mediaErrors = 0;
  powerCycles = 1;
  unsafeShutdowns = 0;
  /** Critical warnings that do not come from temperature or spare. */
  otherWarnings = 0;
  /** 0 none, 1 light, 2 heavy: what a host's thermal management asks for. */
  managedThrottle = 0;
  /** End of the last command: the start of the time without work. */
  lastActiveNs: number;
  private readonly world: World;
  private readonly enduranceBytes: number;
  private kelvin = restingKelvin;
  private busy = 0;
  private busySinceNs = 0;
  private busyTotalNs = 0;
  private poweredOnNs: number;
  private poweredTotalNs = 0;
  private hotSinceNs = 0;
  private warningTotalNs = 0;
  private criticalTotalNs = 0;
  private listener: (() => void) | null = null;
  private spareLimit = 100;
  private readonly wear: () => MediaWear | null;

  /**
   * @param capacityBytes  of all media together
   * @param wear  what the media know themselves; null when they do not wear
   */
  constructor(world: World, capacityBytes: number, wear: () => MediaWear | null = () => null) {
    this.world = world;
    this.wear = wear;
    this.enduranceBytes = capacityBytes * rewritesInLife;
    this.poweredOnNs = world.nowNs;
    this.lastActiveNs = world.nowNs;
  }

  countRead(bytes: number): void {
    this.readCommands++;
    this.readBytes += bytes;
  }

  countWrite(bytes: number): void {
    this.writeCommands++;
    this.writtenBytes += bytes;
  }

  countMediaError(): void {
    this.mediaErrors++;
  }

  /** An I/O command begins. The time is looked at here: a large number passed is allocated. */
  enter(): void {
    if (this.busy === 0) this.busySinceNs = this.world.nowNs;
    this.busy++;
  }

  /** An I/O command has ended. */
  leave(): void {
    const { nowNs } = this.world;
    this.busy--;
    this.lastActiveNs = nowNs;
    if (this.busy === 0) this.busyTotalNs += nowNs - this.busySinceNs;
  }

  /** All commands are gone at once: a reset. */
  leaveAll(nowNs: number): void {
    if (this.busy > 0) this.busyTotalNs += nowNs - this.busySinceNs;
    this.busy = 0;
    this.lastActiveNs = nowNs;
  }

  get commandsInFlight(): number {
    return this.busy;
  }

  get isBusy(): boolean {
    return this.busy > 0;
  }

  /** Of the life that the maker promises; it goes on beyond 100 and stops at 255. */
  get usedPercent(): number {
    const known = this.wear();
    if (known !== null) return Math.min(255, Math.floor(known.usedPercent));
    return Math.min(255, Math.floor((100 * this.writtenBytes) / this.enduranceBytes));
  }

  get sparePercent(): number {
    return Math.min(this.spareLimit, Math.floor(this.wear()?.sparePercent ?? 100));
  }

  /** Written to the media, by whomever. */
  get mediaWrittenBytes(): number {
    return this.wear()?.mediaWrittenBytes ?? this.writtenBytes;
  }

  get temperatureKelvin(): number {
    return this.kelvin;
  }

  /** Level of throttling: the host's, or by the card's own limits. */
  throttleLevel(limits: { readonly lightKelvin: number; readonly heavyKelvin: number }): number {
    const own = this.kelvin >= limits.heavyKelvin ? 2 : this.kelvin >= limits.lightKelvin ? 1 : 0;
    return Math.max(own, this.managedThrottle);
  }

  /** The heat is the environment's: a rig sets it. */
  setTemperature(kelvin: number): void {
    this.settleHeat();
    this.kelvin = kelvin;
    this.listener?.();
  }

  /** Thermal limits have changed, the temperature has not. */
  throttleChanged(): void {
    this.listener?.();
  }

  setSpare(percent: number): void {
    this.spareLimit = percent;
    this.listener?.();
  }

  /** The media are not what they were. */
  wearChanged(): void {
    this.listener?.();
  }

  setWarnings(warnings: number): void {
    this.otherWarnings = warnings;
    this.listener?.();
  }

  /** Whoever turns temperature and warnings into asynchronous events. */
  onChange(listener: () => void): void {
    this.listener = listener;
  }

  /** Critical warning bits that hold for every controller; temperature thresholds are theirs. */
  get commonWarnings(): number {
    const spare = this.sparePercent < spareThresholdPercent ? CriticalWarning.spare : 0;
    const readOnly = this.wear()?.isReadOnly === true ? CriticalWarning.readOnly : 0;
    return this.otherWarnings | spare | readOnly;
  }

  get busyMinutes(): number {
    const running = this.busy > 0 ? this.world.nowNs - this.busySinceNs : 0;
    return Math.floor((this.busyTotalNs + running) / minuteNs);
  }

  get powerOnHours(): number {
    const total = this.poweredTotalNs + this.world.nowNs - this.poweredOnNs;
    return Math.floor(total / (60 * minuteNs));
  }

  get warningMinutes(): number {
    this.settleHeat();
    return Math.floor(this.warningTotalNs / minuteNs);
  }

  get criticalMinutes(): number {
    this.settleHeat();
    return Math.floor(this.criticalTotalNs / minuteNs);
  }

  powerLost(wasClean: boolean): void {
    this.leaveAll(this.world.nowNs);
    this.settleHeat();
    this.poweredTotalNs += this.world.nowNs - this.poweredOnNs;
    this.poweredOnNs = this.world.nowNs;
    if (!wasClean) this.unsafeShutdowns++;
  }

  powerRestored(): void {
    this.powerCycles++;
    this.poweredOnNs = this.world.nowNs;
    this.hotSinceNs = this.world.nowNs;
  }

  private settleHeat(): void {
    const spentNs = this.world.nowNs - this.hotSinceNs;
    if (this.kelvin >= criticalKelvin) this.criticalTotalNs += spentNs;
    else if (this.kelvin >= warningKelvin) this.warningTotalNs += spentNs;
    this.hotSinceNs = this.world.nowNs;
  }
}
