import * as assert from 'uvu/assert';
import {
  ReservationAcquire,
  ReservationRegister,
  ReservationRelease,
  ReservationReport,
} from '../../../../sdk/spec/nvme/nvm-command.js';
import { NvmOpcode } from '../../../../sdk/spec/nvme/opcodes.js';
import { Status } from '../../../../sdk/spec/nvme/status.js';
import { Prng } from '../../../../sim/prng.js';
import { suite } from '../../../support/suite.js';
import {
  compare,
  copy,
  deallocate,
  flush,
  read,
  verify,
  write,
  writeUncorrectable,
  writeZeroes,
} from './commands.js';
import { makeNamespace, type Request, Rig } from './rig.js';

const test = suite('reservations');
const conflict = Status.reservationConflict;

function keys(...values: readonly number[]): Uint8Array {
  return new Uint8Array(BigUint64Array.from(values.map(BigInt)).buffer);
}

interface RegisterFlags {
  readonly current?: number;
  readonly iekey?: number;
  readonly cptpl?: number;
}

function register(rig: Rig, action: 0 | 1 | 2, key: number, flags: RegisterFlags = {}): number {
  return rig.run({
    opcode: NvmOpcode.reservationRegister,
    data: keys(flags.current ?? 0, key),
    fields: [
      [ReservationRegister.rrega, action],
      [ReservationRegister.iekey, flags.iekey ?? 0],
      [ReservationRegister.cptpl, flags.cptpl ?? 0],
    ],
  }).status;
}

interface AcquireFlags {
  readonly action?: number;
  readonly preempted?: number;
  readonly iekey?: number;
}

function acquire(rig: Rig, key: number, type: number, flags: AcquireFlags = {}): number {
  return rig.run({
    opcode: NvmOpcode.reservationAcquire,
    data: keys(key, flags.preempted ?? 0),
    fields: [
      [ReservationAcquire.racqa, flags.action ?? 0],
      [ReservationAcquire.rtype, type],
      [ReservationAcquire.iekey, flags.iekey ?? 0],
    ],
  }).status;
}

function release(rig: Rig, key: number, type: number, action = 0): number {
  return rig.run({
    opcode: NvmOpcode.reservationRelease,
    data: keys(key),
    fields: [
      [ReservationRelease.rrela, action],
      [ReservationRelease.rtype, type],
    ],
  }).status;
}

/** Three hosts, each with a controller, on one namespace; the notices that hosts get. */
function hosts(): { a: Rig; b: Rig; c: Rig; notices: [string, number][] } {
  const namespace = makeNamespace();
  const notices: [string, number][] = [];
  namespace.reservations.listen((host, notice) => notices.push([host, notice]));
  const [a, b, c] = [new Rig(namespace, 1), new Rig(namespace, 2), new Rig(namespace, 3)];
  for (const rig of [a, b, c]) rig.peers = [a, b, c];
  return { a, b, c, notices };
}

const block = new Uint8Array(512);
const one = { lba: 0, count: 1 };
const readers: readonly Request[] = [
  read(one, block),
  verify(one),
  compare(one, new Uint8Array(512)),
];
const writers: readonly Request[] = [
  write(one, block),
  writeZeroes(one),
  deallocate([one]),
  flush(),
  copy([one], 8),
  writeUncorrectable({ lba: 9, count: 1 }),
];

/**
 * [NVMe-2.0 §8.19 command behavior in the presence of a reservation]: what a host that does not
 * hold
 * the reservation may do. C conflict, A allowed: non-registrant, registrant.
 */
const table = [
  { type: 1, name: 'write exclusive', read: 'AA', write: 'CC' },
  { type: 2, name: 'exclusive access', read: 'CC', write: 'CC' },
  { type: 3, name: 'write exclusive, registrants only', read: 'AA', write: 'CA' },
  { type: 4, name: 'exclusive access, registrants only', read: 'CA', write: 'CA' },
  { type: 5, name: 'write exclusive, all registrants', read: 'AA', write: 'CA' },
  { type: 6, name: 'exclusive access, all registrants', read: 'CA', write: 'CA' },
] as const;

for (const row of table) {
  test(`${row.name}: other hosts may read ${row.read} and write ${row.write}`, () => {
    const { a, b, c } = hosts();
    register(a, 0, 0xa);
    register(b, 0, 0xb);
    assert.is(acquire(a, 0xa, row.type), 0);
    for (const [requests, allowed] of [
      [readers, row.read],
      [writers, row.write],
    ] as const) {
      for (const request of requests) {
        assert.is(a.run(request).status, 0, 'the holder may do anything');
        assert.is(c.run(request).status, allowed[0] === 'A' ? 0 : conflict);
        assert.is(b.run(request).status, allowed[1] === 'A' ? 0 : conflict);
      }
    }
    assert.is(c.run(report(64)).status, 0);
    assert.is(release(c, 0xc, row.type), conflict);
    assert.is(acquire(c, 0xc, row.type), conflict);
  });
}

