import { assert } from '../../sdk/assert.js';
import type { InPlaceProfile } from '../nand/in-place-profile.js';
import { StripeArray } from '../nand/stripe-array.js';
import { type AddTracks, numbered } from '../spans.js';
import type { World } from '../world.js';
import { Breakdown, Counters } from './counters.js';
import {
  type Drive,
  type DriveListener,
  DriveState,
  DriveStatus,
  type DriveWear,
  driveUnitBytes,
} from './drive.js';
import { Requests } from './requests.js';
import { StartGap } from './start-gap.js';
import { UnitTable } from './unit-table.js';

/**
 * A drive whose cells are written in place (3D XPoint-like): no erase, no garbage, every unit has
 * one place that moves by one now and then to level the wear. A unit lies on the dies of one
 * stripe. When cells have borne what they can, the drive takes no more writes.
 */
export class InPlaceDrive implements Drive {
  readonly copying = null;
  readonly unitCount: number;
  readonly rowUnits = 1;
  readonly streamCount = 1;
  readonly dieCount: number;
  readonly breakdown = new Breakdown();
  readonly statistics = new Counters();
  state: number = DriveState.good;
  inFlight = 0;
  failedUnit = 0;
  readonly stripes: StripeArray;
  private readonly profile: InPlaceProfile;
  private readonly world: World;
  private readonly listener: DriveListener;
  private readonly requests = new Requests();
  private readonly gap: StartGap;
  /** Units that cannot be read until they are written: 1. */
  private readonly lost: UnitTable;
  /** When the last write that was taken is over. */
  private lastWriteNs = 0;
  private readonly endEvent: number;

  constructor(parts: InPlaceDriveParts) {
    const { profile, world } = parts;
    this.profile = profile;
    this.world = world;
    this.listener = parts.listener;
    this.dieCount = profile.channels * profile.diesPerChannel;
    this.unitCount = Math.floor((this.dieCount * profile.bytesPerDie) / driveUnitBytes);
    this.gap = new StartGap(this.unitCount, profile.wearMoveWrites);
    this.lost = new UnitTable(this.unitCount);
    const chance = world.prng(`${parts.name} cells`);
    this.stripes = new StripeArray({ profile, world, chance, listener: this });
    this.endEvent = world.register((request) => this.endDue(request));
  }

  read(unit: number, count: number, token: number): void {
    this.check(unit, count);
    const { requests } = this;
    const request = requests.take(token, unit, count, this.world.nowNs);
    requests.remaining[request] = count;
    this.inFlight++;
    this.statistics.hostReadUnits += count;
    for (let i = 0; i < count; i++) {
      if (this.lost.get(unit + i) === 1) this.markLost(request, unit + i);
      this.stripes.read(this.gap.placeOf(unit + i), request);
    }
  }

  write(unit: number, count: number, stream: number, token: number): void {
    this.check(unit, count);
    assert(stream === 0, 'a write to a stream that is not there');
    const { requests } = this;
    const request = requests.take(token, unit, count, this.world.nowNs);
    this.inFlight++;
    if (this.state === DriveState.readOnly) {
      requests.status[request] = DriveStatus.writeProtected;
      this.endAt(request, this.world.nowNs);
      return;
    }
    requests.remaining[request] = count;
    for (let i = 0; i < count; i++) this.writeUnit(unit + i, request);
  }

  /** Cells have no unmapped state: a read goes to the medium all the same. */
  trim(unit: number, count: number): void {
    this.check(unit, count);
    this.statistics.trimmedUnits += count;
  }

  flush(token: number): void {
    const request = this.requests.take(token, 0, 0, this.world.nowNs);
    this.inFlight++;
    this.endAt(request, Math.max(this.world.nowNs, this.lastWriteNs));
  }

  /** Cells have no unmapped state. */
  fill(): void {
    assert(this.inFlight === 0, 'a drive that works is not filled');
  }

  trimAll(): void {
    this.statistics.trimmedUnits += this.unitCount;
    this.lost.clear();
  }

  /** Every unit is overwritten once; all stripes work at one time. */
  eraseAll(token: number): void {
    assert(this.inFlight === 0, 'erase of everything with requests in flight');
    const request = this.requests.take(token, 0, 0, this.world.nowNs);
    this.inFlight++;
    this.lost.clear();
    this.statistics.mediaWriteUnits += this.unitCount;
    const rounds = Math.ceil(this.unitCount / this.stripes.count);
    this.endAt(request, this.world.nowNs + rounds * this.profile.writeNs);
  }

