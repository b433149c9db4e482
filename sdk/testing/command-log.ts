import type { RawObserver } from '../nvme/raw-queue.js';
import { commandLine, completionLine } from '../spec/decode.js';
import { commandDwords } from '../spec/nvme/command.js';
import { completionDwords } from '../spec/nvme/completion.js';
import type { QueueKind } from '../spec/nvme/opcodes.js';

interface LogSlot {
  queueId: number;
  isCommand: boolean;
  atNs: number;
  readonly words: Uint32Array;
}

/** The last commands and completions of a controller, printed when something went wrong. */
export class CommandLog implements RawObserver {
  private readonly slots: LogSlot[];
  private count = 0;

  constructor(slotCount = 256) {
    this.slots = Array.from({ length: slotCount }, () => ({
      queueId: 0,
      isCommand: false,
      atNs: 0,
      words: new Uint32Array(commandDwords),
    }));
  }

  posted(queueId: number, words: Uint32Array, atNs: number): void {
    this.slot(queueId, true, atNs).words.set(words);
  }

  completed(queueId: number, words: Uint32Array, atNs: number): void {
    this.slot(queueId, false, atNs).words.set(words.subarray(0, completionDwords));
  }

  /** Oldest first, at most `limit` of the newest lines. */
  lines(limit = this.slots.length): string[] {
    const kept = Math.min(this.count, this.slots.length, limit);
    return Array.from({ length: kept }, (_, i) => {
      const slot = this.slots[(this.count - kept + i) % this.slots.length]!;
      const kind: QueueKind = slot.queueId === 0 ? 'admin' : 'nvm';
      const head = `${(slot.atNs / 1000).toFixed(3).padStart(14)} µs`;
      return slot.isCommand
        ? `${head} sq ${slot.queueId} > ${commandLine(slot.words, 0, kind)}`
        : `${head} cq ${slot.queueId} < ${completionLine(slot.words, 0)}`;
    });
  }

  private slot(queueId: number, isCommand: boolean, atNs: number): LogSlot {
    const slot = this.slots[this.count++ % this.slots.length]!;
    slot.queueId = queueId;
    slot.isCommand = isCommand;
    slot.atNs = atNs;
    return slot;
  }
}
