import type { BlockDevice } from '../block/device.js';
import { BlockOp } from '../block/request.js';
import { ErrorCode, UltimaError } from '../errors.js';
import type { HeatTimeline } from '../observe/heat-timeline.js';
import { Histogram } from '../observe/histogram.js';
import type { TimelinePoint } from '../observe/timeline.js';
import { secondNs } from '../units.js';
import type { Failure, ReplayRecorder } from './engine.js';
import { ReplayEngine } from './engine.js';
import type { Plan } from './plan.js';
import { planReplay } from './plan.js';
import { type ReplaySnapshots, type SnapshotsResult, SnapshotTaker } from './snapshots.js';
import type { Trace } from './trace.js';
import type { Mismatch } from './verify.js';

export interface ReplayOptions {
  /** 'recorded': each request at its time stamp. 'depth': always `depth` in flight. */
  readonly mode?: 'recorded' | 'depth';
  /** Requests in flight: 32 when left out, 128 at most in flight as recorded. */
  readonly depth?: number;
  /** As recorded, but so many times faster. */
  readonly speed?: number;
  /** Goes into every written block, so that two runs never take each other's data for theirs. */
  readonly seed?: number;
  /** What blocks that the run has not written hold: 'zeroes' (default) or 'any' (not checked). */
  readonly initial?: 'zeroes' | 'any';
  /** Details of the first so many mismatches and failures; 16 when left out. */
  readonly keep?: number;
  /** Device time without any progress after which the replay gives up; 120 s when left out. */
  readonly deadlineNs?: number;
  /**
   * The device needs other tasks of this thread to get on, as a mirror does (default false). Waits
   * then let them have their turn, each time; that is slower.
   */
  readonly isShared?: boolean;
  /** Read everything back at the end (default true). */
  readonly readsBack?: boolean;
  readonly recorder?: ReplayRecorder;
  /** Snapshots of the device to take meanwhile; each is verified at the end. */
  readonly snapshots?: ReplaySnapshots;
  onProgress?(progress: ReplayProgress): void;
}

export interface ReplayProgress {
  readonly phase: 'replay' | 'read-back';
  readonly ended: number;
  readonly total: number;
  readonly mismatches: number;
  /** Device time since the start. */
  readonly elapsedNs: number;
}

export type OpName = 'read' | 'write' | 'flush' | 'discard' | 'writeZeroes';

export interface ReplayResult {
  readonly plan: Plan;
  readonly requests: number;
  /** From the start to the end of the last request, device time. */
  readonly durationNs: number;
  readonly iops: number;
  readonly readBytes: number;
  readonly writeBytes: number;
  readonly readBytesPerSecond: number;
  readonly writeBytesPerSecond: number;
  /** Submit to callback, all operations and each. */
  readonly latency: Readonly<Record<'all' | OpName, Histogram>>;
  /** As recorded: how long after its time each request could start. */
  readonly lateness: Histogram;
  /** What ended when; discards move no bytes. */
  readonly timeline: Readonly<Record<'all' | 'read' | 'write', readonly TimelinePoint[]>>;
  /** How many requests ended when with which latency: rows as `latencyRow` says. */
  readonly heat: HeatTimeline;
  /** Device time at the start. */
  readonly startNs: number;
  /** Requests that waited for a change of the same blocks to end. */
  readonly heldBack: number;
  /** Bytes that were compared, those of the read-back included. */
  readonly verifiedBytes: number;
  readonly readBackBytes: number;
  /** Bytes of unknown initial content, not compared (only with `initial: 'any'`). */
  readonly unknownBytes: number;
  readonly mismatches: number;
  readonly firstMismatches: readonly Mismatch[];
  readonly failed: number;
  readonly firstFailures: readonly Failure[];
  /** Of the snapshots that were taken; null when none were wanted. */
  readonly snapshots: SnapshotsResult | null;
}

/** Requests between two looks at other tasks of the thread. */
const sliceRequests = 512;
const recordedDepth = 128;
const defaultDepth = 32;
/** Longer than a driver needs to abort, reset and report what became of its commands. */
const defaultDeadlineNs = 120 * secondNs;

/**
 * Replay a recorded workload on a block device. Every written block carries its address, the write
 * that made it and a check, every read is compared with what must be there, and at the end
 * everything that was changed is read once more. **Overwrites the device.**
 *
 * A mismatch or a failed request does not stop the run: it is counted in the result.
 *
 * @throws UltimaError FILE_INVALID for a trace without requests; COMMAND_TIMEOUT when the device
 *   stops answering; RangeError for an option out of range
 */
