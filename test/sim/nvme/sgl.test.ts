import * as assert from 'uvu/assert';
import { Checker } from '../../../sim/checker.js';
import { bitBucketAddress, Command } from '../../../sim/nvme/command.js';
import { DataPointer } from '../../../sim/nvme/data-pointer.js';
import { Dma } from '../../../sim/nvme/dma.js';
import { maxSglDescriptors } from '../../../sim/nvme/sgl.js';
import { SimDmaSpace } from '../../../sim/pcie/dma-space.js';
import { HostMemory } from '../../../sim/pcie/host-memory.js';
import { World } from '../../../sim/world.js';
import { suite } from '../../support/suite.js';
import { putU64 } from './rig.js';

const test = suite('SGL');

/** Status codes as the standard numbers them. */
const code = {
  invalidField: 0x02,
  dataTransferError: 0x04,
  invalidSegment: 0x0d,
  invalidCount: 0x0e,
  dataLength: 0x0f,
  metadataLength: 0x10,
  invalidType: 0x11,
} as const;

const dataBlock = 0x00;
const bitBucket = 0x10;
const segment = 0x20;
const lastSegment = 0x30;

type Descriptor = readonly [identifier: number, address: number, length: number];

function put(words: Uint32Array, at: number, [identifier, address, length]: Descriptor): void {
  putU64(words, at, address);
  words[at + 2] = length;
  words[at + 3] = identifier << 24;
}

function bench(hasSgl = true) {
  const memory = new HostMemory();
  const space = new SimDmaSpace(memory);
  const checker = new Checker(new World());
  const pointer = new DataPointer(new Dma(memory, null), checker, hasSgl);
  const command = new Command(0);
  /** A segment in host memory; @returns its address and its length in bytes */
  const list = (...descriptors: Descriptor[]): { address: number; length: number } => {
    const region = space.allocate(16 * descriptors.length);
    for (const [i, descriptor] of descriptors.entries()) put(region.words, 4 * i, descriptor);
    return { address: region.iova, length: 16 * descriptors.length };
  };
  const prepare = (psdt: number, opcode: number) => {
    command.opcode = opcode;
    command.words.fill(0);
    command.words[0] = opcode | (psdt << 14);
  };
  const map = (first: Descriptor, length: number, opcode = 2) => {
    prepare(1, opcode);
    put(command.words, 6, first);
    return pointer.map(command, length);
  };
  return { memory, space, checker, pointer, command, list, map, prepare };
}

function pieces(command: Command): [number, number][] {
  const { count, addresses, lengths } = command.data;
  return Array.from({ length: count }, (_, i) => [addresses[i]!, lengths[i]!]);
}

test('one data block in the entry carries all data, at any byte', () => {
  const b = bench();
  assert.is(b.map([dataBlock, 0x1_0000_0003, 4096], 4096), 0);
  assert.equal(pieces(b.command), [[0x1_0000_0003, 4096]]);
});

test('data blocks of a last segment are taken in order', () => {
  const b = bench();
  const tail = b.list(
    [dataBlock, 0x1_0001_0000, 100],
    [dataBlock, 0x1_0003_0001, 3000],
    [dataBlock, 0x1_0002_0000, 996],
  );
  assert.is(b.map([lastSegment, tail.address, tail.length], 4096), 0);
  assert.equal(pieces(b.command), [
    [0x1_0001_0000, 100],
    [0x1_0003_0001, 3000],
    [0x1_0002_0000, 996],
  ]);
});

for (const count of [1, 2, 31, 32, 33, 64, 65, 500]) {
  test(`a chain of segments with ${count} data blocks each finds every block`, () => {
    const b = bench();
    const blocks = (base: number): Descriptor[] =>
      Array.from({ length: count }, (_, i) => [dataBlock, base + 8192 * i, 8]);
    const last = b.list(...blocks(0x3_0000_0000));
    const middle = b.list(...blocks(0x2_0000_0000), [lastSegment, last.address, last.length]);
    const first = b.list(...blocks(0x1_0000_0000), [segment, middle.address, middle.length]);
    assert.is(b.map([segment, first.address, first.length], 3 * 8 * count), 0);
    assert.is(b.command.data.count, 3 * count);
    assert.is(b.command.data.addresses[2 * count], 0x3_0000_0000);
  });
}

test('an empty data block is allowed and moves nothing', () => {
  const b = bench();
  const tail = b.list([dataBlock, 0, 0], [dataBlock, 0x1_0000_0000, 512]);
  assert.is(b.map([lastSegment, tail.address, tail.length], 512), 0);
  assert.equal(pieces(b.command), [[0x1_0000_0000, 512]]);
});

test('a bit bucket of a read swallows its length', () => {
  const b = bench();
  const tail = b.list(
    [dataBlock, 0x1_0000_0000, 512],
    [bitBucket, 0, 3072],
    [dataBlock, 4096, 512],
  );
  assert.is(b.map([lastSegment, tail.address, tail.length], 4096), 0);
  assert.equal(pieces(b.command)[1], [bitBucketAddress, 3072]);
});

