import type { ClusterStore } from '../cluster/store.js';
import type { Clock, DmaSpace } from '../device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { type Admitted, admit, mapAnswerNs, settle } from './admission.js';
import { gone, isUnknown } from './keeper.js';
import { hexOf } from './member-header.js';
import type { MemberPort } from './port.js';
import {
  decodeRecord,
  encodeRecord,
  type MirrorRecord,
  type RecordMember,
  recordKey,
} from './record.js';

export interface TakeOverOptions {
  readonly store: ClusterStore;
  readonly volumeId: string;
  /** Name of this node. */
  readonly writer: string;
  readonly ports: readonly MemberPort[];
  readonly memory: DmaSpace;
  readonly clock: Clock;
  readonly random: (bytes: Uint8Array) => void;
  /** Take over although another writer is listed: it is fenced first. */
  readonly isForced: boolean;
  /** Serve although members that may have more are missing: what was not flushed may be lost. */
  readonly acceptsLoss: boolean;
  readonly leaseNs: number;
  readonly answerNs: number;
  readonly depth: number;
}

export interface TakenOver {
  readonly record: MirrorRecord;
  readonly revision: number;
  /** By identity: members that have adopted the epoch, in sync or not. */
  readonly admitted: ReadonlyMap<string, Admitted>;
  /** When the record was confirmed last. */
  readonly confirmedNs: number;
  /** Every copy has restarted: what was not flushed may be lost. */
  readonly mayHaveLost: boolean;
}

interface Held {
  readonly record: MirrorRecord;
  readonly revision: number;
}

/**
 * Become the writer: claim the next epoch in the store, make every reachable member adopt it, be
 * sure that nobody else serves reads, and list as in sync who has everything.
 */
export async function takeOver(options: TakeOverOptions): Promise<TakenOver> {
  const before = await readRecord(options.store, options.volumeId);
  const { writer } = before.record;
  if (writer !== null && writer !== options.writer && !options.isForced) {
    throw new UltimaError(
      ErrorCode.mirrorBusy,
      `mirror ${options.volumeId} is written by ${writer}; detach it there, or take over by force`,
      { volumeId: options.volumeId, writer },
    );
  }
  const claimed = await claim(options, before);
  const claimedNs = options.clock.nowNs();
  const { admitted, refusals } = await adoptAll(options, claimed.record);
  try {
    await checkFence(options, claimed.record, refusals);
    for (const { adopted } of admitted.values()) {
      if (adopted.generation > before.record.generation) throw gone(before.record);
    }
    const listed = before.record.members.filter(({ isInSync }) => isInSync);
    if (writer !== null && listed.some(({ id }) => !admitted.has(id))) {
      // Whoever wrote before may still read from a member that we do not reach.
      await pass(options.clock, claimedNs + options.leaseNs * (1 + mostDrift));
    }
    const complete = whoHasAll(options, before.record, admitted);
    for (const member of complete) doubtUsed(member, admitted.get(member.id)!);
    const members = relist(before.record, admitted, complete);
    const generation = before.record.generation + 1;
    // Also what an earlier claimant found, who was never heard of again.
    const isNew =
      writer !== null && complete.some((each) => !hasHeldOn(each, admitted.get(each.id)!));
    const mayHaveLost = isNew || before.record.hasLoss;
    const record = { ...claimed.record, members, generation, hasLoss: mayHaveLost };
    const confirmedNs = options.clock.nowNs();
    const revision = await commit(options, record, claimed.revision);
    return { record, revision, admitted, confirmedNs, mayHaveLost };
  } catch (error) {
    for (const { path } of admitted.values()) path.close();
    throw error;
  }
}

/** The clocks of two nodes differ in speed by at most this part. */
const mostDrift = 0.05;

export async function readRecord(store: ClusterStore, volumeId: string): Promise<Held> {
  const entry = await store.read(recordKey(volumeId));
  if (entry === null) {
    throw new UltimaError(
      ErrorCode.notFound,
      `the cluster store knows no mirror ${volumeId}: made elsewhere, or the store was wiped`,
      { volumeId },
    );
  }
  return { record: decodeRecord(entry.value, volumeId), revision: entry.revision };
}

async function claim(options: TakeOverOptions, before: Held): Promise<Held> {
  const bytes = new Uint8Array(16);
  options.random(bytes);
  const { epoch } = before.record;
  const claimed = { epoch: epoch + 1, token: hexOf(bytes), writer: options.writer };
  const record = { ...before.record, ...claimed };
  return { record, revision: await commit(options, record, before.revision) };
}

