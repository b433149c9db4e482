import { ErrorCode, UltimaError } from '../../sdk/errors.js';
import { samsung970pro } from './970pro.js';
import { samsung983dct } from './983dct.js';
import { samsung983zet } from './983zet.js';
import { micron9100 } from './9100max.js';
import { mqsimDefault } from './mqsim-default.js';
import { p3700 } from './p3700.js';
import { p4510 } from './p4510.js';
import { p4800x } from './p4800x.js';
import { p5800x } from './p5800x.js';
import type { Profile } from './profile.js';
import { readProfile } from './profile-file.js';
import { simple } from './simple.js';
import { tlcEnterprise } from './tlc-enterprise.js';
import { ultimaG2, ultimaG2Large } from './ultima-g2.js';
import { znand } from './znand.js';

export { type Changes, defineProfile, type ProfileChanges } from './define.js';

/** The profiles that ship. */
export const profiles: readonly Profile[] = [
  simple,
  ultimaG2,
  ultimaG2Large,
  p4800x,
  p5800x,
  p3700,
  micron9100,
  samsung970pro,
  samsung983zet,
  samsung983dct,
  p4510,
  znand,
  tlcEnterprise,
  mqsimDefault,
];

/**
 * A shipped profile by its name, or one's own by the path of its file, which ends in '.json'.
 *
 * @throws UltimaError PROFILE_UNKNOWN that lists the known ones, FILE_INVALID, PROFILE_INVALID
 */
export function findProfile(name: string): Profile {
  if (name.endsWith('.json')) return readProfile(name, findShipped);
  return findShipped(name);
}

function findShipped(name: string): Profile {
  const profile = profiles.find((candidate) => candidate.name === name);
  if (profile !== undefined) return profile;
  const known = profiles.map((candidate) => candidate.name).join(', ');
  throw new UltimaError(
    ErrorCode.profileUnknown,
    `no profile is called '${name}'; known profiles: ${known}`,
    { name, known },
  );
}
