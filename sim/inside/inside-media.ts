import { Status } from '../../sdk/spec/nvme/status.js';
import type { FirmwareCores } from '../firmware/firmware-cores.js';
import { lookUpAndIssue } from '../firmware/stages.js';
import type { Drive } from '../ftl/drive.js';
import { DriveState, DriveStatus } from '../ftl/drive.js';
import type { Command } from '../nvme/command.js';
import type { CommandServices } from '../nvme/executor.js';
import type { MediaModel, MediaWear } from '../nvme/io/media-model.js';
import type { Namespace } from '../nvme/namespace.js';
import type { InsideProfile } from '../profiles/inside.js';
import type { World } from '../world.js';
import { Admission } from './admission.js';
import { wearOf } from './array-wear.js';
import { Drain } from './drain.js';
import { type ArrayListener, DriveArray, TokenKind } from './drive-array.js';
import { FlushLine } from './flush-line.js';
import type { InsideMediaParts } from './inside-media-parts.js';
import { goneNsid, JobFlag, JobState, Jobs } from './jobs.js';
import { Lookup } from './lookup.js';
import { Placement } from './placement.js';
import { ReadCache } from './read-cache.js';
import { firstUnit, isPartial, unitBytes, unitsOf } from './units.js';
import { WriteBuffer } from './write-buffer.js';
import { streamOf } from './write-stream.js';

/** What a job does when its timer or its drives are over. */
const Step = { read: 0, admit: 1, readThenWrite: 2, flush: 3, end: 4 } as const;

/** How long a core may stand idle for a command that is not prepared yet. */
const patienceNs = 2_000; // guess

/**
 * The media of a card with an inside: firmware stages, write buffer, read cache, and drives.
 *
 *   read   prepare ─ cache, lookup, issue ─▶ each part: buffer | cache | drive ─▶ finish
 *   write  prepare ─ cache, copy ─▶ room in the buffer ─▶ finish        (buffer ─▶ drives later)
 *
 * A write that has to be durable over a buffer that can be lost ends when a flush of it does.
 * Without a buffer a write goes to its drive and ends with it.
 */
export class InsideMedia implements MediaModel, ArrayListener {
  readonly typicalReadNs: number;
  readonly eraseAllNs: number;
  isReadOnly = false;
  /** Wear or spare of a drive is other than before. */
  onChange: () => void = () => {};
  readonly array: DriveArray;
  readonly buffer: WriteBuffer | null;
  readonly cache: ReadCache;
  private readonly world: World;
  private readonly profile: InsideProfile;
  private readonly firmware: FirmwareCores;
  private readonly isVolatile: boolean;
  private readonly streams: number;
  private readonly unitWriteNs: number;
  private readonly placement: Placement;
  private readonly drain: Drain | null;
  private readonly jobs = new Jobs();
  private readonly lookup: Lookup;
  private readonly onTimer: number;
  private readonly flushes: FlushLine | null;
  private readonly admission: Admission | null;

  constructor(parts: InsideMediaParts) {
    const { world, profile, firmware } = parts;
    this.world = world;
    this.profile = profile;
    this.firmware = firmware;
    this.isVolatile = parts.isVolatile;
    this.streams = parts.streams;
    this.typicalReadNs = parts.typicalReadNs;
    this.eraseAllNs = parts.eraseAllNs;
    this.unitWriteNs = parts.unitWriteNs;
    const { drives, stripeBytes, buffer } = profile;
    this.array = new DriveArray({
      count: drives,
      stripeUnits: stripeBytes / unitBytes,
      driveUnits: parts.driveUnits,
      make: parts.makeDrive,
      listener: this,
    });
    this.placement = new Placement(this.array.unitCount, parts.allocationBytes / unitBytes);
    this.cache = new ReadCache(Math.floor(buffer.readBytes / unitBytes));
    const capacity = Math.floor(buffer.writeBytes / unitBytes);
    this.buffer = capacity === 0 ? null : new WriteBuffer(capacity, drives * parts.streams);
    this.drain =
      this.buffer === null
        ? null
        : new Drain({
            world,
            buffer: this.buffer,
            array: this.array,
            stages: firmware.stages,
            profile: buffer,
            rowUnits: parts.rowUnits,
            streams: parts.streams,
          });
    const { jobs, array, drain, placement, cache } = this;
    const { lookupUnits } = profile.cores;
    this.lookup = new Lookup({ world, jobs, stages: firmware.stages, lookupUnits });
    this.flushes =
      drain === null ? null : new FlushLine({ jobs, array, drain, end: (job) => this.end(job) });
    this.admission =
      this.buffer === null || drain === null
        ? null
        : new Admission({
            world,
            jobs,
            array,
            placement,
            cache,
            buffer: this.buffer,
            drain,
            reservedUnits: Math.floor((capacity * buffer.reservedPermille) / 1000),
            admitted: (job) => this.admitted(job),
          });
    this.onTimer = world.register((job) => this.timerOver(job));
  }

