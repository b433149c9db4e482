import type { BlockRequest } from '../block/request.js';
import type { Clock } from '../device.js';
import { IoLog } from '../observe/io-log.js';
import type { ReplayRecorder } from './engine.js';

/** A submission queue, as far as a stage recorder needs it. */
export interface ObservedQueue {
  readonly id: number;
  /** Command identifier of the command in this slot. */
  cidOf(slot: number): number;
}

/** What a card that can be looked into says of a command, when it has posted the completion. */
export interface ObservedCommand {
  readonly queueId: number;
  readonly cid: number;
  readonly fetchedNs: number;
  readonly mediaStartNs: number;
  readonly mediaEndNs: number;
  readonly postedNs: number;
}

/** Moments of a request, in order. */
const stageNames = [
  'submit',
  'doorbell',
  'fetch',
  'media start',
  'media end',
  'completion',
  'seen',
  'callback',
] as const;

const Stage = {
  submitted: 0,
  doorbell: 1,
  fetched: 2,
  mediaStart: 3,
  mediaEnd: 4,
  posted: 5,
  seen: 6,
  calledBack: 7,
} as const;

export interface StageMean {
  /** 'doorbell → fetch' */
  readonly name: string;
  readonly meanNs: number;
}

const cidCount = 65_536;
const nothing = -1;
const maxKept = 262_144;

/**
 * The time split of a replay: when each request was submitted, its doorbell rung, its entry
 * fetched, its media work begun and ended, its completion posted, seen and given back. It listens
 * in three places: the replay, the driver's queues (`submitted`, `rang`, `seen`, `calledBack`) and,
 * where there is one, the card (`completed`). What nobody stamps counts as no time. A request that
 * the driver cuts into several commands shows the last of them.
 *
 * Recording allocates nothing after the first command of a queue.
 */
export class StageRecorder implements ReplayRecorder {
  readonly log: IoLog;
  private readonly clock: Clock;
  private readonly handles: Int32Array;
  /** By queue, then by command identifier: the handle in the log. */
  private readonly inFlight: (Int32Array | undefined)[] = [];
  private current = nothing;

  /** @param requests  of the whole run; the last 262,144 are kept */
  constructor(clock: Clock, requests: number) {
    this.clock = clock;
    const capacity = Math.min(requests, maxKept);
    this.log = new IoLog({ capacity, stages: stageNames });
    this.handles = new Int32Array(capacity).fill(nothing);
  }

  starting(index: number, request: BlockRequest): void {
    const bytes = request.segmentCount === 0 ? 0 : request.lengths[0]!;
    this.current = this.log.begin(request.tag, request.op, request.lba, bytes);
    this.handles[index % this.handles.length] = this.current;
    this.log.stamp(this.current, Stage.submitted, this.clock.nowNs());
  }

  started(): void {
    this.current = nothing;
  }

  submitted(queue: ObservedQueue, slot: number): void {
    let table = this.inFlight[queue.id];
    if (table === undefined) {
      table = new Int32Array(cidCount).fill(nothing);
      this.inFlight[queue.id] = table;
    }
    table[queue.cidOf(slot)] = this.current;
  }

  rang(queue: ObservedQueue, slot: number): void {
    this.stamp(queue.id, queue.cidOf(slot), Stage.doorbell);
  }

  seen(queue: ObservedQueue, slot: number): void {
    this.stamp(queue.id, queue.cidOf(slot), Stage.seen);
  }

  calledBack(queue: ObservedQueue, slot: number): void {
    const table = this.inFlight[queue.id];
    if (table !== undefined) table[queue.cidOf(slot)] = nothing;
  }

  /** From a card: the completion entry of this command is in host memory. */
  completed(command: ObservedCommand): void {
    const handle = this.inFlight[command.queueId]?.[command.cid] ?? nothing;
    if (handle === nothing) return;
    const { log } = this;
    log.stamp(handle, Stage.fetched, command.fetchedNs);
    log.stamp(handle, Stage.mediaStart, command.mediaStartNs);
    log.stamp(handle, Stage.mediaEnd, command.mediaEndNs);
    log.stamp(handle, Stage.posted, command.postedNs);
  }

  ended(index: number, request: BlockRequest): void {
    const handle = this.handles[index % this.handles.length]!;
    this.log.stamp(handle, Stage.calledBack, this.clock.nowNs());
    this.log.end(handle, request.status);
  }

  /** Mean of each step over the kept requests of one operation, or of all. */
  means(op?: number): StageMean[] {
    const sums: number[] = stageNames.map(() => 0);
    let count = 0;
    for (const io of this.log.ios()) {
      if (op !== undefined && io.op !== op) continue;
      count++;
      for (let i = 1; i < stageNames.length; i++) sums[i]! += io.timesNs[i]! - io.timesNs[i - 1]!;
    }
    return stageNames.slice(1).map((name, i) => ({
      name: `${stageNames[i]} → ${name}`,
      meanNs: count === 0 ? 0 : sums[i + 1]! / count,
    }));
  }

  private stamp(queue: number, cid: number, stage: number): void {
    const handle = this.inFlight[queue]?.[cid] ?? nothing;
    if (handle !== nothing) this.log.stamp(handle, stage, this.clock.nowNs());
  }
}
