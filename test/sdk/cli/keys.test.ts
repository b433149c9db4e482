import { randomBytes } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { keysOf } from '../../../sdk/cli/keys.js';
import { run as pool } from '../../../sdk/cli/pool.js';
import { run as serve } from '../../../sdk/cli/serve.js';
import type { Terminal } from '../../../sdk/cli/terminal.js';
import { run as volume } from '../../../sdk/cli/volume.js';
import { suite } from '../../support/suite.js';

const test = suite('keys of encrypted volumes');
const folder = mkdtempSync(join(tmpdir(), 'ultima-keys-'));
const disk = join(folder, 'disk.img');
const key = randomBytes(64);
test.after(() => rmSync(folder, { recursive: true }));

let said = '';
const terminal: Terminal = {
  out: (data) => {
    said += String(data);
  },
  say: () => {},
  progress: () => {},
  isInteractive: false,
  columns: 80,
};

function keyFile(name: string, content: Uint8Array | string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

/** A verb that must fail. @returns what it says */
async function refusal(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return String(error);
  }
  throw new Error('nothing was refused');
}

test('a key comes from a file, a variable or a descriptor, raw or in hexadecimal', () => {
  const path = keyFile('raw', key);
  const hex = keyFile('hex', `${key.toString('hex')}\n`);
  process.env.ULTIMA_TEST_KEY = key.toString('hex');
  const fd = openSync(path, 'r');
  const words = [`a=file:${path}`, `b=file:${hex}`, 'c=env:ULTIMA_TEST_KEY', `d=fd:${fd}`];
  const keys = keysOf(words);
  closeSync(fd);
  for (const name of ['a', 'b', 'c', 'd']) assert.equal(Buffer.from(keys(name)!), key, name);
  assert.is(keys('e'), null);
});

test('what is no key says why, and what would be one', () => {
  const path = keyFile('good', key);
  const bad: readonly (readonly [words: string[], reason: RegExp])[] = [
    [['k'], /NAME=SOURCE/],
    [['=env:X'], /NAME=SOURCE/],
    [['k=pass:word'], /file:PATH, env:VARIABLE or fd:NUMBER/],
    [['k=fd:x'], /file:PATH, env:VARIABLE or fd:NUMBER/],
    [['k=env:ULTIMA_NO_SUCH_KEY'], /no variable ULTIMA_NO_SUCH_KEY/],
    [[`k=file:${join(folder, 'none')}`], /cannot be read/],
    [[`k=file:${keyFile('short', key.subarray(1))}`], /has 63 bytes; AES-256-XTS takes 64/],
    [[`k=file:${keyFile('equal', Buffer.alloc(64, 7))}`], /halves of the key 'k' are equal/],
    [[`k=file:${path}`, `k=file:${path}`], /given twice/],
  ];
  for (const [words, reason] of bad) assert.throws(() => keysOf(words), reason);
});

test('a volume is made with a key that is there, and served with that key alone', async () => {
  const path = keyFile('k1', key);
  await pool(['create', disk, '--bytes', '32m'], terminal);
  const making = ['create', 'db', '--bytes', '1m', '--pool', disk, '--encrypt-with', 'k1'];
  assert.match(await refusal(volume(making, terminal)), /there is no key k1/);
  await volume([...making, '--key', `k1=file:${path}`], terminal);
  assert.match(said, /encrypted {2}with the key 'k1'/);
  assert.is(readFileSync(disk).includes(key), false, 'the key is on the disk');
  assert.is(readFileSync(disk).includes(key.toString('hex')), false, 'the key is on the disk');
  const serving = ['volume', 'db', '--pool', disk, '--nbd', `unix:${join(folder, 's')}`];
  assert.match(await refusal(serve(serving, terminal)), /--key k1=file:PATH, env:VARIABLE/);
  const other = keyFile('other', randomBytes(64));
  const wrong = [...serving, '--key', `k1=file:${other}`];
  assert.match(
    await refusal(serve(wrong, terminal)),
    /is not the one that volume db was made with/,
  );
  const scrub = ['scrub', 'db', '--pool', disk];
  assert.match(await refusal(volume(scrub, terminal)), /--key k1=/);
  assert.is(await volume([...scrub, '--key', `k1=file:${path}`], terminal), 0);
});

test('a tier that there is not is refused when the volume is made', async () => {
  const making = ['create', 'x', '--bytes', '1m', '--pool', disk, '--qos-tier', 'hihg'];
  assert.match(await refusal(volume(making, terminal)), /qos-tier is hihg.*high/);
});

test.run();
