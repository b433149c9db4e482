import * as assert from 'uvu/assert';
import { CardServer, SimCard } from '../../../sim/index.js';
import { defineProfile, findProfile, type ProfileChanges } from '../../../sim/profiles/index.js';
import { FakeSocket, FakeSystem } from './fake-system.js';

export const EEXIST = 17;
export const EINVAL = 22;
export const ENOENT = 2;
export const ENOSPC = 28;
export const EBADF = 9;
export const EOPNOTSUPP = 95;

/** A message of the server, taken apart by hand. */
export interface Heard {
  readonly id: number;
  readonly command: number;
  readonly size: number;
  readonly flags: number;
  readonly error: number;
  readonly payload: Uint8Array;
}

/** Bytes of '10 00 ..', blanks ignored; the way in which the text of the protocol shows them. */
export function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replace(/\s/g, ''), 'hex'));
}

/** Little-endian numbers, each with its size in bytes. */
export function pack(...parts: readonly (readonly [value: number, bytes: number])[]): Uint8Array {
  const all: number[] = [];
  for (const [value, bytes] of parts) {
    let left = value;
    for (let i = 0; i < bytes; i++) {
      all.push(left % 256);
      left = Math.floor(left / 256);
    }
  }
  return Uint8Array.from(all);
}

export function u16(bytes: Uint8Array, at: number): number {
  return bytes[at]! + bytes[at + 1]! * 256;
}

export function u32(bytes: Uint8Array, at: number): number {
  return u16(bytes, at) + u16(bytes, at + 2) * 65_536;
}

export function u64(bytes: Uint8Array, at: number): number {
  return u32(bytes, at) + u32(bytes, at + 4) * 2 ** 32;
}

/** Header of a command and its payload. */
export function command(id: number, number: number, payload: Uint8Array, flags = 0): Uint8Array {
  const head = pack([id, 2], [number, 2], [16 + payload.length, 4], [flags, 4], [0, 4]);
  return Uint8Array.from([...head, ...payload]);
}

/**
 * A served card and the other end of its socket. Everything that the test sends is bytes, and
 * everything that comes back is looked at as bytes.
 */
export class ServeRig {
  readonly system = new FakeSystem();
  readonly server: CardServer;
  socket: FakeSocket;
  readonly realTime = new Float64Array(1);
  private nextId = 0x100;
  private heardBytes = 0;

  constructor(
    options: {
      readonly changes?: ProfileChanges;
      readonly isNegotiated?: boolean;
      readonly isMovable?: boolean;
    } = {},
  ) {
    const profile = defineProfile(findProfile('simple'), options.changes ?? {});
    this.server = new CardServer({
      makeCard: (foreignHost) => new SimCard({ profile, foreignHost }),
      system: this.system,
      realTime: this.realTime,
      isMovable: options.isMovable ?? false,
    });
    this.socket = new FakeSocket(this.system);
    this.server.accept(this.socket);
    this.server.turn();
    if (options.isNegotiated !== false) this.negotiate();
  }

  /** A new connection takes the place of the old one. */
  reconnect(): void {
    this.socket = new FakeSocket(this.system);
    this.heardBytes = 0;
    this.server.accept(this.socket);
  }

  negotiate(text = '{"capabilities":{"max_msg_fds":8,"write_multiple":true}}\0'): Heard {
    const payload = Uint8Array.from([0, 0, 1, 0, ...new TextEncoder().encode(text)]);
    return this.ask(1, payload);
  }

  /** Let the server handle everything that has arrived. */
  pump(): void {
    while (this.server.pump());
  }

  /** What was rung has been seen; let some real time pass for the card. */
  run(ns: number): void {
    this.server.turn();
    this.pause(ns);
  }

  /** The same for a card that nobody has looked at meanwhile. */
  pause(ns: number): void {
    this.realTime[0]! += ns;
    this.server.turn();
  }

  /** Send bytes as they are. */
  raw(bytes: Uint8Array, fds: readonly number[] = []): void {
    this.socket.arrive(bytes, fds);
    this.pump();
  }

  /** The next message that the server has sent; null when there is none. */
  hear(): Heard | null {
    const bytes = Uint8Array.from(this.socket.sent.slice(this.heardBytes));
    if (bytes.length < 16) return null;
    const size = u32(bytes, 4);
    if (bytes.length < size) return null;
    this.heardBytes += size;
    return {
      id: u16(bytes, 0),
      command: u16(bytes, 2),
      size,
      flags: u32(bytes, 8),
      error: u32(bytes, 12),
      payload: bytes.slice(16, size),
    };
  }

  /** Send a command; its reply must be the next message. */
  ask(number: number, payload: Uint8Array, fds: readonly number[] = []): Heard {
    const id = this.nextId++;
    this.raw(command(id, number, payload), fds);
    const heard = this.hear();
    assert.ok(heard !== null, `no answer to command ${number}`);
    if (heard === null) throw new Error('unreachable');
    assert.is(heard.id, id, 'the id of the command comes back');
    assert.is(heard.command, number, 'the number of the command comes back');
    assert.is(heard.flags & 0xf, 1, 'a reply');
    return heard;
  }

  /** The reply must be an error, which is a header alone. @returns the error number */
  refuse(number: number, payload: Uint8Array, fds: readonly number[] = []): number {
    const heard = this.ask(number, payload, fds);
    assert.is(heard.flags, 0x21, 'a reply with the error flag');
    assert.is(heard.size, 16, 'an error reply is its header');
    return heard.error;
  }

  /** The reply must be a success. @returns its payload */
  done(number: number, payload: Uint8Array, fds: readonly number[] = []): Uint8Array {
    const heard = this.ask(number, payload, fds);
    assert.is(heard.flags, 0x01, `command ${number} failed with error ${heard.error}`);
    assert.is(heard.error, 0);
    return heard.payload;
  }

  get isOpen(): boolean {
    return this.server.isConnected;
  }

  // Shorthands for commands that many statements need.

  mapping(address: number, length: number, flags = 3, offset = 0): Uint8Array {
    return pack([32, 4], [flags, 4], [offset, 8], [address, 8], [length, 8]);
  }

  access(region: number, offset: number, count: number, data: Uint8Array = hex('')): Uint8Array {
    return Uint8Array.from([...pack([offset, 8], [region, 4], [count, 4]), ...data]);
  }

  read(region: number, offset: number, count: number): Uint8Array {
    return this.done(9, this.access(region, offset, count)).slice(16);
  }

  write32(region: number, offset: number, value: number): void {
    this.done(10, this.access(region, offset, 4, pack([value, 4])));
  }

  /** Doorbells as a peer has them mapped. */
  doorbells(): Uint32Array {
    const info = this.done(5, pack([64, 4], [0, 4], [0, 4], [0, 4], [0, 16]));
    const file = this.system.open.get(this.socket.sentFds.at(-1)!);
    if (file?.kind !== 'memory') throw new Error('no memory came with BAR 0');
    return new Uint32Array(file.bytes.buffer, file.bytes.byteOffset + u64(info, 48), 1024);
  }

  /** Memory of the peer at an address; the bytes are shared with the card. */
  give(address: number, length: number, flags = 3): Uint8Array {
    const bytes = new Uint8Array(length);
    this.done(2, this.mapping(address, length, flags), [this.system.memoryFd(bytes)]);
    return bytes;
  }
}
