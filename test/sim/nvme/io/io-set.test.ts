import * as assert from 'uvu/assert';
import { NvmOpcode } from '../../../../sdk/spec/nvme/opcodes.js';
import { Status } from '../../../../sdk/spec/nvme/status.js';
import { WriteProtection } from '../../../../sim/nvme/namespace.js';
import { Prng } from '../../../../sim/prng.js';
import { suite } from '../../../support/suite.js';
import {
  compare,
  copy,
  deallocate,
  flush,
  type Range,
  read,
  verify,
  write,
  writeUncorrectable,
  writeZeroes,
} from './commands.js';
import { formats, makeNamespace, pattern, Rig } from './rig.js';

const test = suite('I/O commands');

interface Block {
  readonly data: Uint8Array;
  readonly metadata: Uint8Array;
  /** Absent from the medium, written, or made uncorrectable. */
  readonly state: 'blank' | 'written' | 'bad';
}

/** The naive model: one object per block. */
class Model {
  readonly blocks = new Map<number, Block>();
  private readonly blank: Block;

  constructor(dataBytes: number, metadataBytes: number) {
    const data = new Uint8Array(dataBytes);
    this.blank = { data, metadata: new Uint8Array(metadataBytes), state: 'blank' };
  }

  at(lba: number): Block {
    return this.blocks.get(lba) ?? this.blank;
  }

  run(range: Range): Block[] {
    return Array.from({ length: range.count }, (_, i) => this.at(range.lba + i));
  }

  set(range: Range, make: (index: number) => Block | null): void {
    for (let i = 0; i < range.count; i++) {
      const block = make(i);
      if (block === null) this.blocks.delete(range.lba + i);
      else this.blocks.set(range.lba + i, block);
    }
  }

  get zero(): Block {
    return { ...this.blank, state: 'written' };
  }
}

for (const formatIndex of [0, 1, 2, 4]) {
  for (const isMetadataExtended of [false, true]) {
    const { dataBytes, metadataBytes } = formats[formatIndex]!;
    if (isMetadataExtended && metadataBytes === 0) continue;
    const how = isMetadataExtended ? 'extended' : 'separate';
    test(`any commands leave what a Map of blocks says, ${dataBytes} + ${metadataBytes} ${how}`, () => {
      sequence({ formatIndex, isMetadataExtended });
    });
  }
}

