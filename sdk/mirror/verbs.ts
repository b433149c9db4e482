import { ErrorCode, UltimaError } from '../errors.js';

/**
 * Control verbs between a writer and a member: a message and an answer, both JSON in UTF-8. Neither
 * side trusts the other's bytes: what is not as declared here is refused.
 */
export type Verb =
  /** Refuse all lower epochs, and every other association, from now on; end what they began. */
  | {
      readonly verb: 'adopt';
      readonly clusterId: string;
      readonly volumeId: string;
      readonly memberId: string;
      readonly epoch: number;
      /** Names the claim behind the epoch. */
      readonly token: string;
      /** Orders the associations of one writer. */
      readonly session: number;
      /** What the member is known to have been: one that is less was set back. */
      readonly knownEpoch: number;
      readonly knownIncarnation: number;
    }
  /** Bits of regions in which all members are equal and durable. */
  | { readonly verb: 'clear'; readonly regions: readonly number[] }
  | { readonly verb: 'mark all' }
  /** Have so many blocks, or more; the answer tells what the member is now, as for 'adopt'. */
  | { readonly verb: 'grow'; readonly blockCount: number }
  /** The generation of the membership, to be remembered. */
  | { readonly verb: 'note'; readonly generation: number }
  | { readonly verb: 'seal' | 'restore' | 'remove'; readonly name: string }
  | CopyVerb;

/** Of whoever copies what a member has sealed. */
export type CopyVerb =
  /** The names of all that was sealed. */
  | { readonly verb: 'snapshots' }
  /** What differs between two of them, in ascending order; all that is there from null on. */
  | {
      readonly verb: 'changes';
      readonly from: string | null;
      readonly to: string;
      readonly startByte: number;
    }
  /** Data of one of them: `mostReadBytes` at most. */
  | {
      readonly verb: 'read';
      readonly name: string;
      readonly byteOffset: number;
      readonly byteLength: number;
    };

/** What must be written over one snapshot to have another one. Without data it is zeroes. */
export interface ChangedBytes {
  readonly byteOffset: number;
  readonly byteLength: number;
  readonly isData: boolean;
}

export interface Changes {
  readonly ranges: readonly ChangedBytes[];
  /** Where to go on; null at the end. */
  readonly nextByte: number | null;
}

/** Ranges of one answer. */
export const mostChanges = 4096;
/** Data of one answer. */
export const mostReadBytes = 128 * 1024;

/** What a member answers to 'adopt' and 'grow'. */
export interface Adopted {
  readonly blockBytes: number;
  readonly blockCount: number;
  readonly regionBlocks: number;
  /** The newest epoch that it had adopted before. */
  readonly epoch: number;
  readonly generation: number;
  readonly incarnation: number;
  /** Completed writes may be lost in a restart. */
  readonly isVolatile: boolean;
  /** The write-intent map, hexadecimal. */
  readonly bits: string;
}

const refusals = ['epoch', 'foreign', 'past', 'unsupported', 'failed', 'garbage'] as const;
export type Refusal = (typeof refusals)[number];

/** What a member answers that has done what it was asked. */
export interface Done {
  readonly ok: true;
  readonly adopted: Adopted | null;
  readonly snapshots?: readonly string[];
  readonly changes?: Changes;
  readonly data?: Uint8Array;
}

export type Answer =
  | Done
  | { readonly ok: false; readonly reason: Refusal; readonly text: string; readonly epoch: number };

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });
const longestBytes = 64 * 1024 * 1024;

export function encode(what: Verb | Answer): Uint8Array {
  const isData = 'ok' in what && what.ok && what.data !== undefined;
  const data = isData ? { data: Buffer.from(what.data).toString('base64') } : {};
  return encoder.encode(JSON.stringify({ ...what, ...data }));
}

/** @returns null for bytes that are no verb */
export function decodeVerb(bytes: Uint8Array): Verb | null {
  const said = objectOf(bytes);
  if (said === null) return null;
  const { verb } = said;
  if (verb === 'mark all' || verb === 'snapshots') return { verb };
  if (verb === 'changes' || verb === 'read') return copyVerbOf(said);
  if (verb === 'adopt') {
    return adoptionOf(said);
  }
  if (verb === 'clear') {
    const { regions } = said;
    return Array.isArray(regions) && regions.every(isCount) ? { verb, regions } : null;
  }
  if (verb === 'grow')
    return isCount(said.blockCount) ? { verb, blockCount: said.blockCount } : null;
  if (verb === 'note')
    return isCount(said.generation) ? { verb, generation: said.generation } : null;
  if (verb !== 'seal' && verb !== 'restore' && verb !== 'remove') return null;
  return isText(said.name) ? { verb, name: said.name } : null;
}

