import * as assert from 'uvu/assert';
import type { NativeKernel } from '../../native/kernel.js';
import { loadAddon } from '../../native/load.js';
import { type IrqControl, VfioInterrupts } from '../../native/vfio/interrupts.js';
import type { Clock } from '../../sdk/device.js';
import { CompletionQueue } from '../../sdk/nvme/completion-queue.js';
import { DataPointers } from '../../sdk/nvme/data-pointer.js';
import type { CompletionMode } from '../../sdk/nvme/options.js';
import { QueuePair } from '../../sdk/nvme/queue-pair.js';
import { SubmissionQueue } from '../../sdk/nvme/submission-queue.js';
import { Cqe, completionDwords } from '../../sdk/spec/nvme/completion.js';
import { FakeMemory } from '../sdk/nvme/fake-memory.js';
import { skip, suite } from '../support/suite.js';

const test = suite('waking a queue pair');
const loaded = loadAddon();
const entries = 8;
/** Rounds of the event loop in which a wake-up must come; it comes in the next but one. */
const patience = 50;
/** Steps of one wait: looks at the clock, turns, reads of the eventfd, watchers. */
const stepCount = 14;

/** A device that posts an entry and signals a real eventfd at a chosen step of a wait. */
class Bench {
  readonly pair: QueuePair;
  readonly memory = new FakeMemory();
  readonly interrupts: VfioInterrupts;
  private readonly kernel: NativeKernel;
  private readonly completion: CompletionQueue;
  private eventfds: readonly number[] = [];
  private nowNs = 0;
  private step = 0;
  private postAt = 0;
  private tail = 0;

  constructor(kernel: NativeKernel, mode: CompletionMode) {
    this.kernel = kernel;
    const clock: Clock = {
      nowNs: () => this.stepped(() => (this.nowNs += 1000)),
      idle() {},
      turn: () => this.stepped(() => new Promise((resolve) => setImmediate(resolve))),
    };
    const watched: NativeKernel = Object.create(kernel, {
      takeEvent: { value: (fd: number) => this.stepped(() => kernel.takeEvent(fd)) },
      watch: {
        value: (fd: number, heard: () => void) => this.stepped(() => kernel.watch(fd, heard)),
      },
    });
    const control: IrqControl = {
      irq: () => ({ count: 1 }),
      setEventfds: (_, fds) => {
        this.eventfds = fds;
      },
      trigger() {},
    };
    this.interrupts = new VfioInterrupts(watched, control, clock);
    this.interrupts.enable(1);
    const bar = { index: 0, length: 8192, read32: () => 0, write32() {} };
    const ring = { id: 1, entries, bar, doorbell: 0, clock };
    this.completion = new CompletionQueue({
      ...ring,
      region: this.memory.allocate(entries * completionDwords * 4),
      vector: 0,
      hasInterrupt: true,
      misbehaved() {},
    });
    const region = this.memory.allocate(4096);
    const submission = new SubmissionQueue({ ...ring, region, completion: this.completion });
    this.pair = new QueuePair({
      submission,
      completion: this.completion,
      data: new DataPointers(this.memory, {
        pageBytes: 4096,
        slotCount: 1,
        listPages: 1,
        sglAlignment: 0,
      }),
      mode,
      clock,
      ownsCompletion: true,
      priority: 0,
      keeper: { tick() {}, isRecovering: false, isRemoved: false },
      interrupts: this.interrupts,
    });
  }

  /**
   * Wait as the driver does, until an entry is found that comes at a step, or when nothing goes on.
   *
   * @returns whether it was found
   */
  async finds(postAt: number): Promise<boolean> {
    this.step = 0;
    this.postAt = postAt;
    for (let isOver = false; ; ) {
      if (this.pair.poll() > 0) return true;
      const idle = this.pair.idle(Number.MAX_SAFE_INTEGER).then(() => {
        isOver = true;
      });
      isOver = false;
      for (let i = 0; i < patience && !isOver; i++) {
        await new Promise((resolve) => setImmediate(resolve));
        // Asleep before that step: it comes while nothing goes on.
        if (i === 3 && this.postAt > 0) this.post();
      }
      if (!isOver) return false;
      await idle;
    }
  }

  /** Before and after each thing that a wait does. */
  private stepped<T>(action: () => T): T {
    if (++this.step === this.postAt) this.post();
    const result = action();
    if (++this.step === this.postAt) this.post();
    return result;
  }

  private post(): void {
    this.postAt = 0;
    const { words } = this.completion;
    Cqe.sqid.set(words, (this.tail % entries) * completionDwords, 1);
    const phase = Math.floor(this.tail / entries) % 2 === 0 ? 1 : 0;
    Cqe.p.set(words, (this.tail % entries) * completionDwords, phase);
    this.tail++;
    this.kernel.signalEvent(this.eventfds[0]!);
  }
}

for (const mode of ['hybrid', 'interrupt'] as const) {
  test(`${mode}: an entry is found whenever it comes between two looks`, async () => {
    const { kernel } = loaded;
    if (kernel === null) return skip(`native addon: ${loaded.unavailableReason}`);
    // What one wait leaves behind, a watcher or an interrupt that is not taken, meets the next.
    for (let first = 1; first <= stepCount; first++) {
      for (let second = 1; second <= stepCount; second++) {
        const bench = new Bench(kernel, mode);
        try {
          for (const step of [first, second, first, second]) {
            const isFound = await bench.finds(step);
            assert.ok(isFound, `lost at steps ${first} and ${second}`);
          }
        } finally {
          bench.interrupts.close();
        }
      }
    }
  });
}

test.run();
