import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as assert from 'uvu/assert';
import { ControlClaim } from '../../../sdk/cli/control-place.js';
import { encodeAnswer, mostLineBytes } from '../../../sdk/cli/control-wire.js';
import { type Said, saying } from '../../support/served-pool.js';
import { suite } from '../../support/suite.js';
import { at } from './spawned.js';

const test = suite('a command whose pool another process serves');
const folder = mkdtempSync(join(tmpdir(), 'ultima-asking-'));
process.env.ULTIMA_RUNTIME_DIR = folder;
test.after(() => rmSync(folder, { recursive: true }));
const disk = join(folder, 'disk.img');
const started = encodeAnswer({ kind: 'started' });
const main = fileURLToPath(new URL('../../../sdk/cli/main.js', import.meta.url));

test.before(async () => {
  assert.is((await saying(`pool create ${disk} --bytes 16m`)).fault, '');
  assert.is((await saying(`volume create db --bytes 1m -p ${disk}`)).fault, '');
});

/** Something listens where the server of the pool would, while `use` goes on. */
async function faked<T>(
  answer: (socket: Socket, request: string) => void,
  use: () => Promise<T>,
): Promise<T> {
  const claim = await ControlClaim.take([disk]);
  const { path } = await claim.place();
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (bytes: Buffer) => answer(socket, bytes.toString()));
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  try {
    return await use();
  } finally {
    server.close();
    claim.release();
  }
}

const look = `volume list -p ${disk}`;
const change = `snapshot create db@x -p ${disk}`;

function asked(line: string, answer: (socket: Socket) => void): Promise<Said> {
  return faked(answer, () => saying(line));
}

test('it sends its words as they are, and no key', async () => {
  process.env.ULTIMA_TEST_KEY = '5a'.repeat(32) + 'a5'.repeat(32);
  let heard = '';
  const line = `volume create s --bytes 1m --encrypt-with k --key k=env:ULTIMA_TEST_KEY -p ${disk}`;
  await faked(
    (socket, request) => {
      heard = request;
      socket.end(started + encodeAnswer({ kind: 'end', code: 0 }));
    },
    () => saying(line),
  );
  const request: unknown = JSON.parse(heard);
  assert.equal(at(request, 'words'), line.split(' '));
  assert.match(String(at(request, 'keys', 'k')), /^[0-9a-f]{16}$/);
  assert.not.match(heard, /5a5a5a5a/);
});

test('it prints what comes and ends as it is told', async () => {
  const out = encodeAnswer({ kind: 'out', text: 'a\n' });
  const end = encodeAnswer({ kind: 'end', code: 1 });
  const said = await asked(look, (socket) => socket.end(started + out + out + end + out));
  assert.equal(said, { out: 'a\na\n', code: 1, fault: '' });
  const range = encodeAnswer({ kind: 'fault', error: new RangeError('too small') });
  assert.is((await asked(change, (socket) => socket.end(range))).fault, 'RangeError: too small');
});

test('how far it is goes to a terminal on one line, with nothing in it that moves', async () => {
  const text = 'scrub: 7 %\u001b[2J\r\nmore';
  const progress = encodeAnswer({ kind: 'progress', text });
  const end = encodeAnswer({ kind: 'end', code: 0 });
  const shown: string[] = [];
  await faked(
    (socket) => socket.end(started + progress + end),
    () => saying(look, shown),
  );
  assert.equal(shown, ['scrub: 7 % [2J  more']);
});

test('a server that ends before it begins has done nothing: the command does it itself', async () => {
  const said = await asked(change, (socket) => socket.destroy());
  assert.match(said.out, /^db@x: writes were held back/);
  assert.match((await saying(`snapshot list db -p ${disk}`)).out, /\nx /);
  assert.is((await saying(`snapshot delete db@x -p ${disk}`)).fault, '');
});

test('a server that ends on the way leaves a change unknown, and a look undone', async () => {
  const end = (socket: Socket): void => void socket.end(started);
  const changed = await asked(change, end);
  assert.match(changed.fault, /^OUTCOME_UNKNOWN: ultima snapshot create: .* has ended; whether it/);
  const looked = await asked(look, end);
  assert.match(looked.fault, /^COMMAND_ABORTED: ultima volume list: .* nothing has been changed$/);
});

test('what no server of ours says is refused, whatever it is', async () => {
  const nonsense: readonly (readonly [bytes: string | Buffer, reason: RegExp])[] = [
    ['HTTP/1.1 400 Bad Request\r\n', /no JSON/],
    ['[]\n', /no object/],
    ['{"kind":"end","code":7}\n', /exit code that cannot be/],
    ['{"kind":"out"}\n', /no text/],
    ['{"kind":"__proto__"}\n', /an answer that there is not/],
    [Buffer.from([0xff, 0xfe, 10]), /no UTF-8/],
    [Buffer.alloc(mostLineBytes + 1, 0x61), /more than 1048576 bytes/],
  ];
  for (const [bytes, reason] of nonsense) {
    const said = await asked(look, (socket) => void socket.write(bytes));
    assert.match(said.fault, /^COMMAND_ABORTED/);
    assert.match(said.fault, reason);
  }
});

test('an interrupted command says what is known, and the server hears that it is gone', async () => {
  for (const [line, reason] of [
    [change, /^ultima: ultima snapshot create: it was interrupted; whether it was done is unknown/],
    [look, /^ultima: ultima volume list: it was interrupted; nothing has been changed\n$/],
  ] as const) {
    let child: ChildProcess | null = null;
    let gone: Promise<unknown> = Promise.resolve();
    const err = await faked(
      (socket) => {
        socket.write(started);
        gone = once(socket, 'close');
        child?.kill('SIGINT');
      },
      async () => {
        const words = [main, ...line.split(' ')];
        child = spawn(process.execPath, words, { stdio: ['ignore', 'ignore', 'pipe'] });
        let text = '';
        child.stderr!.on('data', (bytes: Buffer) => {
          text += bytes.toString();
        });
        const [code] = await once(child, 'close');
        assert.is(code, 1);
        return text;
      },
    );
    await gone;
    assert.match(err, reason);
  }
});
test.run();
