import * as assert from 'uvu/assert';
import type { BlockDevice } from '../../../sdk/block/device.js';
import { readBlocks } from '../../../sdk/block/promised.js';
import { BlockOp, BlockRequest, BlockStatus } from '../../../sdk/block/request.js';
import { fabricRig, nguidOf, rigClock, until } from '../../support/fabric-rig.js';
import { suite } from '../../support/suite.js';
import { TakenDevice, TakenSpace } from '../../support/taken-memory.js';

/** More than a capsule carries. */
const blockCount = 32;
const size = 4096;

/** A request, not submitted yet, and what becomes of it. */
function prepare(device: BlockDevice, op: BlockOp, lba: number) {
  const ended = { isOver: false, status: -1 };
  const request = new BlockRequest(({ status }) => {
    ended.isOver = true;
    ended.status = status;
  });
  request.op = op;
  request.lba = lba;
  request.blockCount = blockCount;
  const region = device.memory.allocate(blockCount * size);
  region.bytes.fill(7);
  request.setData(region, 0, blockCount * size);
  return { request, ended };
}

function submit(device: BlockDevice, op: BlockOp, lba: number) {
  const { request, ended } = prepare(device, op, lba);
  device.submit(request);
  return ended;
}

const test = suite('NVMe/TCP over memory that goes');

test('a target whose card is closed throws nothing, and its hosts hear no wrong data', async () => {
  const space = new TakenSpace();
  const device = new TakenDevice(space, rigClock, 256);
  const namespaces = [{ nsid: 1, device, nguid: nguidOf(1) }];
  const rig = await fabricRig({ namespaces });
  const host = await rig.connect();
  const there = host.namespace(1);
  // Memory that is kept for the next commands.
  await readBlocks(there, 0, new Uint8Array(size));
  device.isHeld = true;
  const before = [submit(there, BlockOp.read, 0), submit(there, BlockOp.write, 64)];
  await until('they are at the device', () => {
    there.poll();
    return device.submitted === 3;
  });
  space.close();
  device.isHeld = false;
  // For some of them there is memory of before, for others there is none.
  const after = [0, 32, 64, 96].flatMap((lba) => [
    submit(there, BlockOp.read, lba),
    submit(there, BlockOp.write, lba),
  ]);
  for (let i = 0; i < 200; i++) {
    there.poll();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await host.close();
  there.poll();
  for (const { isOver, status } of [...before, ...after]) {
    assert.ok(isOver);
    assert.is.not(status, 0);
  }
  await rig.close();
});

test('a host whose memory goes sends none of what lay there', async () => {
  const rig = await fabricRig({
    namespaces: [
      { nsid: 1, device: new TakenDevice(new TakenSpace(), rigClock, 256), nguid: nguidOf(1) },
    ],
  });
  const space = new TakenSpace();
  const host = await rig.connect({ memory: space });
  const there = host.namespace(1);
  const write = submit(there, BlockOp.write, 0);
  const late = prepare(there, BlockOp.write, 64);
  there.poll();
  space.close();
  there.submit(late.request);
  there.poll();
  assert.is(late.ended.status, BlockStatus.notExecuted);
  for (let i = 0; i < 200; i++) {
    there.poll();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await host.close();
  there.poll();
  assert.ok(write.isOver);
  const other = await rig.connect();
  const bytes = new Uint8Array(blockCount * size);
  await readBlocks(other.namespace(1), 0, bytes);
  assert.ok(bytes.every((byte) => byte === 0));
  await rig.close();
});

test.run();
