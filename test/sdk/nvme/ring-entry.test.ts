import * as assert from 'uvu/assert';
import { BlockOp, BlockRequest, BlockStatus, blockFlagFua } from '../../../sdk/block/request.js';
import { NvmeController } from '../../../sdk/nvme/controller.js';
import type { Namespace } from '../../../sdk/nvme/namespace.js';
import { IdentifyNamespace } from '../../../sdk/spec/nvme/identify-namespace.js';
import { Prng } from '../../../sim/prng.js';
import { suite } from '../../support/suite.js';
import { FakeFunction, type Fetched } from './fake-function.js';
import { pollUntil } from './rig.js';

const test = suite('ring entries');
const page = 4096;
const block = 512;
const blocksOfDevice = 2 ** 32 + 1_000_000;

interface Rig {
  readonly fn: FakeFunction;
  readonly controller: NvmeController;
  /** Namespace 1 without, namespace 2 with protection information of type 1: one queue pair. */
  readonly plain: Namespace;
  readonly guarded: Namespace;
}

async function rigOf(): Promise<Rig> {
  const fn = new FakeFunction();
  const controller = await NvmeController.open(fn, { queueEntries: 8 });
  const plain = await controller.namespace(1);
  fn.onIdentify = (_, words) => {
    const id = IdentifyNamespace;
    id.lbaf.item.ms.set(words, id.lbaf.at(0, 0), 8);
    id.dpsType.set(words, 0, 1);
  };
  const guarded = await controller.namespace(2, { queuePair: plain.queuePair });
  return { fn, controller, plain, guarded };
}

/** Where a command's data lies, as [NVMe-2.0 §4.1.1 PRP] wants it said. */
function pointersOf(address: number, length: number): (number | 'a list')[] {
  const inFirst = page - (address % page);
  const second = address + inFirst;
  if (length <= inFirst) return [...halves(address), 0, 0];
  if (length <= inFirst + page) return [...halves(address), ...halves(second)];
  return [...halves(address), 'a list', 'a list'];
}

const halves = (value: number) => [value % 2 ** 32, Math.floor(value / 2 ** 32)];

/** The dwords of the command for a request, from the standard alone; the identifier is left out. */
function dwordsOf(request: BlockRequest, nsid: number): (number | 'a list')[] {
  const { op, lba, blockCount } = request;
  const head = [nsid, 0, 0, 0, 0];
  if (op === BlockOp.flush) return [0x00, ...head, ...Array.from({ length: 10 }, () => 0)];
  const isRead = op === BlockOp.read;
  const fua = request.flags === blockFlagFua ? 2 ** 30 : 0;
  // PRACT, and for reads the checks of guard and reference tag.
  const action = 2 ** 29 + (isRead ? 2 ** 28 + 2 ** 26 : 0);
  const control = blockCount - 1 + fua + (nsid === 2 ? action : 0);
  const tag = nsid === 2 ? lba % 2 ** 32 : 0;
  const tail = [...halves(lba), control, 0, tag, 0];
  if (op === BlockOp.writeZeroes) return [0x08, ...head, 0, 0, 0, 0, ...tail];
  const address = request.regions[0]!.iova + request.offsets[0]!;
  return [isRead ? 0x02 : 0x01, ...head, ...pointersOf(address, request.lengths[0]!), ...tail];
}

function demand(command: Fetched, wanted: readonly (number | 'a list')[], what: string): void {
  const seen = [...command.words];
  assert.is(seen[0]! % 65536, wanted[0], `${what}: dword 0`);
  for (let i = 1; i < 16; i++) {
    const value = wanted[i]!;
    if (value === 'a list') continue;
    assert.is(seen[i], value, `${what}: dword ${i}`);
  }
  if (wanted[8] === 'a list') assert.is.not(seen[8], 0, `${what}: the list`);
}

