import * as assert from 'uvu/assert';
import { UltimaError } from '../../../sdk/errors.js';
import { KiB, MiB } from '../../../sdk/units.js';
import { SimDmaSpace } from '../../../sim/pcie/dma-space.js';
import { HostMemory } from '../../../sim/pcie/host-memory.js';
import { Prng } from '../../../sim/prng.js';
import { suite } from '../../support/suite.js';

const test = suite('host memory');

interface Fixture {
  readonly memory: HostMemory;
  readonly dma: SimDmaSpace;
  readonly faults: string[];
}

function fixture(limitBytes = 64 * MiB): Fixture {
  const memory = new HostMemory({ limitBytes });
  const faults: string[] = [];
  memory.onFault((fault, iova, isWrite) => faults.push(`${fault} ${iova} ${isWrite}`));
  return { memory, dma: new SimDmaSpace(memory), faults };
}

test('what the device writes is what the host reads, over page boundaries at any byte', () => {
  const { memory, dma, faults } = fixture();
  const region = dma.allocate(6 * 4 * KiB);
  const prng = new Prng(5, 'copies');
  const model = new Uint8Array(region.length);
  for (let i = 0; i < 200; i++) {
    const length = 1 + prng.below(9000);
    const at = prng.below(region.length - length);
    const source = new Uint8Array(length + 3);
    prng.fill(source);
    assert.ok(memory.writeBytes(region.iova + at, source, 3, length));
    model.set(source.subarray(3), at);
    const back = new Uint8Array(length + 1);
    assert.ok(memory.readBytes(region.iova + at, back, 1, length));
    assert.equal(back.subarray(1), source.subarray(3));
  }
  assert.equal(region.bytes, model);
  assert.equal(faults, []);
});

test('dwords cross page boundaries in both directions', () => {
  const { memory, dma } = fixture();
  const region = dma.allocate(3 * 4 * KiB);
  const source = Uint32Array.from({ length: 2000 }, (_, i) => i * 3);
  assert.ok(memory.writeWords(region.iova + 400, source, 0, 2000));
  assert.equal(region.words.subarray(100, 2100), source);
  const back = new Uint32Array(2001);
  assert.ok(memory.readWords(region.iova + 400, back, 1, 2000));
  assert.equal(back.subarray(1), source);
});

test('a range of which one byte is not mapped is refused and changes nothing', () => {
  const { memory, dma, faults } = fixture();
  const region = dma.allocate(4 * KiB);
  const source = new Uint8Array(4 * KiB).fill(7);
  assert.not.ok(memory.writeBytes(region.iova + 1, source, 0, 4 * KiB));
  assert.equal(region.bytes, new Uint8Array(4 * KiB));
  assert.equal(faults, [`unmapped ${region.iova + 4 * KiB} true`]);
});

test('addresses that no segment has are refused: 0, below, far above', () => {
  const { memory, dma } = fixture();
  dma.allocate(1);
  for (const iova of [0, 4096, memory.baseIova - 4, memory.baseIova + 2 ** 40, 2 ** 53 - 4096]) {
    assert.not.ok(memory.canRead(iova, 4), `0x${iova.toString(16)}`);
    assert.is(memory.readWord(iova), -1);
    assert.not.ok(memory.writeWord(iova, 1));
  }
});

test('freed memory faults as freed, one-way memory as the way it lacks', () => {
  const { memory, dma, faults } = fixture();
  const toDevice = dma.allocate(4 * KiB, { access: 'read' });
  const fromDevice = dma.allocate(4 * KiB, { access: 'write' });
  const freed = dma.allocate(4 * KiB);
  dma.free(freed);
  assert.not.ok(memory.writeWord(toDevice.iova, 1));
  assert.is(memory.readWord(fromDevice.iova), -1);
  assert.is(memory.readWord(freed.iova), -1);
  assert.ok(memory.writeWord(fromDevice.iova, 1));
  assert.is(memory.readWord(toDevice.iova), 0);
  assert.equal(faults, [
    `readOnly ${toDevice.iova} true`,
    `writeOnly ${fromDevice.iova} false`,
    `freed ${freed.iova} false`,
  ]);
  assert.is(memory.faultCount, 3);
});

test('without bus mastering every access is refused', () => {
  const { memory, dma, faults } = fixture();
  const region = dma.allocate(4 * KiB);
  memory.isReachable = false;
  assert.not.ok(memory.writeWord(region.iova, 1));
  assert.equal(faults, [`notBusMaster ${region.iova} true`]);
});

test('a freed range is not mapped again while fresh addresses last, then it is, zeroed', () => {
  const { dma } = fixture(8 * MiB);
  const seen = new Set<number>();
  let reused = 0;
  for (let i = 0; i < 1000; i++) {
    const region = dma.allocate(64 * KiB);
    assert.equal(
      region.bytes.every((byte) => byte === 0),
      true,
    );
    region.bytes.fill(0xff);
    if (seen.has(region.iova)) reused++;
    else assert.is(reused, 0);
    seen.add(region.iova);
    dma.free(region);
  }
  assert.ok(reused > 0);
  assert.ok(seen.size >= 100);
});

test('alignments up to 4 MiB are kept and regions never touch', () => {
  const { memory, dma } = fixture(512 * MiB);
  const regions = [4, 64, 4096, 65_536, 2 * MiB, 4 * MiB].map((alignment) =>
    dma.allocate(100, { alignment }),
  );
  regions.forEach((region, i) => {
    const alignment = [4, 64, 4096, 65_536, 2 * MiB, 4 * MiB][i]!;
    assert.is(region.iova % alignment, 0);
    assert.not.ok(memory.canRead(region.iova + 4096, 1));
  });
});

test('a region larger than a segment is one piece', () => {
  const { memory, dma } = fixture();
  const region = dma.allocate(10 * MiB);
  assert.is(region.bytes.length, 10 * MiB);
  assert.ok(memory.writeWord(region.iova + 9 * MiB, 0x12345678));
  assert.is(region.words[(9 * MiB) / 4], 0x12345678);
});

test('lengths, alignments and regions that make no sense are refused', () => {
  const { dma } = fixture();
  assert.throws(() => dma.allocate(0), /at least 1/);
  assert.throws(() => dma.allocate(1.5), /whole bytes/);
  assert.throws(() => dma.allocate(1, { alignment: 3 }), /power of two/);
  const region = dma.allocate(1);
  dma.free(region);
  assert.ok(region.isFreed);
  assert.throws(() => dma.free(region), /already freed/);
  assert.throws(() => fixture().dma.free(dma.allocate(1)), /foreign/);
});

test('mapping beyond the limit says so with the numbers', () => {
  const { dma } = fixture(1 * MiB);
  dma.allocate(1 * MiB);
  try {
    dma.allocate(1);
    assert.unreachable('mapped beyond the limit');
  } catch (error) {
    assert.instance(error, UltimaError);
    assert.match(String(error), /limit of 1048576 bytes/);
  }
});

test.run();
