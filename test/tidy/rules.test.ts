import * as assert from 'uvu/assert';
import { suite } from '../support/suite.js';
import { checkBans, checkText } from './bans.js';
import { checkCitations, checkCommands, referenceKeys } from './documents.js';
import { checkImports, checkReached } from './imports.js';
import { checkLimits } from './limits.js';
import { blank, readSource, type Violation } from './source.js';

const test = suite('tidiness rules');

function whats(violations: readonly Violation[]): string[] {
  return violations.map(({ line, what }) => `${line}: ${what}`);
}

function bansIn(text: string, path = 'sdk/nvme/thing.ts'): string[] {
  return whats(checkBans(readSource(path, text)));
}

/** Words that would otherwise be found in this file. */
const unfinished = ['TO', 'DO'].join('');

test('comments, strings, templates and patterns are not code', () => {
  const text = [
    'const a = "any"; // any',
    'const b = /any[/"]/.test(c) /* any */;',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the text of a program
    'const d = `any ${any + `any ${e}`} any`;',
    'const f = g / 2; // any " /',
    "const h = 'it\\'s any';",
  ].join('\n');
  const code = blank(text);
  assert.is(code.length, text.length);
  assert.is([...code.matchAll(/any/g)].length, 1);
  assert.is(code.indexOf('any'), text.indexOf('any +'));
  assert.match(code, /const f = g \/ 2;/);
  assert.match(code, /const h = ' +';$/);
});

test('a division after a parenthesis does not start a pattern', () => {
  assert.match(blank('const a = (b + c) / 2; const d = e / 3;'), /const d = e \/ 3;/);
});

const banned: Readonly<Record<string, string>> = {
  'let a: any;': '1: any: any',
  'const a = b as Thing;': '1: cast: as Thing',
  'const a = (b as { c: number });': '1: cast: as {',
  'enum A { b }': '1: enum: enum A',
  'export default 1;': '1: default export: export default',
  '// @ts-ignore': '1: a type error hidden: @ts-ignore',
  'const a = Date.now();': '1: wall clock: Date',
  'const a = Math.random();': '1: chance: Math.random',
  'setTimeout(f, 1);': '1: timer: setTimeout',
  'if (process.env.A) f();': '1: environment: process.env',
  "console.log('x');": '1: console: console.',
  'eval(a);': '1: eval: eval(',
  'const a = (b >>> 16) & c;': '1: a field cut by hand: >>> 1',
  'new DataView(a);': '1: DataView: DataView',
  "import { suite } from 'uvu';": '1: import suite from test/support',
};

for (const [text, want] of Object.entries(banned)) {
  test(`the driver may not contain ${text}`, () => {
    assert.equal(bansIn(`${text}\n`), [want]);
  });
}

test('what looks like a banned construct and is none passes', () => {
  const text = [
    "import { a as b } from './c.js';",
    "import * as assert from '../assert.js';",
    "export { d as e } from './f.js';",
    "const g = ['h'] as const;",
    'const i = AbortSignal.any([j]);',
    '// any Date as Thing, setTimeout',
    "const k = 'Math.random()';",
  ].join('\n');
  assert.equal(bansIn(text), []);
});

test('a clock is allowed where runs need not repeat, a focused test nowhere', () => {
  assert.equal(bansIn('const a = Date.now();', 'sdk/cli/bench.ts'), []);
  assert.equal(bansIn("test.only('x', f);", 'test/sdk/x.test.ts'), ['1: a test left out: .only(']);
});

test('a file named after nothing is refused', () => {
  assert.equal(bansIn('', 'sdk/nvme/utils.ts'), ['1: a name without a meaning']);
  assert.equal(bansIn('', 'sdk/nvme/QueuePair.ts'), ['1: not kebab-case']);
});

test('documents may not say unfinished, nor name a machine or a tracker', () => {
  const lines = [unfinished, ['', 'home', 'me', 'x'].join('/'), ['issue', '12'].join(' ')];
  assert.is(checkText('README.md', lines.join('\n')).length, 3);
  assert.equal(checkText('README.md', 'see docs/home/x and the issue tracker'), []);
});

function limitsIn(text: string): string[] {
  return whats(checkLimits(readSource('a.ts', text)));
}

test('a file of 501 lines, a line of 101 columns and a function of 71 lines are too long', () => {
  assert.equal(limitsIn('\n'.repeat(501)), ['1: 501 lines, limit 500']);
  assert.equal(limitsIn(`\n${'x'.repeat(101)}`), ['2: 101 columns, limit 100']);
  const body = '  a();\n'.repeat(69);
  for (const head of ['function f() {', 'const f = () => {', 'get f(): A<{ b: C }> {']) {
    assert.equal(limitsIn(`${head}\n${body}\n}`), ['1: a function of 72 lines, limit 70']);
    assert.equal(limitsIn(`${head}\n${body.slice(7)}}`), []);
  }
});

