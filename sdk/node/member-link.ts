import type { BlockDevice } from '../block/device.js';
import type { Clock, DmaSpace } from '../device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { NvmeTcp, type NvmeTcpOptions } from '../fabric/initiator.js';
import type { MemberAssociation, MemberPort } from '../mirror/port.js';
import { exchange } from './exchange.js';
import { memberNamespaces, memberNqn } from './member-service.js';

export interface MemberLinkOptions {
  readonly memberId: string;
  /** Where the node is now, 'HOST:PORT'; null while it does not say. Asked at each connection. */
  readonly addressOf: () => Promise<string | null>;
  /** Where the mirror's buffers come from. */
  readonly memory: DmaSpace;
  readonly clock: Clock;
  /** Requests that the mirror may have in flight here. */
  readonly depth: number;
  readonly tls?: NvmeTcpOptions['tls'];
  /** How long a connection may take: 2 s when left out. */
  readonly connectMs?: number;
}

/** How a writer reaches a member on another node: over NVMe/TCP, without a second try. */
export class MemberLink implements MemberPort {
  readonly id: string;
  readonly isLocal = false;
  private readonly options: MemberLinkOptions;

  constructor(options: MemberLinkOptions) {
    this.id = options.memberId;
    this.options = options;
  }

  /** @throws UltimaError MEMBER_LOST */
  async connect(): Promise<MemberAssociation> {
    const { memberId, addressOf, clock, depth, tls, connectMs = 2_000, memory } = this.options;
    const address = await addressOf();
    if (address === null) throw lost(memberId, 'its node is away');
    try {
      const connected = await NvmeTcp.connect({
        ...{ address, nqn: memberNqn(memberId), clock, memory, connectMs, reconnectMs: 0 },
        ...{ entries: Math.min(1024, depth + 2), keepAliveMs: 5_000 },
        ...(tls === undefined ? {} : { tls }),
      });
      return new LinkAssociation(memberId, connected);
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      throw lost(memberId, text.startsWith(address) ? text : `${address}: ${text}`, error);
    }
  }
}

class LinkAssociation implements MemberAssociation {
  readonly device: BlockDevice;
  readonly background: BlockDevice;
  private readonly memberId: string;
  private readonly initiator: NvmeTcp;
  /** Exchanges do not overlap. */
  private last: Promise<unknown> = Promise.resolve();

  constructor(memberId: string, initiator: NvmeTcp) {
    this.memberId = memberId;
    this.initiator = initiator;
    const { users, background } = memberNamespaces;
    this.device = initiator.namespace(users);
    // A node of an older version has none.
    this.background = initiator.namespaces.get(background) ?? this.device;
  }

  get isLost(): boolean {
    return !this.initiator.isConnected;
  }

  control(message: Uint8Array): Promise<Uint8Array> {
    const result = this.last.then(() => this.ask(message));
    this.last = result.catch(() => {});
    return result;
  }

  private async ask(message: Uint8Array): Promise<Uint8Array> {
    let answer: Uint8Array | null;
    try {
      answer = await exchange((command) => this.initiator.vendorCommand(command), message);
    } catch (error) {
      throw lost(this.memberId, 'the connection was lost', error);
    }
    if (answer === null) throw lost(this.memberId, 'it does not understand control messages');
    return answer;
  }

  close(): void {
    void this.initiator.close();
  }
}

function lost(memberId: string, why: string, cause?: unknown): UltimaError {
  const message = `member ${memberId} cannot be reached: ${why}`;
  return new UltimaError(ErrorCode.memberLost, message, { memberId }, cause);
}
