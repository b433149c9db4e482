import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { FileDevice } from '../../../sdk/block/file.js';
import { writeBlocks } from '../../../sdk/block/promised.js';
import { commands } from '../../../sdk/cli/commands.js';
import type { Terminal } from '../../../sdk/cli/terminal.js';
import { cellBytes, placeOf } from '../../../sdk/volume/format.js';
import { Pool } from '../../../sdk/volume/pool.js';
import { stillClock } from '../../support/crash-device.js';
import { suite } from '../../support/suite.js';

const test = suite('ultima pool, volume and snapshot');
const folder = mkdtempSync(join(tmpdir(), 'ultima-pool-'));
const disk = join(folder, 'disk.img');
const more = join(folder, 'more.img');
test.after(() => rmSync(folder, { recursive: true }));

interface Said {
  readonly code: number;
  readonly text: string;
}

/** Run a command in this process. @throws what it throws */
async function run(line: string): Promise<Said> {
  const [name, ...words] = line.split(' ');
  let text = '';
  const terminal: Terminal = {
    out: (data) => {
      text += String(data);
    },
    say: () => {},
    progress: () => {},
    isInteractive: false,
    columns: 80,
  };
  const entry = name === 'pool' ? commands.pool : name === 'volume' ? commands.volume : null;
  const module = await (entry ?? commands.snapshot).load();
  return { code: await module.run(words, terminal), text };
}

async function json(line: string): Promise<Record<string, unknown>> {
  const { text } = await run(`${line} -o json`);
  const value: unknown = JSON.parse(text);
  assert.ok(typeof value === 'object' && value !== null);
  return Object.fromEntries(Object.entries(value ?? {}));
}

/** What a command says that fails. */
async function fault(line: string): Promise<string> {
  try {
    await run(line);
  } catch (error) {
    if (error instanceof Error) return error.message;
  }
  return '';
}

test('a device is told by its name, and how it can be taken all the same', async () => {
  const [taken, blank] = [join(folder, 'taken.img'), join(folder, 'blank.img')];
  assert.match((await run(`pool create ${taken} --bytes 16m`)).text, /holds {6}0 volumes, 0 snap/);
  await run(`volume create only --bytes 1g -p ${taken}`);
  assert.match((await run(`pool describe ${taken}`)).text, /holds {6}1 volume, 0 snapshots/);
  const busy = await fault(`pool create ${taken}`);
  assert.ok(busy.endsWith(`--overwrite) (device 0 is ${taken})`), busy);
  writeFileSync(blank, new Uint8Array(2 ** 20));
  const none = await fault(`pool check ${blank}`);
  assert.is(none, `device 0 carries no pool (device 0 is ${blank})`);
  const pool = `-p ${taken}`;
  assert.is(await fault(`snapshot list a b ${pool}`), "this takes one name at most, not 'a b'");
  assert.is(await fault(`snapshot create ${pool}`), 'this takes names, and none was given');
  assert.is(await fault(`volume delete ${pool}`), 'this takes one name, and none was given');
  const unknown =
    /^Unknown option '--(bytes|yes|keep)'; options here: --pool --map-cache --output-format/;
  assert.match(await fault(`volume delete only --bytes 1g ${pool}`), unknown);
  assert.match(await fault(`pool check ${taken} --yes`), unknown);
  assert.match(await fault(`snapshot delete only@a --keep b ${pool}`), unknown);
  assert.match((await run(`volume list ${pool}`)).text, /\nonly /);
});

test('a pool, a volume, a snapshot and a clone are made, and are there the next time', async () => {
  await run(`pool create ${disk} --bytes 32m`);
  const made = await json(`volume create a --bytes 1t --attribute owner=db --pool ${disk}`);
  assert.is(made.bytes, 2 ** 40);
  assert.equal(made.attributes, { owner: 'db' });
  await run(`snapshot create a@s1 -p ${disk}`);
  assert.match((await run(`volume scrub a@s1 -p ${disk}`)).text, /^0 B read, 0 places bad/);
  await run(`volume clone a@s1 b -p ${disk}`);
  const { volumes } = await json(`volume list -p ${disk}`);
  assert.ok(Array.isArray(volumes));
  assert.equal(
    volumes.map((row: { name: string; snapshots: string[] }) => [row.name, row.snapshots]),
    [
      ['a', ['s1']],
      ['b', []],
    ],
  );
  assert.match((await run(`snapshot list a -p ${disk}`)).text, /^snapshot .*\ns1 /);
  await run(`snapshot create b@s0 -p ${disk}`);
  assert.match((await run(`snapshot list -p ${disk}`)).text, /^snapshot .*\na@s1 .*\nb@s0 .*\n$/);
  await run(`snapshot delete b@s0 -p ${disk}`);
});

