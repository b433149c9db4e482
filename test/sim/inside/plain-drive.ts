import {
  type Drive,
  type DriveBreakdown,
  type DriveListener,
  DriveState,
  type DriveStatistics,
  DriveStatus,
  type DriveWear,
} from '../../../sim/ftl/drive.js';
import type { World } from '../../../sim/world.js';

/** A drive of fixed times and without limits, and a log of what it was asked. */
export class PlainDrive implements Drive {
  readonly copying = null;
  readonly unitCount: number;
  readonly rowUnits: number;
  readonly streamCount = 4;
  readonly dieCount = 2;
  readonly log: string[] = [];
  state: number = DriveState.good;
  inFlight = 0;
  failedUnit = 0;
  breakdown: DriveBreakdown = { mapNs: 0, queueNs: 0, arrayNs: 0, transferNs: 0 };
  readNs = 50_000;
  writeNs = 300_000;
  /** Units that cannot be read. */
  readonly lost = new Set<number>();
  spare = 100;
  private written = 0;
  private readonly world: World;
  private readonly listener: DriveListener;
  private readonly onEvent: number;
  private readonly events: { run: (() => void) | null }[] = [];
  private row: number[] = [];
  private waiting: number[] = [];
  private writes = 0;

  constructor(world: World, listener: DriveListener, shape: { units: number; row: number }) {
    this.world = world;
    this.listener = listener;
    this.unitCount = shape.units;
    this.rowUnits = shape.row;
    this.onEvent = world.register((index) => this.events[index]!.run?.());
  }

  get statistics(): DriveStatistics {
    const none = { hostReadUnits: 0, trimmedUnits: 0, wearUnits: 0, refreshUnits: 0, padUnits: 0 };
    const map = { mapWriteUnits: 0, mapReads: 0, mapHits: 0 };
    const trouble = { retries: 0, unrecoveredUnits: 0, programFailures: 0, eraseFailures: 0 };
    const { written } = this;
    const units = { hostWriteUnits: written, mediaWriteUnits: 2 * written, gcUnits: written };
    const quiet = { erases: 0, suspends: 0, stoppedReads: 0, scannedPages: 0 };
    return { ...none, ...map, ...trouble, ...units, ...quiet };
  }

  read(unit: number, count: number, token: number): void {
    this.log.push(`read ${unit}+${count}`);
    let status: number = DriveStatus.done;
    for (let i = 0; i < count; i++) if (this.lost.has(unit + i)) status = DriveStatus.unrecovered;
    this.later(this.readNs, () => {
      const arrayNs = this.readNs - 10_000;
      this.breakdown = { mapNs: 0, queueNs: 0, arrayNs, transferNs: 10_000 };
      this.failedUnit = unit;
      this.listener.driveDone(token, status);
    });
  }

  write(unit: number, count: number, stream: number, token: number): void {
    this.log.push(`write ${unit}+${count} stream ${stream}`);
    this.written += count;
    for (let i = 0; i < count; i++) this.row.push(token);
    if (this.row.length >= this.rowUnits) this.program();
    else this.inFlight++;
  }

  trim(unit: number, count: number): void {
    this.log.push(`trim ${unit}+${count}`);
  }

  flush(token: number): void {
    this.log.push('flush');
    if (this.row.length > 0) this.program();
    this.waiting.push(token);
    if (this.writes === 0) this.later(0, () => this.endFlushes());
  }

  fill(): void {
    this.log.push('fill');
  }

  trimAll(): void {
    this.log.push('trim all');
  }

  eraseAll(token: number): void {
    this.log.push('erase all');
    this.later(1_000_000, () => this.listener.driveDone(token, DriveStatus.done));
  }

  powerCut(isProtected: boolean): void {
    this.log.push(isProtected ? 'protected cut' : 'cut');
    for (const event of this.events) event.run = null;
    this.inFlight = 0;
    this.row = [];
    this.waiting = [];
    this.writes = 0;
  }

  watch(): void {}

  age(): void {}

  wear(): DriveWear {
    const erases = { minErases: 0, maxErases: 0, meanErases: 0, badBlocks: 0 };
    const percent = { sparePercent: this.spare, usedPercent: 7 };
    return { state: this.state, ...percent, ...erases, writeAmplification: 2 };
  }

  failPrograms(): void {}
  failErases(): void {}
  loseUnit(unit: number): void {
    this.lost.add(unit);
  }
  stallDie(): void {}

  /** What happens to a drive at the end of its life. */
  wearOut(): void {
    this.state = DriveState.readOnly;
    this.spare = 0;
    this.listener.driveChanged();
  }

  private program(): void {
    const tokens = this.row;
    this.row = [];
    this.inFlight -= tokens.length - 1;
    this.writes++;
    this.later(this.writeNs, () => {
      this.writes--;
      for (const token of tokens) this.listener.driveDone(token, DriveStatus.done);
      if (this.writes === 0) this.endFlushes();
    });
    this.inFlight--;
  }

  private endFlushes(): void {
    const tokens = this.waiting;
    this.waiting = [];
    for (const token of tokens) this.listener.driveDone(token, DriveStatus.done);
  }

  private later(ns: number, run: () => void): void {
    this.inFlight++;
    const event = {
      run: () => {
        this.inFlight--;
        run();
      },
    };
    this.events.push(event);
    this.world.schedule(ns, this.onEvent, this.events.length - 1);
  }
}
