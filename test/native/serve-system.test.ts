import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { loadAddon } from '../../native/load.js';
import { NativeServeSystem } from '../../native/serve-system.js';
import { skip, suite } from '../support/suite.js';

const test = suite('native/serve-system');
const { kernel, unavailableReason } = loadAddon();
const page = 4096;
const EINVAL = 22;
const EACCES = 13;
const EBADF = 9;

function statement(
  title: string,
  body: (system: NativeServeSystem, make: { memfd(bytes: number): number }) => void,
): void {
  test(title, () => {
    if (kernel === null) skip(`native addon: ${unavailableReason}`);
    if (kernel === null) return;
    const made: number[] = [];
    const memfd = (bytes: number): number => {
      const fd = kernel.memfd('test', bytes);
      made.push(fd);
      return fd;
    };
    try {
      body(new NativeServeSystem(kernel), { memfd });
    } finally {
      for (const fd of made) kernel.close(fd);
    }
  });
}

function mapped(result: Uint8Array | number): Uint8Array {
  if (typeof result === 'number') throw new Error(`error ${result}`);
  return result;
}

statement('two mappings of a descriptor are the same memory', (system, { memfd }) => {
  const fd = memfd(4 * page);
  const all = mapped(system.map(fd, 0, 4 * page, true));
  const part = mapped(system.map(fd, page, 2 * page, true));
  part[5] = 77;
  assert.is(all[page + 5], 77);
  all[3 * page - 1] = 78;
  assert.is(part[2 * page - 1], 78);
  system.unmap(part);
  assert.is(part.length, 0, 'nothing is left to look at');
  assert.is(all[page + 5], 77);
  system.unmap(all);
});

statement('a mapping that reaches beyond its file is refused', (system, { memfd }) => {
  const fd = memfd(2 * page);
  assert.is(system.map(fd, 0, 3 * page, true), EINVAL);
  assert.is(system.map(fd, 2 * page, page, true), EINVAL);
  system.unmap(mapped(system.map(fd, page, page, true)));
});

statement('what is neither memory nor a file is refused', (system) => {
  const device = openSync('/dev/zero', 'r+');
  assert.is(system.map(device, 0, page, true), EINVAL);
  closeSync(device);
  assert.is(system.map(9999, 0, page, true), EBADF);
});

statement('a file that is open for reading cannot be mapped for writing', (system) => {
  const folder = mkdtempSync(join(tmpdir(), 'ultima-system-'));
  const path = join(folder, 'file');
  writeFileSync(path, new Uint8Array(page).fill(9));
  const fd = openSync(path, 'r');
  assert.is(system.map(fd, 0, page, true), EACCES);
  const bytes = mapped(system.map(fd, 0, page, false));
  assert.is(bytes[4095], 9);
  system.unmap(bytes);
  closeSync(fd);
  rmSync(folder, { recursive: true });
});

statement(
  'memory that its owner cuts short reads as zeroes and kills nobody',
  (system, { memfd }) => {
    const fd = memfd(4 * page);
    const bytes = mapped(system.map(fd, 0, 4 * page, true)).fill(0xee);
    ftruncateSync(fd, page);
    assert.is(bytes[3 * page], 0);
    bytes[2 * page] = 5;
    assert.is(bytes[2 * page], 5, 'of a page of our own');
    bytes.fill(1);
    system.unmap(bytes);
  },
);

statement('only eventfds are eventfds', (system, { memfd }) => {
  const eventfd = kernel!.eventfd();
  assert.is(system.isEventfd(eventfd), true);
  assert.is(system.isEventfd(memfd(page)), false);
  assert.is(system.isEventfd(0), false);
  system.closeDescriptor(eventfd);
  assert.is(system.isEventfd(eventfd), false);
});

statement('a signal is one event, and a full counter does not hold the server up', (system) => {
  const eventfd = kernel!.eventfd();
  system.signal(eventfd);
  system.signal(eventfd);
  assert.is(kernel!.takeEvent(eventfd), 2);
  // The largest count that a write leaves: one more would wait for a reader.
  const most = new Uint8Array(8).fill(0xff);
  most[0] = 0xfe;
  writeSync(eventfd, most);
  system.signal(eventfd);
  assert.is(kernel!.takeEvent(eventfd), 2 ** 64, 'as it was, as far as a number can say');
  system.closeDescriptor(eventfd);
});

statement('memory of ours is whole pages of zeroes that a peer can map', (system) => {
  const own = system.ownMemory(page + 1);
  assert.is(own.buffer.byteLength, 2 * page);
  const theirs = mapped(system.map(own.fd, 0, 2 * page, true));
  new Uint8Array(own.buffer)[page] = 3;
  assert.is(theirs[page], 3);
  assert.is(theirs[0], 0);
  assert.throws(() => ftruncateSync(own.fd, page), /EPERM/);
  system.unmap(theirs);
  own.close();
});

test.run();
