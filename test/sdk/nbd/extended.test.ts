import * as assert from 'uvu/assert';
import { MemorySpace } from '../../../sdk/block/memory.js';
import { BlockOp, type BlockRequest, BlockStatus } from '../../../sdk/block/request.js';
import type { NbdExport } from '../../../sdk/nbd/served-export.js';
import { stillClock } from '../../support/crash-device.js';
import {
  chunksOf,
  contentOf,
  extended,
  fromHex,
  NbdRig,
  option,
  type RigClient,
  repliesOf,
  request,
  u16,
  u32,
  u64,
  WatchedDevice,
} from '../../support/nbd-rig.js';
import { suite } from '../../support/suite.js';

const test = suite('NBD extended headers');
const KiB = 1024;
const GiB = 1024 ** 3;
const command = { read: 0, write: 1, flush: 3, trim: 4, zeroes: 6, status: 7 };
const fua = 1;
const dontFragment = 4;
const oneExtent = 8;
const payloadLength = 32;
const ack = 1;
const invalid = 0x8000_0003;
const extendedRequired = 0x8000_000a;
const EINVAL = 22;

function text(value: string): Buffer {
  return Buffer.concat([u32(value.length), Buffer.from(value)]);
}

function pattern(length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, i) => (i * 7 + (i >> 9) * 13 + 1) & 0xff));
}

const bothContexts = option(
  10,
  text('disk'),
  u32(2),
  text('base:allocation'),
  text('ultima:diff-monday'),
);

function statusExport(device: NbdExport['device'], unit: number): NbdExport {
  const data = { byteOffset: unit, byteLength: 2 * unit, isData: true };
  const changed = [{ byteOffset: 2 * unit, byteLength: unit, isData: false }];
  const metadata = {
    allocated: () => [data],
    differences: () => [{ snapshot: 'monday', changed: () => changed }],
  };
  return { name: 'disk', device, metadata };
}

function setting(blocks = 4096): { device: WatchedDevice; client: RigClient } {
  const device = new WatchedDevice(blocks);
  const client = new NbdRig(device, { exports: [statusExport(device, 4096)] }).connect();
  client.go({ isExtended: true, options: [bothContexts] });
  return { device, client };
}

/** Holds nothing, and writes down what it is asked. */
class HugeDevice {
  readonly blockBytes = 4096;
  readonly blockCount = (16 * KiB * GiB) / 4096;
  readonly clock = stillClock;
  readonly memory = new MemorySpace();
  readonly limits = {
    maxTransferBytes: 1024 * KiB,
    atomicWriteBlocks: 1,
    maxInFlight: 8,
    hasVolatileCache: true,
    canDiscard: true,
    canWriteZeroes: true,
  };
  readonly log: string[] = [];
  private readonly under: BlockRequest[] = [];

  canSubmit(): boolean {
    return this.under.length < 8;
  }

  submit(asked: BlockRequest): void {
    const name = asked.op === BlockOp.discard ? 'discard' : 'zeroes';
    this.log.push(
      asked.op === BlockOp.flush ? 'flush' : `${name} ${asked.lba}+${asked.blockCount}`,
    );
    this.under.push(asked);
  }

  poll(): number {
    const ended = this.under.splice(0);
    for (const each of ended) {
      each.status = BlockStatus.ok;
      each.done(each);
    }
    return ended.length;
  }
}

test('the option is answered, takes no data, and rules out what is less', () => {
  const client = new NbdRig(new WatchedDevice(64)).connect();
  client.heard();
  client.say('00000003');
  const typesOf = (bytes: Buffer): number[] => repliesOf(bytes).map(({ type }) => type);
  assert.equal(typesOf(client.say(option(11, Buffer.alloc(1)))), [invalid]);
  assert.equal(typesOf(client.say(option(8))), [ack]);
  assert.equal(typesOf(client.say(option(11))), [ack]);
  assert.equal(typesOf(client.say(option(8))), [extendedRequired]);
  assert.equal(typesOf(client.say(option(11))), [ack]);
  client.say(option(1, Buffer.from('disk')));
  assert.is(client.stream.ending, 'destroy', 'an export by name alone has no answer for it');
});

test('chosen contexts are offered when there are some, fragments always', () => {
  const flagsOf = (...options: readonly Uint8Array[]): number => {
    const device = new WatchedDevice(64);
    const client = new NbdRig(device, { exports: [statusExport(device, 4096)] }).connect();
    return client.go({ isExtended: true, options });
  };
  assert.is(flagsOf() & 0x1080, 0x80);
  assert.is(flagsOf(bothContexts) & 0x1080, 0x1080);
  const device = new WatchedDevice(64);
  const old = new NbdRig(device, { exports: [statusExport(device, 4096)] }).connect();
  assert.is(old.go({ options: [bothContexts] }) & 0x1080, 0x80);
});

