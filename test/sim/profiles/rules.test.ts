import * as assert from 'uvu/assert';
import { UltimaError } from '../../../sdk/errors.js';
import { KiB, TiB } from '../../../sdk/units.js';
import {
  defineProfile,
  findProfile,
  type ProfileChanges,
  profiles,
} from '../../../sim/profiles/index.js';
import { checkProfile } from '../../../sim/profiles/rules.js';
import { suite } from '../../support/suite.js';

const test = suite('profiles');
const simple = findProfile('simple');

function refusal(changes: ProfileChanges): string {
  try {
    defineProfile(simple, changes);
    return 'accepted';
  } catch (error) {
    assert.instance(error, UltimaError);
    return error instanceof UltimaError ? `${error.code} ${error.message}` : '';
  }
}

test('every shipped profile obeys the rules and has a name of its own', () => {
  for (const profile of profiles) checkProfile(profile);
  assert.is(new Set(profiles.map((profile) => profile.name)).size, profiles.length);
});

test('a wrong number is refused with field, value and range', () => {
  const code = 'PROFILE_INVALID profile field';
  assert.is(
    refusal({ media: { readNs: -1 } }),
    `${code} media.readNs = -1: must be an integer 0..1000000000000`,
  );
  assert.is(
    refusal({ link: { lanes: 3 } }),
    `${code} link.lanes = 3: must be a power of two 1..16`,
  );
  assert.is(
    refusal({ controller: { queueEntries: 4097 } }),
    `${code} controller.queueEntries = 4097: must be an integer 2..4096`,
  );
  assert.match(refusal({ media: { readNs: Number.NaN } }), /media.readNs = NaN/);
  assert.match(refusal({ media: { readNs: 1.5 } }), /media.readNs = 1.5/);
  assert.match(refusal({ identity: { serialNumber: '' } }), /serialNumber = : must be 1..20/);
  assert.match(refusal({ identity: { modelNumber: 'Größe' } }), /ASCII/);
});

test('some read tags are left for what no reservation pays for', () => {
  const tags = (readTags: number, reservedReadTags: number): string =>
    refusal({ link: { readTags, reservedReadTags } });
  assert.match(tags(32, 32), /link.reservedReadTags = 32: must be less than readTags, 32/);
  assert.match(tags(1, 1), /less than readTags, 1/);
  assert.is(tags(32, 31), 'accepted');
});

test('the media take no less while nobody with a reservation asks for anything', () => {
  const { qos } = findProfile('ultima-g2');
  const depths = (depthUnits: number, quietDepthUnits: number): string =>
    refusal({ qos: { ...qos!, depthUnits, quietDepthUnits } });
  assert.match(depths(64, 63), /qos.quietDepthUnits = 63: must be at least depthUnits, 64/);
  assert.is(depths(64, 64), 'accepted');
});

test('namespaces must fit their format, the card and the rules of protection', () => {
  const namespace = simple.namespaces[0]!;
  const at = (changes: Partial<typeof namespace>): string =>
    refusal({ namespaces: [{ ...namespace, ...changes }] });
  assert.match(at({ lbaFormat: 99 }), /namespaces\[0\].lbaFormat = 99: must be/);
  assert.match(at({ lbaFormat: 5 }), /namespaces\[0\].lbaFormat = 5: must be 0..4/);
  assert.match(at({ bytes: 4 * KiB * KiB + 100 }), /a multiple of 512/);
  assert.match(at({ protectionType: 1 }), /without 8 bytes of metadata/);
  assert.match(at({ bytes: 1 * TiB }), /subsystem.capacityBytes/);
});

test('an unknown profile is refused with the known ones', () => {
  assert.throws(
    () => findProfile('ultima-g9'),
    (error: Error) => error.message.includes('simple, ultima-g2, ultima-g2-4t'),
  );
});

test.run();
