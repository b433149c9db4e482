import { ErrorCode, UltimaError } from '../sdk/errors.js';
import type { FaultPlan } from '../sdk/faults/plan.js';
import { parseSize } from '../sdk/units.js';
import { SimCard } from './card.js';
import { restoreCard } from './checkpoint/checkpoint.js';
import type { ForeignHost } from './pcie/device-memory.js';
import { defineProfile, findProfile } from './profiles/index.js';
import type { Profile } from './profiles/profile.js';
import { checkProfile, isProfile } from './profiles/rules.js';
import { readCheckpointFile } from './store/checkpoint-file.js';
import type { World } from './world.js';

const keys =
  "bytes, lbaFormat, file, checkpoint, seed, or a field of the profile such as 'media.readNs'";

export interface OpenOptions {
  /** Several cards on one clock; a world of its own when left out. */
  readonly world?: World;
  /** What goes wrong, and when. */
  readonly faults?: FaultPlan;
  /** Who takes the place of a driver in this process. */
  readonly foreignHost?: ForeignHost;
}

/** What a 'sim:' address says. */
export interface SimulatedAddress {
  readonly profile: Profile;
  readonly seed: number | null;
  /** File that keeps the first namespace; in memory when null. */
  readonly file: string | null;
  /** File of `saveCard` that the card goes on from; a new card when null. */
  readonly checkpoint: string | null;
}

/**
 * Make the card that an address describes: 'sim:<profile>[?key=value&key=value]'. Keys: `bytes` and
 * `lbaFormat` of the first namespace, `file` that keeps it, `seed`, any field of the profile, and
 * `checkpoint`: a card that was saved goes on, when it has the profile that the address says.
 *
 * @throws UltimaError ADDRESS_INVALID, PROFILE_UNKNOWN, PROFILE_INVALID, FILE_INVALID,
 *         FILE_UNWRITABLE, CHECKPOINT_INVALID
 */
export function openSimulated(address: string, options: OpenOptions = {}): SimCard {
  const { profile, seed, file, checkpoint } = parseAddress(address);
  if (checkpoint !== null) {
    const { world, faults, foreignHost } = options;
    const isAlone = world === undefined && faults === undefined && foreignHost === undefined;
    if (!isAlone || seed !== null || file !== null) {
      throw wrong(address, 'a checkpoint brings its own world, seed, blocks, host and fault plan');
    }
    return restoreCard(readCheckpointFile(checkpoint), profile);
  }
  return new SimCard({
    profile,
    ...(options.world === undefined ? {} : { world: options.world }),
    ...(options.foreignHost === undefined ? {} : { foreignHost: options.foreignHost }),
    ...(options.faults === undefined ? {} : { faults: options.faults }),
    ...(seed === null ? {} : { seed }),
    ...(file === null ? {} : { file }),
  });
}

export function parseAddress(address: string): SimulatedAddress {
  const match = /^sim:([^?]+)(?:\?(.*))?$/s.exec(address);
  if (match === null) {
    throw wrong(address, "the form is 'sim:<profile>[?key=value&key=value]'");
  }
  let profile = findProfile(match[1]!);
  let seed: number | null = null;
  let file: string | null = null;
  let checkpoint: string | null = null;
  for (const pair of (match[2] ?? '').split('&').filter((text) => text !== '')) {
    const at = pair.indexOf('=');
    if (at < 1) throw wrong(address, `'${pair}' is not key=value`);
    const key = pair.slice(0, at);
    const value = decode(address, pair.slice(at + 1));
    if (key === 'seed') seed = parseSeed(address, value);
    else if (key === 'file') file = value;
    else if (key === 'checkpoint') checkpoint = value;
    else if (key === 'bytes') profile = withNamespace(profile, { bytes: size(address, value) });
    else if (key === 'lbaFormat') profile = withNamespace(profile, { lbaFormat: Number(value) });
    else profile = withField(address, profile, key, value);
  }
  if (file === '') throw wrong(address, 'file needs a path');
  if (checkpoint === '') throw wrong(address, 'checkpoint needs a path');
  return { profile, seed, file, checkpoint };
}

function decode(address: string, value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    throw wrong(address, `'${value}' has a % without two hexadecimal digits`);
  }
}

function parseSeed(address: string, value: string): number {
  const seed = value.trim() === '' ? Number.NaN : Number(value);
  if (Number.isSafeInteger(seed) && seed >= 0) return seed;
  throw wrong(address, `seed ${value}: an integer 0..2^53 - 1`);
}

function size(address: string, value: string): number {
  const bytes = parseSize(value);
  if (bytes !== null) return bytes;
  throw wrong(address, `bytes ${value}: a number, with KiB, MiB, GiB or TiB or without`);
}

/** The first namespace changes; the card becomes as large as its namespaces need. */
function withNamespace(
  profile: Profile,
  changes: { readonly bytes?: number; readonly lbaFormat?: number },
): Profile {
  const [first, ...others] = profile.namespaces;
  if (first === undefined) return profile;
  const namespaces = [{ ...first, ...changes }, ...others];
  const used = namespaces.reduce((sum, namespace) => sum + namespace.bytes, 0);
  const capacityBytes = Math.max(profile.subsystem.capacityBytes, used);
  return defineProfile(profile, { namespaces, subsystem: { capacityBytes } });
}

/** Any number, text or flag of a group: 'media.readNs=1000', 'inside.flash.channels=4'. */
function withField(address: string, profile: Profile, key: string, value: string): Profile {
  const path = key.split('.');
  const changed = change(profile, path, value);
  if (path.length < 2 || changed === undefined) {
    throw wrong(address, `'${key}' is no key; the keys are ${keys}`);
  }
  if (!isProfile(changed)) throw wrong(address, `'${pairText(key, value)}' makes no profile`);
  return checkProfile(changed);
}

/** @returns a copy with the field at the end of the path changed, undefined without such a field */
function change(before: unknown, path: readonly string[], value: string): unknown {
  const isGroup = typeof before === 'object' && before !== null && !Array.isArray(before);
  const [name, ...rest] = path;
  if (name === undefined) return isGroup ? undefined : convert(before, value);
  if (!isGroup || !Object.hasOwn(before, name)) return undefined;
  const inner = change(Reflect.get(before, name), rest, value);
  return inner === undefined ? undefined : { ...before, [name]: inner };
}

function convert(old: unknown, value: string): unknown {
  if (typeof old === 'boolean') return value === 'true' ? true : value === 'false' ? false : value;
  return typeof old === 'number' && value.trim() !== '' ? Number(value) : value;
}

function pairText(key: string, value: string): string {
  return `${key}=${value}`;
}

function wrong(address: string, what: string): UltimaError {
  return new UltimaError(ErrorCode.addressInvalid, `${address}: ${what}`, { address });
}
