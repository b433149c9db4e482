import * as assert from 'uvu/assert';
import { suite } from '../../support/suite.js';
import { EBADF, EINVAL, hex, pack, ServeRig } from './rig.js';

const test = suite('vfio-user interrupts');

const none = 0x01;
const booleans = 0x02;
const eventfds = 0x04;
const mask = 0x08;
const unmask = 0x10;
const trigger = 0x20;
const intx = 0;
const msix = 2;

function set(
  flags: number,
  index: number,
  start: number,
  count: number,
  data: Uint8Array = hex(''),
): Uint8Array {
  const head = pack([20 + data.length, 4], [flags, 4], [index, 4], [start, 4], [count, 4]);
  return Uint8Array.from([...head, ...data]);
}

/** A rig whose bus master bit is on, as a client's driver sets it. */
function rigOf(): ServeRig {
  const rig = new ServeRig();
  rig.done(10, rig.access(7, 4, 2, hex('06 00')));
  return rig;
}

function connect(rig: ServeRig, index: number, start: number, count: number): number[] {
  const fds = Array.from({ length: count }, () => rig.system.eventFd());
  rig.done(8, set(eventfds | trigger, index, start, count), fds);
  return fds;
}

const counts = (rig: ServeRig, fds: readonly number[]): number[] =>
  fds.map((fd) => rig.system.countOf(fd));

/** An enabled controller whose admin queues hold up to 15 commands that identify it. */
function enabled(rig: ServeRig): void {
  const queues = rig.give(0x10_0000, 0x3000);
  rig.write32(0, 0x24, 0x000f_000f);
  rig.done(10, rig.access(0, 0x28, 16, pack([0x10_0000, 8], [0x10_1000, 8])));
  rig.write32(0, 0x14, 0x0046_0001);
  rig.run(10_000_000);
  // Identify controller, its page behind the queues.
  for (let i = 0; i < 15; i++) {
    queues.set(pack([6, 4], [0, 20], [0x10_2000, 8], [0, 8], [1, 4]), i * 64);
  }
}

/** The next command is posted, and completes. */
function complete(rig: ServeRig, tail: number): void {
  rig.write32(0, 0x1000, tail);
  rig.run(10_000_000);
}

test('a vector that the device raises signals its eventfd, and no other', () => {
  const rig = rigOf();
  const fds = connect(rig, msix, 0, 4);
  rig.server.card.function.raise(2);
  assert.equal(counts(rig, fds), [0, 0, 1, 0]);
});

test('vectors are connected in several messages', () => {
  const rig = rigOf();
  const fds = [...connect(rig, msix, 0, 16), ...connect(rig, msix, 16, 16)];
  rig.server.card.function.raise(17);
  rig.server.card.function.raise(0);
  assert.is(rig.system.countOf(fds[17]!), 1);
  assert.is(rig.system.countOf(fds[0]!), 1);
});

test('the answer to an interrupt set is a header', () => {
  const rig = rigOf();
  assert.equal(rig.done(8, set(eventfds | trigger, msix, 0, 1), [rig.system.eventFd()]), hex(''));
});

test('without bus mastering no interrupt leaves the device', () => {
  const rig = new ServeRig();
  const fds = connect(rig, msix, 0, 1);
  rig.server.card.function.raise(0);
  assert.equal(counts(rig, fds), [0]);
});

test('a new eventfd takes the place of the old one, which is closed', () => {
  const rig = rigOf();
  const [old] = connect(rig, msix, 3, 1);
  const [fresh] = connect(rig, msix, 3, 1);
  assert.is(rig.system.open.has(old!), false);
  rig.server.card.function.raise(3);
  assert.equal(counts(rig, [old!, fresh!]), [0, 1]);
});

test('eventfds without descriptors disconnect their range alone', () => {
  const rig = rigOf();
  const fds = connect(rig, msix, 0, 3);
  rig.done(8, set(eventfds | trigger, msix, 1, 1));
  for (const vector of [0, 1, 2]) rig.server.card.function.raise(vector);
  assert.equal(counts(rig, fds), [1, 0, 1]);
  assert.is(rig.system.open.has(fds[1]!), false);
});

