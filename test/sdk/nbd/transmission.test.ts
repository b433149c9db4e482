import * as assert from 'uvu/assert';
import { BlockStatus } from '../../../sdk/block/request.js';
import type { NbdExport } from '../../../sdk/nbd/served-export.js';
import {
  chunksOf,
  contentOf,
  fromHex,
  NbdRig,
  option,
  type RigClient,
  request,
  u32,
  WatchedDevice,
} from '../../support/nbd-rig.js';
import { suite } from '../../support/suite.js';

const test = suite('NBD transmission');
const KiB = 1024;
const fua = 1;
const noHole = 2;
const dontFragment = 4;
const oneExtent = 8;
const fastZero = 16;
const command = { read: 0, write: 1, disconnect: 2, flush: 3, trim: 4, zeroes: 6, status: 7 };

/** Bytes that differ from block to block and inside of each. */
function pattern(length: number, salt = 0): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 7 + (i >> 9) * 13 + salt) & 0xff;
  return bytes;
}

interface Setting {
  readonly device: WatchedDevice;
  readonly client: RigClient;
}

function setting(options: { isStructured?: boolean; blocks?: number; isReadOnly?: boolean } = {}) {
  const device = new WatchedDevice(options.blocks ?? 4096);
  const { isReadOnly = false } = options;
  const rig = new NbdRig(device, { exports: [{ name: 'disk', device, isReadOnly }] });
  const client = rig.connect();
  client.go({ isStructured: options.isStructured ?? true });
  return { device, client } satisfies Setting;
}

function write(client: RigClient, offset: number, data: Buffer, flags = 0): number {
  const head = request({ command: command.write, offset, length: data.length, flags });
  const [chunk] = chunksOf(client.say(head, data));
  return chunk!.error;
}

/** The content, put together from chunks; null when there was an error. */
function read(client: RigClient, offset: number, length: number, flags = 0): Buffer | null {
  const chunks = chunksOf(client.say(request({ command: command.read, offset, length, flags })));
  return contentOf(chunks, { offset, length });
}

test('a write and a read, byte for byte as the text draws them', () => {
  const { client } = setting({ isStructured: false });
  const data = pattern(512);
  const answer = client.say('25609513 0000 0001 1122334455667788 0000000000000400 00000200', data);
  assert.equal(answer, fromHex('67446698 00000000 1122334455667788'));
  const back = client.say('25609513 0000 0000 8877665544332211 0000000000000400 00000200');
  assert.equal(back.subarray(0, 16), fromHex('67446698 00000000 8877665544332211'));
  assert.equal(back.subarray(16), data);
});

test('a structured answer is one chunk with an offset, and done', () => {
  const { client } = setting();
  const data = pattern(1024);
  write(client, 512, data);
  const answer = client.say('25609513 0000 0000 0000000000000005 0000000000000200 00000400');
  const head = '668e33ef 0001 0001 0000000000000005 00000408 0000000000000200';
  assert.equal(answer.subarray(0, 28), fromHex(head));
  assert.equal(answer.subarray(28), data);
});

test('requests may be cut anywhere', () => {
  const { client } = setting();
  const data = pattern(2048);
  const head = request({ command: command.write, length: data.length });
  const answers = [...Buffer.concat([head, data])].map((byte) => client.say(Buffer.from([byte])));
  assert.is(Buffer.concat(answers).length, 16);
  assert.equal(read(client, 0, 2048), data);
});

test('a large request goes to the device in parts, and comes back in ascending chunks', () => {
  const { client, device } = setting();
  const data = pattern(700 * KiB);
  assert.is(write(client, 512, data, fua), 0);
  assert.equal(device.log, ['write 1+512 fua', 'write 513+512 fua', 'write 1025+376 fua']);
  assert.equal(read(client, 512, data.length), data);
  const length = data.length;
  const chunks = chunksOf(client.say(request({ command: 0, offset: 512, length })));
  const offsets = chunks.map(({ payload }) => Number(payload.readBigUInt64BE(0)));
  assert.equal(offsets, [512, 512 + 256 * KiB, 512 + 512 * KiB]);
  assert.equal(
    chunks.map(({ isDone }) => isDone),
    [false, false, true],
  );
});

test('who does not want fragments gets one chunk with all data', () => {
  const { client } = setting();
  const data = pattern(700 * KiB);
  write(client, 0, data);
  const words = { command: command.read, length: data.length, flags: dontFragment };
  const chunks = chunksOf(client.say(request(words)));
  assert.equal(
    chunks.map(({ type }) => type),
    [1, 0],
  );
  assert.equal(chunks[0]!.payload.subarray(8), data);
  const small = chunksOf(client.say(request({ ...words, length: 65_536 })));
  assert.equal(
    small.map(({ type, isDone }) => [type, isDone]),
    [[1, true]],
  );
});

