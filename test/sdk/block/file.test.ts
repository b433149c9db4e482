import { linkSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { FileDevice } from '../../../sdk/block/file.js';
import { BlockOp, BlockRequest, BlockStatus, blockFlagFua } from '../../../sdk/block/request.js';
import { ErrorCode, UltimaError } from '../../../sdk/errors.js';
import { stillClock } from '../../support/crash-device.js';
import { suite } from '../../support/suite.js';

const test = suite('file block device');
const folder = mkdtempSync(join(tmpdir(), 'ultima-file-'));
const path = join(folder, 'disk.img');
test.after(() => rmSync(folder, { recursive: true }));

function run(device: FileDevice, op: BlockOp, lba: number, fill: number, flags = 0) {
  let ends = 0;
  const request = new BlockRequest(() => ends++);
  const region = device.memory.allocate(1024);
  region.bytes.fill(fill);
  request.op = op;
  request.lba = lba;
  request.flags = flags;
  request.blockCount = op === BlockOp.flush ? 0 : 2;
  if (op === BlockOp.read || op === BlockOp.write) {
    request.addSegment(region, 0, 300);
    request.addSegment(region, 300, 724);
  }
  device.submit(request);
  assert.is(ends, 0);
  device.poll();
  assert.is(ends, 1);
  return { status: request.status, bytes: region.bytes };
}

function isBusy(error: Error): boolean {
  return error instanceof UltimaError && error.code === ErrorCode.deviceBusy;
}

test('what is written lies in the file, at its place', () => {
  const device = new FileDevice({ path, clock: stillClock, createBytes: 64 * 512 });
  assert.is(run(device, BlockOp.write, 3, 7, blockFlagFua).status, BlockStatus.ok);
  assert.is(run(device, BlockOp.flush, 0, 0).status, BlockStatus.ok);
  const file = readFileSync(path);
  assert.is(file.length, 64 * 512);
  assert.equal([file[3 * 512 - 1], file[3 * 512], file[5 * 512 - 1], file[5 * 512]], [0, 7, 7, 0]);
  run(device, BlockOp.writeZeroes, 4, 0);
  const { bytes } = run(device, BlockOp.read, 3, 9);
  assert.equal([bytes[0], bytes[511], bytes[512], bytes[1023]], [7, 7, 0, 0]);
  device.close();
});

test('a file is not made twice, and a missing or empty one is named', () => {
  const create = () => new FileDevice({ path, clock: stillClock, createBytes: 512 });
  assert.throws(create, /disk.img/);
  const missing = join(folder, 'none.img');
  assert.throws(() => new FileDevice({ path: missing, clock: stillClock }), /none.img/);
});

test('requests beyond the end are refused; a file that has shrunk gives a status', () => {
  const device = new FileDevice({ path, clock: stillClock });
  assert.throws(() => run(device, BlockOp.read, 63, 0), /blocks 63/);
  const one = new BlockRequest(() => {});
  one.setData(device.memory.allocate(512), 0, 512);
  one.op = BlockOp.read;
  for (const [lba, blockCount] of [
    [64, 1],
    [-1, 1],
    [0, 0],
    [0, 65],
    [2 ** 53, 1],
    [0.5, 1],
  ] as const) {
    Object.assign(one, { lba, blockCount });
    assert.throws(() => device.submit(one), /of a file of 64/, `${lba}+${blockCount}`);
  }
  Object.assign(one, { lba: 63, blockCount: 1 });
  device.submit(one);
  device.poll();
  assert.is(one.status, BlockStatus.ok);
  truncateSync(path, 10 * 512);
  assert.is(run(device, BlockOp.read, 20, 0).status, BlockStatus.mediaError);
  device.close();
});

test('one writes to a file at a time, by whatever path, and nobody reads meanwhile', async () => {
  const [shared, link] = [join(folder, 'shared.img'), join(folder, 'link.img')];
  const writing = { path: shared, clock: stillClock };
  const first = await FileDevice.open({ ...writing, createBytes: 8 * 512 });
  linkSync(shared, link);
  for (const path of [shared, link]) {
    for (const isReadOnly of [false, true]) {
      await rejected(FileDevice.open({ ...writing, path, isReadOnly }), isBusy);
    }
  }
  const other = await FileDevice.open({
    ...writing,
    path: join(folder, 'b.img'),
    createBytes: 512,
  });
  first.close();
  const reading = { ...writing, isReadOnly: true };
  const readers = await Promise.all([FileDevice.open(reading), FileDevice.open(reading)]);
  const second = await FileDevice.open(writing);
  for (const device of [...readers, second, other]) device.close();
});

async function rejected(work: Promise<unknown>, isRight: (error: Error) => boolean): Promise<void> {
  const error = await work.then(
    () => null,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof Error && isRight(error), String(error));
}

test('a writer that has no time to answer is seen by who wants to read', async () => {
  const asked = join(folder, 'asked.img');
  const options = { path: asked, clock: stillClock };
  const writer = await FileDevice.open({ ...options, createBytes: 512 });
  const { dev, ino } = statSync(asked);
  // As many as nobody accepts while this goes on: the system queues 511 for a writer.
  const others = Array.from({ length: 600 }, () => {
    return connect(`\0ultima-file-${dev}-${ino}`).on('error', () => {});
  });
  await rejected(FileDevice.open({ ...options, isReadOnly: true }), isBusy);
  for (const other of others) other.destroy();
  writer.close();
});

test.run();
