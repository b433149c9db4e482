import * as assert from 'uvu/assert';
import { MemoryDevice, MemorySpace } from '../../../sdk/block/memory.js';
import { readBlocks, writeBlocks } from '../../../sdk/block/promised.js';
import { MemoryStore } from '../../../sdk/cluster/memory-store.js';
import type { Clock } from '../../../sdk/device.js';
import { UltimaError } from '../../../sdk/errors.js';
import { LocalMember } from '../../../sdk/mirror/local-member.js';
import { Mirror } from '../../../sdk/mirror/mirror.js';
import { createMirror, type MirrorOptions } from '../../../sdk/mirror/options.js';
import { decodeAnswer, decodeVerb } from '../../../sdk/mirror/verbs.js';
import { suite } from '../../support/suite.js';

const test = suite('mirrors refuse');

const clusterId = 'c'.repeat(32);
const volumeId = 'a'.repeat(32);
const geometry = { blockBytes: 512, blockCount: 256, regionBlocks: 16 } as const;
const block = (fill: number) => new Uint8Array(512).fill(fill);

/** Time passes when somebody waits for it. */
function makeClock(): Clock {
  let nowNs = 0;
  const turn = async (untilNs: number): Promise<void> => {
    await new Promise((resolve) => setImmediate(resolve));
    nowNs = Math.max(nowNs, Math.min(untilNs, nowNs + 1e6));
  };
  return { nowNs: () => nowNs, idle: () => {}, turn };
}

const memory = new MemorySpace();

class Device extends MemoryDevice {
  override readonly memory = memory;
}

interface Disk {
  readonly meta: Device;
  readonly data: Device;
}

class Rig {
  readonly clock = makeClock();
  store = new MemoryStore(this.clock);
  readonly disks: Disk[] = [];
  readonly members: LocalMember[] = [];

  disk(blockCount: number = geometry.blockCount): Disk {
    const common = { blockBytes: 512, clock: this.clock };
    return {
      meta: new Device({ ...common, blockCount: 64 }),
      data: new Device({ ...common, blockCount }),
    };
  }

  async add(id: number, more: { clusterId?: string; regionBlocks?: number; disk?: Disk } = {}) {
    const disk = more.disk ?? this.disk();
    const identity = { clusterId, volumeId, memberId: idOf(id), ...more };
    const { memberId } = identity;
    const known = { clusterId: identity.clusterId, volumeId, memberId };
    await LocalMember.format(disk, known, more.regionBlocks ?? geometry.regionBlocks);
    this.disks[id] = disk;
    this.members[id] = await LocalMember.open(disk);
  }

  async create(...ids: number[]): Promise<void> {
    await createMirror(this.store, { clusterId, volumeId, memberIds: ids.map(idOf), ...geometry });
  }

  attach(more: Partial<MirrorOptions> = {}): Promise<Mirror> {
    const ports = this.members.map((member) => ({
      id: member.header.memberId,
      isLocal: false,
      connect: async () => member.associate(),
    }));
    let seed = 0;
    return Mirror.attach({
      ...{ store: this.store, volumeId, writer: 'one', ports, memory, clock: this.clock },
      random: (bytes) => bytes.fill(++seed),
      ...more,
    });
  }

  async until(mirror: Mirror, isSo: () => boolean): Promise<void> {
    for (let i = 0; i < 100_000 && !isSo(); i++) {
      mirror.device.poll();
      await this.clock.turn(this.clock.nowNs() + 1e6);
    }
    assert.ok(isSo(), JSON.stringify(mirror.status));
  }

  async whole(mirror: Mirror): Promise<void> {
    await this.until(mirror, () => {
      const { state, unreconciledRegions } = mirror.status;
      return state === 'serving' && unreconciledRegions === 0;
    });
  }

  async detach(mirror: Mirror): Promise<void> {
    let isOver = false;
    const detached = mirror.detach().then(() => {
      isOver = true;
    });
    await this.until(mirror, () => isOver);
    await detached;
  }
}

function idOf(index: number): string {
  return String(index + 1).padStart(32, '0');
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    if (error instanceof UltimaError) return error.code;
    throw error;
  }
  return 'none';
}

async function contentOf(disk: Disk, lba: number): Promise<number> {
  const bytes = block(0);
  await readBlocks(disk.data, lba, bytes);
  return bytes[0]!;
}

