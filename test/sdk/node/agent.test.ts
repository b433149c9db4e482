import * as assert from 'uvu/assert';
import { MonotonicClock } from '../../../native/vfio/clock.js';
import { MemoryDevice, MemorySpace } from '../../../sdk/block/memory.js';
import { flushBlocks, readBlocks, writeBlocks } from '../../../sdk/block/promised.js';
import { MemoryStore } from '../../../sdk/cluster/memory-store.js';
import type { ClusterStore, Lease } from '../../../sdk/cluster/store.js';
import { ErrorCode, UltimaError } from '../../../sdk/errors.js';
import { ask } from '../../../sdk/mirror/admission.js';
import { NodeAgent } from '../../../sdk/node/agent.js';
import { MemberLink } from '../../../sdk/node/member-link.js';
import { defaultShares, type MemberCounts } from '../../../sdk/node/member-shares.js';
import { MemberShelf } from '../../../sdk/node/member-shelf.js';
import { Pool } from '../../../sdk/volume/pool.js';
import { Prng } from '../../../sim/prng.js';
import { until } from '../../support/fabric-rig.js';
import {
  allInUse,
  type Cluster,
  type ClusterNode,
  filled,
  onCluster,
} from '../../support/node-cluster.js';
import { suite } from '../../support/suite.js';
import { assertRejects } from '../cluster/contract.js';

const test = suite('nodes of a cluster');
const MiB = 1024 * 1024;
const clock = new MonotonicClock();

type Body = (cluster: Cluster) => Promise<void>;

function statement(title: string, count: number, run: Body): void {
  test(title, onCluster(count, run));
}

statement('a volume is on three nodes, written by one, equal on all', 3, async (cluster) => {
  const { directory } = cluster;
  await directory.createVolume({ name: 'db', bytes: MiB });
  const attachment = await cluster.attach('a');
  assert.is((await directory.volume('db')).record.state, 'ready');
  await writeBlocks(attachment.device, 0, filled(1));
  await writeBlocks(attachment.device, 2, filled(2));
  const busy = await assertRejects(
    () => cluster.attach('b'),
    /volume db is written by a; detach it there/,
  );
  assert.is(busy?.code, 'MIRROR_BUSY');
  const kept = await assertRejects(() => directory.deleteVolume('db'), /attached by a/);
  assert.is(kept?.code, 'VOLUME_BUSY');
  await attachment.detach();
  const wanted = Buffer.concat([filled(1, 2), filled(2, 4)]);
  for (const data of await cluster.contents(6)) assert.is(Buffer.compare(data, wanted), 0);
  const again = await cluster.attach('b');
  const back = filled(0, 6);
  await readBlocks(again.device, 0, back);
  assert.is(Buffer.compare(back, wanted), 0);
});

statement(
  'a node goes, the volume goes on, and the node is brought up to date',
  3,
  async (cluster) => {
    await cluster.directory.createVolume({ name: 'db', bytes: 4 * MiB });
    const attachment = await cluster.attach('a');
    await writeBlocks(attachment.device, 0, filled(1));
    const [, second] = cluster.nodes;
    await cluster.stop(second!);
    await writeBlocks(attachment.device, 100, filled(2));
    assert.is(allInUse(attachment, 3), false);
    await cluster.restart(second!);
    await until('the member is in sync again', () => allInUse(attachment, 3));
    await writeBlocks(attachment.device, 200, filled(3));
    await attachment.detach();
    const [first, ...others] = await cluster.contents(300);
    assert.is(first![200 * 4096], 3);
    for (const data of others) assert.is(Buffer.compare(data, first!), 0);
  },
);

statement(
  'what a node that comes back is given goes by shares of its own, on both nodes',
  2,
  async (cluster) => {
    const units = (4 * MiB) / 4096;
    await cluster.directory.createVolume({ name: 'db', bytes: 4 * MiB, mirrors: 2 });
    const attachment = await cluster.attach('a');
    const [first, second] = cluster.nodes;
    const { record } = await cluster.directory.volume('db');
    const counts = (node: ClusterNode): MemberCounts => {
      const { id } = record.members.find((member) => member.node === node.name)!;
      return node.agent.counts(id)!;
    };
    // What new members hold is compared first.
    await until('all is equal', () => {
      const { unreconciledRegions } = attachment.mirror.status;
      return allInUse(attachment, 2) && unreconciledRegions === 0;
    });
    const nodes = [first!, second!];
    const atFirst = nodes.map(counts);
    for (let lba = 0; lba < units; lba += 32) {
      await writeBlocks(attachment.device, lba, filled(1, 32));
    }
    for (const [i, node] of nodes.entries()) {
      const { users, background } = counts(node);
      assert.is(background.servedUnits, atFirst[i]!.background.servedUnits);
      assert.ok(users.servedUnits - atFirst[i]!.users.servedUnits >= units);
    }
    await cluster.stop(second!);
    for (let lba = 0; lba < units; lba += 32) {
      await writeBlocks(attachment.device, lba, filled(2, 32));
    }
    const before = counts(first!);
    await cluster.restart(second!);
    await until('the member is in sync again', () => allInUse(attachment, 2));
    // Each region was read here and written there; flushes go by the share of users.
    assert.ok(counts(first!).background.servedUnits - before.background.servedUnits >= units);
    assert.ok(counts(second!).background.servedUnits >= units);
    assert.ok(counts(first!).users.servedUnits - before.users.servedUnits < units / 16);
    assert.ok(counts(second!).users.servedUnits < units / 16);
  },
);

