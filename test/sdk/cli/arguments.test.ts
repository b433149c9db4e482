import * as assert from 'uvu/assert';
import {
  nearest,
  parseChoice,
  parseDuration,
  parseInteger,
  parseSize,
} from '../../../sdk/cli/arguments.js';
import { suite } from '../../support/suite.js';

const test = suite('arguments');

test('sizes count in 1024 as fio does', () => {
  const sizes = { '0': 0, '512': 512, '4k': 4096, '1m': 1_048_576, '1.5K': 1536, '2GiB': 2 ** 31 };
  for (const [text, bytes] of Object.entries(sizes)) assert.is(parseSize('bs', text), bytes);
  for (const text of ['', 'k', '-1', '4x', '1e3', '0.3', '99999999t']) {
    assert.throws(() => parseSize('bs', text), /--bs is .*; it must be a size/);
  }
});

test('durations are seconds unless a unit says otherwise', () => {
  const durations = { '1': 1e9, '500ms': 5e8, '10us': 1e4, '2m': 12e10, '1.5s': 15e8 };
  for (const [text, ns] of Object.entries(durations)) assert.is(parseDuration('runtime', text), ns);
  for (const text of ['', '0', 's', '1d', '-1']) {
    assert.throws(() => parseDuration('runtime', text), /--runtime is .*; it must be a time/);
  }
});

test('integers are decimal or hexadecimal and inside their range', () => {
  const range = { low: 1, high: 0xff };
  assert.is(parseInteger('x', '0xff', range), 255);
  assert.is(parseInteger('x', '010', range), 10);
  for (const text of ['0', '256', '1.5', '', ' 1', 'NaN', '1n']) {
    assert.throws(() => parseInteger('x', text, range), /it must be a whole number 1\.\.255/);
  }
});

test('a word outside of its choices is refused with the choices', () => {
  assert.is(parseChoice('o', 'json', ['normal', 'json']), 'json');
  assert.throws(() => parseChoice('o', 'yaml', ['normal', 'json']), /one of: normal, json/);
});

test('the nearest word is at most three letters away', () => {
  const known = ['bench', 'replay', 'id-ctrl'];
  assert.is(nearest('rebplay', known), 'replay');
  assert.is(nearest('id_ctrl', known), 'id-ctrl');
  assert.is(nearest('something', known), undefined);
});

test.run();
