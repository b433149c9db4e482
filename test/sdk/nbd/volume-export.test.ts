import * as assert from 'uvu/assert';
import { BlockOp } from '../../../sdk/block/request.js';
import { contextsOf, findExtents } from '../../../sdk/nbd/metadata.js';
import type { NbdExport } from '../../../sdk/nbd/served-export.js';
import { exportOfVolume } from '../../../sdk/nbd/volume-export.js';
import { Pool } from '../../../sdk/volume/pool.js';
import { Prng } from '../../../sim/prng.js';
import type { CrashDevice } from '../../support/crash-device.js';
import {
  chunksOf,
  extended,
  NbdRig,
  option,
  type RigClient,
  u32,
  WatchedDevice,
} from '../../support/nbd-rig.js';
import { suite } from '../../support/suite.js';
import { runPlain, writeSectors } from '../../support/volume-rig.js';
import { device, MiB, poolOn } from '../volume/rig.js';

const test = suite('NBD export of a volume');
const KiB = 1024;

/** [length in KiB, flags] of each extent of a context. */
async function mapOf(made: NbdExport, name: string): Promise<number[][]> {
  const context = contextsOf(made.metadata!).find((each) => each.name === name)!;
  const into = new Float64Array(64);
  const count = await findExtents(context, { offset: 0, length: MiB, most: 32 }, into);
  return Array.from({ length: count }, (_, i) => [into[2 * i]! / KiB, into[2 * i + 1]!]);
}

test('what takes no writes says so to clients', async () => {
  const pool = await poolOn(device());
  await pool.createVolume({ name: 'a', bytes: MiB });
  await pool.takeSnapshot([{ volume: 'a', name: 's' }]);
  assert.is(exportOfVolume(pool, 'a').isReadOnly, false);
  assert.is(exportOfVolume(pool, 'a', { isReadOnly: true }).isReadOnly, true);
  assert.is(exportOfVolume(pool, 'a@s').isReadOnly, true);
  // As a volume is of whose map a part was lost.
  pool.volume('a').isReadOnly = true;
  assert.is(exportOfVolume(pool, 'a').isReadOnly, true);
});

test('holes, data and what changed since a snapshot are told apart', async () => {
  const pool = await poolOn(device());
  const volume = await pool.createVolume({ name: 'db', bytes: MiB, blockBytes: 512 });
  await writeSectors(volume, 0, 16, 1);
  await writeSectors(volume, 128, 128, 1);
  await pool.takeSnapshot([{ volume: 'db', name: 'monday' }]);
  await writeSectors(volume, 8, 16, 2);
  await runPlain(volume, BlockOp.discard, 128, 64);
  const live = exportOfVolume(pool, 'db');
  assert.is(live.isReadOnly, false);
  assert.equal(await mapOf(live, 'base:allocation'), [
    [12, 0],
    [84, 3],
    [32, 0],
    [896, 3],
  ]);
  assert.equal(await mapOf(live, 'ultima:diff-monday'), [
    [4, 0],
    [8, 1],
    [52, 0],
    [32, 3],
    [928, 0],
  ]);
  const snapshot = exportOfVolume(pool, 'db@monday');
  assert.is(snapshot.isReadOnly, true);
  assert.equal(await mapOf(snapshot, 'base:allocation'), [
    [8, 0],
    [56, 3],
    [64, 0],
    [896, 3],
  ]);
  assert.equal(
    contextsOf(snapshot.metadata!).map(({ name }) => name),
    ['base:allocation'],
  );
  assert.throws(() => exportOfVolume(pool, 'db@never'), /no snapshot never/);
  await pool.close();
});

const leaves = 60;
const leafBytes = 32 * MiB;

/** What has been said of the status of `name` from byte to byte, over the wire. */
async function toldOf(client: RigClient, bytes: number): Promise<number[][]> {
  const extents: number[][] = [];
  for (let offset = 0; offset < bytes; ) {
    const length = bytes - offset;
    const chunks = chunksOf(await client.ask(extended({ command: 7, offset, length })));
    assert.equal(
      chunks.map(({ type, payload }) => [type, payload.readUInt32BE(0)]),
      [
        [6, 1],
        [6, 2],
      ],
    );
    const spans = chunks.map(({ payload }) => extentsOf(payload));
    // One context may be told farther than the other: both go on from where the first one ends.
    const told = Math.min(...spans.map((each) => each.reduce((sum, [bytes]) => sum + bytes!, 0)));
    for (const [i, span] of spans.entries()) {
      let at = offset;
      for (const [bytes, flags] of span) {
        const end = Math.min(at + bytes!, offset + told);
        if (end > at) extents.push([i, at, end, flags!]);
        at = end;
      }
    }
    offset += told;
  }
  return extents.sort(([a, from], [b, to]) => a! - b! || from! - to!);
}

function extentsOf(payload: Buffer): number[][] {
  return Array.from({ length: payload.readUInt32BE(4) }, (_, i) => {
    const at = 8 + 16 * i;
    return [Number(payload.readBigUInt64BE(at)), Number(payload.readBigUInt64BE(at + 8))];
  });
}

