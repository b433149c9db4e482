/** A worker thread that writes and verifies blocks of its own until it is told to stop. */
import { parentPort, workerData } from 'node:worker_threads';
import { adopt, type LoanDescription } from '../../native/index.js';
import type { DmaRegion } from '../../sdk/device.js';
import { UltimaError } from '../../sdk/errors.js';
import type { Namespace } from '../../sdk/nvme/namespace.js';
import { borrowNamespace } from '../../sdk/nvme/queue-borrower.js';

export interface Task {
  readonly loan: LoanDescription;
  readonly firstLba: number;
}

/** After each round, and once more at the end. */
export interface Progress {
  readonly round: number;
  /** Rounds that a reset has cut short. */
  readonly lost: number;
  readonly isEnded: boolean;
}

const pieceBytes = 32 * 1024;
const pieceCount = 16;
const batch = 4;

const port = parentPort;
if (port === null) throw new Error('this runs in a worker thread');
const { loan, firstLba }: Task = workerData;
let isStopped = false;
port.on('message', (what: unknown) => {
  isStopped ||= what === 'stop';
});

const fn = adopt(loan);
const borrowed = await borrowNamespace({ fn, port, nsid: 1, entries: 32 });
const { namespace } = borrowed;
const regions = Array.from({ length: batch }, () => namespace.memory.allocate(pieceBytes));
let round = 0;
let lost = 0;
while (!isStopped) {
  round++;
  try {
    await writeAndVerify(namespace, round);
    report(false);
  } catch (error) {
    // A reset in the other thread: what was in flight is unknown, and the next round goes on.
    if (!(error instanceof UltimaError) || error.code !== 'COMMAND_ABORTED') throw error;
    lost++;
    await namespace.clock.turn(namespace.clock.nowNs() + 5_000_000);
  }
}
await borrowed.close();
await fn.close();
report(true);
port.close();

function report(isEnded: boolean): void {
  const progress: Progress = { round, lost, isEnded };
  port?.postMessage(progress);
}

async function writeAndVerify(device: Namespace, generation: number): Promise<void> {
  const blocks = pieceBytes / device.blockBytes;
  for (const isWrite of [true, false]) {
    for (let first = 0; first < pieceCount; first += batch) {
      const work = regions.map(async (region, i) => {
        const lba = firstLba + (first + i) * blocks;
        const data = [{ region, offset: 0, length: pieceBytes }];
        if (isWrite) {
          stamp(region, lba, generation);
          await device.write(lba, data);
        } else {
          region.words.fill(0);
          await device.read(lba, data);
          verify(region, lba, generation);
        }
      });
      const results = await Promise.allSettled(work);
      for (const result of results) if (result.status === 'rejected') throw result.reason;
    }
  }
}

function stamp({ words }: DmaRegion, lba: number, generation: number): void {
  for (let i = 0; i < words.length; i++) words[i] = wordOf(lba, generation, i);
}

function verify({ words }: DmaRegion, lba: number, generation: number): void {
  for (let i = 0; i < words.length; i++) {
    if (words[i] === wordOf(lba, generation, i)) continue;
    throw new Error(`block ${lba}, word ${i}: ${words[i]} is not of round ${generation}`);
  }
}

function wordOf(lba: number, generation: number, i: number): number {
  return (lba * 2_654_435_761 + generation * 40_503 + i) >>> 0;
}