  // MediaModel.

  read(
    services: CommandServices,
    command: Command,
    namespace: Namespace,
    lba: number,
    count: number,
  ): void {
    const job = this.begin(services, command, namespace, lba, count);
    this.jobs.steps[job] = Step.read;
    this.start(job, services.prepare(command));
  }

  write(
    services: CommandServices,
    command: Command,
    namespace: Namespace,
    lba: number,
    count: number,
    isForced: boolean,
  ): void {
    const { jobs } = this;
    const job = this.begin(services, command, namespace, lba, count);
    jobs.steps[job] = Step.admit;
    jobs.targets[job] = jobs.units[job]!;
    jobs.lists[job] = this.streams === 1 ? 0 : streamOf(command, this.streams);
    this.setFlags(job, namespace, lba, count, isForced);
    this.start(job, services.prepare(command));
  }

  update(
    services: CommandServices,
    command: Command,
    namespace: Namespace,
    source: number,
    lba: number,
    count: number,
  ): void {
    const { jobs } = this;
    const job = this.begin(services, command, namespace, source, count);
    jobs.steps[job] = Step.readThenWrite;
    jobs.targets[job] = firstUnit(namespace, lba);
    this.setFlags(job, namespace, lba, count, false);
    this.start(job, services.prepare(command));
  }

  flush(services: CommandServices, command: Command): void {
    const { jobs } = this;
    const job = jobs.take(services, command);
    const readyNs = this.firmware.stages.cache.run(services.prepare(command), 1);
    jobs.steps[job] = this.isVolatile && this.drain !== null ? Step.flush : Step.end;
    this.wait(job, readyNs);
  }

  manage(services: CommandServices, command: Command, pieces: number): void {
    const job = this.jobs.take(services, command);
    this.jobs.steps[job] = Step.end;
    this.wait(job, this.firmware.stages.lookup.run(services.prepare(command), pieces));
  }

  retry(services: CommandServices, command: Command, attempts: number, limitNs: number): void {
    services.delay(command, Math.min(attempts * this.typicalReadNs, limitNs));
  }

  deallocate(namespace: Namespace, lba: number, count: number): void {
    const { dataBytes } = namespace;
    const first = Math.ceil((lba * dataBytes) / unitBytes);
    const end = Math.floor(((lba + count) * dataBytes) / unitBytes);
    if (end > first) this.forgetUnits(namespace.nsid, first, end - first);
  }

  place(namespace: Namespace): void {
    this.placement.place(namespace.nsid, unitsOf(namespace, 0, namespace.sizeBlocks));
  }

  forget(namespace: Namespace): void {
    this.forgetUnits(namespace.nsid, 0, unitsOf(namespace, 0, namespace.sizeBlocks));
  }

  remove(namespace: Namespace): void {
    this.forget(namespace);
    this.jobs.forsake(namespace.nsid);
    this.placement.remove(namespace.nsid);
  }

  eraseAll(): void {
    this.buffer?.dropRange(0, this.array.unitCount);
    this.cache.clear();
    this.array.eraseAll();
  }

  shutdownNs(): number {
    if (this.drain === null || this.buffer === null) return 0;
    const units = this.buffer.used;
    if (units === 0) return 0;
    if (this.isVolatile) this.drain.want();
    return this.isVolatile ? Math.ceil(units * this.unitWriteNs) : 0;
  }

  fill(): void {
    this.array.fill();
  }

  powerLost(isProtected: boolean): void {
    const { jobs } = this;
    const isSafe = isProtected || !this.isVolatile;
    for (let job = 0; job < jobs.size; job++) {
      const state = jobs.states[job];
      if (state === JobState.free || state === JobState.dead) continue;
      jobs.services[job]!.resume(jobs.commands[job]!);
      if (state === JobState.timer) jobs.states[job] = JobState.dead;
      else jobs.release(job);
    }
    this.admission?.clear();
    this.flushes?.clear();
    this.array.powerCut(isSafe);
    this.buffer?.powerLost(isSafe);
    this.drain?.powerLost();
    this.cache.clear();
    this.firmware.powerLost();
  }

