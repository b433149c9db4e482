import * as assert from 'uvu/assert';
import { suite } from '../../support/suite.js';
import { EINVAL, EOPNOTSUPP, hex, pack, ServeRig, u32 } from './rig.js';

const test = suite('vfio-user DMA logging');

const E2BIG = 7;
const feature = 16;
const [start, stop, report] = [6, 7, 8];
const get = 0x1_0000;
const set = 0x2_0000;
const probe = 0x4_0000;
const base = 0x10_0000;
const page = 4096;

const ask = (number: number, flags: number, data = hex(''), argsz = 4096): Uint8Array =>
  Uint8Array.from([...pack([argsz, 4], [number + flags, 4]), ...data]);
const starting = (...ranges: readonly (readonly [number, number])[]): Uint8Array =>
  Uint8Array.from([
    ...pack([65_536, 8], [ranges.length, 4], [0, 4]),
    ...ranges.flatMap(([address, length]) => [...pack([address, 8], [length, 8])]),
  ]);
const range = (address: number, length: number, unit = page): Uint8Array =>
  pack([address, 8], [length, 8], [unit, 8]);

/** A rig with 64 pages that the device may reach, and what it does with them. */
function fixture() {
  const rig = new ServeRig();
  rig.done(10, rig.access(7, 4, 2, hex('06 00')));
  rig.give(base, 64 * page);
  const { memory } = rig.server.card.function;
  const write = (offset: number, length: number): void => {
    assert.ok(memory.writeBytes(base + offset, new Uint8Array(length), 0, length));
  };
  const bitmap = (at: number, length: number, unit = page): Uint8Array =>
    rig.done(feature, ask(report, get, range(at, length, unit))).slice(32);
  return { rig, memory, write, bitmap };
}

test('a probe says what can be done with a feature, and changes nothing', () => {
  const { rig } = fixture();
  for (const request of [start + set + probe, stop + set + probe, report + get + probe]) {
    const payload = pack([8, 4], [request, 4]);
    assert.equal(rig.done(feature, payload), payload);
  }
  for (const request of [
    start + get + probe,
    report + set + probe,
    1 + get + probe,
    2 + get + probe,
  ]) {
    assert.is(rig.refuse(feature, pack([8, 4], [request, 4])), EOPNOTSUPP);
  }
  assert.is(rig.refuse(feature, ask(report, get, range(base, page))), EINVAL, 'not started');
});

test('the start is answered with itself and the page size in use', () => {
  const { rig } = fixture();
  const answer = rig.done(feature, ask(start, set, starting([base, page])));
  assert.equal(answer.slice(0, 8), pack([4096, 4], [start + set, 4]));
  assert.equal(answer.slice(8, 16), pack([4096, 8]), 'instead of the 64 KiB that were wanted');
  assert.equal(answer.slice(16), starting([base, page]).slice(8));
});

test('one bit stands for each page that was written, the first in the lowest bit', () => {
  const { rig, write, bitmap } = fixture();
  rig.done(feature, ask(start, set, starting()));
  write(0, 1);
  write(3 * page - 1, 2);
  write(63 * page, page);
  assert.equal(bitmap(base, 64 * page), hex('0d 00 00 00 00 00 00 80'));
});

test('dwords count as bytes do, and reads do not', () => {
  const { rig, memory, bitmap } = fixture();
  rig.done(feature, ask(start, set, starting()));
  assert.ok(memory.writeWords(base + 2 * page - 8, new Uint32Array(4), 0, 4));
  assert.ok(memory.readBytes(base + 5 * page, new Uint8Array(page), 0, page));
  assert.equal(bitmap(base, 64 * page), hex('06 00 00 00 00 00 00 00'));
});

test('what was reported is forgotten, what was not asked for is kept', () => {
  const { rig, write, bitmap } = fixture();
  rig.done(feature, ask(start, set, starting()));
  write(0, page);
  write(9 * page, page);
  assert.equal(bitmap(base, 4 * page), hex('01 00 00 00 00 00 00 00'));
  assert.equal(bitmap(base, 64 * page), hex('00 02 00 00 00 00 00 00'));
  assert.equal(bitmap(base, 64 * page), new Uint8Array(8));
});

