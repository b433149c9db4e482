import * as assert from 'uvu/assert';
import { discardBlocks, readBlocks, writeBlocks } from '../../../sdk/block/promised.js';
import { UltimaError } from '../../../sdk/errors.js';
import type { Adoption } from '../../../sdk/mirror/claims.js';
import { RawMember } from '../../../sdk/mirror/raw-member.js';
import { decodeAnswer, encode } from '../../../sdk/mirror/verbs.js';
import { suite } from '../../support/suite.js';
import { MortalNamespace } from './mortal-namespace.js';
import { RawRig, rawGeometry } from './raw-rig.js';
import { block, clusterId, firstByte, idOf, volumeId } from './rig.js';

const test = suite('members on raw namespaces');

test('what is written is on both namespaces behind the first MiB, and detached and attached again', async () => {
  const rig = await RawRig.open(1);
  await rig.create(2);
  const [host] = rig.hosts;
  const first = await rig.attach(host!);
  await rig.whole(first);
  assert.is(first.device.blockCount, rawGeometry.blockCount);
  await writeBlocks(first.device, 3, block(0x11));
  await rig.detach(first);
  for (const namespace of host!.namespaces) {
    assert.is(await firstByte(namespace, 2048 + 3), 0x11);
  }
  const again = await rig.attach(host!);
  assert.is(await firstByte(again.device, 3), 0x11);
  await rig.detach(again);
  await rig.close();
});

test('a paused writer wakes up and is refused by the card, and its mirror says by whom', async () => {
  for (const memberCount of [1, 2]) {
    const rig = await RawRig.open();
    await rig.create(memberCount);
    const [a, b] = rig.hosts;
    const one = await rig.attach(a!);
    await rig.whole(one);
    await writeBlocks(one.device, 3, block(0x11));
    const two = await rig.attach(b!);
    await rig.whole(two);
    await writeBlocks(two.device, 3, block(0x22));
    // Not the mirror refuses here: it is asked past it.
    for (const namespace of a!.namespaces.slice(0, memberCount)) {
      for (const access of [
        () => writeBlocks(namespace, 2048 + 3, block(0x33)),
        () => readBlocks(namespace, 2048 + 3, block(0)),
      ]) {
        await refusedByCard(access);
      }
    }
    await refused(() => writeBlocks(one.device, 3, block(0x33)));
    const reason = await one.stopped;
    assert.is(reason?.code, 'MIRROR_FENCED', reason?.message);
    assert.is(await firstByte(two.device, 3), 0x22);
    await rig.detach(two);
    await rig.close();
  }
});

test('whoever dies at any step of attaching leaves a mirror that the next one attaches whole', async () => {
  for (const isLastDone of [false, true]) {
    const rig = await RawRig.open(3);
    await rig.create(1);
    const [a, b, c] = rig.hosts;
    let one = await rig.attach(a!);
    let isDead = true;
    for (let step = 0; isDead; step++) {
      assert.ok(step < 100, 'attaching comes to an end');
      await writeBlocks(one.device, 3, block(step));
      const namespace = new MortalNamespace(b!.namespaces[0]!, step, isLastDone);
      const ports = [new RawMember({ id: idOf(0), namespace })];
      const dying = await rig.attach(b!, { ports }).catch(() => null);
      isDead = namespace.isDead;
      if (isDead && dying !== null) await refused(() => writeBlocks(dying.device, 3, block(0xff)));
      const two = await rig.attach(c!);
      assert.is(await firstByte(two.device, 3), step, `step ${step}`);
      for (const host of [a!, b!]) {
        const [below] = host.namespaces;
        await refusedByCard(() => writeBlocks(below!, 2048 + 3, block(0xff)));
      }
      await rig.detach(two);
      one = await rig.attach(a!);
      assert.is(await firstByte(one.device, 3), step, `step ${step}`);
    }
    await rig.detach(one);
    await rig.close();
  }
});

test('who was fenced stays so when the card has lost its power, and nothing written is lost', async () => {
  const rig = await RawRig.open();
  await rig.create(1);
  const [a, b] = rig.hosts;
  const one = await rig.attach(a!);
  await rig.settle(one);
  const two = await rig.attach(b!);
  await rig.settle(two);
  // Nobody flushes.
  await writeBlocks(two.device, 3, block(0x22));
  rig.card.powerCut();
  rig.card.restore();
  rig.card.world.advance(1e9);
  for (const { controller } of [b!, a!]) await controller.close();
  // Both come back at the first function, one after the other.
  const former = await rig.openHost(0);
  await refusedByCard(() => writeBlocks(former.namespaces[0]!, 2048 + 3, block(0x33)));
  await former.controller.close();
  const later = await rig.openHost(0, b!);
  const again = await rig.attach(later);
  assert.is(await firstByte(again.device, 3), 0x22);
  assert.not.ok(again.mayHaveLost);
  await rig.detach(again);
  await later.controller.close();
});