  powerRestored(): void {
    this.drain?.kickAll();
  }

  wear(): MediaWear {
    return wearOf(this.array.drives, this.isReadOnly);
  }

  // ArrayListener.

  requestDone(kind: number, index: number, status: number, drive: Drive): void {
    if (kind === TokenKind.read || kind === TokenKind.write) this.partDone(index, status, drive);
    else if (kind === TokenKind.program) this.programmed(index);
    else if (kind === TokenKind.flush) this.flushes!.driveDone(index);
  }

  mapRead(job: number): void {
    this.jobs.commands[job]!.mapReads++;
  }

  drivesChanged(): void {
    this.isReadOnly = this.array.drives.some((drive) => drive.state === DriveState.readOnly);
    this.onChange();
  }

  // Jobs.

  private begin(
    services: CommandServices,
    command: Command,
    namespace: Namespace,
    lba: number,
    count: number,
  ): number {
    const { jobs } = this;
    const job = jobs.take(services, command);
    jobs.nsids[job] = namespace.nsid;
    jobs.lists[job] = 0;
    jobs.units[job] = firstUnit(namespace, lba);
    jobs.counts[job] = unitsOf(namespace, lba, count);
    return job;
  }

  private setFlags(
    job: number,
    namespace: Namespace,
    lba: number,
    count: number,
    isForced: boolean,
  ): void {
    const isDurable = isForced && this.isVolatile && this.drain !== null;
    const partial = isPartial(namespace, lba, count) ? JobFlag.partial : 0;
    this.jobs.flags[job]! |= partial | (isDurable ? JobFlag.forced : 0);
  }

  /** The command is prepared at a time: then its stages near the medium begin. */
  private start(job: number, startNs: number): void {
    const { jobs } = this;
    // A core that it took now would stand idle until then, whoever else wants it.
    const isInTurn = this.profile.cores.lookupUnits > 0;
    if (isInTurn && startNs > this.world.nowNs + patienceNs) {
      jobs.flags[job]! |= JobFlag.preparing;
      this.wait(job, startNs);
    } else if (jobs.steps[job] === Step.admit) {
      this.startWrite(job, startNs);
    } else {
      this.startRead(job, startNs);
    }
  }

  private startRead(job: number, startNs: number): void {
    const { stages } = this.firmware;
    const { jobs } = this;
    const count = jobs.counts[job]!;
    let readyNs = startNs;
    if (this.buffer !== null || this.cache.capacity > 0) readyNs = stages.cache.run(startNs, 1);
    const isOne = count === 1;
    const isNear = isOne && this.isNear(this.placement.find(jobs.nsids[job]!, jobs.units[job]!));
    if (isNear) this.wait(job, readyNs + this.profile.buffer.copyNs);
    else this.wait(job, this.lookup.run(job, readyNs));
  }

  private startWrite(job: number, startNs: number): void {
    const { stages } = this.firmware;
    const { jobs } = this;
    const count = jobs.counts[job]!;
    if (this.buffer === null) {
      this.wait(job, lookUpAndIssue(stages, startNs, count));
      return;
    }
    this.wait(job, stages.cache.run(startNs, 1) + count * this.profile.buffer.copyNs);
  }

  /** Hold the command and come back at a time. */
  private wait(job: number, readyNs: number): void {
    const { jobs } = this;
    const command = jobs.commands[job]!;
    if (jobs.states[job] === JobState.waiting) {
      // It is held already, and still being prepared.
      command.mediaStartNs = readyNs;
      jobs.states[job] = JobState.timer;
    } else {
      jobs.services[job]!.hold(command, readyNs);
    }
    this.world.schedule(readyNs - this.world.nowNs, this.onTimer, job);
  }

  private timerOver(job: number): void {
    const { jobs } = this;
    if (jobs.states[job] === JobState.dead) {
      jobs.release(job);
      return;
    }
    jobs.states[job] = JobState.waiting;
    if (jobs.nsids[job] === goneNsid) {
      this.end(job);
      return;
    }
    if ((jobs.flags[job]! & JobFlag.preparing) !== 0) {
      jobs.flags[job]! &= ~JobFlag.preparing;
      this.start(job, this.world.nowNs);
      return;
    }
    switch (jobs.steps[job]) {
      case Step.read:
      case Step.readThenWrite:
        this.lookedUp(job);
        break;
      case Step.admit:
        if (this.buffer === null) this.writeParts(job);
        else this.admission!.admit(job);
        break;
      case Step.flush:
        this.flushes!.begin(job);
        break;
      default:
        this.end(job);
    }
  }

