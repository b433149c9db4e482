import * as assert from 'uvu/assert';
import { NvmeController } from '../../../../sdk/nvme/controller.js';
import type { Namespace } from '../../../../sdk/nvme/namespace.js';
import { Feature } from '../../../../sdk/spec/nvme/features.js';
import { LogPage } from '../../../../sdk/spec/nvme/logs.js';
import { ReservationLog } from '../../../../sdk/spec/nvme/logs-events.js';
import { Status } from '../../../../sdk/spec/nvme/status.js';
import type { SimCard } from '../../../../sim/card.js';
import { openSimulated } from '../../../../sim/open.js';
import { nvmeStatusOf } from '../../../support/nvme-status.js';
import { suite } from '../../../support/suite.js';

const test = suite('reservations over two functions');
const sriovControl = 0x168;
const numVfs = 0x170;

interface Host {
  readonly controller: NvmeController;
  readonly namespace: Namespace;
  /** Log pages that asynchronous events pointed at. */
  readonly events: number[];
}

interface Hosts {
  readonly card: SimCard;
  readonly a: Host;
  readonly b: Host;
  close(): Promise<void>;
}

/** Two hosts with 128-bit identifiers, one at the physical function and one at a virtual one. */
async function twoHosts(): Promise<Hosts> {
  const card = openSimulated('sim:simple?bytes=16MiB&controller.virtualFunctions=1');
  const events: number[][] = [[], []];
  const open = (index: number): Promise<NvmeController> =>
    NvmeController.open(card.open(index), {
      onEvent: (event) => {
        if (event.kind === 'async event') events[index]!.push(event.logPage);
      },
    });
  const primary = await open(0);
  card.function.config.write16(numVfs, 1);
  card.function.config.write16(sriovControl, 0x0009);
  const { admin } = primary;
  await admin.virtualization('secondary assign', { controllerId: 1, count: 3 });
  const interrupts = { controllerId: 1, resource: 'interrupt', count: 2 } as const;
  await admin.virtualization('secondary assign', interrupts);
  await admin.virtualization('secondary online', { controllerId: 1 });
  await admin.attachNamespace(1, [1]);
  const secondary = await open(1);
  const hosts: Host[] = [];
  for (const [index, controller] of [primary, secondary].entries()) {
    const data = new Uint8Array(16).fill(index + 1);
    await controller.admin.setFeature(Feature.hostIdentifier, 1, { data });
    hosts.push({ controller, namespace: await controller.namespace(1), events: events[index]! });
  }
  const close = async (): Promise<void> => {
    card.checker.demandNone();
    await secondary.close();
    await primary.close();
  };
  return { card, a: hosts[0]!, b: hosts[1]!, close };
}

test('the other host cannot write under write exclusive, and can again after the release', async () => {
  const { a, b, close } = await twoHosts();
  const data = new Uint8Array(4096);
  await a.namespace.reservations.register({ action: 'register', newKey: 1n });
  await a.namespace.reservations.acquire({ action: 'acquire', type: 'write exclusive', key: 1n });
  assert.is(await nvmeStatusOf(b.namespace.write(0, data)), Status.reservationConflict);
  assert.is(await nvmeStatusOf(b.namespace.flush()), Status.reservationConflict);
  assert.is(await nvmeStatusOf(b.namespace.read(0, data)), 0);
  assert.is(await nvmeStatusOf(a.namespace.write(0, data)), 0);
  await a.namespace.reservations.release({ action: 'release', type: 'write exclusive', key: 1n });
  assert.is(await nvmeStatusOf(b.namespace.write(0, data)), 0);
  await close();
});

