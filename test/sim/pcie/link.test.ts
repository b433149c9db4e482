import * as assert from 'uvu/assert';
import { LinkTiming } from '../../../sim/pcie/link.js';
import { defineProfile, findProfile } from '../../../sim/profiles/index.js';
import { World } from '../../../sim/world.js';
import { suite } from '../../support/suite.js';

const test = suite('link timing');
const base = findProfile('simple');

function makeLink(generation: number, lanes: number) {
  const profile = defineProfile(base, {
    link: {
      generation,
      lanes,
      maxPayloadBytes: 256,
      packetOverheadBytes: 24,
      propagationNs: 0,
      completerNs: 0,
    },
  });
  const world = new World();
  return { world, link: new LinkTiming(world, profile.link) };
}

test('a write of 4 KiB takes its packets times the line rate', () => {
  // 16 packets of 256 + 24 bytes; generation 3: 1.015625 ns per byte and lane.
  assert.is(makeLink(3, 4).link.reserveWrite(4096), Math.floor((4480 * 1.015625) / 4));
  assert.is(makeLink(1, 1).link.reserveWrite(4096), 4480 * 4);
  assert.is(makeLink(4, 16).link.reserveWrite(4096), Math.floor((4480 * 65) / 128 / 16));
});

test('each generation and each doubling of lanes is faster than the one before', () => {
  const times = [1, 2, 3, 4, 5].map((generation) =>
    makeLink(generation, 1).link.reserveWrite(65_536),
  );
  for (let i = 1; i < times.length; i++) assert.ok(times[i]! < times[i - 1]! * 0.6);
  const widths = [1, 2, 4, 8, 16].map((lanes) => makeLink(3, lanes).link.reserveWrite(65_536));
  for (let i = 1; i < widths.length; i++) assert.ok(widths[i]! < widths[i - 1]! * 0.51);
});

test('a thousand small transfers take as long as their sum: nothing is rounded away', () => {
  const { link } = makeLink(5, 16);
  let last = 0;
  for (let i = 0; i < 1000; i++) last = link.reserveWrite(16);
  assert.is(last, Math.floor((1000 * 40 * 65) / 256 / 16));
});

test('data of a read does not hold up a write, its requests do', () => {
  const { link } = makeLink(1, 1);
  const alone = makeLink(1, 1).link.reserveWrite(4096);
  link.reserveRead(1024);
  // Two requests of at most 512 bytes, 24 bytes each, 4 ns per byte.
  assert.is(link.reserveWrite(4096), alone + 2 * 24 * 4);
});

test('a read takes its requests up and then its completions down', () => {
  const { link } = makeLink(1, 1);
  // 8 requests; 16 completions of 256 bytes with a header of three dwords: 20 bytes each.
  assert.is(link.reserveRead(4096), 8 * 24 * 4 + (4096 + 16 * 20) * 4);
});

test('propagation is added once to a write and twice, with the completer, to a read', () => {
  const world = new World();
  const link = new LinkTiming(world, { ...base.link, propagationNs: 300, completerNs: 70 });
  assert.is(link.postedNs, 300);
  assert.is(link.nonPostedNs, 670);
  const plain = makeLink(3, 4).link;
  assert.is(link.reserveWrite(512) - plain.reserveWrite(512), 300);
  assert.is(link.reserveRead(512) - plain.reserveRead(512), 670);
});

test.run();
