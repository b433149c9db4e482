import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as assert from 'uvu/assert';
import { rows } from '../../../bench/fidelity-rows.js';
import { suite } from '../../support/suite.js';

/** Every number of a profile says where it comes from. */
const test = suite('sources of profiles');
const root = fileURLToPath(new URL('../../../../', import.meta.url));
const folder = join(root, 'sim/profiles');

/** Shapes and checks of profiles, not data. */
const code = /^(rules?|inside|inside-rules|index|merge|profile|profile-file)\.ts$/;
/** Its head says: all of ssdconfig.xml. */
const oneSource = 'mqsim-media.ts';
/** What follows from other numbers, and what this card was asked to be. */
const derived = /guess|fitted|so that|as the|one per|the card's specification/;

const keys = [...readFileSync(join(root, 'REFERENCES.md'), 'utf8').matchAll(/^\| `([^`]+)`/gm)].map(
  (match) => match[1]!,
);

function isSourced(comment: string): boolean {
  return derived.test(comment) || keys.some((key) => comment.includes(key));
}

/** Whether a line gives a field a number that means something: not 0, 1, a name or a capacity. */
function hasNumber(line: string): boolean {
  const value = line.split('//')[0]!.replace(/'[^']*'|"[^"]*"|`[^`]*`/g, '');
  if (!/^\s+(\w+:|\{ \w+:)/.test(value) || /wholeDrive\(/.test(value)) return false;
  return [...value.matchAll(/(?<![\w.])\d[\d_.]*/g)].some(
    ([digits]) => Number(digits) !== 0 && Number(digits) !== 1,
  );
}

test('every number of a profile has a source, or the word guess or fitted', () => {
  const bare: string[] = [];
  let numbers = 0;
  for (const name of readdirSync(folder)) {
    if (code.test(name) || name === oneSource) continue;
    const lines = readFileSync(join(folder, name), 'utf8').split('\n');
    for (const [i, line] of lines.entries()) {
      if (!hasNumber(line)) continue;
      numbers++;
      if (!isSourced(line.split('//')[1] ?? '')) bare.push(`${name}:${i + 1} ${line.trim()}`);
    }
  }
  assert.equal(bare, []);
  assert.ok(numbers > 300, `${numbers} numbers`);
});

test('every calibration row has a source that is listed, or says that it is remembered', () => {
  const unknown = rows
    .filter(({ source }) => source !== 'remembered' && !keys.some((key) => source.includes(key)))
    .map(({ profile, name, source }) => `${profile} ${name}: ${source}`);
  assert.equal(unknown, []);
});

test.run();
