import * as assert from 'uvu/assert';
import { Pool } from '../../../sdk/volume/pool.js';
import { campaignOfFlips } from '../../fuzz/volume-flips.js';
import { pagesOf, usersOf } from '../../support/pool-pages.js';
import { suite } from '../../support/suite.js';
import { namedDevices, readVersions, writeSectors } from '../../support/volume-rig.js';
import { device, MiB, poolOn } from './rig.js';

const test = suite('damaged metadata of a pool');

test('each lost node names what needs it in full, and nothing that another lost node costs', async () => {
  const disk = device(4 * MiB);
  const made = await poolOn(disk);
  for (const name of ['a', 'b', 'c']) {
    const volume = await made.createVolume({ name, bytes: MiB });
    await writeSectors(volume, 0, 64, 1);
    await made.takeSnapshot([{ volume: name, name: 's' }]);
    await writeSectors(volume, 8, 16, 2);
  }
  await made.close();
  const sound = await Pool.open([disk], { isReadOnly: true });
  const users = usersOf(sound.core);
  const pages = pagesOf(sound.core, [disk]).filter(({ kind }) => kind === 'leaf');
  const expected = new Map<string, readonly string[]>();
  for (const page of pages) {
    const names = users.get(page.node)!;
    if (names.every((name) => name.startsWith('c'))) continue;
    disk.image.fill(0xa5, page.at, page.at + 16);
    expected.set(page.what, names);
  }
  assert.equal([...expected.values()].flat().sort(), ['a', 'a@s', 'b', 'b@s']);

  const pool = await Pool.open([disk], { isReadOnly: true });
  const costs = pool.findings.map(({ kind, what, costs }) => [`${kind} ${what}`, costs]);
  assert.equal(costs.sort(), [...expected].map(([what, names]) => [`lost ${what}`, names]).sort());
  const damaged = [...namedDevices(pool)].filter(([, { object }]) => object.damage !== '');
  assert.equal(damaged.map(([name]) => name).sort(), ['a', 'a@s', 'b', 'b@s']);
  assert.equal([...(await readVersions(pool.volume('c'))).subarray(6, 10)], [1, 1, 2, 2]);
});

test('a map whose root the directory does not have is named by its node', async () => {
  const disk = device();
  const pool = await poolOn(disk);
  await writeSectors(await pool.createVolume({ name: 'a', bytes: MiB }), 0, 8, 1);
  pool.core.catalog.volume('a')!.root = 1000;
  await pool.checkpoint();
  const [finding] = (await Pool.open([disk], { isReadOnly: true })).findings;
  assert.is(finding?.what, 'node 1000');
  assert.equal(finding?.costs, ['a']);
});

test('single wrong bits and groups of them cost what is named, and nothing else', async () => {
  // Seed 31 wrongs groups; the others single bits of a node of checksums and of the journal.
  for (const seed of [31, 2900, 3600]) {
    const { violation } = await campaignOfFlips.explore(seed, 0);
    assert.is(violation, null);
  }
});

test.run();
