import { assert } from '../assert.js';
import { checkRequest, isUsual } from '../block/check.js';
import type { BlockDevice, BlockLimits } from '../block/device.js';
import { BlockOp, type BlockRequest, BlockStatus } from '../block/request.js';
import type { Clock, DmaSpace } from '../device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { type Adoption, comesAfter, isOutdated, strangeness } from './claims.js';
import { answerCopy, isCopyVerb } from './copy-verbs.js';
import { IntentMap } from './intent-map.js';
import {
  checkIdentity,
  hexOf,
  type MemberHeader,
  type MemberIdentity,
  type MirrorGeometry,
  mostRegions,
  readHeader,
  regionCountOf,
  writeHeader,
} from './member-header.js';
import type { MemberAssociation, MemberVolume } from './port.js';
import { type Answer, decodeVerb, encode, type Refusal, type Verb } from './verbs.js';

// The data path reads imported constants once.
const { read: readOp, flush: flushOp } = BlockOp;

export interface MemberDevices {
  /** Header and write-intent map: `LocalMember.metaBytes` at least. Not part of snapshots. */
  readonly meta: BlockDevice;
  readonly data: BlockDevice;
  /**
   * The same data with a share of its own for work that nobody waits for: a device of the
   * `QosGate` that `data` is behind. The share needs a reservation, because regions are held
   * against users while they are copied. `data` does it when left out.
   */
  readonly background?: BlockDevice;
  /** What can seal and restore the data; without it those verbs are refused. */
  readonly volume?: MemberVolume;
}

export interface FormatOptions {
  /** See `MemberHeader`; 0 when left out. */
  readonly dataStart?: number;
  /** Every block of the data is known to read as zeroes; false when left out. */
  readonly isBlank?: boolean;
}

/**
 * A member on the node that has its data.
 *
 * What always holds:
 *   - Data is written only by the association that adopted last, and only while its regions are set
 *     in the write-intent map on the medium.
 *   - An epoch is adopted when it is on the medium and nothing of any other association is under
 *     way; lower ones are refused from then on, also after a restart.
 *   - Whoever was connected before a restart is not connected after it; `incarnation` tells writers
 *     that completed writes may have been lost with a volatile cache.
 */
export class LocalMember {
  header: MemberHeader;
  readonly map: IntentMap;
  readonly data: BlockDevice;
  readonly background: BlockDevice;
  readonly limits: BlockLimits;
  /** Of the data: what the header names. */
  blockCount: number;
  private readonly meta: BlockDevice;
  private readonly volume: MemberVolume | null;
  private current: LocalAssociation | null = null;
  private claimedEpoch = 0;
  private claimedSession = 0;
  private claimedToken = '';
  private turn: Promise<unknown> = Promise.resolve();
  private whenIdle: (() => void)[] = [];
  /** Regions per block: a power of two. */
  private readonly perBlock: number;
  /** What the `done` of each request on its way is, and what stands in its place. */
  private readonly dones: ((request: BlockRequest) => void)[] = [];
  private readonly endings: ((request: BlockRequest) => void)[] = [];
  private readonly free: Int32Array;
  private freeCount = 0;
  /** Requests that wait for bits of the map, or for room on a device, and on which. */
  private waiting: BlockRequest[] = [];
  private waitingOn: BlockDevice[] = [];
  /** One of them waits for room. */
  private isFull = false;
  private isClosed = false;

  /** Bytes of metadata for so much data. */
  static metaBytes(blockBytes: number, geometry: MirrorGeometry): number {
    return IntentMap.blocksFor(blockBytes, regionCountOf(geometry)) * blockBytes;
  }

  /**
   * Make devices a new member. It is not known to agree with any other one, unless the data is
   * blank: then it agrees with all that were made so.
   */
  static async format(
    devices: MemberDevices,
    identity: MemberIdentity,
    regionBlocks: number,
    { dataStart = 0, isBlank = false }: FormatOptions = {},
  ): Promise<void> {
    const { blockBytes, blockCount } = devices.data;
    const geometry = { blockBytes, blockCount, regionBlocks };
    checkGeometry(geometry, devices.meta);
    for (const id of Object.values(identity)) checkIdentity(id);
    await IntentMap.format(devices.meta, regionCountOf(geometry), !isBlank);
    const zero = { sequence: 0, epoch: 0, generation: 0, incarnation: 0, token: noToken };
    await writeHeader(devices.meta, { ...geometry, ...identity, ...zero, dataStart });
  }

