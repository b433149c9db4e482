import type { MemberHeader } from './member-header.js';
import type { Refusal, Verb } from './verbs.js';

export type Adoption = Verb & { verb: 'adopt' };

/** Why a claim is refused. */
export interface Objection {
  readonly reason: Refusal;
  readonly text: string;
}

/** Whether a claim means another member, or one that knows more than this one. */
export function strangeness(header: MemberHeader, claim: Adoption): Objection | null {
  for (const key of ['clusterId', 'volumeId', 'memberId'] as const) {
    if (claim[key] === header[key]) continue;
    return { reason: 'foreign', text: `${key} is ${header[key]} here, not ${claim[key]}` };
  }
  const { epoch, incarnation } = header;
  if (epoch >= claim.knownEpoch && incarnation >= claim.knownIncarnation) return null;
  const was = `epoch ${claim.knownEpoch}, incarnation ${claim.knownIncarnation}`;
  const text = `older than it was: epoch ${epoch}, incarnation ${incarnation}, after ${was}`;
  return { reason: 'past', text: `${text}; its device was set back: add it anew` };
}

/** Whether the member has adopted something newer, or the same epoch of somebody else. */
export function isOutdated(header: MemberHeader, { epoch, token }: Adoption): boolean {
  return epoch < header.epoch || (epoch === header.epoch && token !== header.token);
}

export function comesAfter(epoch: number, known: number): Objection {
  return { reason: 'epoch', text: `epoch ${epoch} comes after epoch ${known} was adopted` };
}
