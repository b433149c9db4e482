import * as assert from 'uvu/assert';
import { MemoryDevice } from '../../../sdk/block/memory.js';
import {
  discardBlocks,
  flushBlocks,
  readBlocks,
  writeBlocks,
} from '../../../sdk/block/promised.js';
import { BlockOp, BlockRequest, blockFlagFua } from '../../../sdk/block/request.js';
import { RawArea } from '../../../sdk/mirror/raw-area.js';
import { World } from '../../../sim/world.js';
import { suite } from '../../support/suite.js';

const test = suite('area of a raw device');

/** Notes what it is asked for. */
class NotingDevice extends MemoryDevice {
  readonly asked: [op: number, lba: number, flags: number][] = [];

  override submit(request: BlockRequest): void {
    this.asked.push([request.op, request.lba, request.flags]);
    super.submit(request);
  }
}

function areaOn(hasVolatileCache: boolean) {
  const { clock } = new World();
  const below = new NotingDevice({ blockBytes: 512, blockCount: 64, clock });
  Object.assign(below, { limits: { ...below.limits, hasVolatileCache } });
  const area = new RawArea(below, { firstBlock: 16, blockCount: 32, maxInFlight: 2 });
  return { below, area };
}

test('writes say that they are durable, discards are zeroes, and all lie behind the first block', async () => {
  for (const hasVolatileCache of [false, true]) {
    const { below, area } = areaOn(hasVolatileCache);
    const fua = hasVolatileCache ? blockFlagFua : 0;
    await writeBlocks(area, 3, new Uint8Array(512).fill(7));
    await discardBlocks(area, { lba: 31, blockCount: 1 });
    await readBlocks(area, 3, new Uint8Array(512));
    await flushBlocks(area);
    assert.equal(below.asked, [
      [BlockOp.write, 19, fua],
      [BlockOp.writeZeroes, 47, fua],
      [BlockOp.read, 19, 0],
      [BlockOp.flush, 0, 0],
    ]);
    assert.not.ok(area.limits.hasVolatileCache);
    const back = new Uint8Array(512);
    await readBlocks(below, 19, back);
    assert.is(back[0], 7);
  }
});

test('blocks beyond the end of the area, and more requests than it takes, are refused', () => {
  const { area } = areaOn(true);
  const request = (lba: number): BlockRequest => {
    const made = new BlockRequest(() => {});
    Object.assign(made, { op: BlockOp.writeZeroes, lba, blockCount: 1 });
    return made;
  };
  assert.throws(() => area.submit(request(32)), /blocks 0..31/);
  for (const lba of [0, 1]) area.submit(request(lba));
  assert.not.ok(area.canSubmit());
  assert.throws(() => area.submit(request(2)), /2 requests are in flight/);
  area.poll();
  assert.ok(area.canSubmit());
});

test.run();