test('every entry says all of its command and nothing of those that were in its place', async () => {
  const seed = Date.now() % 1_000_000;
  console.log(`seed ${seed}`);
  const prng = new Prng(seed, 'ring entries');
  const { fn, controller, plain, guarded } = await rigOf();
  const low = fn.dma.allocate(32 * page);
  fn.dma.nextIova = 2 ** 32 - 16 * page;
  const across = fn.dma.allocate(32 * page);
  const regions = [low, low, low, across];
  const ops = [BlockOp.read, BlockOp.write, BlockOp.flush, BlockOp.writeZeroes];
  let ended = 0;
  const requests = Array.from({ length: 5 }, () => new BlockRequest(() => ended++));
  const fill = (request: BlockRequest): void => {
    request.op = prng.below(4) > 0 ? ops[prng.below(2)]! : ops[prng.below(4)]!;
    request.flags = prng.below(3) === 0 && request.op !== BlockOp.flush ? blockFlagFua : 0;
    request.segmentCount = 0;
    request.blockCount = prng.below(3) > 0 ? 8 : 1 + prng.below(100);
    request.lba = prng.below(4) > 0 ? prng.below(1_000_000) : 2 ** 32 + prng.below(900_000);
    if (request.op === BlockOp.flush || request.op === BlockOp.writeZeroes) return;
    const length = request.blockCount * block;
    const offset = prng.below(2) === 0 ? prng.below(19) * page : prng.below(19 * page) & ~3;
    request.setData(regions[prng.below(regions.length)]!, offset, length);
  };
  for (let turn = 0; turn < 600; turn++) {
    const count = 1 + prng.below(requests.length);
    const before = fn.fetched.length;
    const wanted: (number | 'a list')[][] = [];
    ended = 0;
    for (const request of requests.slice(0, count)) {
      fill(request);
      const isGuarded = prng.below(6) === 0;
      wanted.push(dwordsOf(request, isGuarded ? 2 : 1));
      (isGuarded ? guarded : plain).submit(request);
    }
    pollUntil(plain, () => ended === count);
    for (const request of requests.slice(0, count)) assert.is(request.status, BlockStatus.ok);
    const commands = fn.fetched.slice(before);
    assert.is(commands.length, count);
    commands.forEach((command, i) => {
      demand(command, wanted[i]!, `turn ${turn}, command ${i}`);
    });
  }
  await controller.close();
});

test('an entry is written in full after a reset has wiped the ring', async () => {
  const { fn, controller, plain } = await rigOf();
  const data = fn.dma.allocate(page);
  for (let i = 0; i < 20; i++) await plain.read(8 * i, data);
  await controller.reset();
  const before = fn.fetched.length;
  await plain.read(0, data);
  const command = fn.fetched.slice(before).find((one) => one.queueId !== 0);
  assert.is(command!.words[1], 1);
  await controller.close();
});

test('data that was sound when it was set is refused when it has been freed since', async () => {
  const { fn, controller, plain } = await rigOf();
  const data = fn.dma.allocate(page);
  const request = new BlockRequest(() => {});
  request.blockCount = page / block;
  request.setData(data, 0, page);
  fn.dma.free(data);
  assert.throws(() => plain.submit(request), /freed memory/);
  await controller.close();
});

test('what is set as data is sound only as whole dwords inside its region', () => {
  const region = new FakeFunction().dma.allocate(page);
  const request = new BlockRequest(() => {});
  assert.is(request.soundBytes, -1);
  const cases: [offset: number, length: number, sound: number][] = [
    [0, page, page],
    [4, page - 4, page - 4],
    [4, page, -1],
    [-4, 512, -1],
    [2, 512, -1],
    [0.5, 512, -1],
    [Number.NaN, 512, -1],
    [0, Number.NaN, -1],
    [0, 0, -1],
    [0, 510, -1],
    [2 ** 32, 512, -1],
  ];
  for (const [offset, length, sound] of cases) {
    request.setData(region, offset, length);
    assert.is(request.soundBytes, sound, `${length} bytes at ${offset}`);
  }
});

test('the last block of a device above 2^32 blocks is named in both halves', async () => {
  const { fn, controller, plain } = await rigOf();
  const data = fn.dma.allocate(block);
  for (const lba of [blocksOfDevice - 1, 0, 2 ** 32 - 1, 2 ** 32]) {
    const before = fn.fetched.length;
    await plain.read(lba, data);
    assert.equal([...fn.fetched[before]!.words.subarray(10, 12)], halves(lba));
  }
  await controller.close();
});

test.run();
