import * as assert from 'uvu/assert';
import type { NbdExport } from '../../../sdk/nbd/served-export.js';
import {
  fromHex,
  NbdRig,
  option,
  type RigClient,
  repliesOf,
  request,
  u16,
  u32,
  WatchedDevice,
} from '../../support/nbd-rig.js';
import { suite } from '../../support/suite.js';

const test = suite('NBD negotiation');
const ack = 1;
const unsupported = 0x8000_0001;
const policy = 0x8000_0002;
const invalid = 0x8000_0003;
const tlsRequired = 0x8000_0005;
const unknown = 0x8000_0006;
const tooBig = 0x8000_0009;
/** has flags, flush, FUA, trim, write zeroes, several connections, cache, fast zero. */
const writableFlags = 0x1 | 0x4 | 0x8 | 0x20 | 0x40 | 0x100 | 0x400 | 0x800;
const dfFlag = 0x80;
const readOnlyFlags = 0x1 | 0x2 | 0x4 | 0x8 | 0x100 | 0x400;

function text(value: string): Buffer {
  return Buffer.concat([u32(Buffer.byteLength(value)), Buffer.from(value)]);
}

/** After the greeting. */
function client(rig = new NbdRig(new WatchedDevice(2048))): RigClient {
  const made = rig.connect();
  made.heard();
  made.say('00000003');
  return made;
}

function typesOf(bytes: Buffer): number[] {
  return repliesOf(bytes).map(({ type }) => type);
}

function several(): NbdRig {
  const device = new WatchedDevice(2048);
  const exports: NbdExport[] = [
    { name: 'disk', description: 'a disk', device },
    { name: 'größe', device, isReadOnly: true },
    {
      name: 'thin',
      device,
      metadata: {
        allocated: () => [],
        differences: () => [
          { snapshot: 'monday', changed: () => [] },
          { snapshot: 'tuesday', changed: () => [] },
        ],
      },
    },
  ];
  return new NbdRig(device, { exports });
}

test('the server speaks first: the two magic numbers and its two flags', () => {
  const heard = new NbdRig(new WatchedDevice(8)).connect().heard();
  assert.equal(heard, fromHex('4e42444d41474943 49484156454f5054 0003'));
});

test('a flag that no client may send ends the connection', () => {
  const made = new NbdRig(new WatchedDevice(8)).connect();
  made.say('00000007');
  assert.is(made.stream.ending, 'destroy');
  assert.match(made.connection.violation, /flags/);
});

test('an old client gets size, flags and 124 zeroes, a newer one no zeroes', () => {
  for (const [flags, padding] of [
    ['00000001', 124],
    ['00000003', 0],
  ] as const) {
    const made = new NbdRig(new WatchedDevice(2048)).connect();
    made.heard();
    made.say(flags);
    const answer = made.say(option(1, Buffer.from('disk')));
    assert.equal(answer.subarray(0, 10), fromHex('0000000000100000 0d6d'));
    assert.is(answer.readUInt16BE(8), writableFlags);
    assert.equal(answer.subarray(10), Buffer.alloc(padding));
    assert.is(made.connection.phase, 'transmission');
  }
});

test('a name that there is not ends the connection of an old client, and answers a new one', () => {
  const old = client();
  old.say(option(1, Buffer.from('other')));
  assert.is(old.stream.ending, 'destroy');
  const made = client();
  const [reply] = repliesOf(made.say(option(7, text('other'), u16(0))));
  assert.is(reply!.type, unknown);
  assert.match(reply!.data.toString(), /no export 'other'; there are 'disk'/);
  assert.is(made.stream.ending, '');
});

test('no name means the first export', () => {
  const made = client(several());
  const replies = repliesOf(made.say(option(6, text(''), u16(1), u16(1))));
  assert.is(
    replies.find(({ data }) => data.readUInt16BE(0) === 1)!.data.toString('utf8', 2),
    'disk',
  );
});

test('info tells size, flags, block sizes and what is asked for, and go goes on', () => {
  const made = client();
  const query = [text('disk'), u16(2), u16(1), u16(2)];
  const replies = repliesOf(made.say(option(6, ...query)));
  assert.equal(
    replies.map(({ type }) => type),
    [3, 3, 3, 3, ack],
  );
  const data = new Map(replies.slice(0, 4).map((each) => [each.data.readUInt16BE(0), each.data]));
  assert.equal(data.get(0), Buffer.concat([fromHex('0000 0000000000100000'), u16(writableFlags)]));
  assert.equal(data.get(3), fromHex('0003 00000200 00001000 02000000'));
  assert.is(data.get(1)!.toString('utf8', 2), 'disk');
  assert.is(data.get(2)!.toString('utf8', 2), 'a disk');
  assert.is(made.connection.phase, 'options');
  assert.is(typesOf(made.say(option(7, ...query))).at(-1), ack);
  assert.is(made.connection.phase, 'transmission');
});