test('a count of 0 without data turns the whole kind off', () => {
  const rig = rigOf();
  const fds = connect(rig, msix, 0, 3);
  rig.done(8, set(none | trigger, msix, 0, 0));
  rig.server.card.function.raise(0);
  assert.equal(counts(rig, fds), [0, 0, 0]);
  assert.equal(
    fds.map((fd) => rig.system.open.has(fd)),
    [false, false, false],
  );
});

test('MSI-X Enable in configuration space follows the descriptors', () => {
  const rig = rigOf();
  const isEnabled = (): boolean => (rig.read(7, 0x53, 1)[0]! & 0x80) !== 0;
  assert.is(isEnabled(), false);
  connect(rig, msix, 0, 2);
  assert.is(isEnabled(), true);
  rig.done(8, set(none | trigger, msix, 0, 0));
  assert.is(isEnabled(), false);
});

test('a trigger without data fires the range from outside', () => {
  const rig = rigOf();
  const fds = connect(rig, msix, 0, 4);
  rig.done(8, set(none | trigger, msix, 1, 2));
  assert.equal(counts(rig, fds), [0, 1, 1, 0]);
});

test('a trigger with booleans fires those that are true', () => {
  const rig = rigOf();
  const fds = connect(rig, msix, 0, 4);
  rig.done(8, set(booleans | trigger, msix, 0, 4, hex('01 00 00 ff')));
  assert.equal(counts(rig, fds), [1, 0, 0, 1]);
});

test('a trigger of a kind without any descriptor is refused', () => {
  const rig = rigOf();
  assert.is(rig.refuse(8, set(none | trigger, msix, 0, 1)), EINVAL);
  assert.is(rig.refuse(8, set(booleans | trigger, intx, 0, 1, hex('01'))), EINVAL);
});

test('a masked vector fires once when it is unmasked, however often it was raised', () => {
  const rig = rigOf();
  const fds = connect(rig, msix, 0, 2);
  rig.done(8, set(none | mask, msix, 1, 1));
  for (let i = 0; i < 3; i++) rig.server.card.function.raise(1);
  assert.equal(counts(rig, fds), [0, 0]);
  rig.done(8, set(none | unmask, msix, 1, 1));
  assert.equal(counts(rig, fds), [0, 1]);
  rig.done(8, set(none | unmask, msix, 1, 1));
  assert.equal(counts(rig, fds), [0, 1]);
});

test('booleans choose what is masked', () => {
  const rig = rigOf();
  const fds = connect(rig, msix, 0, 3);
  rig.done(8, set(booleans | mask, msix, 0, 3, hex('01 00 01')));
  for (const vector of [0, 1, 2]) rig.server.card.function.raise(vector);
  assert.equal(counts(rig, fds), [0, 1, 0]);
  rig.done(8, set(booleans | unmask, msix, 0, 3, hex('00 00 01')));
  assert.equal(counts(rig, fds), [0, 1, 1]);
});

test('eventfds for mask and unmask are told of each change', () => {
  const rig = rigOf();
  connect(rig, msix, 0, 1);
  const told = [rig.system.eventFd(), rig.system.eventFd()];
  rig.done(8, set(eventfds | mask, msix, 0, 1), [told[0]!]);
  rig.done(8, set(eventfds | unmask, msix, 0, 1), [told[1]!]);
  rig.done(8, set(none | mask, msix, 0, 1));
  rig.done(8, set(none | mask, msix, 0, 1));
  assert.equal(counts(rig, told), [1, 0]);
  rig.done(8, set(none | unmask, msix, 0, 1));
  assert.equal(counts(rig, told), [1, 1]);
});

test('without MSI-X the device signals INTx, which masks itself', () => {
  const rig = rigOf();
  const [fd] = connect(rig, intx, 0, 1);
  enabled(rig);
  rig.server.card.function.raise(0);
  assert.equal(counts(rig, [fd!]), [0], 'no completion waits: the level is low');
  complete(rig, 1);
  complete(rig, 2);
  assert.equal(counts(rig, [fd!]), [1], 'masked after the first');
  assert.is(rig.system.takeEvent(fd!), 1);
  rig.write32(0, 0x1004, 2);
  rig.done(8, set(none | unmask, intx, 0, 1));
  assert.equal(counts(rig, [fd!]), [1], 'nothing is asserted any more');
  complete(rig, 3);
  assert.equal(counts(rig, [fd!]), [2]);
});

