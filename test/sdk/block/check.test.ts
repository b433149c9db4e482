import * as assert from 'uvu/assert';
import { checkRequest } from '../../../sdk/block/check.js';
import { MemoryDevice, MemorySpace } from '../../../sdk/block/memory.js';
import {
  BlockOp,
  BlockRequest,
  BlockStatus,
  blockFlagFua,
  outcomeOf,
} from '../../../sdk/block/request.js';
import { suite } from '../../support/suite.js';

const test = suite('requests that a device can be asked for');

const clock = { nowNs: () => 0, idle: () => {}, turn: async () => {} };
const device = new MemoryDevice({ blockBytes: 512, blockCount: 100, clock });
const region = device.memory.allocate(8192);

interface Asked {
  readonly lba?: number;
  readonly blockCount?: number;
  readonly flags?: number;
  readonly offset?: number;
  readonly length?: number;
  readonly memory?: typeof region;
}

function write(asked: Asked): BlockRequest {
  const { blockCount = 2, lba = 0, flags = 0, offset = 0, length = 1024, memory = region } = asked;
  const request = new BlockRequest(() => {});
  Object.assign(request, { op: BlockOp.write, lba, blockCount, flags });
  request.setData(memory, offset, length);
  return request;
}

test('a write of whole blocks inside device and memory is taken, at either end', () => {
  for (const lba of [0, 98]) checkRequest(write({ lba }), device);
  checkRequest(write({ flags: blockFlagFua, offset: 7168 }), device);
  // Not on a dword: slower for a card, and allowed.
  checkRequest(write({ offset: 1 }), device);
});

test('whatever is wrong with one value is refused', () => {
  const freed = device.memory.allocate(4096);
  device.memory.free(freed);
  const wrong: readonly [asked: Asked, error: RegExp][] = [
    [{ lba: 99 }, /2 blocks at 99/],
    [{ lba: -1 }, /2 blocks at -1/],
    [{ lba: 0.5 }, /2 blocks at 0.5/],
    [{ lba: Number.NaN }, /2 blocks at NaN/],
    [{ lba: 2 ** 53 }, /blocks 0..99/],
    [{ blockCount: 0, length: 0 }, /0 blocks/],
    [{ blockCount: 0.5, length: 256 }, /0.5 blocks/],
    [{ blockCount: 1 }, /hold 1024 bytes/],
    [{ flags: 2 }, /flag/],
    [{ offset: 7424 }, /outside its region of 8192/],
    [{ offset: -4 }, /outside its region/],
    [{ memory: freed }, /freed or foreign/],
    [{ memory: new MemorySpace().allocate(4096) }, /freed or foreign/],
  ];
  for (const [asked, error] of wrong) {
    assert.throws(() => checkRequest(write(asked), device), error, JSON.stringify(asked));
  }
});

test('a transfer larger than the limit is refused although all else is right', () => {
  const limits = { ...device.limits, maxTransferBytes: 1024 };
  const { blockBytes, blockCount, memory } = device;
  const small = Object.assign(Object.create(device), { limits, blockBytes, blockCount, memory });
  checkRequest(write({}), small);
  assert.throws(() => checkRequest(write({ blockCount: 4, length: 2048 }), small), /takes 1024/);
});

test('segments that hold more or less than the blocks of a transfer are refused', () => {
  for (const [blockCount, second] of [
    [1, 512],
    [2, 1024],
    [3, 512],
    [2, 511],
  ] as const) {
    // The first one alone is as long as one block, and whole.
    const request = write({ blockCount, length: 512 });
    request.addSegment(region, 4096, second);
    assert.throws(() => checkRequest(request, device), `hold ${512 + second} bytes`);
  }
  const fits = write({ blockCount: 2, length: 512 });
  fits.addSegment(region, 4096, 512);
  checkRequest(fits, device);
});

test('operations without data carry none, and only those that the device has are taken', () => {
  const { discard, flush, read, writeZeroes } = BlockOp;
  for (const op of [discard, writeZeroes, flush]) {
    const request = write({});
    request.op = op;
    assert.throws(() => checkRequest(request, device), /carries no data/);
    request.segmentCount = 0;
    checkRequest(request, device);
  }
  const { blockBytes, blockCount, memory } = device;
  const limits = { ...device.limits, canDiscard: false };
  const other = Object.assign(Object.create(device), { limits, blockBytes, blockCount, memory });
  const request = write({});
  request.segmentCount = 0;
  request.op = discard;
  assert.throws(() => checkRequest(request, other), /cannot do this operation/);
  request.op = writeZeroes;
  checkRequest(request, other);
  request.op = read;
  assert.throws(() => checkRequest(request, other), /1..128 segments/);
  for (const op of [0, 6, Number.NaN]) {
    Object.assign(request, { op });
    assert.throws(() => checkRequest(request, other), `operation ${op} is unknown`);
  }
});

test('each status has one outcome', () => {
  const { ok, notExecuted, unknown, ...others } = BlockStatus;
  assert.equal([ok, notExecuted, unknown].map(outcomeOf), ['completed', 'not executed', 'unknown']);
  for (const status of Object.values(others)) assert.is(outcomeOf(status), 'failed');
});

test('data that is shared is that of the other request, all segments of it', () => {
  const request = new BlockRequest(() => {});
  const other = write({});
  other.setData(region, 512, 512);
  other.addSegment(region, 4096, 512);
  request.setData(region, 0, 1024);
  request.shareData(other);
  assert.is(request.segmentCount, 2);
  assert.is(request.region, region);
  assert.equal([request.offsets[0], request.offsets[1]], [512, 4096]);
  assert.equal([request.lengths[0], request.lengths[1]], [512, 512]);
  assert.is(request.address, region.iova + 512);
  assert.is(request.soundBytes, 512);
});

test.run();