function copyVerbOf(said: Record<string, unknown>): Verb | null {
  const { verb, from, to, startByte, name, byteOffset, byteLength } = said;
  if (verb === 'changes') {
    const isSound = (from === null || isText(from)) && isText(to) && isCount(startByte);
    return isSound ? { verb, from, to, startByte } : null;
  }
  if (verb !== 'read' || !isText(name) || !isCount(byteOffset) || !isCount(byteLength)) return null;
  const isSound = byteLength >= 1 && byteLength <= mostReadBytes;
  return isSound ? { verb, name, byteOffset, byteLength } : null;
}

function adoptionOf(said: Record<string, unknown>): Verb | null {
  const { clusterId, volumeId, memberId, epoch, token, session } = said;
  const { knownEpoch, knownIncarnation } = said;
  if (!isText(clusterId) || !isText(volumeId) || !isText(memberId)) return null;
  if (!isText(token) || !/^[0-9a-f]{32}$/.test(token)) return null;
  if (!isCount(epoch) || !isCount(session)) return null;
  if (!isCount(knownEpoch) || !isCount(knownIncarnation)) return null;
  const who = { clusterId, volumeId, memberId, epoch, token, session };
  return { verb: 'adopt', ...who, knownEpoch, knownIncarnation };
}

/** @throws UltimaError MEMBER_REFUSED for bytes that are no answer */
export function decodeAnswer(bytes: Uint8Array): Answer {
  const said = objectOf(bytes);
  if (said?.ok === false && isText(said.text) && isCount(said.epoch)) {
    const reason = refusals.find((each) => each === said.reason);
    if (reason !== undefined) return { ok: false, reason, text: said.text, epoch: said.epoch };
  }
  if (said?.ok === true) {
    const done = doneOf(said);
    if (done !== null) return done;
  }
  throw new UltimaError(
    ErrorCode.memberRefused,
    `a member answered ${bytes.length} bytes that are no answer; it is not used`,
    { reason: 'garbage' },
  );
}

function doneOf(said: Record<string, unknown>): Done | null {
  const adopted = said.adopted === null ? null : adoptedOf(said.adopted);
  if (said.adopted !== null && adopted === null) return null;
  const { snapshots, data } = said;
  const changes = said.changes === undefined ? undefined : changesOf(said.changes);
  if (changes === null) return null;
  if (snapshots !== undefined && !(Array.isArray(snapshots) && snapshots.every(isText)))
    return null;
  if (data !== undefined && !isText(data)) return null;
  return {
    ok: true,
    adopted,
    ...(snapshots === undefined ? {} : { snapshots }),
    ...(changes === undefined ? {} : { changes }),
    ...(data === undefined ? {} : { data: new Uint8Array(Buffer.from(data, 'base64')) }),
  };
}

function changesOf(said: unknown): Changes | null {
  if (!isObject(said) || !Array.isArray(said.ranges)) return null;
  const { nextByte } = said;
  if (nextByte !== null && !isCount(nextByte)) return null;
  const ranges: ChangedBytes[] = [];
  let end = 0;
  for (const each of said.ranges) {
    if (!isObject(each)) return null;
    const { byteOffset, byteLength, isData } = each;
    if (!isCount(byteOffset) || !isCount(byteLength) || typeof isData !== 'boolean') return null;
    if (byteOffset < end || byteLength < 1) return null;
    end = byteOffset + byteLength;
    ranges.push({ byteOffset, byteLength, isData });
  }
  return { ranges, nextByte };
}

function adoptedOf(said: unknown): Adopted | null {
  if (!isObject(said)) return null;
  const { blockBytes, blockCount, regionBlocks, epoch, generation, incarnation } = said;
  const { bits, isVolatile } = said;
  if (!isCount(blockBytes) || !isCount(blockCount) || !isCount(regionBlocks)) return null;
  if (!isCount(epoch) || !isCount(generation) || !isCount(incarnation)) return null;
  if (!isText(bits) || typeof isVolatile !== 'boolean') return null;
  if (!/^(?:[0-9a-f]{2})*$/.test(bits)) return null;
  const geometry = { blockBytes, blockCount, regionBlocks };
  return { ...geometry, epoch, generation, incarnation, isVolatile, bits };
}

function objectOf(bytes: Uint8Array): Record<string, unknown> | null {
  if (bytes.length > longestBytes) return null;
  try {
    const value: unknown = JSON.parse(decoder.decode(bytes));
    return isObject(value) ? value : null;
  } catch {
    // No UTF-8, or no JSON.
    return null;
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function isText(value: unknown): value is string {
  return typeof value === 'string';
}

export function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
