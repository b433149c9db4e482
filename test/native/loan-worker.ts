/** A worker thread that adopts what it is sent, and does what it is told. */
import { parentPort, workerData } from 'node:worker_threads';
import { adopt } from '../../native/index.js';

export interface Answer {
  readonly iova: number;
  readonly word: number | undefined;
  readonly register: number;
  readonly isRemoved: boolean;
}

const port = parentPort;
if (port === null) throw new Error('this runs in a worker thread');

const fn = adopt(workerData);
const region = fn.dma.allocate(8192);

port.on('message', (what: unknown) => {
  if (what === 'stamp') region.words.fill(0x5eed_0001);
  if (what === 'ring') fn.bar(0).write32(8, 0x1234_5678);
  if (what === 'close') fn.close().catch(() => {});
  if (what === 'spin') for (;;) region.words[0]!++;
  if (what === 'leave') port.close();
  const { iova } = region;
  const { isRemoved } = fn;
  const answer: Answer = {
    iova,
    word: region.words[1],
    register: fn.bar(0).read32(12),
    isRemoved,
  };
  port.postMessage(answer);
});

port.postMessage('adopted');
