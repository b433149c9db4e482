import { randomBytes, randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { MonotonicClock } from '../../../native/vfio/clock.js';
import { MemoryDevice } from '../../../sdk/block/memory.js';
import { writeBlocks } from '../../../sdk/block/promised.js';
import { ControlClaim } from '../../../sdk/cli/control-place.js';
import { PoolControl } from '../../../sdk/cli/control-server.js';
import { encodeRequest, mostLineBytes } from '../../../sdk/cli/control-wire.js';
import { usersOf } from '../../../sdk/cli/served-users.js';
import { MiB } from '../../../sdk/units.js';
import { Pool } from '../../../sdk/volume/pool.js';
import { Prng } from '../../../sim/prng.js';
import { saying } from '../../support/served-pool.js';
import { suite } from '../../support/suite.js';

const test = suite('the process that serves a pool, asked by other commands');
const folder = mkdtempSync(join(tmpdir(), 'ultima-asked-'));
process.env.ULTIMA_RUNTIME_DIR = folder;
test.after(() => rmSync(folder, { recursive: true }));

const key = randomBytes(64);
/** No device of this name is ever opened: whoever finds it busy asks. */
const name = 'vfio:0000:99:00.0';
/** Clients of volume 'db'. */
let clients = 0;

interface Asked {
  readonly pool: Pool;
  readonly control: PoolControl;
  /** What a command says. */
  readonly say: (line: string) => ReturnType<typeof saying>;
}

async function asking(use: (asked: Asked) => Promise<void>, lookOnly = ''): Promise<void> {
  // Its clock lets others run, as those of real devices do.
  const clock = new MonotonicClock();
  const disk = new MemoryDevice({ blockBytes: 512, blockCount: (32 * MiB) / 512, clock });
  const pool = await Pool.create([disk], { random: (bytes) => void randomFillSync(bytes) });
  pool.core.keyOf = (id) => (id === 'k1' ? key : null);
  await pool.createVolume({ name: 'db', bytes: 16 * MiB });
  await pool.createVolume({ name: 'cold', bytes: MiB });
  await pool.takeSnapshot(['db', 'cold'].map((volume) => ({ volume, name: 's' })));
  const claim = await ControlClaim.take([name]);
  const users = usersOf(['db', 'cold@s'], { clientsOf: () => clients });
  const common = { claim, pool, users, measure: () => {}, lookOnly };
  const control = await PoolControl.start({ ...common, keys: pool.core.keyOf });
  assert.is(control.why, '');
  try {
    await use({ pool, control, say: (line) => saying(`${line} -p ${name}`) });
    assert.equal(await pool.check(), []);
  } finally {
    await control.close();
    claim.release();
    await pool.close();
  }
  assert.equal(readdirSync(folder), [], 'its socket is gone');
}

const names = (pool: Pool): string[] =>
  pool.volumes().flatMap((volume) => {
    const snapshots = pool.snapshots(volume.name).map((each) => `${volume.name}@${each.name}`);
    return [volume.name, ...snapshots];
  });

test('volumes and snapshots are made, changed and deleted where the pool is open', async () => {
  await asking(async ({ pool, say }) => {
    for (const line of [
      'volume create new --bytes 1m --attribute a=b',
      'snapshot create new@x db@x',
      'volume clone db@x copy',
      'volume rename copy --to moved',
      'volume set new --attribute c=d',
      'volume grow db --bytes 24m',
      'snapshot delete new@x db@s',
      'volume delete cold --with-snapshots',
    ]) {
      const { code, fault } = await say(line);
      assert.equal([code, fault], line.includes('cold') ? [-1, fault] : [0, ''], line);
    }
    assert.equal(names(pool).sort(), ['cold', 'cold@s', 'db', 'db@x', 'moved', 'new']);
    assert.equal(pool.volume('new').object.attributes, { a: 'b', c: 'd' });
    assert.is(pool.volume('db').object.bytes, 24 * MiB);
  });
});

test('what clients have is not taken from under them', async () => {
  await asking(async ({ pool, say }) => {
    const before = names(pool);
    const refused: readonly (readonly [line: string, reason: RegExp])[] = [
      ['volume delete db --with-snapshots', /^VOLUME_BUSY: db is served by process \d+; end that/],
      ['volume rename db --to x', /^VOLUME_BUSY: db is served/],
      ['volume delete cold --with-snapshots', /^VOLUME_BUSY: cold@s is served/],
      ['volume rename cold --to x', /^VOLUME_BUSY: cold@s is served/],
      ['snapshot delete db@s cold@s', /^VOLUME_BUSY: cold@s is served/],
    ];
    for (const [line, reason] of refused) assert.match((await say(line)).fault, reason);
    assert.equal(names(pool), before);
  });
});

test('a volume is taken back to a snapshot only while no client has it open', async () => {
  await asking(async ({ pool, say }) => {
    const root = pool.volume('db').object.root;
    await writeBlocks(pool.volume('db'), 0, new Uint8Array(4096).fill(7));
    clients = 2;
    const line = 'snapshot restore db@s --keep before';
    assert.match(
      (await say(line)).fault,
      /^VOLUME_BUSY: 2 clients of process \d+ may use volume db/,
    );
    assert.equal(names(pool), ['db', 'db@s', 'cold', 'cold@s']);
    assert.is((await say('snapshot restore cold@s --keep before')).fault, '');
    clients = 0;
    assert.is((await say(line)).fault, '');
    assert.equal(names(pool), ['db', 'db@s', 'db@before', 'cold', 'cold@s', 'cold@before']);
    assert.is(pool.volume('db').object.root, root);
  });
});

test('what needs the pool for itself is refused, with what to do instead', async () => {
  await asking(async ({ say }) => {
    for (const what of [
      'pool check --repair',
      'pool delete --yes',
      'pool create --overwrite',
      `pool grow --add ${join(folder, 'more.img')} --bytes 16m`,
    ]) {
      const words = what.split(' ').slice(0, 2).join(' ');
      const { fault } = await say(what);
      assert.match(
        fault,
        new RegExp(`^DEVICE_BUSY: process ${process.pid} serves .*'ultima ${words}`),
      );
      assert.match(fault, /end that process first$/);
    }
    assert.match((await say('pool grow')).fault, /no device has become larger/);
    assert.match((await say('pool check')).out, /^the pool is sound\n$/);
  });
});

test('keys stay where they are: those of the server are used when they are the same', async () => {
  process.env.ULTIMA_TEST_SAME = key.toString('hex');
  process.env.ULTIMA_TEST_OTHER = randomBytes(64).toString('hex');
  await asking(async ({ pool, say }) => {
    const create = 'volume create secret --bytes 1m --encrypt-with k1 --key';
    const other = await say(`${create} k1=env:ULTIMA_TEST_OTHER`);
    assert.match(
      other.fault,
      /^VERIFY_FAILED: process \d+ serves the pool and has another key 'k1'/,
    );
    const none = await say(`${create} k2=env:ULTIMA_TEST_SAME`);
    assert.match(none.fault, /^NOT_FOUND: .* does not have the key 'k2'; start it with --key k2=/);
    assert.not(names(pool).includes('secret'));
    assert.is((await say(`${create} k1=env:ULTIMA_TEST_SAME`)).fault, '');
    await writeBlocks(pool.volume('secret'), 0, new Uint8Array(4096).fill(7));
    assert.match((await say('volume scrub secret')).out, /^4.10 kB read, 0 places bad/);
  });
});

test('the pool of a node can be looked at, and is not changed', async () => {
  await asking(async ({ pool, say }) => {
    const before = names(pool);
    assert.match((await say('snapshot create db@x')).fault, /^DEVICE_BUSY: it is a node's$/);
    assert.match((await say('volume list')).out, /\ndb /);
    assert.equal(names(pool), before);
  }, "it is a node's");
});

/** A connection of somebody who knows where to connect. */
async function foreign({ control }: Asked): Promise<Socket> {
  const socket = connect(control.path);
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

async function heard(socket: Socket): Promise<string> {
  let text = '';
  socket.setEncoding('utf8').on('data', (piece: string) => {
    text += piece;
  });
  await once(socket, 'close');
  return text;
}

const requestOf = (...words: string[]): string => encodeRequest({ words, keyChecks: new Map() });

test('bytes that are no request are refused, and harm nobody', async () => {
  const seed = Number(process.env.ULTIMA_SEED ?? 20_261_129);
  const chance = new Prng(seed, 'bytes');
  const good = Buffer.from(requestOf('volume', 'list', '-p', name));
  await asking(async (asked) => {
    for (let i = 0; i < 150; i++) {
      const bytes = i % 2 === 0 ? Buffer.from(good) : Buffer.alloc(chance.below(200) + 1);
      if (i % 2 === 1) chance.fill(bytes);
      else for (let k = 0; k < 3; k++) bytes[chance.below(bytes.length - 1)] = chance.below(256);
      const socket = await foreign(asked);
      const answer = heard(socket);
      socket.end(Buffer.concat([bytes, Buffer.from('\n')]));
      const text = await answer;
      assert.ok(text === '' || text.startsWith('{"kind":'), `seed ${seed}, ${i}: ${text}`);
    }
    const long = await foreign(asked);
    const told = heard(long);
    long.write(Buffer.alloc(mostLineBytes + 1, 0x61));
    assert.match(await told, /"USAGE","message":"no request: a line of more than 1048576 bytes"/);
    const words = await foreign(asked);
    const wrong = heard(words);
    words.write('{"ultima":2,"words":["volume","list"],"keys":{}}\n');
    assert.match(await wrong, /speaks version 1 .* this command another one/);
    const two = await foreign(asked);
    const both = heard(two);
    two.write(requestOf('volume', 'list', '-p', name).repeat(2));
    assert.match(await both, /one command at a time/);
    for (const line of [
      requestOf('serve', 'volume', 'db'),
      requestOf('__proto__', 'toString'),
      requestOf('volume', 'toString'),
      requestOf('volume', 'grow', 'db', '--bytes', '8m', '--nbd', 'unix:x'),
    ]) {
      const socket = await foreign(asked);
      const answer = heard(socket);
      socket.write(line);
      assert.match(await answer, /^\{"kind":"fault","code":"(USAGE|DEVICE_BUSY)"/);
    }
    assert.match((await asked.say('volume list')).out, /\ndb /);
  });
});

const nouns = ['pool', 'volume', 'snapshot'];
const tokens: readonly string[] = [
  ...'create list describe rename set grow clone scrub delete check restore diff'.split(' '),
  ...'db cold new db@s db@x cold@s @ a@b@c __proto__ constructor - -- ä'.split(' '),
  ...'--bytes 1m 8m -1 1e9t 17t --to --keep --attribute a=b a= = __proto__=x'.split(' '),
  ...'--qos-tier high --block-bytes 512 --checks --encrypt-with k1 --key k1=env:NONE'.split(' '),
  ...'--with-snapshots --yes --repair --add -o json yaml --map-cache 16k --nbd -p'.split(' '),
  name,
  '',
];

test('words in any order are carried out or refused, and the pool stays sound', async () => {
  const seed = Number(process.env.ULTIMA_SEED ?? 6);
  const chance = new Prng(seed, 'words');
  const pick = (from: readonly string[]): string => from[chance.below(from.length)]!;
  await asking(async (asked) => {
    const seen = { end: 0, fault: 0 };
    for (let i = 0; i < 600; i++) {
      const words = [pick(nouns), pick(tokens.slice(0, 12))];
      for (let k = chance.below(6); k > 0; k--) words.push(pick(tokens));
      const socket = await foreign(asked);
      const answer = heard(socket);
      socket.write(requestOf(...words, '-p', name));
      const last = (await answer).trimEnd().split('\n').at(-1)!;
      const { kind, code } = JSON.parse(last);
      assert.ok(kind === 'end' || kind === 'fault', `seed ${seed}: ${words}: ${last}`);
      // A fault without a code is one of ours.
      assert.is.not(code, '', `seed ${seed}: ${words}: ${last}`);
      if (kind === 'end') seen.end++;
      else seen.fault++;
    }
    assert.ok(seen.end > 20 && seen.fault > 100, JSON.stringify(seen));
    const kept = ['db', 'cold', 'cold@s'];
    assert.equal(
      kept.filter((each) => !names(asked.pool).includes(each)),
      [],
      'what is served is there',
    );
  });
});

test('so many at a time, and one that says nothing is cut off at the end', async () => {
  await asking(async (asked) => {
    const silent: Socket[] = [];
    for (let i = 0; i < 32; i++) silent.push(await foreign(asked));
    assert.match((await asked.say('volume list')).fault, /^DEVICE_BUSY: 32 other commands/);
    const [first] = silent;
    first!.destroy();
    await once(first!, 'close');
    let last = await asked.say('volume list');
    for (let i = 0; last.fault !== '' && i < 100; i++) last = await asked.say('volume list');
    assert.match(last.out, /\ndb /);
  });
});

test('long work ends when nobody waits for it, and gives back what it held', async () => {
  await asking(async (asked) => {
    const { pool } = asked;
    await writeBlocks(pool.volume('db'), 0, new Uint8Array(16 * MiB).fill(1));
    const socket = await foreign(asked);
    socket.write(requestOf('volume', 'scrub', 'db', '-p', name));
    const [begun] = await once(socket, 'data');
    assert.match(String(begun), /^\{"kind":"started"\}\n/);
    await new Promise(setImmediate);
    assert.ok(pool.core.pins.roots().length > 0, 'it walks the map');
    socket.destroy();
    let turns = 0;
    for (; pool.core.pins.roots().length > 0; turns++) await new Promise(setImmediate);
    // All of it takes a turn for each MiB.
    assert.ok(turns < 12, `${turns} turns`);
    const shown: string[] = [];
    const whole = await saying(`volume scrub db -p ${name}`, shown);
    assert.match(whole.out, /^16.8 MB read, 0 places bad/);
    assert.match(shown[0] ?? '', /^scrub: \d+ %$/);
  });
});

test('a change whose process ends before its turn is not carried out', async () => {
  await asking(async (asked) => {
    const { control, pool, say } = asked;
    let open: () => void = () => {};
    const before = control.inTurn(
      () =>
        new Promise<void>((resolve) => {
          open = resolve;
        }),
    );
    const socket = await foreign(asked);
    socket.write(requestOf('snapshot', 'create', 'db@gone', '-p', name));
    const waiting = say('snapshot create db@kept');
    // What looks does not wait for what changes; when it is answered, both have been heard.
    assert.match((await say('snapshot list db')).out, /^snapshot .*\ns /);
    socket.destroy();
    await once(socket, 'close');
    await say('snapshot list db');
    open();
    await before;
    assert.is((await waiting).fault, '');
    assert.equal(names(pool), ['db', 'db@s', 'db@kept', 'cold', 'cold@s']);
  });
});

test('at the end a change under way is finished, and what waits for it is told that it was not', async () => {
  await asking(async ({ control, pool, say }) => {
    let open: () => void = () => {};
    const held = control.inTurn(
      () =>
        new Promise<void>((resolve) => {
          open = resolve;
        }),
    );
    const waiting = say('snapshot create db@late');
    const looking = say('volume scrub db');
    await say('snapshot list db');
    const closed = control.close();
    open();
    await Promise.all([held, closed]);
    assert.match(
      (await waiting).fault,
      /^COMMAND_ABORTED: the process that serves the pool is ending$/,
    );
    await looking;
    assert.not(names(pool).includes('db@late'));
  });
});

test.run();
