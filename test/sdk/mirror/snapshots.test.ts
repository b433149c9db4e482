import * as assert from 'uvu/assert';
import type { BlockDevice } from '../../../sdk/block/device.js';
import { discardBlocks, readBlocks, writeBlocks } from '../../../sdk/block/promised.js';
import { ErrorCode, UltimaError } from '../../../sdk/errors.js';
import type { Mirror } from '../../../sdk/mirror/mirror.js';
import type { MemberAssociation, MemberPort } from '../../../sdk/mirror/port.js';
import { decodeVerb, type Verb } from '../../../sdk/mirror/verbs.js';
import { MemberShelf } from '../../../sdk/node/member-shelf.js';
import { MiB } from '../../../sdk/units.js';
import { Pool } from '../../../sdk/volume/pool.js';
import { suite } from '../../support/suite.js';
import { clusterId, geometry, idOf, Rig, RigDevice, volumeId } from './rig.js';

const test = suite('snapshots of members that join');
const { blockBytes, blockCount, regionBlocks } = geometry;
const bytes = blockBytes * blockCount;
const regionBytes = regionBlocks * blockBytes;
/** What a pool keeps apart. */
const cell = 4096;

/** Members in pools of their own. */
class PooledRig extends Rig {
  readonly pools: Pool[] = [];

  async pooled(...indexes: number[]): Promise<void> {
    for (const index of indexes) {
      const disk = this.device((4 * MiB) / blockBytes);
      const pool = await Pool.create([disk], { random: (id) => id.fill(index + 1) });
      const shelf = await MemberShelf.open(pool);
      const ids = { clusterId, volumeId, memberId: idOf(index) };
      this.members[index] = await shelf.make({ ...ids, bytes, blockBytes, regionBytes });
      const name = `member-${idOf(index)}`;
      this.devices[index] = { meta: pool.volume(`${name}-meta`), data: pool.volume(name) };
      this.pools[index] = pool;
    }
  }

  /** Nodes go on by themselves, whoever writes. */
  override until(mirror: Mirror, isSo: () => boolean): Promise<void> {
    return super.until(mirror, () => {
      for (const member of this.members) member.poll();
      return isSo();
    });
  }

  /** A member's snapshots in the order in which they were taken, or its data last. */
  async history(index: number): Promise<string[]> {
    const pool = this.pools[index]!;
    const name = `member-${idOf(index)}`;
    const names = pool.snapshots(name).map((each) => each.name);
    const number = (text: string): number => Number(text.split('-')[2]);
    names.sort((a, b) => number(a) - number(b));
    const devices = [...names.map((each) => pool.snapshot(name, each)), pool.volume(name)];
    return Promise.all(devices.map(textOf));
  }

  next(more: Parameters<Rig['attach']>[0] = {}): Promise<Mirror> {
    const random = (id: Uint8Array): void => void id.fill(9);
    return this.attachWhole({ writer: 'next', isForced: true, random, ...more });
  }
}

/** The first byte of each cell, in hexadecimal. */
async function textOf(device: BlockDevice): Promise<string> {
  const all = new Uint8Array(device.blockCount * blockBytes);
  await readBlocks(device, 0, all);
  const firsts = Array.from({ length: all.length / cell }, (_, i) => all[i * cell]!);
  return Buffer.from(firsts).toString('hex');
}

/** Fill cells, each with its byte. */
async function fill(mirror: Mirror, cells: Readonly<Record<number, number>>): Promise<void> {
  for (const [at, value] of Object.entries(cells)) {
    const lba = (Number(at) * cell) / blockBytes;
    await writeBlocks(mirror.device, lba, new Uint8Array(cell).fill(value));
  }
}

/** Three states of the volume, of which two are kept. */
async function lived(rig: PooledRig, mirror: Mirror): Promise<void> {
  await fill(mirror, { 0: 0x11, 5: 0x15, 20: 0x1a, 30: 0x1e });
  await rig.done(mirror, mirror.snapshot('one'));
  await fill(mirror, { 5: 0x25, 6: 0x26 });
  await discardBlocks(mirror.device, {
    lba: (20 * cell) / blockBytes,
    blockCount: cell / blockBytes,
  });
  await rig.done(mirror, mirror.snapshot('two'));
  await fill(mirror, { 30: 0x3e });
}