/** @throws UltimaError MIRROR_FENCED when somebody else was quicker */
async function commit(
  { store }: TakeOverOptions,
  record: MirrorRecord,
  before: number,
): Promise<number> {
  const key = recordKey(record.volumeId);
  try {
    const change = { key, value: encodeRecord(record) };
    const { outcome, revision } = await store.commit([{ key, revision: before }], [change]);
    if (outcome === 'applied') return revision;
  } catch (error) {
    if (!isUnknown(error)) throw error;
  }
  // Applied without our knowing, or another one's. What is not applied yet may be so later: then
  // its condition has failed, or the epoch is claimed by nobody who acts on it.
  const found = await readRecord(store, record.volumeId);
  const isOurs = found.record.epoch === record.epoch && found.record.token === record.token;
  if (isOurs && found.revision !== before) return found.revision;
  throw new UltimaError(
    ErrorCode.mirrorFenced,
    `mirror ${record.volumeId}: the claim of epoch ${record.epoch} did not come through; ` +
      'look who writes now, and try again',
    { volumeId: record.volumeId, epoch: record.epoch },
  );
}

async function adoptAll(
  options: TakeOverOptions,
  record: MirrorRecord,
): Promise<{ admitted: Map<string, Admitted>; refusals: Map<string, Error> }> {
  const { clock, memory, depth, ports } = options;
  const admitted = new Map<string, Admitted>();
  const refusals = new Map<string, Error>();
  let isOver = false;
  const adoptions = ports
    .filter(({ id }) => record.members.some((member) => member.id === id))
    .map(async (port) => {
      try {
        const member = await admit(port, { record, session: 1, memory, depth });
        if (isOver) member.path.close();
        else admitted.set(port.id, member);
      } catch (error) {
        if (!(error instanceof UltimaError)) throw error;
        refusals.set(port.id, error);
      }
    });
  const poll = (): void => {
    for (const { path } of admitted.values()) path.poll();
  };
  const untilNs = clock.nowNs() + mapAnswerNs(record, options.answerNs);
  await settle(adoptions, { clock, untilNs, poll });
  isOver = true;
  return { admitted, refusals };
}

/** A member that knows more than the store: another writer, or a store that was set back. */
async function checkFence(
  { store }: TakeOverOptions,
  record: MirrorRecord,
  refusals: ReadonlyMap<string, Error>,
): Promise<void> {
  for (const error of refusals.values()) {
    if (!(error instanceof UltimaError) || error.code !== ErrorCode.mirrorFenced) continue;
    const now = await readRecord(store, record.volumeId);
    if (now.record.epoch > record.epoch) throw error;
    throw gone({ ...record, epoch: Number(error.facts.epoch ?? record.epoch) });
  }
}

async function pass(clock: Clock, untilNs: number): Promise<void> {
  while (clock.nowNs() < untilNs) await clock.turn(untilNs);
}

/**
 * Of a mirror that nobody has written yet, the maps say how the members were made. That holds for
 * those only that no mirror had before.
 */
function doubtUsed({ incarnation }: RecordMember, { adopted, bits }: Admitted): void {
  if (incarnation === 0 && adopted.epoch > 0) bits.fill(0xff);
}

/** Whether a member has been up since it was listed, or forgets nothing when it goes down. */
export function hasHeldOn(listed: RecordMember, { adopted }: Admitted): boolean {
  return !adopted.isVolatile || adopted.incarnation === listed.incarnation;
}

/** The members to go on with: each has every acknowledged write. */
function whoHasAll(
  options: TakeOverOptions,
  record: MirrorRecord,
  admitted: ReadonlyMap<string, Admitted>,
): readonly RecordMember[] {
  const listed = record.members.filter(({ isInSync }) => isInSync);
  const here = listed.filter(({ id }) => admitted.has(id));
  // After an orderly detach nothing stands in a cache.
  const isOrderly = record.writer === null;
  const held = here.filter((each) => isOrderly || hasHeldOn(each, admitted.get(each.id)!));
  if (held.length > 0) return held;
  const isWhole = here.length === listed.length;
  if (here.length > 0 && (isWhole || options.acceptsLoss)) return here;
  const missing = listed.filter(({ id }) => !admitted.has(id)).map(({ id }) => id);
  const text =
    here.length === 0
      ? 'no member that is in sync is in reach'
      : 'the members in reach have restarted, and others may have what those forgot';
  throw new UltimaError(
    ErrorCode.mirrorLost,
    `mirror ${options.volumeId}: ${text}; bring back ${missing.join(', ')}`,
    { volumeId: options.volumeId, missing: missing.join(',') },
  );
}

function relist(
  before: MirrorRecord,
  admitted: ReadonlyMap<string, Admitted>,
  complete: readonly RecordMember[],
): RecordMember[] {
  return before.members.map((member) => {
    const now = admitted.get(member.id);
    const isInSync = complete.includes(member);
    if (now === undefined) return { ...member, isInSync };
    const incarnation = isInSync ? now.adopted.incarnation : member.incarnation;
    return { ...member, isInSync, incarnation, epoch: before.epoch + 1 };
  });
}
