import * as assert from 'uvu/assert';
import { MemoryStore } from '../../../sdk/cluster/memory-store.js';
import type { CommitResult, StoreChange, StoreCondition } from '../../../sdk/cluster/store.js';
import { ErrorCode, UltimaError } from '../../../sdk/errors.js';
import { ClusterDirectory } from '../../../sdk/node/directory.js';
import { encodeRecord, keys } from '../../../sdk/node/records.js';
import { Prng } from '../../../sim/prng.js';
import { suite } from '../../support/suite.js';
import { assertRejects } from '../cluster/contract.js';

const test = suite('cluster directory');
const MiB = 1024 * 1024;
const clock = { nowNs: () => 0 };

/** A store whose answers to commits can be lost, before or after they are applied. */
class LossyStore extends MemoryStore {
  /** Number of the commit whose answer is lost; counts down. */
  commitsUntilLoss = Number.POSITIVE_INFINITY;
  isAppliedFirst = false;

  override async commit(
    conditions: readonly StoreCondition[],
    changes: readonly StoreChange[],
  ): Promise<CommitResult> {
    this.commitsUntilLoss -= 1;
    const isLost = this.commitsUntilLoss === 0;
    if (isLost && !this.isAppliedFirst) throw new UltimaError(ErrorCode.storeUnknown, 'lost');
    const result = await super.commit(conditions, changes);
    if (isLost) throw new UltimaError(ErrorCode.storeUnknown, 'lost');
    return result;
  }
}

async function cluster(store = new LossyStore(clock)) {
  const prng = new Prng(1, 'identities');
  const directory = new ClusterDirectory(store, (bytes) => prng.fill(bytes));
  for (const name of ['n1', 'n2', 'n3', 'n4']) {
    await directory.join({ name, zone: name === 'n4' ? 'z3' : `z${name[1]}`, poolId: name });
    const alive = { address: `${name}:4420`, poolBytes: 100, freeBytes: 50, trouble: '' };
    await store.commit([], [{ key: keys.alive + name, value: encodeRecord(alive) }]);
  }
  return { store, directory };
}

test('a cluster has one identity, whoever asks first', async () => {
  const store = new MemoryStore(clock);
  const prng = new Prng(1, 'identities');
  const asks = Array.from({ length: 5 }, () => {
    return new ClusterDirectory(store, (bytes) => prng.fill(bytes)).clusterId();
  });
  const ids = new Set(await Promise.all(asks));
  assert.is(ids.size, 1);
  assert.match([...ids][0]!, /^[0-9a-f]{32}$/);
});

test('a volume is written down once, with members on nodes of different zones', async () => {
  const { directory } = await cluster();
  const make = () => directory.createVolume({ name: 'db', bytes: 8 * MiB, preferred: 'n2' });
  const results = await Promise.allSettled([make(), make()]);
  assert.equal(results.map((result) => result.status).sort(), ['fulfilled', 'rejected']);
  const { record } = await directory.volume('db');
  assert.equal(
    record.members.map((member) => member.node),
    ['n2', 'n1', 'n3'],
  );
  assert.is(record.state, 'creating');
  await assertRejects(make, /a volume named db is there already/);
});

test('an answer lost at any commit leaves one volume, and says the truth about it', async () => {
  for (const isAppliedFirst of [false, true]) {
    const { store, directory } = await cluster();
    store.isAppliedFirst = isAppliedFirst;
    store.commitsUntilLoss = 1;
    const made = directory.createVolume({ name: 'db', bytes: MiB });
    if (isAppliedFirst) assert.is((await made).name, 'db');
    else await assertRejects(() => made, /no volume named db/);
    assert.is((await directory.volumes()).length, Number(isAppliedFirst));
    if (!isAppliedFirst) continue;
    store.commitsUntilLoss = 1;
    await directory.deleteVolume('db');
    assert.is((await directory.volume('db')).record.state, 'deleting');
  }
});

test('a member is added on a free node, and retired by name', async () => {
  const { directory } = await cluster();
  const made = await directory.createVolume({ name: 'db', bytes: MiB, mirrors: 2 });
  const added = await directory.addMember('db');
  assert.not.ok(made.members.some((member) => member.node === added.node));
  await assertRejects(() => directory.addMember('db'), /has 3 members, which are the most/);
  await assertRejects(() => directory.addMember('db', { node: 'n9' }), /no node named n9/);
  await directory.retireMember('db', made.members[0]!.id);
  const { record } = await directory.volume('db');
  assert.equal(record.retired, [made.members[0]]);
  assert.is(record.members.length, 2);
  for (const { id } of record.members.slice(1)) await directory.retireMember('db', id);
  const { members } = (await directory.volume('db')).record;
  await assertRejects(() => directory.retireMember('db', members[0]!.id), /the last member/);
});