/** As `lived` leaves it: what each snapshot has, and the live data. */
const wanted = [
  { 0: '11', 5: '15', 20: '1a', 30: '1e' },
  { 0: '11', 5: '25', 6: '26', 30: '1e' },
  { 0: '11', 5: '25', 6: '26', 30: '3e' },
].map((cells: Readonly<Record<number, string>>) => {
  return Array.from({ length: bytes / cell }, (_, i) => cells[i] ?? '00').join('');
});
/** Cells of the first, those that the second changed, and the region in which the third did. */
const neededBytes = 4 * cell + 2 * cell + regionBytes;

/** A way to a member on which every message is told of before it goes. */
function told(port: MemberPort, hear: (verb: Verb | null) => unknown): MemberPort {
  const connect = async (): Promise<MemberAssociation> => {
    const association = await port.connect();
    const control = association.control.bind(association);
    association.control = async (message) => {
      await hear(decodeVerb(message));
      return control(message);
    };
    return association;
  };
  return { ...port, connect };
}

test('a member that joins has every snapshot afterwards, and got no more than what they are', async () => {
  const rig = new PooledRig();
  await rig.pooled(0, 1);
  await rig.create(0);
  const mirror = await rig.attachWhole();
  await lived(rig, mirror);
  await rig.done(mirror, mirror.addMember(rig.port(1)));
  await rig.whole(mirror);
  assert.equal(await rig.history(1), wanted);
  assert.is(mirror.copiedBytes, neededBytes);
  for (const [at, name] of ['one', 'two'].entries()) {
    await rig.done(mirror, mirror.restore(name));
    assert.is(mirror.status.state, 'serving');
    for (const index of [0, 1]) assert.is((await rig.history(index)).at(-1), wanted[at]);
  }
  await rig.detach(mirror);
});

for (const who of ['the member', 'the member it copies from', 'the writer']) {
  test(`snapshots are whole on a member that joins, whenever ${who} is gone for a while`, async () => {
    let isOver = false;
    for (let step = 0; !isOver; step++) {
      assert.ok(step < 100, 'it ends');
      const rig = new PooledRig();
      await rig.pooled(0, 1);
      await rig.create(0);
      let left = Number.POSITIVE_INFINITY;
      let isGone = false;
      const hear = (verb: Verb | null): void => {
        if (left-- !== 0) return;
        isGone = true;
        throw new UltimaError(ErrorCode.memberLost, `gone before ${verb?.verb}`);
      };
      const isSource = who === 'the member it copies from';
      const ports = [told(rig.port(0), isSource ? hear : () => {}), rig.port(1)];
      const mirror = await rig.attachWhole({ ports, cleanNs: 1e15 });
      await lived(rig, mirror);
      left = step;
      await rig.done(mirror, mirror.addMember(isSource ? ports[1]! : told(rig.port(1), hear)));
      if (who === 'the writer') {
        const isEnded = (): boolean => isGone || mirror.status.state === 'serving';
        await rig.until(mirror, isEnded);
        // Whoever comes next knows nothing of it.
        const next = await rig.next();
        assert.is(next.status.members.length, 2);
        assert.equal(await rig.history(1), wanted, `before message ${step}`);
        await rig.detach(next);
      } else {
        await rig.until(mirror, () => {
          return mirror.status.members.length === 2 && mirror.status.state !== 'degraded';
        });
        if (mirror.status.state === 'serving') {
          assert.equal(await rig.history(1), wanted, `before message ${step}`);
          // What was sealed is not copied again; the live data may be, all that there is of it.
          const mostAgain = isSource ? neededBytes + 4 * regionBytes : 4 * cell;
          assert.ok(mirror.copiedBytes <= neededBytes + mostAgain, `${mirror.copiedBytes}`);
          await rig.detach(mirror);
        } else {
          const next = await rig.next();
          assert.equal(await rig.history(1), wanted, `before message ${step}`);
          await rig.detach(next);
        }
      }
      isOver = !isGone;
    }
  });
}

