import { BlockOp, BlockRequest, BlockStatus, blockFlagFua } from '../../sdk/block/request.js';
import type { DmaRegion } from '../../sdk/device.js';
import type { Mirror } from '../../sdk/mirror/mirror.js';
import { geometry, type StormNode } from './mirror-node.js';
import type { RegisterChecker } from './mirror-register.js';

/** Writes that hang leave room for reads: a writer that is cut off goes on reading. */
const writeDepth = 5;
const readDepth = 3;
const mostBlocks = 5;
const favouriteBlocks = 8;
/** The last region at first is zeroed and discarded, and only compared between members. */
const looseFrom = geometry.blockCount - geometry.regionBlocks;

/** Values that are never given twice. */
export interface Values {
  next: number;
}

/** An application on a mirror: a few requests at a time, every answer told to the checker. */
export class StormApp {
  readonly mirror: Mirror;
  isHeld = false;
  /** A snapshot is being taken. */
  isSealing = false;
  inFlight = 0;
  private readonly node: StormNode;
  private readonly checker: RegisterChecker;
  private readonly values: Values;
  private readonly free: Slot[] = [];
  private readonly freeForReads: Slot[] = [];
  private readonly writing = new Set<Slot>();
  /** Most of what an application does is here. */
  private readonly favourite: number;
  private readonly eraOf: () => number;

  constructor(
    node: StormNode,
    mirror: Mirror,
    checker: RegisterChecker,
    { values, eraOf }: { values: Values; eraOf: () => number },
  ) {
    this.node = node;
    this.mirror = mirror;
    this.checker = checker;
    this.values = values;
    this.eraOf = eraOf;
    this.favourite = node.world.chance.below(looseFrom - favouriteBlocks + 1);
    for (let i = 0; i < writeDepth; i++) this.addSlot(this.free);
    for (let i = 0; i < readDepth; i++) this.addSlot(this.freeForReads);
    this.next();
  }

  private addSlot(home: Slot[]): void {
    const { memory } = this.node;
    const region = memory.allocate(mostBlocks * geometry.blockBytes, { alignment: 8 });
    const request = new BlockRequest(() => this.ended(slot));
    const slot: Slot = { request, region, home, startNs: 0 };
    home.push(slot);
  }

  private next(): void {
    const { node } = this;
    const { life, world } = node;
    world.after(4_000 + 16_000 * world.chance.unit(), () => {
      node.deliver(life, () => {
        if (this.mirror.status.state === 'stopped') return;
        if (!this.isHeld) this.submitOne();
        this.next();
      });
    });
  }

  private submitOne(): void {
    const { chance } = this.node.world;
    const what = chance.unit();
    const isRead = what >= 0.45 && what < 0.9;
    const home = isRead ? this.freeForReads : this.free;
    if (home.length === 0) return;
    const isWide = chance.chance(0.2);
    const count = 1 + (isWide ? chance.below(mostBlocks) : 0);
    const lba = this.somewhere(count);
    // A read behind a write that hangs hangs, too: the last one looks where none is.
    if (isRead && home.length === 1 && this.isWriting(lba, count)) return;
    const slot = home.pop()!;
    if (isRead) this.submit(slot, BlockOp.read, lba, count);
    else if (what < 0.45) this.write(slot, lba, count, chance.chance(0.1));
    else if (what < 0.95) this.submit(slot, BlockOp.flush, 0, 0);
    else if (what < 0.97) this.submit(slot, BlockOp.discard, looseFrom, 1 + chance.below(4));
    else this.submit(slot, BlockOp.writeZeroes, looseFrom, 1 + chance.below(4));
  }

  /** Mostly among the favourites; also in what the volume has grown by. */
  private somewhere(count: number): number {
    const { chance } = this.node.world;
    if (chance.chance(0.8)) return this.favourite + chance.below(favouriteBlocks - count + 1);
    const newBlocks = this.mirror.device.blockCount - geometry.blockCount;
    if (newBlocks < count || chance.chance(0.5)) return chance.below(looseFrom - count + 1);
    return geometry.blockCount + chance.below(newBlocks - count + 1);
  }

