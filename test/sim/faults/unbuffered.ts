import { assert } from '../../../sdk/assert.js';
import { defineProfile, findProfile } from '../../../sim/profiles/index.js';
import type { Profile } from '../../../sim/profiles/profile.js';

/** Flash without a write buffer in front: what is written meets the faults of its drive at once. */
export const unbuffered: Profile = makeProfile();

function makeProfile(): Profile {
  const base = findProfile('znand');
  assert(base.inside !== null, 'a profile with flash');
  const [namespace] = base.namespaces;
  return defineProfile(base, {
    firmware: { bootNs: 1000 },
    controller: { queuePairs: 2, queueEntries: 16, readyTimeout500Ms: 1 },
    inside: {
      ...base.inside,
      buffer: { ...base.inside.buffer, writeBytes: 16_384, readBytes: 0, drainPermille: 1 },
    },
    namespaces: [{ ...namespace!, lbaFormat: 1 }],
  });
}
