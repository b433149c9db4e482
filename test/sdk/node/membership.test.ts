import * as assert from 'uvu/assert';
import { readBlocks, writeBlocks } from '../../../sdk/block/promised.js';
import { ClusterDirectory, type Versioned } from '../../../sdk/node/directory.js';
import { Membership } from '../../../sdk/node/membership.js';
import type { VolumeRecord } from '../../../sdk/node/records.js';
import { fabricRig, nguidOf, until } from '../../support/fabric-rig.js';
import { allInUse, type Cluster, filled, onCluster } from '../../support/node-cluster.js';
import { suite } from '../../support/suite.js';
import { assertRejects } from '../cluster/contract.js';

const test = suite('members of an attached volume');
const MiB = 1024 * 1024;

function noNewcomer(): never {
  throw new Error('no member is new');
}

/** Answers with what was so before the mirror grew, and while it does. */
class LateDirectory extends ClusterDirectory {
  asked = 0;
  answer: () => void = () => {};
  private readonly bytes: number;

  constructor({ store, random }: Cluster, bytes: number) {
    super(store, random);
    this.bytes = bytes;
  }

  override async volume(name: string): Promise<Versioned<VolumeRecord>> {
    const found = await super.volume(name);
    if (this.asked++ > 0) return found;
    await new Promise<void>((resolve) => {
      this.answer = resolve;
    });
    return { ...found, record: { ...found.record, bytes: this.bytes } };
  }
}

/** @returns the nodes of the members that stay, in the list */
async function placesOf({ directory }: Cluster): Promise<readonly string[]> {
  const { record } = await directory.volume('db');
  const { members, leaving } = record;
  return members.filter(({ id }) => !leaving.includes(id)).map(({ node }) => node);
}

test(
  'the third copy moves to another node when somebody else writes that down',
  onCluster(4, async (cluster) => {
    const { directory, nodes } = cluster;
    const made = await directory.createVolume({ name: 'db', bytes: 4 * MiB });
    const attachment = await cluster.attach('a');
    await writeBlocks(attachment.device, 100, filled(1));
    const [gone] = made.members;
    const added = await directory.addMember('db', { instead: gone!.id });
    const writing = (async () => {
      for (let i = 0; i < 20; i++) await writeBlocks(attachment.device, 10 * i, filled(i));
    })();
    await attachment.settled();
    await writing;
    assert.ok((await placesOf(cluster)).includes(added.node));
    assert.is((await directory.volume('db')).record.leaving.length, 0);
    const left = nodes.find(({ name }) => name === gone!.node)!;
    await until('its node has removed it', () => left.agent.memberCount === 0);
    await attachment.detach();
    const [first, ...others] = await cluster.contents(300);
    assert.is(first![191 * 4096], 19);
    for (const data of others) assert.is(Buffer.compare(data, first!), 0);
  }),
);

test(
  'a copy that is to leave stays as long as the other one has not everything',
  onCluster(2, async (cluster) => {
    const { directory, nodes } = cluster;
    const made = await directory.createVolume({ name: 'db', bytes: MiB, mirrors: 2 });
    const attachment = await cluster.attach('a');
    const [leaves, stays] = made.members;
    const node = nodes.find(({ name }) => name === stays!.node)!;
    await cluster.stop(node);
    await writeBlocks(attachment.device, 7, filled(7));
    await directory.leave('db', leaves!.id);
    const last = () => attachment.removeMember(leaves!.id);
    await last().then(
      () => assert.unreachable('the last copy was removed'),
      (error: Error) => assert.match(error.message, /the last that is in sync/),
    );
    const { record } = await directory.volume('db');
    assert.is(record.members.length, 2);
    await cluster.restart(node);
    await attachment.settled();
    assert.equal(await placesOf(cluster), [stays!.node]);
    assert.ok(allInUse(attachment, 1));
    const back = filled(0);
    await readBlocks(attachment.device, 7, back);
    assert.equal(back, filled(7));
  }),
);

test(
  'what was written down while nobody had the volume is done by the next writer',
  onCluster(3, async (cluster) => {
    const { directory } = cluster;
    const made = await directory.createVolume({ name: 'db', bytes: MiB, mirrors: 2 });
    const before = await cluster.attach('a');
    await writeBlocks(before.device, 0, filled(5));
    await before.detach();
    const added = await directory.addMember('db', { instead: made.members[1]!.id });
    const after = await cluster.attach('b');
    await after.settled();
    assert.equal(await placesOf(cluster), [made.members[0]!.node, added.node]);
    await after.detach();
    for (const data of await cluster.contents(4)) assert.equal(data, filled(5));
  }),
);

