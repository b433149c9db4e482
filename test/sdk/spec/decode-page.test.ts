import * as assert from 'uvu/assert';
import {
  describeFeature,
  describeIdentify,
  describeLogPage,
  valuesOf,
} from '../../../sdk/spec/decode.js';
import { Cns } from '../../../sdk/spec/nvme/identify.js';
import { LogPage } from '../../../sdk/spec/nvme/logs.js';
import { suite } from '../../support/suite.js';

const test = suite('decoder of pages');

/** A page with bytes at offsets. */
function page(bytes: number, content: Record<number, readonly number[]>): Uint32Array {
  const made = new Uint8Array(bytes);
  for (const [offset, values] of Object.entries(content)) made.set(values, Number(offset));
  return new Uint32Array(made.buffer);
}

const ascii = (text: string) => [...Buffer.from(text)];

test('Identify Controller reads with its text and its numbers', () => {
  const words = page(4096, { 0: [0x36, 0x1b], 4: ascii('abc '.padEnd(20)), 77: [7], 516: [1] });
  const values = valuesOf(describeIdentify(Cns.controller, words));
  assert.is(values.vid, 0x1b36);
  assert.is(values.sn, 'abc');
  assert.is(values.mdts, 7);
  assert.is(values.nn, 1);
});

test('a namespace list shows only its entries', () => {
  const words = page(4096, { 0: [1], 4: [5] });
  assert.equal(valuesOf(describeIdentify(Cns.activeNamespaces, words)), {
    'entries[0].nsid': 1,
    'entries[1].nsid': 5,
  });
});

test('identification descriptors are walked to the one of length 0', () => {
  const uuid = Array.from({ length: 16 }, (_, i) => i);
  const eui64 = [1, 8, 0, 0, 9, 9, 9, 9, 9, 9, 9, 9];
  const words = page(4096, { 0: [3, 16, 0, 0, ...uuid, 4, 1, 0, 0, 2, ...eui64] });
  assert.equal(valuesOf(describeIdentify(Cns.namespaceDescriptors, words)), {
    uuid: '000102030405060708090a0b0c0d0e0f',
    csi: '02',
    eui64: '0909090909090909',
  });
});

test('a descriptor list of nonsense ends without reading beyond the page', () => {
  for (const byte of [0xff, 0x03, 0x10]) {
    const words = new Uint32Array(new Uint8Array(4096).fill(byte).buffer);
    assert.ok(describeIdentify(Cns.namespaceDescriptors, words).length < 1024);
  }
});

test('the error log shows used entries only, their status in words', () => {
  const entry = [9, 0, 0, 0, 0, 0, 0, 0, 1, 0, 7, 0, 0x00, 0x81];
  const words = page(256, { 64: entry });
  const described = describeLogPage(LogPage.error, words);
  assert.ok(described.every(({ name }) => name.startsWith('[1].')));
  const status = described.find(({ name }) => name === '[1].status');
  assert.is(status?.text, 'lba out of range (SCT 0, SC 0x80, DNR)');
});

test('the health log reads its 128-bit counters', () => {
  const values = valuesOf(
    describeLogPage(LogPage.health, page(512, { 1: [0x2c, 0x01], 32: [0, 1] })),
  );
  assert.is(values.temperature, 300);
  assert.is(values.dataUnitsRead, 256);
});

test('ANA groups are followed by their namespaces', () => {
  const words = page(128, { 8: [1], 16: [4], 20: [2], 32: [1], 48: [6], 52: [9] });
  const values = valuesOf(describeLogPage(LogPage.ana, words));
  assert.is(values['group[0].id'], 4);
  assert.is(values['group[0].nsid[0]'], 6);
  assert.is(values['group[0].nsid[1]'], 9);
});

test('an ANA log that promises more than it holds is read to its end', () => {
  const words = page(64, { 8: [0xff, 0xff], 16: [1], 20: [0xff, 0xff, 0xff, 0xff] });
  assert.ok(describeLogPage(LogPage.ana, words).length < 30);
});

test('a feature value reads in words, an unknown one as its dword', () => {
  assert.equal(valuesOf(describeFeature(7, 0x003f_001f)), { nsq: 32, ncq: 64 });
  assert.equal(valuesOf(describeFeature(0xc0, 5)), { dword0: 5 });
});

test('every page of the standard can be described, whatever it holds', () => {
  const words = new Uint32Array(1024).fill(0xffff_ffff);
  for (let i = 0; i < 256; i++) {
    assert.ok(describeIdentify(i, words).every(({ text }) => text.length > 0));
    assert.ok(describeLogPage(i, words.subarray(0, 128)).length > 0);
    assert.ok(describeFeature(i, 0xffff_ffff).length > 0);
  }
});

test.run();
