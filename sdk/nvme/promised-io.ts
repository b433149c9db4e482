import { BlockOp, BlockRequest, BlockStatus, blockFlagFua } from '../block/request.js';
import type { DmaSpace } from '../device.js';
import type { BlockQueue } from './block-queue.js';
import {
  type AbortCause,
  type Data,
  endCause,
  type IoOptions,
  ioError,
  type Staged,
  stage,
  unstage,
} from './io-options.js';
import { type Pump, pumpOf, type Waiter } from './pump.js';
import type { QueuePair } from './queue-pair.js';

const names = ['', 'read', 'write', 'flush', 'discard', 'write zeroes'] as const;

export interface PromisedRequest {
  readonly op: BlockOp;
  readonly lba: number;
  readonly blockCount: number;
  readonly isFua: boolean;
  readonly data: Data | null;
  readonly options: IoOptions;
}

/**
 * Block requests as promises: one pooled request, one promise per call. Requests beyond what fits
 * in flight wait here in order.
 */
export class PromisedIo {
  readonly blocks: BlockQueue;
  readonly memory: DmaSpace;
  readonly pump: Pump;
  readonly pair: QueuePair;
  readonly abortSlot: (queueId: number, commandId: number) => void;
  private readonly pool: Io[] = [];
  private readonly backlog: Io[] = [];

  constructor(parts: PromisedParts) {
    this.blocks = parts.blocks;
    this.pair = parts.pair;
    this.memory = parts.pair.data.region.space;
    this.abortSlot = parts.abortSlot;
    this.pump = pumpOf(parts.pair);
    this.pump.onTurn(() => {
      this.blocks.turn();
      if (this.backlog.length > 0) this.startWaiting();
    });
  }

  /** @throws as a rejection: UltimaError COMMAND_*; RangeError or TypeError as `submit` does */
  run(wanted: PromisedRequest): Promise<void> {
    const { signal } = wanted.options;
    if (signal?.aborted === true) {
      const facts = { status: BlockStatus.notExecuted, detail: 0, cause: 'signal' } as const;
      return Promise.reject(ioError(names[wanted.op], facts));
    }
    const io = this.pool.pop() ?? new Io(this);
    return new Promise<void>((resolve, reject) => {
      try {
        io.fill(wanted, { resolve, reject });
        if (this.backlog.length === 0 && this.blocks.canSubmit()) io.submit();
        else this.backlog.push(io);
        this.pump.enter(io);
      } catch (error) {
        io.drop();
        reject(error);
      }
    });
  }

  /** @returns whether the request had not been started and is not going to be */
  dropWaiting(io: Io): boolean {
    const at = this.backlog.indexOf(io);
    if (at === -1) return false;
    this.backlog.splice(at, 1);
    return true;
  }

  /** Nothing is started any more: what waits to be has not been executed. */
  close(): void {
    for (const io of this.backlog.splice(0)) io.refuse();
  }

  recycle(io: Io): void {
    this.pool.push(io);
  }

  private startWaiting(): void {
    while (this.backlog.length > 0 && this.blocks.canSubmit()) this.backlog.shift()!.start();
  }
}

interface Settle {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** One promise under way. */
class Io implements Waiter {
  deadlineNs = Number.POSITIVE_INFINITY;
  private readonly request: BlockRequest;
  private readonly owner: PromisedIo;
  private settle: Settle | null = null;
  private staged: Staged | null = null;
  private signal: AbortSignal | null = null;
  private cause: AbortCause = 'none';
  private readonly onAbort: () => void;

  constructor(owner: PromisedIo) {
    this.owner = owner;
    this.request = new BlockRequest(() => this.ended());
    this.onAbort = () => this.abort('signal');
  }

  fill(wanted: PromisedRequest, settle: Settle): void {
    const { request } = this;
    request.op = wanted.op;
    request.lba = wanted.lba;
    request.blockCount = wanted.blockCount;
    request.flags = wanted.isFua ? blockFlagFua : 0;
    request.segmentCount = 0;
    this.settle = settle;
    this.cause = 'none';
    this.deadlineNs = wanted.options.deadlineNs ?? Number.POSITIVE_INFINITY;
    const { data } = wanted;
    if (data === null) {
      this.listen(wanted.options);
      return;
    }
    if (!(data instanceof Uint8Array) && 'iova' in data) {
      // The usual case, without the lists of the others.
      request.setData(data, 0, data.length);
    } else {
      const direction = wanted.op === BlockOp.read ? 'read' : 'write';
      this.staged = stage(data, this.owner.memory, direction);
      for (const { region, offset, length } of this.staged.slices) {
        request.addSegment(region, offset, length);
      }
    }
    this.listen(wanted.options);
  }

  private listen(options: IoOptions): void {
    this.signal = options.signal ?? null;
    this.signal?.addEventListener('abort', this.onAbort, { once: true });
  }

  submit(): void {
    this.owner.blocks.submit(this.request);
  }

  /** From the backlog: what `submit` throws becomes the rejection. */
  start(): void {
    try {
      this.submit();
    } catch (error) {
      this.owner.pump.leave(this);
      const { settle } = this;
      this.drop();
      settle?.reject(error);
    }
  }

  late(): void {
    this.abort('deadline');
  }

  /** End without having been started. */
  refuse(): void {
    this.request.status = BlockStatus.notExecuted;
    this.request.detail = 0;
    this.ended();
  }

  /** Forget everything; nothing was submitted, or all of it has ended. */
  drop(): void {
    this.signal?.removeEventListener('abort', this.onAbort);
    this.signal = null;
    if (this.staged !== null) {
      const isRead = this.request.op === BlockOp.read && this.request.status === BlockStatus.ok;
      unstage(this.staged, this.owner.memory, isRead);
    }
    this.staged = null;
    this.settle = null;
    this.owner.recycle(this);
  }

  private abort(cause: 'signal' | 'deadline'): void {
    if (this.cause !== 'none') return;
    this.cause = cause;
    const { owner, request } = this;
    if (owner.dropWaiting(this)) {
      this.refuse();
      return;
    }
    if (owner.blocks.cancelWaiting(request)) return;
    const queue = owner.pair.submission;
    for (const slot of owner.blocks.slotsOf(request)) owner.abortSlot(queue.id, queue.cidOf(slot));
  }

  private ended(): void {
    const { settle, request } = this;
    const cause = endCause(this.cause, this.owner.pair.isRemoved);
    const { status, detail, op } = request;
    this.owner.pump.leave(this);
    this.drop();
    if (status === BlockStatus.ok) settle?.resolve();
    else
      settle?.reject(
        ioError(`${names[op]} of blocks at ${request.lba}`, { status, detail, cause }),
      );
  }
}

export interface PromisedParts {
  readonly blocks: BlockQueue;
  readonly pair: QueuePair;
  readonly abortSlot: (queueId: number, commandId: number) => void;
}