test('the report names both hosts, their controllers and the holder', async () => {
  const { a, b, close } = await twoHosts();
  await a.namespace.reservations.register({ action: 'register', newKey: 0xa1n });
  await b.namespace.reservations.register({ action: 'register', newKey: 0xb2n });
  const type = 'exclusive access, registrants only';
  await b.namespace.reservations.acquire({ action: 'acquire', type, key: 0xb2n });
  const { registered, ...state } = await a.namespace.reservations.report();
  assert.equal(state, { generation: 2, type, persistsPowerLoss: false });
  assert.equal(
    registered.map(({ controllerId, isHolder, hostId, key }) => [
      controllerId,
      isHolder,
      hostId[0],
      key,
    ]),
    [
      [0, false, 1, 0xa1n],
      [1, true, 2, 0xb2n],
    ],
  );
  await close();
});

test('a preempted host is told by an event and by the reservation notification log', async () => {
  const { a, b, close } = await twoHosts();
  await a.namespace.reservations.register({ action: 'register', newKey: 1n });
  await b.namespace.reservations.register({ action: 'register', newKey: 2n });
  await a.namespace.reservations.acquire({ action: 'acquire', type: 'write exclusive', key: 1n });
  await b.namespace.reservations.acquire({
    action: 'preempt',
    type: 'exclusive access',
    key: 2n,
    preemptKey: 1n,
  });
  const words = await a.controller.admin.logPage(LogPage.reservation, 64);
  assert.is(ReservationLog.nsid.get(words, 0), 1);
  assert.is(ReservationLog.type.get(words, 0), 1, 'registration preempted');
  assert.equal(a.events, [LogPage.reservation]);
  assert.equal(
    b.events.filter((page) => page === LogPage.reservation),
    [],
  );
  assert.is(
    await nvmeStatusOf(a.namespace.read(0, new Uint8Array(512))),
    Status.reservationConflict,
  );
  await close();
});

test('preempt and abort ends the writes of the preempted host, whole or not at all', async () => {
  const { a, b, close } = await twoHosts();
  await a.namespace.reservations.register({ action: 'register', newKey: 1n });
  await b.namespace.reservations.register({ action: 'register', newKey: 2n });
  await a.namespace.reservations.acquire({ action: 'acquire', type: 'write exclusive', key: 1n });
  const old = new Uint8Array(512).fill(1);
  await a.namespace.write(5, old);
  const fresh = new Uint8Array(512).fill(2);
  const running = Array.from({ length: 8 }, () => nvmeStatusOf(a.namespace.write(5, fresh)));
  await b.namespace.reservations.acquire({
    action: 'preemptAndAbort',
    type: 'write exclusive',
    key: 2n,
    preemptKey: 1n,
  });
  const endings = await Promise.all(running);
  const possible: readonly number[] = [
    0,
    Status.abortedPreemptAndAbort,
    Status.reservationConflict,
  ];
  for (const ending of endings) assert.ok(possible.includes(ending), ending.toString(16));
  const back = new Uint8Array(512);
  await b.namespace.read(5, back);
  assert.equal(back, endings.includes(0) ? fresh : old);
  assert.is(await nvmeStatusOf(a.namespace.write(5, fresh)), Status.reservationConflict);
  await close();
});

test('a reservation that was asked to persist outlives the power, the identifier set again', async () => {
  for (const persistence of ['on', 'off'] as const) {
    const { card, a, b } = await twoHosts();
    await a.namespace.reservations.register({ action: 'register', newKey: 1n, persistence });
    await a.namespace.reservations.acquire({
      action: 'acquire',
      type: 'exclusive access',
      key: 1n,
    });
    await b.controller.close();
    card.powerCut();
    card.restore();
    card.world.advance(1_000_000_000);
    await a.controller.close();
    const again = await NvmeController.open(card.open());
    const namespace = await again.namespace(1);
    const data = new Uint8Array(512);
    const isHeld = persistence === 'on';
    assert.is(await nvmeStatusOf(namespace.read(0, data)), isHeld ? Status.reservationConflict : 0);
    await again.admin.setFeature(Feature.hostIdentifier, 1, { data: new Uint8Array(16).fill(1) });
    assert.is(await nvmeStatusOf(namespace.read(0, data)), 0);
    await again.close();
  }
});

test.run();
