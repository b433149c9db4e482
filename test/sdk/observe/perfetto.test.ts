import * as assert from 'uvu/assert';
import { IoLog } from '../../../sdk/observe/io-log.js';
import { PerfettoTrace, traceOfIos } from '../../../sdk/observe/perfetto.js';
import { SpanLog } from '../../../sdk/observe/span-log.js';
import { suite } from '../../support/suite.js';

const test = suite('perfetto trace');

interface Field {
  readonly number: number;
  readonly value: bigint;
  readonly bytes: Uint8Array;
}

/** A reader of the protocol buffer encoding, written from its description alone. */
function decode(bytes: Uint8Array): Field[] {
  const fields: Field[] = [];
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++];
      assert.ok(byte !== undefined, 'a varint beyond the end');
      value |= BigInt(byte! & 127) << shift;
      if (byte! < 128) return value;
    }
  };
  while (at < bytes.length) {
    const key = varint();
    const number = Number(key >> 3n);
    const wire = Number(key & 7n);
    if (wire === 0) fields.push({ number, value: varint(), bytes: new Uint8Array() });
    else {
      const length = wire === 1 ? 8 : Number(varint());
      assert.ok(wire === 1 || wire === 2, `wire type ${wire}`);
      assert.ok(at + length <= bytes.length, 'a field beyond the end');
      const content = bytes.subarray(at, at + length);
      let value = 0n;
      if (wire === 1) for (const byte of content.toReversed()) value = value * 256n + BigInt(byte);
      fields.push({ number, value, bytes: content });
      at += length;
    }
  }
  return fields;
}

function one(fields: readonly Field[], number: number): Field | undefined {
  const found = fields.filter((field) => field.number === number);
  assert.ok(found.length <= 1, `field ${number} once`);
  return found[0];
}

function textOf(field: Field | undefined): string {
  return new TextDecoder().decode(field?.bytes);
}

interface Decoded {
  readonly tracks: Map<number, string>;
  readonly events: string[];
}

/** The trace as lines `time track begin name {facts}`. */
function read(trace: Uint8Array): Decoded {
  const tracks = new Map<number, string>();
  const names = new Map<number, string>();
  const events: string[] = [];
  for (const packet of decode(trace)) {
    assert.is(packet.number, 1);
    const fields = decode(packet.bytes);
    assert.is(one(fields, 10)?.value, 1n);
    const descriptor = one(fields, 60);
    if (descriptor !== undefined) readTrack(decode(descriptor.bytes), tracks);
    const interned = one(fields, 12);
    if (interned !== undefined) {
      const entry = decode(one(decode(interned.bytes), 2)!.bytes);
      names.set(Number(one(entry, 1)!.value), textOf(one(entry, 2)));
    }
    const event = one(fields, 11);
    if (event === undefined) continue;
    const parts = decode(event.bytes);
    const kind = ['', 'begin', 'end', 'instant'][Number(one(parts, 9)!.value)];
    const track = Number(one(parts, 11)!.value);
    const id = one(parts, 10);
    const name = id === undefined ? '' : ` ${names.get(Number(id.value))}`;
    const flow = one(parts, 47);
    const facts = parts
      .filter(({ number }) => number === 4)
      .map(readFact)
      .join('');
    events.push(
      `${one(fields, 8)!.value} ${track} ${kind}${name}${facts}${flow ? ` →${flow.value}` : ''}`,
    );
  }
  return { tracks, events };
}

function readTrack(fields: readonly Field[], tracks: Map<number, string>): void {
  const uuid = Number(one(fields, 1)!.value);
  const process = one(fields, 3);
  if (process !== undefined) {
    tracks.set(uuid, `process ${textOf(one(decode(process.bytes), 6))}`);
    return;
  }
  assert.is(tracks.get(Number(one(fields, 5)!.value))?.startsWith('process '), true);
  tracks.set(uuid, textOf(one(fields, 2)));
}

function readFact(field: Field): string {
  const parts = decode(field.bytes);
  const value = one(parts, 3)?.value ?? textOf(one(parts, 6));
  return ` ${textOf(one(parts, 10))}=${value}`;
}

test('tracks, slices, facts, flows and instants read back', () => {
  const trace = new PerfettoTrace('card');
  const track = trace.addTrack('queue 1');
  trace.addSlice({ track, name: 'read', startNs: 5, endNs: 90, facts: { lba: 2 ** 40, by: 'ä' } });
  trace.addSlice({ track, name: 'read', startNs: 2 ** 52, endNs: 2 ** 52 + 1, flow: 2 ** 45 + 3 });
  trace.instant(track, 2 ** 53 - 1, 'reset');
  const { tracks, events } = read(trace.finish());
  assert.equal([...tracks.values()], ['process card', 'queue 1']);
  assert.equal(events, [
    `5 2 begin read lba=${2n ** 40n} by=ä`,
    '90 2 end',
    `${2n ** 52n} 2 begin read →${2n ** 45n + 3n}`,
    `${2n ** 52n + 1n} 2 end`,
    `${2n ** 53n - 1n} 2 instant reset`,
  ]);
});

