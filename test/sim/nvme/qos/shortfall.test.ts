import * as assert from 'uvu/assert';
import type { ControllerEvent } from '../../../../sdk/nvme/events.js';
import { type CardTier, qosEventOf } from '../../../../sdk/nvme/ultima-qos.js';
import { suite } from '../../../support/suite.js';
import { kelvin, Load, oneCore, openCard, runLoads } from './load.js';

const test = suite('a card that slows down');
const msNs = 1_000_000;
const none = Number.POSITIVE_INFINITY;
const bestEffort: CardTier = {
  name: 'best-effort',
  minIops: 0,
  minBytesPerSecond: 0,
  maxIops: none,
  maxBytesPerSecond: none,
  weight: 1,
};
const large: CardTier = { ...bestEffort, name: 'large', minIops: 8_000 };
const small: CardTier = { ...bestEffort, name: 'small', minIops: 2_000 };

test('takes from best effort first, then the same part of each reservation, and says so', async () => {
  const events: ControllerEvent[] = [];
  const { card, controller, qos } = await openCard(3, oneCore, (event) => events.push(event));
  await qos.setTiers([bestEffort, large, small]);
  await qos.assign(1, 1);
  await qos.assign(2, 2);
  const loads: Load[] = [];
  for (let nsid = 1; nsid <= 3; nsid++) {
    const namespace = await controller.namespace(nsid);
    // What was never written is read without the media.
    await namespace.write(0, new Uint8Array(4096));
    loads.push(new Load(namespace, { depth: 64 }));
  }
  /** Reads per second of each, half a second after a temperature. */
  const rates = (heat: number): number[] => {
    card.subsystem.health.setTemperature(heat);
    runLoads(card, loads, card.world.nowNs + 400 * msNs);
    const startNs = card.world.nowNs;
    runLoads(card, loads, startNs + 200 * msNs);
    return loads.map((load) => 5 * load.countIn(startNs, startNs + 200 * msNs));
  };
  const demand = (seen: readonly number[], wanted: readonly number[]): void =>
    seen.forEach((rate, i) => {
      assert.ok(Math.abs(rate - wanted[i]!) <= 0.02 * 8_000, `${seen}, not ${wanted}`);
    });
  const told = () => events.map(qosEventOf).filter((event) => event !== null);
  const kept = async () => (await qos.counters()).map((one) => one.keptUnitsPerSecond);
  demand(rates(kelvin.cool), [8_000, 6_000, 6_000]);
  demand(rates(kelvin.warm), [8_000, 2_000, 2_000]);
  assert.equal(told(), [], 'all reservations were kept');
  demand(rates(kelvin.hot), [4_000, 1_000, 0]);
  assert.equal(told(), ['shortfall']);
  const { keptPart, promisedUnits } = await qos.capabilities();
  assert.ok(Math.abs(keptPart - 0.5) < 0.02, `${keptPart}`);
  assert.is(promisedUnits, 10_000);
  demand(await kept(), [4_000, 1_000]);
  demand(rates(kelvin.cool), [8_000, 6_000, 6_000]);
  assert.equal(told(), ['shortfall', 'all kept'], 'the counters were read in between');
  demand(await kept(), [8_000, 2_000]);
  card.checker.demandNone();
});

test('that has nothing to do any more keeps all that it promised', async () => {
  const events: ControllerEvent[] = [];
  const { card, controller, qos } = await openCard(1, oneCore, (event) => events.push(event));
  await qos.setTiers([bestEffort, large]);
  await qos.assign(1, 1);
  const namespace = await controller.namespace(1);
  await namespace.write(0, new Uint8Array(4096));
  const load = new Load(namespace, { depth: 64 });
  card.subsystem.health.setTemperature(kelvin.hot);
  runLoads(card, [load], card.world.nowNs + 300 * msNs);
  assert.ok((await qos.capabilities()).keptPart < 0.7);
  await qos.counters();
  load.isStopped = true;
  runLoads(card, [load], card.world.nowNs + 300 * msNs);
  assert.is((await qos.capabilities()).keptPart, 1);
  assert.equal(events.map(qosEventOf).filter(Boolean), ['shortfall', 'all kept']);
});

test.run();