function sequence(options: { formatIndex: number; isMetadataExtended: boolean }): void {
  const { dataBytes, metadataBytes } = formats[options.formatIndex]!;
  const { isMetadataExtended } = options;
  const rig = new Rig(makeNamespace({ ...options, sizeBlocks: 2 ** 40 + 64 }));
  const model = new Model(dataBytes, metadataBytes);
  const prng = new Prng(21, `commands ${options.formatIndex}`);
  const bases = [0, 2 ** 31 - 24, 2 ** 32 - 24, 2 ** 40 - 24];
  const anywhere = (): Range => ({
    lba: bases[prng.below(4)]! + prng.below(40),
    count: 1 + prng.below(16),
  });
  for (let step = 1; step <= 1_500; step++) {
    const range = anywhere();
    const blocks = model.run(range);
    const isBad = blocks.some((block) => block.state === 'bad');
    const interleaved = isMetadataExtended ? dataBytes + metadataBytes : dataBytes;
    const data = new Uint8Array(range.count * interleaved);
    const metadata = new Uint8Array(isMetadataExtended ? 0 : range.count * metadataBytes);
    const expected = isBad ? Status.unrecoveredReadError : 0;
    const kind = prng.below(16);
    if (kind < 5) {
      data.set(pattern(step, data.length));
      metadata.set(pattern(step + 1, metadata.length));
      assert.is(rig.run(write(range, data, { fua: step & 1 }, metadata)).status, 0);
      model.set(range, (i) => ({ ...cut(data, metadata, i), state: 'written' }));
    } else if (kind < 10) {
      const ending = rig.run(read(range, data, {}, metadata));
      assert.is(ending.status, expected);
      for (let i = 0; i < range.count && !isBad; i++) {
        const got = cut(data, metadata, i);
        assert.equal(got.data, blocks[i]!.data, `step ${step} block ${range.lba + i}`);
        assert.equal(got.metadata, blocks[i]!.metadata);
      }
    } else if (kind === 10) {
      assert.is(rig.run(verify(range)).status, expected);
    } else if (kind === 11) {
      const deac = prng.below(2);
      assert.is(rig.run(writeZeroes(range, { deac })).status, 0);
      model.set(range, () => (deac === 1 ? null : model.zero));
    } else if (kind === 12) {
      const other = anywhere();
      assert.is(rig.run(deallocate([range, other])).status, 0);
      model.set(range, () => null);
      model.set(other, () => null);
    } else if (kind === 13) {
      if (step % 4 === 0) {
        assert.is(rig.run(writeUncorrectable(range)).status, 0);
        model.set(range, () => ({ ...model.zero, state: 'bad' }));
      } else {
        assert.is(rig.run(flush()).status, 0);
      }
    } else if (kind === 14) {
      const target = anywhere().lba;
      const ending = rig.run(copy([range], target));
      assert.is(ending.status, expected);
      if (!isBad)
        model.set({ lba: target, count: range.count }, (i) => ({
          ...blocks[i]!,
          state: 'written',
        }));
    } else {
      for (let i = 0; i < range.count; i++) paste(data, metadata, i, blocks[i]!);
      const isWrong = prng.chance(0.5);
      if (isWrong) data[prng.below(data.length)]! ^= 1 << prng.below(8);
      const verdict = isWrong ? Status.compareFailure : 0;
      // A comparison stops at the first block that cannot be read or differs.
      const { status } = rig.run(compare(range, data, {}, metadata));
      if (!isBad) assert.is(status, verdict);
      else assert.ok(status === Status.unrecoveredReadError || status === verdict);
    }
    if (step % 100 === 0) {
      const used = [...model.blocks.values()].length;
      assert.is(rig.namespace.usedBlocks, used);
    }
  }
  assert.is(rig.health.busy, 0);

  function cut(
    data: Uint8Array,
    metadata: Uint8Array,
    i: number,
  ): Pick<Block, 'data' | 'metadata'> {
    if (!isMetadataExtended) {
      return {
        data: data.slice(i * dataBytes, (i + 1) * dataBytes),
        metadata: metadata.slice(i * metadataBytes, (i + 1) * metadataBytes),
      };
    }
    const at = i * (dataBytes + metadataBytes);
    const middle = at + dataBytes;
    return { data: data.slice(at, middle), metadata: data.slice(middle, middle + metadataBytes) };
  }

  function paste(data: Uint8Array, metadata: Uint8Array, i: number, block: Block): void {
    if (isMetadataExtended) {
      data.set(block.data, i * (dataBytes + metadataBytes));
      data.set(block.metadata, i * (dataBytes + metadataBytes) + dataBytes);
    } else {
      data.set(block.data, i * dataBytes);
      metadata.set(block.metadata, i * metadataBytes);
    }
  }
}

const block = new Uint8Array(4096 * 4);

test('a range that ends at the last block is in range, one block more is not', () => {
  const size = 2 ** 41;
  const rig = new Rig(makeNamespace({ sizeBlocks: size }));
  for (const make of [
    (range: Range) => read(range, block),
    (range: Range) => write(range, block),
    (range: Range) => compare(range, block),
    (range: Range) => verify(range),
    (range: Range) => writeZeroes(range),
    (range: Range) => writeUncorrectable(range),
    (range: Range) => deallocate([{ lba: 0, count: 1 }, range]),
    (range: Range) => copy([{ lba: 0, count: range.count }], range.lba),
    (range: Range) => copy([range], 0),
  ]) {
    rig.run(write({ lba: size - 8, count: 8 }, block));
    rig.run(write({ lba: 0, count: 8 }, block));
    assert.is(rig.run(make({ lba: size - 8, count: 8 })).status, 0);
    assert.is(rig.run(make({ lba: size - 7, count: 8 })).status, Status.lbaOutOfRange);
    assert.is(rig.run(make({ lba: size, count: 1 })).status, Status.lbaOutOfRange);
    assert.is(rig.run(make({ lba: 2 ** 53 - 1, count: 1 })).status, Status.lbaOutOfRange);
  }
});

test('an opcode that the set does not have is Invalid Opcode', () => {
  const rig = new Rig(makeNamespace());
  for (const opcode of [0x03, 0x06, 0x12, 0x7f, 0x80, 0xff]) {
    assert.is(rig.run({ opcode }).status, Status.invalidOpcode);
  }
});

test('NSID 0 and one beyond the limit are invalid, one that could exist is inactive', () => {
  const rig = new Rig(makeNamespace());
  const statusOf = (nsid: number) => rig.run(read({ lba: 0, count: 1 }, block, { nsid })).status;
  assert.is(statusOf(0), Status.invalidNamespaceOrFormat);
  assert.is(statusOf(17), Status.invalidNamespaceOrFormat);
  assert.is(statusOf(2), Status.invalidField);
  assert.is(statusOf(0xffff_ffff), Status.invalidField);
});