test('a snapshot that was taken anew under its name is the new one on who was out meanwhile', async () => {
  const rig = new PooledRig();
  await rig.pooled(0, 1);
  await rig.create(0, 1);
  const first = await rig.attachWhole();
  await fill(first, { 3: 0x33 });
  await rig.done(first, first.snapshot('nightly'));
  await rig.detach(first);
  let isAway = true;
  const away: MemberPort = {
    ...rig.port(1),
    connect: () => {
      if (isAway) throw new UltimaError(ErrorCode.memberLost, 'away');
      return rig.port(1).connect();
    },
  };
  const mirror = await rig.attach({ ports: [rig.port(0), away] });
  await fill(mirror, { 3: 0x44, 4: 0x45 });
  await rig.done(mirror, mirror.removeSnapshot('nightly'));
  await rig.done(mirror, mirror.snapshot('nightly'));
  await fill(mirror, { 4: 0x55 });
  isAway = false;
  await rig.whole(mirror);
  const states = ['00000044450000', '00000044550000'].map((text) => text.padEnd(64, '0'));
  for (const index of [0, 1]) assert.equal(await rig.history(index), states);
  await rig.done(mirror, mirror.restore('nightly'));
  assert.is(mirror.status.state, 'serving');
  for (const index of [0, 1]) assert.is((await rig.history(index)).at(-1), states[0]);
  await rig.detach(mirror);
});

test('a snapshot that is taken while a member is brought up is on that, too', async () => {
  const rig = new PooledRig();
  await rig.pooled(0, 1);
  await rig.create(0);
  const mirror = await rig.attachWhole({ resyncBytesPerSecond: 64 * 1024 });
  await lived(rig, mirror);
  await rig.done(mirror, mirror.addMember(rig.port(1)));
  await rig.until(mirror, () => mirror.copiedBytes > 5 * cell);
  assert.is(mirror.status.state, 'degraded');
  await rig.done(mirror, mirror.snapshot('three'));
  await fill(mirror, { 0: 0x71 });
  await rig.whole(mirror);
  assert.equal(await rig.history(1), [...wanted, wanted[2]!.replace('11', '71')]);
  await rig.detach(mirror);
});

/** Keeps messages of one kind back. */
function gate(kind: Verb['verb']) {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  const held = { isReached: false, open, hear };
  function hear(verb: Verb | null): Promise<void> | null {
    if (verb?.verb !== kind) return null;
    held.isReached = true;
    return opened;
  }
  return held;
}

test('nothing is said to be equal while it is being found what a member lacks', async () => {
  const rig = new PooledRig();
  await rig.pooled(0, 1);
  await rig.create(0);
  const found = gate('changes');
  const ports = [told(rig.port(0), found.hear)];
  const mirror = await rig.attachWhole({ ports, cleanNs: 2e6, answerNs: 1e9 });
  await fill(mirror, { 30: 0x1e });
  await rig.done(mirror, mirror.addMember(rig.port(1)));
  await rig.until(mirror, () => found.isReached);
  const startNs = rig.clock.nowNs();
  await rig.until(mirror, () => rig.clock.nowNs() > startNs + 100e6);
  const region = Math.floor((30 * cell) / regionBytes);
  assert.ok(rig.members[0]!.map.isSet(region) && rig.members[1]!.map.isSet(region));
  found.open();
  await rig.whole(mirror);
  await rig.until(mirror, () => !rig.members[0]!.map.isSet(region));
  assert.equal(await rig.history(1), await rig.history(0));
  await rig.detach(mirror);
});

test('what is written to new blocks is in no older snapshot of a member that joins', async () => {
  const rig = new PooledRig();
  await rig.pooled(0, 1);
  await rig.create(0);
  const copied = gate('read');
  const mirror = await rig.attachWhole({ ports: [told(rig.port(0), copied.hear)], answerNs: 1e9 });
  await lived(rig, mirror);
  await rig.done(mirror, mirror.addMember(rig.port(1)));
  await rig.until(mirror, () => copied.isReached);
  await rig.done(mirror, mirror.grow(blockCount + 16));
  await fill(mirror, { 32: 0x72, 33: 0x73 });
  copied.open();
  await rig.whole(mirror);
  const older = wanted.slice(0, 2).map((text) => `${text}0000`);
  assert.equal(await rig.history(1), [...older, `${wanted[2]}7273`]);
  await rig.detach(mirror);
});