test('one piece is offered with structured replies only, writes on what can be written only', () => {
  assert.is(several().connect().go({ isStructured: false }), writableFlags);
  assert.is(several().connect().go({ isStructured: true }), writableFlags | dfFlag);
  const made = client(several());
  const answer = made.say(option(1, Buffer.from('größe')));
  assert.is(answer.readUInt16BE(8), readOnlyFlags);
});

test('list names every export with what it is', () => {
  const replies = repliesOf(client(several()).say(option(3)));
  assert.equal(
    replies.map(({ type, data }) => [type, data.toString('utf8', 4)]),
    [
      [2, 'diska disk'],
      [2, 'größe'],
      [2, 'thin'],
      [ack, ''],
    ],
  );
  assert.is(replies[1]!.data.readUInt32BE(0), 7, 'bytes, not letters');
});

test('abort is answered, and the connection ends in peace', () => {
  const made = client();
  assert.equal(typesOf(made.say(option(2))), [ack]);
  assert.is(made.stream.ending, 'end');
});

test('what is not known is answered so, and negotiation goes on', () => {
  const made = client();
  assert.equal(typesOf(made.say(option(12))), [unsupported]);
  assert.equal(typesOf(made.say(option(4, Buffer.from('x')))), [unsupported]);
  assert.equal(typesOf(made.say(option(8))), [ack]);
});

test('data that an option does not have, or lacks, makes it invalid', () => {
  const made = client();
  const bad: readonly Buffer[] = [
    option(3, Buffer.from('x')),
    option(8, Buffer.from('x')),
    option(7),
    option(7, u32(9), Buffer.from('disk'), u16(0)),
    option(7, text('disk'), u16(2), u16(0)),
    option(7, text('disk'), u16(0), u16(0)),
    option(7, u32(0xffff_fffc), Buffer.from('disk'), u16(0)),
    option(7, u32(2), fromHex('c328'), u16(0)),
    option(7, u32(4), fromHex('64000000'), u16(0)),
    option(6, u32(4097), Buffer.alloc(4097, 0x61), u16(0)),
  ];
  for (const each of bad) assert.equal(typesOf(made.say(each)), [invalid], each.toString('hex'));
  assert.equal(typesOf(made.say(option(7, text('disk'), u16(0)))).at(-1), ack);
});

test('bytes arrive one by one, or all in one piece, and mean the same', () => {
  const slow = new NbdRig(new WatchedDevice(2048)).connect();
  slow.heard();
  const all = Buffer.concat([fromHex('00000003'), option(8), option(7, text('disk'), u16(0))]);
  const heard: Buffer[] = [];
  for (const byte of all) heard.push(slow.say(Buffer.from([byte])));
  const quick = new NbdRig(new WatchedDevice(2048)).connect();
  quick.heard();
  assert.equal(Buffer.concat(heard), quick.say(all));
  assert.is(slow.connection.phase, 'transmission');
});

test('an option that is cut off behind the flags goes on with the next bytes', () => {
  const words = Buffer.concat([fromHex('00000003'), option(6, text('disk'), u16(0)), option(3)]);
  const made = (): RigClient => {
    const client = new NbdRig(new WatchedDevice(64)).connect();
    client.heard();
    return client;
  };
  const expected = made().say(words);
  assert.equal(typesOf(expected), [3, 3, ack, 2, ack]);
  for (let cut = 1; cut < words.length; cut++) {
    const client = made();
    // What lies behind the end is not of this client.
    const piece = Buffer.concat([words.subarray(0, cut), Buffer.alloc(64, 0xee)]);
    client.connection.receive(piece, 0, cut);
    const first = client.heard();
    const rest = client.say(words.subarray(cut));
    assert.ok(Buffer.concat([first, rest]).equals(expected), `cut at ${cut}`);
  }
});

test('an option with more data than any needs, or without its magic, ends the connection', () => {
  const long = client();
  long.say('49484156454f5054 00000007 00010001');
  assert.is(long.stream.ending, 'destroy');
  const wrong = client();
  wrong.say('49484156454f5055 00000007 00000000');
  assert.is(wrong.stream.ending, 'destroy');
});

