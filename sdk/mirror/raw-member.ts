import type { BlockDevice } from '../block/device.js';
import type { SharedBlockDevice } from '../block/reservations.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { MiB, msNs } from '../units.js';
import { type Adoption, comesAfter, isOutdated, type Objection, strangeness } from './claims.js';
import { Fence, unfit } from './fence.js';
import { LocalMember, type MemberDevices } from './local-member.js';
import {
  checkIdentity,
  headerBytes,
  type MemberHeader,
  type MemberIdentity,
  type MirrorGeometry,
  readHeader,
} from './member-header.js';
import type { MemberAssociation, MemberPort } from './port.js';
import { RawArea } from './raw-area.js';
import { decodeVerb, encode } from './verbs.js';

export interface RawMemberOptions {
  /** Identity of the member. */
  readonly id: string;
  /** Nobody else in this process uses it. */
  readonly namespace: SharedBlockDevice;
  /** Read first; false when left out. */
  readonly isLocal?: boolean;
}

/**
 * A member that is a namespace itself: no node keeps it, each writer reaches it with its own
 * controller, and the device keeps away who is not the writer any more (`Fence`).
 *
 *   first blocks   header and write-intent map, as those of any member
 *   from a MiB on  the data (`dataStart` of the header)
 *
 * What always holds: nothing is written, not even the header, before the namespace is fenced; what
 * has completed is durable. What may fail: another writer takes over. Then the device refuses this
 * one's reads and writes (`accessDenied`), and the mirror asks the store who writes.
 */
export class RawMember implements MemberPort {
  readonly id: string;
  readonly isLocal: boolean;
  private readonly namespace: SharedBlockDevice;
  private readonly fence: Fence;
  /** As long as this process holds the fence. */
  private local: LocalMember | null = null;
  private turn: Promise<unknown> = Promise.resolve();
  private claimed: Adoption | null = null;

  /**
   * Make a namespace a new member, which agrees with no other one yet.
   *
   * @param regionBlocks  blocks for one bit of the write-intent map; a power of two
   * @returns what `createMirror` needs to know of it
   * @throws UltimaError MEMBER_REFUSED for a namespace that cannot be fenced, or is reserved; what
   *   the device says; RangeError for one that is too small
   */
  static async format(
    namespace: SharedBlockDevice,
    identity: MemberIdentity,
    regionBlocks: number,
  ): Promise<MirrorGeometry> {
    const why = unfit(namespace.reservations);
    if (why !== null) throw refused(identity.memberId, 'reservations', why);
    const { registered } = await namespace.reservations.report();
    if (registered.length > 0) {
      const text = `${registered.length} hosts are registered with it: detach it there first`;
      throw refused(identity.memberId, 'reserved', text);
    }
    const { blockBytes, blockCount } = namespace;
    const most = LocalMember.metaBytes(blockBytes, { blockBytes, blockCount, regionBlocks });
    const dataStart = (Math.ceil(most / MiB) * MiB) / blockBytes;
    if (dataStart >= blockCount) {
      const bytes = blockBytes * blockCount;
      throw new RangeError(`a namespace of ${bytes} bytes; its metadata alone takes ${most}`);
    }
    const geometry = { blockBytes, blockCount: blockCount - dataStart, regionBlocks };
    const devices = devicesOf(namespace, { dataStart, ...geometry });
    await LocalMember.format(devices, identity, regionBlocks, { dataStart });
    return geometry;
  }

  constructor({ id, namespace, isLocal = false }: RawMemberOptions) {
    this.id = checkIdentity(id);
    this.namespace = namespace;
    this.isLocal = isLocal;
    this.fence = new Fence(namespace.reservations);
  }

  connect(): Promise<MemberAssociation> {
    const why = unfit(this.namespace.reservations);
    if (why !== null) return Promise.reject(refused(this.id, 'reservations', why));
    return Promise.resolve(new RawAssociation(this));
  }

  /** Give the namespace back: no host is registered by this process any more. Detach first. */
  async leave(): Promise<void> {
    await this.turn;
    if (this.claimed === null) return;
    await this.closeLocal();
    await this.fence.leave(this.claimed);
    this.claimed = null;
  }

  /** @internal Adoptions are carried out one after the other. */
  adopt(message: Uint8Array, claim: Adoption): Promise<Adopting> {
    const adopting = this.turn.then(() => this.tryAdopt(message, claim));
    this.turn = adopting;
    return adopting;
  }