test(
  'a volume grows while it is written and a node is away, and hosts of it are told',
  onCluster(3, async (cluster) => {
    const { directory, nodes } = cluster;
    await directory.createVolume({ name: 'db', bytes: MiB });
    await assertRejects(() => directory.growVolume('db', 2 * MiB), /never attached/);
    const attachment = await cluster.attach('a');
    const { device } = attachment;
    const served = await fabricRig({ namespaces: [{ nsid: 1, device, nguid: nguidOf(1) }] });
    const seen = (await served.connect()).namespace(1);
    await writeBlocks(device, 0, filled(1));
    await cluster.stop(nodes[1]!);
    await attachment.grow(2 * MiB + 4096);
    await assertRejects(() => attachment.grow(2 * MiB), /has 2101248 bytes; it cannot shrink/);
    await assertRejects(() => attachment.grow(2 ** 43), /it can have 4398046511104/);
    await until('the host has heard of it', () => seen.blockCount === 513);
    const back = filled(1, 200);
    await readBlocks(seen, 256, back);
    assert.ok(back.every((byte) => byte === 0));
    await writeBlocks(seen, 512, filled(9, 1));
    // It was away, is as small as it was, and missed a write in what is new.
    await cluster.restart(nodes[1]!);
    await attachment.settled();
    await served.close();
    await attachment.detach();
    const wanted = Buffer.concat([filled(1), filled(0, 508), filled(9, 1)]);
    for (const data of await cluster.contents(513)) assert.is(Buffer.compare(data, wanted), 0);
  }),
);

test(
  'a size that was listed before a volume grew further does not end the process',
  onCluster(1, async (cluster) => {
    const { directory, store } = cluster;
    await directory.createVolume({ name: 'db', bytes: MiB, mirrors: 1 });
    const { mirror } = await cluster.attach('a');
    const late = new LateDirectory(cluster, 2 * MiB);
    const membership = new Membership({
      ...{ store, directory: late, volume: 'db', mirror },
      portOf: noNewcomer,
      made: noNewcomer,
      seen: () => {},
    });
    await until('it looks', () => late.asked === 1);
    const growing = mirror.grow((3 * MiB) / 4096);
    late.answer();
    await membership.until(() => true);
    await growing;
    assert.is(mirror.device.blockCount, (3 * MiB) / 4096);
    membership.close();
  }),
);

test(
  'what a volume is to grow by while nobody has it is there for the next writer',
  onCluster(2, async (cluster) => {
    const { directory, nodes } = cluster;
    await directory.createVolume({ name: 'db', bytes: MiB, mirrors: 1 });
    await (await cluster.attach('a')).detach();
    await directory.growVolume('db', 2 * MiB);
    const after = await cluster.attach('b');
    await after.settled();
    assert.is(after.device.blockCount, 512);
    await after.detach();
    await directory.growVolume('db', 100 * 1024 * MiB);
    const { id, node } = await directory.addMember('db');
    const { agent, pool } = nodes.find(({ name }) => name === node)!;
    await until('it is made', () => agent.memberCount === 1);
    // It has regions as those that are there: 1,638,400 of 64 KiB, 32,736 to a block of the map.
    assert.is(pool.volume(`member-${id}-meta`).blockCount, 2 + 51);
  }),
);

test(
  'a node that is lost is done without: its former members and deleted volumes go from the list',
  onCluster(3, async (cluster) => {
    const { directory, nodes } = cluster;
    const made = await directory.createVolume({ name: 'db', bytes: MiB, mirrors: 2 });
    const [first, second] = made.members;
    const attachment = await cluster.attach('a');
    await attachment.detach();
    const there = () => directory.removeNode(first!.node, { isLost: true });
    await there().then(
      () => assert.unreachable('a node that is there was given up'),
      (error: Error) => assert.match(error.message, /is there: stop it first/),
    );
    await cluster.stop(nodes.find(({ name }) => name === first!.node)!);
    await directory.addMember('db', { instead: first!.id });
    const next = await cluster.attach('b', { isForced: true, acceptsLoss: true });
    await next.settled();
    await next.detach();
    await directory.removeNode(first!.node, { isLost: true });
    assert.is((await directory.volume('db')).record.retired.length, 0);
    assert.is(await cluster.store.read(`member/${first!.id}`), null);
    await directory.deleteVolume('db');
    await cluster.stop(nodes.find(({ name }) => name === second!.node)!);
    await directory.removeNode(second!.node, { isLost: true });
    // The third node may be at it still.
    const third = nodes.find(({ name }) => name !== first!.node && name !== second!.node)!;
    await until('its node has removed it', () => third.agent.memberCount === 0);
    await third.agent.settled();
    assert.equal(await directory.volumes(), []);
  }),
);

test.run();
