import { ErrorCode, UltimaError } from '../errors.js';
import type { MemberVolume } from './port.js';
import { type Answer, type ChangedBytes, type CopyVerb, mostChanges, type Verb } from './verbs.js';

export function isCopyVerb(verb: Verb): verb is CopyVerb {
  return verb.verb === 'snapshots' || verb.verb === 'changes' || verb.verb === 'read';
}

/** Carry one out on a member's volume. @throws UltimaError */
export async function answerCopy({ copies }: MemberVolume, verb: CopyVerb): Promise<Answer> {
  if (copies === undefined) {
    throw new UltimaError(ErrorCode.memberRefused, 'what it has sealed cannot be copied');
  }
  const done = { ok: true, adopted: null } as const;
  if (verb.verb === 'snapshots') return { ...done, snapshots: copies.list() };
  if (verb.verb === 'read') {
    const data = new Uint8Array(verb.byteLength);
    await copies.read(verb.name, verb.byteOffset, data);
    return { ...done, data };
  }
  const ranges: ChangedBytes[] = [];
  for await (const range of copies.changes(verb.from, verb.to, verb.startByte)) {
    ranges.push(range);
    if (ranges.length < mostChanges) continue;
    return { ...done, changes: { ranges, nextByte: range.byteOffset + range.byteLength } };
  }
  return { ...done, changes: { ranges, nextByte: null } };
}