  private end(job: number): void {
    const { jobs } = this;
    const services = jobs.services[job]!;
    const command = jobs.commands[job]!;
    if (jobs.statuses[job] !== 0) command.mediaStatus = jobs.statuses[job]!;
    jobs.release(job);
    services.resume(command);
  }

  // Reads.

  private isNear(at: number): boolean {
    return this.buffer?.has(at) === true || this.cache.has(at);
  }

  /** Units of a read were looked up: more of them, or the medium. */
  private lookedUp(job: number): void {
    if (this.lookup.isUnfinished(job)) {
      this.wait(job, this.lookup.run(job, this.world.nowNs));
      return;
    }
    this.jobs.cursors[job] = 0;
    this.readParts(job);
  }

  private readParts(job: number): void {
    const { jobs, placement, array } = this;
    const nsid = jobs.nsids[job]!;
    const unit = jobs.units[job]!;
    const count = jobs.counts[job]!;
    const token = array.tokenOf(TokenKind.read, job);
    const isReserved = (jobs.flags[job]! & JobFlag.reserved) !== 0;
    for (let done = 0; done < count; ) {
      const at = placement.find(nsid, unit + done);
      if (this.buffer?.has(at) === true || (this.cache.capacity > 0 && this.cache.look(at))) {
        done++;
        continue;
      }
      let run = 1;
      if (count > 1) {
        const limit = Math.min(count - done, array.runFrom(at));
        while (run < limit && this.follows(nsid, unit + done, at, run)) run++;
      }
      jobs.remaining[job]!++;
      array.drive(array.indexOf(at)).read(array.localOf(at), run, token, isReserved);
      for (let i = 0; i < run && this.cache.capacity > 0; i++) this.cache.add(at + i);
      done += run;
    }
    if (jobs.remaining[job] === 0) this.partsOver(job);
  }

  /** Whether the next unit of a job lies behind those before and has to come from the medium. */
  private follows(nsid: number, unit: number, at: number, run: number): boolean {
    return this.placement.find(nsid, unit + run) === at + run && !this.isNear(at + run);
  }

  private partDone(job: number, status: number, drive: Drive): void {
    const { jobs } = this;
    const command = jobs.commands[job]!;
    const { breakdown } = drive;
    command.mapNs = breakdown.mapNs;
    command.queueNs = breakdown.queueNs;
    command.arrayNs = breakdown.arrayNs;
    command.transferNs = breakdown.transferNs;
    if (status === DriveStatus.unrecovered) jobs.statuses[job] = Status.unrecoveredReadError;
    else if (status !== 0) jobs.statuses[job] = Status.namespaceWriteProtected;
    if (--jobs.remaining[job]! === 0) this.partsOver(job);
  }

  private partsOver(job: number): void {
    const { jobs } = this;
    const isGone = jobs.nsids[job] === goneNsid;
    if (jobs.steps[job] !== Step.readThenWrite || jobs.statuses[job] !== 0 || isGone) {
      this.end(job);
      return;
    }
    jobs.steps[job] = Step.admit;
    if (this.buffer === null) this.writeParts(job);
    else this.admission!.admit(job);
  }

  // Writes.

  private writeParts(job: number): void {
    const { jobs, placement, array } = this;
    const token = array.tokenOf(TokenKind.write, job);
    const count = jobs.counts[job]!;
    jobs.remaining[job] = count;
    jobs.steps[job] = Step.end;
    for (let i = 0; i < count; i++) {
      const at = placement.find(jobs.nsids[job]!, jobs.targets[job]! + i);
      this.cache.drop(at);
      array.drive(array.indexOf(at)).write(array.localOf(at), 1, jobs.lists[job]!, token);
    }
  }

  private admitted(job: number): void {
    if ((this.jobs.flags[job]! & JobFlag.forced) !== 0) this.flushes!.begin(job);
    else this.end(job);
  }

  private programmed(slot: number): void {
    this.drain!.programmed(slot);
    this.admission!.serve();
    this.flushes!.look();
  }

  private forgetUnits(nsid: number, first: number, count: number): void {
    this.placement.runs(nsid, first, count, (at, run) => {
      this.buffer?.dropRange(at, run);
      if (this.cache.capacity > 0) {
        if (run > this.cache.capacity) this.cache.clear();
        else for (let i = 0; i < run; i++) this.cache.drop(at + i);
      }
      this.array.trim(at, run);
    });
  }
}
