import * as assert from 'uvu/assert';
import { policyFrom, policyJson } from '../../../sdk/qos/policy-file.js';
import { bestEffort } from '../../../sdk/qos/tiers.js';
import { suite } from '../../support/suite.js';

const test = suite('a policy in a file');

const none = Number.POSITIVE_INFINITY;
const file = {
  tiers: [
    { name: 'database', minIops: 30_000, weight: 4.5, burst: 64, latencyTargetNs: 500_000 },
    { name: 'backup', maxIops: 5_000, maxBytesPerSecond: null },
  ],
  namespaces: { 1: 'database', 2: 'backup', 3: 'high', 4294967294: 'best-effort' },
};

function refusal(value: unknown): string {
  try {
    policyFrom(value);
  } catch (error) {
    if (error instanceof RangeError) return error.message;
    throw error;
  }
  return 'taken';
}

/** What is said of a tier with other values than one that can be. */
function refusedTier(changes: object): string {
  return refusal({ tiers: [{ name: 'own', ...changes }], namespaces: {} });
}

test('what is left out, or null, is none; and 1 for a weight', () => {
  const { tiers, namespaces } = policyFrom(file);
  assert.equal(tiers, [
    {
      ...bestEffort,
      name: 'database',
      minIops: 30_000,
      weight: 4.5,
      burst: 64,
      latencyTargetNs: 500_000,
    },
    { ...bestEffort, name: 'backup', maxIops: 5_000, maxBytesPerSecond: none, weight: 1 },
  ]);
  assert.equal(namespaces, file.namespaces);
  assert.equal(policyFrom({}), { tiers: [], namespaces: {} });
});

test('a policy that is written and read again is the same, its tiers by name', () => {
  const policy = policyFrom(file);
  const text = JSON.stringify(policyJson(policy));
  // Not only in the text, where JSON makes null of Infinity by itself.
  assert.equal(
    policyJson(policy).tiers.map(({ maxIops, maxBytesPerSecond }) => [maxIops, maxBytesPerSecond]),
    [
      [5_000, null],
      [null, null],
    ],
  );
  const again = policyFrom(JSON.parse(text));
  assert.equal(again, { ...policy, tiers: [policy.tiers![1], policy.tiers![0]] });
  assert.equal(policyJson(again), policyJson(policy));
});

test('every wrong value is refused with its place, itself and what can be', () => {
  const rate = 'a whole number 0..1000000000';
  const cases: readonly (readonly [object, string | RegExp])[] = [
    [{ minIops: -1 }, `tiers[0].minIops is -1; it must be ${rate}`],
    [{ minIops: 1.5 }, `tiers[0].minIops is 1.5; it must be ${rate}`],
    [{ minIops: '20000' }, `tiers[0].minIops is "20000"; it must be ${rate}`],
    [
      { maxIops: 0 },
      'tiers[0].maxIops is 0; it must be a whole number 1..1000000000; null for none',
    ],
    [{ minBytesPerSecond: 2e12 }, /minBytesPerSecond is 2000000000000; .* 0\.\.1000000000000$/],
    [{ maxBytesPerSecond: 5e12 }, /maxBytesPerSecond is 5000000000000; .* 1\.\.4096000000000;/],
    [
      { weight: 0 },
      'tiers[0].weight is 0; it must be a number 0.001..1000000 in whole thousandths',
    ],
    [{ weight: 0.0015 }, /weight is 0.0015; .* whole thousandths/],
    [{ weight: null, burst: 0 }, /burst is 0; it must be a whole number 1..1000000000/],
    [{ latencyTargetNs: -5 }, /latencyTargetNs is -5/],
    [{ name: 7 }, 'tiers[0].name is 7; it must be a text'],
    [{ name: 'Own' }, /tiers\[0\]: tier name 'Own': 1..63 lower case/],
    [{ name: 'best-effort' }, /tiers\[0\]: tier 'best-effort' is what is left over/],
    [{ minIops: 20, maxIops: 10 }, 'tiers[0]: a reservation of 20 above the limit of 10'],
    [{ miniops: 20 }, /tiers\[0\] has 'miniops'; there can be name, weight, minIops/],
  ];
  for (const [changes, message] of cases) {
    const said = refusedTier(changes);
    const isRight = typeof message === 'string' ? said === message : message.test(said);
    assert.ok(isRight, `${said} instead of ${message}`);
  }
});

test('a policy of another shape, a ninth tier and a name that is not there are refused', () => {
  assert.is(refusal(null), 'the policy is null; it must be an object');
  assert.is(refusal([]), 'the policy is []; it must be an object');
  assert.match(refusal({ tier: [] }), /the policy has 'tier'; there can be tiers, namespaces/);
  assert.match(refusal({ tiers: {} }), /tiers is {}; it must be a list/);
  assert.match(refusal({ tiers: ['high'] }), /tiers\[0\] is "high"; it must be an object/);
  assert.match(refusal({ namespaces: ['high'] }), /namespaces is \["high"\]; it must be an object/);
  assert.match(refusal({ namespaces: { 0: 'high' } }), /namespaces is "0"; .* 1\.\.4294967294/);
  assert.match(refusal({ namespaces: { '01': 'high' } }), /is "01"/);
  assert.match(refusal({ namespaces: { 4294967295: 'high' } }), /is "4294967295"/);
  const gold = refusal({ namespaces: { 3: 'gold' } });
  assert.is(gold, 'namespaces[3] is "gold"; it must be one of best-effort, high, medium');
  const names = ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => ({ name }));
  assert.match(refusal({ tiers: names }), /tiers\[5\]: tier 'f' would be the ninth; a card has 8/);
  assert.is(refusal({ tiers: names.slice(1) }), 'taken');
  const twice = refusal({ tiers: [{ name: 'a' }, { name: 'a' }] });
  assert.is(twice, 'tiers[1].name is "a"; it must be a name that no tier before has');
});

test.run();
