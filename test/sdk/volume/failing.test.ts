import * as assert from 'uvu/assert';
import { BlockOp, BlockRequest, BlockStatus, blockFlagFua } from '../../../sdk/block/request.js';
import { placeOf } from '../../../sdk/volume/format.js';
import { Pool } from '../../../sdk/volume/pool.js';
import type { Volume } from '../../../sdk/volume/volume.js';
import { Prng } from '../../../sim/prng.js';
import { CrashCuts } from '../../support/crash-cuts.js';
import { CrashDevice } from '../../support/crash-device.js';
import { suite } from '../../support/suite.js';
import { stampSectors } from '../../support/volume-model.js';
import { namedDevices, readVersions, runRequest } from '../../support/volume-rig.js';
import { codeOf, MiB } from './rig.js';

const test = suite('devices that fail');

const firstBytes = MiB / 2;
const secondBytes = 2 * MiB;
const allBytes = firstBytes + secondBytes;
const sectors = 512;

/** Two devices in one image; the first one has hardly room for more than the journal. */
function disksOn(image: Uint8Array): [CrashDevice, CrashDevice] {
  const common = { blockBytes: 512 };
  const first = new CrashDevice({ ...common, bytes: firstBytes }, image);
  const second = new CrashDevice({ ...common, bytes: secondBytes, at: firstBytes }, image);
  second.log = first.log;
  return [first, second];
}

/** What a sector may hold: what is durable, and what was sent since. */
class Judge {
  readonly durable: Set<number>[] = Array.from({ length: sectors }, () => new Set([0]));
  readonly content: Set<number>[] = Array.from({ length: sectors }, () => new Set([0]));
  readonly since: Set<number>[] = Array.from({ length: sectors }, () => new Set());
  /** Snapshots of which it was said that they are there, with what they may hold. */
  readonly snapshots = new Map<string, Set<number>[]>();

  sent(first: number, count: number, version: number, isOk: boolean): void {
    for (let i = first; i < first + count; i++) {
      this.since[i]!.add(version);
      if (isOk) this.content[i]!.clear();
      this.content[i]!.add(version);
    }
  }

  isDurable(first = 0, count = sectors): void {
    for (let i = first; i < first + count; i++) {
      this.durable[i] = new Set(this.content[i]);
      this.since[i]!.clear();
    }
  }

  demand(versions: Int32Array, from: Set<number>[] | null, what: string): void {
    for (const [i, version] of versions.entries()) {
      const allowed = from?.[i] ?? new Set([...this.durable[i]!, ...this.since[i]!]);
      if (allowed.has(version)) continue;
      assert.unreachable(`${what}: sector ${i} has ${version}, expected ${[...allowed]}`);
    }
  }
}

class Work {
  readonly judge = new Judge();
  private readonly pool: Pool;
  private readonly volume: Volume;
  private version = 0;

  constructor(pool: Pool) {
    this.pool = pool;
    this.volume = pool.volume('a');
  }

  async run(): Promise<void> {
    await this.write(0, 32);
    await this.snapshot('s');
    await this.write(4, 20, true);
    await this.write(128, 200);
    await this.plain(BlockOp.flush, 0, 0);
    await this.plain(BlockOp.discard, 128, 128);
    await this.write(3, 2, true);
    await this.mayFail(() => this.pool.checkpoint());
    await this.write(300, 50);
    await this.snapshot('t');
    await this.write(8, 8);
    if (await this.mayFail(() => this.pool.deleteSnapshot('a', 's'))) {
      this.judge.snapshots.delete('a@s');
      this.judge.isDurable();
    } else this.judge.snapshots.delete('a@s');
    await this.write(0, 16, true);
    await this.plain(BlockOp.flush, 0, 0);
    await this.write(40, 1);
  }

  private async write(first: number, count: number, isFua = false): Promise<void> {
    const version = ++this.version;
    const region = this.volume.memory.allocate(count * 512);
    stampSectors(region.bytes, first, version);
    const wanted = { op: BlockOp.write, lba: first, count, region, isFua };
    const isOk = (await runRequest(this.volume, wanted)) === BlockStatus.ok;
    this.judge.sent(first, count, version, isOk);
    if (isOk && isFua) this.judge.isDurable(first, count);
  }

  private async plain(op: BlockOp, lba: number, count: number): Promise<void> {
    const isOk = (await runRequest(this.volume, { op, lba, count })) === BlockStatus.ok;
    if (op === BlockOp.discard) this.judge.sent(lba, count, 0, isOk);
    else if (isOk) this.judge.isDurable();
  }