test('a read that fails in the middle says where, and what came before is good', () => {
  const { client, device } = setting();
  const data = pattern(700 * KiB);
  write(client, 0, data);
  device.failing.set(600, BlockStatus.mediaError);
  const chunks = chunksOf(client.say(request({ command: command.read, length: data.length })));
  assert.equal(
    chunks.map(({ type, isDone }) => [type, isDone]),
    [
      [1, false],
      [0x8002, true],
    ],
  );
  assert.equal(chunks[0]!.payload.subarray(8), data.subarray(0, 256 * KiB));
  assert.is(chunks[1]!.error, 5);
  const textBytes = chunks[1]!.payload.readUInt16BE(4);
  assert.is(
    chunks[1]!.payload.toString('utf8', 6, 6 + textBytes),
    'the device could not read or write there',
  );
  assert.is(Number(chunks[1]!.payload.readBigUInt64BE(6 + textBytes)), 256 * KiB);
});

test('without fragments the rest is padded, and the error follows', () => {
  const { client, device } = setting();
  const data = pattern(700 * KiB);
  write(client, 0, data);
  device.failing.set(600, BlockStatus.integrityError);
  const words = { command: command.read, length: data.length, flags: dontFragment };
  const chunks = chunksOf(client.say(request(words)));
  assert.equal(
    chunks.map(({ type }) => type),
    [1, 0x8001],
  );
  const content = chunks[0]!.payload.subarray(8);
  assert.equal(content.subarray(0, 256 * KiB), data.subarray(0, 256 * KiB));
  assert.ok(content.subarray(256 * KiB).every((byte) => byte === 0));
  assert.equal(read(client, 0, 4096), data.subarray(0, 4096), 'the connection goes on');
});

test('without structured replies a failure in the middle can only end the connection', () => {
  const { client, device } = setting({ isStructured: false });
  device.failing.set(600, BlockStatus.mediaError);
  client.say(request({ command: command.read, length: 700 * KiB }));
  assert.is(client.stream.ending, 'destroy');
  const early = setting({ isStructured: false });
  early.device.failing.set(0, BlockStatus.mediaError);
  const answer = early.client.say(request({ command: command.read, length: 700 * KiB }));
  assert.equal(answer, fromHex('67446698 00000005 0000000000000001'), 'but not at its start');
});

test('a write that fails takes all of its data and then says so', () => {
  const { client, device } = setting();
  device.failing.set(3, BlockStatus.outOfSpace);
  assert.is(write(client, 0, pattern(700 * KiB)), 28);
  assert.equal(device.log, ['write 0+512'], 'nothing is written behind the failure');
  assert.is(write(client, 4096, pattern(512)), 0);
});

test('flush and FUA are what the device sees, flush behind a trim or zeroes with FUA', () => {
  const { client, device } = setting();
  client.say(request({ command: command.flush }));
  client.say(request({ command: command.trim, length: 1024 }));
  client.say(request({ command: command.trim, length: 1024, flags: fua }));
  client.say(request({ command: command.zeroes, offset: 512, length: 1024 }));
  client.say(request({ command: command.zeroes, offset: 512, length: 1024, flags: fua }));
  client.say(request({ command: command.read, length: 512, flags: fua }));
  assert.equal(device.log, [
    'flush',
    'discard 0+2',
    'discard 0+2',
    'flush',
    'writeZeroes 1+2',
    'writeZeroes 1+2',
    'flush',
    'read 0+1',
  ]);
});

test('zeroes without holes are written, and are never fast', () => {
  const { client, device } = setting();
  const words = { command: command.zeroes, length: 300 * KiB, flags: noHole | fua };
  write(client, 0, pattern(300 * KiB));
  device.log.length = 0;
  assert.is(chunksOf(client.say(request(words)))[0]!.error, 0);
  assert.equal(device.log, ['write 0+512 fua', 'write 512+88 fua']);
  assert.ok(read(client, 0, 300 * KiB)!.every((byte) => byte === 0));
  device.log.length = 0;
  assert.is(chunksOf(client.say(request({ ...words, flags: noHole | fastZero })))[0]!.error, 95);
  assert.equal(device.log, []);
  assert.is(chunksOf(client.say(request({ ...words, flags: fastZero })))[0]!.error, 0);
  assert.equal(device.log, ['writeZeroes 0+600']);
});

