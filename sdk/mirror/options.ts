import type { ClusterStore } from '../cluster/store.js';
import type { Clock, DmaSpace } from '../device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { MiB, msNs, secondNs } from '../units.js';
import { mostMembers } from './io-parts.js';
import { checkIdentity, type MirrorGeometry } from './member-header.js';
import type { MemberPort } from './port.js';
import { encodeRecord, type MirrorRecord, recordKey } from './record.js';

export interface MirrorSpec extends MirrorGeometry {
  readonly clusterId: string;
  readonly volumeId: string;
  /** Identities of 1 to 3 members, each formatted with the same geometry. */
  readonly memberIds: readonly string[];
}

export interface MirrorOptions {
  readonly store: ClusterStore;
  readonly volumeId: string;
  /** Name of this node. */
  readonly writer: string;
  readonly ports: readonly MemberPort[];
  /** Where data buffers come from; every member's device must take them. */
  readonly memory: DmaSpace;
  readonly clock: Clock;
  readonly random: (bytes: Uint8Array) => void;
  /** Take over although another writer is listed; false when left out. */
  readonly isForced?: boolean;
  /** Serve although members that may have more are missing; false when left out. */
  readonly acceptsLoss?: boolean;
  /** Requests in flight or waiting; 128 when left out. */
  readonly requestCount?: number;
  /** For how long a confirmed writer serves reads: 6 s when left out, equal on all nodes. */
  readonly leaseNs?: number;
  /**
   * A member that does not answer for so long has failed; 2 s when left out. One that tells of its
   * write-intent map has more: a millisecond for each KiB of it, as hexadecimal digits.
   */
  readonly answerNs?: number;
  /** Pause before the store or a member is tried again; 500 ms when left out. */
  readonly retryNs?: number;
  /** Between two looks for regions that are no longer written; 5 s when left out. */
  readonly cleanNs?: number;
  /** 200 MiB/s when left out. */
  readonly resyncBytesPerSecond?: number;
  /** Without the store for so long, the mirror stops; for ever, it waits, when left out. */
  readonly storeLimitNs?: number;
}

/** Requests of the mirror's own that one member may have to take. */
export const ownDepth = 24;

export const mirrorDefaults = {
  isForced: false,
  acceptsLoss: false,
  requestCount: 128,
  leaseNs: 6 * secondNs,
  answerNs: 2 * secondNs,
  retryNs: 500 * msNs,
  cleanNs: 5 * secondNs,
  resyncBytesPerSecond: 200 * MiB,
  storeLimitNs: Number.POSITIVE_INFINITY,
} as const;

/**
 * Make the record of a new mirror. When it is attached first, its members are compared where one of
 * them is not known to be blank.
 */
export async function createMirror(
  store: Pick<ClusterStore, 'commit'>,
  spec: MirrorSpec,
): Promise<void> {
  const { clusterId, volumeId, memberIds, blockBytes, blockCount, regionBlocks } = spec;
  for (const id of [clusterId, volumeId, ...memberIds]) checkIdentity(id);
  if (memberIds.length < 1 || memberIds.length > mostMembers) {
    throw new RangeError(`${memberIds.length} members; 1 to ${mostMembers}`);
  }
  const members = memberIds.map((id) => ({ id, isInSync: true, incarnation: 0, epoch: 0 }));
  const record: MirrorRecord = {
    ...{ clusterId, volumeId, blockBytes, blockCount, regionBlocks, members },
    ...{ epoch: 0, token: '', generation: 0, writer: null, snapshots: [], hasLoss: false },
  };
  const key = recordKey(volumeId);
  const change = { key, value: encodeRecord(record) };
  const { outcome } = await store.commit([{ key, revision: 0 }], [change]);
  if (outcome === 'applied') return;
  const text = `mirror ${volumeId} is there already; choose another identity`;
  throw new UltimaError(ErrorCode.nameTaken, text, { volumeId });
}