test('a larger unit is dirty when any page of it is', () => {
  const { rig, write, bitmap } = fixture();
  rig.done(feature, ask(start, set, starting()));
  write(17 * page, 1);
  assert.equal(bitmap(base, 64 * page, 16 * page), hex('02 00 00 00 00 00 00 00'));
});

test('65 pages take two quadwords', () => {
  const { rig, bitmap } = fixture();
  rig.done(feature, ask(start, set, starting()));
  assert.is(bitmap(base, 65 * page).length, 16);
});

test('writes outside of the ranges are not logged', () => {
  const { rig, write, bitmap } = fixture();
  rig.done(feature, ask(start, set, starting([base + page, page], [base + 8 * page, 2 * page])));
  write(0, 64 * page);
  assert.equal(bitmap(base, 64 * page), hex('02 03 00 00 00 00 00 00'));
});

test('after the stop nothing is known', () => {
  const { rig, write, bitmap } = fixture();
  rig.done(feature, ask(start, set, starting()));
  write(0, page);
  rig.done(feature, ask(stop, set));
  assert.is(rig.refuse(feature, ask(report, get, range(base, page))), EINVAL);
  rig.done(feature, ask(start, set, starting()));
  assert.equal(bitmap(base, 64 * page), new Uint8Array(8));
});

test('a buffer that is too small hears what is needed, and no bit is lost', () => {
  const { rig, write, bitmap } = fixture();
  rig.done(feature, ask(start, set, starting()));
  write(0, page);
  const short = rig.done(feature, ask(report, get, range(base, 64 * page), 39));
  assert.is(short.length, 32);
  assert.is(u32(short, 0), 40);
  assert.equal(bitmap(base, 64 * page), hex('01 00 00 00 00 00 00 00'));
});

test('the answer says its own length in argsz', () => {
  const { rig } = fixture();
  rig.done(feature, ask(start, set, starting()));
  assert.is(u32(rig.done(feature, ask(report, get, range(base, 64 * page))), 0), 40);
});

test('logging ends with the session', () => {
  const { rig } = fixture();
  rig.done(feature, ask(start, set, starting()));
  rig.reconnect();
  rig.negotiate();
  assert.is(rig.refuse(feature, ask(report, get, range(base, page))), EINVAL);
});

const wrong: readonly (readonly [why: string, payload: Uint8Array, errno: number])[] = [
  ['a second start', ask(start, set, starting()), EINVAL],
  ['argsz below the header', ask(stop, set, hex(''), 7), EINVAL],
  ['get and set at once', ask(report, get + set, range(base, page)), EINVAL],
  ['neither get nor set', ask(stop, 0), EINVAL],
  ['reserved flags', ask(stop, set + 0x8_0000), EINVAL],
  ['to get what can be set alone', ask(stop, get), EOPNOTSUPP],
  ['more ranges than the message holds', ask(start, set, starting().fill(2, 8, 9)), EINVAL],
  ['more ranges than can be logged', ask(start, set, starting().fill(0xff, 8, 10)), E2BIG],
  ['a report of no page', ask(report, get, range(base, 0)), EINVAL],
  ['a unit that is no power of two', ask(report, get, range(0, 3 * page, 3 * page)), EINVAL],
  ['a unit below the page', ask(report, get, range(base, page, 512)), EINVAL],
  ['an address inside a unit', ask(report, get, range(base + 512, page)), EINVAL],
  ['a length that ends inside a unit', ask(report, get, range(base, page + 1)), EINVAL],
  ['more bits than a message holds', ask(report, get, range(0, 2 ** 40)), E2BIG],
  ['a report cut short', ask(report, get, range(base, page).slice(0, 23)), EINVAL],
  ['a start cut short', ask(start, set, starting().slice(0, 15)), EINVAL],
];
for (const [why, payload, errno] of wrong) {
  test(`${why}: refused, and logging goes on`, () => {
    const { rig, write, bitmap } = fixture();
    rig.done(feature, ask(start, set, starting()));
    write(page, 1);
    assert.is(rig.refuse(feature, payload), errno);
    assert.equal(bitmap(base, 64 * page), hex('02 00 00 00 00 00 00 00'));
  });
}

test.run();