  private async snapshot(name: string): Promise<void> {
    const content = this.judge.content.map((some) => new Set(some));
    if (!(await this.mayFail(() => this.pool.takeSnapshot([{ volume: 'a', name }])))) return;
    this.judge.snapshots.set(`a@${name}`, content);
    this.judge.isDurable();
  }

  private async mayFail(work: () => Promise<unknown>): Promise<boolean> {
    const code = await codeOf(work());
    assert.ok(code === '' || code === 'POOL_READ_ONLY', code);
    return code === '';
  }
}

async function blankPool(): Promise<Uint8Array> {
  const image = new Uint8Array(allBytes);
  const disks = disksOn(image);
  const chance = new Prng(1, 'identity');
  const options = { journalBytes: 64 * 1024, random: (b: Uint8Array) => chance.fill(b) };
  const pool = await Pool.create(disks, options);
  await pool.createVolume({ name: 'a', bytes: sectors * 512, blockBytes: 512 });
  await pool.close();
  return image;
}

interface Outcome {
  /** Requests that could have failed. */
  readonly count: number;
  readonly failure: string;
}

/** Fail the one at `at` of all writes and flushes, or all from there on; then cut the supply. */
async function runWithFault(blank: Uint8Array, at: number, isForEver: boolean): Promise<Outcome> {
  const disks = disksOn(blank.slice());
  const pool = await Pool.open(disks);
  const base = disks[0].image.slice();
  let count = 0;
  const fault = ({ op }: BlockRequest): BlockStatus | null => {
    if (op === BlockOp.read) return null;
    const isHere = isForEver ? count >= at : count === at;
    count++;
    return isHere ? BlockStatus.deviceError : null;
  };
  for (const disk of disks) Object.assign(disk, { fault, isLogging: true });
  const work = new Work(pool);
  await work.run();
  const { judge } = work;
  judge.demand(await readVersions(pool.volume('a')), judge.content, `fault ${at}, in use`);
  for (const disk of disks) disk.forget();
  const cuts = new CrashCuts(disks[0].log, base, 512);
  cuts.advanceTo(disks[0].log.length);
  for (const hasOpen of [false, true]) {
    const image = cuts.image.slice();
    for (const { write, blocks } of hasOpen ? cuts.open() : []) {
      for (const block of blocks) {
        image.set(write.data.subarray(block, block + 512), write.at + block);
      }
    }
    const again = await Pool.open(disksOn(image));
    const what = `fault ${at}${isForEver ? ' and later' : ''}, open writes ${hasOpen}`;
    assert.is(again.failure, '', what);
    assert.equal(again.findings, [], what);
    assert.equal(await again.check(), [], what);
    judge.demand(await readVersions(again.volume('a')), null, what);
    const found = namedDevices(again);
    for (const [name, content] of judge.snapshots) {
      assert.ok(found.has(name), `${what}: ${name} is lost`);
      judge.demand(await readVersions(found.get(name)!), content, `${what}: ${name}`);
    }
  }
  return { count, failure: pool.failure };
}

test('whatever write or flush fails, once or for ever, nothing that was acknowledged is lost', async () => {
  const blank = await blankPool();
  const { count, failure } = await runWithFault(blank, Number.POSITIVE_INFINITY, false);
  assert.is(failure, '');
  assert.ok(count > 30, `${count} requests`);
  const reasons = new Set<string>();
  for (let at = 0; at < count; at++) {
    for (const isForEver of [false, true]) {
      const outcome = await runWithFault(blank, at, isForEver);
      reasons.add(outcome.failure.replace(/ ended with status \d+/, ''));
    }
  }
  assert.equal([...reasons].sort(), [
    '',
    'a flush',
    'flushing a checkpoint',
    'writing a checkpoint',
    'writing a superblock',
    'writing the journal',
  ]);
});

test('a checkpoint that finds no place fails the pool, and writes over nothing', async () => {
  // Both copies of the image need one each.
  for (const left of [0, 1]) {
    const disks = disksOn(await blankPool());
    const pool = await Pool.open(disks);
    await new Work(pool).run();
    const before = disks[0].image.slice(0, 65_536);
    const { units } = pool.core;
    const allocate = units.allocate.bind(units);
    let count = 0;
    units.allocate = () => (count++ < left ? allocate() : 0);
    assert.is(await codeOf(pool.checkpoint()), 'POOL_READ_ONLY');
    assert.match(pool.failure, /^no unit is left for the metadata of a checkpoint/);
    assert.is(Buffer.compare(before, disks[0].image.subarray(0, 65_536)), 0, `${left} units`);
    const again = await Pool.open(disksOn(disks[0].image.slice()));
    assert.equal(await again.check(), []);
  }
});

