import { ThresholdType } from '../../../sdk/spec/nvme/features.js';
import { CriticalWarning, LogPage } from '../../../sdk/spec/nvme/logs.js';
import { secondNs } from '../../../sdk/units.js';
import type { World } from '../../world.js';
import { criticalKelvin, type Health, warningKelvin } from '../health.js';
import { type EventQueue, EventType, HealthEvent } from './events.js';

/** Composite temperature and one sensor: selectors 0 and 1 of the threshold feature. */
export const thresholdSelectors = 2;

/** Largest threshold of a sensor: it can never be exceeded. */
const noUpperLimit = 0xffff;

/**
 * Turns what the subsystem's health is into critical warnings and events of one controller: its
 * temperature thresholds and its event mask are its own.
 */
export class HealthWatch {
  /** Bits of the SMART part of the event configuration. */
  private enabledWarnings = 0;
  private reported = 0;
  private readonly over: number[] = [];
  private readonly under: number[] = [];
  private readonly health: Health;
  private readonly events: EventQueue;
  // Host controlled thermal management.
  private lightKelvin = 0;
  private heavyKelvin = 0;
  private level = 0;
  lightCount = 0;
  heavyCount = 0;
  private levelSinceNs = 0;
  private readonly levelTotalNs = [0, 0, 0];
  private readonly world: World;

  constructor(world: World, health: Health, events: EventQueue) {
    this.world = world;
    this.health = health;
    this.events = events;
    this.reset();
  }

  reset(): void {
    this.enabledWarnings = 0;
    this.reported = 0;
    for (let i = 0; i < thresholdSelectors; i++) {
      this.over[i] = defaultThreshold(i, ThresholdType.over);
      this.under[i] = defaultThreshold(i, ThresholdType.under);
    }
  }

  enableWarnings(warnings: number): void {
    this.enabledWarnings = warnings;
    this.look();
  }

  setThreshold(selector: number, type: number, kelvin: number): void {
    const side = type === ThresholdType.over ? this.over : this.under;
    side[selector] = kelvin;
    this.look();
  }

  /** Feature 10h: 0 turns a level off. */
  setThermalLevels(lightKelvin: number, heavyKelvin: number): void {
    this.lightKelvin = lightKelvin;
    this.heavyKelvin = heavyKelvin;
    this.look();
    this.health.throttleChanged();
  }

  /** The critical warning byte as this controller reports it. */
  get warnings(): number {
    const kelvin = this.health.temperatureKelvin;
    const isOutside =
      this.over.some((limit) => kelvin >= limit) || this.under.some((limit) => kelvin <= limit);
    return this.health.commonWarnings | (isOutside ? CriticalWarning.temperature : 0);
  }

  /** Something may have changed: report what is new and wanted. */
  look(): void {
    this.followHeat();
    const raised = this.warnings & this.enabledWarnings;
    const rising = raised & ~this.reported;
    this.reported = raised;
    if ((rising & CriticalWarning.spare) !== 0) this.post(HealthEvent.spare);
    if ((rising & CriticalWarning.temperature) !== 0) this.post(HealthEvent.temperature);
    const others = ~(CriticalWarning.spare | CriticalWarning.temperature);
    if ((rising & others) !== 0) this.post(HealthEvent.reliability);
  }

  private followHeat(): void {
    const kelvin = this.health.temperatureKelvin;
    const isHeavy = this.heavyKelvin !== 0 && kelvin >= this.heavyKelvin;
    const isLight = this.lightKelvin !== 0 && kelvin >= this.lightKelvin;
    const level = isHeavy ? 2 : isLight ? 1 : 0;
    if (level === this.level) return;
    this.levelTotalNs[this.level]! += this.world.nowNs - this.levelSinceNs;
    this.levelSinceNs = this.world.nowNs;
    if (level === 1) this.lightCount++;
    if (level === 2) this.heavyCount++;
    this.level = level;
    this.health.managedThrottle = level;
  }

  get lightSeconds(): number {
    return this.secondsAt(1);
  }

  get heavySeconds(): number {
    return this.secondsAt(2);
  }

  private secondsAt(level: number): number {
    const runningNs = this.level === level ? this.world.nowNs - this.levelSinceNs : 0;
    return Math.floor((this.levelTotalNs[level]! + runningNs) / secondNs);
  }

  private post(information: number): void {
    this.events.post(EventType.health, information, LogPage.health);
  }
}

export function defaultThreshold(selector: number, type: number): number {
  if (type === ThresholdType.under) return 0;
  return selector === 0 ? warningKelvin : noUpperLimit;
}

/** Bounds of what a host may ask of thermal management. */
export const managedKelvin = { least: 273, most: criticalKelvin } as const; // guess