test('contexts are listed by name or by namespace', () => {
  const made = client(several());
  const names = (...queries: readonly string[]): string[] => {
    const bytes = made.say(option(9, text('thin'), u32(queries.length), ...queries.map(text)));
    return repliesOf(bytes).map(({ type, data }) =>
      type === 4 ? data.toString('utf8', 4) : `${type}`,
    );
  };
  assert.equal(names(), [`${invalid}`], 'structured replies come first');
  made.say(option(8));
  assert.equal(names(), ['base:allocation', 'ultima:diff-monday', 'ultima:diff-tuesday', '1']);
  assert.equal(names('base:'), ['base:allocation', '1']);
  assert.equal(names('ultima:'), ['ultima:diff-monday', 'ultima:diff-tuesday', '1']);
  assert.equal(names('ultima:diff-tuesday', 'other:'), ['ultima:diff-tuesday', '1']);
  assert.equal(names('base:other'), ['1']);
  const bad = option(9, text('thin'), u32(2), text('base:'));
  assert.equal(typesOf(made.say(bad)), [invalid]);
});

test('contexts are chosen by their whole names, with numbers of their own', () => {
  const made = client(several());
  made.say(option(8));
  const set = (name: string, ...queries: readonly string[]) =>
    repliesOf(made.say(option(10, text(name), u32(queries.length), ...queries.map(text))));
  const chosen = set('thin', 'ultima:diff-tuesday', 'base:allocation', 'base:', 'nobody:knows');
  assert.equal(
    chosen.map(({ type, data }) => [type, data.length > 0 ? data.readUInt32BE(0) : 0]),
    [
      [4, 1],
      [4, 2],
      [ack, 0],
    ],
  );
  assert.equal(
    chosen.slice(0, 2).map(({ data }) => data.toString('utf8', 4)),
    ['base:allocation', 'ultima:diff-tuesday'],
  );
  assert.equal(
    set('nothing', 'base:allocation').map(({ type }) => type),
    [unknown],
  );
});

test('contexts hold for the export that they were chosen for', () => {
  const made = client(several());
  made.say(option(8));
  made.say(option(10, text('thin'), u32(1), text('base:allocation')));
  made.say(option(7, text('disk'), u16(0)));
  const answer = made.say(request({ command: 7, length: 4096 }));
  assert.is(answer.readUInt16BE(6), 0x8001);
  assert.is(answer.readUInt32BE(20), 22);
});

test('more contexts than anybody needs are too many', () => {
  const device = new WatchedDevice(8);
  const list = Array.from({ length: 40 }, (_, i) => ({ snapshot: `${i}`, changed: () => [] }));
  const exports = [{ name: 'disk', device, metadata: { differences: () => list } }];
  const made = client(new NbdRig(device, { exports }));
  made.say(option(8));
  const queries = list.map(({ snapshot }) => text(`ultima:diff-${snapshot}`));
  const bytes = made.say(option(10, text('disk'), u32(queries.length), ...queries));
  assert.equal(typesOf(bytes), [tooBig]);
});

test('without certificates TLS is refused, and where it must be nothing else is answered', () => {
  assert.equal(typesOf(client().say(option(5))), [policy]);
  const must = (): RigClient => client(new NbdRig(new WatchedDevice(8), { tls: 'required' }));
  const made = must();
  for (const code of [3, 6, 7, 8, 9, 10, 99]) {
    assert.equal(typesOf(made.say(option(code))), [tlsRequired]);
  }
  assert.equal(typesOf(made.say(option(2))), [ack], 'but a goodbye');
  const old = must();
  old.say(option(1, Buffer.from('disk')));
  assert.is(old.stream.ending, 'destroy');
});

test('what was agreed in clear is forgotten under TLS', () => {
  const made = client(new NbdRig(new WatchedDevice(2048), { tls: 'optional' }));
  made.say(option(8));
  assert.equal(typesOf(made.say(option(5))), [ack]);
  assert.ok(made.stream.isTls);
  made.connection.secured();
  assert.equal(typesOf(made.say(option(5))), [invalid], 'a second time');
  const answer = repliesOf(made.say(option(7, text('disk'), u16(0))));
  assert.is(answer[0]!.data.readUInt16BE(10), writableFlags, 'no structured replies any more');
});

test('input in clear behind the request for TLS ends the connection', () => {
  const made = client(new NbdRig(new WatchedDevice(2048), { tls: 'optional' }));
  made.say(option(5), option(8));
  assert.is(made.stream.ending, 'destroy');
  assert.is(made.stream.isTls, false);
});

test('a client that does not read its answers is not answered any more', () => {
  const made = client(several());
  made.stream.isStuck = true;
  const many = Array.from({ length: 1000 }, () => option(3));
  made.say(...many);
  assert.is(made.stream.isReading, false);
  made.stream.isStuck = false;
  assert.is(typesOf(made.heard()).filter((type) => type === ack).length, 1000);
  assert.is(made.stream.isReading, true);
});

test.run();
