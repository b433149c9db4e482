import * as assert from 'uvu/assert';
import type { BlockDevice, BlockLimits } from '../../../sdk/block/device.js';
import { BlockOp, BlockRequest, BlockStatus } from '../../../sdk/block/request.js';
import type { Clock, DmaSpace } from '../../../sdk/device.js';
import { NvmeController } from '../../../sdk/nvme/controller.js';
import type { Namespace } from '../../../sdk/nvme/namespace.js';
import { Admission } from '../../../sdk/qos/admission.js';
import { admissionOf, calibrate } from '../../../sdk/qos/calibrate.js';
import { type QosDevice, QosGate } from '../../../sdk/qos/gate.js';
import type { Share } from '../../../sdk/qos/scheduler.js';
import { Bucket } from '../../support/qos-audit.js';
import { address, type GuestCase } from '../case.js';
import { withFunction } from './function.js';

const blockBytes = 4096;
const tenantCount = 8;
const depth = 32;
/** Beyond this the emulator's disk does no more: it goes by batches, not by parts that work. */
const depthUnits = 32;
const windowNs = 1e9;
const windowCount = 4;
const settleNs = 3e8;
/** Time that a reserved tenant may be behind: the emulator stands still for as long as that. */
const burstSeconds = 0.1;
const limitBurst = 8;
const none = Number.POSITIVE_INFINITY;
const plain: Share = { reservation: 0, limit: none, weight: 1 };
const [reservedOne, limitedOne] = [0, 1];

/**
 * A gate over the driver, over VFIO, on a controller that has no quality of service of its own. The
 * emulator's disk does five times as much at one moment as at another: what is demanded is what the
 * gate decides, each time by the time that it saw, and what that makes per second are figures.
 */
export const qosCases: readonly GuestCase[] = [
  {
    title: 'a gate promises what was measured, serves reservations first, holds limits, and shares',
    run: () =>
      withFunction(address.plain, async (fn) => {
        const controller = await NvmeController.open(fn, { completionMode: 'polling' });
        const namespace = await controller.namespace(1);
        const fifo = measure(tenantsOf(() => namespace));
        const recorder = new Recorder(namespace);
        const admission = admissionOfMeasured(recorder);
        const shares = admitted(admission);
        const gated = runGated(recorder, shares);
        await controller.close();
        const { reservation } = shares[reservedOne]!;
        const { limit } = shares[limitedOne]!;
        const others = gated.units.slice(2);
        const figures = {
          guest_availableUnitsPerSecond: admission.available(),
          guest_S1_reservationMetPct_worst1s: worstMetPct(gated, reservation),
          guest_S1_fifoMetPct_worst1s: worstMetPct(fifo, reservation),
          guest_S1_windowsTooSlow: gated.windows.filter((one) => isTooSlow(one, reservation))
            .length,
          guest_S2_overLimitPct: overPct(gated.units[limitedOne]!, limit, gated.seconds),
          guest_S4_jain: sum(others) ** 2 / (others.length * sum(others.map((one) => one ** 2))),
          guest_unitsPerSecond: sum(gated.units) / gated.seconds,
          guest_fifoUnitsPerSecond: sum(fifo.units) / fifo.seconds,
        };
        console.log(`FIGURES ${JSON.stringify(figures)}`);
        assert.equal(recorder.violations, []);
        // That nothing was violated says something only where all of it happened.
        assert.ok(recorder.firstCount > 100, `${recorder.firstCount} by reservation`);
        assert.ok(recorder.counts[limitedOne]! > 20, `${recorder.counts[limitedOne]} limited`);
      }),
  },
];

/** What the disk does at the gate's depth, as a user finds it out, less the usual headroom. */
function admissionOfMeasured(device: BlockDevice): Admission {
  const probe = new QosGate(device, { depthUnits }).open(plain);
  const found = calibrate(probe, { writes: false, requests: 1_000, regionBytes: 2 ** 26 });
  return new Admission(admissionOf(found));
}

/** Shares of all, as far as they are admitted; one that asks for too much is refused. */
function admitted(admission: Admission): Share[] {
  const available = admission.available();
  const reservation = 0.4 * available;
  const reserved = { ...plain, reservation, reservationBurst: reservation * burstSeconds };
  const limited = { ...plain, limit: 0.1 * available, limitBurst };
  const greedy = { ...plain, reservation: 0.7 * available };
  admission.admit('reserved', { share: reserved });
  assert.throws(
    () => admission.admit('greedy', { share: greedy }),
    new RegExp(
      `asks for ${Math.floor(greedy.reservation)} units per second; ` +
        `${Math.floor(reservation)} of ${Math.floor(available)} are promised`,
    ),
  );
  const rest = admission.admit('greedy', { share: greedy, orBestEffort: true });
  assert.is(rest.reservation, 0);
  return [reserved, limited, ...Array.from({ length: tenantCount - 2 }, () => rest)];
}

