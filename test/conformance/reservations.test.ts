import * as assert from 'uvu/assert';
import { Feature } from '../../sdk/spec/nvme/features.js';
import { IdentifyController as Id } from '../../sdk/spec/nvme/identify-controller.js';
import {
  AcquireAction,
  RegisterAction,
  RegisteredController,
  ReleaseAction,
  ReservationAcquire,
  ReservationAcquireData,
  ReservationRegister,
  ReservationRegisterData,
  ReservationRelease,
  ReservationReport,
  ReservationStatus,
  ReservationType,
} from '../../sdk/spec/nvme/nvm-command.js';
import { NvmOpcode } from '../../sdk/spec/nvme/opcodes.js';
import { Status } from '../../sdk/spec/nvme/status.js';
import type { Rig } from '../../sdk/testing/rig.js';
import { type Bench, bench, write } from './io-bench.js';
import { statements } from './statement.js';

const statement = statements('reservations');

const registerCite = '[NVMe-2.0 §7.3 Reservation Register]';
const acquireCite = '[NVMe-2.0 §7.2 Reservation Acquire]';
const releaseCite = '[NVMe-2.0 §7.4 Reservation Release]';
const reportCite = '[NVMe-2.0 §7.5 Reservation Report]';

const key = 0x1122_3344n;
const otherKey = 0x99n;

/** A namespace that nobody has registered with, as host 1. */
async function reserved(rig: Rig): Promise<Bench> {
  rig.needs((await rig.id(Id.oncsReservations)) === 1, 'reservations');
  await identifyHost(rig);
  const made = await bench(rig);
  const { registered } = await report(made);
  if (registered.length > 0) await release(made, ReleaseAction.clear, registered[0]?.rkey ?? 0n);
  return made;
}

/** Become host 1, with whichever size of identifier the controller takes. */
async function identifyHost(rig: Rig): Promise<void> {
  const fid = Feature.hostIdentifier;
  const data = rig.buffer(16, { kind: 'zeroes' });
  data.words[0] = 1;
  if ((await rig.setFeature({ fid, data: data.slice(0, 8) })).status === 0) return;
  rig.succeeded(await rig.setFeature({ fid, value: 1, data }));
}

function register(made: Bench, action: number, keys: { current?: bigint; next?: bigint }) {
  const { rig, ns, pair } = made;
  const data = rig.buffer(16, { kind: 'zeroes' });
  ReservationRegisterData.crkey.setCount(data.words, 0, keys.current ?? 0n);
  ReservationRegisterData.nrkey.setCount(data.words, 0, keys.next ?? 0n);
  const command = rig
    .command(NvmOpcode.reservationRegister, ns.nsid, data)
    .set(ReservationRegister.rrega, action);
  return pair.run(command);
}

function acquire(made: Bench, type: number, options: { key?: bigint; action?: number } = {}) {
  const { rig, ns, pair } = made;
  const data = rig.buffer(16, { kind: 'zeroes' });
  ReservationAcquireData.crkey.setCount(data.words, 0, options.key ?? key);
  const command = rig
    .command(NvmOpcode.reservationAcquire, ns.nsid, data)
    .set(ReservationAcquire.racqa, options.action ?? AcquireAction.acquire)
    .set(ReservationAcquire.rtype, type);
  return pair.run(command);
}

function release(made: Bench, action: number, current = key, type = 0) {
  const { rig, ns, pair } = made;
  const data = rig.buffer(8, { kind: 'zeroes' });
  ReservationAcquireData.crkey.setCount(data.words, 0, current);
  const command = rig
    .command(NvmOpcode.reservationRelease, ns.nsid, data)
    .set(ReservationRelease.rrela, action)
    .set(ReservationRelease.rtype, type);
  return pair.run(command);
}

