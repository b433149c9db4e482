import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as assert from 'uvu/assert';
import { allowedSkips } from './allowed-skips.js';
import { runFile } from './runner.js';
import { suite } from './suite.js';
import { filesUnder, findTestFiles } from './test-files.js';

const test = suite('test runner');
const allowed = allowedSkips(true);
const here = fileURLToPath(new URL('.', import.meta.url));
const root = fileURLToPath(new URL('../../../', import.meta.url));

/** Each file's fault, as the runner must word it. */
const bad: Readonly<Record<string, RegExp>> = {
  'after-each-throws': /0 of 0|of 1 tests passed|no test ran|exit code/,
  'after-throws': /exit code 1/,
  'before-throws': /0 of 1 tests passed|0 of 2 tests passed|no test ran/,
  'declared-after-run': /exit code 1/,
  'does-not-load': /no test ran/,
  'endless-loop': /over \d+ ms, killed/,
  'exit-handler-throws': /thrown outside of every test|exit code/,
  'exits-inside': /exit code 1/,
  'guard-hook-throws': /exit code 1/,
  'never-settles': /exit code|no test ran/,
  'one-suite-not-run': /exit code 1/,
  'only-left-in': /skipped without a reason/,
  'open-handle': /over \d+ ms, killed/,
  'rejects-later': /exit code 1/,
  'run-forgotten': /no test ran/,
  'skip-left-in': /skipped without a reason/,
  'skips-unexpectedly': /unexpected skip: it is Monday/,
  'throws-nameless': /0 of 1 tests passed|no test ran/,
  'throws-string': /0 of 1 tests passed|no test ran/,
  fails: /0 of 1 tests passed/,
  killed: /ended by SIGKILL/,
};

for (const [name, fault] of Object.entries(bad)) {
  test(`the bad file ${name} fails`, async () => {
    const compiled = join(here, 'bad', `${name}.js`);
    const limitMs = /killed/.test(fault.source) ? 700 : 10_000;
    const result = await runFile({ source: name, compiled }, { limitMs, allowedSkips: allowed });
    assert.match(result.faults.join('; '), fault);
    assert.ok(result.failed >= 1);
  });
}

test('every seeded bad file is expected to fail', () => {
  const seeded = filesUnder(here, 'bad').filter((path) => path.endsWith('.js'));
  assert.equal(
    seeded.map((path) => path.slice('bad/'.length, -'.js'.length)).sort(),
    Object.keys(bad).sort(),
  );
});

test('a skip for an allowed reason is counted and is no fault', async () => {
  const compiled = join(here, 'good', 'skips-expectedly.js');
  const result = await runFile(
    { source: 'good', compiled },
    { limitMs: 10_000, allowedSkips: allowed },
  );
  assert.equal(result.faults, []);
  assert.equal(result.skips, ['no VFIO device: ULTIMA_DEVICE is not set']);
  assert.is(result.passed, 1);
});

test('an addon that is missing may be skipped only where none must be', () => {
  const reason = 'native addon: the native addon is not built (looked for x)';
  assert.ok(allowedSkips(false).some((pattern) => pattern.test(reason)));
  assert.not.ok(allowedSkips(true).some((pattern) => pattern.test(reason)));
});

test('a file that was never compiled fails', async () => {
  const result = await runFile(
    { source: 'x', compiled: join(here, 'no-such-file.js') },
    { limitMs: 10_000, allowedSkips: allowed },
  );
  assert.match(result.output, /is missing: build first/);
  assert.is(result.failed, 1);
});

interface Run {
  readonly lines: string[];
  readonly status: number | null;
}

/** The real command over a small package that holds the given files. */
function runIn(files: Readonly<Record<string, string>>, args: string[], env = {}): Run {
  const folder = mkdtempSync(join(tmpdir(), 'ultima-runner-'));
  try {
    for (const [name, compiled] of Object.entries(files)) {
      mkdirSync(join(folder, 'test'), { recursive: true });
      mkdirSync(join(folder, 'dist/test'), { recursive: true });
      writeFileSync(join(folder, 'test', `${name}.test.ts`), '');
      cpSync(join(here, `${compiled}.js`), join(folder, 'dist/test', `${name}.test.js`));
      const text = `import '${join(here, compiled)}.js';\n`;
      writeFileSync(join(folder, 'dist/test', `${name}.test.js`), text);
    }
    const command = spawnSync(process.execPath, [join(here, 'run.js'), ...args], {
      env: { ...process.env, TEST_ROOT: `${folder}/`, CI: 'true', ...env },
      encoding: 'utf8',
    });
    return { lines: command.stdout.trimEnd().split('\n'), status: command.status };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('the last line sums the files and the exit code is 0 when all is good', () => {
  const { lines, status } = runIn({ a: 'good/skips-expectedly', b: 'good/skips-expectedly' }, []);
  assert.is(lines.at(-1), '2 passed, 0 failed, 2 skipped');
  assert.is(lines.filter((line) => /\d+ passed, \d+ failed/.test(line)).length, 1);
  assert.ok(lines.includes('SKIP 2 × no VFIO device: ULTIMA_DEVICE is not set'));
  assert.is(status, 0);
});

test('one bad file fails the run, and its output is printed', () => {
  const { lines, status } = runIn({ a: 'good/skips-expectedly', b: 'bad/throws-string' }, []);
  assert.is(lines.at(-1), '1 passed, 1 failed, 1 skipped');
  assert.ok(lines.some((line) => line.startsWith('FAIL test/b.test.ts')));
  assert.is(status, 1);
});

test('a filter chooses files by their path', () => {
  const { lines, status } = runIn({ a: 'good/skips-expectedly', b: 'bad/fails' }, ['test/a']);
  assert.is(lines.at(-1), '1 passed, 0 failed, 1 skipped');
  assert.is(status, 0);
});

test('no file at all is a failure', () => {
  const { lines, status } = runIn({ a: 'good/skips-expectedly' }, ['nothing-like-it']);
  assert.is(lines.at(-1), '0 passed, 1 failed');
  assert.is(status, 1);
});

test('an unexpected skip fails only where CI is set', () => {
  assert.is(runIn({ a: 'bad/skips-unexpectedly' }, []).status, 1);
  const outside = runIn({ a: 'bad/skips-unexpectedly' }, [], { CI: 'false' });
  assert.is(outside.lines.at(-1), '1 passed, 0 failed, 1 skipped');
});

test('a compiled test whose source is gone is removed and does not run', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ultima-runner-'));
  try {
    mkdirSync(join(folder, 'test'));
    mkdirSync(join(folder, 'dist/test'), { recursive: true });
    writeFileSync(join(folder, 'test/kept.test.ts'), '');
    for (const name of ['kept.test.js', 'gone.test.js', 'gone.test.d.ts', 'gone.test.js.map']) {
      writeFileSync(join(folder, 'dist/test', name), '');
    }
    const found = findTestFiles(folder, []);
    assert.equal(
      found.map((file) => file.source),
      ['test/kept.test.ts'],
    );
    assert.ok(!existsSync(join(folder, 'dist/test/gone.test.js')));
    assert.equal(filesUnder(folder, 'dist/test'), ['dist/test/kept.test.js']);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('the runner finds its own test among the files of the package', () => {
  const found = findTestFiles(root, ['test/support/runner']);
  assert.equal(
    found.map((file) => file.source),
    ['test/support/runner.test.ts'],
  );
});

test.run();
