import * as assert from 'uvu/assert';
import { carryOutReservation, checkReservation } from '../../../sdk/reservations/commands.js';
import { ReservationLog, reservationPage } from '../../../sdk/reservations/notice-log.js';
import { fillReport } from '../../../sdk/reservations/report.js';
import { Reservations } from '../../../sdk/reservations/reservations.js';
import { Prng } from '../../../sim/prng.js';
import { suite } from '../../support/suite.js';

const test = suite('reservations');

/** [NVMe-2.0 §8.19]: reads and writes of who holds it, who is registered, and anybody else. */
const allowed: readonly (readonly [string, string, string])[] = [
  ['rw', 'rw', 'rw'],
  ['rw', 'r', 'r'],
  ['rw', '', ''],
  ['rw', 'rw', 'r'],
  ['rw', 'rw', ''],
  ['rw', 'rw', 'r'],
  ['rw', 'rw', ''],
];
const done = 0;
const conflict = 1;
const invalid = 2;

/** The same from the text, with nothing remembered but keys, type and the one holder. */
class Naive {
  keys = new Map<string, number>();
  type = 0;
  one = '';
  generation = 0;
  told: string[] = [];

  holds(host: string): boolean {
    if (this.type === 0) return false;
    return this.type >= 5 ? this.keys.has(host) : this.one === host;
  }

  access(host: string): string {
    const [holder, registrant, other] = allowed[this.type]!;
    if (this.holds(host)) return holder;
    return this.keys.has(host) ? registrant : other;
  }

  register(host: string, key: number): number {
    if ((this.keys.get(host) ?? key) !== key) return conflict;
    this.keys.set(host, key);
    return this.changed();
  }

  unregister(host: string, key: number | null): number {
    if (!this.knows(host, key)) return conflict;
    const isOver = this.holds(host) && (this.type < 5 || this.keys.size === 1);
    this.keys.delete(host);
    if (isOver) this.end(host);
    return this.changed();
  }

  replaceKey(host: string, current: number | null, key: number): number {
    if (!this.knows(host, current)) return conflict;
    this.keys.set(host, key);
    return this.changed();
  }

  acquire(host: string, key: number, type: number): number {
    if (type < 1 || type > 6) return invalid;
    if (!this.knows(host, key)) return conflict;
    if (this.type !== 0) return this.holds(host) && this.type === type ? done : conflict;
    this.type = type;
    this.one = host;
    return done;
  }

  preempt(host: string, key: number, other: number, type: number): number {
    if (type < 1 || type > 6) return invalid;
    if (!this.knows(host, key)) return conflict;
    const isShared = this.type >= 5;
    if (other === 0 && !isShared) return invalid;
    const isTaken = isShared ? other === 0 : this.type !== 0 && this.keys.get(this.one) === other;
    const gone = [...this.keys].filter(([, each]) => other === 0 || each === other);
    if (gone.length === 0) return conflict;
    const old = this.type;
    for (const [name] of gone) {
      if (name === host && isTaken) continue;
      this.keys.delete(name);
      if (name !== host) this.told.push(`${name} 1`);
    }
    if (isTaken) {
      this.type = type;
      this.one = host;
      if (old !== type && old >= 3) this.tell(2, host);
    } else if (isShared ? this.keys.size === 0 : !this.keys.has(this.one)) this.type = 0;
    return this.changed();
  }

  release(host: string, key: number, type: number): number {
    if (!this.knows(host, key)) return conflict;
    if (!this.holds(host)) return done;
    if (this.type !== type) return invalid;
    this.end(host);
    return done;
  }

  clear(host: string, key: number): number {
    if (!this.knows(host, key)) return conflict;
    this.tell(3, host);
    this.keys.clear();
    this.type = 0;
    return this.changed();
  }

  private knows(host: string, key: number | null): boolean {
    return this.keys.has(host) && (key === null || this.keys.get(host) === key);
  }