/** Reservation Report, whichever data structure the host identifier asks for. */
async function report({ rig, ns, pair }: Bench) {
  const data = rig.buffer(4096, { kind: 'zeroes' });
  const command = rig
    .command(NvmOpcode.reservationReport, ns.nsid, data)
    .set(ReservationReport.numd, 1024);
  let completion = await pair.run(command);
  const isExtended = completion.status !== 0;
  if (isExtended) completion = await pair.run(command.set(ReservationReport.eds, 1));
  rig.succeeded(completion);
  const { words } = data;
  const registered = Array.from({ length: ReservationStatus.regctl.get(words, 0) }, (_, i) => {
    const at = isExtended ? 16 + i * 16 : 6 + i * 6;
    const rkeyAt = isExtended ? at + 2 : at + 4;
    return {
      controller: RegisteredController.cntlid.get(words, at),
      holds: RegisteredController.holds.get(words, at) === 1,
      rkey: BigInt(words[rkeyAt]!) + (BigInt(words[rkeyAt + 1]!) << 32n),
    };
  });
  return {
    generation: ReservationStatus.gen.get(words, 0),
    type: ReservationStatus.rtype.get(words, 0),
    registered,
  };
}

/** Registered as host 1 with `key`. */
async function registered(rig: Rig): Promise<Bench> {
  const made = await reserved(rig);
  rig.succeeded(await register(made, RegisterAction.register, { next: key }));
  return made;
}

statement('a namespace without registrants reports none', reportCite, async (rig) => {
  const { registered: list, type } = await report(await reserved(rig));
  assert.equal(list, []);
  assert.is(type, ReservationType.none);
});

statement('a registration is reported with its key and controller', registerCite, async (rig) => {
  const made = await registered(rig);
  const { registered: list } = await report(made);
  assert.is(list.length, 1);
  assert.is(list[0]?.rkey, key);
  assert.is(list[0]?.controller, await rig.id(Id.cntlid));
  assert.not.ok(list[0]?.holds);
  await release(made, ReleaseAction.clear);
});

statement('a registration raises the generation', reportCite, async (rig) => {
  const made = await reserved(rig);
  const before = (await report(made)).generation;
  rig.succeeded(await register(made, RegisterAction.register, { next: key }));
  assert.is((await report(made)).generation, (before + 1) % 2 ** 32);
  await release(made, ReleaseAction.clear);
});

statement('registering again with the same key succeeds', registerCite, async (rig) => {
  const made = await registered(rig);
  rig.succeeded(await register(made, RegisterAction.register, { next: key }));
  await release(made, ReleaseAction.clear);
});

statement('registering again with another key conflicts', registerCite, async (rig) => {
  const made = await registered(rig);
  const completion = await register(made, RegisterAction.register, { next: otherKey });
  rig.refused(completion, Status.reservationConflict);
  await release(made, ReleaseAction.clear);
});

statement('a key can be replaced by who knows it', registerCite, async (rig) => {
  const made = await registered(rig);
  rig.succeeded(await register(made, RegisterAction.replace, { current: key, next: otherKey }));
  assert.is((await report(made)).registered[0]?.rkey, otherKey);
  await release(made, ReleaseAction.clear, otherKey);
});

statement('a key cannot be replaced with a wrong current key', registerCite, async (rig) => {
  const made = await registered(rig);
  const keys = { current: otherKey, next: 5n };
  rig.refused(await register(made, RegisterAction.replace, keys), Status.reservationConflict);
  await release(made, ReleaseAction.clear);
});

statement('unregistering removes the registration', registerCite, async (rig) => {
  const made = await registered(rig);
  rig.succeeded(await register(made, RegisterAction.unregister, { current: key }));
  assert.equal((await report(made)).registered, []);
});

statement('unregistering with a wrong key conflicts', registerCite, async (rig) => {
  const made = await registered(rig);
  const completion = await register(made, RegisterAction.unregister, { current: otherKey });
  rig.refused(completion, Status.reservationConflict);
  await release(made, ReleaseAction.clear);
});

statement('a reserved register action is refused', registerCite, async (rig) => {
  const made = await reserved(rig);
  rig.refused(await register(made, 7, { next: key }), Status.invalidField);
});

statement('only a registrant can acquire a reservation', acquireCite, async (rig) => {
  const made = await reserved(rig);
  const completion = await acquire(made, ReservationType['write exclusive']);
  rig.refused(completion, Status.reservationConflict);
});

