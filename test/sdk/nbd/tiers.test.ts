import * as assert from 'uvu/assert';
import type { BlockDevice, BlockLimits } from '../../../sdk/block/device.js';
import { MemoryDevice } from '../../../sdk/block/memory.js';
import { BlockOp, type BlockRequest } from '../../../sdk/block/request.js';
import type { Clock, DmaSpace } from '../../../sdk/device.js';
import { exportsOfPool } from '../../../sdk/nbd/volume-export.js';
import { Pool } from '../../../sdk/volume/pool.js';
import { Prng } from '../../../sim/prng.js';
import { NbdRig, type RigClient, request, WatchedDevice } from '../../support/nbd-rig.js';
import { suite } from '../../support/suite.js';
import { runPlain, writeSectors } from '../../support/volume-rig.js';

const test = suite('NBD tiers');
const MiB = 1024 * 1024;
const page = 4096;
const depth = 32;
/** Of an answer with a page of data: a chunk's head, an offset, the data. */
const answerBytes = 20 + 8 + page;

/** A device that carries out one page after the other at a fixed rate, in time of its own. */
class PacedDevice implements BlockDevice {
  pagesPerSecond = Number.POSITIVE_INFINITY;
  readonly clock: Clock;
  readonly blockBytes: number;
  readonly blockCount: number;
  readonly limits: BlockLimits;
  readonly memory: DmaSpace;
  private readonly inner: MemoryDevice;
  private nowNs = 0;
  private readonly queue: { readonly request: BlockRequest; readonly endNs: number }[] = [];

  constructor(bytes: number) {
    this.clock = { nowNs: () => this.nowNs, idle: () => {}, turn: async () => {} };
    this.inner = new MemoryDevice({
      blockBytes: page,
      blockCount: bytes / page,
      clock: this.clock,
    });
    ({
      blockBytes: this.blockBytes,
      blockCount: this.blockCount,
      limits: this.limits,
      memory: this.memory,
    } = this.inner);
  }

  canSubmit(): boolean {
    return this.queue.length < this.limits.maxInFlight;
  }

  submit(wanted: BlockRequest): void {
    const pages = wanted.op === BlockOp.flush ? 0 : wanted.blockCount;
    const startNs = Math.max(this.nowNs, this.queue.at(-1)?.endNs ?? 0);
    this.queue.push({ request: wanted, endNs: startNs + (pages * 1e9) / this.pagesPerSecond });
  }

  poll(): number {
    let count = 0;
    while (this.queue.length > 0 && this.queue[0]!.endNs <= this.nowNs) {
      this.inner.submit(this.queue.shift()!.request);
      count += this.inner.poll();
    }
    return count;
  }

  /** Let time pass until something ends. */
  advance(): void {
    const [next] = this.queue;
    assert.ok(next, 'nothing is under way, and nothing will ever happen');
    this.nowNs = next!.endNs;
  }
}

/** A pool with a volume for each tier ('' for none), filled. */
async function served(tiers: readonly string[]) {
  const device = new PacedDevice(16 * MiB);
  const chance = new Prng(1, 'identity');
  const pool = await Pool.create([device], { random: (b) => chance.fill(b), journalBytes: 65_536 });
  const names = tiers.map((_, i) => `volume${i}`);
  for (const [i, name] of names.entries()) {
    const volume = await pool.createVolume({ name, bytes: MiB, qosTier: tiers[i]! });
    for (let first = 0; first < 2048; first += 512) await writeSectors(volume, first, 512, 1);
    await runPlain(volume, BlockOp.flush, 0, 0);
  }
  const exports = exportsOfPool(pool, names, { gate: { depthUnits: 8 } });
  const rig = new NbdRig(new WatchedDevice(8), { exports });
  const clients = names.map((name) => {
    const client = rig.connect();
    client.go({ name });
    return client;
  });
  return { device, rig, clients };
}

/** Every client keeps reading with so many requests under way. @returns reads per second of each */
async function rates(tiers: readonly string[], pagesPerSecond: number): Promise<number[]> {
  const { device, rig, clients } = await served(tiers);
  device.pagesPerSecond = pagesPerSecond;
  const prng = new Prng(7, 'places');
  const startNs = device.clock.nowNs();
  const read = (client: RigClient, count: number): void => {
    const requests = Array.from({ length: count }, () =>
      request({ command: 0, offset: page * prng.below(MiB / page), length: page }),
    );
    const bytes = Buffer.concat(requests);
    client.connection.receive(bytes, 0, bytes.length);
  };
  const counts = clients.map(() => 0);
  for (const client of clients) read(client, depth);
  while (device.clock.nowNs() - startNs < 0.2e9) {
    rig.settle();
    device.advance();
    rig.settle();
    for (const [i, client] of clients.entries()) {
      const ended = client.stream.take().length / answerBytes;
      counts[i]! += ended;
      if (ended > 0) read(client, ended);
    }
  }
  return counts.map((count) => (count * 1e9) / (device.clock.nowNs() - startNs));
}

test('a volume of a tier keeps what the tier promises beside one that takes all it can', async () => {
  // 20,000 units are promised to 'high'; what is left over is divided by weight, 4 to 1.
  const [high, other] = await rates(['high', ''], 25_000);
  assert.ok(high! >= 20_000, `high ${high}`);
  assert.ok(other! > 500 && high! + other! > 24_500, `high ${high}, other ${other}`);
});

test('without tiers the same two volumes get the same', async () => {
  const [first, second] = await rates(['', ''], 25_000);
  assert.ok(Math.abs(first! - second!) < 250, `${first} and ${second}`);
});

test('three tiers at once: each promise is kept on a device that can just keep them', async () => {
  const [best, medium, high] = await rates(['best-effort', 'medium', 'high'], 26_500);
  assert.ok(high! >= 20_000 && medium! >= 5_000, `high ${high}, medium ${medium}`);
  assert.ok(best! > 0, `best effort ${best}`);
});

test('a tier that there is not is named before anything is served', async () => {
  await served(['gold']).then(
    () => assert.unreachable(),
    (error: unknown) => assert.match(String(error), /no tier 'gold'; there are best-effort, high/),
  );
});

test.run();