  private end(host: string): void {
    if (this.type >= 3) this.tell(2, host);
    this.type = 0;
  }

  private tell(what: number, by: string): void {
    for (const name of this.keys.keys()) if (name !== by) this.told.push(`${name} ${what}`);
  }

  private changed(): number {
    this.generation++;
    return done;
  }
}

/** Keys that differ in either half. */
function keyOf(key: number) {
  return { low: key & 1, high: key >>> 1 };
}

const hosts = ['a', 'b', 'c'];

test('a hundred thousand commands do what the text says, and tell whom it says', () => {
  const seed = 11;
  const chance = new Prng(seed, 'reservations');
  const naive = new Naive();
  const real = new Reservations();
  const told: string[] = [];
  real.listen((host, what) => told.push(`${host} ${what}`));
  for (let i = 0; i < 100_000; i++) {
    const host = hosts[chance.below(hosts.length)]!;
    const key = chance.below(3);
    const other = chance.below(4);
    // Mostly the key that is right.
    const current = chance.chance(0.8) ? (naive.keys.get(host) ?? key) : key;
    const ignored = chance.chance(0.2) ? null : current;
    const type = chance.below(8);
    const at = keyOf(current);
    const ignoredAt = ignored === null ? null : at;
    const lost: string[] = [];
    const preempted = keyOf(other);
    const outcomes: readonly (() => readonly [number, number])[] = [
      () => [real.register(host, keyOf(key)), naive.register(host, key)],
      () => [real.unregister(host, ignoredAt), naive.unregister(host, ignored)],
      () => [
        real.replaceKey(host, ignoredAt, keyOf(other)),
        naive.replaceKey(host, ignored, other),
      ],
      () => [real.acquire(host, at, type), naive.acquire(host, current, type)],
      () => [
        real.preempt({ host, current: at, preempted, type }, lost),
        naive.preempt(host, current, other, type),
      ],
      () => [real.releaseBy(host, at, type), naive.release(host, current, type)],
      () => [real.clear(host, at), naive.clear(host, current)],
    ];
    // Clearing all the time would leave little to see.
    const step = chance.below(chance.chance(0.1) ? 7 : 6);
    const [outcome, expected] = outcomes[step]!();
    const what = `seed ${seed}, command ${i} (${step}) of ${host}`;
    assert.is(outcome, expected, what);
    assert.is(real.type, naive.type, what);
    assert.is(real.generation, naive.generation, what);
    assert.equal(told.splice(0).sort(), naive.told.splice(0).sort(), what);
    for (const each of hosts) {
      assert.is(real.isRegistrant(each), naive.keys.has(each), what);
      assert.is(real.isHolder(each), naive.holds(each), what);
      const access = `${real.mayRead(each) ? 'r' : ''}${real.mayWrite(each) ? 'w' : ''}`;
      assert.is(access, naive.access(each), what);
    }
  }
});

test('a host that is forgotten takes along what it held alone', () => {
  for (let type = 1; type <= 6; type++) {
    const made = new Reservations();
    const told: string[] = [];
    made.listen((host, what) => told.push(`${host} ${what}`));
    for (const host of ['a', 'b']) made.register(host, keyOf(1));
    made.acquire('a', keyOf(1), type);
    made.forgetHost('c');
    made.forgetHost('a');
    assert.is(made.type, type >= 5 ? type : 0, `type ${type}`);
    assert.equal(told, type === 3 || type === 4 ? ['b 2'] : [], `type ${type}`);
    assert.is(made.isRegistrant('a'), false);
  }
});

test('the generation goes on at 0 behind 2^32 - 1', () => {
  const made = new Reservations();
  made.restore({ generation: 2 ** 31 - 1, type: 0, holderHost: null, registrants: [] });
  made.register('a', keyOf(1));
  assert.is(made.generation, 2 ** 31);
  made.restore({ generation: 2 ** 32 - 1, type: 0, holderHost: null, registrants: [] });
  made.register('a', keyOf(1));
  assert.is(made.generation, 0);
});

