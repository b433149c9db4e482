import * as assert from 'uvu/assert';
import { bestEffort } from '../../../../sdk/qos/tiers.js';
import { MediaRoom } from '../../../../sim/nvme/qos/media-room.js';
import { defineProfile, findProfile } from '../../../../sim/profiles/index.js';
import { World } from '../../../../sim/world.js';
import { suite } from '../../../support/suite.js';
import { Load, openCard, quickProfile, runLoads } from './load.js';

const test = suite('room in the media');

const depth = { depthUnits: 4, quietDepthUnits: 8 };
const msNs = 1_000_000;

function makeRoom(): { readonly world: World; readonly room: MediaRoom } {
  const world = new World({ seed: 1 });
  const { qos } = defineProfile(findProfile('ultima-g2'), {
    qos: { ...findProfile('ultima-g2').qos!, ...depth },
  });
  return { world, room: new MediaRoom(world, qos!) };
}

test('there is more of it until somebody with a reservation asks, and 10 ms after', () => {
  const { world, room } = makeRoom();
  room.enter(7, false);
  assert.is(room.isFull, false);
  room.asked();
  assert.is(room.isFull, true);
  world.advance(10 * msNs);
  assert.is(room.isFull, true);
  world.advance(1);
  assert.is(room.isFull, false);
  room.enter(1, false);
  assert.is(room.isFull, true);
});

test('what goes by reservation has as much by itself', () => {
  const { room } = makeRoom();
  room.asked();
  room.enter(4, false);
  assert.equal([room.isFull, room.isFullOfReserved], [true, false]);
  room.enter(3, true);
  assert.is(room.isFullOfReserved, false);
  room.enter(1, true);
  assert.is(room.isFullOfReserved, true);
  room.leave(1, true);
  assert.equal([room.isFull, room.isFullOfReserved], [true, false]);
  room.leave(4, false);
  room.leave(3, true);
  assert.is(room.isFull, false);
});

test('best effort fills the media while who reserves them is silent, and makes room when not', async () => {
  // Eight reads of 80 us at a time, or four of them.
  const opened = await openCard(2, { qos: { ...quickProfile.qos!, ...depth } });
  const { card, controller, qos } = opened;
  const own = { ...bestEffort, name: 'own', minIops: 2_000 };
  await qos.setTiers([bestEffort, own, { ...bestEffort, name: 'heavy', weight: 2 }]);
  await qos.assign(1, 1);
  await qos.assign(2, 2);
  const neighbour = new Load(await controller.namespace(2), { depth: 64 });
  const endedIn = (loads: readonly Load[]): number => {
    const startNs = card.world.nowNs;
    runLoads(card, loads, startNs + 100 * msNs);
    return neighbour.countIn(startNs, startNs + 100 * msNs);
  };
  const silent = endedIn([neighbour]);
  assert.ok(Math.abs(silent - 10_000) < 300, `${silent} of 10,000`);
  // It has 80 us of a millisecond for itself.
  const asking = new Load(await controller.namespace(1), { rate: 1_000 });
  const beside = endedIn([asking, neighbour]);
  assert.ok(Math.abs(beside - 4_900) < 300, `${beside} of 4,900`);
  // It goes at once, beside the four: 80 us and 30 % more at most, and the way there and back.
  const p99Us = asking.latency.percentile(99) / 1000;
  assert.ok(p99Us < 112, `${p99Us} us`);
  asking.isStopped = true;
  runLoads(card, [asking, neighbour], card.world.nowNs + 15 * msNs);
  const again = endedIn([asking, neighbour]);
  assert.ok(Math.abs(again - 10_000) < 300, `${again} of 10,000`);
  card.checker.demandNone();
});

test.run();