export async function replayTrace(
  device: BlockDevice,
  trace: Trace,
  options: ReplayOptions = {},
): Promise<ReplayResult> {
  const mode = options.mode ?? 'recorded';
  const depth = options.depth ?? (mode === 'recorded' ? recordedDepth : defaultDepth);
  const speed = options.speed ?? 1;
  if (!Number.isInteger(depth) || depth < 1) throw new RangeError(`depth ${depth}: 1 at least`);
  if (!(speed > 0 && speed <= 1e6)) throw new RangeError(`speed ${speed}: above 0, to 1000000`);
  if (device.blockBytes % 16 !== 0) {
    throw new UltimaError(ErrorCode.namespaceInvalid, 'blocks are no multiple of 16 bytes', {
      blockBytes: device.blockBytes,
    });
  }
  const plan = planReplay(trace, device);
  const { recorder } = options;
  const engine = new ReplayEngine(device, plan, {
    mode,
    depth,
    speed,
    token: tokenOf(options.seed ?? 1),
    initial: options.initial ?? 'zeroes',
    keepMismatches: options.keep ?? 16,
    deadlineNs: options.deadlineNs ?? defaultDeadlineNs,
    isShared: options.isShared === true,
    ...(recorder === undefined ? {} : { recorder }),
  });
  const taker =
    options.snapshots === undefined
      ? null
      : new SnapshotTaker(options.snapshots, engine.snapshotSource, plan.count);
  engine.start();
  while (!engine.isDone) {
    const goesOn = engine.run(sliceRequests);
    taker?.turn(engine.ended);
    tell(options, 'replay', engine, plan);
    await (goesOn ? otherTasks() : device.clock.turn(engine.wakeNs));
  }
  if (options.readsBack !== false) {
    while (!engine.readBack()) await device.clock.turn(engine.wakeNs);
    tell(options, 'read-back', engine, plan);
  }
  const snapshots = taker === null ? null : await taker.finish();
  engine.close();
  return { ...resultOf(engine, plan, device.blockBytes), snapshots };
}

function tell(
  options: ReplayOptions,
  phase: ReplayProgress['phase'],
  engine: ReplayEngine,
  plan: Plan,
): void {
  options.onProgress?.({
    phase,
    ended: engine.ended,
    total: plan.count,
    mismatches: engine.verifier.mismatches,
    elapsedNs: engine.endNs - engine.startNs,
  });
}

function resultOf(
  engine: ReplayEngine,
  plan: Plan,
  blockBytes: number,
): Omit<ReplayResult, 'snapshots'> {
  const { verifier } = engine;
  const all = new Histogram();
  for (const histogram of engine.latency) all.merge(histogram);
  const durationNs = Math.max(1, engine.endNs - engine.startNs);
  const readBytes = bytesOf(plan, BlockOp.read) * blockBytes;
  const writeBytes = bytesOf(plan, BlockOp.write) * blockBytes;
  return {
    plan,
    requests: engine.ended,
    durationNs,
    iops: (engine.ended * secondNs) / durationNs,
    readBytes,
    writeBytes,
    readBytesPerSecond: (readBytes * secondNs) / durationNs,
    writeBytesPerSecond: (writeBytes * secondNs) / durationNs,
    latency: {
      all,
      read: engine.latency[BlockOp.read]!,
      write: engine.latency[BlockOp.write]!,
      flush: engine.latency[BlockOp.flush]!,
      discard: engine.latency[BlockOp.discard]!,
      writeZeroes: engine.latency[BlockOp.writeZeroes]!,
    },
    lateness: engine.lateness,
    timeline: {
      all: engine.all.points(),
      read: engine.reads.points(),
      write: engine.writes.points(),
    },
    heat: engine.heat,
    startNs: engine.startNs,
    heldBack: engine.heldBack,
    verifiedBytes: (verifier.blocks - verifier.unknownBlocks) * blockBytes,
    readBackBytes: engine.readBackBlocks * blockBytes,
    unknownBytes: verifier.unknownBlocks * blockBytes,
    mismatches: verifier.mismatches,
    firstMismatches: verifier.first,
    failed: engine.failed,
    firstFailures: engine.failures,
  };
}

function bytesOf(plan: Plan, op: number): number {
  let blocks = 0;
  for (let i = 0; i < plan.count; i++) if (plan.op[i] === op) blocks += plan.blocks[i]!;
  return blocks;
}

/** 1..2^32 - 1 from any seed. */
function tokenOf(seed: number): number {
  return (Math.imul(seed ^ 0x5bd1e995, 0x9e3779b1) | 1) >>> 0;
}

function otherTasks(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