test('a member of another cluster is named, not written, and not waited for', async () => {
  const rig = new Rig();
  await rig.add(0);
  await rig.add(1, { clusterId: 'd'.repeat(32) });
  await writeBlocks(rig.disks[1]!.data, 3, block(0x77));
  await rig.create(0, 1);
  const mirror = await rig.attach();
  await writeBlocks(mirror.device, 3, block(0x11));
  await rig.until(mirror, () => mirror.status.members[1]!.why.includes('clusterId'));
  assert.is(mirror.status.members[1]!.condition, 'OutOfSync');
  assert.is(await contentOf(rig.disks[1]!, 3), 0x77);
  await rig.detach(mirror);
});

test('a member of another geometry is named and not written', async () => {
  const rig = new Rig();
  await rig.add(0);
  await rig.add(1, { regionBlocks: 32 });
  await rig.create(0, 1);
  const mirror = await rig.attach();
  await writeBlocks(mirror.device, 3, block(0x11));
  await rig.until(mirror, () => mirror.status.members[1]!.why.includes('regions of 16'));
  assert.is(await contentOf(rig.disks[1]!, 3), 0);
  await rig.detach(mirror);
});

test('a member whose disk was set back to an older state is named and not read', async () => {
  const rig = new Rig();
  await rig.add(0);
  await rig.add(1);
  await rig.create(0, 1);
  const first = await rig.attach();
  await rig.whole(first);
  await writeBlocks(first.device, 3, block(0x11));
  await rig.detach(first);
  // As if from an image taken before the mirror was ever attached.
  await rig.add(1, { disk: rig.disk() });
  const mirror = await rig.attach();
  await rig.until(mirror, () => mirror.status.members[1]!.why.includes('older'));
  const read = block(0);
  await readBlocks(mirror.device, 3, read);
  assert.is(read[0], 0x11);
  assert.is(mirror.status.members[1]!.condition, 'OutOfSync');
  await rig.detach(mirror);
});

test('a store that was wiped knows no mirror, and members keep their data', async () => {
  const rig = new Rig();
  await rig.add(0);
  await rig.create(0);
  const first = await rig.attach();
  await writeBlocks(first.device, 3, block(0x11));
  await rig.detach(first);
  rig.store = new MemoryStore(rig.clock);
  assert.is(await codeOf(rig.attach()), 'NOT_FOUND');
  // Made anew under the same identity, it begins with epochs that the member has seen.
  await rig.create(0);
  assert.is(await codeOf(rig.attach({ random: (bytes) => bytes.fill(9) })), 'STORE_ROLLED_BACK');
  assert.is(await contentOf(rig.disks[0]!, 3), 0x11);
});

test('a second writer is refused, and by force it fences the first', async () => {
  const rig = new Rig();
  await rig.add(0);
  await rig.add(1);
  await rig.create(0, 1);
  const one = await rig.attach();
  await rig.whole(one);
  await writeBlocks(one.device, 3, block(0x11));
  assert.is(await codeOf(rig.attach({ writer: 'two' })), 'MIRROR_BUSY');
  const two = await rig.attach({ writer: 'two', isForced: true, random: (b) => b.fill(7) });
  await writeBlocks(two.device, 3, block(0x22));
  const late = writeBlocks(one.device, 3, block(0x33));
  assert.is(await codeOf(late), 'COMMAND_FAILED');
  assert.is(one.status.state, 'stopped');
  const read = block(0);
  await readBlocks(two.device, 3, read);
  assert.is(read[0], 0x22);
  await rig.detach(two);
});

test('bytes that are no verb or no answer are refused, never guessed at', () => {
  const bytesOf = (text: string) => new TextEncoder().encode(text);
  for (const text of [
    '',
    '{',
    'null',
    '[]',
    '{"verb":"adopt"}',
    '{"verb":"clear","regions":[-1]}',
  ]) {
    assert.is(decodeVerb(bytesOf(text)), null, text);
    assert.throws(() => decodeAnswer(bytesOf(text)), /no answer/);
  }
  assert.is(decodeVerb(Uint8Array.of(0xff, 0xfe)), null);
  assert.equal(decodeVerb(bytesOf('{"verb":"mark all"}')), { verb: 'mark all' });
});

test.run();