  /** @throws UltimaError MEMBER_REFUSED for devices that hold no member, or another geometry */
  static async open(devices: MemberDevices): Promise<LocalMember> {
    const old = await readHeader(devices.meta);
    const { data } = devices;
    if (old.blockBytes !== data.blockBytes || old.blockCount > data.blockCount) {
      throw new UltimaError(
        ErrorCode.memberRefused,
        `the header names ${old.blockCount} blocks of ${old.blockBytes} bytes; the data device ` +
          `has ${data.blockCount} of ${data.blockBytes}: it is not the one that was formatted`,
        { reason: 'geometry' },
      );
    }
    const header = { ...old, sequence: old.sequence + 1, incarnation: old.incarnation + 1 };
    await writeHeader(devices.meta, header);
    const map = await IntentMap.load(devices.meta, regionCountOf(header));
    return new LocalMember(devices, header, map);
  }

  private constructor(devices: MemberDevices, header: MemberHeader, map: IntentMap) {
    this.header = header;
    this.blockCount = header.blockCount;
    this.map = map;
    map.onDurable = () => this.submitWaiting();
    this.data = devices.data;
    this.background = devices.background ?? devices.data;
    this.meta = devices.meta;
    this.volume = devices.volume ?? null;
    this.perBlock = 1 / header.regionBlocks;
    const { limits } = devices.data;
    // Some room is left for the map, which may lie on the same device.
    const count = Math.max(1, limits.maxInFlight - 8);
    this.limits = { ...limits, maxInFlight: count };
    this.free = new Int32Array(count);
    for (let slot = 0; slot < count; slot++) {
      this.dones.push(neverEnds);
      this.endings.push((request) => this.ended(slot, request));
      this.free[this.freeCount++] = slot;
    }
  }

  /** A connection to this member: what a node serves to others, or uses itself. */
  associate(): MemberAssociation {
    return new LocalAssociation(this);
  }

  /** Drive the devices. @returns how many requests ended */
  poll(): number {
    let ended = this.data.poll();
    if (this.background !== this.data) ended += this.background.poll();
    this.meta.poll();
    this.map.retry();
    // Those that wait for the map alone hear of it, unless it took no write at all.
    if (this.isFull || this.map.isBroken) this.submitWaiting();
    return ended;
  }

  /** Nobody is served any more. What is under way ends, as long as somebody polls. */
  close(): void {
    this.isClosed = true;
    this.current = null;
    this.map.close();
  }

  /** @internal Whether it takes a request, be it that the device is full now or being reset. */
  get hasRoom(): boolean {
    return this.freeCount > 0;
  }

  /** @internal */
  isCurrent(association: LocalAssociation): boolean {
    return association === this.current;
  }

  /** @internal Carry it out on `data` or `background`. */
  submit(request: BlockRequest, device: BlockDevice): void {
    const slot = this.free[--this.freeCount]!;
    this.dones[slot] = request.done;
    request.done = this.endings[slot]!;
    const isMarked = this.isMarked(request);
    if (isMarked && device.canSubmit()) {
      device.submit(request);
      return;
    }
    this.wait(request, device, isMarked);
  }

  private wait(request: BlockRequest, device: BlockDevice, isMarked: boolean): void {
    this.waiting.push(request);
    this.waitingOn.push(device);
    if (isMarked) this.isFull = true;
    else this.mark(request);
  }

  /** Whether nothing has to be marked any more before it is carried out. */
  private isMarked({ op, lba, blockCount }: BlockRequest): boolean {
    if (op === readOp || op === flushOp) return true;
    const first = Math.floor(lba * this.perBlock);
    return this.map.isDurable(first, Math.floor((lba + blockCount - 1) * this.perBlock));
  }

  /** Set the bits of a write: it is carried out when they are on the medium. */
  private mark({ lba, blockCount }: BlockRequest): void {
    const first = Math.floor(lba * this.perBlock);
    this.map.mark(first, Math.floor((lba + blockCount - 1) * this.perBlock));
  }

  /** Bits came to the medium, or never will; or a device may have room. */
  private submitWaiting(): void {
    const requests = this.waiting;
    const devices = this.waitingOn;
    this.isFull = false;
    if (requests.length === 0) return;
    this.waiting = [];
    this.waitingOn = [];
    for (const [i, request] of requests.entries()) {
      const device = devices[i]!;
      const isMarked = this.isMarked(request);
      if (isMarked && device.canSubmit()) {
        device.submit(request);
      } else if (!isMarked && this.map.isBroken) {
        request.status = BlockStatus.deviceError;
        request.detail = 0;
        request.done(request);
      } else {
        this.wait(request, device, isMarked);
      }
    }
  }

  private ended(slot: number, request: BlockRequest): void {
    request.done = this.dones[slot]!;
    this.free[this.freeCount++] = slot;
    request.done(request);
    if (this.whenIdle.length === 0 || this.inFlight > 0) return;
    for (const resolve of this.whenIdle.splice(0)) resolve();
  }

  /** Nothing is under way, neither data nor the map. */
  get isIdle(): boolean {
    return this.inFlight === 0 && this.map.isIdle;
  }