test('a volume gets another tier and other attributes, and keeps the rest', async () => {
  const pool = `-p ${disk}`;
  await run(`volume set a --qos-tier high --attribute app=pg --attribute owner= ${pool}`);
  const after = await json(`volume describe a ${pool}`);
  assert.equal([after.qosTier, after.attributes], ['high', { app: 'pg' }]);
  await run(`volume set a --attribute owner=db ${pool}`);
  await run(`volume set a --qos-tier= ${pool}`);
  const last = await json(`volume describe a ${pool}`);
  assert.equal([last.qosTier, last.attributes], ['', { app: 'pg', owner: 'db' }]);
  assert.match(await fault(`volume set a ${pool}`), /--qos-tier TIER or --attribute/);
  assert.match(await fault(`volume set a --qos-tier fast ${pool}`), /must be one of: high/);
  assert.match(await fault(`volume set z --qos-tier high ${pool}`), /no volume z/);
  const long = `app=${'x'.repeat(5000)}`;
  assert.match(
    await fault(`volume set a --qos-tier high --attribute ${long} ${pool}`),
    /bytes of attributes; at most/,
  );
  assert.is((await json(`volume describe a ${pool}`)).qosTier, '', 'nothing has changed');
});

test('clones, and what a restore keeps, are of the time at which they were made', async () => {
  const timed = join(folder, 'timed.img');
  await run(`pool create ${timed} --bytes 16m`);
  await run(`volume create a --bytes 1g -p ${timed}`);
  await run(`snapshot create a@s -p ${timed}`);
  const bornMs = Number((await json(`snapshot describe a@s -p ${timed}`)).createdMs);
  while (Date.now() === bornMs) await null;
  const startMs = Date.now();
  await run(`snapshot clone a@s b -p ${timed}`);
  await run(`volume clone a@s c -p ${timed}`);
  const { pauseNs } = await json(`snapshot restore a@s --keep before -p ${timed}`);
  assert.ok(Number(pauseNs) >= 0);
  for (const each of ['volume describe b', 'volume describe c', 'snapshot describe a@before']) {
    const madeMs = Number((await json(`${each} -p ${timed}`)).createdMs);
    assert.ok(madeMs >= startMs && madeMs <= Date.now(), `${each}: ${madeMs}, not ${startMs}`);
  }
  const text = new Date(bornMs).toISOString();
  assert.match((await run(`snapshot describe a@s -p ${timed}`)).text, `created    ${text}`);
});

test('a pool is called read-only for a reason of its own, and not because it is looked at', async () => {
  const sound = join(folder, 'sound.img');
  await run(`pool create ${sound} --bytes 16m`);
  assert.is((await json(`pool describe ${sound}`)).readOnly, '');
  const bytes = readFileSync(sound);
  for (const place of placeOf.superblocks.slice(2)) {
    bytes.fill(0xa5, place * cellBytes, (place + 1) * cellBytes);
  }
  writeFileSync(sound, bytes);
  const reason = 'both copies of a superblock are unreadable, and it may have been the newest';
  assert.is((await json(`pool describe ${sound}`)).readOnly, reason);
  assert.match((await run(`pool describe ${sound}`)).text, `read-only  ${reason}\n`);
  assert.is((await run(`pool check ${sound} --repair`)).code, 0);
  assert.is((await json(`pool describe ${sound}`)).readOnly, '');
});

