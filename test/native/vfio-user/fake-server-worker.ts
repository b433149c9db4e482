import { ftruncateSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { loadAddon } from '../../../native/load.js';
import { mapDescriptor } from '../../../native/shared-memory.js';
import { ListeningSocket, peerGone, type UnixSocket } from '../../../native/socket.js';
import type { Deviation, Heard, Plan } from './fake-plan.js';

/** What the thread that started this one tells it. */
export type Told = 'report' | { readonly plan: Plan };

const { kernel } = loadAddon();
const port = parentPort;
if (kernel === null || port === null) throw new Error('needs the addon, and to be a worker thread');
const native = kernel;

const headerBytes = 16;
const doorbellOffset = 0x1000;
const barBytes = 0x2000;
const usualJson =
  '{"capabilities":{"max_msg_fds":8,"max_data_xfer_size":1048576,' +
  '"max_dma_maps":16,"pgsizes":4096}}';

let plan: Plan = { deviations: [] };
let heard: Heard[] = [];
let counts = new Map<number, number>();
let memory: [number, string][] = [];
const eventfds: number[] = [];
/** BAR 0: registers, then a page of doorbells; the page lies in the file at its offset. */
let bar = -1;
let barBuffer = new ArrayBuffer(0);
let barBytesView = Buffer.alloc(0);
const config = Buffer.alloc(256);

function usual(): void {
  heard = [];
  counts = new Map();
  memory = [];
  if (bar >= 0) {
    native.unmap(barBuffer);
    native.close(bar);
  }
  bar = native.memfd('fake-bar', barBytes);
  barBuffer = mapDescriptor(native, bar, { offset: 0, length: barBytes, isWritable: true });
  barBytesView = Buffer.from(barBuffer);
  // CAP as a controller might have it, so that it is neither zeroes nor ones.
  barBytesView.writeUInt32LE(0x0f01_07ff, 0);
  config.fill(0);
  config.writeUInt32LE(0x0010_1b36, 0);
  config.writeUInt32LE(0x0108_0202, 8);
}

/** One message with its descriptors, or null at the end of the connection. */
function take(peer: UnixSocket): { bytes: Buffer; fds: number[] } | null {
  let bytes = Buffer.alloc(headerBytes);
  let have = 0;
  const fds: number[] = [];
  for (;;) {
    const count = peer.receive(bytes.subarray(have));
    fds.push(...peer.takeDescriptors());
    if (count === peerGone) return null;
    if (count === 0) {
      peer.waitReadable(50);
      continue;
    }
    have += count;
    if (have < bytes.length) continue;
    const size = bytes.readUInt32LE(4);
    if (have === size) return { bytes, fds };
    bytes = Buffer.concat([bytes, Buffer.alloc(size - headerBytes)]);
  }
}

/** Bytes sent on this connection. */
let given = 0;

/** @returns whether the connection goes on */
function give(peer: UnixSocket, whole: Uint8Array, fds: readonly number[] = []): boolean {
  const room = (plan.cutAfter ?? Number.MAX_SAFE_INTEGER) - given;
  const bytes = whole.length > room ? whole.subarray(0, room) : whole;
  given += bytes.length;
  if (bytes.length === 0) return false;
  let sent = peer.send(bytes, Int32Array.from(fds));
  while (sent >= 0 && sent < bytes.length) {
    peer.waitWritable(50);
    const more = peer.send(bytes.subarray(sent));
    if (more < 0) return false;
    sent += more;
  }
  return given < (plan.cutAfter ?? Number.MAX_SAFE_INTEGER);
}

function message(request: Buffer, payload: Buffer, flags = 1, errno = 0): Buffer {
  const header = Buffer.alloc(headerBytes);
  request.copy(header, 0, 0, 4);
  header.writeUInt32LE(headerBytes + payload.length, 4);
  header.writeUInt32LE(flags, 8);
  header.writeUInt32LE(errno, 12);
  return Buffer.concat([header, payload]);
}

function u32s(...values: readonly number[]): Buffer {
  return Buffer.from(Uint32Array.from(values).buffer);
}

function versionReply(): Buffer {
  const [major, minor, json] = plan.version ?? [0, 1, usualJson];
  const head = Buffer.alloc(4);
  head.writeUInt16LE(major, 0);
  head.writeUInt16LE(minor, 2);
  return Buffer.concat([head, Buffer.from(json === '' ? '' : `${json}\0`)]);
}

/** Payload and descriptors of the description of a region. */
function regionReply(index: number): { payload: Buffer; fds: number[] } {
  if (index === 7) return { payload: u32s(32, 3, 7, 0, 256, 0, 0, 0), fds: [] };
  if (index === 2) return { payload: u32s(32, 3, 2, 0, 64, 0, 0, 0), fds: [] };
  if (index !== 0) return { payload: u32s(32, 0, index, 0, 0, 0, 0, 0), fds: [] };
  if (plan.mapsAll === true) return { payload: u32s(32, 7, 0, 0, barBytes, 0, 0, 0), fds: [bar] };
  if (plan.mapsDoorbells !== true)
    return { payload: u32s(32, 3, 0, 0, barBytes, 0, 0, 0), fds: [] };
  const info = u32s(64, 15, 0, 32, barBytes, 0, 0, 0);
  const sparse = u32s(0x0001_0001, 0, 1, 0, doorbellOffset, 0, 0x1000, 0);
  return { payload: Buffer.concat([info, sparse]), fds: [bar] };
}

function access(payload: Buffer, isWrite: boolean): Buffer {
  const offset = payload.readUInt32LE(0);
  const region = payload.readUInt32LE(8);
  const count = payload.readUInt32LE(12);
  const space = region === 7 ? config : barBytesView;
  if (!isWrite)
    return Buffer.concat([payload.subarray(0, 16), space.subarray(offset, offset + count)]);
  payload.copy(space, offset, 16, 16 + count);
  return payload.subarray(0, 16);
}

function rememberMemory(payload: Buffer, fds: readonly number[]): void {
  const [fd] = fds;
  if (fd === undefined) return;
  const buffer = mapDescriptor(native, fd, {
    offset: payload.readUInt32LE(8),
    length: payload.readUInt32LE(24),
    isWritable: true,
  });
  memory.push([payload.readUInt32LE(16), Buffer.from(buffer, 0, 16).toString('hex')]);
  // A mark that the client must see in its own memory.
  Buffer.from(buffer).writeUInt32LE(0xfeed_beef, buffer.byteLength - 4);
  native.unmap(buffer);
}

/** What a server that obeys the text answers. */
function answer(command: number, payload: Buffer, fds: readonly number[]): [Buffer, number[]] {
  switch (command) {
    case 1:
      return [versionReply(), []];
    case 2:
      rememberMemory(payload, fds);
      return [Buffer.alloc(0), []];
    case 3:
      return [payload, []];
    case 4:
      return [u32s(16, plan.canReset === false ? 2 : 3, 9, 5), []];
    case 5: {
      const { payload: reply, fds: given } = regionReply(payload.readUInt32LE(8));
      return [reply, given];
    }
    case 7: {
      const index = payload.readUInt32LE(8);
      const others = index === plan.notice ? 1 : 0;
      return [u32s(16, 1, index, index === 2 ? (plan.msixVectors ?? 4) : others), []];
    }
    case 8:
      eventfds.splice(payload.readUInt32LE(12), fds.length, ...fds);
      if ((payload.readUInt32LE(4) & 4) !== 0) for (const fd of fds) native.signalEvent(fd);
      return [Buffer.alloc(0), []];
    case 9:
      return [access(payload, false), []];
    case 10:
      return [access(payload, true), []];
    default:
      return [Buffer.alloc(0), []];
  }
}

function deviationFor(command: number, payload: Buffer): Deviation | undefined {
  const count = (counts.get(command) ?? 0) + 1;
  counts.set(command, count);
  return plan.deviations.find(
    (one) =>
      one.command === command &&
      (one.at ?? count) === count &&
      (one.index === undefined || one.index === payload.readUInt32LE(8)),
  );
}

/** @returns whether the connection goes on */
function respond(peer: UnixSocket, bytes: Buffer, fds: readonly number[]): boolean {
  const command = bytes.readUInt16LE(2);
  const payload = bytes.subarray(headerBytes);
  const deviation = deviationFor(command, payload);
  for (const hex of deviation?.first ?? []) give(peer, Buffer.from(hex, 'hex'));
  if (deviation?.instead === 'silence') return true;
  if (deviation?.instead === 'close') return false;
  const [usualPayload, usualFds] = answer(command, payload, fds);
  let reply = message(bytes, usualPayload);
  if (deviation?.errno !== undefined) {
    reply = message(bytes, Buffer.alloc(0), 0x21, deviation.errno);
  }
  if (deviation?.reply !== undefined) {
    reply = Buffer.from(deviation.reply, 'hex');
    if (deviation.keepsId !== true) bytes.copy(reply, 0, 0, 2);
  }
  const lent = deviation?.memories?.map((size) => native.memfd('fake', size));
  if (deviation?.instead === 'half') {
    give(peer, reply.subarray(0, reply.length >> 1));
    return false;
  }
  const isTold = (bytes.readUInt32LE(8) & 0x10) !== 0;
  const isWhole = isTold || give(peer, reply, lent ?? usualFds);
  for (const fd of lent ?? []) native.close(fd);
  if (deviation?.afterwards === 'shrink') ftruncateSync(bar, 0);
  return isWhole && deviation?.afterwards !== 'close';
}

function serve(peer: UnixSocket): void {
  given = 0;
  for (;;) {
    const received = take(peer);
    if (received === null) break;
    const { bytes, fds } = received;
    const copy = Buffer.from(bytes);
    copy.writeUInt16LE(0, 0);
    heard.push({ hex: copy.toString('hex'), descriptors: fds.length });
    // A reply to one of our own commands needs no answer.
    const isReply = (bytes.readUInt32LE(8) & 1) !== 0;
    const goesOn = isReply || respond(peer, bytes, fds);
    if (bytes.readUInt16LE(2) !== 8) for (const fd of fds) native.close(fd);
    if (!goesOn) break;
  }
  peer.close();
  for (const fd of eventfds.splice(0)) native.close(fd);
}

usual();
const listener = new ListeningSocket(native, String(workerData));
listener
  .watch(() => {
    const peer = listener.accept(64);
    if (peer !== null) serve(peer);
  })
  .hold(true);

port.on('message', (told: Told) => {
  if (told === 'report') {
    const doorbells = [...new Uint32Array(barBuffer, doorbellOffset, 8)];
    port.postMessage({ heard, doorbells, memory });
    return;
  }
  plan = told.plan;
  usual();
  port.postMessage('ready');
});
port.postMessage('listening');