  private get inFlight(): number {
    return this.free.length - this.freeCount;
  }

  /** @internal Verbs are carried out one after the other. */
  control(association: LocalAssociation, message: Uint8Array): Promise<Uint8Array> {
    const verb = decodeVerb(message);
    if (verb === null) return Promise.resolve(encode(this.refusal('garbage', 'no verb')));
    const foreign = verb.verb === 'adopt' ? this.claim(verb) : null;
    if (foreign !== null) return Promise.resolve(encode(foreign));
    // Nobody waits while somebody else copies.
    if (isCopyVerb(verb)) return this.carryOut(association, verb).then(encode);
    const answer = this.turn.then(() => this.carryOut(association, verb));
    this.turn = answer;
    return answer.then(encode);
  }

  /** An adoption holds from its arrival on, whatever else is under way. */
  private claim(verb: Adoption): Answer | null {
    const stranger = strangeness(this.header, verb);
    if (stranger !== null) return this.refusal(stranger.reason, stranger.text);
    if (this.isOlder(verb)) return this.tooOld(verb);
    this.claimedEpoch = verb.epoch;
    this.claimedSession = verb.session;
    this.claimedToken = verb.token;
    this.current = null;
    return null;
  }

  /** Whether a newer epoch or session has been here. */
  isOlder(verb: Adoption): boolean {
    const { epoch, token, session } = verb;
    if (isOutdated(this.header, verb) || epoch < this.claimedEpoch) return true;
    if (epoch !== this.claimedEpoch) return false;
    return token !== this.claimedToken || session <= this.claimedSession;
  }

  private async carryOut(association: LocalAssociation, verb: Verb): Promise<Answer> {
    try {
      if (this.isClosed) return this.refusal('failed', 'the member is closed');
      if (verb.verb === 'adopt') return await this.adopt(association, verb);
      if (association !== this.current) return this.refusal('epoch', 'another one has adopted');
      if (verb.verb === 'clear') return this.clear(verb.regions);
      if (verb.verb === 'mark all') return await this.markAll();
      if (verb.verb === 'note') return await this.note(verb.generation);
      if (verb.verb === 'grow') return await this.grow(verb.blockCount);
      if (this.volume === null) return this.refusal('unsupported', 'no snapshots on this member');
      if (isCopyVerb(verb)) return await answerCopy(this.volume, verb);
      await this.volume[verb.verb](verb.name);
      return { ok: true, adopted: null };
    } catch (error) {
      if (error instanceof UltimaError) return this.refusal('failed', error.message);
      throw error;
    }
  }

  private async adopt(association: LocalAssociation, verb: Adoption): Promise<Answer> {
    const { epoch, session, token } = verb;
    const before = this.header.epoch;
    await this.drain();
    if (this.map.isBroken && !(await this.map.mend())) return this.refusal('failed', noMap);
    if (epoch > before) await this.rewrite({ epoch, token });
    if (epoch !== this.claimedEpoch || session !== this.claimedSession) return this.tooOld(verb);
    this.current = association;
    return this.described(before);
  }

  private described(epoch: number): Answer {
    const { blockBytes, blockCount, regionBlocks, incarnation, generation } = this.header;
    // The map may have grown, and the header not.
    const mapBytes = Math.ceil(regionCountOf(this.header) / 8);
    const bits = hexOf(this.map.bits().subarray(0, mapBytes));
    const isVolatile = this.data.limits.hasVolatileCache;
    const geometry = { blockBytes, blockCount, regionBlocks };
    const facts = { epoch, generation, incarnation, isVolatile, bits };
    return { ok: true, adopted: { ...geometry, ...facts } };
  }

  /** The header names the new size when everything else has it: a cut leaves the old one. */
  private async grow(blockCount: number): Promise<Answer> {
    const { header, meta, volume, map } = this;
    const geometry = { ...header, blockCount };
    if (blockCount > header.blockCount) {
      const regionCount = regionCountOf(geometry);
      if (regionCount > mostRegions) {
        const text = `${blockCount} blocks are ${regionCount} regions; ${mostRegions} are the most`;
        return this.refusal('unsupported', text);
      }
      if (volume?.grow === undefined) return this.refusal('unsupported', 'its size is fixed');
      const metaBytes = LocalMember.metaBytes(meta.blockBytes, geometry);
      await volume.grow({ dataBytes: blockCount * header.blockBytes, metaBytes });
      await map.grow(regionCount);
      if (map.isBroken) return this.refusal('failed', noMap);
      await this.rewrite({ blockCount });
      this.blockCount = blockCount;
    }
    return this.described(header.epoch);
  }

  private async rewrite(changes: Partial<MemberHeader>): Promise<void> {
    const header = { ...this.header, ...changes, sequence: this.header.sequence + 1 };
    await writeHeader(this.meta, header);
    this.header = header;
  }

