import {
  ftruncateSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import type { NativeKernel } from '../../native/kernel.js';
import { loadAddon } from '../../native/load.js';
import { mapDescriptor, SharedMemory } from '../../native/shared-memory.js';
import { skip, suite } from '../support/suite.js';

const memory = suite('native/shared-memory');
const loaded = loadAddon();

function withKernel(title: string, body: (kernel: NativeKernel) => unknown): void {
  memory(title, () => {
    if (loaded.kernel !== null) return body(loaded.kernel);
    skip(`native addon: ${loaded.unavailableReason}`);
  });
}

withKernel('shared memory is zero, whole pages, and seen by whoever maps it', (kernel) => {
  const ours = new SharedMemory(kernel, 'test', 5000);
  assert.is(ours.length, 8192);
  const words = new Uint32Array(ours.buffer);
  assert.ok(words.every((word) => word === 0));
  const range = { offset: 4096, length: 4096, isWritable: true };
  const theirs = new Uint32Array(mapDescriptor(kernel, ours.fd, range));
  words[1024] = 0x1234_5678;
  assert.is(theirs[0], 0x1234_5678);
  theirs[1023] = 42;
  assert.is(words[2047], 42);
  ours.close();
  ours.close();
  assert.is(words.length, 0);
  assert.is(ours.fd, -1);
  assert.is(theirs[1023], 42, 'who mapped it keeps it');
  kernel.unmap(theirs.buffer);
  assert.is(theirs.length, 0);
});

withKernel('nobody can cut our memory short, and it says so', (kernel) => {
  const ours = new SharedMemory(kernel, 'sealed', 4096);
  assert.is(kernel.fileIsSealed(ours.fd), 1);
  assert.throws(() => ftruncateSync(ours.fd, 0), /EPERM/);
  assert.throws(() => ftruncateSync(ours.fd, 8192), /EPERM/);
  assert.is(kernel.fileBytes(ours.fd), 4096);
  ours.close();
  const open = kernel.memfd('open', 4096);
  assert.is(kernel.fileIsSealed(open), 0);
  kernel.close(open);
});

withKernel(
  'memory that is taken back keeps its bytes, its place, and no other reader',
  (kernel) => {
    const ours = new SharedMemory(kernel, 'taken', 1 << 20);
    const words = new Uint32Array(ours.buffer);
    const at = kernel.addressOf(ours.buffer);
    const range = { offset: 0, length: 1 << 20, isWritable: true };
    const theirs = new Uint32Array(mapDescriptor(kernel, ours.fd, range));
    theirs[0] = 1;
    theirs[100_000] = 2;
    words[words.length - 1] = 3;
    const before = ours.fd;
    ours.takeBack();
    assert.equal([words[0], words[1], words[100_000], words.at(-1)], [1, 0, 2, 3]);
    assert.is(kernel.addressOf(ours.buffer), at);
    theirs[0] = 77;
    assert.is(words[0], 1);
    words[1] = 88;
    assert.is(theirs[1], 0);
    const again = new Uint32Array(mapDescriptor(kernel, ours.fd, range));
    assert.is(again[1], 88, 'the new descriptor shows the memory as it is');
    assert.is(kernel.fileIsSealed(ours.fd), 1);
    assert.is.not(ours.fd, before);
    assert.is(kernel.fileBytes(before), -9, 'the old descriptor is closed');
    kernel.unmap(theirs.buffer);
    kernel.unmap(again.buffer);
    ours.close();
  },
);

withKernel('memory that its owner cuts short reads as zeroes and the process lives', (kernel) => {
  const fd = kernel.memfd('shrinks', 16_384);
  const words = new Uint32Array(
    mapDescriptor(kernel, fd, { offset: 0, length: 16_384, isWritable: true }),
  );
  words.fill(0x1111_1111);
  const read = (i: number): number => words[i]!;
  let sum = 0;
  for (let i = 0; i < 100_000; i++) sum += read(i & 4095);
  assert.is(sum, 100_000 * 0x1111_1111);
  assert.is(kernel.wasHit(words.buffer), false);
  ftruncateSync(fd, 4096);
  assert.is(read(0), 0x1111_1111, 'what is left is still there');
  assert.is(kernel.wasHit(words.buffer), false);
  assert.is(read(4095), 0);
  assert.is(kernel.wasHit(words.buffer), true);
  // From now on it is private memory: nothing reaches the file any more.
  words.set([1, 2, 3], 0);
  words.copyWithin(2048, 0, 3);
  assert.equal([...words.subarray(2048, 2051)], [1, 2, 3]);
  kernel.unmap(words.buffer);
  const again = new Uint32Array(
    mapDescriptor(kernel, fd, { offset: 0, length: 4096, isWritable: false }),
  );
  assert.is(again[0], 0x1111_1111);
  kernel.unmap(again.buffer);
  kernel.close(fd);
});

withKernel('registers whose owner cuts them short read as ones', (kernel) => {
  const fd = kernel.memfd('registers', 4096);
  const words = new Uint32Array(
    mapDescriptor(kernel, fd, { offset: 0, length: 4096, isWritable: true, whenLost: 'ones' }),
  );
  ftruncateSync(fd, 0);
  assert.is(words[7], 0xffff_ffff);
  assert.is(kernel.wasHit(words.buffer), true);
  kernel.unmap(words.buffer);
  kernel.close(fd);
});

withKernel('a write to memory that was cut short is let go, too', (kernel) => {
  const fd = kernel.memfd('written', 8192);
  const range = { offset: 0, length: 8192, isWritable: true };
  const bytes = new Uint8Array(mapDescriptor(kernel, fd, range));
  ftruncateSync(fd, 0);
  bytes.fill(0xee);
  assert.is(bytes[8191], 0xee);
  assert.is(kernel.fileBytes(fd), 0);
  kernel.unmap(bytes.buffer);
  kernel.close(fd);
});

withKernel('more ranges than a peer may send are guarded and given back', (kernel) => {
  const before = readdirSync('/proc/self/fd').length;
  const fd = kernel.memfd('many', 4096);
  const range = { offset: 0, length: 4096, isWritable: false };
  for (let round = 0; round < 2; round++) {
    const buffers: ArrayBuffer[] = [];
    for (let i = 0; i < 4000; i++) buffers.push(mapDescriptor(kernel, fd, range));
    for (const buffer of buffers) assert.is(kernel.unmap(buffer), 0);
  }
  kernel.close(fd);
  assert.is(readdirSync('/proc/self/fd').length, before);
});

withKernel('a descriptor that lies about itself is refused with the reason', (kernel) => {
  const fd = kernel.memfd('small', 8192);
  const attempt = (at: number, offset: number, length: number): (() => unknown) => {
    return () => mapDescriptor(kernel, at, { offset, length, isWritable: true });
  };
  assert.throws(attempt(fd, 4096, 4097), /cannot map 4097 bytes at 4096.*it has 8192 bytes/);
  assert.throws(attempt(fd, 8192, 1), /it has 8192 bytes/);
  assert.throws(attempt(fd, 1, 4096), /offset 1 is not a multiple of the page size, 4096/);
  assert.throws(attempt(fd, -4096, 4096), /offset -4096/);
  assert.throws(attempt(fd, 0, 0), /0 bytes cannot be mapped/);
  assert.throws(attempt(fd, 2 ** 53, 4096), /offset 9007199254740992/);
  const event = kernel.eventfd();
  assert.throws(attempt(event, 0, 4096), /no memory and no regular file/);
  assert.throws(attempt(-1, 0, 4096), /EBADF/);
  kernel.close(event);
  kernel.close(fd);
});

withKernel('a file that may only be read is not mapped for writing', (kernel) => {
  const folder = mkdtempSync(join(tmpdir(), 'ultima-memory-'));
  const path = join(folder, 'file');
  writeFileSync(path, Buffer.alloc(4096, 3));
  const fd = openSync(path, 'r');
  assert.throws(
    () => mapDescriptor(kernel, fd, { offset: 0, length: 4096, isWritable: true }),
    /not open for this kind of access/,
  );
  const bytes = new Uint8Array(
    mapDescriptor(kernel, fd, { offset: 0, length: 4096, isWritable: false }),
  );
  assert.is(bytes[4095], 3);
  truncateSync(path, 0);
  assert.is(bytes[0], 0);
  kernel.unmap(bytes.buffer);
  kernel.close(fd);
  rmSync(folder, { recursive: true });
});

withKernel('lengths and names out of range are refused', (kernel) => {
  assert.throws(() => new SharedMemory(kernel, 'x', 0), /0 bytes/);
  assert.throws(() => new SharedMemory(kernel, 'x', 1.5), /1.5 bytes/);
  assert.throws(() => new SharedMemory(kernel, 'x'.repeat(201), 1), /200/);
  assert.throws(() => new SharedMemory(kernel, 'x', 2 ** 52), /no 4503599627370496 bytes/);
});

memory.run();
