import * as assert from 'uvu/assert';
import { AssertionFailure } from '../../../sdk/assert.js';
import { be16, be32, be64, message } from '../../../sdk/spec/big-endian.js';
import {
  Greeting,
  InfoBlockSize,
  InfoExport,
  OptionHeader,
  OptionReplyHeader,
} from '../../../sdk/spec/nbd/handshake.js';
import {
  Chunk,
  ErrorPayload,
  RequestHeader,
  requestMagic,
  SimpleReply,
  simpleReplyMagic,
  structuredReplyMagic,
} from '../../../sdk/spec/nbd/transmission.js';
import { suite } from '../../support/suite.js';

const test = suite('NBD tables');

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

test('fields carry their most significant byte first, wherever they start', () => {
  const Odd = message(
    { title: 'odd', cite: '', bytes: 17 },
    { a: be16(1, ''), b: be32(3, ''), c: be64(9, '') },
  );
  const bytes = new Uint8Array(19);
  Odd.a.set(bytes, 2, 0xfedc);
  Odd.b.set(bytes, 2, 0x89ab_cdef);
  Odd.c.set(bytes, 2, 0x1f_ffff_ffff_fffe);
  assert.is(hex(bytes), '000000fedc89abcdef0000001ffffffffffffe');
  assert.is(Odd.a.get(bytes, 2), 0xfedc);
  assert.is(Odd.b.get(bytes, 2), 0x89ab_cdef);
  assert.is(Odd.c.get(bytes, 2), 0x1f_ffff_ffff_fffe);
  assert.throws(
    () => Odd.c.set(bytes, 2, 2 ** 53),
    (error: unknown) => error instanceof AssertionFailure,
  );
});

test('a table whose fields overlap or leave the message does not load', () => {
  const layout = { title: 'bad', cite: '', bytes: 6 };
  assert.throws(() => message(layout, { a: be32(0, ''), b: be16(3, '') }), /overlaps/);
  assert.throws(() => message(layout, { a: be32(3, '') }), /ends outside/);
});

// Written down from the text of the protocol.
test('the greeting is NBDMAGIC, IHAVEOPT and flags', () => {
  const bytes = new Uint8Array(18);
  Greeting.init.put(bytes, 0);
  Greeting.option.put(bytes, 0);
  Greeting.flags.set(bytes, 0, 3);
  assert.is(Buffer.from(bytes.subarray(0, 16)).toString('ascii'), 'NBDMAGICIHAVEOPT');
  assert.is(hex(bytes.subarray(16)), '0003');
});

test('options and replies have the heads that the text draws', () => {
  const option = Buffer.from(`IHAVEOPT\0\0\0\x07\0\0\x01\x02`, 'latin1');
  assert.ok(OptionHeader.magic.isThere(option, 0));
  assert.is(OptionHeader.option.get(option, 0), 7);
  assert.is(OptionHeader.dataBytes.get(option, 0), 0x102);
  option[7] = 0;
  assert.not.ok(OptionHeader.magic.isThere(option, 0));
  const reply = new Uint8Array(20);
  OptionReplyHeader.magic.put(reply, 0);
  OptionReplyHeader.option.set(reply, 0, 6);
  OptionReplyHeader.type.set(reply, 0, 0x8000_0001);
  OptionReplyHeader.dataBytes.set(reply, 0, 5);
  assert.is(hex(reply), '0003e889045565a9000000068000000100000005');
});

test('requests and answers have the heads that the text draws', () => {
  const request = Buffer.from(
    '25609513' + '0001' + '0006' + '0102030405060708' + '0000000100000200' + '00001000',
    'hex',
  );
  assert.is(RequestHeader.layout.bytes, 28);
  assert.is(RequestHeader.magic.get(request, 0), requestMagic);
  assert.is(RequestHeader.flags.get(request, 0), 1);
  assert.is(RequestHeader.command.get(request, 0), 6);
  assert.is(RequestHeader.cookieHigh.get(request, 0), 0x0102_0304);
  assert.is(RequestHeader.cookieLow.get(request, 0), 0x0506_0708);
  assert.is(RequestHeader.offset.get(request, 0), 0x1_0000_0200);
  assert.is(RequestHeader.length.get(request, 0), 4096);
  const simple = new Uint8Array(16);
  SimpleReply.magic.set(simple, 0, simpleReplyMagic);
  SimpleReply.error.set(simple, 0, 28);
  SimpleReply.cookieLow.set(simple, 0, 9);
  assert.is(hex(simple), '674466980000001c0000000000000009');
  const chunk = new Uint8Array(20);
  Chunk.magic.set(chunk, 0, structuredReplyMagic);
  Chunk.flags.set(chunk, 0, 1);
  Chunk.type.set(chunk, 0, 0x8002);
  Chunk.cookieHigh.set(chunk, 0, 7);
  Chunk.payloadBytes.set(chunk, 0, 14);
  assert.is(hex(chunk), '668e33ef0001800200000007000000000000000e');
});

test('information and errors have the sizes that the text demands', () => {
  assert.is(InfoExport.layout.bytes, 12);
  assert.is(InfoBlockSize.layout.bytes, 14);
  assert.is(ErrorPayload.layout.bytes, 6);
});

test.run();
