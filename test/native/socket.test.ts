import { mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import type { NativeKernel } from '../../native/kernel.js';
import { loadAddon } from '../../native/load.js';
import { ListeningSocket, peerGone, UnixSocket } from '../../native/socket.js';
import { ErrorCode, UltimaError } from '../../sdk/errors.js';
import { skip, suite } from '../support/suite.js';

const socket = suite('native/socket');
const loaded = loadAddon();

function withKernel(title: string, body: (kernel: NativeKernel) => unknown): void {
  socket(title, () => {
    if (loaded.kernel !== null) return body(loaded.kernel);
    skip(`native addon: ${loaded.unavailableReason}`);
  });
}

function inFolder(body: (folder: string) => unknown): unknown {
  const folder = mkdtempSync(join(tmpdir(), 'ultima-socket-'));
  const remove = (): void => rmSync(folder, { recursive: true });
  const result = body(folder);
  if (result instanceof Promise) return result.finally(remove);
  remove();
}

/** What a descriptor of this process leads to, as the kernel names it. */
function target(fd: number): string {
  return readlinkSync(`/proc/self/fd/${fd}`);
}

function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

function refusal(body: () => unknown): UltimaError {
  try {
    body();
  } catch (error) {
    if (error instanceof UltimaError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

withKernel('bytes arrive as they were sent, and nothing is 0', (kernel) => {
  const [left, right] = UnixSocket.pair(kernel);
  const into = new Uint8Array(8);
  assert.is(right.receive(into), 0);
  assert.is(left.send(Uint8Array.of(1, 2, 3)), 3);
  assert.is(right.receive(into), 3);
  assert.equal([...into.subarray(0, 3)], [1, 2, 3]);
  left.close();
  assert.is(right.receive(into), peerGone);
  assert.is(right.send(into), peerGone);
  right.close();
  assert.is(right.receive(into), peerGone);
});

withKernel('what was sent before the end is received before the end', (kernel) => {
  const [left, right] = UnixSocket.pair(kernel);
  left.send(Uint8Array.of(7));
  left.close();
  const into = new Uint8Array(4);
  assert.is(right.receive(into), 1);
  assert.is(right.receive(into), peerGone);
  right.close();
});

withKernel('a descriptor that travels leads to the same memory and is closed on exec', (kernel) => {
  const [left, right] = UnixSocket.pair(kernel);
  const fd = kernel.memfd('travels', 4096);
  left.send(Uint8Array.of(1), Int32Array.of(fd));
  right.receive(new Uint8Array(1));
  const [received = -1, ...more] = right.takeDescriptors();
  assert.is(more.length, 0);
  assert.is.not(received, fd);
  assert.is(target(received), target(fd));
  const flags = new Uint8Array(4096);
  const info = kernel.open(`/proc/self/fdinfo/${received}`, 0);
  const text = Buffer.from(flags.subarray(0, kernel.read(info, flags, 0))).toString();
  // Octal: O_CLOEXEC is 02000000 [Linux asm-generic/fcntl.h].
  assert.match(text, /^flags:\s+0?2\d{6}$/m);
  for (const open of [fd, received, info]) kernel.close(open);
  left.close();
  right.close();
});

withKernel('of more descriptors than allowed the rest is closed, none leaks', (kernel) => {
  const before = openDescriptors();
  const [left, right] = UnixSocket.pair(kernel, 2);
  const fds = Int32Array.from({ length: 253 }, () => kernel.eventfd());
  left.send(Uint8Array.of(1), fds);
  assert.is(right.receive(new Uint8Array(1)), 1);
  assert.is(right.refusedCount, 251);
  left.send(Uint8Array.of(1), fds.subarray(0, 1));
  right.receive(new Uint8Array(1));
  assert.is(right.refusedCount, 252, 'two wait already');
  assert.is(right.takeDescriptors().map((fd) => kernel.close(fd)).length, 2);
  assert.is(right.takeDescriptors().length, 0);
  left.send(Uint8Array.of(1), fds.subarray(0, 2));
  right.receive(new Uint8Array(1));
  right.close();
  left.close();
  for (const fd of fds) kernel.close(fd);
  assert.is(openDescriptors(), before);
});

withKernel('descriptors come with the first byte of their message, not earlier', (kernel) => {
  const [left, right] = UnixSocket.pair(kernel);
  const fd = kernel.eventfd();
  left.send(Uint8Array.of(1, 1, 1, 1));
  left.send(Uint8Array.of(2, 2, 2, 2), Int32Array.of(fd));
  assert.is(right.receive(new Uint8Array(4)), 4);
  assert.is(right.dropDescriptors(), 0);
  assert.is(right.receive(new Uint8Array(4)), 4);
  assert.is(right.dropDescriptors(), 1);
  kernel.close(fd);
  left.close();
  right.close();
});

withKernel('a peer that does not read costs no wait: sending says 0', (kernel) => {
  const [left, right] = UnixSocket.pair(kernel);
  const block = new Uint8Array(65_536);
  let sent = 0;
  for (let i = 0; i < 1000; i++) {
    const count = left.send(block);
    if (count === 0) break;
    sent += count;
  }
  assert.is(left.send(block), 0);
  assert.is(left.waitWritable(0), false);
  for (let left = sent; left > 0; ) left -= right.receive(block);
  assert.is(left.waitWritable(0), true);
  left.close();
  right.close();
});

withKernel('a wait ends by its time, by bytes and by the end of the peer', (kernel) => {
  const [left, right] = UnixSocket.pair(kernel);
  assert.is(right.waitReadable(0), false);
  assert.is(right.waitReadable(1), false);
  left.send(Uint8Array.of(1));
  assert.is(right.waitReadable(60_000), true);
  right.receive(new Uint8Array(1));
  assert.is(right.waitReadable(0), false);
  left.close();
  assert.is(right.waitReadable(60_000), true);
  right.close();
});

withKernel('watchers of reading and of room call back from the event loop', async (kernel) => {
  const [left, right] = UnixSocket.pair(kernel);
  await new Promise<void>((resolve) => {
    const watcher = left.watchWritable(() => {
      watcher.close();
      resolve();
    });
    watcher.hold(true);
  });
  const bytes = new Uint8Array(4);
  const count = await new Promise<number>((resolve) => {
    const watcher = right.watch(() => {
      watcher.close();
      resolve(right.receive(bytes));
    });
    watcher.hold(true);
    left.send(Uint8Array.of(9, 8));
  });
  assert.is(count, 2);
  assert.equal([...bytes], [9, 8, 0, 0]);
  left.close();
  right.close();
});

withKernel('two processes would meet at a path: accept, peer, removal', (kernel) =>
  inFolder((folder) => {
    const path = join(folder, 'cntrl');
    const listener = new ListeningSocket(kernel, path);
    assert.is(listener.accept(), null);
    const client = UnixSocket.connect(kernel, path);
    const server = listener.accept();
    assert.ok(server !== null);
    assert.is(server?.peerProcess, process.pid);
    client.send(Uint8Array.of(5));
    assert.is(server?.receive(new Uint8Array(2)), 1);
    client.close();
    server?.close();
    listener.close();
    listener.close();
    assert.equal(readdirSync(folder), []);
  }),
);

withKernel('a path left behind is taken over, a path in use is not', (kernel) =>
  inFolder((folder) => {
    const path = join(folder, 'cntrl');
    const died = kernel.socketListen(path, 1);
    assert.is(refusal(() => new ListeningSocket(kernel, path)).code, ErrorCode.deviceBusy);
    kernel.close(died);
    assert.match(refusal(() => UnixSocket.connect(kernel, path)).message, /nobody listens/);
    new ListeningSocket(kernel, path).close();
    writeFileSync(path, 'precious');
    const refused = refusal(() => new ListeningSocket(kernel, path));
    assert.is(refused.code, ErrorCode.fileUnwritable);
    assert.match(refused.message, /is not a socket/);
    assert.equal(readdirSync(folder), ['cntrl']);
  }),
);

withKernel('what cannot be connected to says what to do', (kernel) =>
  inFolder((folder) => {
    const failure = (path: string): UltimaError => refusal(() => UnixSocket.connect(kernel, path));
    assert.match(failure(join(folder, 'absent')).message, /there is nothing; start the server/);
    writeFileSync(join(folder, 'file'), '');
    assert.match(failure(join(folder, 'file')).message, /it is not a socket/);
    assert.match(failure(join(folder, 'file/x')).message, /no folder/);
    const long = `${folder}/${'x'.repeat(107 - folder.length)}`;
    assert.is(failure(long).code, ErrorCode.addressInvalid);
    assert.match(failure(long).message, /108 bytes, 1 to 107/);
    assert.match(failure(long.slice(0, -1)).message, /there is nothing/);
    assert.is(failure('').code, ErrorCode.addressInvalid);
    assert.is(failure('a\0b').code, ErrorCode.addressInvalid);
  }),
);

withKernel("Node's own server understands our client", (kernel) =>
  inFolder(async (folder) => {
    const path = join(folder, 'node');
    const heard = new Promise<string>((resolve) => {
      const server = createServer((peer) => {
        peer.on('data', (data) => {
          peer.destroy();
          server.close();
          resolve(data.toString());
        });
      }).listen(path, () => {
        const client = UnixSocket.connect(kernel, path);
        client.send(Buffer.from('hello'));
        client.close();
      });
    });
    assert.is(await heard, 'hello');
  }),
);

withKernel('arguments out of range are refused before anything is sent', (kernel) => {
  const [left, right] = UnixSocket.pair(kernel);
  assert.throws(() => left.send(new Uint8Array(0)), /0 bytes/);
  assert.throws(() => left.send(new Uint8Array(1), new Int32Array(254)), /at most 253/);
  assert.throws(() => left.receive(new Uint8Array(0)), /0 bytes/);
  assert.throws(() => left.waitReadable(-1), /-1 ms/);
  assert.throws(() => left.waitReadable(0.5), /0.5 ms/);
  assert.throws(() => new UnixSocket(kernel, -1, 254), /254 descriptors/);
  const refused = refusal(() => left.send(new Uint8Array(1), Int32Array.of(-1)));
  assert.is(refused.facts.errno, 'EBADF');
  assert.is(right.receive(new Uint8Array(1)), 0);
  left.close();
  right.close();
});

socket.run();