  powerCut(isProtected: boolean): void {
    // A write in place is safe or not by itself; there is nothing that capacitors could finish.
    void isProtected;
    this.stripes.clear();
    this.requests.clear();
    this.inFlight = 0;
    this.lastWriteNs = 0;
  }

  /** Cells of this kind hold their content. */
  watch(addTracks: AddTracks, name: string): void {
    this.stripes.tracks = addTracks(numbered(`${name} stripe`, this.stripes.count));
  }

  age(days: number): void {
    assert(days >= 0, 'time does not run backwards');
  }

  wear(): DriveWear {
    const { hostWriteUnits, mediaWriteUnits } = this.statistics;
    const mean = mediaWriteUnits / this.unitCount;
    return {
      state: this.state,
      sparePercent: this.state === DriveState.good ? 100 : 0,
      usedPercent: Math.floor((100 * mean) / this.profile.enduranceWrites),
      minErases: 0,
      maxErases: this.gap.mostWrites,
      meanErases: mean,
      badBlocks: 0,
      writeAmplification: hostWriteUnits === 0 ? 1 : mediaWriteUnits / hostWriteUnits,
    };
  }

  /** A write that fails is not known of this medium: the unit it hits is lost. */
  failPrograms(die: number, count: number): void {
    this.stripes.failNext(die, count);
  }

  failErases(die: number, count: number): void {
    this.stripes.failNext(die, count);
  }

  loseUnit(unit: number): void {
    this.check(unit, 1);
    this.lost.set(unit, 1);
  }

  stallDie(die: number, ns: number): void {
    this.stripes.stall(die, ns);
  }

  // What the stripes tell.

  stripeDone(request: number, queueNs: number, arrayNs: number, transferNs: number): void {
    // A unit that moved to level the wear.
    if (request < 0) return;
    const { requests, breakdown } = this;
    const remaining = requests.remaining[request]! - 1;
    requests.remaining[request] = remaining;
    if (remaining > 0) return;
    breakdown.mapNs = 0;
    breakdown.queueNs = queueNs;
    breakdown.arrayNs = arrayNs;
    breakdown.transferNs = transferNs;
    this.tell(request);
  }

  private writeUnit(unit: number, request: number): void {
    const { statistics, gap } = this;
    const place = gap.placeOf(unit);
    statistics.hostWriteUnits++;
    statistics.mediaWriteUnits++;
    const { stripes } = this;
    const failed = stripes.takeFault(place);
    if (failed) statistics.programFailures++;
    this.lost.set(unit, failed ? 1 : 0);
    this.lastWriteNs = Math.max(this.lastWriteNs, stripes.write(place, request));
    if (gap.countWrite(place) > this.profile.enduranceWrites) this.wearOut();
    if (!gap.isMoveDue) return;
    const from = gap.move();
    statistics.wearUnits++;
    statistics.mediaWriteUnits++;
    stripes.read(from, -1);
    stripes.write(gap.lastTarget, -1);
  }

  private wearOut(): void {
    if (this.state === DriveState.readOnly) return;
    this.state = DriveState.readOnly;
    this.listener.driveChanged();
  }

  private check(unit: number, count: number): void {
    assert(count >= 1, 'a request for no unit');
    assert(unit >= 0 && unit + count <= this.unitCount, 'a request beyond the end of the drive');
  }

  private markLost(request: number, unit: number): void {
    const { requests } = this;
    this.statistics.unrecoveredUnits++;
    if (requests.status[request] === DriveStatus.done) requests.failedUnit[request] = unit;
    requests.status[request] = DriveStatus.unrecovered;
  }

  private endAt(request: number, atNs: number): void {
    this.requests.endAtNs[request] = atNs;
    this.world.schedule(atNs - this.world.nowNs, this.endEvent, request);
  }

  private endDue(request: number): void {
    const { requests, breakdown } = this;
    if (requests.endAtNs[request] !== this.world.nowNs) return;
    breakdown.mapNs = 0;
    breakdown.queueNs = this.world.nowNs - requests.startedAtNs[request]!;
    breakdown.arrayNs = 0;
    breakdown.transferNs = 0;
    this.tell(request);
  }

  private tell(request: number): void {
    const { requests } = this;
    const token = requests.token[request]!;
    const status = requests.status[request]!;
    this.failedUnit = requests.failedUnit[request]!;
    requests.give(request);
    this.inFlight--;
    this.listener.driveDone(token, status);
  }
}

export interface InPlaceDriveParts {
  readonly profile: InPlaceProfile;
  readonly world: World;
  readonly listener: DriveListener;
  /** Names the stream of chance. */
  readonly name: string;
}