test('every I/O is a slice on the track of its slot, its first and last stage joined', () => {
  const log = new IoLog({ capacity: 4, stages: ['submit', 'fetch', 'media', 'done'] });
  const slow = log.begin(3, 1, 100, 4096);
  const fast = log.begin(0, 2, 7, 512);
  for (const [stage, ns] of [1010, 1020, 1050, 1100].entries()) log.stamp(slow, stage, ns);
  log.stamp(fast, 0, 1015);
  log.stamp(fast, 2, 1030);
  log.stamp(fast, 3, 1040);
  log.end(fast, 0x281);
  const lost = log.begin(1, 1, 8, 512);
  log.stamp(lost, 0, 1041);
  const options = { name: 'sim:x', opNames: { 1: 'read' }, originNs: 1000 };
  const { tracks, events } = read(traceOfIos(log, options));
  assert.equal([...tracks.values()], ['process sim:x', 'slot 0', 'slot 3']);
  assert.equal(events, [
    '10 3 begin read lba=100 bytes=4096 status=0',
    '10 3 begin submit → fetch →1',
    '20 3 end',
    '20 3 begin fetch → media',
    '50 3 end',
    '50 3 begin media → done →1',
    '100 3 end',
    '100 3 end',
    '15 2 begin operation 2 lba=7 bytes=512 status=641',
    '15 2 begin fetch → media →2',
    '30 2 end',
    '30 2 begin media → done →2',
    '40 2 end',
    '40 2 end',
  ]);
});

test('parts of the card have tracks of their own; a window leaves out the rest', () => {
  const log = new IoLog({ capacity: 4, stages: ['submit', 'done'] });
  for (const [lba, startNs] of [
    [1, 100],
    [2, 500],
    [3, 900],
  ] as const) {
    const handle = log.begin(0, 1, lba, 512);
    log.stamp(handle, 0, startNs);
    log.stamp(handle, 1, startNs + 100);
  }
  const window = { fromNs: 450, toNs: 700 };
  const spans = new SpanLog({ capacity: 8, ...window });
  spans.span(0, 100, 200);
  spans.span(2, 460, 480);
  spans.span(2, 690, 800);
  spans.span(2, 701, 900);
  const parts = { log: spans, names: ['link', 'core', 'die'] };
  const options = { name: 'x', opNames: { 1: 'read' }, originNs: 450, window, parts };
  const { tracks, events } = read(traceOfIos(log, options));
  assert.equal([...tracks.values()], ['process x', 'slot 0', 'die']);
  assert.equal(events, [
    '50 2 begin read lba=2 bytes=512 status=0',
    '50 2 begin submit → done',
    '150 2 end',
    '150 2 end',
    '10 3 begin busy',
    '30 3 end',
    '240 3 begin busy',
    '350 3 end',
  ]);
});

test('spans of a track come in order and never overlap, the newest of a full log', () => {
  const log = new SpanLog({ capacity: 3 });
  log.span(0, 0, 9);
  log.span(0, 50, 80);
  log.span(0, 20, 60);
  log.span(1, 5, 6);
  assert.is(log.count, 3);
  assert.equal(
    [...log.of(0)],
    [
      [20, 60],
      [60, 80],
    ],
  );
  assert.is(log.busyNs(0, 30, 70), 40);
  assert.throws(() => new SpanLog({ capacity: 0 }), /above 0/);
});

test('a log keeps the last I/Os of its capacity', () => {
  const log = new IoLog({ capacity: 3, stages: ['submit', 'done'] });
  for (let i = 0; i < 8; i++) {
    const handle = log.begin(0, 1, i, 512);
    log.stamp(handle, 0, 10 * i);
    log.stamp(handle, 1, 10 * i + 5);
  }
  assert.is(log.count, 8);
  assert.equal(
    [...log.ios()].map((io) => io.lba),
    [5, 6, 7],
  );
});

test('slices of ten thousand I/Os on one track never overlap', () => {
  const log = new IoLog({ capacity: 10_000, stages: ['submit', 'done'] });
  for (let i = 0; i < 10_000; i++) {
    const handle = log.begin(i % 7, 1, i, 4096);
    log.stamp(handle, 0, 100 * i);
    log.stamp(handle, 1, 100 * i + 650);
  }
  const { events } = read(traceOfIos(log, { name: 'x', opNames: { 1: 'read' } }));
  const depth = new Map<string, number>();
  const last = new Map<string, number>();
  for (const event of events) {
    const [time, track, kind] = event.split(' ');
    assert.ok(Number(time) >= (last.get(track!) ?? 0), `${event} goes back in time`);
    last.set(track!, Number(time));
    depth.set(track!, (depth.get(track!) ?? 0) + (kind === 'begin' ? 1 : -1));
    assert.ok(depth.get(track!)! >= 0 && depth.get(track!)! <= 2);
  }
  assert.equal([...depth.values()], [0, 0, 0, 0, 0, 0, 0]);
});

test.run();
