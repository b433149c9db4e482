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
  | { readonly verb: 'seal' | 'restore' | 'remove'; readonly name: string };

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

export type Answer =
  | { readonly ok: true; readonly adopted: Adopted | null }
  | { readonly ok: false; readonly reason: Refusal; readonly text: string; readonly epoch: number };

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });
const longestBytes = 64 * 1024 * 1024;

export function encode(what: Verb | Answer): Uint8Array {
  return encoder.encode(JSON.stringify(what));
}

/** @returns null for bytes that are no verb */
export function decodeVerb(bytes: Uint8Array): Verb | null {
  const said = objectOf(bytes);
  if (said === null) return null;
  const { verb } = said;
  if (verb === 'mark all') return { verb };
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
    if (said.adopted === null) return { ok: true, adopted: null };
    const adopted = adoptedOf(said.adopted);
    if (adopted !== null) return { ok: true, adopted };
  }
  throw new UltimaError(
    ErrorCode.memberRefused,
    `a member answered ${bytes.length} bytes that are no answer; it is not used`,
    { reason: 'garbage' },
  );
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
