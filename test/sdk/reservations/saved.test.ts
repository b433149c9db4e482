import * as assert from 'uvu/assert';
import { Reservations } from '../../../sdk/reservations/reservations.js';
import { decodeReservations, encodeReservations } from '../../../sdk/reservations/saved.js';
import { suite } from '../../support/suite.js';

const test = suite('saved reservations');
const key = (low: number) => ({ low, high: 0xffff_ffff });

function reserved(type: number): Reservations {
  const made = new Reservations();
  made.persistsThroughPowerLoss = true;
  made.register('a', key(1));
  made.register('b', key(2));
  made.acquire('b', key(2), type);
  return made;
}

test('reservations of every type are after a restart what they were', () => {
  for (let type = 0; type <= 6; type++) {
    const before = reserved(type);
    const after = new Reservations();
    after.restore(decodeReservations(encodeReservations(before)!));
    assert.equal(after.image(), before.image(), `type ${type}`);
    for (const host of ['a', 'b', 'c']) {
      assert.is(after.isHolder(host), before.isHolder(host));
      assert.is(after.mayRead(host), before.mayRead(host));
      assert.is(after.mayWrite(host), before.mayWrite(host));
    }
    assert.is(after.register('a', key(9)), 1, 'a registrant with another key conflicts');
  }
});

test('reservations that are not to persist leave nothing behind', () => {
  const made = reserved(1);
  made.persistsThroughPowerLoss = false;
  assert.is(encodeReservations(made), null);
});

test('bytes that are no saved reservations are refused, never guessed at', () => {
  const good = new TextDecoder().decode(encodeReservations(reserved(1))!);
  decodeReservations(new TextEncoder().encode(good));
  for (const [from, to] of [
    ['{', ''],
    ['"format":1', '"format":2'],
    ['"type":1', '"type":7'],
    ['"type":1', '"type":0'],
    ['"type":1', '"type":5'],
    ['"holderHost":"b"', '"holderHost":"c"'],
    ['"holderHost":"b"', '"holderHost":null'],
    ['"low":1', '"low":-1'],
    ['"low":1', '"low":4294967296'],
    ['"generation":2', '"generation":"2"'],
    ['"host":"a"', '"host":7'],
  ] as const) {
    assert.ok(good.includes(from), from);
    const bad = new TextEncoder().encode(good.replace(from, to));
    assert.throws(() => decodeReservations(bad), /no saved reservations/, to);
  }
  assert.throws(() => decodeReservations(Uint8Array.of(0xff)), /1 bytes that are no/);
});

test.run();