test('a write and a read, byte for byte as the text draws them', () => {
  const { client } = setting();
  const data = pattern(512);
  const place = '0000000000000400';
  const written = client.say(`21e41c71 0020 0001 1122334455667788 ${place}`, u64(512), data);
  // Magic, done, type none, cookie, the request's offset, no payload.
  const head = `6e8a278c 0001 0000 1122334455667788 ${place}`;
  assert.equal(written, fromHex(`${head} 0000000000000000`));
  const read = client.say(`21e41c71 0000 0000 8877665544332211 ${place}`, u64(512));
  const answer = `6e8a278c 0001 0001 8877665544332211 ${place} 0000000000000208 ${place}`;
  assert.equal(read.subarray(0, 40), fromHex(answer));
  assert.equal(read.subarray(40), data);
});

test('every chunk of an answer has the offset of its request', () => {
  const { client } = setting();
  const data = pattern(600 * KiB);
  const words = { command: command.write, offset: 4 * KiB, length: data.length };
  chunksOf(client.say(extended({ ...words, flags: payloadLength }), data));
  const wanted = { offset: 4 * KiB, length: 700 * KiB };
  const chunks = chunksOf(client.say(extended({ command: command.read, ...wanted })));
  assert.ok(chunks.length > 3);
  for (const { offset } of chunks) assert.is(offset, 4 * KiB);
  const content = contentOf(chunks, wanted);
  assert.ok(content?.equals(Buffer.concat([data, Buffer.alloc(100 * KiB)])));
  const whole = chunksOf(
    client.say(extended({ command: command.read, flags: dontFragment, ...wanted })),
  );
  assert.is(whole.filter(({ type }) => type === 1).length, 1);
});

test('a request of the other kind ends the connection, in both directions', () => {
  const { client } = setting();
  client.say(request({ command: command.flush }), Buffer.alloc(4));
  assert.is(client.stream.ending, 'destroy');
  const compact = new NbdRig(new WatchedDevice(64)).connect();
  compact.go();
  compact.say(extended({ command: command.flush }));
  assert.is(compact.stream.ending, 'destroy');
});

test('errors are chunks with the offset that was sent, whatever number it is', () => {
  const { client } = setting();
  const cases: readonly [Buffer, number][] = [
    [fromHex('0020000000000000'), EINVAL],
    [fromHex('ffffffffffffffff'), EINVAL],
    [fromHex('0000000000000200'), EINVAL],
  ];
  for (const [offset, error] of cases) {
    const words = [
      fromHex('21e41c71 0000 0000 0000000000000007'),
      offset,
      fromHex(`${'0'.repeat(15)}1`),
    ];
    const answer = client.say(...words);
    assert.equal(answer.subarray(16, 24), offset);
    assert.is(chunksOf(answer)[0]!.error, error);
  }
  const huge = extended({ command: command.read, length: 2 ** 52 });
  assert.is(chunksOf(client.say(huge))[0]!.error, EINVAL);
});

test('a write that does not say that it has data has data all the same, as those of QEMU', () => {
  const { client } = setting();
  const words = { command: command.write, flags: fua, offset: 1024, length: 512 };
  assert.is(chunksOf(client.say(extended(words), pattern(512)))[0]!.error, 0);
  const wanted = { offset: 1024, length: 512 };
  const chunks = chunksOf(client.say(extended({ command: command.read, ...wanted })));
  assert.equal(contentOf(chunks, wanted), pattern(512));
});

test('data that nobody expects is taken whole, and the request refused', () => {
  const { client, device } = setting();
  const empty = extended({ command: command.write, flags: payloadLength });
  assert.is(chunksOf(client.say(empty))[0]!.error, EINVAL);
  for (const code of [command.read, command.flush, command.trim, command.zeroes, 5, 99]) {
    const words = { command: code, flags: payloadLength, length: 512, cookie: 1 };
    const next = extended({ command: command.flush, cookie: 2 });
    const answers = chunksOf(client.say(extended(words), pattern(512), next));
    assert.equal(
      answers.map(({ cookie, error }) => [cookie, error]),
      [
        [1, EINVAL],
        [2, 0],
      ],
    );
  }
  assert.equal([...new Set(device.log)], ['flush']);
  const much = { command: command.read, flags: payloadLength, length: 32 * 1024 * KiB + 1 };
  client.say(extended(much));
  assert.is(client.stream.ending, 'destroy');
});

