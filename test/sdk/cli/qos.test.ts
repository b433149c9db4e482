import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { suite } from '../../support/suite.js';
import { at, ultima } from './spawned.js';

const test = suite('ultima qos');
const card = 'sim:ultima-g2';

function json(...words: string[]): unknown {
  const { code, out, err } = ultima('qos', ...words, '-o', 'json');
  assert.is(err, '');
  assert.is(code, 0);
  return JSON.parse(out);
}

test('a tier that is set and assigned is there when the card is opened again', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ultima-qos-'));
  const file = join(folder, 'card.ultima');
  json('set-tier', card, '--tier', 'db', '--min-iops', '30000', '--weight', '4', '--save', file);
  const saved = `${card}?checkpoint=${file}`;
  const assigned = json('assign', saved, '-n', '1', '--tier', 'db', '--save', file);
  assert.equal(assigned, { nsid: 1, tier: 'db', isReservationKept: true });
  assert.is(at(json('capability', saved), 'promisedUnits'), 30_000);
  const { out } = ultima('qos', 'counters', saved, '--prometheus');
  assert.match(out, /^ultima_qos_served_units_total\{controller="sim:.*",namespace="1"\} 0$/m);
  rmSync(folder, { recursive: true });
});

test('a reservation beyond the capacity is refused with the numbers and the remedy', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ultima-qos-'));
  const file = join(folder, 'card.ultima');
  const tier = ['--tier', 'all', '--min-iops', '900001'];
  assert.is(ultima('qos', 'set-tier', card, ...tier, '--save', file).code, 0);
  const saved = `${card}?checkpoint=${file}`;
  const refused = ultima('qos', 'assign', saved, '-n', '1', '--tier', 'all');
  assert.is(refused.code, 1);
  assert.match(refused.err, /0 of 900000 units per second are promised; take it as best effort/);
  const taken = json('assign', saved, '-n', '1', '--tier', 'all', '--or-best-effort');
  assert.is(at(taken, 'isReservationKept'), false);
  const unknown = ultima('qos', 'assign', card, '-n', '1', '--tier', 'all');
  assert.is(unknown.code, 2);
  assert.match(unknown.err, /no tier 'all'; the card has best-effort, high, medium/);
  rmSync(folder, { recursive: true });
});

test('writes are measured only by who says yes to losing what is there', () => {
  const { code, err } = ultima('qos', 'calibrate', card, '--writes');
  assert.is(code, 2);
  assert.match(err, /destroys what namespace 1 holds; add --yes/);
  const found = json('calibrate', card, '--requests', '200', '--dry-run');
  assert.is(at(found, 'writeCost'), null);
});

test('a card without policies of its own says what has them, and can be measured', () => {
  const plain = 'sim:simple';
  const { code, err } = ultima('qos', 'tiers', plain);
  assert.is(code, 1);
  assert.match(err, /^ultima: sim:simple keeps no policies by itself\. A gate on the host does/);
  const found = json('calibrate', plain, '--requests', '100', '--dry-run');
  assert.is(at(found, 'headroom'), 0.1);
});

test.run();