const end = 4096 * 512;
const wrong: readonly (readonly [
  title: string,
  words: Parameters<typeof request>[0],
  error: number,
])[] = [
  ['a read beyond the end', { command: 0, offset: end - 512, length: 1024 }, 22],
  ['a write beyond the end', { command: 1, offset: end, length: 512 }, 28],
  ['zeroes beyond the end', { command: 6, offset: end - 512, length: 1024 }, 28],
  ['a trim beyond the end', { command: 4, offset: end, length: 512 }, 22],
  ['an offset above 2^53', { command: 0, offset: 2 ** 60, length: 512 }, 22],
  ['an offset inside a block', { command: 0, offset: 1, length: 512 }, 22],
  ['a length of half a block', { command: 1, length: 256 }, 22],
  ['no length', { command: 0 }, 22],
  ['a write without data', { command: 1 }, 22],
  ['a command that there is not', { command: 9 }, 22],
  ['a resize', { command: 8, length: 512 }, 22],
  ['a cache beyond the end', { command: 5, offset: end, length: 512 }, 22],
  ['a cache with a flag of reads', { command: 5, length: 512, flags: dontFragment }, 22],
  ['a flag of extended headers', { command: 7, length: 512, flags: 0x20 }, 22],
  ['an unknown flag', { command: 0, length: 512, flags: 0x100 }, 22],
  ['a flag of another command', { command: 1, length: 512, flags: dontFragment }, 22],
  ['a flush of a range', { command: 3, length: 512 }, 22],
  ['block status without a context', { command: 7, length: 512 }, 22],
];

for (const [title, words, error] of wrong) {
  test(`${title} is answered ${error}, and the device is not asked`, () => {
    const { client, device } = setting();
    const data = words.command === 1 ? Buffer.alloc(words.length ?? 0) : Buffer.alloc(0);
    const chunks = chunksOf(client.say(request({ ...words, cookie: 77 }), data));
    assert.equal(
      chunks.map(({ cookie, isDone }) => [cookie, isDone]),
      [[77, true]],
    );
    assert.is(chunks[0]!.error, error);
    assert.equal(device.log, []);
    assert.is(write(client, 0, pattern(512)), 0, 'the next request is understood');
  });
}

test('a read of more than 32 MiB is refused, a write of more ends the connection', () => {
  const { client } = setting({ blocks: 200_000 });
  const length = 32 * KiB * KiB + 512;
  assert.is(chunksOf(client.say(request({ command: command.read, length })))[0]!.error, 22);
  client.say(request({ command: command.write, length }));
  assert.is(client.stream.ending, 'destroy');
});

test('a request without its magic number ends the connection', () => {
  const { client } = setting();
  client.say('25609512 0000 0003 0000000000000001 0000000000000000 00000000');
  assert.is(client.stream.ending, 'destroy');
  assert.match(client.connection.violation, /magic/);
});

test('what is read-only refuses every change, and takes the data of writes', () => {
  const { client, device } = setting({ isReadOnly: true });
  assert.is(write(client, 0, pattern(1024)), 1);
  for (const code of [command.trim, command.zeroes]) {
    assert.is(chunksOf(client.say(request({ command: code, length: 512 })))[0]!.error, 1);
  }
  assert.equal(device.log, []);
  assert.ok(read(client, 0, 512));
});

test('each status of a device has an error that the protocol knows', () => {
  const expected = new Map<BlockStatus, number>([
    [BlockStatus.mediaError, 5],
    [BlockStatus.integrityError, 5],
    [BlockStatus.invalidRequest, 22],
    [BlockStatus.accessDenied, 1],
    [BlockStatus.outOfSpace, 28],
    [BlockStatus.deviceError, 5],
    [BlockStatus.notExecuted, 5],
    [BlockStatus.unknown, 5],
  ]);
  const all = Object.values(BlockStatus).filter((status) => status !== BlockStatus.ok);
  assert.is(all.length, expected.size);
  for (const [status, error] of expected) {
    const { client, device } = setting();
    device.failing.set(0, status);
    assert.is(write(client, 0, pattern(512)), error);
  }
});

test('goodbye: what is under way is answered, what follows is not read', () => {
  const { client, device } = setting();
  device.isHeld = true;
  const nothing = client.say(
    request({ command: command.read, length: 512, cookie: 5 }),
    request({ command: command.disconnect }),
    request({ command: command.read, length: 512, cookie: 6 }),
  );
  assert.is(nothing.length, 0);
  assert.is(client.stream.ending, '');
  device.isHeld = false;
  assert.equal(
    chunksOf(client.heard()).map(({ cookie }) => cookie),
    [5],
  );
  assert.is(client.stream.ending, 'end');
});

test('a client that ends in the middle of its data leaves whole parts written, no other', () => {
  const { client, device } = setting();
  client.say(request({ command: command.write, length: 700 * KiB }), pattern(400 * KiB));
  client.connection.gone();
  assert.equal(device.log, ['write 0+512']);
  assert.is(client.rig.served[0]!.inFlight, 0);
});