test('without a reservation everybody may do anything', () => {
  const { a, b } = hosts();
  register(a, 0, 0xa);
  for (const request of [...readers, ...writers]) assert.is(b.run(request).status, 0);
});

test('a registrant registers again with its own key only', () => {
  const { a } = hosts();
  assert.is(register(a, 0, 5), 0);
  assert.is(register(a, 0, 5), 0);
  assert.is(register(a, 0, 6), conflict);
});

test('a key is replaced by its owner, or by whoever ignores the existing key', () => {
  const { a, b } = hosts();
  register(a, 0, 5);
  assert.is(register(a, 2, 6, { current: 4 }), conflict);
  assert.is(register(a, 2, 6, { current: 5 }), 0);
  assert.is(register(a, 2, 7, { current: 1, iekey: 1 }), 0);
  assert.is(acquire(a, 7, 1), 0);
  assert.is(register(b, 2, 7, { iekey: 1 }), conflict, 'not a registrant');
});

test('a holder that unregisters releases its reservation and tells registrants of shared types', () => {
  for (const [type, isTold] of [
    [1, false],
    [2, false],
    [3, true],
    [4, true],
  ] as const) {
    const { a, b, c, notices } = hosts();
    register(a, 0, 1);
    register(b, 0, 2);
    acquire(a, 1, type);
    assert.is(register(a, 1, 0, { current: 1 }), 0);
    assert.is(a.namespace.reservations.type, 0);
    assert.equal(notices, isTold ? [[b.host, 2]] : []);
    assert.is(c.run(write(one, block)).status, 0);
  }
});

test('all registrants hold types 5 and 6, and the last one to leave releases them', () => {
  for (const type of [5, 6]) {
    const { a, b } = hosts();
    register(a, 0, 1);
    register(b, 0, 2);
    acquire(a, 1, type);
    assert.ok(a.namespace.reservations.isHolder(b.host));
    assert.is(acquire(b, 2, type), 0, 'a holder acquires the same type again');
    register(a, 1, 0, { current: 1 });
    assert.is(a.namespace.reservations.type, type);
    register(b, 1, 0, { current: 2 });
    assert.is(a.namespace.reservations.type, 0);
  }
});

test("a second acquire conflicts, whatever the type, unless it repeats the holder's own", () => {
  const { a, b } = hosts();
  register(a, 0, 1);
  register(b, 0, 2);
  acquire(a, 1, 1);
  assert.is(acquire(a, 1, 1), 0);
  assert.is(acquire(a, 1, 2), conflict);
  assert.is(acquire(b, 2, 1), conflict);
  assert.is(acquire(a, 9, 1), conflict, 'a wrong key');
});

test('a type outside 1 to 6 and IEKEY in acquire and release are Invalid Field', () => {
  const { a } = hosts();
  register(a, 0, 1);
  for (const type of [0, 7, 255]) assert.is(acquire(a, 1, type), Status.invalidField);
  assert.is(acquire(a, 1, 1, { iekey: 1 }), Status.invalidField);
  assert.is(acquire(a, 1, 1, { action: 3 }), Status.invalidField);
  acquire(a, 1, 1);
  assert.is(release(a, 1, 2), Status.invalidField, 'not the type that is held');
  assert.is(a.namespace.reservations.type, 1);
});

test('a release by a registrant that holds nothing succeeds and releases nothing', () => {
  const { a, b, notices } = hosts();
  register(a, 0, 1);
  register(b, 0, 2);
  acquire(a, 1, 3);
  assert.is(release(b, 2, 3), 0);
  assert.is(a.namespace.reservations.type, 3);
  assert.is(release(a, 1, 3), 0);
  assert.equal(notices, [[b.host, 2]]);
});

test('clear takes every registration and tells the others', () => {
  const { a, b, c, notices } = hosts();
  register(a, 0, 1);
  register(b, 0, 2);
  register(c, 0, 3);
  acquire(a, 1, 1);
  assert.is(release(b, 2, 0, 1), 0);
  assert.equal(notices, [
    [a.host, 3],
    [c.host, 3],
  ]);
  assert.equal(
    [a.namespace.reservations.registrants.length, a.namespace.reservations.type],
    [0, 0],
  );
});

test("preempting the holder's key takes reservation and registrations with that key", () => {
  const { a, b, c, notices } = hosts();
  register(a, 0, 1);
  register(b, 0, 2);
  register(c, 0, 1);
  acquire(a, 1, 1);
  assert.is(acquire(b, 2, 2, { action: 1, preempted: 1 }), 0);
  const { reservations } = a.namespace;
  assert.ok(reservations.isHolder(b.host));
  assert.equal([reservations.type, reservations.registrants.length], [2, 1]);
  assert.equal(notices, [
    [a.host, 1],
    [c.host, 1],
  ]);
});