test('a flush with the broadcast NSID makes every namespace durable', () => {
  const one = makeNamespace({}, 1);
  const two = makeNamespace({}, 2);
  const rig = new Rig([one, two]);
  rig.run(write({ lba: 0, count: 8 }, block));
  rig.run(write({ lba: 0, count: 8 }, block, { nsid: 2 }));
  assert.is(rig.run(flush(1)).status, 0);
  assert.equal([one.medium.dirtyPages, two.medium.dirtyPages > 0], [0, true]);
  assert.is(rig.run(flush(0xffff_ffff)).status, 0);
  assert.is(two.medium.dirtyPages, 0);
});

test('a write-protected namespace refuses what changes blocks, and nothing else', () => {
  const rig = new Rig(makeNamespace());
  const range = { lba: 0, count: 1 };
  rig.namespace.writeProtection = WriteProtection.writeProtect;
  for (const request of [
    write(range, block),
    writeZeroes(range),
    writeUncorrectable(range),
    deallocate([range]),
    copy([range], 8),
  ]) {
    assert.is(rig.run(request).status, Status.namespaceWriteProtected);
  }
  for (const request of [
    read(range, block),
    verify(range),
    flush(),
    deallocate([range], true),
    compare(range, new Uint8Array(512)),
  ]) {
    assert.is(rig.run(request).status, 0);
  }
});

test('a namespace that is being formatted refuses every command', () => {
  const rig = new Rig(makeNamespace());
  rig.namespace.isReady = false;
  for (const request of [read({ lba: 0, count: 1 }, block), flush()]) {
    assert.is(rig.run(request).status, Status.formatInProgress);
  }
});

test('a refusal of the subsystem ends reads, writes and flushes', () => {
  const rig = new Rig(makeNamespace());
  rig.refusalStatus = Status.sanitizeInProgress;
  for (const request of [
    read({ lba: 0, count: 1 }, block),
    write({ lba: 0, count: 1 }, block),
    flush(),
  ]) {
    assert.is(rig.run(request).status, Status.sanitizeInProgress);
  }
});

test('a transfer above MDTS is Invalid Field; interleaved metadata counts, separate does not', () => {
  const separate = new Rig(makeNamespace({ formatIndex: 1 }));
  const extended = new Rig(makeNamespace({ formatIndex: 1, isMetadataExtended: true }));
  const metadata = new Uint8Array(64);
  for (const rig of [separate, extended]) rig.maxTransferBytes = 4096;
  const eight = { lba: 0, count: 8 };
  assert.is(separate.run(read(eight, block, {}, metadata)).status, 0);
  assert.is(
    separate.run(read({ lba: 0, count: 9 }, block, {}, metadata)).status,
    Status.invalidField,
  );
  assert.is(extended.run(read(eight, block)).status, Status.invalidField);
  assert.is(extended.run(read({ lba: 0, count: 7 }, block)).status, 0);
});

test('with DULBE reading a deallocated block is an error, without it gives zeroes', () => {
  const rig = new Rig(makeNamespace());
  rig.run(write({ lba: 0, count: 8 }, block.fill(9)));
  rig.run(deallocate([{ lba: 3, count: 1 }]));
  const data = new Uint8Array(4096);
  assert.is(rig.run(read({ lba: 0, count: 8 }, data)).status, 0);
  assert.equal(data.subarray(1536, 2048), new Uint8Array(512));
  rig.namespace.isDeallocatedErrorEnabled = true;
  const statusOf = (lba: number, count: number) => rig.run(read({ lba, count }, data)).status;
  assert.is(statusOf(0, 8), Status.deallocatedOrUnwrittenBlock);
  assert.is(statusOf(3, 1), Status.deallocatedOrUnwrittenBlock);
  assert.is(statusOf(100, 1), Status.deallocatedOrUnwrittenBlock);
  assert.is(statusOf(0, 3), 0);
  rig.run(writeZeroes({ lba: 3, count: 1 }));
  assert.is(statusOf(0, 8), 0);
});

