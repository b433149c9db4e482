import {
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import * as assert from 'uvu/assert';
import {
  ControlClaim,
  controlFolders,
  controlKey,
  controlSockets,
} from '../../../sdk/cli/control-place.js';
import { suite } from '../../support/suite.js';

const test = suite('where the server of a pool listens to other commands');
const base = mkdtempSync(join(tmpdir(), 'ultima-place-'));
const own = join(base, 'run');
const [a, b] = [join(base, 'a.img'), join(base, 'b.img')];
test.before(() => {
  for (const path of [a, b]) writeFileSync(path, 'x');
  process.env.ULTIMA_RUNTIME_DIR = own;
});
test.after(() => rmSync(base, { recursive: true }));

test('a pool is found by its devices, whatever they are called and in whatever order', () => {
  const link = join(base, 'link.img');
  const hard = join(base, 'hard.img');
  symlinkSync(a, link);
  linkSync(a, hard);
  const key = controlKey([a, b]);
  assert.match(key, /^[0-9a-f]{32}$/);
  for (const names of [
    [b, a],
    [link, b],
    [hard, relative(process.cwd(), b)],
    [`sim:ultima-g2?bytes=1GiB&file=${encodeURIComponent(a)}`, b],
  ]) {
    assert.is(controlKey(names), key, names.join(' '));
  }
  const others = [[a], [b], [a, b, b], [a, 'vfio:0000:01:00.0'], ['vfio:0000:01:00.0'], ['sim:x']];
  assert.is(new Set([key, ...others.map(controlKey)]).size, 1 + others.length);
  const remote = 'nvme-tcp:host:4420/nqn.2026-11.io.ultima:x/1';
  assert.is(controlKey([`${remote}?tls=certificates`]), controlKey([remote]));
});

/** Listen as a server does. */
async function listen(claim: ControlClaim): Promise<Server> {
  const { path, why } = await claim.place();
  assert.is(why, '');
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return server;
}

/** What a process leaves behind that was killed. */
async function leave(path: string): Promise<void> {
  const server = createServer();
  const aside = `${path}.aside`;
  await new Promise<void>((resolve) => server.listen(aside, resolve));
  linkSync(aside, path);
  await new Promise<void>((resolve) => void server.close(() => resolve()));
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

test('one process at a time has the claim; the next one has it when that is gone', async () => {
  const claim = await ControlClaim.take([a, b]);
  const message = await ControlClaim.take([b, a]).then(
    () => '',
    (error: unknown) => String(error),
  );
  assert.match(message, /another process serves the pool on .*b\.img .*a\.img; end it first/);
  claim.release();
  (await ControlClaim.take([b, a])).release();
});

test('sockets of dead servers are replaced and swept away, those of others stay', async () => {
  mkdirSync(own, { mode: 0o700, recursive: true });
  const path = join(own, `${controlKey([a])}.sock`);
  const other = join(own, `${controlKey([b])}.sock`);
  const dead = join(own, `${'0'.repeat(32)}.sock`);
  for (const left of [path, dead]) await leave(left);
  writeFileSync(join(own, 'note.txt'), 'not ours');
  const living = await ControlClaim.take([b]);
  const there = await listen(living);
  assert.is(await isAnswered(path), false);
  const claim = await ControlClaim.take([a]);
  const server = await listen(claim);
  assert.equal(readdirSync(own).sort(), [path, other, join(own, 'note.txt')].map(nameOf).sort());
  assert.ok((await isAnswered(path)) && (await isAnswered(other)));
  assert.equal(controlSockets([a]), [path]);
  for (const each of [server, there]) each.close();
  for (const each of [claim, living]) each.release();
});

const nameOf = (path: string): string => relative(own, path);

test('a folder into which others can write is not used, by neither side', async () => {
  const claim = await ControlClaim.take([a]);
  const server = await listen(claim);
  assert.is(controlSockets([a]).length, 1);
  for (const mode of [0o770, 0o707, 0o755]) {
    chmodSync(own, mode);
    assert.equal(controlSockets([a]), []);
    const { path, why } = await claim.place();
    assert.equal(
      [path, why],
      ['', `${own} is no folder that belongs to this user alone (mode 0700)`],
    );
  }
  chmodSync(own, 0o700);
  server.close();
  const elsewhere = join(base, 'elsewhere');
  mkdirSync(elsewhere, { mode: 0o700 });
  rmSync(own, { recursive: true });
  symlinkSync(elsewhere, own);
  assert.match((await claim.place()).why, /is no folder that belongs/, 'a link leads anywhere');
  rmSync(own);
  writeFileSync(own, '', { mode: 0o600 });
  assert.match((await claim.place()).why, /is no folder that belongs/, 'a file');
  rmSync(own);
  claim.release();
});

test('what is no socket stays where it is', async () => {
  mkdirSync(own, { mode: 0o700 });
  const claim = await ControlClaim.take([a]);
  const path = join(own, `${controlKey([a])}.sock`);
  writeFileSync(path, 'somebody put it there');
  assert.equal(controlSockets([a]), []);
  const fault = await claim.place().then(
    () => '',
    (error: unknown) => String(error),
  );
  assert.match(fault, /\.sock is there and is no socket/);
  assert.equal(readdirSync(own), [nameOf(path)]);
  rmSync(own, { recursive: true });
  claim.release();
});

test('a path that is too long for a socket is said', async () => {
  process.env.ULTIMA_RUNTIME_DIR = join(base, 'x'.repeat(80));
  const claim = await ControlClaim.take([a]);
  const { path, why } = await claim.place();
  assert.is(path, '');
  assert.match(why, /xxx\/[0-9a-f]{32}\.sock is longer than a socket's name$/);
  process.env.ULTIMA_RUNTIME_DIR = own;
  claim.release();
});

test('the session is asked before the user and the system, and one folder can be named', () => {
  const { TMPDIR, XDG_RUNTIME_DIR } = process.env;
  const user = process.getuid?.();
  process.env.ULTIMA_RUNTIME_DIR = '';
  process.env.XDG_RUNTIME_DIR = '/session';
  process.env.TMPDIR = '/some';
  const system = user === 0 ? ['/run/ultima'] : [];
  const usual = [`/run/user/${user}/ultima`, ...system, `/some/ultima-${user}`];
  assert.equal(controlFolders(), ['/session/ultima', ...usual]);
  delete process.env.XDG_RUNTIME_DIR;
  assert.equal(controlFolders(), usual);
  process.env.XDG_RUNTIME_DIR = `/run/user/${user}`;
  assert.equal(controlFolders(), usual);
  Object.assign(process.env, { ULTIMA_RUNTIME_DIR: own });
  assert.equal(controlFolders(), [own]);
  for (const [name, value] of Object.entries({ TMPDIR, XDG_RUNTIME_DIR })) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
});

test.run();
