import * as assert from 'uvu/assert';
import { crc32cOfRange } from '../../../sdk/crc32c.js';
import { PduReader, type PduUser, typeSet } from '../../../sdk/fabric/pdu-reader.js';
import { PduWriter } from '../../../sdk/fabric/pdu-writer.js';
import { ChunkPool, Outbox } from '../../../sdk/sockets/outbox.js';
import type { Stream } from '../../../sdk/sockets/stream.js';
import {
  ControllerData,
  HostData,
  headerBytesOf,
  PduType,
  ReadyToTransfer,
} from '../../../sdk/spec/fabrics/pdu.js';
import { suite } from '../../support/suite.js';

const test = suite('sdk/fabric PDUs');

/** Keeps what is sent. */
class Sink implements Stream {
  readonly remote = '';
  readonly local = '';
  readonly pieces: Buffer[] = [];
  attach(): void {}
  send(chunk: Uint8Array, length: number): boolean {
    this.pieces.push(Buffer.from(chunk.slice(0, length)));
    return true;
  }
  setReading(): void {}
  end(): void {}
  destroy(): void {}
  get bytes(): Buffer {
    return Buffer.concat(this.pieces);
  }
}

/** Writes down what it is told. */
class Listener implements PduUser {
  readonly log: string[] = [];
  header(type: number, dataBytes: number): boolean {
    this.log.push(`header ${type} ${dataBytes}`);
    return true;
  }
  data(bytes: Uint8Array, from: number, to: number): void {
    this.log.push(`data ${Buffer.from(bytes.slice(from, to)).toString('hex')}`);
  }
  dataEnd(isIntact: boolean): boolean {
    this.log.push(`end ${isIntact}`);
    return true;
  }
  refuse(fes: number, fei: number): void {
    this.log.push(`refuse ${fes} ${fei}`);
  }
}

function read(bytes: Uint8Array, hasDigests = false, step = bytes.length): string[] {
  const listener = new Listener();
  const reader = new PduReader(listener, typeSet([PduType.c2hData, PduType.r2t]), 4096);
  reader.hasHeaderDigest = hasDigests;
  reader.hasDataDigest = hasDigests;
  for (let at = 0; at < bytes.length; at += step) {
    reader.take(bytes, at, Math.min(bytes.length, at + step));
  }
  return listener.log;
}

test('headers are as long as the standard says', () => {
  const lengths = Object.values(PduType).map((type) => headerBytesOf(type));
  assert.equal(lengths, [128, 128, 24, 24, 72, 24, 24, 24, 24]);
  assert.is(headerBytesOf(8), 0);
});

test('an R2T is, byte for byte, what the figure of the standard shows', () => {
  const sink = new Sink();
  const outbox = new Outbox(sink, new ChunkPool());
  const writer = new PduWriter(outbox);
  const at = writer.open(PduType.r2t, 0);
  ReadyToTransfer.cccid.set(outbox.chunk.words, at, 0x1234);
  ReadyToTransfer.ttag.set(outbox.chunk.words, at, 0x5678);
  ReadyToTransfer.offset.set(outbox.chunk.words, at, 0x1000);
  ReadyToTransfer.length.set(outbox.chunk.words, at, 0x2000);
  writer.close(at, 0);
  outbox.flush();
  const wanted = '09001800' + '18000000' + '34127856' + '00100000' + '00200000' + '00000000';
  assert.is(sink.bytes.toString('hex'), wanted);
});

test('data stands at the alignment that was agreed, between its digests', () => {
  const sink = new Sink();
  const outbox = new Outbox(sink, new ChunkPool());
  const writer = new PduWriter(outbox);
  writer.hasHeaderDigest = true;
  writer.hasDataDigest = true;
  writer.dataAlignment = 64;
  const at = writer.open(PduType.c2hData, 9);
  ControllerData.length.set(outbox.chunk.words, at, 9);
  outbox.chunk.bytes.set(Buffer.from('123456789'), writer.dataAt);
  writer.close(at, 9);
  outbox.flush();
  const { bytes } = sink;
  assert.is(bytes.length, 64 + 9 + 4);
  assert.is(bytes[1], 3);
  assert.is(bytes[3], 64);
  assert.is(bytes.readUInt32LE(4), 77);
  assert.is(bytes.readUInt32LE(24), crc32cOfRange(bytes, 0, 24));
  // The check value of CRC32C.
  assert.is(bytes.readUInt32LE(64 + 9), 0xe306_9283);
  for (const step of [1, 3, 77]) {
    const log = read(bytes, true, step).filter((line) => !line.startsWith('data'));
    assert.equal(log, ['header 7 9', 'end true'], `in pieces of ${step}`);
  }
  bytes[64] = bytes[64]! ^ 1;
  assert.equal(read(bytes, true).at(-1), 'end false');
  bytes[9] = 1;
  assert.match(read(bytes, true).at(-1) ?? '', /^refuse 3 /);
});

test('a length that lies is refused at the field that lies', () => {
  const good = Buffer.alloc(24 + 8);
  good.set([PduType.c2hData, 0, 24, 24, 32, 0, 0, 0]);
  assert.equal(read(good), ['header 7 8', `data ${'00'.repeat(8)}`, 'end true']);
  const lies: readonly [at: number, value: number, refusal: string][] = [
    [0, PduType.capsuleCmd, 'refuse 1 0'],
    [0, 8, 'refuse 1 0'],
    [0, 0xff, 'refuse 1 0'],
    [1, 1, 'refuse 1 1'],
    [1, 2, 'refuse 1 1'],
    [2, 25, 'refuse 1 2'],
    [3, 23, 'refuse 1 3'],
    [3, 32, 'refuse 1 4'],
    [4, 23, 'refuse 1 4'],
    [6, 1, 'refuse 1 4'],
    [7, 0x80, 'refuse 1 4'],
  ];
  for (const [at, value, refusal] of lies) {
    const bytes = Buffer.from(good);
    bytes[at] = value;
    assert.equal(read(bytes), [refusal], `byte ${at} is ${value}`);
  }
});

test('what a host and a controller call the same lies at the same place', () => {
  assert.is(HostData.offset.dword, ControllerData.offset.dword);
  assert.is(HostData.length.dword, ControllerData.length.dword);
});

test.run();
