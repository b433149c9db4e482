import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import * as assert from 'uvu/assert';
import { fromHex, option, request, u16, u32 } from './nbd-rig.js';
import * as certificates from './test-certificates.js';

/** A client that reads what it knows the length of. */
export class Peer {
  socket: Socket;
  private got = Buffer.alloc(0);
  private wake: () => void = () => {};
  isClosed = false;

  constructor(socket: Socket) {
    this.socket = socket;
    this.watch(socket);
  }

  static to(uri: string): Peer {
    const path = /socket=(.*)$/.exec(uri)?.[1];
    if (path !== undefined) return new Peer(connect(decodeURIComponent(path)));
    const { hostname, port } = new URL(uri);
    return new Peer(connect(Number(port), hostname));
  }

  /** From now on encrypted. */
  async secure(): Promise<void> {
    this.socket.removeAllListeners('data');
    const { authority: ca, clientCertificate: cert, clientKey: key } = certificates;
    const secure = connectTls({ socket: this.socket, ca, cert, key, servername: 'localhost' });
    this.socket = secure;
    this.watch(secure);
    await once(secure, 'secureConnect');
  }

  say(...parts: readonly Uint8Array[]): void {
    this.socket.write(Buffer.concat(parts));
  }

  async hear(length: number): Promise<Buffer> {
    while (this.got.length < length) {
      if (this.isClosed) throw new Error(`closed after ${this.got.length} of ${length} bytes`);
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
    const piece = this.got.subarray(0, length);
    this.got = this.got.subarray(length);
    return piece;
  }

  async closed(): Promise<void> {
    while (!this.isClosed) {
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }

  /** The way of a new client into transmission: no information is asked for beyond the name. */
  async go(name = 'disk'): Promise<void> {
    await this.hear(18);
    this.say(fromHex('00000003'), option(7, u32(name.length), Buffer.from(name), u16(0)));
    for (let type = 0; type !== 1; ) {
      const head = await this.hear(20);
      type = head.readUInt32BE(12);
      await this.hear(head.readUInt32BE(16));
      if (type >= 0x8000_0000) throw new Error(`refused with ${type.toString(16)}`);
    }
  }

  async write(offset: number, data: Buffer): Promise<number> {
    this.say(request({ command: 1, offset, length: data.length }), data);
    return (await this.hear(16)).readUInt32BE(4);
  }

  async read(offset: number, length: number): Promise<Buffer> {
    this.say(request({ command: 0, offset, length }));
    const head = await this.hear(16);
    assert.is(head.readUInt32BE(4), 0);
    return this.hear(length);
  }

  /** Ask for another size of the export. @returns the error, 0 for success */
  async resize(bytes: number): Promise<number> {
    this.say(request({ command: 8, offset: bytes }));
    return (await this.hear(16)).readUInt32BE(4);
  }

  private watch(socket: Socket): void {
    socket.on('data', (bytes: Buffer) => {
      this.got = Buffer.concat([this.got, bytes]);
      this.wake();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.isClosed = true;
      this.wake();
    });
  }
}
