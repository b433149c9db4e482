import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { applyPolicy, showPolicy } from '../../../sdk/cli/qos-policy.js';
import { ErrorCode, UltimaError } from '../../../sdk/errors.js';
import type { UltimaQos } from '../../../sdk/nvme/ultima-qos.js';
import { policyFrom, type QosPolicy } from '../../../sdk/qos/policy-file.js';
import { bestEffort, shareOf, type Tier } from '../../../sdk/qos/tiers.js';
import { TestPrng } from '../../../sdk/testing/prng.js';
import { type OpenedCard, openCard } from '../../sim/nvme/qos/load.js';
import { suite } from '../../support/suite.js';
import { at, ultima } from './spawned.js';

const test = suite('a policy for a card');

/** What the card of these tests promises. */
const capacity = 90_000;
const namespaceCount = 4;

function tier(name: string, minIops: number, more: Partial<Tier> = {}): Tier {
  return { ...bestEffort, name, minIops, ...more };
}

async function apply(
  { controller, qos }: OpenedCard,
  policy: QosPolicy,
  { isDryRun = false, orBestEffort = false } = {},
): Promise<object> {
  return (await applyPolicy(controller, qos, { policy, isDryRun, orBestEffort })).json;
}

async function shown(qos: UltimaQos): Promise<QosPolicy> {
  return policyFrom((await showPolicy(qos)).json);
}

/** The tiers by name, with those that every card has, and who has which but best-effort. */
function wholeOf(policy: QosPolicy): object {
  const tiers = policy.tiers ?? [];
  const builtIn = [
    tier('high', 20_000, { minBytesPerSecond: 62_500_000, weight: 4 }),
    tier('medium', 5_000, { minBytesPerSecond: 15_625_000, weight: 2 }),
  ];
  const all = [...tiers, ...builtIn.filter(({ name }) => !tiers.some((one) => one.name === name))];
  const namespaces = Object.entries(policy.namespaces).filter(([, name]) => name !== 'best-effort');
  return {
    tiers: all.sort((a, b) => (a.name < b.name ? -1 : 1)),
    namespaces: Object.fromEntries(namespaces),
  };
}

/** Units per second that a policy reserves. */
function promisedBy(policy: QosPolicy): number {
  const tiers = new Map((policy.tiers ?? []).map((one) => [one.name, one]));
  tiers.set('high', tiers.get('high') ?? tier('high', 20_000));
  tiers.set('medium', tiers.get('medium') ?? tier('medium', 5_000));
  const names = Object.values(policy.namespaces);
  return names.reduce((sum, name) => {
    const found = tiers.get(name);
    return sum + (found === undefined ? 0 : shareOf(found).reservation);
  }, 0);
}

test('a policy that is applied is what is shown, and applying that changes nothing', async () => {
  const card = await openCard(namespaceCount);
  const policy: QosPolicy = {
    tiers: [tier('backup', 0, { maxIops: 5_000 }), tier('db', 60_000, { weight: 2, burst: 64 })],
    namespaces: { 1: 'db', 2: 'backup', 4: 'high' },
  };
  await apply(card, policy);
  assert.equal(await shown(card.qos), wholeOf(policy));
  const again = await apply(card, await shown(card.qos));
  assert.equal(at(again, 'changes'), []);
  assert.is(at(again, 'promisedUnits'), 80_000);
  assert.is(at(again, 'availableUnits'), capacity);
});

test('a dry run says what would change and whether it fits, and changes nothing', async () => {
  const card = await openCard(namespaceCount);
  const before = await shown(card.qos);
  const db = { tiers: [tier('db', 60_000)], namespaces: { 3: 'db' } };
  const said = await apply(card, db, { isDryRun: true });
  assert.equal(at(said, 'changes'), [
    { what: "tier 'db'", from: null, to: 'at least 60,000 units/s, weight 1' },
    { what: 'namespace 3', from: 'best-effort', to: 'db' },
  ]);
  assert.equal(await shown(card.qos), before);
  const both = { ...db, namespaces: { 3: 'db', 4: 'db' } };
  for (const isDryRun of [true, false]) {
    try {
      await apply(card, both, { isDryRun });
      assert.unreachable();
    } catch (error) {
      assert.ok(error instanceof UltimaError && error.code === ErrorCode.qosOvercommitted);
      assert.equal([error.facts.promised, error.facts.available], [60_000, capacity]);
    }
    assert.equal(await shown(card.qos), before);
  }
  const taken = await apply(card, both, { orBestEffort: true });
  assert.equal(at(taken, 'withoutMinimum'), [4]);
  assert.is((await card.qos.capabilities()).promisedUnits, 60_000);
});