test('a log page and a report say what is so, whatever lay in their memory', () => {
  const log = new ReservationLog();
  const page = (): Buffer => Buffer.from(reservationPage(log));
  assert.ok(
    page().every((byte) => byte === 0),
    'an empty log',
  );
  assert.equal([log.add(7, 2), log.add(8, 3), log.add(9, 1)], [true, false, false]);
  // Count of the page, type, further pages, namespace.
  assert.is(page().readBigUInt64LE(0), 1n);
  assert.equal([page()[8], page()[9], page().readUInt32LE(12)], [2, 2, 7]);
  log.takeFirst();
  assert.is(page().readBigUInt64LE(0), 2n);
  assert.equal([page()[8], page()[9], page().readUInt32LE(12)], [3, 1, 8]);
  const words = new Uint32Array(1024).fill(0xffff_ffff);
  const made = new Reservations();
  made.restore({ generation: 0x0102_0304, type: 0, holderHost: null, registrants: [] });
  fillReport(words, made, { isExtended: false, controllersOf: () => [] });
  const report = Buffer.from(words.buffer);
  assert.is(report.readUInt32LE(0), 0x0102_0304);
  // It persists, as what was restored does.
  assert.equal([...report.subarray(4, 10)], [0, 0, 0, 0, 0, 1]);
  assert.ok(report.subarray(10).every((byte) => byte === 0));
});

const opcode = { register: 0x0d, acquire: 0x11, release: 0x15 } as const;

test('fields that are wrong by themselves are refused: actions, ignored keys, power', () => {
  const invalidField = 0x02;
  const statusOf = (code: number, dword10: number, canPersist = true): number => {
    const words = new Uint32Array(16);
    words[10] = dword10;
    return checkReservation(code, words, canPersist) & 0xff;
  };
  const ignoresKey = 1 << 3;
  const persists = (3 << 30) >>> 0;
  for (let action = 0; action < 8; action++) {
    const over = invalidField;
    assert.is(statusOf(opcode.register, action), action > 2 ? over : 0, `register ${action}`);
    assert.is(statusOf(opcode.acquire, action), action > 2 ? over : 0, `acquire ${action}`);
    assert.is(statusOf(opcode.release, action), action > 1 ? over : 0, `release ${action}`);
  }
  assert.is(statusOf(opcode.register, ignoresKey), 0);
  assert.is(statusOf(opcode.acquire, ignoresKey), invalidField);
  assert.is(statusOf(opcode.release, ignoresKey), invalidField);
  assert.is(statusOf(opcode.register, persists), 0);
  assert.is(statusOf(opcode.register, persists, false), invalidField);
});

test('whether it outlives the power is changed only where that is asked for', () => {
  const made = new Reservations();
  const register = (change: number, key: number): number => {
    const words = new Uint32Array(16);
    words[10] = (change << 30) >>> 0;
    const keys = new Uint32Array([0, 0, key, 0]);
    return carryOutReservation({ opcode: opcode.register, words, keys, host: 'a' }, made, []);
  };
  for (const [change, expected] of [
    [0, false],
    [3, true],
    [0, true],
    [2, false],
    [0, false],
    [3, true],
  ] as const) {
    assert.is(register(change, 1), 0);
    assert.is(made.persistsThroughPowerLoss, expected, `CPTPL ${change}`);
  }
  assert.is.not(register(2, 7), 0, 'another key');
  assert.is(made.persistsThroughPowerLoss, true, 'what was refused has changed nothing');
  made.acquire('a', keyOf(1), 1);
  made.powerOn();
  assert.is(made.type, 1);
  assert.is(register(2, 1), 0);
  made.powerOn();
  assert.equal([made.type, made.generation, made.registrants.length], [0, 0, 0]);
});

test.run();
