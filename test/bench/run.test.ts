import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import * as assert from 'uvu/assert';
import { suite } from '../support/suite.js';

const test = suite('the command line of benchmarks');
const script = fileURLToPath(new URL('../../bench/run.js', import.meta.url));

function run(...words: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...words], {
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

test('help names every benchmark with what it claims', () => {
  const { status, stdout } = run('--help');
  assert.is(status, 0);
  for (const name of ['volume', 'mirror', 'qos', 'fidelity']) {
    assert.match(stdout, new RegExp(`^${name}\\n {2}\\S.+$`, 'm'));
  }
});

test('words that are not understood are named, without a stack', () => {
  const unknown = run('qos', '--foo');
  assert.is(unknown.status, 2);
  assert.match(unknown.stderr, /--foo/);
  const strange = run('nope');
  assert.is(strange.status, 2);
  assert.match(strange.stderr, /no benchmark 'nope'\nbenchmarks: .*volume/);
  for (const { stderr } of [unknown, strange]) assert.not.match(stderr, /\n +at /);
});

test.run();