/** A client that has chosen the allocation and what has changed since monday. */
function clientOf(pool: Pool): RigClient {
  const exports = [exportOfVolume(pool, 'db')];
  const client = new NbdRig(new WatchedDevice(8), { exports }).connect();
  const text = (name: string): Buffer => Buffer.concat([u32(name.length), Buffer.from(name)]);
  const names = ['base:allocation', 'ultima:diff-monday'].map(text);
  client.go({ name: 'db', isExtended: true, options: [option(10, text('db'), u32(2), ...names)] });
  return client;
}

/** A volume with a cell in most of its leaves, a snapshot, and changes all over since. */
async function changedPool(): Promise<CrashDevice> {
  const disk = device(64 * MiB);
  const pool = await poolOn(disk);
  const size = { bytes: leaves * leafBytes, blockBytes: 512 } as const;
  const volume = await pool.createVolume({ name: 'db', ...size });
  const chance = new Prng(3, 'places');
  for (let leaf = 0; leaf < leaves; leaf += 1 + chance.below(2)) {
    for (let i = 0; i < 30; i++) await writeSectors(volume, placeIn(leaf, chance), 8, 1);
  }
  await pool.takeSnapshot([{ volume: 'db', name: 'monday' }]);
  for (let i = 0; i < 200; i++) {
    const place = placeIn(chance.below(leaves), chance);
    if (chance.chance(0.5)) await writeSectors(volume, place, 8, 2);
    else await runPlain(volume, BlockOp.discard, place, 8);
  }
  await pool.close();
  return disk;
}

/** The first sector of a cell near the start of a leaf. */
function placeIn(leaf: number, chance: Prng): number {
  return (leaf * leafBytes) / 512 + 8 * chance.below(400);
}

test('a snapshot that took the name of another one is not what a client has chosen', async () => {
  const pool = await poolOn(device());
  const volume = await pool.createVolume({ name: 'db', bytes: MiB, blockBytes: 512 });
  await pool.takeSnapshot([{ volume: 'db', name: 'last' }]);
  const live = exportOfVolume(pool, 'db');
  const [, difference] = contextsOf(live.metadata!);
  await writeSectors(volume, 0, 8, 1);
  assert.is([...Object(difference!.ranges(0))].length, 1);
  await pool.deleteSnapshot('db', 'last');
  assert.throws(() => difference!.ranges(0), /no snapshot last/);
  await pool.takeSnapshot([{ volume: 'db', name: 'last' }]);
  assert.throws(() => difference!.ranges(0), /another snapshot than when it was chosen/);
  assert.equal(await mapOf(live, 'ultima:diff-last'), [[1024, 0]]);
  await pool.close();
});

test('paged maps tell the same holes and differences as maps in memory, over the wire', async () => {
  const disk = await changedPool();
  const whole = await Pool.open([disk]);
  const expected = await toldOf(clientOf(whole), leaves * leafBytes);
  assert.ok(expected.length > 2000, `${expected.length} extents`);
  await whole.close();
  const paged = await Pool.open([disk], { mapCacheBytes: 4 * 4096 });
  const client = clientOf(paged);
  const before = paged.core.pager.fetched;
  assert.equal(await toldOf(client, leaves * leafBytes), expected);
  assert.ok(paged.core.pager.fetched - before > leaves, 'maps were read for that');
  await paged.close();
});

test('others are answered while a map is read, and a client that goes leaves nothing', async () => {
  const pool = await Pool.open([await changedPool()], { mapCacheBytes: 4 * 4096 });
  const client = clientOf(pool);
  const length = leaves * leafBytes;
  const status = extended({ command: 7, cookie: 1, length });
  const flush = extended({ command: 3, cookie: 2 });
  const first = chunksOf(client.say(status, flush));
  assert.equal(
    first.map(({ cookie }) => cookie),
    [2],
  );
  assert.equal(
    chunksOf(await client.ask()).map(({ cookie, type }) => [cookie, type]),
    [
      [1, 6],
      [1, 6],
    ],
  );
  client.say(status);
  client.connection.gone();
  assert.is(client.connection.transmission!.isIdle, false);
  await client.rig.settled();
  assert.is(client.connection.transmission!.isIdle, true);
  await pool.deleteVolume('db', { withSnapshots: true });
  await pool.settleSpace();
  assert.is(pool.space().dataBytes, 0, 'no map is pinned');
  await pool.close();
});

test('a map that is lost, and a snapshot that is gone, are errors of their requests', async () => {
  const disk = await changedPool();
  const pool = await Pool.open([disk], { mapCacheBytes: 4 * 4096 });
  const client = clientOf(pool);
  const status = extended({ command: 7, length: leaves * leafBytes });
  const { nodes } = pool.core;
  for (let id = 1; id < nodes.end; id++) {
    if (nodes.isHere(id)) continue;
    disk.image.fill(0xa5, nodes.slots[id]! * 4096, (nodes.slots[id]! + 1) * 4096);
  }
  const lost = chunksOf(await client.ask(status)).at(-1)!;
  assert.is(lost.error, 5);
  assert.match(lost.payload.toString(), /node \d+ of a map is lost/);
  await pool.deleteSnapshot('db', 'monday');
  const gone = chunksOf(await client.ask(status)).at(-1)!;
  assert.is(gone.error, 5);
  assert.is(chunksOf(client.say(extended({ command: 3 })))[0]!.error, 0);
});

test.run();