  private async note(generation: number): Promise<Answer> {
    if (generation > this.header.generation) await this.rewrite({ generation });
    return { ok: true, adopted: null };
  }

  /** What an earlier association began must not happen after the answer. */
  drain(): Promise<void> {
    if (this.inFlight === 0) return Promise.resolve();
    return new Promise((resolve) => this.whenIdle.push(resolve));
  }

  private clear(regions: readonly number[]): Answer {
    if (regions.some((region) => region >= this.map.regionCount)) {
      return this.refusal('garbage', 'a region beyond the end');
    }
    this.map.clear(regions);
    return { ok: true, adopted: null };
  }

  private async markAll(): Promise<Answer> {
    await this.map.setAll();
    return this.map.isBroken ? this.refusal('failed', noMap) : { ok: true, adopted: null };
  }

  private tooOld({ epoch }: { readonly epoch: number }): Answer {
    const known = Math.max(this.header.epoch, this.claimedEpoch);
    const { reason, text } = comesAfter(epoch, known);
    return this.refusal(reason, text);
  }

  private refusal(reason: Refusal, text: string): Answer {
    return { ok: false, reason, text, epoch: Math.max(this.header.epoch, this.claimedEpoch) };
  }
}

/** A connection inside this process. */
class LocalAssociation implements MemberAssociation {
  readonly device: BlockDevice;
  readonly background: BlockDevice;
  isClosed = false;
  private readonly member: LocalMember;

  constructor(member: LocalMember) {
    this.member = member;
    const { data, background } = member;
    this.device = new LocalDevice(member, this, data);
    this.background = background === data ? this.device : new LocalDevice(member, this, background);
  }

  async control(message: Uint8Array): Promise<Uint8Array> {
    if (this.isClosed) throw new UltimaError(ErrorCode.memberLost, 'the association is closed');
    return this.member.control(this, message);
  }

  /** Inside one process nothing is lost on the way: what is under way ends as the device says. */
  close(): void {
    this.isClosed = true;
  }
}

/** The data of a member for one connection. */
class LocalDevice implements BlockDevice {
  readonly blockBytes: number;
  readonly limits: BlockLimits;
  readonly clock: Clock;
  readonly memory: DmaSpace;
  private readonly mostBytes: number;
  private readonly member: LocalMember;
  private readonly association: LocalAssociation;
  private readonly below: BlockDevice;
  private refused: BlockRequest[] = [];

  constructor(member: LocalMember, association: LocalAssociation, below: BlockDevice) {
    this.member = member;
    this.association = association;
    this.below = below;
    this.blockBytes = below.blockBytes;
    this.limits = member.limits;
    this.mostBytes = member.limits.maxTransferBytes;
    this.clock = below.clock;
    this.memory = below.memory;
  }

  get blockCount(): number {
    return this.member.blockCount;
  }

  canSubmit(): boolean {
    return this.member.hasRoom && this.below.canSubmit();
  }

  submit(request: BlockRequest): void {
    const { blockBytes, blockCount, memory, mostBytes, association, below } = this;
    if (!isUsual(request, blockBytes, blockCount, memory, mostBytes)) checkRequest(request, this);
    if (association.isClosed || !this.member.isCurrent(association)) {
      request.status = association.isClosed ? BlockStatus.notExecuted : BlockStatus.accessDenied;
      request.detail = 0;
      this.refused.push(request);
      return;
    }
    if (!this.member.hasRoom) {
      throw new UltimaError(ErrorCode.queueFull, 'the member has no room; ask canSubmit first');
    }
    this.member.submit(request, below);
  }

  poll(): number {
    const refused = this.refused;
    if (refused.length > 0) {
      this.refused = [];
      for (const request of refused) request.done(request);
    }
    return refused.length + this.member.poll();
  }
}

function checkGeometry(geometry: MirrorGeometry, meta: BlockDevice): void {
  const { regionBlocks } = geometry;
  if (!(regionBlocks >= 1 && (regionBlocks & (regionBlocks - 1)) === 0)) {
    throw new RangeError(`regions of ${regionBlocks} blocks; a power of two from 1 on`);
  }
  const wanted = LocalMember.metaBytes(meta.blockBytes, geometry);
  const has = meta.blockBytes * meta.blockCount;
  if (has < wanted) throw new RangeError(`${has} bytes for metadata; ${wanted} are needed`);
  if (4096 % meta.blockBytes !== 0) {
    throw new RangeError(`metadata blocks of ${meta.blockBytes} bytes; at most 4096`);
  }
}

const noMap = 'the write-intent map cannot be written';
const noToken = '0'.repeat(32);

function neverEnds(): void {
  assert(false, 'a request ends that the member does not have');
}
