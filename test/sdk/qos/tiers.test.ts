import * as assert from 'uvu/assert';
import { BlockOp, BlockRequest } from '../../../sdk/block/request.js';
import { ErrorCode, UltimaError } from '../../../sdk/errors.js';
import { Admission } from '../../../sdk/qos/admission.js';
import { CostModel } from '../../../sdk/qos/cost.js';
import { bestEffort, builtInTiers, shareOf, TierTable } from '../../../sdk/qos/tiers.js';
import { suite } from '../../support/suite.js';

const test = suite('qos tiers, costs and admission');
const none = Number.POSITIVE_INFINITY;

test('the product has three tiers, and nothing is promised to best effort', () => {
  const shares = builtInTiers.map((tier) => [tier.name, shareOf(tier).reservation]);
  assert.equal(shares, [
    ['high', 20_000],
    ['medium', 5_000],
    ['best-effort', 0],
  ]);
});

test('of IOPS and bandwidth the larger minimum and the smaller maximum count', () => {
  const tier = { ...bestEffort, name: 'large', minIops: 1_000, maxIops: 10_000 };
  const wide = { ...tier, minBytesPerSecond: 62_500_000, maxBytesPerSecond: 250_000_000 };
  assert.equal(shareOf(tier), { reservation: 1_000, limit: 10_000, weight: 1 });
  assert.is(Math.round(shareOf(wide).reservation), 15_259);
  assert.is(shareOf(wide).limit, 10_000);
  assert.is(shareOf({ ...wide, maxIops: none }).limit, 250_000_000 / 4096);
});

test('a card has eight tiers; best-effort stays as it is', () => {
  const table = new TierTable();
  for (let i = 0; i < 5; i++) table.set({ ...bestEffort, name: `tier-${i}`, minIops: i });
  assert.throws(() => table.set({ ...bestEffort, name: 'ninth' }), /'ninth' would be the ninth/);
  table.set({ ...bestEffort, name: 'tier-3', minIops: 77 });
  assert.is(table.get('tier-3').minIops, 77);
  assert.throws(() => table.set({ ...bestEffort, minIops: 1 }), /cannot be changed/);
  assert.throws(() => table.remove('best-effort'), /cannot be removed/);
  table.remove('tier-0');
  assert.throws(() => table.get('tier-0'), /no tier 'tier-0'; there are best-effort, high, medium/);
});

test('a tier that cannot be is refused with its field', () => {
  const table = new TierTable();
  const named = { ...bestEffort, name: 'mine' };
  assert.throws(() => table.set({ ...named, name: 'My Tier' }), /'My Tier'/);
  assert.throws(() => table.set({ ...named, minIops: -5 }), /minIops is -5/);
  assert.throws(() => table.set({ ...named, maxBytesPerSecond: 0 }), /maxBytesPerSecond is 0/);
  assert.throws(() => table.set({ ...named, minIops: 9, maxIops: 5 }), /9 above the limit of 5/);
  assert.is(table.list().length, 3);
});

test('a request costs its weight times its size, and no less than one unit of it', () => {
  const model = new CostModel({ write: 10, discard: 3, flush: 2 });
  const request = new BlockRequest(() => {});
  const costs = [
    [BlockOp.read, 1, 1],
    [BlockOp.read, 8, 1],
    [BlockOp.read, 128, 16],
    [BlockOp.write, 1, 10],
    [BlockOp.write, 12, 15],
    [BlockOp.discard, 100_000, 3],
    [BlockOp.writeZeroes, 100_000, 3],
    [BlockOp.flush, 0, 2],
  ] as const;
  for (const [op, blockCount, units] of costs) {
    request.op = op;
    request.blockCount = blockCount;
    assert.is(model.of(request, 512), units, `operation ${op}, ${blockCount} blocks`);
  }
  assert.throws(() => new CostModel({ write: 0, discard: 1, flush: 1 }), /write costs 0 units/);
});

const capacity = [
  { latencyNs: 500_000, unitsPerSecond: 360_000 },
  { latencyNs: 1_000_000, unitsPerSecond: 500_000 },
  { latencyNs: 2_000_000, unitsPerSecond: 570_000 },
];
const asking = (reservation: number) => ({ share: { reservation, limit: none, weight: 1 } });

test('reservations fit in the capacity at the strictest latency, less the headroom', () => {
  const admission = new Admission({ capacity });
  assert.is(admission.available(), 513_000);
  assert.is(admission.available(750_000), 387_000);
  admission.admit('a', asking(300_000));
  admission.admit('b', asking(213_000));
  let refused: unknown = null;
  try {
    admission.admit('c', asking(1));
  } catch (error) {
    refused = error;
  }
  assert.instance(refused, UltimaError);
  if (!(refused instanceof UltimaError)) return;
  assert.is(refused.code, ErrorCode.qosOvercommitted);
  assert.equal(refused.facts, { asked: 1, promised: 513_000, available: 513_000 });
  admission.release('b');
  admission.admit('c', asking(1));
  assert.is(admission.promised, 300_001);
});

test('one who asks for a short latency lowers what can be promised to all', () => {
  const admission = new Admission({ capacity, headroom: 0 });
  admission.admit('slow', asking(400_000));
  const fast = { ...asking(100_000), latencyTargetNs: 750_000 };
  assert.throws(() => admission.admit('fast', fast), /400000 of 430000 are promised to others/);
  admission.admit('fast', { ...fast, ...asking(30_000) });
  const impossible = { ...asking(1), latencyTargetNs: 100_000 };
  assert.throws(() => admission.admit('impossible', impossible), /of 0 are promised/);
  assert.is(admission.promised, 430_000);
});

test('what does not fit can be taken as best effort, and a change counts what it had', () => {
  const admission = new Admission({ capacity, headroom: 0 });
  admission.admit('a', asking(500_000));
  const share = admission.admit('b', { ...asking(100_000), orBestEffort: true });
  assert.is(share.reservation, 0);
  assert.is(admission.admit('a', asking(570_000)).reservation, 570_000);
});

test.run();