/** Keeps writes of superblocks to itself for as long as it is told to. */
class LateSuperblocks extends CrashDevice {
  isLate = true;
  private readonly late: BlockRequest[] = [];

  override submit(request: BlockRequest): void {
    const [first] = placeOf.superblocks;
    const isOne = request.op === BlockOp.write && Math.floor(request.lba / 8) < first + 4;
    if (this.isLate && isOne) this.late.push(request);
    else super.submit(request);
  }

  release(): void {
    this.isLate = false;
    for (const request of this.late.splice(0)) super.submit(request);
  }
}

/** Writes with FUA to cell after cell until the journal takes no more: the last one still waits. */
async function fullJournal(disk: LateSuperblocks, pool: Pool): Promise<BlockRequest> {
  const volume = pool.volume('a');
  disk.isLogging = true;
  // All of the ring is free, and stays in use from here on.
  const checkpoint = pool.checkpoint();
  while (!pool.core.checkpointer.isRunning) await null;
  for (let cell = 0; ; cell++) {
    const region = volume.memory.allocate(4096);
    stampSectors(region.bytes, cell * 8, cell + 1);
    let isEnded = false;
    const request = new BlockRequest(() => {
      isEnded = true;
    });
    request.op = BlockOp.write;
    request.lba = cell * 8;
    request.blockCount = 8;
    request.flags = blockFlagFua;
    request.setData(region, 0, 4096);
    volume.submit(request);
    for (let i = 0; i < 20; i++) {
      volume.poll();
      await null;
    }
    if (isEnded) continue;
    disk.release();
    for (let i = 0; i < 100; i++) volume.poll();
    assert.ok(isEnded, 'what waits for the journal never ends');
    await codeOf(checkpoint);
    return request;
  }
}

async function poolWithLateSuperblocks(): Promise<[LateSuperblocks, Pool, Uint8Array]> {
  const disk = new LateSuperblocks({ blockBytes: 512, bytes: 2 * MiB });
  disk.isLate = false;
  const chance = new Prng(1, 'identity');
  const options = { journalBytes: 64 * 1024, random: (b: Uint8Array) => chance.fill(b) };
  const pool = await Pool.create([disk], options);
  await pool.createVolume({ name: 'a', bytes: sectors * 512, blockBytes: 512 });
  await pool.checkpoint();
  disk.isLate = true;
  return [disk, pool, disk.image.slice()];
}

test('what the journal has no room for is durable with a checkpoint, before it is said to be', async () => {
  const [disk, pool, base] = await poolWithLateSuperblocks();
  const { count } = pool.core.checkpointer;
  const last = await fullJournal(disk, pool);
  assert.is(last.status, BlockStatus.ok);
  // A ring of 16 blocks never holds more than 15, and each write took one.
  assert.is(last.lba, 15 * 8);
  assert.is(pool.core.checkpointer.count - count, 2);
  assert.is(pool.core.journal.ringUse, 0, 'the journal holds nothing that is needed');
  const cuts = new CrashCuts(disk.log, base, 512);
  cuts.advanceTo(disk.log.length);
  const again = await Pool.open([new CrashDevice({ blockBytes: 512, bytes: 2 * MiB }, cuts.image)]);
  const versions = await readVersions(again.volume('a'));
  for (const [i, version] of versions.entries()) {
    assert.is(version, i < 16 * 8 ? Math.floor(i / 8) + 1 : 0, `sector ${i}`);
  }
});

test('what waits for a checkpoint that fails is not durable, and is told so', async () => {
  const [disk, pool] = await poolWithLateSuperblocks();
  let superblocks = 0;
  disk.fault = ({ op, lba }) => {
    if (op !== BlockOp.write || lba >= 6 * 8 || ++superblocks <= 2) return null;
    return BlockStatus.mediaError;
  };
  const last = await fullJournal(disk, pool);
  assert.is(last.status, BlockStatus.deviceError);
  assert.match(pool.failure, /^writing a superblock ended with status/);
});

test.run();
