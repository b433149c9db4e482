import type { BlockDevice, BlockLimits } from '../block/device.js';
import { type BlockRequest, BlockStatus } from '../block/request.js';
import type { Clock, DmaSpace } from '../device.js';
import type { Association } from '../fabric/association.js';
import type { SubsystemOptions, VendorAnswer, VendorCommand } from '../fabric/subsystem.js';
import type { LocalMember } from '../mirror/local-member.js';
import type { MemberAssociation } from '../mirror/port.js';
import { decodeAnswer, decodeVerb } from '../mirror/verbs.js';
import { ExchangeServer } from './exchange.js';

/** Names the subsystem that serves one member. */
export function memberNqn(memberId: string): string {
  return `nqn.2026-11.io.ultima:member:${memberId}`;
}

interface Peer {
  readonly local: MemberAssociation;
  readonly exchange: ExchangeServer;
}

/** The data, and the same data with the share of work that nobody waits for. */
export const memberNamespaces = { users: 1, background: 2 } as const;

/**
 * A member as a subsystem of an NVMe/TCP target, with the data as namespace 1, and as namespace 2
 * for what is copied and compared.
 *
 * What always holds: a command for the data is carried out only for the association that adopted
 * last. Before it has, its commands are refused; and when another one adopts, its connections are
 * ended, and nothing that it sent is inside a device any more, before the other one hears that it
 * may begin.
 */
export class MemberService {
  readonly memberId: string;
  private readonly front: MemberFront;
  private readonly background: MemberFront;
  private readonly peers = new Map<Association, Peer>();
  private readonly member: LocalMember;

  constructor(member: LocalMember, memberId: string) {
    this.member = member;
    this.memberId = memberId;
    this.front = new MemberFront(member, ({ device }) => device);
    this.background = new MemberFront(member, ({ device, background }) => background ?? device);
  }

  get subsystem(): SubsystemOptions {
    const nguid = new Uint8Array(Buffer.from(this.memberId, 'hex'));
    // Two namespaces of a subsystem have two identities.
    const other = nguid.map((byte, i) => (i === 0 ? byte ^ 0xff : byte));
    const { users, background } = memberNamespaces;
    return {
      nqn: memberNqn(this.memberId),
      namespaces: [
        { nsid: users, device: this.front, nguid },
        { nsid: background, device: this.background, nguid: other },
      ],
      isClosedAtFirst: true,
      onVendorCommand: (command) => this.take(command),
    };
  }

  private take(command: VendorCommand): Promise<VendorAnswer> {
    const { association } = command;
    for (const known of this.peers.keys()) if (known.isEnded) this.forget(known);
    const peer = this.peers.get(association) ?? this.welcome(association);
    return peer.exchange.take(command);
  }

  private welcome(association: Association): Peer {
    const local = this.member.associate();
    const exchange = new ExchangeServer((message) => this.control(association, local, message));
    const peer = { local, exchange };
    this.peers.set(association, peer);
    return peer;
  }

  private forget(association: Association): void {
    this.peers.get(association)?.local.close();
    this.peers.delete(association);
  }

  private async control(
    association: Association,
    local: MemberAssociation,
    message: Uint8Array,
  ): Promise<Uint8Array> {
    const answer = await local.control(message);
    const verb = decodeVerb(message)?.verb;
    // The writer waits to be told of the new size; a busy target would look for it much later.
    if (verb === 'grow') association.subsystem.lookForGrowth();
    if (verb !== 'adopt' || !decodeAnswer(answer).ok) return answer;
    const others = [...this.peers.keys()].filter((each) => each !== association);
    for (const other of others) other.end('another writer has adopted the member');
    // Until they are drained the front is still theirs, which the member refuses.
    await Promise.all(others.map((other) => other.drained()));
    for (const other of others) this.forget(other);
    if (association.isEnded) return answer;
    this.front.use(local);
    this.background.use(local);
    void association.refuse(0);
    return answer;
  }
}

/** The data of a member for the one association that may use it. */
class MemberFront implements BlockDevice {
  readonly blockBytes: number;
  readonly limits: BlockLimits;
  readonly clock: Clock;
  readonly memory: DmaSpace;
  private readonly member: LocalMember;
  private readonly deviceOf: (association: MemberAssociation) => BlockDevice;
  private device: BlockDevice | null = null;
  private refused: BlockRequest[] = [];

  constructor(member: LocalMember, deviceOf: (association: MemberAssociation) => BlockDevice) {
    const { data, limits } = member;
    this.member = member;
    this.deviceOf = deviceOf;
    this.blockBytes = data.blockBytes;
    this.limits = limits;
    this.clock = data.clock;
    this.memory = data.memory;
  }

  /** This association may use it from now on. */
  use(association: MemberAssociation): void {
    this.device = this.deviceOf(association);
  }

  get blockCount(): number {
    return this.member.blockCount;
  }

  canSubmit(): boolean {
    return this.device === null || this.device.canSubmit();
  }

  submit(request: BlockRequest): void {
    if (this.device !== null) {
      this.device.submit(request);
      return;
    }
    request.status = BlockStatus.accessDenied;
    request.detail = 0;
    this.refused.push(request);
  }

  poll(): number {
    const { refused } = this;
    if (refused.length > 0) {
      this.refused = [];
      for (const request of refused) request.done(request);
    }
    return refused.length + (this.device ?? this.member).poll();
  }
}