  private isWriting(lba: number, count: number): boolean {
    for (const { request } of this.writing) {
      if (request.lba < lba + count && lba < request.lba + request.blockCount) return true;
    }
    return false;
  }

  private write(slot: Slot, lba: number, count: number, isFua: boolean): void {
    const words = slot.region.words;
    for (let i = 0; i < count; i++) {
      const value = this.values.next++;
      words[2 * i] = value;
      words[2 * i + 1] = ~value;
      this.checker.begin(lba + i, value, this.node.world.nowNs);
    }
    this.submit(slot, BlockOp.write, lba, count, isFua);
  }

  private submit(slot: Slot, op: BlockOp, lba: number, count: number, isFua = false): void {
    const { request, region } = slot;
    slot.startNs = this.node.world.nowNs;
    request.op = op;
    request.lba = lba;
    request.blockCount = count;
    request.flags = isFua ? blockFlagFua : 0;
    request.segmentCount = 0;
    if (op === BlockOp.read || op === BlockOp.write) {
      request.setData(region, 0, count * geometry.blockBytes);
    }
    if (op !== BlockOp.read && op !== BlockOp.flush) this.writing.add(slot);
    this.inFlight++;
    this.mirror.device.submit(request);
  }

  private ended(slot: Slot): void {
    this.inFlight--;
    slot.home.push(slot);
    this.writing.delete(slot);
    const { request, startNs } = slot;
    if (request.op === BlockOp.flush) {
      if (request.status === BlockStatus.ok) this.checker.flushed(startNs);
    } else if (request.op === BlockOp.write) {
      this.written(slot);
    } else if (request.op === BlockOp.read && request.status === BlockStatus.ok) {
      this.readBack(slot);
    }
  }

  private written({ request, region }: Slot): void {
    const { world } = this.node;
    const isFua = request.flags === blockFlagFua;
    for (let i = 0; i < request.blockCount; i++) {
      const value = region.words[2 * i]!;
      const block = request.lba + i;
      if (request.status === BlockStatus.notExecuted) this.checker.voided(block, value);
      if (request.status !== BlockStatus.ok) continue;
      const wrong = this.checker.ended(block, value, world.nowNs, isFua);
      if (wrong !== null) world.violate(`acknowledged: ${wrong}`);
    }
  }

  private readBack({ request, region, startNs }: Slot): void {
    const { world } = this.node;
    // Begun before a loss that was announced meanwhile.
    if (startNs < this.eraOf()) return;
    for (let i = 0; i < request.blockCount; i++) {
      const value = region.words[2 * i]!;
      const isWhole = value === 0 || region.words[2 * i + 1] === ~value >>> 0;
      const block = request.lba + i;
      if (!isWhole) world.violate(`block ${block} reads bytes that nobody wrote`);
      const wrong = this.checker.read(block, value, startNs, world.nowNs);
      if (wrong !== null) world.violate(`node ${this.node.index} read: ${wrong}`);
    }
  }

  /** Resolves when nothing of it is under way. */
  quiet(): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (this.inFlight === 0) resolve();
        else this.node.world.after(50_000, look);
      };
      look();
    });
  }

  /** Read every block once; stops where reads do not end, or end as they must not. */
  async readAll(): Promise<void> {
    const { world } = this.node;
    this.isHeld = true;
    for (let lba = 0; lba < this.mirror.device.blockCount; lba++) {
      if (lba >= looseFrom && lba < geometry.blockCount) continue;
      await world.runUntil(() => this.freeForReads.length > 0, 50e6);
      if (world.violation !== null || this.freeForReads.length === 0) return;
      this.submit(this.freeForReads.pop()!, BlockOp.read, lba, 1);
    }
  }
}

interface Slot {
  readonly request: BlockRequest;
  readonly region: DmaRegion;
  /** Where it lies while nobody uses it. */
  readonly home: Slot[];
  startNs: number;
}