  private async tryAdopt(message: Uint8Array, claim: Adoption): Promise<Adopting> {
    try {
      const objection = await this.enclose(claim);
      if (objection !== null) return refusal(objection, claim);
      const { namespace } = this;
      const header = await readHeader(metaOf(namespace));
      this.local = await LocalMember.open(devicesOf(namespace, header));
      const below = this.local.associate();
      return { below, answer: await below.control(message) };
    } catch (error) {
      if (!(error instanceof UltimaError)) throw error;
      return refusal({ reason: 'failed', text: error.message }, claim);
    }
  }

  /** Become the only host that reads and writes. Whose the namespace is, is seen before. */
  private async enclose(claim: Adoption): Promise<Objection | null> {
    // What an earlier association began must not happen after the answer.
    await this.closeLocal();
    const { fence, namespace } = this;
    const entered = await fence.enter(claim);
    if (entered !== null) return entered;
    this.claimed = claim;
    const header = await readHeader(metaOf(namespace)).catch(async (error: unknown) => {
      await fence.leave(claim);
      throw error;
    });
    const objection = objectionTo(header, claim, namespace) ?? (await fence.take(claim));
    if (objection !== null) await fence.leave(claim);
    return objection;
  }

  private async closeLocal(): Promise<void> {
    const { local } = this;
    if (local === null) return;
    this.local = null;
    const { clock } = this.namespace;
    while (!local.isIdle) {
      if (local.poll() === 0) await clock.turn(clock.nowNs() + msNs);
    }
    local.close();
  }
}

/** How an adoption ended. */
interface Adopting {
  /** Null when it was refused. */
  readonly below: MemberAssociation | null;
  readonly answer: Uint8Array;
}

/** A connection to a namespace, whose data can be reached once an epoch was adopted. */
class RawAssociation implements MemberAssociation {
  private readonly member: RawMember;
  private below: MemberAssociation | null = null;
  private isClosed = false;

  constructor(member: RawMember) {
    this.member = member;
  }

  get device(): BlockDevice {
    const { below, member } = this;
    if (below !== null) return below.device;
    throw refused(member.id, 'epoch', 'it has adopted no epoch over this association');
  }

  async control(message: Uint8Array): Promise<Uint8Array> {
    if (this.isClosed) throw new UltimaError(ErrorCode.memberLost, 'the association is closed');
    if (this.below !== null) return this.below.control(message);
    const verb = decodeVerb(message);
    if (verb?.verb !== 'adopt') {
      return encode({ ok: false, reason: 'epoch', text: 'no epoch was adopted', epoch: 0 });
    }
    const { below, answer } = await this.member.adopt(message, verb);
    this.below = below;
    if (this.isClosed) below?.close();
    return answer;
  }

  close(): void {
    this.isClosed = true;
    this.below?.close();
  }
}

/** Requests for header and map; beside them a member may have as many for data as the rest. */
const metaDepth = 8;

function metaOf(namespace: SharedBlockDevice): RawArea {
  const blockCount = (2 * headerBytes) / namespace.blockBytes;
  return new RawArea(namespace, { firstBlock: 0, blockCount, maxInFlight: metaDepth });
}

function devicesOf(
  namespace: SharedBlockDevice,
  { dataStart, blockCount }: Pick<MemberHeader, 'dataStart' | 'blockCount'>,
): MemberDevices {
  const meta = { firstBlock: 0, blockCount: dataStart, maxInFlight: metaDepth };
  const depth = namespace.limits.maxInFlight;
  const data = { firstBlock: dataStart, blockCount, maxInFlight: depth };
  return { meta: new RawArea(namespace, meta), data: new RawArea(namespace, data) };
}

function objectionTo(
  header: MemberHeader,
  claim: Adoption,
  { blockBytes, blockCount }: SharedBlockDevice,
): Objection | null {
  const stranger = strangeness(header, claim);
  if (stranger !== null) return stranger;
  if (isOutdated(header, claim)) return comesAfter(claim.epoch, header.epoch);
  const { dataStart } = header;
  const fits = header.blockBytes === blockBytes && dataStart + header.blockCount <= blockCount;
  if (fits && dataStart > 0) return null;
  const has = `${header.blockCount} blocks of ${header.blockBytes} bytes from ${dataStart} on`;
  const text = `its header names ${has}; the namespace has ${blockCount} of ${blockBytes}`;
  return { reason: 'foreign', text };
}

function refusal({ reason, text }: Objection, { epoch }: Adoption): Adopting {
  return { below: null, answer: encode({ ok: false, reason, text, epoch }) };
}

function refused(memberId: string, reason: string, text: string): UltimaError {
  const message = `namespace of member ${memberId} is not used: ${text}`;
  return new UltimaError(ErrorCode.memberRefused, message, { memberId, reason });
}