test('a scrub says where a volume is not what was written, and why', async () => {
  const path = join(folder, 'scrubbed.img');
  await run(`pool create ${path} --bytes 16m`);
  await run(`volume create a --bytes 1m --checks -p ${path}`);
  const file = await FileDevice.open({ path, clock: stillClock });
  const pool = await Pool.open([file]);
  await writeBlocks(pool.volume('a'), 0, new Uint8Array(65_536).fill(0x5a));
  await pool.close();
  file.close();
  const good = await run(`volume scrub a -p ${path}`);
  assert.equal([good.code, good.text], [0, '65.5 kB read, 0 places bad\n']);
  const bytes = readFileSync(path);
  const start = bytes.indexOf(Buffer.alloc(65_536, 0x5a));
  assert.ok(start > 0);
  bytes[start + 2 * 4096 + 17]! ^= 4;
  writeFileSync(path, bytes);
  const { code, text } = await run(`volume scrub a -p ${path}`);
  assert.is(code, 1);
  assert.match(text, /, 1 places bad\n {2}4096 bytes at 8192: not what was written there\n$/);
});

/** A pool in a file with the volume a, of which these 64 KiB are written. */
async function write(path: string, ...extents: readonly number[]): Promise<void> {
  const file = await FileDevice.open({ path, clock: stillClock });
  const pool = await Pool.open([file]);
  for (const extent of extents) {
    await writeBlocks(pool.volume('a'), extent * 16, new Uint8Array(65_536).fill(0x5a));
  }
  await pool.close();
  file.close();
}

test('a difference is that from the first name to the second', async () => {
  const path = join(folder, 'compared.img');
  await run(`pool create ${path} --bytes 16m`);
  await run(`volume create a --bytes 1m -p ${path}`);
  await write(path, 1, 2);
  await run(`snapshot create a@old -p ${path}`);
  await write(path, 2, 5);
  await run(`snapshot create a@new -p ${path}`);
  const rows = [
    { byteOffset: 2 * 65_536, byteLength: 65_536, isData: true },
    { byteOffset: 5 * 65_536, byteLength: 65_536, isData: true },
  ];
  assert.equal((await json(`snapshot diff a@old a@new -p ${path}`)).ranges, rows);
  const back = [rows[0], { ...rows[1], isData: false }];
  assert.equal((await json(`snapshot diff a@new a@old -p ${path}`)).ranges, back);
  const all = [{ byteOffset: 65_536, byteLength: 2 * 65_536, isData: true }, rows[1]];
  assert.equal((await json(`snapshot diff a@new -p ${path}`)).ranges, all);
  assert.is(
    (await run(`snapshot diff a@new a@old -p ${path}`)).text,
    'offset  bytes  now\n131072  65536  data\n327680  65536  zero\n',
  );
});

test('what is deleted is gone, what is refused is not, and space is told', async () => {
  const path = join(folder, 'deleted.img');
  const pool = `-p ${path}`;
  await run(`pool create ${path} --bytes 16m`);
  await run(`volume create a --bytes 1m --qos-tier medium --attribute k=v ${pool}`);
  await write(path, 0, 1);
  assert.match(await fault(`snapshot create a@s a@t ${pool}`), /twice/);
  for (const name of ['s', 't', 'u']) await run(`snapshot create a@${name} ${pool}`);
  await run(`snapshot delete a@s a@u ${pool}`);
  const { snapshots } = await json(`volume describe a ${pool}`);
  assert.equal(snapshots, ['t']);
  const described = (await run(`volume describe a ${pool}`)).text;
  for (const line of ['tier       medium', 'attribute  k=v', 'snapshots  t', 'encrypted']) {
    assert.is(described.includes(line), line !== 'encrypted', line);
  }
  assert.match(described, /\nspace {6}131 kB: 0 B its own, 131 kB shared\n/);
  await run(`volume set a --qos-tier= ${pool}`);
  assert.not.match((await run(`volume describe a ${pool}`)).text, 'tier');
  assert.match(await fault(`snapshot restore a@t ${pool}`), /stays as a snapshot: --keep NAME$/);
  assert.match(await fault(`volume set a --attribute =x ${pool}`), /must be KEY=VALUE/);
  assert.match(await fault(`volume delete a ${pool}`), /has snapshots \(1\)/);
  await run(`volume delete a --with-snapshots ${pool}`);
  assert.equal((await json(`volume list ${pool}`)).volumes, []);
  assert.is((await run(`pool check ${path}`)).text, 'the pool is sound\n');
});

