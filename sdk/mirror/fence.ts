import { assert } from '../assert.js';
import { BlockStatus } from '../block/request.js';
import type { DeviceReservations, ReservationState } from '../block/reservations.js';
import { crc32c } from '../crc32c.js';
import { UltimaError } from '../errors.js';
import { type Adoption, comesAfter, type Objection } from './claims.js';

/**
 * Keeps others off a namespace that several hosts reach: the device refuses them.
 *
 * The reservation is "exclusive access, registrants only". A claimant registers, which lets it read
 * whose namespace this is; then it takes the registrations of older claims away, and the
 * reservation with them. What always holds:
 *   - Nobody writes before a report has shown the reservation to be its own, with no registrant
 *     beside it. Who registers later finds a newer key in the report, and goes.
 *   - Who was preempted is no registrant any more: it can neither read nor write, however long it
 *     was paused, and no host registers again without looking at the report.
 *   - A key that is not of this member is never preempted.
 * What may fail: a claimant dies between any two steps. It leaves a registration, which the next
 * one takes away, and older ones hold on until then. Registrations outlive the power of the device.
 *
 *   key:  16 bits from the identity of the member, 32 of the epoch, 16 from the token of the claim
 */
export class Fence {
  private readonly reservations: DeviceReservations;

  constructor(reservations: DeviceReservations) {
    this.reservations = reservations;
  }

  /** Register, unless somebody newer or foreign has. Older claims go on meanwhile. */
  async enter(claim: Adoption): Promise<Objection | null> {
    const key = keyOf(claim);
    for (let tries = 0; tries < mostTries; tries++) {
      const state = await this.reservations.report();
      const objection = judge(state, claim, key);
      if (objection !== null) return objection;
      if (await this.registerAs(key, state)) return null;
    }
    return restless;
  }

  /** Take what older claims have. Nobody else reads or writes when this has returned null. */
  async take(claim: Adoption): Promise<Objection | null> {
    const key = keyOf(claim);
    for (let tries = 0; tries < mostTries; tries++) {
      const state = await this.reservations.report();
      const objection = judge(state, claim, key);
      if (objection !== null) return objection;
      const registered = state.registered;
      if (!registered.some((each) => each.key === key)) return preempted(claim);
      if (state.type === 'none') {
        await isDone(this.reservations.acquire({ action: 'acquire', type, key }));
        continue;
      }
      const others = registered.filter((each) => each.key !== key);
      // The holder first: who takes the last registration away but not the reservation has nothing.
      const next = others.find(({ isHolder }) => isHolder) ?? others[0];
      if (next === undefined) return null;
      const victim = { action: 'preemptAndAbort', preemptKey: next.key } as const;
      await isDone(this.reservations.acquire({ ...victim, type, key }));
    }
    return restless;
  }

  /** Give back what a claim has registered; also what it has reserved. */
  async leave(claim: Adoption): Promise<void> {
    await isDone(this.reservations.register({ action: 'unregister', currentKey: keyOf(claim) }));
  }

  /** @returns false when the registrations have changed in between */
  private async registerAs(key: bigint, { registered }: ReservationState): Promise<boolean> {
    const wanted = { newKey: key, persistence: 'on' } as const;
    if (await isDone(this.reservations.register({ action: 'register', ...wanted }))) return true;
    // This host has a key from an earlier claim. Only one that was judged is replaced: another
    // process with the same host identifier may have come with a newer one.
    for (const { key: currentKey } of registered) {
      const change = { action: 'replace', currentKey, ...wanted } as const;
      if (await isDone(this.reservations.register(change))) return true;
    }
    return false;
  }
}

/** Reads and writes of registrants only. */
const type = 'exclusive access, registrants only';
/** Others may come and go while a claimant looks; each of them does so a few times. */
const mostTries = 64;
const mostEpoch = 0xffff_ffff;
const restless: Objection = { reason: 'failed', text: 'its reservations change all the time' };

/** Why a namespace cannot be fenced; null when it can. */
export function unfit({ kinds, canPersist }: DeviceReservations): string | null {
  if (!kinds.includes(type)) return `it has no reservations "${type}"`;
  return canPersist ? null : 'it forgets reservations with its power';
}

/** @throws UltimaError for everything but a conflict */
async function isDone(work: Promise<void>): Promise<boolean> {
  try {
    await work;
    return true;
  } catch (error) {
    if (!(error instanceof UltimaError)) throw error;
    if (error.facts.blockStatus !== BlockStatus.accessDenied) throw error;
    return false;
  }
}

function judge(state: ReservationState, claim: Adoption, own: bigint): Objection | null {
  if (state.type !== 'none' && state.type !== type) {
    return foreign(`somebody holds a reservation "${state.type}"`);
  }
  for (const { key } of state.registered) {
    if (key === own) continue;
    if (key >> identityShift !== own >> identityShift) {
      return foreign(`a host is registered with key 0x${key.toString(16)}`);
    }
    const epoch = Number((key >> epochShift) & BigInt(mostEpoch));
    if (epoch >= claim.epoch) return comesAfter(claim.epoch, epoch);
  }
  return null;
}

function foreign(what: string): Objection {
  const text = `${what}, which is not of this member: nothing was taken away`;
  return { reason: 'foreign', text };
}

function preempted({ epoch }: Adoption): Objection {
  return { reason: 'epoch', text: `the registration of epoch ${epoch} was taken away` };
}

const epochShift = 16n;
const identityShift = 48n;

function keyOf({ clusterId, volumeId, memberId, epoch, token }: Adoption): bigint {
  assert(epoch >= 1, 'a claim of an epoch before the first');
  assert(epoch <= mostEpoch, 'a claim of an epoch that fits in no key');
  const identity = BigInt(sixteenOf(clusterId + volumeId + memberId));
  return (identity << identityShift) | (BigInt(epoch) << epochShift) | BigInt(sixteenOf(token));
}

/** 16 bits that stand for a text. */
function sixteenOf(text: string): number {
  return crc32c(new TextEncoder().encode(text)) & 0xffff;
}
