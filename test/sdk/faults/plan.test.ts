import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { UltimaError } from '../../../sdk/errors.js';
import { faultKindNames, faultKinds, ruleOf } from '../../../sdk/faults/kinds.js';
import { checkFaultPlan, faultValue } from '../../../sdk/faults/plan.js';
import { open } from '../../../sdk/open.js';
import { readFaultPlan } from '../../../sdk/testing/fault-plan.js';
import { suite } from '../../support/suite.js';

const test = suite('fault plan');

function refusal(plan: unknown): { field: string; text: string } {
  try {
    checkFaultPlan(plan);
  } catch (error) {
    assert.instance(error, UltimaError);
    assert.is(error instanceof UltimaError && error.code, 'FAULT_PLAN_INVALID');
    const facts = error instanceof UltimaError ? error.facts : {};
    return { field: String(facts.field), text: String(error) };
  }
  return { field: 'none', text: '' };
}

const fault = (changes: object) => ({
  faults: [{ kind: 'latency spike', addNs: 5, when: { command: {} }, ...changes }],
});

test('what is left out is filled in', () => {
  const { seed, faults } = checkFaultPlan(fault({ when: { command: { opcode: 'identify' } } }));
  assert.is(seed, 1);
  const [only] = faults;
  assert.equal(only?.match, {
    opcode: 0x06,
    isAdmin: true,
    queue: -1,
    lba: -1,
    blockCount: 1,
    first: 1,
    every: 1,
    probability: 1,
  });
  assert.is(only?.count, 1);
  assert.is(only?.functionIndex, 0);
  assert.is(only?.namespace, 1);
  assert.is(faultValue(only!, 'addNs'), 5);
});

for (const [what, plan, field, allowed] of [
  ['no object', 7, 'the plan', /an object/],
  ['no list', { faults: {} }, 'faults', /a list of faults/],
  ['a field beside the list', { faults: [], seeds: 1 }, 'the plan.seeds', /seed, faults/],
  ['a negative seed', { seed: -1, faults: [] }, 'seed', /0\.\./],
  ['an unknown kind', fault({ kind: 'gremlin' }), 'faults[0].kind', /power cut, link down/],
  ['no kind', fault({ kind: undefined }), 'faults[0].kind', /missing: one of/],
  ['a field of another kind', fault({ kelvin: 300 }), 'faults[0].kelvin', /when, .*addNs/],
  ['a fraction', fault({ addNs: 1.5 }), 'faults[0].addNs', /1\.5: an integer 0\.\./],
  ['a value beyond its range', fault({ count: 0 }), 'faults[0].count', /0: an integer 1\.\./],
  ['a missing value', fault({ addNs: undefined }), 'faults[0].addNs', /missing: an integer/],
  ['no moment', fault({ when: {} }), 'faults[0].when', /exactly one of event, atNs, command/],
  ['two moments', fault({ when: { event: 1, atNs: 2 } }), 'faults[0].when', /exactly one of/],
  ['a command fault at a time', fault({ when: { atNs: 2 } }), 'faults[0].when', /a command only/],
  [
    'an unknown opcode',
    fault({ when: { command: { opcode: 'reed' } } }),
    'faults[0].when.command.opcode',
    /flush, write, read/,
  ],
  [
    'an unknown condition',
    fault({ when: { command: { lbas: 3 } } }),
    'faults[0].when.command.lbas',
    /opcode, queue, lba/,
  ],
  [
    'a probability of none',
    fault({ when: { command: { probability: 0 } } }),
    'faults[0].when.command.probability',
    /above 0/,
  ],
  ['an unknown place', fault({ where: { dye: 1 } }), 'faults[0].where.dye', /card, function/],
  [
    'a word that is none of the choices',
    { faults: [{ kind: 'corrupted completion', field: 'crc', when: { command: {} } }] },
    'faults[0].field',
    /cid or sqid or sqhd/,
  ],
  [
    'a media error that nobody places',
    { faults: [{ kind: 'media error', when: { atNs: 5 } }] },
    'faults[0].lba',
    /which block/,
  ],
  [
    'a time that strikes twice',
    { faults: [{ kind: 'bus reset', count: 2, when: { atNs: 5 } }] },
    'faults[0].count',
    /at commands/,
  ],
] as const) {
  test(`${what} is refused with the field and what it may be`, () => {
    const { field: named, text } = refusal(plan);
    assert.is(named, field);
    assert.match(text, allowed);
  });
}

test('every kind says what it is, what survives, and each of its fields', () => {
  for (const kind of faultKindNames) {
    const rule = ruleOf(kind);
    assert.ok(rule.text.length > 10 && rule.survives.length > 5, kind);
    for (const field of Object.values(rule.fields)) assert.ok(field.text.length > 5, kind);
  }
  assert.is(faultKindNames.length, Object.keys(faultKinds).length);
});

test('a file is read and checked, and one that cannot be is named', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ultima-faults-'));
  const path = join(folder, 'plan.json');
  const codeOf = async (): Promise<string> => {
    const error = await readFaultPlan(path).catch((reason: unknown) => reason);
    return error instanceof UltimaError ? `${error.code} ${error.message.includes(path)}` : 'none';
  };
  assert.is(await codeOf(), 'FILE_INVALID true');
  writeFileSync(path, '{ "faults": [');
  assert.is(await codeOf(), 'FILE_INVALID true');
  writeFileSync(path, JSON.stringify({ faults: [{ kind: 'bus reset', when: { event: 9 } }] }));
  assert.is((await readFaultPlan(path)).faults[0]!.at, 9);
  rmSync(folder, { recursive: true });
});

test('a plan for a real card is refused before the card is touched', async () => {
  const faults = checkFaultPlan({ faults: [] });
  const error = await open('vfio:0000:ff:00.0', { faults }).catch((reason: unknown) => reason);
  assert.is(error instanceof UltimaError && error.code, 'DEVICE_UNSUPPORTED');
});

test.run();