test('INTx fires again when it is unmasked while a completion waits, and not after it', () => {
  const rig = rigOf();
  const [fd] = connect(rig, intx, 0, 1);
  enabled(rig);
  complete(rig, 1);
  assert.equal(counts(rig, [fd!]), [1]);
  rig.done(8, set(none | unmask, intx, 0, 1));
  assert.equal(counts(rig, [fd!]), [2], 'the entry still waits');
  rig.write32(0, 0x1004, 1);
  rig.done(8, set(none | unmask, intx, 0, 1));
  assert.equal(counts(rig, [fd!]), [2]);
});

test('INTx that nobody has seen is taken back when the host has taken the completion', () => {
  const rig = rigOf();
  const [fd] = connect(rig, intx, 0, 1);
  enabled(rig);
  complete(rig, 1);
  rig.write32(0, 0x1004, 1);
  assert.is(rig.system.takeEvent(fd!), 0, 'the client finds no signal');
  complete(rig, 2);
  assert.is(rig.system.takeEvent(fd!), 1, 'the next one fires without an unmask');
});

test('INTx is taken back after a doorbell in shared memory, too', () => {
  const rig = rigOf();
  const [fd] = connect(rig, intx, 0, 1);
  enabled(rig);
  const doorbells = rig.doorbells();
  complete(rig, 1);
  doorbells[1] = 1;
  rig.run(1);
  assert.is(rig.system.takeEvent(fd!), 0);
});

test('INTx that the client has seen stays masked until it is unmasked', () => {
  const rig = rigOf();
  const [fd] = connect(rig, intx, 0, 1);
  enabled(rig);
  complete(rig, 1);
  assert.is(rig.system.takeEvent(fd!), 1);
  rig.write32(0, 0x1004, 1);
  complete(rig, 2);
  assert.is(rig.system.takeEvent(fd!), 0, 'masked');
  rig.done(8, set(none | unmask, intx, 0, 1));
  assert.is(rig.system.takeEvent(fd!), 1, 'and asserted');
});

test('INTx is not taken back while another completion waits', () => {
  const rig = rigOf();
  const [fd] = connect(rig, intx, 0, 1);
  enabled(rig);
  complete(rig, 2);
  rig.write32(0, 0x1004, 1);
  assert.is(rig.system.takeEvent(fd!), 1);
});

test('a loopback trigger of INTx is not taken back', () => {
  const rig = rigOf();
  const [fd] = connect(rig, intx, 0, 1);
  enabled(rig);
  rig.done(8, set(none | trigger, intx, 0, 1));
  rig.write32(0, 0x1000, 0);
  assert.is(rig.system.takeEvent(fd!), 1);
});

test('INTx that the client itself masked is not taken back, nor unmasked', () => {
  const rig = rigOf();
  const [fd] = connect(rig, intx, 0, 1);
  enabled(rig);
  complete(rig, 1);
  rig.done(8, set(none | unmask, intx, 0, 1));
  rig.done(8, set(none | mask, intx, 0, 1));
  rig.write32(0, 0x1004, 1);
  complete(rig, 2);
  assert.is(rig.system.countOf(fd!), 2, 'before and after the unmask, and not since');
});

test('the function has pin A, and Interrupt Disable silences it', () => {
  const rig = rigOf();
  assert.equal(rig.read(7, 0x3d, 1), hex('01'));
  const [fd] = connect(rig, intx, 0, 1);
  enabled(rig);
  rig.done(10, rig.access(7, 4, 2, hex('06 04')));
  complete(rig, 1);
  assert.equal(counts(rig, [fd!]), [0]);
  rig.done(10, rig.access(7, 4, 2, hex('06 00')));
  complete(rig, 2);
  assert.equal(counts(rig, [fd!]), [1]);
});

test('with MSI-X connected INTx is silent', () => {
  const rig = rigOf();
  const [pin] = connect(rig, intx, 0, 1);
  const [vector] = connect(rig, msix, 0, 1);
  rig.server.card.function.raise(0);
  assert.equal(counts(rig, [pin!, vector!]), [0, 1]);
});