test('preempting another key leaves the reservation alone', () => {
  const { a, b, c, notices } = hosts();
  register(a, 0, 1);
  register(b, 0, 2);
  register(c, 0, 3);
  acquire(a, 1, 4);
  assert.is(acquire(b, 2, 4, { action: 1, preempted: 3 }), 0);
  assert.ok(a.namespace.reservations.isHolder(a.host));
  assert.equal(notices, [[c.host, 1]]);
  assert.is(acquire(b, 2, 4, { action: 1, preempted: 3 }), conflict, 'nobody has the key any more');
});

test('key 0 preempts all other registrants of an all-registrants type, and is invalid for others', () => {
  const { a, b, c } = hosts();
  register(a, 0, 1);
  register(b, 0, 2);
  register(c, 0, 3);
  acquire(a, 1, 5);
  assert.is(acquire(b, 2, 1, { action: 1, preempted: 0 }), 0);
  const { reservations } = a.namespace;
  assert.ok(reservations.isHolder(b.host));
  assert.equal([reservations.type, reservations.registrants.length], [1, 1]);
  assert.is(acquire(b, 2, 1, { action: 1, preempted: 0 }), Status.invalidField);
});

test('a holder that preempts itself changes the type and stays registered', () => {
  const { a } = hosts();
  register(a, 0, 1);
  acquire(a, 1, 1);
  assert.is(acquire(a, 1, 2, { action: 1, preempted: 1 }), 0);
  assert.ok(a.namespace.reservations.isHolder(a.host));
  assert.is(a.namespace.reservations.type, 2);
});

test('preempt and abort ends the commands of the preempted host and no others', () => {
  const { a, b, c } = hosts();
  register(a, 0, 1);
  register(b, 0, 2);
  const running = [a, c].map((rig) => ({ rig, slot: rig.start(write(one, block)) }));
  assert.is(acquire(b, 2, 1, { action: 2, preempted: 1 }), 0);
  for (const { rig } of running) rig.drain();
  assert.is(a.take(running[0]!.slot).status, Status.abortedPreemptAndAbort);
  assert.is(c.take(running[1]!.slot).status, 0);
});

test('a reservation outlives a power cycle only when a registration asked for it', () => {
  for (const isPersistent of [false, true]) {
    const { a } = hosts();
    register(a, 0, 1, { cptpl: isPersistent ? 3 : 0 });
    acquire(a, 1, 2);
    const { generation } = a.namespace.reservations;
    a.namespace.powerOn();
    const { reservations } = a.namespace;
    assert.is(reservations.type, isPersistent ? 2 : 0);
    assert.is(reservations.registrants.length, isPersistent ? 1 : 0);
    assert.is(reservations.generation, isPersistent ? generation : 0);
  }
});

test('a later registration can switch persistence off again', () => {
  const { a, b } = hosts();
  register(a, 0, 1, { cptpl: 3 });
  register(b, 0, 2, { cptpl: 2 });
  a.namespace.powerOn();
  assert.is(a.namespace.reservations.registrants.length, 0);
});

test('a host without identifier loses its registration when its controller is reset', () => {
  const { a, b } = hosts();
  a.isHostAnonymous = true;
  register(a, 0, 1);
  register(b, 0, 2);
  acquire(a, 1, 1);
  b.reset();
  assert.is(a.namespace.reservations.registrants.length, 2);
  a.reset();
  assert.equal(
    a.namespace.reservations.registrants.map((r) => r.host),
    [b.host],
  );
  assert.is(a.namespace.reservations.type, 0);
});

test('the generation counts registrations, preemptions and clears, and nothing else', () => {
  const { a, b } = hosts();
  const { reservations } = a.namespace;
  const step = (act: () => number, counts: boolean) => {
    const before = reservations.generation;
    assert.is(act(), 0);
    assert.is(reservations.generation - before, counts ? 1 : 0);
  };
  step(() => register(a, 0, 1), true);
  step(() => register(b, 0, 2), true);
  step(() => register(a, 2, 3, { current: 1 }), true);
  step(() => acquire(a, 3, 1), false);
  step(() => release(a, 3, 1), false);
  step(() => acquire(a, 3, 1, { action: 1, preempted: 2 }), true);
  step(() => release(a, 3, 1, 1), true);
});

function report(dwords: number, eds = 0): Request & { data: Uint8Array } {
  return {
    opcode: NvmOpcode.reservationReport,
    data: new Uint8Array(dwords * 4),
    fields: [
      [ReservationReport.numd, dwords],
      [ReservationReport.eds, eds],
    ],
  };
}