test('block status counts its extents, and tells only what was chosen', () => {
  const { client } = setting(64);
  const words = { command: command.status, length: 32 * KiB };
  const [allocation, difference] = chunksOf(client.say(extended(words)));
  const at = (kib: number, flags: number): string =>
    `${u64(kib * KiB).toString('hex')} ${u64(flags).toString('hex')}`;
  assert.is(allocation!.type, 6);
  assert.is(allocation!.isDone, false);
  assert.equal(
    allocation!.payload,
    fromHex(`00000001 00000003 ${at(4, 3)} ${at(8, 0)} ${at(20, 3)}`),
  );
  assert.is(difference!.isDone, true);
  const changes = fromHex(`00000002 00000003 ${at(8, 0)} ${at(4, 3)} ${at(20, 0)}`);
  assert.equal(difference!.payload, changes);
  const choice = (length: number, ...ids: readonly number[]): Buffer => {
    const payload = Buffer.concat([u64(length), ...ids.map(u32)]);
    const head = { command: command.status, flags: payloadLength, length: payload.length };
    return client.say(extended(head), payload);
  };
  const only = chunksOf(choice(32 * KiB, 2));
  assert.is(only.length, 1);
  assert.is(only[0]!.isDone, true);
  assert.equal(only[0]!.payload, changes);
  assert.equal(
    chunksOf(choice(32 * KiB, 2, 1)).map(({ payload }) => payload.readUInt32BE(0)),
    [1, 2],
  );
  // None, an unknown one, one twice, beyond the end, nothing, more than there can be.
  const many = Array.from({ length: 17 }, (_, i) => i + 1);
  for (const [length, ids] of [
    [32 * KiB, []],
    [32 * KiB, [3]],
    [32 * KiB, [0]],
    [32 * KiB, [1, 1]],
    [64 * KiB, [1]],
    [0, [1]],
    [32 * KiB, many],
  ] as const) {
    assert.is(chunksOf(choice(length, ...ids))[0]!.error, EINVAL, `${length} ${ids}`);
  }
  const odd = { command: command.status, flags: payloadLength, length: 13 };
  assert.is(chunksOf(client.say(extended(odd), Buffer.alloc(13)))[0]!.error, EINVAL);
  const one = { ...words, flags: oneExtent };
  assert.equal(
    chunksOf(client.say(extended(one))).map(({ payload }) => payload.length),
    [24, 24],
  );
});

test('lengths beyond 32 bits: status, trim and zeroes of terabytes', () => {
  const device = new HugeDevice();
  const exports = [statusExport(device, (8 * KiB * GiB) / 4)];
  const client = new NbdRig(new WatchedDevice(1), { exports }).connect();
  client.go({ isExtended: true, options: [bothContexts] });
  const all = { offset: 0, length: 16 * KiB * GiB };
  const [map] = chunksOf(client.say(extended({ command: command.status, ...all })));
  const lengths = [0, 1, 2].map((i) => Number(map!.payload.readBigUInt64BE(8 + 16 * i)));
  assert.equal(lengths, [2 * KiB * GiB, 4 * KiB * GiB, 10 * KiB * GiB]);
  const blocks = GiB / 4096;
  const some = { offset: 8 * KiB * GiB, length: 2 * GiB + 4096 };
  for (const [code, name] of [
    [command.trim, 'discard'],
    [command.zeroes, 'zeroes'],
  ] as const) {
    device.log.length = 0;
    const answers = chunksOf(client.say(extended({ command: code, flags: fua, ...some })));
    assert.equal(
      answers.map(({ type, error }) => [type, error]),
      [[0, 0]],
    );
    const first = some.offset / 4096;
    assert.equal(device.log, [
      `${name} ${first}+${blocks}`,
      `${name} ${first + blocks}+${blocks}`,
      `${name} ${first + 2 * blocks}+1`,
      'flush',
    ]);
  }
  const beyond = { command: command.trim, offset: 4096, length: all.length };
  assert.is(chunksOf(client.say(extended(beyond)))[0]!.error, EINVAL);
});

test('requests may be cut anywhere', () => {
  const { client } = setting(64);
  const payload = Buffer.concat([u64(32 * KiB), u32(2)]);
  const head = { command: command.status, flags: payloadLength, length: payload.length };
  const write = { command: command.write, flags: payloadLength, length: 1024 };
  const all = Buffer.concat([
    extended(head),
    payload,
    extended({ ...write, cookie: 2 }),
    pattern(1024),
    extended({ command: command.flush, cookie: 3 }),
  ]);
  const cookies: number[] = [];
  for (const byte of all) {
    cookies.push(...chunksOf(client.say(Buffer.from([byte]))).map(({ cookie }) => cookie));
  }
  assert.equal(cookies, [1, 2, 3]);
});

test('under TLS extended headers are asked for anew', () => {
  const device = new WatchedDevice(64);
  const client = new NbdRig(device, { tls: 'optional' }).connect();
  client.heard();
  client.say('00000003', option(11), option(5));
  client.connection.secured();
  client.say(option(7, text('disk'), u16(0)));
  const answer = client.say(request({ command: command.flush }));
  assert.equal(answer, fromHex('67446698 00000000 0000000000000001'));
});

test.run();