test('a loopback trigger of INTx masks it, too', () => {
  const rig = rigOf();
  const [fd] = connect(rig, intx, 0, 1);
  rig.done(8, set(none | trigger, intx, 0, 1));
  rig.done(8, set(none | trigger, intx, 0, 1));
  assert.equal(counts(rig, [fd!]), [1]);
});

test('a card that is pulled out asks for its release', () => {
  const rig = rigOf();
  const [fd] = connect(rig, 4, 0, 1);
  rig.server.card.surpriseRemove();
  rig.run(1000);
  rig.run(1000);
  assert.equal(counts(rig, [fd!]), [1]);
});

test('a descriptor that is no eventfd is refused and closed, with its neighbours', () => {
  const rig = rigOf();
  const before = rig.system.open.size;
  const fds = [rig.system.eventFd(), rig.system.memoryFd(new Uint8Array(8))];
  assert.is(rig.refuse(8, set(eventfds | trigger, msix, 0, 2), fds), EBADF);
  assert.is(rig.system.open.size, before);
  assert.is(rig.server.card.function.registers.words[0x50 / 4]! >>> 31, 0);
});

test('as many descriptors as vectors, or none', () => {
  const rig = rigOf();
  const before = rig.system.open.size;
  const make = (count: number): number[] =>
    Array.from({ length: count }, () => rig.system.eventFd());
  assert.is(rig.refuse(8, set(eventfds | trigger, msix, 0, 3), make(2)), EINVAL);
  assert.is(rig.refuse(8, set(eventfds | trigger, msix, 0, 1), make(2)), EINVAL);
  assert.is(rig.system.open.size, before);
});

const wrongSets: readonly (readonly [why: string, payload: Uint8Array])[] = [
  ['no kind of data', set(trigger, msix, 0, 1)],
  ['two kinds of data', set(none | booleans | trigger, msix, 0, 1, hex('01'))],
  ['no action', set(none, msix, 0, 1)],
  ['two actions', set(none | mask | unmask, msix, 0, 1)],
  ['a kind that does not exist', set(none | mask, 5, 0, 1)],
  ['a kind far outside', set(none | mask, 0xffff_ffff, 0, 1)],
  ['a vector behind the last', set(none | mask, msix, 65, 1)],
  ['a range over the end', set(none | mask, msix, 64, 2)],
  ['a range that wraps around', set(none | mask, msix, 0xffff_ffff, 1)],
  ['a count that wraps around', set(none | mask, msix, 1, 0xffff_ffff)],
  ['a vector of MSI, of which there are none', set(none | mask, 1, 0, 1)],
  ['a second vector of INTx', set(none | mask, intx, 1, 1)],
  ['a count of 0 that does not start at 0', set(none | trigger, msix, 1, 0)],
  ['a count of 0 with booleans', set(booleans | trigger, msix, 0, 0)],
  ['a count of 0 with eventfds', set(eventfds | trigger, msix, 0, 0)],
  ['a count of 0 to mask', set(none | mask, msix, 0, 0)],
  ['fewer booleans than vectors', set(booleans | mask, msix, 0, 2, hex('01'))],
  ['argsz below its own length', pack([19, 4], [none | mask, 4], [msix, 4], [0, 4], [1, 4])],
];
for (const [why, payload] of wrongSets) {
  test(`${why}: refused, and nothing is masked`, () => {
    const rig = rigOf();
    const fds = connect(rig, msix, 0, 1);
    assert.is(rig.refuse(8, payload), EINVAL);
    rig.server.card.function.raise(0);
    assert.equal(counts(rig, fds), [1]);
  });
}

test('descriptors with data that is none are refused and closed', () => {
  const rig = rigOf();
  const before = rig.system.open.size;
  assert.is(rig.refuse(8, set(none | trigger, msix, 0, 1), [rig.system.eventFd()]), EINVAL);
  assert.is(rig.system.open.size, before);
});

test('a connection that ends takes its descriptors along', () => {
  const rig = rigOf();
  const fds = connect(rig, msix, 0, 3);
  rig.socket.isPeerGone = true;
  rig.pump();
  assert.equal(
    fds.map((fd) => rig.system.open.has(fd)),
    [false, false, false],
  );
  rig.server.card.function.raise(0);
});

test.run();
