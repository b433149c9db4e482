import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { native } from '../../../native/index.js';
import { NodeSockets } from '../../../sdk/sockets/node-sockets.js';
import { openSockets } from '../../../sdk/sockets/open.js';
import type { LocalSockets, Stream, StreamUser } from '../../../sdk/sockets/stream.js';
import { until } from '../../support/fabric-rig.js';
import { skip, suite } from '../../support/suite.js';
import { codeOf } from '../volume/rig.js';

const test = suite('sdk/sockets streams');
const folder = mkdtempSync(join(tmpdir(), 'ultima-sockets-'));
let count = 0;

test.after(() => rmSync(folder, { recursive: true }));

/** One end of a connection in our hands, the other end a socket of Node. */
class Ends implements StreamUser {
  readonly peer: Socket;
  stream: Stream | null = null;
  received = 0;
  hasInputEnded = false;
  why = '';
  private readonly sockets: LocalSockets;

  constructor(sockets: LocalSockets, path: string) {
    this.sockets = sockets;
    this.peer = connect({ path, allowHalfOpen: true });
    this.peer.on('error', () => {});
  }

  receive(_bytes: Uint8Array, from: number, to: number): void {
    this.received += to - from;
  }

  sent(): void {}

  inputEnded(): void {
    this.hasInputEnded = true;
  }

  gone(why: string): void {
    this.why = why;
  }

  /** So many rounds of the event loop, with a look in each. */
  async rounds(rounds: number): Promise<void> {
    for (let i = 0; i < rounds; i++) {
      this.sockets.poll();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  until(what: string, isSo: () => boolean): Promise<void> {
    return until(what, () => {
      this.sockets.poll();
      return isSo();
    });
  }
}

async function withEnds(
  sockets: LocalSockets,
  body: (ends: Ends, stream: Stream) => Promise<void>,
): Promise<void> {
  const path = join(folder, `${count++}.sock`);
  let accepted: Stream | null = null;
  const listening = await sockets.listenAt(path, (stream) => {
    accepted = stream;
  });
  const ends = new Ends(sockets, path);
  try {
    await ends.until('it is accepted', () => accepted !== null);
    const stream: Stream = accepted!;
    stream.attach(ends);
    await body(ends, stream);
  } finally {
    ends.peer.destroy();
    listening.close();
    sockets.close();
  }
  assert.is(existsSync(path), false, 'the socket of those who closed stays');
}

const kinds = { 'node:net': async () => new NodeSockets(), 'the addon': openSockets } as const;

for (const [name, open] of Object.entries(kinds)) {
  if (name === 'the addon' && !native.isAvailable) {
    test('the addon is needed', () => skip(`native addon: ${native.unavailableReason}`));
    continue;
  }

  test(`${name}: who is not read from waits, and loses nothing`, async () =>
    withEnds(await open(), async (ends, stream) => {
      ends.peer.write(Buffer.alloc(1000));
      await ends.until('the first came', () => ends.received === 1000);
      stream.setReading(false);
      let hasGone = false;
      ends.peer.write(Buffer.alloc(8 * 1024 * 1024), () => {
        hasGone = true;
      });
      await ends.rounds(200);
      assert.is(hasGone, false, 'so much fits nowhere: somebody has read it');
      // What node:net has read already comes at the latest now.
      assert.ok(ends.received <= 1000 + 256 * 1024, `${ends.received} bytes came`);
      stream.setReading(true);
      await ends.until('the rest came', () => ends.received === 1000 + 8 * 1024 * 1024);
    }));

  test(`${name}: who has said all is still answered`, async () =>
    withEnds(await open(), async (ends, stream) => {
      let heard = 0;
      ends.peer.on('data', (bytes: Buffer) => {
        heard += bytes.length;
      });
      ends.peer.end(Buffer.alloc(100));
      await ends.until('its end is seen', () => ends.hasInputEnded);
      assert.is(ends.received, 100);
      assert.is(ends.why, '');
      stream.send(new Uint8Array(500), 300);
      await ends.until('the answer came', () => heard === 300);
      stream.end();
      await ends.until('the end came', () => ends.why !== '');
    }));

  test(`${name}: who vanishes while nobody reads from it is noticed`, async () =>
    withEnds(await open(), async (ends, stream) => {
      stream.setReading(false);
      ends.peer.write(Buffer.alloc(100));
      ends.peer.destroy();
      const chunk = new Uint8Array(1024 * 1024);
      // Node looks at nothing while it neither reads nor writes.
      if (name === 'node:net') stream.send(chunk, chunk.length);
      await ends.until('it is gone', () => ends.why !== '');
    }));

  test(`${name}: a goodbye takes what was said before along`, async () =>
    withEnds(await open(), async (ends, stream) => {
      const chunk = new Uint8Array(3 * 1024 * 1024);
      stream.send(chunk, chunk.length);
      stream.end();
      stream.destroy();
      let heard = 0;
      ends.peer.on('data', (bytes: Buffer) => {
        heard += bytes.length;
      });
      ends.peer.on('end', () => ends.peer.end());
      await ends.until('the end came', () => ends.why !== '');
      assert.is(heard, chunk.length);
    }));

  test(`${name}: who closes hears nothing more`, async () =>
    withEnds(await open(), async (ends, stream) => {
      let isClosed = false;
      ends.peer.on('close', () => {
        isClosed = true;
      });
      ends.peer.on('end', () => ends.peer.end());
      ends.peer.resume();
      stream.destroy();
      await ends.until('the other end hears it', () => isClosed);
      assert.is(ends.why, '');
    }));

  test(`${name}: places that cannot be are refused by name`, async () => {
    const sockets = await open();
    const at = (path: string): Promise<string> => codeOf(sockets.listenAt(path, () => {}));
    const file = join(folder, `file of ${name.replace(/\W/g, '')}`);
    writeFileSync(file, 'precious');
    assert.is(await at(file), 'FILE_UNWRITABLE');
    assert.is(await at(join(folder, 'none', 's')), 'FILE_UNWRITABLE');
    const path = join(folder, `${count++}.sock`);
    const listening = await sockets.listenAt(path, () => {});
    assert.is(await at(path), 'DEVICE_BUSY');
    listening.close();
    const { place, close } = await sockets.listen({ host: '127.0.0.1', port: 0 }, () => {});
    assert.is(await codeOf(sockets.listen(place, () => {})), 'DEVICE_BUSY');
    close();
    for (const host of ['192.0.2.1', 'no such host']) {
      assert.is(await codeOf(sockets.listen({ host, port: 0 }, () => {})), 'ADDRESS_INVALID');
    }
    sockets.close();
  });
}

test.run();
