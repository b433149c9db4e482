import type { UltimaError } from '../errors.js';
import type { Admitted } from './admission.js';
import { mostMembers } from './io-parts.js';
import type { MirrorIo } from './mirror-io.js';
import type { MemberPort } from './port.js';
import type { MirrorRecord, RecordMember } from './record.js';

/**
 * Where a member stands for the writer.
 *
 *   out ──► returning ──► joining ──► in sync ──► failing ──► out
 *
 * `joining` and `failing` end when the cluster store has said so.
 */
export type MemberState = 'in sync' | 'failing' | 'out' | 'returning' | 'joining';

export interface MemberRow {
  readonly id: string;
  readonly port: MemberPort | null;
  state: MemberState;
  /** What the record says, or shall say. */
  incarnation: number;
  epoch: number;
  /** Why it is not in sync, in words. */
  why: string;
  sinceNs: number;
  /** Adopted at the take-over and not used yet. */
  admitted: Admitted | null;
  isRemoved?: boolean;
}

/** In the words of the product whose users ask for them. */
export interface MemberStatus {
  readonly id: string;
  readonly state: 'Up' | 'Down';
  readonly condition: 'InUse' | 'OutOfSync' | 'Resync';
  readonly why: string;
  /** When it ceased to be in sync, by the writer's clock; 0 when it is. */
  readonly outOfSyncSinceNs: number;
  /** What it still lacks since it came back; 0 when it has not. */
  readonly missingRegions: number;
}

export interface MirrorStatus {
  readonly state: 'serving' | 'degraded' | 'stopped';
  readonly epoch: number;
  readonly generation: number;
  readonly members: readonly MemberStatus[];
  /**
   * What a restore can go back to. A member that returns or joins gets those that it lacks. One
   * that can keep none is out after a restore, and brought up to date again.
   */
  readonly snapshots: readonly string[];
  /** Regions that may differ, or be volatile, somewhere. */
  readonly markedRegions: number;
  readonly unreconciledRegions: number;
  /**
   * Blocks that no member in sync can read, for which one that returns waits: each goes on when it
   * is written. The first few that were found.
   */
  readonly unreadableBlocks: readonly number[];
  readonly reason: UltimaError | null;
}

export function rowsOf(
  record: MirrorRecord,
  ports: readonly MemberPort[],
  admitted: ReadonlyMap<string, Admitted>,
): (MemberRow | null)[] {
  const rows: (MemberRow | null)[] = record.members.map((member) => ({
    id: member.id,
    port: ports.find(({ id }) => id === member.id) ?? null,
    state: member.isInSync ? 'in sync' : 'out',
    incarnation: member.incarnation,
    epoch: member.epoch,
    why: member.isInSync ? '' : 'not in sync when the mirror was attached',
    sinceNs: 0,
    admitted: admitted.get(member.id) ?? null,
  }));
  while (rows.length < mostMembers) rows.push(null);
  return rows;
}

/** The members as the record should list them; the same array when it does. */
export function wantedMembers(
  rows: readonly (MemberRow | null)[],
  record: MirrorRecord,
): readonly RecordMember[] {
  const wanted: RecordMember[] = [];
  for (const row of rows) {
    if (row === null || row.isRemoved === true) continue;
    const isInSync = row.state === 'in sync' || row.state === 'joining';
    wanted.push({ id: row.id, isInSync, incarnation: row.incarnation, epoch: row.epoch });
  }
  // The last one that is in sync is never taken out.
  if (!wanted.some(({ isInSync }) => isInSync)) return record.members;
  const isSame = wanted.length === record.members.length && wanted.every(isListed);
  return isSame ? record.members : wanted;

  function isListed(member: RecordMember): boolean {
    const listed = record.members.find(({ id }) => id === member.id);
    // Identity, incarnation and epoch go with being in sync.
    return listed !== undefined && listed.isInSync === member.isInSync;
  }
}

interface StatusParts {
  readonly io: MirrorIo;
  readonly unreadable: ReadonlySet<number>;
  readonly reason: UltimaError | null;
}

function waitingFor(blocks: readonly number[]): string {
  const which = `block${blocks.length === 1 ? '' : 's'} ${blocks.join(', ')}`;
  return blocks.length === 0 ? '' : `no member in sync can read ${which}; write there to go on`;
}

export function statusOf(
  record: MirrorRecord,
  rows: readonly (MemberRow | null)[],
  { io, unreadable, reason }: StatusParts,
): MirrorStatus {
  const unreadableBlocks = [...unreadable].sort((a, b) => a - b);
  const members: MemberStatus[] = [];
  for (const row of rows) {
    if (row === null) continue;
    const isUp = row.state === 'in sync' && !io.isStopped;
    const isBack = row.state === 'returning' || row.state === 'joining';
    members.push({
      id: row.id,
      state: isUp || isBack ? 'Up' : 'Down',
      condition: isUp ? 'InUse' : isBack ? 'Resync' : 'OutOfSync',
      why: row.state === 'returning' ? waitingFor(unreadableBlocks) : row.why,
      outOfSyncSinceNs: isUp ? 0 : row.sinceNs,
      missingRegions: isBack ? io.regions.missingCount : 0,
    });
  }
  const isWhole = members.every(({ condition }) => condition === 'InUse');
  return {
    state: io.isStopped ? 'stopped' : isWhole ? 'serving' : 'degraded',
    epoch: record.epoch,
    generation: record.generation,
    members,
    snapshots: record.snapshots.map(({ name }) => name),
    markedRegions: io.regions.touchedCount,
    unreconciledRegions: io.regions.unreconciledCount,
    unreadableBlocks,
    reason,
  };
}