test('a client that is gone costs nothing but what the device already had', () => {
  const { client, device } = setting();
  device.isHeld = true;
  const head = request({ command: command.write, length: 512 });
  client.say(head, pattern(512), request({ command: command.read, length: 700 * KiB }));
  client.connection.gone();
  assert.is(client.rig.served[0]!.inFlight, 2);
  device.isHeld = false;
  client.rig.settle();
  assert.is(client.rig.served[0]!.inFlight, 0);
  assert.equal(device.log, ['write 0+1', 'read 0+512'], 'no further part is read');
  const other = client.rig.connect();
  other.go();
  assert.equal(read(other, 0, 512), pattern(512));
});

test('at most 64 requests are taken; the rest waits with the client', () => {
  const { client, device } = setting();
  device.isHeld = true;
  const many = Array.from({ length: 100 }, (_, i) =>
    request({ command: command.read, length: 512, cookie: i }),
  );
  client.say(...many);
  assert.is(device.log.length, 64);
  assert.is(client.stream.isReading, false);
  device.isHeld = false;
  const cookies = chunksOf(client.heard()).map(({ cookie }) => cookie);
  assert.equal(
    cookies,
    Array.from({ length: 100 }, (_, i) => i),
  );
  assert.is(client.stream.isReading, true);
});

test('a client that does not read answers stops being read, and loses none of them', () => {
  const { client, device } = setting();
  const data = pattern(256 * KiB);
  write(client, 0, data);
  client.stream.isStuck = true;
  const words = { command: command.read, length: data.length };
  const many = Array.from({ length: 100 }, (_, i) => request({ ...words, cookie: i }));
  client.say(...many);
  assert.is(client.stream.isReading, false);
  // In 64 slots, and in 4 chunks of a little more than 1 MiB.
  assert.ok(device.log.length < 64 + 4 * 5, `${device.log.length} reads are held in memory`);
  client.stream.isStuck = false;
  const chunks = chunksOf(client.heard());
  assert.is(chunks.length, 100);
  for (const { payload } of chunks) assert.ok(payload.subarray(8).equals(data));
});

test('a device takes what it can, the rest follows', () => {
  const device = new WatchedDevice(64, 512, 2);
  const client = new NbdRig(device).connect();
  client.go();
  const many = Array.from({ length: 10 }, (_, i) =>
    request({ command: command.read, offset: i * 512, length: 512, cookie: i }),
  );
  assert.is(chunksOf(client.say(...many)).length, 10);
});

test('a flush on one connection is a flush of the one device behind all of them', () => {
  const { client, device } = setting();
  const other = client.rig.connect();
  other.go();
  write(client, 0, pattern(512));
  other.say(request({ command: command.flush }));
  assert.equal(device.log, ['write 0+1', 'flush']);
  assert.equal(read(other, 0, 512), pattern(512));
});

function statusExport(device: WatchedDevice): NbdExport {
  const data = { byteOffset: 4096, byteLength: 8192, isData: true };
  const changed = [
    { byteOffset: 0, byteLength: 4096, isData: false },
    { byteOffset: 8192, byteLength: 4096, isData: true },
  ];
  return {
    name: 'disk',
    device,
    metadata: {
      allocated: () => [data],
      differences: () => [{ snapshot: 'monday', changed: () => changed }],
    },
  };
}

function text(value: string): Buffer {
  return Buffer.concat([u32(value.length), Buffer.from(value)]);
}

test('block status tells for each context what is where', () => {
  const device = new WatchedDevice(64);
  const client = new NbdRig(device, { exports: [statusExport(device)] }).connect();
  client.heard();
  client.say('00000003', option(8));
  const names = [text('base:allocation'), text('ultima:diff-monday')];
  client.say(option(10, text('disk'), u32(2), ...names));
  client.say(option(7, text('disk'), Buffer.alloc(2)));
  const answer = client.say(request({ command: command.status, length: 32_768 }));
  const chunks = chunksOf(answer);
  assert.equal(
    chunks.map(({ type, isDone }) => [type, isDone]),
    [
      [5, false],
      [5, true],
    ],
  );
  // Length and flags: hole and zero, data, hole and zero.
  assert.equal(
    chunks[0]!.payload,
    fromHex('00000001 00001000 00000003 00002000 00000000 00005000 00000003'),
  );
  // Changed to zeroes, unchanged, changed, unchanged.
  const difference = '00001000 00000003 00001000 00000000 00001000 00000001 00005000 00000000';
  assert.equal(chunks[1]!.payload, fromHex(`00000002 ${difference}`));
  const words = { command: command.status, offset: 6144, length: 4096, flags: oneExtent };
  const first = chunksOf(client.say(request(words)));
  assert.equal(first[0]!.payload, fromHex('00000001 00001000 00000000'));
  assert.equal(first[1]!.payload, fromHex('00000002 00000800 00000000'));
  const beyond = chunksOf(client.say(request({ command: command.status, length: 65_536 })));
  assert.is(beyond[0]!.error, 22);
});

test.run();
