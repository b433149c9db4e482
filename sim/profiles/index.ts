import { ErrorCode, UltimaError } from '../../sdk/errors.js';
import type { Profile } from './profile.js';
import { checkProfile } from './rules.js';
import { simple } from './simple.js';
import { ultimaG2, ultimaG2Large } from './ultima-g2.js';

/** The profiles that ship. */
export const profiles: readonly Profile[] = [simple, ultimaG2, ultimaG2Large];

/** @throws UltimaError PROFILE_UNKNOWN that lists the known ones */
export function findProfile(name: string): Profile {
  const profile = profiles.find((candidate) => candidate.name === name);
  if (profile !== undefined) return profile;
  const known = profiles.map((candidate) => candidate.name).join(', ');
  throw new UltimaError(
    ErrorCode.profileUnknown,
    `no profile is called '${name}'; known profiles: ${known}`,
    { name, known },
  );
}

/** The changes to a profile, one group deep: `{ media: { readNs: 5_000 } }`. */
export type ProfileChanges = {
  readonly [K in keyof Profile]?: Profile[K] extends string | readonly unknown[]
    ? Profile[K]
    : Partial<Profile[K]>;
};

/**
 * A profile of one's own: a known one with changes.
 *
 * @throws UltimaError PROFILE_INVALID
 */
export function defineProfile(base: Profile, changes: ProfileChanges): Profile {
  return checkProfile({
    name: changes.name ?? base.name,
    summary: changes.summary ?? base.summary,
    identity: { ...base.identity, ...changes.identity },
    link: { ...base.link, ...changes.link },
    host: { ...base.host, ...changes.host },
    controller: { ...base.controller, ...changes.controller },
    firmware: { ...base.firmware, ...changes.firmware },
    media: { ...base.media, ...changes.media },
    cache: { ...base.cache, ...changes.cache },
    subsystem: { ...base.subsystem, ...changes.subsystem },
    lbaFormats: changes.lbaFormats ?? base.lbaFormats,
    namespaces: changes.namespaces ?? base.namespaces,
  });
}