statement(
  'a link to a node that goes says so, although nobody asks for anything',
  1,
  async (cluster) => {
    const [node] = cluster.nodes;
    await cluster.directory.createVolume({ name: 'db', bytes: MiB, mirrors: 1 });
    await until('the member is made', () => node!.agent.memberCount === 1);
    const { record } = await cluster.directory.volume('db');
    const { address } = node!.agent;
    const link = new MemberLink({
      memberId: record.members[0]!.id,
      addressOf: async () => address,
      ...{ memory: new MemorySpace(), clock, depth: 8 },
    });
    const association = await link.connect();
    assert.is(association.isLost, false);
    await cluster.stop(node!);
    await until('it is lost', () => association.isLost === true);
    association.close();
    // The place is named, once.
    const error = await assertRejects(() => link.connect(), /cannot be reached/);
    assert.is(error!.message.split(address).length, 2, error!.message);
  },
);

statement(
  'who has not adopted a member neither reads nor writes it, on any of its namespaces',
  1,
  async (cluster) => {
    const [node] = cluster.nodes;
    await cluster.directory.createVolume({ name: 'db', bytes: MiB, mirrors: 1 });
    const attachment = await cluster.attach('a');
    await writeBlocks(attachment.device, 0, filled(1));
    const { record } = await cluster.directory.volume('db');
    const link = new MemberLink({
      memberId: record.members[0]!.id,
      addressOf: async () => node!.agent.address,
      ...{ memory: new MemorySpace(), clock, depth: 8 },
    });
    // Beside the one that has, and when that one has gone.
    for (const isAttached of [true, false]) {
      if (!isAttached) await attachment.detach();
      const association = await link.connect();
      for (const device of [association.device, association.background!]) {
        const back = filled(9);
        const read = await assertRejects(() => readBlocks(device, 0, back), /status/);
        assert.equal([read?.code, back], ['COMMAND_FAILED', filled(9)]);
        await assertRejects(() => writeBlocks(device, 0, filled(7)), /status/);
        await assertRejects(() => flushBlocks(device), /status/);
      }
      association.close();
    }
    for (const data of await cluster.contents(4)) assert.equal(data, filled(1));
  },
);

test('a node keeps its lease alive, and takes another one when that has ended', async () => {
  const store = new MemoryStore(clock);
  const leases: Lease[] = [];
  let kept = 0;
  const watched: ClusterStore = Object.create(store, {
    grantLease: {
      value: async (ttlMs: number) => {
        const lease = await store.grantLease(ttlMs);
        leases.push(lease);
        const keepAlive = (): Promise<void> => {
          kept++;
          return lease.keepAlive();
        };
        return { ...lease, keepAlive };
      },
    },
  });
  const prng = new Prng(3, 'lease');
  const random = (bytes: Uint8Array): void => prng.fill(bytes);
  const device = new MemoryDevice({ blockBytes: 4096, blockCount: 16 * 256, clock });
  const pool = await Pool.create([device], { random });
  const troubles: string[] = [];
  const agent = await NodeAgent.start({
    ...{ name: 'n1', pool, store: watched, random, listen: '127.0.0.1:0', leaseMs: 1_000 },
    onTrouble: (text) => troubles.push(text),
  });
  const isThere = async (): Promise<boolean> => (await store.read('alive/n1')) !== null;
  assert.is(await isThere(), true);
  await until('it was kept alive', () => kept > 1);
  assert.is(leases.length, 1);
  await leases[0]!.revoke();
  assert.is(await isThere(), false);
  await until('it has another one', () => leases.length === 2);
  await agent.settled();
  await until('it was kept alive, too', () => kept > 3);
  assert.is(await isThere(), true);
  assert.ok(troubles.length === 1 && /has ended/.test(troubles[0]!), troubles.join());
  await agent.close();
  assert.is(await isThere(), false);
  await pool.close();
});

