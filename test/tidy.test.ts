import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as assert from 'uvu/assert';
import { suite } from './support/suite.js';
import { filesUnder } from './support/test-files.js';
import { checkBans, checkText } from './tidy/bans.js';
import { checkCitations, checkCommands, referenceKeys } from './tidy/documents.js';
import { checkImports, checkReached } from './tidy/imports.js';
import { checkLimits } from './tidy/limits.js';
import { readSource, type Source, type Violation } from './tidy/source.js';

const test = suite('tidy');
const root = fileURLToPath(new URL('../../', import.meta.url));
const seeded = /^test\/support\/(?:bad|good)\//;
const documents: readonly string[] = ['README.md', 'CONTRIBUTING.md', 'REFERENCES.md'];

/** What may lie at the top of the package. */
const topLevel: readonly string[] = [
  '.biome.json',
  '.ci',
  '.git',
  '.gitignore',
  '.npmrc',
  'CHANGELOG.md',
  'CONTRIBUTING.md',
  'LICENSE',
  'README.md',
  'REFERENCES.md',
  'bench',
  'docs',
  'fixtures',
  'native',
  'package.json',
  'sdk',
  'sim',
  'test',
  'tsconfig.json',
];
/** Made by commands, ignored by git. */
const generated: readonly string[] = ['dist', 'node_modules', 'out'];

const sources: readonly Source[] = ['bench', 'native', 'sdk', 'sim', 'test']
  .flatMap((folder) => filesUnder(root, folder))
  .filter((path) => path.endsWith('.ts') && !path.endsWith('.d.ts'))
  .filter((path) => !path.includes('/node_modules/'))
  .map((path) => readSource(path, read(path)));
const ours = sources.filter(({ path }) => !seeded.test(path));
const manifest = parseManifest(read('package.json'));

function read(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}

interface Manifest {
  readonly text: string;
  readonly scripts: ReadonlySet<string>;
}

function parseManifest(text: string): Manifest {
  const value: unknown = JSON.parse(text);
  assert.ok(typeof value === 'object' && value !== null && 'scripts' in value);
  const { scripts } = value;
  assert.ok(typeof scripts === 'object' && scripts !== null);
  return { text, scripts: new Set(Object.keys(scripts ?? {})) };
}

function demandNone(violations: readonly Violation[]): void {
  const lines = violations.map(({ path, line, what }) => `${path}:${line} ${what}`);
  assert.is(lines.join('\n'), '');
}

/** Compiled paths that package.json names, as sources; benches, tests, seeded files. */
function entryPoints(): string[] {
  const named = [...manifest.text.matchAll(/\bdist\/([\w/-]+)\.js\b/g)].map((m) => `${m[1]}.ts`);
  const started = sources
    .map(({ path }) => path)
    .filter((path) => /^bench\/|\.test\.ts$|^test\/(?:guest|fuzz|storm)\//.test(path));
  return [...named, ...started, ...sources.map(({ path }) => path).filter((p) => seeded.test(p))];
}

test('files, functions and lines stay within their limits', () => {
  demandNone(sources.flatMap(checkLimits));
});

test('no source uses a banned construct', () => {
  demandNone(ours.flatMap(checkBans));
});

test('imports go one way and in no circle', () => {
  demandNone(checkImports(sources));
});

test('every source is reached from an entry point', () => {
  demandNone(checkReached(sources, entryPoints()));
});

test('each fuzz and storm has the name of its file, by which CI runs it', () => {
  const files = sources.map(({ path }) => /^test\/(fuzz|storm)\/([\w-]+)\.ts$/.exec(path));
  const named = files.filter((match) => match !== null && match[2] !== 'run');
  assert.ok(named.length > 20);
  for (const [path, kind, name] of named.map((match) => match!)) {
    const isNamed = new RegExp(`^ {2}'?${name}'?: `, 'm').test(read(`test/${kind}/run.ts`));
    assert.ok(isNamed, `${path} is not '${name}' in test/${kind}/run.ts`);
  }
});

test('what the package ships is reached without its tests', () => {
  const isTest = (path: string): boolean => path.startsWith('test/');
  const shipped = sources.filter(({ path }) => !isTest(path));
  demandNone(
    checkReached(
      shipped,
      entryPoints().filter((path) => !isTest(path)),
    ),
  );
});

test('every compiled path that package.json names has a source', () => {
  const named = [...manifest.text.matchAll(/\bdist\/([\w/-]+)\.js\b/g)].map((m) => `${m[1]}.ts`);
  assert.equal(
    named.filter((path) => !existsSync(join(root, path))),
    [],
  );
});

test('every citation has a key that REFERENCES.md explains', () => {
  const keys = referenceKeys(read('REFERENCES.md'));
  const files = [...ours.filter(({ path }) => !path.startsWith('test/tidy/'))];
  demandNone(files.flatMap((source) => checkCitations(source, keys)));
});

test('documents and scripts name only commands that exist', () => {
  const benches = filesUnder(root, 'bench').map((path) => path.slice('bench/'.length, -3));
  const known = {
    scripts: manifest.scripts,
    subcommands: subcommands(),
    benches: new Set(benches),
  };
  const paths = [...documents, '.ci/run'];
  demandNone(paths.flatMap((path) => checkCommands({ path, text: read(path) }, known)));
});

test('documents and scripts speak of the project alone', () => {
  const paths = [...documents, 'CHANGELOG.md', '.ci/run', 'package.json'];
  demandNone(paths.flatMap((path) => checkText(path, read(path))));
});

test('nothing unexpected lies at the top of the package', () => {
  const known = new Set([...topLevel, ...generated]);
  assert.equal(
    readdirSync(root).filter((name) => !known.has(name)),
    [],
  );
});

/** The keys of the table of commands in the command line's own source. */
function subcommands(): Set<string> {
  const path = 'sdk/cli/commands.ts';
  if (!existsSync(join(root, path))) return new Set();
  return new Set([...read(path).matchAll(/^ {2}'?([a-z][\w-]*)'?: \{/gm)].map((m) => m[1]!));
}

test.run();
