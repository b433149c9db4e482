import * as assert from 'uvu/assert';
import type { BlockDevice } from '../../../sdk/block/device.js';
import { MemoryDevice, MemorySpace } from '../../../sdk/block/memory.js';
import { readBlocks, writeBlocks } from '../../../sdk/block/promised.js';
import { MemoryStore } from '../../../sdk/cluster/memory-store.js';
import type { Clock } from '../../../sdk/device.js';
import { UltimaError } from '../../../sdk/errors.js';
import { LocalMember, type MemberDevices } from '../../../sdk/mirror/local-member.js';
import { Mirror } from '../../../sdk/mirror/mirror.js';
import { createMirror, type MirrorOptions } from '../../../sdk/mirror/options.js';
import type { MemberPort } from '../../../sdk/mirror/port.js';

export const clusterId = 'c'.repeat(32);
export const volumeId = 'a'.repeat(32);
export const geometry = { blockBytes: 512, blockCount: 256, regionBlocks: 16 } as const;
export const block = (fill: number): Uint8Array => new Uint8Array(512).fill(fill);

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

/** Memory that all members share, as the nodes of a mirror's writer do. */
export class RigDevice extends MemoryDevice {
  override readonly memory = memory;
}

interface Added {
  readonly clusterId?: string;
  readonly regionBlocks?: number;
  readonly isBlank?: boolean;
  readonly devices?: MemberDevices;
}

/** Members in memory, a store, and mirrors on them. */
export class Rig {
  readonly clock = makeClock();
  store = new MemoryStore(this.clock);
  readonly devices: MemberDevices[] = [];
  readonly members: LocalMember[] = [];

  /** So many members of a mirror that was let go of, all of them equal: block 3 has 0x11. */
  static async written(count: number): Promise<Rig> {
    const rig = new Rig();
    const indexes = Array.from({ length: count }, (_, index) => index);
    for (const index of indexes) await rig.add(index);
    await rig.create(...indexes);
    const mirror = await rig.attachWhole();
    await writeBlocks(mirror.device, 3, block(0x11));
    await rig.detach(mirror);
    return rig;
  }

  device(blockCount: number = geometry.blockCount): RigDevice {
    return new RigDevice({ blockBytes: geometry.blockBytes, clock: this.clock, blockCount });
  }

  /** Format a member and open it. */
  async add(index: number, more: Added = {}): Promise<void> {
    const devices = more.devices ?? { meta: this.device(64), data: this.device() };
    const known = { clusterId: more.clusterId ?? clusterId, volumeId, memberId: idOf(index) };
    const { regionBlocks = geometry.regionBlocks, isBlank = false } = more;
    await LocalMember.format(devices, known, regionBlocks, { isBlank });
    this.devices[index] = devices;
    this.members[index] = await LocalMember.open(devices);
  }

  async create(...indexes: number[]): Promise<void> {
    const memberIds = indexes.map(idOf);
    await createMirror(this.store, { clusterId, volumeId, memberIds, ...geometry });
  }

  port(index: number): MemberPort {
    const connect = async (): Promise<ReturnType<LocalMember['associate']>> =>
      this.members[index]!.associate();
    return { id: idOf(index), isLocal: false, connect };
  }

  attach(more: Partial<MirrorOptions> = {}): Promise<Mirror> {
    const ports = this.members.map((_, index) => this.port(index));
    let seed = 0;
    return Mirror.attach({
      ...{ store: this.store, volumeId, writer: 'one', ports, memory, clock: this.clock },
      random: (bytes) => bytes.fill(++seed),
      ...more,
    });
  }

  /** Attach, and wait until all members are equal. */
  async attachWhole(more: Partial<MirrorOptions> = {}): Promise<Mirror> {
    const mirror = await this.attach(more);
    await this.whole(mirror);
    return mirror;
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

  /** Drive the mirror until something that it was asked for is done. */
  async done<T>(mirror: Mirror, work: Promise<T>): Promise<T> {
    let isOver = false;
    const end = (): void => {
      isOver = true;
    };
    work.then(end, end);
    await this.until(mirror, () => isOver);
    return work;
  }

  detach(mirror: Mirror): Promise<void> {
    return this.done(mirror, mirror.detach());
  }

  async contentOf(index: number, lba: number): Promise<number> {
    return firstByte(this.devices[index]!.data, lba);
  }
}

export async function firstByte(device: BlockDevice, lba: number): Promise<number> {
  const bytes = block(0);
  await readBlocks(device, lba, bytes);
  return bytes[0]!;
}

export function idOf(index: number): string {
  return String(index + 1).padStart(32, '0');
}

export async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    if (error instanceof UltimaError) return error.code;
    throw error;
  }
  return 'none';
}