test('a pool grows by a file, which it then needs', async () => {
  const before = await json(`pool describe ${disk}`);
  await run(`pool grow ${disk} --add ${more} --bytes 16m`);
  const after = await json(`pool describe ${disk} ${more}`);
  assert.is(after.pool, before.pool);
  await run(`pool describe ${disk}`).then(
    () => assert.unreachable(),
    (error: unknown) => assert.match(String(error), /device 1 of 2 of the pool is missing/),
  );
});

test('a pool grows by what its files have become larger by, and says when they have not', async () => {
  await run(`pool grow ${disk} ${more}`).then(
    () => assert.unreachable(),
    (error: unknown) => assert.match(String(error), /no device has become larger/),
  );
  const before = await json(`pool describe ${disk} ${more}`);
  truncateSync(disk, statSync(disk).size + 2 ** 20);
  const after = await json(`pool grow ${disk} ${more}`);
  const bytesOf = ({ space }: Record<string, unknown>): number =>
    Number(Object.entries(Object(space)).find(([key]) => key === 'totalBytes')?.[1]);
  assert.is(bytesOf(after) - bytesOf(before), 2 ** 20);
});

test('snapshots are restored, compared and deleted; check finds the pool sound', async () => {
  const pool = `-p ${more},${disk}`;
  await run(`snapshot restore a@s1 --keep before ${pool}`);
  assert.equal((await json(`snapshot diff a@s1 a ${pool}`)).ranges, []);
  await run(`snapshot delete a@s1 a@before ${pool}`);
  await run(`volume rename b --to c ${pool}`);
  await run(`volume grow c --bytes 2t ${pool}`);
  assert.is((await json(`volume describe c ${pool}`)).bytes, 2 ** 41);
  await run(`volume delete c ${pool}`);
  const { code, text } = await run(`pool check ${disk} ${more}`);
  assert.is(code, 0);
  assert.is(text, 'the pool is sound\n');
});

test('maps that get little memory are read when they are needed', async () => {
  const few = `--map-cache 16k`;
  assert.match((await run(`pool check ${disk} ${more} ${few}`)).text, /sound/);
  const { volumes } = await json(`volume list --pool ${disk},${more} ${few}`);
  assert.equal(await json(`volume list --pool ${disk},${more}`), { volumes });
  const compare = `snapshot diff a --pool ${disk},${more}`;
  assert.equal(await json(`${compare} ${few}`), await json(compare));
  assert.match(
    await fault(`pool check ${disk} --map-cache 8k`),
    /map-cache is 8192.*16384 or more/,
  );
});

test('a pool to which another process writes is left alone', async () => {
  const pool = `-p ${disk},${more}`;
  const path = more;
  const other = await FileDevice.open({ path, clock: stillClock });
  for (const line of [`volume list ${pool}`, `volume create z --bytes 1g ${pool}`]) {
    assert.match(await fault(line), /more.img is in use: another process .*; stop it first/);
  }
  assert.match(await fault(`pool delete ${disk} ${more} --yes`), /more.img is in use/);
  other.close();
  const both = await Promise.all([run(`volume list ${pool}`), run(`volume list ${pool}`)]);
  assert.is(both[0].text, both[1].text);
});

test('what makes no sense is said before anything is done', async () => {
  const wrong: readonly [string, RegExp][] = [
    [`pool create ${disk} --bytes 32m`, /is part of a pool/],
    [`pool delete ${disk} ${more}`, /say --yes/],
    ['pool creat x', /did you mean 'create'/],
    ['volume create x --bytes 1g', /in which pool/],
    [`volume create x -p ${disk}`, /how large/],
    [`volume create x --bytes 1g --block-bytes 1024 -p ${disk}`, /512 or 4096/],
    [`snapshot create x -p ${disk}`, /VOLUME@SNAPSHOT/],
    [`volume delete a -o yaml -p ${disk},${more}`, /must be one of: normal, json/],
  ];
  for (const [line, message] of wrong) {
    await run(line).then(
      () => assert.unreachable(line),
      (error: unknown) => assert.match(String(error), message),
    );
  }
  assert.match((await run(`volume list -p ${disk},${more}`)).text, /\na /);
});

test('a deleted pool is none', async () => {
  await run(`pool delete ${disk} ${more} --yes`);
  await run(`pool describe ${disk}`).then(
    () => assert.unreachable(),
    (error: unknown) => assert.match(String(error), /carries no pool/),
  );
});

test.run();