test('a controller that was reset has its host identifier again', async () => {
  const rig = await RawRig.open(1);
  await rig.create(1);
  const [host] = rig.hosts;
  const mirror = await rig.attach(host!);
  await host!.controller.reset();
  await writeBlocks(mirror.device, 3, block(0x11));
  await rig.detach(mirror);
  await rig.close();
});

test('a namespace that cannot keep others away, or is not ours, is refused before a write', async () => {
  for (const [subsystem, words] of [
    [{ hasReservations: false }, /no reservations/],
    [{}, /hosts are registered/],
  ] as const) {
    const rig = await RawRig.open(2, subsystem);
    const [a, b] = rig.hosts;
    const [namespace] = a!.namespaces;
    const { reservations } = b!.namespaces[0]!;
    if (reservations.canPersist) await reservations.register({ action: 'register', newKey: 7n });
    const error = await errorOf(rig.format(namespace!, 0));
    assert.is(error.code, 'MEMBER_REFUSED');
    assert.match(error.message, words);
    assert.is(await firstByte(namespace!, 0), 0);
    await rig.close();
  }
});

test('a member of another mirror keeps its writer, and is named', async () => {
  const rig = await RawRig.open();
  await rig.create(1);
  const [a, b] = rig.hosts;
  const one = await rig.attach(a!);
  await writeBlocks(one.device, 3, block(0x11));
  const [namespace] = b!.namespaces;
  const other = new RawMember({ id: idOf(0), namespace: namespace! });
  const association = await other.connect();
  for (const [changes, reason, words] of [
    [{ volumeId: 'b'.repeat(32) }, 'foreign', /registered with key 0x/],
    [{ epoch: 1 }, 'epoch', /epoch 1 comes after epoch 1/],
    [{ knownEpoch: 9 }, 'past', /was set back/],
  ] as const) {
    const claim = { ...adoption, ...changes };
    const answer = decodeAnswer(await association.control(encode(claim)));
    if (answer.ok) throw new Error('it was adopted');
    assert.is(answer.reason, reason);
    assert.match(answer.text, words);
    // It is not registered any more, and the writer goes on.
    const { registered } = await namespace!.reservations.report();
    assert.equal(
      registered.map(({ isHolder, hostId }) => [isHolder, hostId[0]]),
      [[true, 1]],
    );
  }
  assert.throws(() => association.device, /no epoch/);
  await writeBlocks(one.device, 3, block(0x22));
  await rig.detach(one);
  await rig.close();
});

test('blocks that were discarded read as zeroes, on whichever member', async () => {
  const rig = await RawRig.open(1);
  await rig.create(2);
  const [host] = rig.hosts;
  const mirror = await rig.attach(host!);
  await rig.whole(mirror);
  await writeBlocks(mirror.device, 3, block(0x11));
  await discardBlocks(mirror.device, { lba: 3, blockCount: 1 });
  for (const namespace of host!.namespaces) {
    assert.is(await firstByte(namespace, 2048 + 3), 0);
  }
  await rig.detach(mirror);
  await rig.close();
});

test('a namespace that was given back is free for others', async () => {
  const rig = await RawRig.open();
  await rig.create(1);
  const [a, b] = rig.hosts;
  await rig.detach(await rig.attach(a!));
  await refusedByCard(() => writeBlocks(b!.namespaces[0]!, 0, block(1)));
  await a!.members[0]!.leave();
  assert.equal((await b!.namespaces[0]!.reservations.report()).registered, []);
  await writeBlocks(b!.namespaces[0]!, 0, block(1));
  await rig.close();
});

const adoption: Adoption = {
  ...{ verb: 'adopt', clusterId, volumeId, memberId: idOf(0), epoch: 2, session: 1 },
  ...{ token: '9'.repeat(32), knownEpoch: 0, knownIncarnation: 0 },
};

async function errorOf(work: Promise<unknown>): Promise<UltimaError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof UltimaError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

async function refused(work: () => Promise<void>): Promise<Record<string, unknown>> {
  try {
    await work();
  } catch (error) {
    return Object(error).facts;
  }
  throw new Error('it was carried out');
}

async function refusedByCard(work: () => Promise<void>): Promise<void> {
  const { detail } = await refused(work);
  assert.is(Number(detail) & 0x7ff, 0x083, 'Reservation Conflict');
}

test.run();
