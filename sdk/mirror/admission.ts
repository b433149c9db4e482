import type { Clock, DmaSpace } from '../device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { KiB, msNs } from '../units.js';
import { memberTransferBytes } from './io-parts.js';
import { bytesOf, type MirrorGeometry, regionCountOf } from './member-header.js';
import { MemberPath } from './member-path.js';
import type { MemberAssociation, MemberPort } from './port.js';
import type { MirrorRecord } from './record.js';
import { type Adopted, type Done, decodeAnswer, encode, type Verb } from './verbs.js';

/** A member that has adopted our epoch. */
export interface Admitted {
  readonly path: MemberPath;
  readonly adopted: Adopted;
  /** Its own write-intent map. */
  readonly bits: Uint8Array;
}

export interface AdmissionNeeds {
  readonly record: MirrorRecord;
  readonly session: number;
  readonly memory: DmaSpace;
  /** Requests that the mirror may have in flight on one member. */
  readonly depth: number;
  /** A member that is smaller than the record is made larger first. */
  readonly grows?: boolean;
}

/** For a KiB of a member's map, over the slowest network that a mirror is for. */
const mapNsPerKiB = msNs;

/**
 * How long a member may take that tells of its map: an answer like all others, and the way of the
 * map itself, which has megabytes of digits when the volume has terabytes.
 */
export function mapAnswerNs(geometry: MirrorGeometry, answerNs: number): number {
  const digits = 2 * Math.ceil(regionCountOf(geometry) / 8);
  return answerNs + Math.floor(digits / KiB) * mapNsPerKiB;
}

/**
 * Connect to a member and make it adopt our epoch.
 *
 * @throws UltimaError MEMBER_REFUSED: the member is another one than the record names, or older;
 *   MIRROR_FENCED: it has adopted a newer epoch; MEMBER_LOST
 */
export async function admit(port: MemberPort, needs: AdmissionNeeds): Promise<Admitted> {
  const { record, session } = needs;
  const association = await port.connect();
  try {
    const { clusterId, volumeId, epoch, token } = record;
    const known = record.members.find(({ id }) => id === port.id);
    const { adopted } = await ask(association, {
      ...{ verb: 'adopt', clusterId, volumeId, memberId: port.id, epoch, token, session },
      knownEpoch: known?.epoch ?? 0,
      knownIncarnation: known?.incarnation ?? 0,
    });
    if (adopted === null) throw refused(port, 'garbage', 'it has adopted, and says no more');
    if (needs.grows === true && adopted.blockCount < record.blockCount) {
      await ask(association, { verb: 'grow', blockCount: record.blockCount });
      throw refused(port, grownReason, `it has grown from ${adopted.blockCount} blocks; ask again`);
    }
    checkMember(port, needs, association, adopted);
    return { path: new MemberPath(association), adopted, bits: bytesOf(adopted.bits) };
  } catch (error) {
    association.close();
    throw error;
  }
}

/** @throws UltimaError MEMBER_REFUSED, MIRROR_FENCED, MEMBER_LOST */
export async function ask(association: MemberAssociation, verb: Verb): Promise<Done> {
  const answer = decodeAnswer(await association.control(encode(verb)));
  if (answer.ok) return answer;
  const { reason, text, epoch } = answer;
  const code = reason === 'epoch' ? ErrorCode.mirrorFenced : ErrorCode.memberRefused;
  throw new UltimaError(code, `a member refuses to ${verb.verb}: ${text}`, { reason, epoch });
}

/** It has the size of the mirror now, which its connection does not show yet. */
export const grownReason = 'grown';

function checkMember(
  port: MemberPort,
  { record, memory, depth }: AdmissionNeeds,
  { device }: MemberAssociation,
  adopted: Adopted,
): void {
  const { blockBytes, blockCount, regionBlocks } = record;
  // One that is larger had grown when a writer died: it is served as far as the record goes.
  const isAlike = adopted.blockBytes === blockBytes && adopted.blockCount >= blockCount;
  if (!isAlike || adopted.regionBlocks !== regionBlocks) {
    const has = `${adopted.blockCount} blocks of ${adopted.blockBytes} bytes`;
    const needs = `${blockCount} of ${blockBytes}, regions of ${regionBlocks}`;
    throw refused(port, 'geometry', `it has ${has}; the mirror has ${needs}`);
  }
  const isFitting = device.blockBytes === blockBytes && device.blockCount >= adopted.blockCount;
  if (!isFitting || adopted.bits.length !== 2 * Math.ceil(regionCountOf(adopted) / 8)) {
    throw refused(port, 'geometry', 'its device or its map has another size than it says');
  }
  if (device.memory !== memory) throw refused(port, 'memory', 'it takes no data of this memory');
  const { maxInFlight, maxTransferBytes, canDiscard, canWriteZeroes } = device.limits;
  if (maxInFlight < depth) {
    throw refused(port, 'depth', `it takes ${maxInFlight} requests of ${depth}`);
  }
  if (maxTransferBytes < memberTransferBytes) {
    const text = `it takes ${maxTransferBytes} bytes at once, not ${memberTransferBytes}`;
    throw refused(port, 'transfer', text);
  }
  if (!canDiscard || !canWriteZeroes) {
    throw refused(port, 'operations', 'it cannot discard, or write zeroes; give it a thin volume');
  }
}

function refused(port: MemberPort, reason: string, text: string): UltimaError {
  const message = `member ${port.id} is not used: ${text}`;
  return new UltimaError(ErrorCode.memberRefused, message, { memberId: port.id, reason });
}

/**
 * Wait for promises, driving devices meanwhile, at most until a time.
 *
 * @returns whether all have been kept or broken
 */
export async function settle(
  promises: readonly Promise<unknown>[],
  { clock, untilNs, poll }: { clock: Clock; untilNs: number; poll: () => void },
): Promise<boolean> {
  let isOver = false;
  void Promise.allSettled(promises).then(() => {
    isOver = true;
  });
  for (;;) {
    poll();
    // The promise of all settles a few steps after the last one.
    for (let i = 0; i < 8 && !isOver; i++) await null;
    if (isOver || clock.nowNs() >= untilNs) return isOver;
    await clock.turn(Math.min(untilNs, clock.nowNs() + 1e6));
  }
}