test('a node joins again under its name with its own pool only', async () => {
  const { directory } = await cluster();
  await directory.join({ name: 'n1', zone: 'elsewhere', poolId: 'n1' });
  const other = () => directory.join({ name: 'n1', zone: 'z1', poolId: 'x' });
  const error = await assertRejects(other, /node n1 has pool n1, not x/);
  assert.is(error?.code, 'NAME_TAKEN');
  assert.is((await directory.nodes())[0]?.zone, 'elsewhere');
});

test('a node with members stays', async () => {
  const { directory } = await cluster();
  const { members } = await directory.createVolume({ name: 'db', bytes: MiB, mirrors: 1 });
  const { node } = members[0]!;
  await assertRejects(() => directory.removeNode(node), /has members of db; replace them first/);
  const free = node === 'n1' ? 'n2' : 'n1';
  await directory.removeNode(free);
  assert.not.ok((await directory.nodes()).some(({ name }) => name === free));
});

test('a node that is away takes no member', async () => {
  const { store, directory } = await cluster();
  for (const name of ['n1', 'n2'])
    await store.commit([], [{ key: keys.alive + name, value: null }]);
  const asked = () => directory.createVolume({ name: 'db', bytes: MiB });
  await assertRejects(asked, /2 can take one: n1 is away or not well; n2 is away or not well/);
});

test('names, sizes and counts out of bounds are refused before anything is written', async () => {
  const { directory } = await cluster();
  const make = (name: string, bytes: number, mirrors = 1) =>
    directory.createVolume({ name, bytes, mirrors });
  await assertRejects(() => make('DB', MiB), /volume name "DB"/);
  await assertRejects(() => make('-', MiB), /letter or digit/);
  await assertRejects(() => make('db', 1000), /a volume of 1000 bytes/);
  for (const mirrors of [0, 1.5, 4, Number.NaN]) {
    await assertRejects(() => make('db', MiB, mirrors), new RegExp(`${mirrors} members; 1 to 3`));
  }
  for (const bytes of [0, -4096, 4097, 2 ** 53, 4096.5]) {
    await assertRejects(() => make('db', bytes), new RegExp(`a volume of ${bytes} bytes`));
  }
  await assertRejects(() => directory.removeNode('n9'), /no node named n9/);
  await assertRejects(() => directory.volume('db'), /no volume named db/);
  assert.equal(await directory.volumes(), []);
});

test('records of nodes that somebody else wrote are named', async () => {
  const wrong: readonly (readonly [string, string])[] = [
    ['node/n1', '{"format":1,"name":"n2","zone":"z","poolId":"p"}'],
    ['node/n1', '{"format":1,"name":"n1","zone":7,"poolId":"p"}'],
    ['node/n1', '{"format":2,"name":"n1","zone":"z","poolId":"p"}'],
    ['node/n1', 'null'],
    ['node/n1', '{'],
    ['alive/n1', '{"format":1,"address":"a","poolBytes":-1,"freeBytes":0,"trouble":""}'],
    ['alive/n1', '{"format":1,"address":"a","poolBytes":1,"freeBytes":0.5,"trouble":""}'],
    ['alive/n1', '{"format":1,"address":"a","poolBytes":1,"freeBytes":0}'],
  ];
  for (const [key, text] of wrong) {
    const { store, directory } = await cluster();
    await store.commit([], [{ key, value: new TextEncoder().encode(text) }]);
    const error = await assertRejects(
      () => directory.nodes(),
      new RegExp(`record ${key} cannot be`),
    );
    assert.is(error?.code, 'STORE_INVALID');
  }
});

test('records that somebody else wrote are named and left alone', async () => {
  const { store, directory } = await cluster();
  await directory.createVolume({ name: 'db', bytes: MiB });
  const good = JSON.parse(new TextDecoder().decode((await store.read('volume/db'))?.value));
  const wrong: object[] = [
    [],
    { ...good, format: 2 },
    { ...good, name: 'other' },
    { ...good, state: 'odd' },
    { ...good, volumeId: 'short' },
    { ...good, bytes: -1 },
    { ...good, members: [] },
    { ...good, members: [good.members[0], good.members[0]] },
    { ...good, retired: [{ id: 7 }] },
    { ...good, retired: 7 },
    { ...good, leaving: 'all' },
    { ...good, leaving: ['0'.repeat(32)] },
    { ...good, leaving: good.members.map(({ id }: { id: string }) => id) },
    { ...good, bytes: MiB + 1 },
    { ...good, bytes: 0 },
    { ...good, blockBytes: 0 },
    { ...good, regionBytes: 3 * 64 * 1024 },
    { ...good, regionBytes: 512 },
    { ...good, bytes: 2 ** 50, regionBytes: 65_536 },
    { ...good, members: [{ ...good.members[0], node: 7 }] },
  ];
  for (const record of wrong) {
    const value = new TextEncoder().encode(JSON.stringify(record));
    await store.commit([], [{ key: 'volume/db', value }]);
    const error = await assertRejects(() => directory.deleteVolume('db'), /volume\/db cannot be/);
    assert.is(error?.code, 'STORE_INVALID');
    assert.equal((await store.read('volume/db'))?.value, value);
  }
});

test.run();
