import * as assert from 'uvu/assert';
import { type Candidate, placeMembers } from '../../../sdk/node/placement.js';
import { Prng } from '../../../sim/prng.js';
import { suite } from '../../support/suite.js';

const test = suite('placement of members');
const GiB = 2 ** 30;

function node(name: string, zone: string, freeGiB = 10, isFit = true): Candidate {
  return { name, zone, freeBytes: freeGiB * GiB, isFit };
}

const wish = { count: 1, bytes: 0, taken: [] };

test('no two members share a zone while there is another', () => {
  const nodes = [node('a1', 'a', 90), node('a2', 'a', 80), node('b1', 'b', 1), node('c1', 'c', 2)];
  assert.equal(placeMembers(nodes, { ...wish, count: 3 }), ['a1', 'c1', 'b1']);
});

test('with fewer zones than members each zone has its share', () => {
  const nodes = [node('a1', 'a', 90), node('a2', 'a', 80), node('a3', 'a', 70), node('b1', 'b', 1)];
  assert.equal(placeMembers(nodes, { ...wish, count: 3 }), ['a1', 'b1', 'a2']);
});

test('the zones of members that are there count', () => {
  const nodes = [node('a1', 'a'), node('a2', 'a', 90), node('b1', 'b', 5), node('b2', 'b', 6)];
  assert.equal(placeMembers(nodes, { ...wish, taken: ['a1'] }), ['b2']);
});

test('the node that will use the volume is first, if it can be', () => {
  const nodes = [node('a', 'z', 90), node('b', 'z', 1), node('c', 'z', 50, false)];
  assert.is(placeMembers(nodes, { ...wish, preferred: 'b' })[0], 'b');
  assert.is(placeMembers(nodes, { ...wish, preferred: 'c' })[0], 'a');
});

test('nodes that are away, full or taken are named when there are too few', () => {
  const nodes = [node('a', 'z', 1), node('b', 'z', 90, false), node('c', 'z'), node('d', 'z')];
  const asked = () => placeMembers(nodes, { count: 2, bytes: 2 * GiB, taken: ['c'] });
  assert.throws(asked, /2 members .* wanted, 1 can take one: a has .* free, .*; b is away or not/);
  assert.throws(asked, /c has a member already/);
});

/** Every choice there is, by brute force: the most zones that any of them reaches. */
function mostZones(candidates: readonly Candidate[], count: number): number {
  if (count === 0) return 0;
  let most = 0;
  for (let bits = 0; bits < 2 ** candidates.length; bits++) {
    const chosen = candidates.filter((_, i) => (bits >> i) % 2 === 1);
    if (chosen.length === count) most = Math.max(most, new Set(chosen.map((n) => n.zone)).size);
  }
  return most;
}

test('no other choice of nodes has more zones', () => {
  const seed = 5;
  const prng = new Prng(seed, 'placement');
  for (let round = 0; round < 300; round++) {
    const nodes = Array.from({ length: 3 + prng.below(5) }, (_, i) =>
      node(`n${i}`, `z${prng.below(4)}`, prng.below(100)),
    );
    const places = placeMembers(nodes, { ...wish, count: 3 });
    const zones = new Set(places.map((name) => nodes.find((each) => each.name === name)?.zone));
    assert.is(new Set(places).size, 3, `seed ${seed}, round ${round}`);
    assert.is(zones.size, mostZones(nodes, 3), `seed ${seed}, round ${round}`);
  }
});

test.run();
