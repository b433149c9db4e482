import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as assert from 'uvu/assert';
import { suite } from './support/suite.js';

const test = suite('README');
const root = fileURLToPath(new URL('../../', import.meta.url));
const text = readFileSync(join(root, 'README.md'), 'utf8');

interface Ended {
  readonly code: number | null;
  readonly out: string;
}

function node(...words: string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, words, { cwd: root });
    let out = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (piece: string) => {
        out += piece;
      });
    }
    child.on('close', (code) => resolve({ code, out }));
  });
}

/** The fenced blocks of a language. */
function blocks(language: string): string[] {
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, 'gms'))].map(
    (m) => m[1]!,
  );
}

test('there are programs and commands to try', () => {
  assert.ok(blocks('ts').length >= 2);
  assert.ok(commands().length >= 8);
});

/** What each program prints: nothing wrong. */
const printed = [
  /^true \d+ ns of card time\n$/,
  /^[\d.]+ [\d.]+ 0\n$/,
  /^1 1 4096 bytes at 28672\n$/,
  /^2 (serving|degraded)\n$/,
  /^serving exclusive access, registrants only\n$/,
  /^true 0\n$/,
  /^20000 0\n$/,
  /^namespace 1: 0 units served\n$/,
  /^10000 commands, 0 wrong reads, p99 \d+ ns\n$/,
];

// The files lie inside the package, where its own name leads to its exports.
async function runProgram(name: string, program: string): Promise<string> {
  const folder = join(root, 'dist/readme');
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${name}-${process.pid}.mjs`);
  writeFileSync(path, program);
  const { code, out } = await node(path);
  rmSync(path);
  assert.is(code, 0, out);
  return out;
}

const programs = blocks('ts').filter((program) => !program.includes('vfio:'));
for (const [i, program] of programs.entries()) {
  test(`program ${i + 1} runs as it stands`, async () => {
    assert.match(await runProgram(`program-${i + 1}`, program), printed[i]!);
  });
}

// Without a real card these cannot run, but what they import must be there.
for (const [i, program] of blocks('ts').entries()) {
  if (programs.includes(program)) continue;
  test(`program ${i + 1}, for a real card, imports what the package exports`, async () => {
    const imports = program.split('\n').filter((line) => line.startsWith('import '));
    assert.ok(imports.length > 0);
    await runProgram(`imports-${i + 1}`, imports.join('\n'));
  });
}

/** With a server of something that needs no card, for which the rest of it is. */
function isServed(block: string): boolean {
  return /^npx ultima serve (device|volume)/m.test(block);
}

/** What needs a card, or a server beside it; `doctor` may well find something wrong. */
const other = /vfio|doctor|bind|--nbd|nvme-tcp/;

function commands(): string[][] {
  return blocks('sh')
    .filter((block) => !isServed(block))
    .flatMap((block) => block.split('\n'))
    .filter((line) => line.startsWith('npx ultima ') && !other.test(line))
    .map((line) => line.slice('npx ultima '.length).split(' '));
}

for (const words of commands()) {
  test(`ultima ${words.join(' ')} does what it says`, async () => {
    const isReplay = words[0] === 'replay' && !words.includes('--help');
    const quiet = isReplay ? ['--report', 'none', '--perfetto', 'none'] : [];
    const { code, out } = await node('dist/sdk/cli/main.js', ...words, ...quiet);
    assert.is(code, 0, out);
  });
}

/** The same with places that nobody else has. */
async function atFreePlaces(line: string): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  await new Promise((resolve) => server.close(resolve));
  const path = join(root, 'dist/readme', `disk-${process.pid}`);
  return line
    .replaceAll(/127\.0\.0\.1:\d+/g, `127.0.0.1:${address.port}`)
    .replace('/tmp/disk', path);
}

/** It says where something is served. */
function serving(server: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = '';
    server.stderr!.on('data', (piece) => {
      said += String(piece);
      if (said.includes('is served at ')) resolve();
    });
    server.once('exit', (code) => reject(new Error(`it ended with ${code}: ${said}`)));
  });
}

for (const block of blocks('sh').filter(isServed)) {
  const lines = block.split('\n').filter((line) => line.startsWith('npx ultima '));
  test(`${lines[0]} and what follows do what they say`, async () => {
    mkdirSync(join(root, 'dist/readme'), { recursive: true });
    const typed = (await atFreePlaces(lines.join('\n'))).replaceAll('npx ultima ', '').split('\n');
    const servers: ChildProcess[] = [];
    try {
      for (const words of typed.map((line) => line.split(' '))) {
        if (words[0] !== 'serve') {
          const { code, out } = await node('dist/sdk/cli/main.js', ...words);
          assert.is(code, 0, out);
          continue;
        }
        const server = spawn(process.execPath, ['dist/sdk/cli/main.js', ...words], { cwd: root });
        servers.push(server);
        await serving(server);
      }
    } finally {
      for (const server of servers) {
        server.kill('SIGTERM');
        if (server.exitCode === null) await once(server, 'exit');
      }
    }
    assert.equal(
      servers.map(({ exitCode }) => exitCode),
      servers.map(() => 0),
    );
  });
}

test.run();
