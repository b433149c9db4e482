import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { suite } from '../../support/suite.js';
import { ultima } from './spawned.js';

const test = suite('--save, checkpoint= and --faults');
const folder = mkdtempSync(join(tmpdir(), 'ultima-save-'));
const path = join(folder, 'card.checkpoint');
const card = 'sim:simple?bytes=16MiB';
const short = ['--size', '256k', '--output-format', 'json'];

test.after(() => rmSync(folder, { recursive: true }));

function refused(address: string, ...words: string[]): string {
  const { code, err } = ultima('bench', address, ...short, ...words);
  assert.ok(code !== 0, err);
  return err;
}

test('a card that was saved goes on with its counters, and is refused as another profile', () => {
  assert.is(ultima('bench', card, '--rw', 'write', ...short, '--save', path).code, 0);
  const log = ultima('smart-log', `${card}&checkpoint=${path}`, '-o', 'json');
  assert.is(log.code, 0, log.err);
  // 64 writes of 4 KiB: 512 sectors, which one data unit of 1000 covers.
  assert.match(log.out, /"host_write_commands": ?64\b/);
  assert.match(
    refused(`sim:simple?bytes=8MiB&checkpoint=${path}`),
    /profile\.namespaces\.0\.bytes/,
  );
  assert.match(refused(`${card}&seed=2&checkpoint=${path}`), /brings its own world, seed/);
});

test('a checkpoint that is missing or cut short is refused by name', () => {
  assert.match(refused(`${card}&checkpoint=${path}.not`), /FILE_INVALID|cannot be read/);
  writeFileSync(path, readFileSync(path).subarray(0, 1000));
  assert.match(refused(`${card}&checkpoint=${path}`), /length is 1000/);
});

test('a fault plan is carried out and reported; a wrong one is refused before the run', () => {
  const plan = join(folder, 'plan.json');
  const when = { command: { opcode: 'read', first: 3 } };
  writeFileSync(plan, JSON.stringify({ faults: [{ kind: 'spurious interrupt', when }] }));
  const { code, err } = ultima('bench', card, ...short, '--faults', plan);
  assert.is(code, 0, err);
  assert.match(err, /fault {2}spurious interrupt: struck 1 times, .*64 commands met/);
  writeFileSync(plan, JSON.stringify({ faults: [{ kind: 'spurious interupt', when }] }));
  assert.match(refused(card, '--faults', plan), /faults\[0\]\.kind .*spurious interrupt/);
});

test.run();
