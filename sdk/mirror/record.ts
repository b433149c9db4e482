import { ErrorCode, UltimaError } from '../errors.js';
import type { MirrorGeometry } from './member-header.js';
import { isCount, isObject, isText } from './verbs.js';

/** What the cluster store says of a mirror: the one truth about who writes and who is in sync. */
export interface MirrorRecord extends MirrorGeometry {
  readonly clusterId: string;
  readonly volumeId: string;
  /** Rises with every writer. */
  readonly epoch: number;
  /** Names the writer's claim: a store that was set back could give an epoch twice. */
  readonly token: string;
  /** Rises with every change of the members. */
  readonly generation: number;
  /** Node that writes; null after an orderly detach. */
  readonly writer: string | null;
  /** 1 to 3. */
  readonly members: readonly RecordMember[];
  /** In the order in which they were taken. */
  readonly snapshots: readonly RecordSnapshot[];
  /** What was not flushed may be lost, and no writer has been told yet. */
  readonly hasLoss: boolean;
}

export interface RecordSnapshot {
  readonly name: string;
  /** Under which members have it: never given twice. */
  readonly id: string;
}

export function isSameList(a: readonly RecordSnapshot[], b: readonly RecordSnapshot[]): boolean {
  return a === b || (a.length === b.length && a.every(({ id }, i) => id === b[i]!.id));
}

export interface RecordMember {
  readonly id: string;
  readonly isInSync: boolean;
  /** The member's when it was listed as in sync: another one means that it has restarted. */
  readonly incarnation: number;
  /** The newest epoch that it is known to have adopted. */
  readonly epoch: number;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });

export function recordKey(volumeId: string): string {
  return `mirror/${volumeId}`;
}

export function encodeRecord(record: MirrorRecord): Uint8Array {
  return encoder.encode(JSON.stringify({ format: 1, ...record }));
}

/** @throws UltimaError MIRROR_INVALID for bytes that are no record of this volume */
export function decodeRecord(bytes: Uint8Array, volumeId: string): MirrorRecord {
  const record = parse(bytes);
  if (record !== null && record.volumeId === volumeId) return record;
  throw new UltimaError(
    ErrorCode.mirrorInvalid,
    `the cluster store's record of mirror ${volumeId} cannot be understood: ` +
      'somebody else wrote it, or a newer version; nothing is changed',
    { volumeId },
  );
}

function parse(bytes: Uint8Array): MirrorRecord | null {
  let said: unknown;
  try {
    said = JSON.parse(decoder.decode(bytes));
  } catch {
    // No UTF-8, or no JSON.
    return null;
  }
  if (!isObject(said) || said.format !== 1) return null;
  const { clusterId, volumeId, token, writer, epoch, generation } = said;
  const { blockBytes, blockCount, regionBlocks } = said;
  if (!isText(clusterId) || !isText(volumeId) || !isText(token)) return null;
  if (writer !== null && !isText(writer)) return null;
  if (!isCount(epoch) || !isCount(generation) || !isCount(blockBytes)) return null;
  if (!isCount(blockCount) || !isCount(regionBlocks)) return null;
  const members = membersOf(said.members);
  const snapshots = snapshotsOf(said.snapshots);
  if (typeof said.hasLoss !== 'boolean') return null;
  if (members === null || snapshots === null) return null;
  const geometry = { blockBytes, blockCount, regionBlocks };
  const who = { clusterId, volumeId, epoch, token, generation, writer };
  return { ...geometry, ...who, members, snapshots, hasLoss: said.hasLoss };
}

function snapshotsOf(said: unknown): RecordSnapshot[] | null {
  if (!Array.isArray(said)) return null;
  const snapshots: RecordSnapshot[] = [];
  for (const each of said) {
    // Of a time when members had it under its name.
    const { name, id } = isObject(each) ? each : { name: each, id: each };
    if (!isText(name) || !isText(id)) return null;
    if (snapshots.some((other) => other.name === name || other.id === id)) return null;
    snapshots.push({ name, id });
  }
  return snapshots;
}

function membersOf(said: unknown): RecordMember[] | null {
  if (!Array.isArray(said) || said.length < 1 || said.length > 3) return null;
  const members: RecordMember[] = [];
  for (const each of said) {
    if (!isObject(each)) return null;
    const { id, isInSync, incarnation, epoch } = each;
    if (!isText(id) || typeof isInSync !== 'boolean') return null;
    if (!isCount(incarnation) || !isCount(epoch)) return null;
    if (members.some((other) => other.id === id)) return null;
    members.push({ id, isInSync, incarnation, epoch });
  }
  return members.some((member) => member.isInSync) ? members : null;
}
