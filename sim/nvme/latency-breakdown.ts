import { assert } from '../../sdk/assert.js';
import { NvmOpcode } from '../../sdk/spec/nvme/opcodes.js';
import type { Command } from './command.js';
import type { CommandObserver } from './poster.js';

/** Where the time of a command goes, in order: from its doorbell to its completion entry. */
export const latencyParts = [
  /** Arbitration, the firmware's fetch, the link. */
  'fetch',
  /** The entry on a core. */
  'decode',
  /** In line while the card's scheduler has others go first. */
  'share wait',
  /** Data pointer, data of a write over the link, map and cache on a core. */
  'prepare',
  /** In line for room in the write buffer. */
  'buffer wait',
  /** The map was read, or a free block was waited for. */
  'map',
  /** In line for the die. */
  'die wait',
  /** Cell array, retries included. */
  'array',
  /** In line for the channel, on it, and decoding. */
  'transfer',
  /** Other media time: fixed service times, programs of a write without a buffer. */
  'media',
  /** Data of a read over the link. */
  'data',
  /** The completion on a core, and its entry over the link. */
  'completion',
] as const;

const last = latencyParts.length - 1;

/**
 * Split the time of a completed command into `latencyParts`, in nanoseconds.
 *
 * @param into  Float64Array with room for every part
 * @returns     their sum, which is exactly the time from doorbell to completion entry
 */
export function splitLatency(command: Command, into: Float64Array): number {
  const mediaNs = command.mediaEndNs - command.mediaStartNs;
  const { shareNs, bufferNs, mapNs, queueNs, arrayNs, transferNs } = command;
  into[0] = command.fetchedNs - command.doorbellNs;
  into[1] = command.decodedNs - command.fetchedNs;
  into[2] = shareNs;
  into[3] = command.mediaStartNs - command.decodedNs - shareNs;
  into[4] = bufferNs;
  into[5] = mapNs;
  into[6] = queueNs;
  into[7] = arrayNs;
  into[8] = transferNs;
  into[9] = mediaNs - bufferNs - mapNs - queueNs - arrayNs - transferNs;
  into[10] = command.dataEndNs - command.mediaEndNs;
  into[11] = command.postedNs - command.dataEndNs;
  let sum = 0;
  for (let i = 0; i <= last; i++) {
    assert(into[i]! >= 0, 'a part of a latency is negative');
    sum += into[i]!;
  }
  assert(sum === command.postedNs - command.doorbellNs, 'the parts of a latency are not its whole');
  return sum;
}

/** Sums of the parts over many commands: give it to `Controller.observe`. */
export class LatencyBreakdown implements CommandObserver {
  count = 0;
  totalNs = 0;
  readonly sumsNs = new Float64Array(latencyParts.length);
  private readonly opcode: number | null;
  private readonly parts = new Float64Array(latencyParts.length);

  /** @param opcode  of the I/O commands that count; all when left out */
  constructor(opcode: number | null = null) {
    this.opcode = opcode;
  }

  completed(command: Command): void {
    if (command.queueId === 0) return;
    if (this.opcode !== null && command.opcode !== this.opcode) return;
    this.count++;
    this.totalNs += splitLatency(command, this.parts);
    for (let i = 0; i <= last; i++) this.sumsNs[i]! += this.parts[i]!;
  }

  /** Means per command in nanoseconds, by part. */
  means(): Record<string, number> {
    const means: Record<string, number> = {};
    for (const [index, name] of latencyParts.entries()) {
      means[name] = this.count === 0 ? 0 : this.sumsNs[index]! / this.count;
    }
    return means;
  }
}

/** Sums over the commands of one kind. */
export interface OperationTimes {
  readonly name: string;
  readonly count: number;
  readonly totalNs: number;
  readonly parts: readonly { readonly name: string; readonly ns: number }[];
}

/** Breakdowns of reads, of writes and of all other I/O commands. */
export class BreakdownByOperation implements CommandObserver {
  readonly read = new LatencyBreakdown(NvmOpcode.read);
  readonly write = new LatencyBreakdown(NvmOpcode.write);
  readonly other = new LatencyBreakdown();

  completed(command: Command): void {
    if (command.opcode === NvmOpcode.read) this.read.completed(command);
    else if (command.opcode === NvmOpcode.write) this.write.completed(command);
    else this.other.completed(command);
  }

  /** Of the operations that there were. The parts of each add up to its total. */
  splits(): OperationTimes[] {
    return Object.entries({ read: this.read, write: this.write, other: this.other })
      .filter(([, { count }]) => count > 0)
      .map(([name, { count, totalNs, sumsNs }]) => ({
        name,
        count,
        totalNs,
        parts: latencyParts.map((part, i) => ({ name: part, ns: sumsNs[i]! })),
      }));
  }
}
