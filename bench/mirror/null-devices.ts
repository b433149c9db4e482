import type { BlockDevice } from '../../sdk/block/device.js';
import { MemorySpace } from '../../sdk/block/memory.js';
import { BlockOp, BlockRequest } from '../../sdk/block/request.js';
import { MemoryStore } from '../../sdk/cluster/memory-store.js';
import type { DmaSpace } from '../../sdk/device.js';
import { LocalMember } from '../../sdk/mirror/local-member.js';
import { Mirror } from '../../sdk/mirror/mirror.js';
import { createMirror } from '../../sdk/mirror/options.js';
import { NullDevice, noClock, SparseDevice } from '../block-devices.js';
import { collections } from '../collections.js';
import { median } from '../figures.js';
import { dataBytes, regionBytes } from './cluster.js';

/** A null device in a given memory. */
class NullIn extends NullDevice {
  override readonly memory: MemorySpace;

  constructor(memory: MemorySpace) {
    super({ bytes: dataBytes, blockBytes: 4096, clock: noClock });
    this.memory = memory;
  }
}

const perRun = 300_000;
const rounds = 7;
const depth = 32;

/** What a mirrored write costs beside its devices: processor time, and memory to be collected. */
export async function nullDevices(figures: Record<string, number>): Promise<void> {
  const memory = new MemorySpace();
  const clusterId = 'c'.repeat(32);
  const volumeId = 'b'.repeat(32);
  const store = new MemoryStore(noClock);
  const members: LocalMember[] = [];
  for (let i = 0; i < 2; i++) {
    const data = new NullIn(memory);
    const meta = new SparseDevice({ bytes: 1024 * 1024, blockBytes: 4096, clock: noClock });
    const identity = { clusterId, volumeId, memberId: String(i + 1).padStart(32, '0') };
    await LocalMember.format({ meta, data }, identity, regionBytes / 4096);
    members.push(await LocalMember.open({ meta, data }));
  }
  const { blockBytes, blockCount, regionBlocks } = members[0]!.header;
  const memberIds = members.map(({ header }) => header.memberId);
  const geometry = { blockBytes, blockCount, regionBlocks };
  await createMirror(store, { clusterId, volumeId, memberIds, ...geometry });
  const ports = members.map((member) => ({
    id: member.header.memberId,
    isLocal: true,
    connect: async () => member.associate(),
  }));
  const mirror = await Mirror.attach({
    ...{ store, volumeId, writer: 'bench', ports, memory, clock: noClock },
    random: (bytes) => bytes.fill(1),
  });
  while (mirror.status.unreconciledRegions > 0) {
    mirror.device.poll();
    await noClock.turn(0);
  }
  const plain = new WriteLoop(new NullIn(memory), memory);
  const mirrored = new WriteLoop(mirror.device, memory);
  for (const loop of [plain, mirrored]) loop.run(200_000);
  const [plainNs, mirroredNs, added]: [number[], number[], number[]] = [[], [], []];
  for (let round = 0; round < rounds; round++) {
    const without = nsPerIo(plain);
    const through = nsPerIo(mirrored);
    plainNs.push(without);
    mirroredNs.push(through);
    added.push(through - without);
  }
  figures.cpuNsPerIo_added_write_2way = median(added);
  figures.gcPerMillion_write_2way = await collections(() => mirrored.run(1_000_000));
  figures.cpuNsPerIo_null = median(plainNs);
  figures.cpuNsPerIo_write_2way = median(mirroredNs);
}

/** Writes to places far apart, each submitted when one has ended. */
class WriteLoop {
  private readonly device: BlockDevice;
  private readonly requests: BlockRequest[] = [];
  private left = 0;
  private ended = 0;
  private state = 0x2545f491;

  constructor(device: BlockDevice, memory: DmaSpace) {
    this.device = device;
    for (let i = 0; i < depth; i++) {
      const request = new BlockRequest((each) => this.done(each));
      request.op = BlockOp.write;
      request.blockCount = 1;
      request.setData(memory.allocate(4096), 0, 4096);
      this.requests.push(request);
    }
  }

  run(count: number): void {
    this.left = count - depth;
    this.ended = 0;
    for (const request of this.requests) this.submit(request);
    while (this.ended < count) this.device.poll();
  }

  private submit(request: BlockRequest): void {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x;
    request.lba = (x >>> 0) % this.device.blockCount;
    this.device.submit(request);
  }

  private done(request: BlockRequest): void {
    if (request.status !== 0) throw new Error(`status ${request.status}`);
    this.ended++;
    if (this.left-- > 0) this.submit(request);
  }
}

function nsPerIo(loop: WriteLoop): number {
  const start = process.cpuUsage();
  loop.run(perRun);
  return (process.cpuUsage(start).user * 1000) / perRun;
}
