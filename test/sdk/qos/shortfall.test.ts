import * as assert from 'uvu/assert';
import { GatedLoops } from '../../support/gated-loops.js';
import { suite } from '../../support/suite.js';

const test = suite('a device that slows down under a gate');
const plain = { reservation: 0, limit: Number.POSITIVE_INFINITY, weight: 1 };
const msNs = 1e6;

/** 100,000 units per second at factor 1. */
function loops(...reservations: number[]): GatedLoops {
  const made = new GatedLoops({ costs: [1, 1, 1], depth: 64, depthUnits: 16 });
  for (const [client, reservation] of reservations.entries()) {
    made.clients[client]!.change({ ...plain, reservation });
  }
  return made;
}

/** Units per second of each client, 300 ms after the pace has changed. */
function rates(made: GatedLoops, factor: number): number[] {
  made.pace(factor);
  made.runFor(300 * msNs);
  made.served.fill(0);
  made.runFor(200 * msNs);
  return [...made.served].map((units) => 5 * units);
}

function demand(seen: readonly number[], wanted: readonly number[]): void {
  for (const [i, rate] of seen.entries()) {
    assert.ok(Math.abs(rate - wanted[i]!) <= 0.02 * 8_000, `${seen}, not ${wanted}`);
  }
}

test('best effort gives way first, then each reservation keeps the same part, which is told', () => {
  const made = loops(8_000, 2_000);
  // 20,000 per second: one third by weight is less than 8,000, and the others share the rest.
  demand(rates(made, 5), [8_000, 6_000, 6_000]);
  demand(rates(made, 100 / 12), [8_000, 2_000, 2_000]);
  assert.equal(made.told, []);
  demand(rates(made, 20), [4_000, 1_000, 0]);
  assert.ok(Math.abs(made.gate.keptPart - 0.5) < 0.02, `${made.gate.keptPart}`);
  assert.ok(made.told.length > 0 && made.told.at(-1) === made.gate.keptPart, `${made.told}`);
  demand(rates(made, 5), [8_000, 6_000, 6_000]);
  assert.is(made.told.at(-1), 1);
});

test('a share that comes or changes meanwhile has the same part kept', () => {
  const made = loops(8_000, 2_000);
  rates(made, 20);
  made.clients[2]!.change({ ...plain, reservation: 10_000 });
  // 5,000 of 20,000.
  demand(rates(made, 20), [2_000, 500, 2_500]);
  const late = made.gate.open({ ...plain, reservation: 1_000 });
  made.clients[2]!.change(plain);
  demand(rates(made, 20), [4_000, 1_000, 0]);
  late.close();
});

test('a device that stood still serves reservations first as soon as it goes on', () => {
  const made = loops(8_000, 2_000);
  rates(made, 5);
  // What is begun now takes 400 ms: nothing ends meanwhile.
  made.pace(5_000);
  made.runFor(10 * msNs);
  made.pace(5);
  made.runFor(400 * msNs);
  assert.ok(made.gate.keptPart < 0.2, `${made.gate.keptPart}`);
  made.served.fill(0);
  made.runFor(50 * msNs);
  const [large, small] = made.served;
  // What was under way for best effort ends first: 8 of its units, 0.4 ms each, and its depth.
  assert.ok(large! >= 400 - 32 && small! >= 100 - 32, `${made.served}`);
  made.runFor(200 * msNs);
  assert.is(made.gate.keptPart, 1);
});

test('a reservation that nobody uses is no shortfall, and an end of all requests ends one', () => {
  const made = loops(8_000, 200_000);
  rates(made, 20);
  assert.ok(made.gate.keptPart < 0.05);
  made.isStopped = true;
  made.runFor(500 * msNs);
  assert.is(made.gate.keptPart, 1);
  const idle = new GatedLoops({ costs: [1], depth: 0, depthUnits: 16 });
  idle.gate.open({ ...plain, reservation: 1e6 });
  idle.runFor(300 * msNs);
  assert.equal(idle.told, []);
});

test.run();
