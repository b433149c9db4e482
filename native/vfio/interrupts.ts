import { assert } from '../../sdk/assert.js';
import type { Clock, Interrupts } from '../../sdk/device.js';
import { ErrorCode, UltimaError } from '../../sdk/errors.js';
import { errnoText, type Kernel, type Watcher } from '../kernel.js';
import { VfioIrq } from '../uapi/vfio.js';
import type { IrqIndex } from './device.js';

/** One MSI-X vector: the eventfd that it signals, and who waits for it. */
interface Vector {
  readonly eventfd: number;
  /** Made for the first wait, and kept: whoever polls has none. */
  watcher: Watcher | null;
  /** Fired, seen by the watcher and not taken yet. */
  isPending: boolean;
  /** How often the watcher saw it fire. */
  fireCount: number;
  isMasked: boolean;
  waiters: (() => void)[];
}

/** The interrupts of a device, as its owner connects them. */
export interface IrqControl {
  irq(index: number): Pick<IrqIndex, 'count'>;
  setEventfds(index: number, eventfds: readonly number[]): void;
  trigger(index: number, vector: number): void;
}

/**
 * MSI-X vectors as eventfds, all connected in one call. The kernel owns the vector table, so a mask
 * is ours: a masked vector that fires stays pending and is seen once it is unmasked. A wait costs
 * one call into the addon, which empties the eventfd.
 */
export class VfioInterrupts implements Interrupts {
  readonly vectorCount: number;
  private readonly kernel: Kernel;
  private readonly device: IrqControl;
  private readonly clock: Clock;
  private vectors: Vector[] = [];

  constructor(kernel: Kernel, device: IrqControl, clock: Clock) {
    this.kernel = kernel;
    this.device = device;
    this.clock = clock;
    this.vectorCount = device.irq(VfioIrq.msix).count;
  }

  enable(count: number): void {
    if (!Number.isInteger(count) || count < 0 || count > this.vectorCount) {
      throw new RangeError(`${count} vectors asked for, the function has ${this.vectorCount}`);
    }
    this.disable();
    const eventfds: number[] = [];
    try {
      for (let i = 0; i < count; i++) eventfds.push(this.newEventfd());
      if (count > 0) this.device.setEventfds(VfioIrq.msix, eventfds);
    } catch (error) {
      for (const fd of eventfds) this.kernel.close(fd);
      throw error;
    }
    this.vectors = eventfds.map((eventfd) => ({
      eventfd,
      watcher: null,
      isPending: false,
      fireCount: 0,
      isMasked: false,
      waiters: [],
    }));
  }

  take(vector: number): boolean {
    const state = this.vector(vector);
    if (state.isMasked) return false;
    return takePending(state) || this.kernel.takeEvent(state.eventfd) > 0;
  }

  mask(vector: number): void {
    this.vector(vector).isMasked = true;
  }

  unmask(vector: number): void {
    const state = this.vector(vector);
    state.isMasked = false;
    for (const wake of state.waiters.splice(0)) wake();
  }

  /**
   * Sleeps in the event loop: an idle driver costs no processor time. Queues may share a vector:
   * whoever waits when it fires is told, whoever of them takes it.
   */
  async wait(vector: number, untilNs: number): Promise<boolean> {
    const state = this.vector(vector);
    const { fireCount } = state;
    for (;;) {
      if (this.vectors[vector] !== state) return false;
      // What fires while there is a watcher reaches it: nothing is missed without a call.
      if (state.watcher === null ? this.take(vector) : takePending(state)) return true;
      if (state.fireCount !== fireCount && !state.isMasked) return true;
      const leftNs = untilNs - this.clock.nowNs();
      if (leftNs <= 0) return false;
      await this.sleep(state, leftNs);
    }
  }

  /** The descriptors of the vectors that are enabled. */
  get eventfds(): readonly number[] {
    return this.vectors.map(({ eventfd }) => eventfd);
  }

  /** Fire a vector from software, through the kernel. */
  trigger(vector: number): void {
    this.vector(vector);
    this.device.trigger(VfioIrq.msix, vector);
  }

  close(): void {
    this.disable();
  }

  private sleep(state: Vector, leftNs: number): Promise<void> {
    return new Promise((resolve) => {
      // A timer keeps at most 2^31 - 1 ms; a longer wait looks again after that.
      const limitMs = Math.min(Math.ceil(leftNs / 1e6), 2 ** 31 - 1);
      const wake = (): void => {
        clearTimeout(timer);
        state.waiters = state.waiters.filter((waiter) => waiter !== wake);
        resolve();
      };
      // The timer keeps the process alive meanwhile, as a watcher does not.
      const timer = setTimeout(wake, limitMs);
      state.waiters.push(wake);
      state.watcher ??= this.kernel.watch(state.eventfd, () => this.fired(state));
    });
  }

  private fired(state: Vector): void {
    if (this.kernel.takeEvent(state.eventfd) === 0) return;
    state.isPending = true;
    state.fireCount++;
    if (state.isMasked) return;
    for (const wake of [...state.waiters]) wake();
  }

  private stopWatching(state: Vector): void {
    state.watcher?.close();
    state.watcher = null;
  }

  private disable(): void {
    if (this.vectors.length === 0) return;
    const vectors = this.vectors;
    this.vectors = [];
    for (const state of vectors) {
      this.stopWatching(state);
      for (const wake of state.waiters.splice(0)) wake();
    }
    // A device that is gone refuses; its descriptors are closed all the same.
    try {
      this.device.setEventfds(VfioIrq.msix, []);
    } finally {
      for (const state of vectors) this.kernel.close(state.eventfd);
    }
  }

  private newEventfd(): number {
    const fd = this.kernel.eventfd();
    if (fd >= 0) return fd;
    throw new UltimaError(
      ErrorCode.backendUnavailable,
      `no descriptor for an interrupt: ${errnoText(fd)}; raise the limit of open files (ulimit -n)`,
      { errno: errnoText(fd) },
    );
  }

  private vector(index: number): Vector {
    const state = this.vectors[index];
    if (state === undefined) throw new RangeError(`vector ${index} is not enabled`);
    assert(state.eventfd >= 0, 'an enabled vector has an eventfd');
    return state;
  }
}

function takePending(state: Vector): boolean {
  if (state.isMasked || !state.isPending) return false;
  state.isPending = false;
  return true;
}