function runGated(recorder: Recorder, shares: readonly Share[]): Measured {
  const gate = new QosGate(recorder, {
    depthUnits,
    onShortfall: (part) => recorder.keep(part),
  });
  const devices = shares.map((share) => gate.open(share));
  const tenants = tenantsOf((index) => devices[index]!);
  recorder.watch({ tenants, shares, reserved: devices[reservedOne]! });
  return measure(tenants);
}

/**
 * The disk below the gate: notes what the gate hands over, and holds it against books of its own at
 * the time that the gate saw.
 */
class Recorder implements BlockDevice {
  readonly blockBytes: number;
  readonly blockCount: number;
  readonly limits: BlockLimits;
  readonly memory: DmaSpace;
  readonly clock: Clock;
  readonly violations: string[] = [];
  /** Handed over to each, and of them by reservation. */
  readonly counts: number[] = new Array(tenantCount).fill(0);
  firstCount = 0;
  private readonly under: Namespace;
  private tenants: readonly Tenant[] = [];
  private reserved: QosDevice | null = null;
  private seenNs = 0;
  private reservedUnits = 0;
  private keptPart = 1;
  private reservation = new Bucket(1, 1, 0);
  private limit = new Bucket(1, limitBurst, 0);
  private rate = 0;
  private burst = 0;
  /** Of each: how far it was ahead of the third one, least and most, since all have begun. */
  private readonly least: number[] = new Array(tenantCount).fill(none);
  private readonly most: number[] = new Array(tenantCount).fill(-none);

  constructor(under: Namespace) {
    this.under = under;
    this.blockBytes = under.blockBytes;
    this.blockCount = under.blockCount;
    this.limits = under.limits;
    this.memory = under.memory;
    const { clock } = under;
    this.clock = {
      nowNs: () => {
        this.seenNs = clock.nowNs();
        return this.seenNs;
      },
      idle: (untilNs) => clock.idle(untilNs),
      turn: (untilNs) => clock.turn(untilNs),
    };
  }

  /** What was handed over so far does not count. */
  watch(options: {
    readonly tenants: readonly Tenant[];
    readonly shares: readonly Share[];
    readonly reserved: QosDevice;
  }): void {
    const { shares } = options;
    this.tenants = options.tenants;
    this.reserved = options.reserved;
    this.rate = shares[reservedOne]!.reservation;
    this.burst = this.rate * burstSeconds;
    this.reservation = new Bucket(this.rate, this.burst, this.seenNs);
    this.limit = new Bucket(shares[limitedOne]!.limit, limitBurst, this.seenNs);
  }

  /** The gate keeps this part of the reservation from now on. */
  keep(part: number): void {
    this.keptPart = part;
    this.reservation.change(this.rate * part, this.burst, this.seenNs);
  }

  canSubmit(): boolean {
    return this.under.canSubmit();
  }

  submit(request: BlockRequest): void {
    // Who has stopped has nothing that waits any more.
    if (this.tenants.some((tenant) => !tenant.isStopped)) this.note(request.tag);
    this.under.submit(request);
  }

  poll(): number {
    return this.under.poll();
  }

  private note(tenant: number): void {
    const { seenNs, counts, tenants, burst } = this;
    counts[tenant]!++;
    tenants[tenant]!.handedOver++;
    if (tenant === limitedOne) {
      const level = this.limit.levelAt(seenNs);
      if (level > limitBurst + slack) this.violate(`${level} units above the limit`);
      this.limit.pour(1, seenNs);
    }
    const first = tenants[reservedOne]!;
    const level = this.reservation.levelAt(seenNs);
    if (tenant === reservedOne) {
      const { reservedUnits } = this.reserved!.counts;
      if (reservedUnits > this.reservedUnits) {
        if (level > burst + slack) this.violate(`${level} units above the reservation`);
        this.reservation.pour(1, seenNs);
        this.firstCount++;
      }
      this.reservedUnits = reservedUnits;
    } else if (first.handedOver < first.begun && (this.keptPart < 1 || level < burst - slack)) {
      this.violate(`tenant ${tenant} goes before the reserved one, which is owed ${burst - level}`);
    }
    if (tenant > limitedOne) this.compare(tenant);
  }

