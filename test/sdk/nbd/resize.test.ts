import * as assert from 'uvu/assert';
import { exportOfVolume } from '../../../sdk/nbd/volume-export.js';
import { Pool } from '../../../sdk/volume/pool.js';
import {
  chunksOf,
  extended,
  fromHex,
  NbdRig,
  type RequestWords,
  type RigClient,
  request,
  WatchedDevice,
} from '../../support/nbd-rig.js';
import { suite } from '../../support/suite.js';
import { device, MiB, poolOn } from '../volume/rig.js';

const test = suite('NBD resize');
const TiB = 1024 * 1024 * MiB;
const resize = 8;
/** Bit 9 of the transmission flags. */
const sendResize = 0x200;

async function poolWithVolume(disk = device()): Promise<Pool> {
  const pool = await poolOn(disk);
  await pool.createVolume({ name: 'db', bytes: MiB, blockBytes: 512 });
  await pool.takeSnapshot([{ volume: 'db', name: 'then' }]);
  return pool;
}

interface Served {
  readonly client: RigClient;
  readonly flags: number;
}

function serve(pool: Pool, name: string, options = {}, go = {}): Served {
  const exports = [exportOfVolume(pool, name, options)];
  const client = new NbdRig(new WatchedDevice(8), { exports }).connect();
  return { client, flags: client.go({ name, ...go }) };
}

/** @returns the error, 0 for success */
async function ask(client: RigClient, words: Omit<RequestWords, 'command'>): Promise<number> {
  const [answer] = chunksOf(await client.ask(request({ command: resize, ...words })));
  return answer!.error;
}

test('only who may make an export larger is told that it can be', async () => {
  const pool = await poolWithVolume();
  const told = (name: string, options = {}): number =>
    serve(pool, name, options).flags & sendResize;
  assert.is(told('db'), 0);
  assert.is(told('db', { canGrow: true }), sendResize);
  assert.is(told('db', { canGrow: true, isReadOnly: true }), 0);
  assert.is(told('db@then', { canGrow: true }), 0);
  await pool.close();
});

for (const [words, go] of [
  ['simple replies', { isStructured: false }],
  ['structured replies', {}],
  ['extended headers', { isExtended: true }],
] as const) {
  test(`${words}: what is answered is durable, and can be used at once`, async () => {
    const disk = device();
    const pool = await poolWithVolume(disk);
    const { client } = serve(pool, 'db', { canGrow: true, isWriteThrough: true }, go);
    const make = 'isExtended' in go ? extended : request;
    const data = Buffer.alloc(4096, 0x5a);
    const write = { command: 1, offset: 3 * MiB, length: 4096 };
    const flags = 'isExtended' in go ? 32 : 0;
    const early = chunksOf(client.say(make({ ...write, flags }), data));
    assert.is(early[0]!.error, 28);
    const larger = make({ command: resize, cookie: 7, offset: 4 * MiB });
    const [answer, ...more] = chunksOf(await client.ask(larger));
    assert.equal([answer!.cookie, answer!.error, more.length], [7, 0, 0]);
    assert.is(chunksOf(client.say(make({ ...write, flags }), data))[0]!.error, 0);
    disk.forget();
    const again = await Pool.open([disk], { isReadOnly: true });
    assert.is(again.volume('db').object.bytes, 4 * MiB);
    assert.is(again.snapshot('db', 'then').object.bytes, MiB);
  });
}

test('a size that cannot be is refused, and nothing has changed', async () => {
  const pool = await poolWithVolume();
  const { client } = serve(pool, 'db', { canGrow: true });
  assert.is(await ask(client, { offset: MiB - 4096 }), 22, 'smaller');
  assert.is(await ask(client, { offset: 0 }), 22, 'nothing');
  assert.is(await ask(client, { offset: MiB + 1 }), 22, 'no whole block');
  assert.is(await ask(client, { offset: MiB + 512 }), 22, 'no whole cell of the pool');
  assert.is(await ask(client, { offset: 16 * TiB + 4096 }), 22, 'more than a volume has');
  assert.is(await ask(client, { offset: 2 * MiB, length: 512 }), 22, 'with a length');
  assert.is(await ask(client, { offset: 2 * MiB, flags: 2 }), 22, 'with a flag');
  const huge = fromHex('25609513 0000 0008 0000000000000001 ffffffffffff0000 00000000');
  const [refused] = chunksOf(await client.ask(huge));
  assert.is(refused!.error, 22);
  assert.is(pool.volume('db').object.bytes, MiB);
  const [tooLarge] = chunksOf(
    await client.ask(request({ command: resize, offset: 16 * TiB + 4096 })),
  );
  assert.match(tooLarge!.payload.toString(), /4096 to 17592186044416 bytes, not 17592186048512/);
  assert.is(await ask(client, { offset: MiB }), 0, 'the size that it has');
  assert.is(await ask(client, { offset: 16 * TiB }), 0, 'the largest');
  await pool.close();
});

test('who may not make an export larger is refused', async () => {
  const pool = await poolWithVolume();
  const words = { offset: 2 * MiB };
  assert.is(await ask(serve(pool, 'db').client, words), 22);
  assert.is(await ask(serve(pool, 'db', { canGrow: true, isReadOnly: true }).client, words), 1);
  assert.is(await ask(serve(pool, 'db@then', { canGrow: true }).client, words), 1);
  assert.is(pool.volume('db').object.bytes, MiB);
  pool.core.fail('a device failed');
  assert.is(await ask(serve(pool, 'db', { canGrow: true }).client, words), 1);
});

test('of two who ask at once the larger size stays, and a client that goes leaves nothing', async () => {
  const pool = await poolWithVolume();
  const { client } = serve(pool, 'db', { canGrow: true });
  const larger = request({ command: resize, cookie: 1, offset: 8 * MiB });
  const large = request({ command: resize, cookie: 2, offset: 4 * MiB });
  assert.equal(
    chunksOf(await client.ask(larger, large)).map(({ cookie, error }) => [cookie, error]),
    [
      [1, 0],
      [2, 22],
    ],
  );
  client.say(request({ command: resize, offset: 9 * MiB }));
  client.connection.gone();
  assert.is(client.connection.transmission!.isIdle, false);
  await client.rig.settled();
  assert.is(client.connection.transmission!.isIdle, true);
  assert.is(pool.volume('db').object.bytes, 9 * MiB);
  await pool.close();
});

test.run();