statement('whoever is taken over by force writes no more', 2, async (cluster) => {
  await cluster.directory.createVolume({ name: 'db', bytes: MiB, mirrors: 2 });
  const old = await cluster.attach('a');
  await writeBlocks(old.device, 0, filled(1));
  const taker = await cluster.attach('b', { isForced: true });
  const late = await assertRejects(() => writeBlocks(old.device, 0, filled(9)), /status/);
  assert.is(late?.code, 'COMMAND_FAILED');
  // It loses all members at once, and finds out from the store that they are not what is lost.
  const reason = await old.stopped;
  assert.is(reason?.code, 'MIRROR_FENCED');
  assert.match(reason?.message ?? '', /: b has taken over with epoch /);
  const back = filled(0);
  await readBlocks(taker.device, 0, back);
  assert.equal(back, filled(1));
  await writeBlocks(taker.device, 0, filled(2));
  await taker.detach();
  for (const data of await cluster.contents(4)) assert.equal(data, filled(2));
});

statement('who attaches waits for store and members as long as was said', 2, async (cluster) => {
  const { directory, nodes } = cluster;
  await directory.createVolume({ name: 'db', bytes: MiB, mirrors: 2 });
  const first = await cluster.attach('a');
  await writeBlocks(first.device, 0, filled(4));
  await first.detach();
  for (const node of nodes) await cluster.stop(node);
  const lost = await assertRejects(() => cluster.attach('b'), /in reach; bring back n[12], n[12]$/);
  assert.is(lost?.code, 'MIRROR_LOST');
  // The store is out of reach the first time it is asked.
  let outages = 0;
  const store: ClusterStore = Object.create(cluster.store, {
    read: {
      value: (key: string) => {
        if (outages++ > 0) return cluster.store.read(key);
        return Promise.reject(new UltimaError(ErrorCode.storeUnreachable, 'away'));
      },
    },
  });
  const attaching = cluster.attach('b', { reachMs: 60_000, store });
  for (const node of nodes) await cluster.restart(node);
  const back = filled(0);
  await readBlocks((await attaching).device, 0, back);
  assert.equal(back, filled(4));
});

statement('a member moves to another node while the volume is written', 3, async (cluster) => {
  const { directory } = cluster;
  const made = await directory.createVolume({ name: 'db', bytes: MiB, mirrors: 2 });
  const attachment = await cluster.attach('a');
  await writeBlocks(attachment.device, 10, filled(5));
  const added = await attachment.addMember();
  await until('the new member is in sync', () => allInUse(attachment, 3));
  const leaving = made.members[0]!;
  await attachment.removeMember(leaving.id);
  const left = cluster.nodes.find(({ name }) => name === leaving.node)!;
  await until('its node has removed it', () => left.agent.memberCount === 0);
  await attachment.detach();
  const { record } = await directory.volume('db');
  assert.equal(record.members.map(({ id }) => id).sort(), [made.members[1]!.id, added.id].sort());
  for (const data of await cluster.contents(14)) assert.is(data[13 * 4096], 5);
  assert.is(left.pool.volumes().length, 0);
});

statement('a deleted volume is gone from all nodes and from the list', 3, async (cluster) => {
  const { directory, nodes } = cluster;
  await directory.createVolume({ name: 'db', bytes: MiB });
  await (await cluster.attach('a')).detach();
  await directory.deleteVolume('db');
  await until('the members are gone', () => nodes.every(({ agent }) => agent.memberCount === 0));
  for (const { agent } of nodes) await agent.settled();
  assert.equal(await directory.volumes(), []);
  for (const { pool } of nodes) assert.equal(pool.volumes(), []);
  for (const prefix of ['member/', 'mirror/']) {
    assert.equal((await cluster.store.list(prefix)).entries, []);
  }
});

statement('a list that was lost takes no member away', 1, async (cluster) => {
  const [node] = cluster.nodes;
  await cluster.directory.createVolume({ name: 'db', bytes: MiB, mirrors: 1 });
  const attachment = await cluster.attach('a');
  await writeBlocks(attachment.device, 0, filled(1));
  await attachment.detach();
  await cluster.store.commit([], [{ key: 'volume/db', value: null }]);
  await cluster.stop(node!);
  await cluster.restart(node!);
  await node!.agent.settled();
  assert.is(node!.agent.memberCount, 1);
  assert.is(node!.pool.volumes().length, 2);
});

