/**
 * A client that writes until it is killed: `node client-process.js ADDRESS LANES FIRST-TAG`. Each
 * lane is a run of blocks of its own, written one after the other; what has completed is told to
 * the parent, as far as the parent still hears of it.
 */
import { NvmeController } from '../../../sdk/nvme/controller.js';
import { open } from '../../../sdk/open.js';
import { blockBytes, fillBlocks } from '../block-model.js';

export interface Told {
  readonly lane: number;
  /** Writes of the lane that have completed. */
  readonly completed: number;
}

export const laneBlocks = 8;
/** First block of a lane; lanes lie apart. */
export function laneStart(lane: number): number {
  return 4096 + 64 * lane;
}
/** Tag of a write: lanes alternate, and rise. */
export function laneTag(firstTag: number, lanes: number, lane: number, index: number): number {
  return firstTag + index * lanes + lane;
}

async function write(address: string, lanes: number, firstTag: number): Promise<never> {
  const controller = await NvmeController.open(await open(address));
  const namespace = await controller.namespace(1);
  process.send?.('open');
  const lane = async (index: number): Promise<never> => {
    const data = new Uint8Array(laneBlocks * blockBytes);
    const lba = laneStart(index);
    for (let completed = 0; ; completed++) {
      fillBlocks(data, lba, laneBlocks, laneTag(firstTag, lanes, index, completed));
      await namespace.write(lba, data, { isFua: true });
      const told: Told = { lane: index, completed: completed + 1 };
      // On its way before the next write begins: what is told may be one write behind, not many.
      await new Promise((resolve) => process.send?.(told, resolve));
    }
  };
  return Promise.race(Array.from({ length: lanes }, (_, index) => lane(index)));
}

if (process.send !== undefined) {
  const [address = '', lanes = '', firstTag = ''] = process.argv.slice(2);
  await write(address, Number(lanes), Number(firstTag));
}