test('the report lists each controller of each registrant, byte by byte as the figure has it', () => {
  const { a, b, c } = hosts();
  c.host = a.host;
  register(a, 0, 0x1122334455);
  register(b, 0, 2, { cptpl: 3 });
  acquire(a, 0x1122334455, 3);
  const request = report(40);
  assert.is(a.run(request).status, 0);
  const view = new DataView(request.data.buffer);
  assert.is(view.getUint32(0, true), 2, 'GEN');
  assert.is(view.getUint8(4), 3, 'RTYPE');
  assert.is(view.getUint16(5, true), 3, 'REGCTL');
  assert.is(view.getUint8(9), 1, 'PTPLS');
  const entries = [0, 1, 2].map((i) => 24 + i * 24);
  assert.equal(
    entries.map((at) => view.getUint16(at, true)),
    [1, 3, 2],
    'CNTLID',
  );
  assert.equal(
    entries.map((at) => view.getUint8(at + 2)),
    [1, 1, 0],
    'RCSTS',
  );
  assert.equal(
    entries.map((at) => view.getBigUint64(at + 8, true)),
    [1, 3, 2].map((n) => BigInt(n) * 0x0101010101010101n),
  );
  assert.equal(
    entries.map((at) => view.getBigUint64(at + 16, true)),
    [0x1122334455n, 0x1122334455n, 2n],
  );
});

test('a registrant that no controller belongs to is reported, with FFFFh for the controller', () => {
  const { a, b } = hosts();
  register(a, 0, 5);
  acquire(a, 5, 2);
  a.host = 'ab'.repeat(8);
  register(a, 0, 6);
  a.host = 'cd'.repeat(8);
  const request = report(24);
  assert.is(b.run(request).status, 0);
  const view = new DataView(request.data.buffer);
  assert.is(view.getUint16(5, true), 2, 'REGCTL');
  assert.equal([view.getUint16(24, true), view.getUint8(26)], [0xffff, 1], 'the holder');
  assert.equal([view.getUint16(48, true), view.getUint8(50)], [0xffff, 0]);
  assert.is(view.getBigUint64(56, true), 0xababababababababn, 'HOSTID');
  assert.is(view.getBigUint64(64, true), 6n, 'RKEY');
});

test('the extended report has 64-byte entries, and EDS must match the size of the identifier', () => {
  const { a } = hosts();
  assert.is(a.run(report(16, 1)).status, Status.hostIdentifierInconsistentFormat);
  a.hasExtendedHostIdentifier = true;
  assert.is(a.run(report(16, 0)).status, Status.hostIdentifierInconsistentFormat);
  register(a, 0, 7);
  const request = report(32, 1);
  assert.is(a.run(request).status, 0);
  const view = new DataView(request.data.buffer);
  assert.is(view.getUint16(64, true), 1);
  assert.is(view.getBigUint64(72, true), 7n);
  assert.equal(request.data.slice(80, 96), new Uint8Array(16).fill(1));
});

test('a report that is longer than asked for is cut, not refused', () => {
  const { a } = hosts();
  register(a, 0, 7);
  const request = report(6);
  assert.is(a.run(request).status, 0);
  assert.is(request.data[5], 1);
});

test('after any commands a reservation has a registered holder, and readers and writers agree with it', () => {
  for (let seed = 1; seed <= 60; seed++) {
    const prng = new Prng(seed, 'reservations');
    const { a, b, c } = hosts();
    const { reservations } = a.namespace;
    for (let step = 0; step < 60; step++) {
      const rig = [a, b, c][prng.below(3)]!;
      const key = 1 + prng.below(3);
      const type = prng.below(8);
      const kind = prng.below(4);
      const before = reservations.generation;
      const iekey = prng.below(2);
      let status: number;
      if (kind === 0)
        status = register(rig, prng.chance(0.7) ? 0 : 1, key, { current: key, iekey });
      else if (kind === 1)
        status = acquire(rig, key, type, { action: prng.below(3), preempted: prng.below(4) });
      else if (kind === 2) status = release(rig, key, type, prng.chance(0.1) ? 1 : 0);
      else status = register(rig, 2, 1 + prng.below(3), { current: key, iekey });
      if (status !== 0) assert.is(reservations.generation, before, 'what fails changes nothing');
      const holders = [a, b, c].filter((each) => reservations.isHolder(each.host));
      assert.is(holders.length > 0, reservations.type !== 0, `seed ${seed} step ${step}`);
      for (const holder of holders) {
        assert.ok(reservations.isRegistrant(holder.host));
        assert.ok(reservations.mayRead(holder.host) && reservations.mayWrite(holder.host));
      }
    }
  }
});

test.run();