test('Limited Retry and the time limit shorten the attempts on a block that does not come', () => {
  const timeOf = (lr: number, limit: number) => {
    const rig = new Rig(makeNamespace());
    rig.run(writeUncorrectable({ lba: 0, count: 1 }));
    rig.namespace.errorRecoveryLimit = limit;
    const from = rig.nowNs;
    const ending = rig.run(read({ lba: 0, count: 1 }, block, { lr }));
    assert.is(ending.status, Status.unrecoveredReadError);
    assert.equal(rig.errors.at(-1), { status: Status.unrecoveredReadError, lba: 0 });
    assert.is(rig.health.mediaErrors, 1);
    return ending.atNs - from;
  };
  // Sixteen attempts of 10 us are far below 100 ms.
  assert.is(timeOf(0, 0), 170_000);
  assert.is(timeOf(0, 1), 170_000);
  assert.is(timeOf(1, 0), 20_000);
});

test('the error names the first block that cannot be read', () => {
  const rig = new Rig(makeNamespace());
  rig.run(writeUncorrectable({ lba: 21, count: 2 }));
  rig.run(read({ lba: 10, count: 16 }, new Uint8Array(8192)));
  assert.is(rig.errors.at(-1)?.lba, 21);
});

test('commands are counted in blocks of the host, and errors are not commands', () => {
  const rig = new Rig(makeNamespace());
  rig.run(write({ lba: 0, count: 4 }, block));
  rig.run(read({ lba: 0, count: 8 }, block));
  rig.run(compare({ lba: 100, count: 1 }, new Uint8Array(512)));
  rig.run(read({ lba: 2 ** 50, count: 1 }, block));
  const { readCommands, readBytes, writeCommands, writtenBytes } = rig.health;
  assert.equal([readCommands, readBytes, writeCommands, writtenBytes], [2, 4608, 1, 2048]);
});

test('copy obeys its three limits and its format', () => {
  const rig = new Rig(makeNamespace());
  const ranges = (n: number, count: number) =>
    Array.from({ length: n }, (_, i) => ({ lba: i * 100, count }));
  assert.is(rig.run(copy(ranges(8, 1), 5000)).status, 0);
  assert.is(rig.run(copy(ranges(9, 1), 5000)).status, Status.commandSizeLimitExceeded);
  assert.is(rig.run(copy(ranges(1, 64), 5000)).status, 0);
  assert.is(rig.run(copy(ranges(1, 65), 5000)).status, Status.commandSizeLimitExceeded);
  assert.is(rig.run(copy(ranges(2, 64), 5000)).status, 0);
  assert.is(rig.run(copy(ranges(3, 64), 5000)).status, Status.commandSizeLimitExceeded);
  assert.is(rig.run(copy(ranges(2, 4), 5000, { format: 1 })).status, 0);
  assert.is(rig.run(copy(ranges(1, 1), 5000, { format: 2 })).status, Status.invalidField);
});

test('a copy that fails names the range and has done those before it', () => {
  const rig = new Rig(makeNamespace());
  rig.run(write({ lba: 0, count: 8 }, pattern(1, 4096)));
  rig.run(writeUncorrectable({ lba: 102, count: 1 }));
  const ending = rig.run(
    copy(
      [
        { lba: 0, count: 8 },
        { lba: 100, count: 4 },
        { lba: 0, count: 1 },
      ],
      201,
    ),
  );
  assert.equal([ending.status, ending.dw0], [Status.unrecoveredReadError, 1]);
  const data = new Uint8Array(4096 + 512);
  rig.run(read({ lba: 201, count: 9 }, data));
  assert.equal(data.subarray(0, 4096), pattern(1, 4096));
  assert.equal(data.subarray(4096), new Uint8Array(512));
});

test('service times are those of the profile: base, each further 4 KiB, the flush of dirty pages', () => {
  const rig = new Rig(makeNamespace());
  const timeOf = (request: Parameters<Rig['run']>[0]) => {
    const from = rig.nowNs;
    return rig.run(request).atNs - from;
  };
  assert.is(timeOf(read({ lba: 0, count: 1 }, block)), 10_000);
  assert.is(timeOf(read({ lba: 0, count: 17 }, block)), 10_400);
  assert.is(timeOf(write({ lba: 0, count: 8 }, block)), 5_000);
  assert.is(timeOf(write({ lba: 100, count: 16 }, block)), 5_200);
  assert.is(timeOf(verify({ lba: 0, count: 8 })), 10_000);
  const dirty = rig.namespace.medium.dirtyPages;
  assert.is(timeOf(flush()), 20_000 + 1_000 * dirty);
  assert.is(timeOf(flush()), 20_000);
});

test('NVMe opcodes of the set are those that the effects log must name', () => {
  const rig = new Rig(makeNamespace());
  for (const opcode of Object.values(NvmOpcode)) {
    const { status } = rig.run({ opcode, data: new Uint8Array(8192) });
    assert.is.not(status, Status.invalidOpcode);
  }
});

test.run();