statement(
  'a name that another node has is refused, whatever its pool holds',
  1,
  async (cluster) => {
    const device = new MemoryDevice({ blockBytes: 4096, blockCount: 16 * 256, clock });
    const pool = await Pool.create([device], { random: cluster.random });
    const { store, random } = cluster;
    const other = () => NodeAgent.start({ name: 'n1', pool, store, random, listen: '127.0.0.1:0' });
    const error = await assertRejects(other, /give this one another name/);
    assert.is(error?.code, 'NAME_TAKEN');
    await pool.close();
  },
);

test('a member that was not made to its end is made again', async () => {
  const prng = new Prng(3, 'shelf');
  const device = new MemoryDevice({ blockBytes: 4096, blockCount: 16 * 256, clock });
  const pool = await Pool.create([device], { random: (bytes) => prng.fill(bytes) });
  const ids = { clusterId: '1'.repeat(32), volumeId: '2'.repeat(32), memberId: '3'.repeat(32) };
  const shape = { bytes: MiB, blockBytes: 4096, regionBytes: 65536 };
  // The power went before the attribute that says that the member is whole.
  await pool.createVolume({ name: `member-${ids.memberId}`, bytes: 8192, blockBytes: 512 });
  const shelf = await MemberShelf.open(pool);
  assert.is(shelf.members.size, 0);
  const member = await shelf.make({ ...ids, ...shape });
  assert.is(member.header.blockCount, 256);
  assert.is(await shelf.make({ ...ids, ...shape }), member);
  shelf.close();
  const again = await MemberShelf.open(pool);
  assert.is(again.members.get(ids.memberId)?.header.volumeId, ids.volumeId);
  await again.remove(ids.memberId);
  assert.equal(pool.volumes(), []);
  await pool.close();
});

test('a seal is of now, whatever an attempt before has left under its name', async () => {
  const prng = new Prng(2, 'shelf');
  const device = new MemoryDevice({ blockBytes: 4096, blockCount: 16 * 256, clock });
  const pool = await Pool.create([device], { random: (bytes) => prng.fill(bytes) });
  const ids = { clusterId: '1'.repeat(32), volumeId: '2'.repeat(32), memberId: '3'.repeat(32) };
  const shelf = await MemberShelf.open(pool);
  const member = await shelf.make({ ...ids, bytes: MiB, blockBytes: 4096, regionBytes: 65536 });
  const association = member.associate();
  const known = { knownEpoch: 0, knownIncarnation: 0 };
  const claim = { epoch: 1, token: '4'.repeat(32), session: 1 };
  await ask(association, { verb: 'adopt', ...ids, ...known, ...claim });
  for (const fill of [1, 2]) {
    await writeBlocks(association.device, 0, filled(fill));
    await ask(association, { verb: 'seal', name: 's' });
  }
  const sealed = filled(0);
  await readBlocks(pool.snapshot(`member-${ids.memberId}`, 's'), 0, sealed);
  assert.is(Buffer.compare(sealed, filled(2)), 0);
  shelf.close();
  await pool.close();
});

test('what is copied of seals goes by a share of its own, seal after seal', async () => {
  const prng = new Prng(3, 'shelf');
  const device = new MemoryDevice({ blockBytes: 4096, blockCount: 16 * 256, clock });
  const pool = await Pool.create([device], { random: (bytes) => prng.fill(bytes) });
  const ids = { clusterId: '1'.repeat(32), volumeId: '2'.repeat(32), memberId: '3'.repeat(32) };
  const shelf = await MemberShelf.open(pool, defaultShares);
  const member = await shelf.make({ ...ids, bytes: MiB, blockBytes: 4096, regionBytes: 65536 });
  const association = member.associate();
  const known = { knownEpoch: 0, knownIncarnation: 0 };
  const claim = { epoch: 1, token: '4'.repeat(32), session: 1 };
  await ask(association, { verb: 'adopt', ...ids, ...known, ...claim });
  for (const name of ['s', 't']) {
    await writeBlocks(association.device, 0, filled(name === 's' ? 1 : 2));
    await ask(association, { verb: 'seal', name });
  }
  const { users, background } = shelf.counts(ids.memberId)!;
  for (const [i, name] of ['s', 't', 's', 't', 't'].entries()) {
    const bytes = { byteOffset: 0, byteLength: 4 * 4096 };
    const { data } = await ask(association, { verb: 'read', name, ...bytes });
    assert.is(Buffer.compare(data!, filled(name === 's' ? 1 : 2)), 0);
    const counts = shelf.counts(ids.memberId);
    assert.equal(counts, { users, background, copiedUnits: 4 * (i + 1) });
  }
  await shelf.remove(ids.memberId);
  assert.is(shelf.counts(ids.memberId), null);
  shelf.close();
  await pool.close();
});

test.run();