test('a namespace that is not there is named, and nothing has changed', async () => {
  const card = await openCard(namespaceCount);
  const before = await shown(card.qos);
  try {
    await apply(card, { tiers: [tier('db', 1)], namespaces: { 7: 'db' } });
    assert.unreachable();
  } catch (error) {
    assert.match(String(error), /namespace 7 of the policy is not there; there are 1, 2, 3, 4/);
  }
  assert.equal(await shown(card.qos), before);
});

test('two that change places never ask for more than there is on the way', async () => {
  const card = await openCard(namespaceCount);
  const tiers = [tier('large', 70_000), tier('small', 20_000)];
  await apply(card, { tiers, namespaces: { 1: 'large', 2: 'small' } });
  await apply(card, { tiers, namespaces: { 1: 'small', 2: 'large' } });
  assert.equal((await shown(card.qos)).namespaces, { 1: 'small', 2: 'large' });
  // The tier that one leaves is raised for another.
  const raised = [tier('large', 70_000), tier('small', 90_000)];
  await apply(card, { tiers: raised, namespaces: { 3: 'small' } });
  assert.equal((await shown(card.qos)).namespaces, { 3: 'small' });
});

test('a namespace whose minimum did not fit gets it when it does', async () => {
  const card = await openCard(namespaceCount);
  const tiers = [tier('half', 50_000)];
  const both = { tiers, namespaces: { 1: 'half', 2: 'half' } };
  await apply(card, both, { orBestEffort: true });
  await apply(card, { tiers, namespaces: { 2: 'half' } });
  const [counters] = await card.qos.counters();
  assert.equal([counters!.nsid, counters!.isBestEffort], [2, false]);
});

test('any policy after any other is in force as it is, or refused and nothing has changed', async () => {
  const card = await openCard(namespaceCount);
  const prng = new TestPrng(5);
  const names = ['a', 'b', 'c', 'd', 'high', 'medium'];
  let refused = 0;
  for (let round = 0; round < 100; round++) {
    const tiers = names
      .filter((name) => name === 'high' || name === 'medium' || prng.below(3) > 0)
      .map((name) => tier(name, 10_000 * prng.below(7), { weight: 1 + prng.below(3) }));
    const known = ['best-effort', ...tiers.map(({ name }) => name)];
    const namespaces: Record<number, string> = {};
    for (let nsid = 1; nsid <= namespaceCount; nsid++) {
      if (prng.below(4) > 0) namespaces[nsid] = known[prng.below(known.length)]!;
    }
    const policy = { tiers, namespaces };
    const fits = promisedBy(policy) <= capacity;
    const before = await shown(card.qos);
    try {
      await apply(card, policy);
      assert.ok(fits, `round ${round}: taken, and promises ${promisedBy(policy)}`);
      assert.equal(await shown(card.qos), wholeOf(policy), `round ${round}`);
      assert.is((await card.qos.capabilities()).promisedUnits, promisedBy(policy));
    } catch (error) {
      const isRefusal = error instanceof UltimaError && error.code === ErrorCode.qosOvercommitted;
      assert.ok(isRefusal && !fits, `round ${round}: ${error}`);
      assert.equal(await shown(card.qos), before);
      refused++;
    }
  }
  assert.ok(refused > 10 && refused < 90, `${refused} of 100 were refused`);
});

test('from the command line a file goes round, and a wrong one says where', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ultima-policy-'));
  const file = join(folder, 'policy.json');
  const saved = join(folder, 'card.ultima');
  writeFileSync(file, '{"tiers": [{"name": "db", "minIops": 30000}], "namespaces": {"1": "db"}}');
  const plain = 'sim:ultima-g2';
  const done = ultima('qos', 'apply', plain, file, '--save', saved);
  assert.is(done.code, 0, done.err);
  assert.match(done.out, /^namespace 1: best-effort -> db$/m);
  assert.match(done.out, /^promised 30,000 units\/s of 900,000 units\/s$/m);
  const card = `${plain}?checkpoint=${saved}`;
  const { out } = ultima('qos', 'show', card, '-o', 'json');
  writeFileSync(file, out);
  const again = ultima('qos', 'apply', card, file, '--dry-run');
  assert.match(again.out, /the card has this policy already/);
  const wrong = (text: string): string => {
    writeFileSync(file, text);
    const { code, err } = ultima('qos', 'apply', plain, file);
    assert.is(code, 2);
    return err;
  };
  assert.match(wrong('{'), /policy.json is no JSON/);
  assert.match(wrong('{"namespaces": {"1": "gold"}}'), /policy.json: namespaces\[1\] is "gold"/);
  writeFileSync(file, '{"namespaces": {"1": "high"}}');
  const dry = ultima('qos', 'apply', 'sim:simple', file, '--dry-run');
  assert.match(dry.out, /a policy for a gate/);
  rmSync(folder, { recursive: true });
});

test.run();