statement('acquiring with a wrong key conflicts', acquireCite, async (rig) => {
  const made = await registered(rig);
  const completion = await acquire(made, 1, { key: otherKey });
  rig.refused(completion, Status.reservationConflict);
  await release(made, ReleaseAction.clear);
});

for (const [name, type] of Object.entries(ReservationType)) {
  if (type === ReservationType.none) continue;

  statement(`a reservation "${name}" is reported`, acquireCite, async (rig) => {
    const made = await registered(rig);
    rig.succeeded(await acquire(made, type));
    const state = await report(made);
    assert.is(state.type, type);
    assert.ok(state.registered[0]?.holds);
    await release(made, ReleaseAction.clear);
  });

  statement(
    `the holder of "${name}" can read and write`,
    '[NVMe-2.0 §8.19 Reservations]',
    async (rig) => {
      const made = await registered(rig);
      rig.succeeded(await acquire(made, type));
      await write(made, 10, { count: 1, seed: 1 });
      await made.pair.runOk(made.ns.read({ lba: 10 }, made.ns.buffer(1)));
      await release(made, ReleaseAction.clear);
    },
  );

  statement(`"${name}" is released by its holder`, releaseCite, async (rig) => {
    const made = await registered(rig);
    rig.succeeded(await acquire(made, type));
    rig.succeeded(await release(made, ReleaseAction.release, key, type));
    const state = await report(made);
    assert.is(state.type, ReservationType.none);
    assert.is(state.registered.length, 1);
    await release(made, ReleaseAction.clear);
  });
}

statement('a reserved reservation type is refused', acquireCite, async (rig) => {
  const made = await registered(rig);
  rig.refused(await acquire(made, 9), Status.invalidField);
  await release(made, ReleaseAction.clear);
});

statement(
  'acquiring a reservation of another type conflicts with the one held',
  acquireCite,
  async (rig) => {
    const made = await registered(rig);
    rig.succeeded(await acquire(made, 1));
    rig.refused(await acquire(made, 2), Status.reservationConflict);
    await release(made, ReleaseAction.clear);
  },
);

statement('releasing another type than the one held is refused', releaseCite, async (rig) => {
  const made = await registered(rig);
  rig.succeeded(await acquire(made, 1));
  rig.refused(await release(made, ReleaseAction.release, key, 2), Status.invalidField);
  await release(made, ReleaseAction.clear);
});

statement('releasing what nobody holds succeeds', releaseCite, async (rig) => {
  const made = await registered(rig);
  rig.succeeded(await release(made, ReleaseAction.release, key, 1));
  await release(made, ReleaseAction.clear);
});

statement('releasing with a wrong key conflicts', releaseCite, async (rig) => {
  const made = await registered(rig);
  rig.succeeded(await acquire(made, 1));
  const completion = await release(made, ReleaseAction.release, otherKey, 1);
  rig.refused(completion, Status.reservationConflict);
  await release(made, ReleaseAction.clear);
});

statement('clearing ends the reservation and every registration', releaseCite, async (rig) => {
  const made = await registered(rig);
  rig.succeeded(await acquire(made, 3));
  rig.succeeded(await release(made, ReleaseAction.clear));
  const state = await report(made);
  assert.equal(state.registered, []);
  assert.is(state.type, ReservationType.none);
});

statement(
  'unregistering the holder of an exclusive type releases it',
  registerCite,
  async (rig) => {
    const made = await registered(rig);
    rig.succeeded(await acquire(made, 1));
    rig.succeeded(await register(made, RegisterAction.unregister, { current: key }));
    assert.is((await report(made)).type, ReservationType.none);
  },
);

statement(
  'a reservation survives a controller reset',
  '[NVMe-2.0 §8.19 Reservations]',
  async (rig) => {
    const made = await registered(rig);
    rig.succeeded(await acquire(made, 1));
    await rig.enable();
    const again = { ...made, pair: await rig.queuePair() };
    await identifyHost(rig);
    const state = await report(again);
    assert.is(state.type, 1);
    assert.is(state.registered[0]?.rkey, key);
    await release(again, ReleaseAction.clear);
  },
);

statement.run();
