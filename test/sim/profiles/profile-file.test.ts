import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { UltimaError } from '../../../sdk/errors.js';
import { parseAddress } from '../../../sim/open.js';
import { findProfile, profiles } from '../../../sim/profiles/index.js';
import { suite } from '../../support/suite.js';

const test = suite('profile files');
const folder = mkdtempSync(join(tmpdir(), 'ultima-profile-'));
const path = join(folder, 'mine.json');

test.after(() => rmSync(folder, { recursive: true }));

function load(text: string, query = '') {
  writeFileSync(path, text);
  return parseAddress(`sim:${path}${query}`).profile;
}

function refusal(text: string): string {
  try {
    load(text);
    return 'accepted';
  } catch (error) {
    return error instanceof UltimaError ? `${error.code} ${error.message}` : String(error);
  }
}

test('a file names a base and what differs, however deep', () => {
  const mine = load(
    JSON.stringify({
      base: 'p3700',
      name: 'mine',
      inside: { flash: { eraseNs: 1234 }, stages: { decode: { isHardware: true } } },
    }),
  );
  const base = findProfile('p3700');
  assert.is(mine.name, 'mine');
  assert.is(mine.inside?.flash?.eraseNs, 1234);
  assert.is(mine.inside?.stages.decode.isHardware, true);
  assert.is(mine.inside?.stages.decode.cycles, base.inside?.stages.decode.cycles);
  assert.equal({ ...mine, name: base.name, inside: base.inside }, base);
});

test('a whole profile needs no base, and every shipped one survives the way through a file', () => {
  for (const profile of profiles) assert.equal(load(JSON.stringify(profile)), profile);
});

test('keys of the address change it further', () => {
  const text = '{ "base": "p3700" }';
  assert.is(load(text, '?inside.flash.eraseNs=99').inside?.flash?.eraseNs, 99);
});

test('what is wrong is refused with the field and the range', () => {
  const on = (changes: object) => refusal(JSON.stringify({ base: 'tlc-enterprise', ...changes }));
  const inside = (changes: object) => on({ inside: changes });
  assert.match(inside({ flash: { channels: 0 } }), /inside.flash.channels = 0: must be .* 1..64/);
  assert.match(inside({ flash: { chanels: 4 } }), /inside.flash.chanels.*no such field/);
  assert.match(
    inside({ ftl: { overProvisioningPermille: 0 } }),
    /inside.ftl.overProvisioningPermille = 0: must be an integer 1..900/,
  );
  assert.match(inside({ ftl: { victim: 'best' } }), /inside.ftl.victim = best: must be one of /);
  assert.match(inside({ buffer: { writeBytes: 4096 } }), /inside.buffer.writeBytes.*two rows/);
  assert.match(inside({ flash: { blocksPerPlane: 8 } }), /inside.flash.blocksPerPlane/);
  assert.match(inside({ flash: null }), /inside.inPlace = null/);
  assert.match(inside({ drives: 0 }), /inside.drives = 0: must be an integer 1..64/);
  assert.match(on({ subsystem: { capacityBytes: 2 ** 50 } }), /subsystem.capacityBytes.*at most/);
  assert.match(on({ inside: null }), /^PROFILE_INVALID .*inside = null: must be/);
});

test('a file that is no profile says why', () => {
  assert.match(refusal('{ "base": 7 }'), /^FILE_INVALID .*'base'/);
  assert.match(refusal('{ "base": "optane" }'), /^PROFILE_UNKNOWN .*optane/);
  assert.match(refusal('[]'), /^FILE_INVALID .*JSON object/);
  assert.match(refusal('{'), /^FILE_INVALID .*JSON/);
  assert.throws(
    () => findProfile(join(folder, 'nowhere.json')),
    (error: Error) => /nowhere.json/.test(error.message),
  );
});

test.run();
