import { readFileSync } from 'node:fs';
import { ErrorCode, UltimaError } from '../../sdk/errors.js';
import { merge } from './merge.js';
import type { Profile } from './profile.js';
import { checkProfile, isProfile } from './rules.js';

/**
 * A profile of one's own from a JSON file: the fields of `Profile`, all of them, or with `base`,
 * the name of a shipped profile, only those that differ.
 *
 * @param find  the shipped profiles by name
 * @throws UltimaError FILE_INVALID for a file that cannot be read or is no JSON object,
 *         PROFILE_UNKNOWN for its base, PROFILE_INVALID with field, value and range
 */
export function readProfile(path: string, find: (name: string) => Profile): Profile {
  const { base, ...fields } = parse(path);
  if (base !== undefined && typeof base !== 'string') {
    throw wrong(path, "'base' is not the name of a shipped profile");
  }
  const merged = base === undefined ? fields : merge(find(base), fields);
  // Throws what is wrong; never answers false.
  if (!isProfile(merged)) throw wrong(path, 'it describes no profile');
  return checkProfile(merged);
}

function parse(path: string): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw wrong(path, error instanceof Error ? error.message : 'it cannot be read');
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw wrong(path, error instanceof Error ? error.message : 'it is no JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw wrong(path, 'a profile is a JSON object');
  }
  return Object.fromEntries(Object.entries(value));
}

function wrong(path: string, what: string): UltimaError {
  return new UltimaError(ErrorCode.fileInvalid, `profile ${path}: ${what}`, { path });
}
