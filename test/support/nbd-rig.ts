import { MemoryDevice } from '../../sdk/block/memory.js';
import {
  BlockOp,
  type BlockRequest,
  type BlockStatus,
  blockFlagFua,
} from '../../sdk/block/request.js';
import { NbdConnection } from '../../sdk/nbd/connection.js';
import type { TlsUse } from '../../sdk/nbd/negotiation.js';
import { type NbdExport, ServedExport } from '../../sdk/nbd/served-export.js';
import { ChunkPool } from '../../sdk/sockets/outbox.js';
import type { Stream } from '../../sdk/sockets/stream.js';
import { stillClock } from './crash-device.js';

const opNames: readonly string[] = ['', 'read', 'write', 'flush', 'discard', 'writeZeroes'];

/** A memory device that writes down what it is asked, fails where it is told to, and can wait. */
export class WatchedDevice extends MemoryDevice {
  /** 'write 8+1 fua', in the order of submission. */
  readonly log: string[] = [];
  /** Block → status of every request that touches it. */
  readonly failing = new Map<number, BlockStatus>();
  isHeld = false;
  /** How often somebody has looked. */
  polls = 0;

  constructor(blockCount: number, blockBytes = 512, maxInFlight = 256, clock = stillClock) {
    super({ blockBytes, blockCount, clock, maxInFlight });
  }

  override submit(request: BlockRequest): void {
    super.submit(request);
    const { op, lba, blockCount, flags } = request;
    const place = op === BlockOp.flush ? '' : ` ${lba}+${blockCount}`;
    this.log.push(`${opNames[op]}${place}${flags === blockFlagFua ? ' fua' : ''}`);
    for (const [block, status] of this.failing) {
      if (block >= lba && block < lba + blockCount) request.status = status;
    }
  }

  override poll(): number {
    this.polls++;
    return this.isHeld ? 0 : super.poll();
  }
}

/** What the server says, in one piece, and what it does to the connection. */
export class RigStream implements Stream {
  readonly remote = '';
  readonly local = '';
  connection: NbdConnection | null = null;
  /** All that was sent and not looked at. */
  private pieces: Buffer[] = [];
  private underWay: Uint8Array[] = [];
  isReading = true;
  isTls = false;
  ending: '' | 'end' | 'destroy' = '';
  /** The client does not read: what is sent stays under way. */
  isStuck = false;

  attach(): void {}

  send(chunk: Uint8Array, length: number): boolean {
    this.underWay.push(chunk.subarray(0, length));
    return false;
  }

  setReading(isWanted: boolean): void {
    this.isReading = isWanted;
  }

  end(): void {
    this.ending = 'end';
  }

  destroy(): void {
    this.ending = 'destroy';
  }

  /** Let the client have what is under way. @returns whether there was something */
  deliver(): boolean {
    if (this.isStuck || this.underWay.length === 0) return false;
    for (const bytes of this.underWay.splice(0)) {
      this.pieces.push(Buffer.from(bytes));
      this.connection!.sent();
    }
    return true;
  }

  take(): Buffer {
    const all = Buffer.concat(this.pieces);
    this.pieces = [];
    return all;
  }
}

const mostTurns = 100_000;

export interface RigOptions {
  readonly exports?: readonly NbdExport[];
  readonly tls?: TlsUse;
  readonly chunks?: ChunkPool;
}

/** One server without sockets, and connections to it whose bytes are in the test's hands. */
export class NbdRig {
  readonly device: WatchedDevice;
  readonly served: readonly ServedExport[];
  private readonly tls: TlsUse;
  private readonly chunks: ChunkPool;
  private readonly streams: RigStream[] = [];

  constructor(device: WatchedDevice, options: RigOptions = {}) {
    this.device = device;
    const exports = options.exports ?? [{ name: 'disk', description: 'a disk', device }];
    this.served = exports.map((each) => new ServedExport(each));
    this.tls = options.tls ?? 'off';
    this.chunks = options.chunks ?? new ChunkPool();
  }

  connect(): RigClient {
    const stream = new RigStream();
    const { served, tls, chunks } = this;
    const connection = new NbdConnection({
      stream,
      exports: served,
      tls,
      chunks,
      startTls: () => {
        stream.isTls = true;
      },
      touch: () => {},
      over: () => {},
    });
    stream.connection = connection;
    this.streams.push(stream);
    connection.greet();
    return new RigClient(this, connection, stream);
  }

  /** Let devices and connections go on until nothing moves any more. */
  settle(): void {
    for (let isMoving = true; isMoving; ) {
      isMoving = false;
      for (const served of this.served) if (served.poll() > 0) isMoving = true;
      for (const { connection } of this.streams) connection!.turn();
      for (const stream of this.streams) if (stream.deliver()) isMoving = true;
    }
  }

  /** The same, and what takes more than the devices: maps that are read, exports that grow. */
  async settled(): Promise<void> {
    this.settle();
    for (let i = 0; this.served.some(({ inFlight }) => inFlight > 0); i++) {
      if (i === mostTurns) throw new Error('what is under way never ends');
      await null;
      this.settle();
    }
  }
}

export class RigClient {
  readonly rig: NbdRig;
  readonly connection: NbdConnection;
  readonly stream: RigStream;

  constructor(rig: NbdRig, connection: NbdConnection, stream: RigStream) {
    this.rig = rig;
    this.connection = connection;
    this.stream = stream;
  }

  /** Send bytes, given as hexadecimal with blanks or as they are. @returns the answer */
  say(...parts: readonly (string | Uint8Array)[]): Buffer {
    const bytes = parts.map((part) => (typeof part === 'string' ? fromHex(part) : part));
    const all = Buffer.concat(bytes);
    this.connection.receive(all, 0, all.length);
    this.rig.settle();
    return this.stream.take();
  }

