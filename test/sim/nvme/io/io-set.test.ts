import * as assert from 'uvu/assert';
import { NvmOpcode } from '../../../../sdk/spec/nvme/opcodes.js';
import { Status } from '../../../../sdk/spec/nvme/status.js';
import { FuseRole } from '../../../../sim/nvme/command.js';
import { WriteProtection } from '../../../../sim/nvme/namespace.js';
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
import { makeNamespace, pattern, Rig } from './rig.js';

const test = suite('I/O commands');

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

test('commands that a format overtakes end as Format In Progress and touch nothing', () => {
  const range = { lba: 0, count: 8 };
  const data = new Uint8Array(4096);
  for (const request of [
    read(range, data),
    write(range, data),
    compare(range, data),
    verify(range),
    writeZeroes(range),
    deallocate([range]),
    copy([range], 100),
  ]) {
    const rig = new Rig(makeNamespace({ sizeBlocks: 4096 }));
    const format = { isMetadataExtended: true, protectionType: 0, isProtectionFirst: false };
    const slot = rig.start(request);
    rig.namespace.format({ formatIndex: 4, ...format });
    rig.drain();
    assert.is(rig.take(slot).status, Status.formatInProgress);
    assert.is(rig.namespace.usedBlocks, 0);
    assert.is(rig.namespace.medium.pool.inUse, 0);
  }
});

test('a fused pair that a format overtakes ends, and so does one whose namespace goes away', () => {
  const range = { lba: 0, count: 8 };
  const data = new Uint8Array(4096);
  for (const isGone of [false, true]) {
    const rig = new Rig(makeNamespace({ sizeBlocks: 4096 }));
    const first = rig.start(compare(range, data), FuseRole.first);
    const second = rig.start(write(range, data), FuseRole.second);
    first.command.partner = second.command;
    second.command.partner = first.command;
    rig.set.begin(first.command);
    rig.set.begin(second.command);
    if (isGone) rig.namespaces.clear();
    else rig.namespace.erase();
    rig.drain();
    assert.is(rig.take(first).status, Status.abortedFailedFused);
    assert.is(rig.take(second).status, isGone ? Status.invalidField : Status.formatInProgress);
    assert.is(rig.health.busy, 0);
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
  assert.is(rig.run(copy(ranges(1, 1), 5000, { format: 1 })).status, Status.invalidField);
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
