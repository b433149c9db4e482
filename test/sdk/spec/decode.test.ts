import * as assert from 'uvu/assert';
import {
  commandLine,
  completionLine,
  describeCommand,
  describeCompletion,
  describeRegister,
  describeStruct,
  linesOf,
  valuesOf,
} from '../../../sdk/spec/decode.js';
import { repeat, struct, u32, u64, wide } from '../../../sdk/spec/layout.js';
import { suite } from '../../support/suite.js';

const test = suite('decoder');

/** Dwords of an entry by number, the rest zero. */
const entry = (dwords: Record<number, number>) => {
  const words = new Uint32Array(16);
  for (const [index, value] of Object.entries(dwords)) words[Number(index)] = value;
  return words;
};

test('a write reads as its LBA, its block count and its pointers', () => {
  const words = entry({ 0: 0x0007_0001, 1: 1, 6: 0x8000, 8: 0x9000, 10: 64, 12: 0x4000_0007 });
  assert.is(
    commandLine(words, 0, 'nvm'),
    'write cid 7 nsid 1 prp1 0x8000 prp2 0x9000 slba 64 nlb 8 fua 1',
  );
  const values = valuesOf(describeCommand(words, 0, 'nvm'));
  assert.is(values.prp1, 0x8000);
  assert.is(values.fua, 1);
  assert.is(values.nlb, 8);
});

test('the same opcode byte reads as another command on the admin queue', () => {
  const words = entry({ 0: 0x0001_0001, 10: 0x03ff_0003, 11: 0x0002_0005, 6: 0x1_0000 });
  const line = commandLine(words, 0, 'admin');
  assert.match(line, /^create submission queue cid 1/);
  assert.match(line, /qid 3 qsize 1024 pc 1 qprio 2 cqid 2/);
});

test('a command that moves no data shows no data pointer', () => {
  assert.is(commandLine(entry({ 0: 0x0002_0000, 1: 5, 6: 77 }), 0, 'nvm'), 'flush cid 2 nsid 5');
});

test('an SGL shows its descriptor, not PRP entries', () => {
  const words = entry({ 0: 0x0001_4002, 1: 1, 6: 0x1000, 8: 512, 9: 0x3000_0000 });
  const line = commandLine(words, 0, 'nvm');
  assert.match(line, /psdt 1 sgl1\.address 0x1000 sgl1\.length 512 sgl1\.type 3/);
  assert.not.match(line, /prp1/);
});

test('an unknown opcode shows every dword that is not zero', () => {
  const line = commandLine(entry({ 0: 0x0003_00c1, 10: 0xbeef, 15: 1 }), 0, 'admin');
  assert.is(line, 'vendor 0xc1 cid 3 cdw10 0xbeef cdw15 0x1');
});

test('a completion reads as identifier, queue, head, phase and status in words', () => {
  const words = new Uint32Array([0x10, 0, 0x0001_0003, 0x8105_0007]);
  assert.is(
    completionLine(words, 0),
    'cid 7 sq 1 head 3 phase 1 dw0 0x10: namespace not ready (SCT 0, SC 0x82, DNR)',
  );
  const status = describeCompletion(words, 0).find((field) => field.name === 'status');
  assert.is(status?.text, 'namespace not ready (SCT 0, SC 0x82, DNR)');
});

test('a register reads in words, its value names included', () => {
  const text = Object.fromEntries(
    describeRegister('cc', 0x0046_0801).map((field) => [field.name, field.text]),
  );
  assert.is(text.ams, '1 (weighted round robin with urgent)');
  assert.is(text.iosqes, '6');
  const cap = valuesOf(describeRegister('cap', 0x0f01_07ff, 0x0040_1820));
  assert.is(cap.mqes, 2048);
  assert.is(cap.mpsmax, 4);
});

const item = struct({ title: 'I', cite: '', bytes: 8 }, { a: u32(0, 'A'), b: u32(4, 'B') });
const sample = struct(
  { title: 'S', cite: '', bytes: 40 },
  {
    name: wide(0, 8, 'text', 'Name'),
    big: u64(8, 'Big'),
    id: wide(16, 4, 'id', 'Id'),
    total: wide(20, 4, 'count', 'Total'),
    items: repeat(24, 2, item, 'Items'),
  },
);

test('text, wide numbers, identifiers and repeated items each read as what they are', () => {
  const words = new Uint32Array([
    0x2020_4241, 0x2020_2020, 1, 0xffff_ffff, 0x0403_0201, 9, 1, 2, 3, 4,
  ]);
  const described = describeStruct(sample, words, 0);
  assert.equal(valuesOf(described), {
    name: 'AB',
    big: '0xffffffff00000001',
    id: '0x01020304',
    total: 9,
    'items[0].a': 1,
    'items[0].b': 2,
    'items[1].a': 3,
    'items[1].b': 4,
  });
});

test('a structure cut short is described up to where the memory ends', () => {
  const described = describeStruct(sample, new Uint32Array(8), 0);
  assert.equal(
    described.map((field) => field.name),
    ['name', 'big', 'id', 'total', 'items[0].a', 'items[0].b'],
  );
});

test('lines align names and texts', () => {
  const lines = linesOf([
    { name: 'a', value: 1, text: '1', doc: 'First' },
    { name: 'long', value: 10, text: '10 (0xa)', doc: 'Second' },
  ]);
  assert.equal(lines, ['a     1         First', 'long  10 (0xa)  Second']);
});

test('any 64 bytes can be described on both kinds of queue', () => {
  const words = new Uint32Array(16);
  for (let opcode = 0; opcode < 256; opcode++) {
    words.fill(0xffff_ffff);
    words[0] = (0xffff_3f00 | opcode) >>> 0;
    for (const kind of ['admin', 'nvm'] as const) {
      for (const field of describeCommand(words, 0, kind)) assert.ok(field.text.length > 0);
    }
  }
});

test.run();