test('what is copied for snapshots keeps to the rate of resyncs', async () => {
  const rig = new PooledRig();
  await rig.pooled(0, 1);
  await rig.create(0);
  const mirror = await rig.attachWhole({ resyncBytesPerSecond: 4 * cell });
  await lived(rig, mirror);
  await rig.done(mirror, mirror.addMember(rig.port(1)));
  const startNs = rig.clock.nowNs();
  await rig.whole(mirror);
  // But for the first bytes of either kind of copying, which need not wait for others.
  const least = (neededBytes - cell - regionBytes) / (4 * cell);
  assert.ok((rig.clock.nowNs() - startNs) / 1e9 >= least);
  await rig.detach(mirror);
});

test('a member joins without the snapshots that cannot be read', async () => {
  const rig = new PooledRig();
  await rig.pooled(0, 1);
  await rig.create(0);
  const refuse = (verb: Verb | null): void => {
    if (verb?.verb === 'read') throw new UltimaError(ErrorCode.memberRefused, 'damaged');
  };
  const mirror = await rig.attachWhole({ ports: [told(rig.port(0), refuse)] });
  await lived(rig, mirror);
  await rig.done(mirror, mirror.addMember(rig.port(1)));
  await rig.whole(mirror);
  assert.equal(await rig.history(1), [wanted[2]]);
  await rig.detach(mirror);
});

test('a member joins although nobody can list what was sealed', async () => {
  const rig = new Rig();
  await rig.add(0);
  await rig.create(0);
  const mirror = await rig.attachWhole();
  await rig.add(1);
  await rig.done(mirror, mirror.addMember(rig.port(1)));
  await rig.whole(mirror);
  assert.is(mirror.copiedBytes, bytes);
  await rig.detach(mirror);
});

test('of two snapshots of one name that are asked for at once, one is taken', async () => {
  const rig = new PooledRig();
  await rig.pooled(0, 1);
  await rig.create(0, 1);
  const mirror = await rig.attachWhole();
  const both = [mirror.snapshot('one'), mirror.snapshot('one')];
  const outcomes = await rig.done(mirror, Promise.allSettled(both));
  assert.equal(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'rejected'],
  );
  assert.equal(mirror.status.snapshots, ['one']);
  await rig.detach(mirror);
});

/** A device that keeps what it was given for a while. */
class HeldDevice extends RigDevice {
  isHeld = false;

  override poll(): number {
    return this.isHeld ? 0 : super.poll();
  }
}

test('a member that joins gets what others differed in when it began to follow them', async () => {
  const rig = new PooledRig();
  const { clock } = rig;
  const data = new HeldDevice({ blockBytes, blockCount, clock });
  // The first keeps no snapshots: what the third lacks is found on the second.
  await rig.add(0, { devices: { meta: rig.device(64), data }, isBlank: true });
  await rig.pooled(1, 2);
  await rig.create(0, 1);
  const dead = await rig.attachWhole();
  await fill(dead, { 0: 0x11 });
  // Marked, and the second has nothing there that it could show.
  const ninth = { lba: (9 * cell) / blockBytes, blockCount: cell / blockBytes };
  await discardBlocks(dead.device, ninth);
  // The writer dies when only the first has a part of its last write.
  await writeBlocks(data, ninth.lba, new Uint8Array(cell).fill(0x29));
  data.isHeld = true;
  const random = (id: Uint8Array): void => void id.fill(9);
  const hear = (verb: Verb | null): void => {
    // The second shows now what it has; the members are made equal after that.
    if (verb?.verb === 'changes') data.isHeld = false;
  };
  const ports = [rig.port(0), told(rig.port(1), hear)];
  const mirror = await rig.attach({ ports, writer: 'next', isForced: true, random });
  await rig.done(mirror, mirror.addMember(rig.port(2)));
  await rig.whole(mirror);
  assert.is(data.isHeld, false);
  await rig.detach(mirror);
  const texts = await Promise.all(rig.devices.map((each) => textOf(each.data)));
  const [first] = texts;
  assert.is(first!.slice(18, 20), '29');
  assert.equal(texts, [first, first, first]);
});

test.run();