  /** Who has the same weight, and always something that waits, is never more than two apart. */
  private compare(tenant: number): void {
    const { counts, least, most } = this;
    const base = limitedOne + 1;
    if (counts[base]! < depth) return;
    for (let other = base + 1; other < tenantCount; other++) {
      if (tenant !== base && tenant !== other) continue;
      const ahead = counts[other]! - counts[base]!;
      least[other] = Math.min(least[other]!, ahead);
      most[other] = Math.max(most[other]!, ahead);
      if (most[other]! - least[other]! <= 2) continue;
      this.violate(`of equal weight, ${other} drifts ${most[other]! - least[other]!} from ${base}`);
    }
  }

  private violate(what: string): void {
    if (this.violations.length < 10) this.violations.push(`${what}, at ${this.seenNs}`);
  }
}

/** Clocks are numbers of 53 bits: what rounding may be. */
const slack = 1e-3;

interface Window {
  readonly units: readonly number[];
  readonly seconds: number;
}

interface Measured extends Window {
  readonly windows: readonly Window[];
}

function isTooSlow({ units, seconds }: Window, reservation: number): boolean {
  return sum(units) < reservation * seconds;
}

/** Worst second: percent of the reservation, or of all that the disk did where that was less. */
function worstMetPct({ windows }: Measured, reservation: number): number {
  const parts = windows.map(({ units, seconds }) => {
    const due = Math.min(reservation * seconds, sum(units));
    return Math.min(1, units[reservedOne]! / due);
  });
  return 100 * Math.min(...parts);
}

/** What ended beyond a limit, its burst, and what the disk had before, in percent. */
function overPct(units: number, limit: number, seconds: number): number {
  const allowed = limit * seconds;
  return Math.max(0, (100 * (units - limitBurst - depthUnits - 1 - allowed)) / allowed);
}

function tenantsOf(deviceOf: (index: number) => BlockDevice): Tenant[] {
  return Array.from({ length: tenantCount }, (_, index) => new Tenant(deviceOf(index), index));
}

/** All of them at the same time, by one loop that polls, and a clock that the gate does not see. */
function measure(tenants: readonly Tenant[]): Measured {
  const [first] = tenants;
  const { device } = first!;
  for (const tenant of tenants) tenant.start();
  const runFor = (ns: number): Window => {
    const before = tenants.map((tenant) => tenant.ended);
    const startNs = performance.now() * 1e6;
    let nowNs = startNs;
    while (nowNs < startNs + ns) {
      // A look at an emulated clock takes longer than a poll.
      for (let i = 0; i < 16; i++) device.poll();
      nowNs = performance.now() * 1e6;
    }
    const units = tenants.map((tenant, i) => tenant.ended - before[i]!);
    return { units, seconds: (nowNs - startNs) / 1e9 };
  };
  runFor(settleNs);
  const windows = Array.from({ length: windowCount }, () => runFor(windowNs));
  for (const tenant of tenants) tenant.isStopped = true;
  while (tenants.some((tenant) => tenant.begun > tenant.ended)) device.poll();
  return {
    units: tenants.map((_, i) => sum(windows.map(({ units }) => units[i]!))),
    seconds: sum(windows.map(({ seconds }) => seconds)),
    windows,
  };
}

/** Always so many random reads of one block. */
class Tenant {
  begun = 0;
  handedOver = 0;
  ended = 0;
  isStopped = false;
  readonly device: BlockDevice;
  private readonly requests: BlockRequest[] = [];
  private state: number;

  constructor(device: BlockDevice, index: number) {
    this.device = device;
    this.state = 0x2545f491 + index;
    for (let i = 0; i < depth; i++) {
      const request = new BlockRequest((one) => {
        assert.is(one.status, BlockStatus.ok);
        this.ended++;
        if (!this.isStopped) this.submit(one);
      });
      request.op = BlockOp.read;
      request.tag = index;
      request.blockCount = blockBytes / device.blockBytes;
      request.setData(device.memory.allocate(blockBytes), 0, blockBytes);
      this.requests.push(request);
    }
  }

  start(): void {
    for (const request of this.requests) this.submit(request);
  }

  private submit(request: BlockRequest): void {
    this.state = (Math.imul(this.state, 1_664_525) + 1_013_904_223) >>> 0;
    const places = Math.floor(this.device.blockCount / request.blockCount);
    request.lba = Math.floor((this.state / 2 ** 32) * places) * request.blockCount;
    this.begun++;
    this.device.submit(request);
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