test('the title of a test may take 120 columns and no more', () => {
  const title = (length: number): string => `test('${'x'.repeat(length - 16)}', () => {`;
  assert.is(title(120).length, 120);
  assert.equal(limitsIn(title(120)), []);
  assert.equal(limitsIn(title(121)), ['1: 121 columns, limit 100']);
});

test('a long block that is no function has no limit of its own', () => {
  const body = '  a();\n'.repeat(99);
  const method = 'function f(): A { b(); } class C {';
  for (const head of ['class A {', 'const a = {', 'while (b()) {', 'if (b) {', method]) {
    assert.equal(limitsIn(`${head}\n${body}}`), []);
  }
});

function importsIn(files: Readonly<Record<string, string>>): string[] {
  const sources = Object.entries(files).map(([path, text]) => readSource(path, text));
  return whats(checkImports(sources));
}

const refused: Readonly<Record<string, readonly [string, string]>> = {
  'the simulator imports the driver': ['sim/nvme/a.ts', '../../sdk/nvme/queue-pair.js'],
  'the driver imports the simulator': ['sdk/nvme/a.ts', '../../sim/world.js'],
  'the tables import the driver': ['sdk/spec/a.ts', '../nvme/queue-pair.js'],
  'conformance imports the simulator': ['test/conformance/a.ts', '../../sim/world.js'],
  'the driver imports a module of Node': ['sdk/nvme/a.ts', 'node:fs'],
  'the driver imports a package': ['sdk/nvme/a.ts', 'uvu'],
  'an import lacks its suffix': ['sdk/nvme/a.ts', './queue-pair'],
  'a file lies outside of the table': ['elsewhere/a.ts', './b.js'],
};

for (const [title, [path, specifier]] of Object.entries(refused)) {
  test(`it is refused that ${title}`, () => {
    assert.is(importsIn({ [path]: `import { a } from '${specifier}';` }).length, 1);
    assert.is(importsIn({ [path]: `import type { a } from '${specifier}';` }).length, 1);
    assert.is(importsIn({ [path]: `export * from '${specifier}';` }).length, 1);
    assert.is(importsIn({ [path]: `const a = await import('${specifier}');` }).length, 1);
  });
}

test('what the layers allow passes', () => {
  const text = "import { a } from '../spec/b.js';\nimport type { C } from '../device.js';";
  assert.equal(importsIn({ 'sdk/nvme/a.ts': text }), []);
  assert.equal(importsIn({ 'sim/store/a.ts': "import { openSync } from 'node:fs';" }), []);
});

test('a circle of three files is found, a circle of types alone is none', () => {
  const circle = {
    'sdk/nvme/a.ts': "import { b } from './b.js';",
    'sdk/nvme/b.ts': "import { c } from './c.js';",
    'sdk/nvme/c.ts': "import { a } from './a.js';",
  };
  assert.equal(importsIn(circle), [
    '1: an import cycle: sdk/nvme/a → sdk/nvme/b → sdk/nvme/c → sdk/nvme/a',
  ]);
  const types = { ...circle, 'sdk/nvme/c.ts': "import type { A } from './a.js';" };
  assert.equal(importsIn(types), []);
});

test('a file that no entry point reaches is found', () => {
  const sources = [
    readSource('sdk/index.ts', "export { a } from './a.js';"),
    readSource('sdk/a.ts', "const b = await import('./b.js');"),
    readSource('sdk/b.ts', ''),
    readSource('sdk/lonely.ts', "import './a.js';"),
  ];
  const violations = checkReached(sources, ['sdk/index.ts']);
  assert.equal(
    violations.map(({ path }) => path),
    ['sdk/lonely.ts'],
  );
});

test('a citation needs a key of the references, even when it wraps', () => {
  const keys = referenceKeys('| key | standard |\n|---|---|\n| NVMe-2.0 | Base |\n');
  const cite = (text: string): string[] => whats(checkCitations({ path: 'a.ts', text }, keys));
  assert.equal(cite('/** [NVMe-2.0 §3.1.3.1 CAP] [NVMe-2.0\n * §?] */'), []);
  assert.equal(cite('\n// [NVMe-9.9 §1]'), ['2: NVMe-9.9 is not in REFERENCES.md']);
});

test('a document that names a missing script, bench or subcommand is refused', () => {
  const known = {
    scripts: new Set(['bench', 'start', 'test']),
    subcommands: new Set(['replay']),
    benches: new Set(['replay']),
  };
  const check = (text: string): string[] =>
    whats(checkCommands({ path: 'README.md', text }, known));
  assert.equal(check('npm start\nnpm test\nnpm run bench -- replay\nnpx ultima replay x'), []);
  assert.equal(check('npm run gone'), ['1: no script gone']);
  assert.equal(check('npm run bench -- gone'), ['1: no bench gone']);
  assert.equal(check('`ultima gone`'), ['1: no subcommand gone']);
});

test.run();