test('a bit bucket of a write counts no bytes', () => {
  const b = bench();
  const tail = b.list([bitBucket, 0, 3072], [dataBlock, 0x1_0000_0000, 512]);
  assert.is(b.map([lastSegment, tail.address, tail.length], 512, 1), 0);
  assert.equal(pieces(b.command), [[0x1_0000_0000, 512]]);
});

test('an SGL shorter than the data is an invalid length, a longer one is not', () => {
  const b = bench();
  assert.is(b.map([dataBlock, 0x1_0000_0000, 4095], 4096), code.dataLength);
  assert.is(b.checker.countOf('dataPointerInvalid'), 1);
  assert.is(b.map([dataBlock, 0x1_0000_0000, 4097], 4096), 0);
});

test('keyed, transport, vendor and reserved descriptor types are refused', () => {
  const b = bench();
  for (const type of [4, 5, 6, 14, 15]) {
    assert.is(b.map([type << 4, 0x1_0000_0000, 512], 512), code.invalidType, `type ${type}`);
  }
});

test('an offset sub type is refused', () => {
  const b = bench();
  assert.is(b.map([dataBlock | 1, 0, 512], 512), code.invalidType);
});

test('a segment of no descriptors, of a part of one, or off a qword is invalid', () => {
  const b = bench();
  const tail = b.list([dataBlock, 0x1_0000_0000, 512], [dataBlock, 0x1_0000_0000, 512]);
  assert.is(b.map([lastSegment, tail.address, 0], 512), code.invalidSegment);
  assert.is(b.map([lastSegment, tail.address, 24], 512), code.invalidSegment);
  assert.is(b.map([lastSegment, tail.address + 4, 16], 512), code.invalidSegment);
});

test('a segment descriptor before the end of its segment is an invalid count', () => {
  const b = bench();
  const tail = b.list([dataBlock, 0x1_0000_0000, 512]);
  const first = b.list([lastSegment, tail.address, 16], [dataBlock, 0x1_0000_0000, 512]);
  assert.is(b.map([segment, first.address, first.length], 1024), code.invalidCount);
});

test('a last segment may not lead on', () => {
  const b = bench();
  const tail = b.list([dataBlock, 0x1_0000_0000, 512]);
  const first = b.list([dataBlock, 0x1_0000_0000, 512], [lastSegment, tail.address, 16]);
  assert.is(b.map([lastSegment, first.address, first.length], 1024), code.invalidSegment);
});

test('a segment that is not the last must lead on', () => {
  const b = bench();
  const first = b.list([dataBlock, 0x1_0000_0000, 512]);
  assert.is(b.map([segment, first.address, first.length], 512), code.invalidSegment);
});

test('a chain that goes round in a circle ends with a status', () => {
  const b = bench();
  const region = b.space.allocate(16);
  put(region.words, 0, [segment, region.iova, 16]);
  assert.is(b.map([segment, region.iova, 16], 512), code.invalidCount);
  assert.is(maxSglDescriptors, 16_384);
});

test('a segment in memory that is not mapped is a data transfer error', () => {
  const b = bench();
  assert.is(b.map([lastSegment, 0x9999_0000, 32], 512), code.dataTransferError);
});

test('PSDT 3, and any SGL on a controller without them, is an invalid field', () => {
  const b = bench();
  b.prepare(3, 2);
  assert.is(b.pointer.map(b.command, 512), code.invalidField);
  const without = bench(false);
  assert.is(without.map([dataBlock, 0x1_0000_0000, 512], 512), code.invalidField);
});

test('separate metadata is one piece at MPTR, dword aligned for PRPs', () => {
  const b = bench();
  b.prepare(0, 2);
  putU64(b.command.words, 4, 0x1_0000_0010);
  assert.is(b.pointer.mapMetadata(b.command, 64), 0);
  assert.is(b.command.metadata.addresses[0], 0x1_0000_0010);
  putU64(b.command.words, 4, 0x1_0000_0011);
  assert.is(b.pointer.mapMetadata(b.command, 64), code.invalidField);
  b.prepare(1, 2);
  putU64(b.command.words, 4, 0x1_0000_0011);
  assert.is(b.pointer.mapMetadata(b.command, 64), 0);
});

test('with PSDT 2 MPTR names a segment with one descriptor', () => {
  const b = bench();
  const single = b.list([dataBlock, 0x1_0000_0021, 64]);
  b.prepare(2, 2);
  putU64(b.command.words, 4, single.address);
  assert.is(b.pointer.mapMetadata(b.command, 64), 0);
  assert.is(b.command.metadata.addresses[0], 0x1_0000_0021);
  assert.is(b.pointer.mapMetadata(b.command, 72), code.metadataLength);
  putU64(b.command.words, 4, single.address + 4);
  assert.is(b.pointer.mapMetadata(b.command, 64), code.invalidSegment);
});

test.run();
