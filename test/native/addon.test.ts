import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { type Kernel, OpenFlag } from '../../native/kernel.js';
import { addonPaths, loadAddon } from '../../native/load.js';
import { skip, suite } from '../support/suite.js';

const addon = suite('native/addon');
const loaded = loadAddon();
const kernel = loaded.kernel;

addon('a path that does not exist is a reason, not an exception', () => {
  const result = loadAddon(['/nonexistent/ultima.node']);
  assert.is(result.kernel, null);
  assert.match(result.unavailableReason, /not built \(looked for \/nonexistent\/ultima.node\)/);
});

addon('a file that is no addon is a reason that names it', () => {
  const directory = mkdtempSync(join(tmpdir(), 'ultima-addon-'));
  const path = join(directory, 'ultima.node');
  writeFileSync(path, 'not an addon');
  const result = loadAddon([path]);
  rmSync(directory, { recursive: true });
  assert.is(result.kernel, null);
  assert.ok(result.unavailableReason.startsWith(`${path} does not load`));
});

addon('an addon of another version is refused with what to do, before any call', () => {
  const directory = mkdtempSync(join(tmpdir(), 'ultima-addon-'));
  const path = join(directory, 'ultima.cjs');
  writeFileSync(path, 'module.exports = { interfaceVersion: 1 };');
  const result = loadAddon([path]);
  rmSync(directory, { recursive: true });
  assert.is(result.kernel, null);
  assert.match(
    result.unavailableReason,
    /another version of this package; 'npx ultima build-native/,
  );
});

addon('the path of the environment is the only one when it is set', () => {
  assert.equal(addonPaths('/elsewhere/u.node'), ['/elsewhere/u.node']);
  assert.is(addonPaths('').length, 2);
});

addon("the addon's clock is the one that process.hrtime looks at", () => {
  if (kernel === null) skip(loaded.unavailableReason);
  const clock = kernel?.newClock?.() ?? null;
  if (clock === null) throw new Error('this build has no clock');
  const other = kernel?.newClock?.() ?? null;
  const hrtimeNs = (): number => Number(process.hrtime.bigint());
  for (let look = 0; look < 100; look++) {
    const beforeNs = hrtimeNs();
    clock();
    const afterNs = hrtimeNs();
    assert.ok(clock.cell[0]! >= beforeNs && clock.cell[0]! <= afterNs);
  }
  assert.is(other?.cell[0], 0);
  assert.is(Object.getOwnPropertyDescriptor(clock, 'cell')?.writable, false);
});

function withKernel(title: string, body: (kernel: Kernel) => unknown): void {
  addon(title, () => {
    if (kernel !== null) return body(kernel);
    skip(`native addon: ${loaded.unavailableReason}`);
  });
}

withKernel(
  'an arena is zero, shared, and lost to nobody: unmapping detaches its views',
  (native) => {
    const buffer = mapped(native.arena(1 << 20, false));
    const bytes = new Uint8Array(buffer);
    assert.is(bytes.length, 1 << 20);
    assert.ok(bytes.every((byte) => byte === 0));
    assert.ok(native.addressOf(buffer) > 0);
    assert.is(native.addressOf(buffer) % 4096, 0);
    assert.is(native.unmap(buffer), 0);
    assert.is(bytes.length, 0);
  },
);

withKernel('memory that is not a live mapping cannot be unmapped', (native) => {
  assert.ok(native.unmap(new ArrayBuffer(4096)) < 0);
});

withKernel('an arena is marked so that forked children do not get it', (native) => {
  const buffer = mapped(native.arena(1 << 20, false));
  const start = native.addressOf(buffer).toString(16);
  const maps = readFileSync('/proc/self/smaps', 'utf8');
  const entry = maps.slice(maps.indexOf(`\n${start}-`) + 1);
  const flags = /VmFlags: (.*)/.exec(entry)?.[1] ?? '';
  assert.match(flags, /\bdc\b/, 'MADV_DONTFORK shows as dc');
  native.unmap(buffer);
});

withKernel('descriptors are not inherited by programs that are started', (native) => {
  const fd = native.eventfd();
  const listing = execFileSync('/bin/ls', ['-l', '/proc/self/fd'], { encoding: 'utf8' });
  assert.not.match(listing, /eventfd/);
  native.close(fd);
});

withKernel(
  'a device window whose device is gone reads all-ones and the process lives',
  (native) => {
    const directory = mkdtempSync(join(tmpdir(), 'ultima-guard-'));
    const path = join(directory, 'window');
    writeFileSync(path, Buffer.alloc(8192, 0x11));
    const fd = native.open(path, OpenFlag.readWrite);
    const buffer = mapped(native.map(fd, 0, 8192, true, true));
    const words = new Uint32Array(buffer);
    const read = (i: number): number => words[i]!;
    // Often enough that the access is compiled: the fault must work from optimised code too.
    let sum = 0;
    for (let i = 0; i < 100_000; i++) sum += read(i & 1023);
    assert.is(sum, 100_000 * 0x1111_1111);
    assert.is(native.wasHit(buffer), false);
    truncateSync(path, 0);
    assert.is(read(0), 0xffff_ffff);
    assert.is(native.wasHit(buffer), true);
    words[5] = 1;
    assert.is(read(2047), 0xffff_ffff);
    native.unmap(buffer);
    native.close(fd);
    rmSync(directory, { recursive: true });
  },
);

withKernel('an eventfd wakes its watcher from the event loop and counts', async (native) => {
  const fd = native.eventfd();
  assert.is(native.takeEvent(fd), 0);
  native.signalEvent(fd);
  native.signalEvent(fd);
  assert.is(native.takeEvent(fd), 2);
  const count = await new Promise<number>((resolve) => {
    const watcher = native.watch(fd, () => {
      watcher.close();
      resolve(native.takeEvent(fd));
    });
    watcher.hold(true);
    native.signalEvent(fd);
  });
  assert.is(count, 1);
  native.close(fd);
});

withKernel('a refused call is a negative error number, on and off the thread', async (native) => {
  assert.is(native.open('/nonexistent', OpenFlag.readOnly), -2);
  const fd = native.open('/dev/null', OpenFlag.readOnly);
  assert.is(native.ioctl(fd, 0x3b64, 0), -25);
  assert.is(await native.ioctlAsync(fd, 0x3b64, new Uint32Array(4)), -25);
  assert.is(native.close(fd), 0);
  assert.is(native.close(fd), -9);
});

function mapped(result: ArrayBuffer | number): ArrayBuffer {
  assert.instance(result, ArrayBuffer, `mapping failed: ${result}`);
  if (typeof result === 'number') throw new Error('unreachable');
  return result;
}

addon.run();
