import { merge } from './merge.js';
import type { Profile } from './profile.js';
import { checkProfile, isProfile } from './rules.js';

/** Any part of a group; a list is given whole, and null takes a group away. */
export type Changes<T> = T extends string | number | boolean | null | readonly unknown[]
  ? T
  : { readonly [K in keyof T]?: Changes<T[K]> };

/** The changes to a profile: `{ media: { readNs: 5_000 } }`. */
export type ProfileChanges = Changes<Profile>;

/**
 * A profile of one's own: a known one with changes.
 *
 * @throws UltimaError PROFILE_INVALID
 */
export function defineProfile(base: Profile, changes: ProfileChanges): Profile {
  const merged = merge(base, changes);
  return isProfile(merged) ? checkProfile(merged) : base;
}
