import type { BlockDevice } from '../block/device.js';
import type { ChangedBytes } from './verbs.js';

/**
 * One connection to a member of a mirror: in this process, over a simulated link, over NVMe/TCP.
 * Dead for good once it is lost; whoever wants the member again connects anew.
 */
export interface MemberAssociation {
  /**
   * The member's data. Its I/O is bound to this association: refused (`accessDenied`) before the
   * association has adopted an epoch and after another one has. What is lost on the way ends as
   * `unknown` or `notExecuted`.
   */
  readonly device: BlockDevice;
  /** The connection is gone, where that shows without a request. */
  readonly isLost?: boolean;
  /**
   * The same data, bound in the same way, with the share of work that nobody waits for: what is
   * copied and compared goes through here. `device` does it when left out.
   */
  readonly background?: BlockDevice;
  /**
   * A control verb, see `verbs.ts`.
   *
   * @throws UltimaError MEMBER_LOST when no answer comes: it may have been carried out
   */
  control(message: Uint8Array): Promise<Uint8Array>;
  /** Idempotent. What is in flight ends as `unknown`, at the next poll of the device. */
  close(): void;
}

/** How a writer reaches one member. */
export interface MemberPort {
  /** Identity of the member, 32 hexadecimal digits. */
  readonly id: string;
  /** Read first: it costs no way over the network. */
  readonly isLocal: boolean;
  /** @throws UltimaError MEMBER_LOST */
  connect(): Promise<MemberAssociation>;
}

/** What a member does with its whole data at one point: a volume of a pool can. */
export interface MemberVolume {
  /** Keep the data as it is now under a name. All writes have ended. Idempotent. */
  seal(name: string): Promise<void>;
  /** The data is what it was under that name. */
  restore(name: string): Promise<void>;
  remove(name: string): Promise<void>;
  /**
   * Data and metadata have so many bytes from now on, or more; what is new reads as zeroes.
   * Durable, idempotent. The size stays when it is left out.
   */
  grow?(to: { readonly dataBytes: number; readonly metaBytes: number }): Promise<void>;
  /** What it has sealed, to be copied to other members; nobody gets it when it is left out. */
  readonly copies?: MemberCopies;
}

export interface MemberCopies {
  /** Names of all that is sealed. */
  list(): readonly string[];
  /** What must be written over one to have another one, ascending from a byte on. */
  changes(from: string | null, to: string, startByte: number): AsyncIterable<ChangedBytes>;
  read(name: string, byteOffset: number, into: Uint8Array): Promise<void>;
}