  /** The same where the answer takes more than the device. */
  async ask(...parts: readonly Uint8Array[]): Promise<Buffer> {
    const first = this.say(...parts);
    await this.rig.settled();
    return Buffer.concat([first, this.stream.take()]);
  }

  /** The answer to something else than bytes. */
  heard(): Buffer {
    this.rig.settle();
    return this.stream.take();
  }

  /** Into the transmission phase, the short way. @returns the transmission flags */
  go(options: GoOptions = {}): number {
    this.heard();
    this.say('00000003');
    if (options.isExtended === true) this.say(option(11));
    else if (options.isStructured !== false) this.say(option(8));
    for (const each of options.options ?? []) this.say(each);
    const name = options.name ?? 'disk';
    const answer = this.say(option(7, u32(name.length), Buffer.from(name), u16(0)));
    return answer.readUInt16BE(20 + 10);
  }
}

export interface GoOptions {
  /** True when left out. */
  readonly isStructured?: boolean;
  readonly isExtended?: boolean;
  /** Said before the export is chosen. */
  readonly options?: readonly Uint8Array[];
  readonly name?: string;
}

export function fromHex(text: string): Buffer {
  return Buffer.from(text.replace(/\s/g, ''), 'hex');
}

export function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

/** An option with its data, written from the text of the protocol and not from our tables. */
export function option(code: number, ...data: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(data);
  return Buffer.concat([fromHex('49484156454f5054'), u32(code), u32(body.length), body]);
}

export interface RequestWords {
  readonly command: number;
  readonly flags?: number;
  readonly cookie?: number;
  readonly offset?: number;
  readonly length?: number;
}

/** A request with a length of 64 bits, likewise; what has data must say so in its flags. */
export function extended(words: RequestWords): Buffer {
  const { command, flags = 0, cookie = 1, offset = 0, length = 0 } = words;
  return Buffer.concat([
    fromHex('21e41c71'),
    u16(flags),
    u16(command),
    u64(cookie),
    u64(offset),
    u64(length),
  ]);
}

/** A request, likewise. */
export function request(words: RequestWords): Buffer {
  const { command, flags = 0, cookie = 1, offset = 0, length = 0 } = words;
  return Buffer.concat([
    fromHex('25609513'),
    u16(flags),
    u16(command),
    u64(cookie),
    u64(offset),
    u32(length),
  ]);
}

export interface HeardChunk {
  readonly cookie: number;
  readonly isDone: boolean;
  /** -1 for a simple reply, whose error stands in `error`. */
  readonly type: number;
  readonly error: number;
  readonly payload: Buffer;
  /** Of the request, where it is sent back. */
  readonly offset?: number;
}

/** The messages of the server after structured replies were agreed on. */
export function chunksOf(bytes: Buffer): HeardChunk[] {
  const chunks: HeardChunk[] = [];
  for (let at = 0; at < bytes.length; ) {
    const magic = bytes.readUInt32BE(at);
    if (magic === 0x67446698) {
      const cookie = Number(bytes.readBigUInt64BE(at + 8));
      const error = bytes.readUInt32BE(at + 4);
      chunks.push({ cookie, isDone: true, type: -1, error, payload: Buffer.alloc(0) });
      at += 16;
      continue;
    }
    const isExtended = magic === 0x6e8a278c;
    if (!isExtended && magic !== 0x668e33ef) {
      throw new Error(`no message at byte ${at}: ${magic.toString(16)}`);
    }
    const head = isExtended ? 32 : 20;
    const length = bytes.readUInt32BE(at + head - 4);
    const payload = bytes.subarray(at + head, at + head + length);
    if (payload.length < length) throw new Error(`a chunk of ${length} bytes is cut short`);
    const type = bytes.readUInt16BE(at + 6);
    chunks.push({
      cookie: Number(bytes.readBigUInt64BE(at + 8)),
      isDone: (bytes.readUInt16BE(at + 4) & 1) === 1,
      type,
      error: type >= 0x8000 ? payload.readUInt32BE(0) : 0,
      payload,
      ...(isExtended && { offset: Number(bytes.readBigUInt64BE(at + 16)) }),
    });
    at += head + length;
  }
  return chunks;
}

/** What a read was answered with, put together; null when there was an error. */
export function contentOf(
  chunks: readonly HeardChunk[],
  { offset, length }: { readonly offset: number; readonly length: number },
): Buffer | null {
  const content = Buffer.alloc(length, 0xee);
  for (const { type, payload } of chunks) {
    if (type < 0 || type >= 0x8000) return null;
    if (type === 0) continue;
    const at = Number(payload.readBigUInt64BE(0)) - offset;
    if (type === 1) payload.copy(content, at, 8);
    else content.fill(0, at, at + payload.readUInt32BE(8));
  }
  return content;
}

export interface HeardReply {
  readonly option: number;
  readonly type: number;
  readonly data: Buffer;
}

/** The replies to options. */
export function repliesOf(bytes: Buffer): HeardReply[] {
  const replies: HeardReply[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (bytes.readBigUInt64BE(at) !== 0x3e889045565a9n) throw new Error(`no reply at byte ${at}`);
    const length = bytes.readUInt32BE(at + 16);
    replies.push({
      option: bytes.readUInt32BE(at + 8),
      type: bytes.readUInt32BE(at + 12),
      data: bytes.subarray(at + 20, at + 20 + length),
    });
    at += 20 + length;
  }
  return replies;
}
