import * as assert from 'uvu/assert';
import { IdentifyController as Id } from '../../sdk/spec/nvme/identify-controller.js';
import {
  DatasetManagement,
  RegisterAction,
  ReleaseAction,
  ReservationType,
} from '../../sdk/spec/nvme/nvm-command.js';
import { NvmOpcode } from '../../sdk/spec/nvme/opcodes.js';
import { Status } from '../../sdk/spec/nvme/status.js';
import { write } from './io-bench.js';
import {
  acquire,
  asHost,
  identifyHost,
  key,
  otherKey,
  register,
  registered,
  release,
  report,
  reserved,
} from './reservation-bench.js';
import { statements } from './statement.js';

const statement = statements('reservations');

const registerCite = '[NVMe-2.0 §7.3 Reservation Register]';
const acquireCite = '[NVMe-2.0 §7.2 Reservation Acquire]';
const releaseCite = '[NVMe-2.0 §7.4 Reservation Release]';
const accessCite = '[NVMe-2.0 §8.19 Command Behavior in the Presence of a Reservation]';
const reportCite = '[NVMe-2.0 §7.5 Reservation Report]';

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

/** What a host that does not hold the reservation may do, by type. */
const access = [
  { type: 1, registrant: { reads: true, writes: false }, other: { reads: true, writes: false } },
  { type: 2, registrant: { reads: false, writes: false }, other: { reads: false, writes: false } },
  { type: 3, registrant: { reads: true, writes: true }, other: { reads: true, writes: false } },
  { type: 4, registrant: { reads: true, writes: true }, other: { reads: false, writes: false } },
  { type: 5, registrant: { reads: true, writes: true }, other: { reads: true, writes: false } },
  { type: 6, registrant: { reads: true, writes: true }, other: { reads: false, writes: false } },
] as const;

for (const { type, registrant, other } of access) {
  const name = Object.entries(ReservationType).find(([, value]) => value === type)?.[0];
  for (const [who, may] of Object.entries({ registrant, other })) {
    for (const what of ['reads', 'writes'] as const) {
      const verdict = may[what] ? 'may' : 'may not';
      const host = who === 'registrant' ? 'another registrant' : 'a host without registration';
      const title = `under "${name}" ${host} ${verdict} ${what === 'reads' ? 'read' : 'write'}`;
      statement(title, accessCite, async (rig) => {
        const first = await registered(rig);
        rig.succeeded(await acquire(first, type));
        const second = await asHost(first, 2);
        if (who === 'registrant') {
          rig.succeeded(await register(second, RegisterAction.register, { next: otherKey }));
        }
        const data = second.ns.buffer(1);
        const command =
          what === 'reads' ? second.ns.read({ lba: 1 }, data) : second.ns.write({ lba: 1 }, data);
        const completion = await second.pair.run(command);
        if (may[what]) rig.succeeded(completion);
        else rig.refused(completion, Status.reservationConflict);
        await release(await asHost(second, 1), ReleaseAction.clear);
      });
    }
  }
}

statement(
  'a flush under an exclusive reservation conflicts like a write',
  accessCite,
  async (rig) => {
    const first = await registered(rig);
    rig.succeeded(await acquire(first, 2));
    const second = await asHost(first, 2);
    const completion = await second.pair.run(rig.command(0, second.ns.nsid));
    rig.refused(completion, Status.reservationConflict);
    await release(await asHost(second, 1), ReleaseAction.clear);
  },
);

/** Commands of the read and of the write group; each as the bytes of one block allow. */
const groups = [
  ['read', NvmOpcode.read, Id.oncsCompare, 'reads'],
  ['compare', NvmOpcode.compare, Id.oncsCompare, 'reads'],
  ['verify', NvmOpcode.verify, Id.oncsVerify, 'reads'],
  ['write zeroes', NvmOpcode.writeZeroes, Id.oncsWriteZeroes, 'writes'],
  ['write uncorrectable', NvmOpcode.writeUncorrectable, Id.oncsWriteUncorrectable, 'writes'],
  ['dataset management', NvmOpcode.datasetManagement, Id.oncsDatasetManagement, 'writes'],
  ['copy', NvmOpcode.copy, Id.oncsCopy, 'writes'],
] as const;

for (const [name, opcode, field, group] of groups) {
  for (const type of [1, 2]) {
    const isAllowed = group === 'reads' && type === 1;
    const reservation = type === 1 ? 'write exclusive' : 'exclusive access';
    const verdict = isAllowed ? 'is allowed' : 'conflicts';
    const title = `under "${reservation}" ${name} of another host ${verdict}`;
    statement(title, accessCite, async (rig) => {
      rig.needs((await rig.id(field)) === 1, name);
      const first = await registered(rig);
      await write(first, 0, { count: 1, seed: 0 });
      rig.succeeded(await acquire(first, type));
      const second = await asHost(first, 2);
      // One range of one block, or one block of the data that was written: right for each command.
      const data = second.rig.buffer(4096, {
        kind: opcode === NvmOpcode.compare ? 'random' : 'zeroes',
        seed: 0,
      });
      const command = rig.command(opcode, second.ns.nsid, data);
      if (opcode === NvmOpcode.datasetManagement) {
        data.words[1] = 1;
        command.set(DatasetManagement.ad, 1);
      }
      const completion = await second.pair.run(command);
      if (isAllowed) rig.succeeded(completion);
      else rig.refused(completion, Status.reservationConflict);
      await release(await asHost(second, 1), ReleaseAction.clear);
    });
  }
}

statement(
  'preempting takes the reservation and the registration of the holder',
  acquireCite,
  async (rig) => {
    const first = await registered(rig);
    rig.succeeded(await acquire(first, 1));
    const second = await asHost(first, 2);
    rig.succeeded(await register(second, RegisterAction.register, { next: otherKey }));
    const preempt = { key: otherKey, action: 1, preempted: key };
    rig.succeeded(await acquire(second, 2, preempt));
    const state = await report(second);
    assert.is(state.type, 2);
    assert.equal(
      state.registered.map(({ rkey, holds }) => [rkey, holds]),
      [[otherKey, true]],
    );
    await release(second, ReleaseAction.clear, otherKey);
  },
);

statement('the host that was preempted is shut out', acquireCite, async (rig) => {
  const first = await registered(rig);
  rig.succeeded(await acquire(first, 1));
  const second = await asHost(first, 2);
  rig.succeeded(await register(second, RegisterAction.register, { next: otherKey }));
  rig.succeeded(await acquire(second, 1, { key: otherKey, action: 1, preempted: key }));
  const again = await asHost(second, 1);
  const completion = await again.pair.run(again.ns.write({ lba: 1 }, again.ns.buffer(1)));
  rig.refused(completion, Status.reservationConflict);
  await release(await asHost(again, 2), ReleaseAction.clear, otherKey);
});

statement('a host that comes back is registered with its own key', registerCite, async (rig) => {
  const first = await registered(rig);
  const second = await asHost(first, 2);
  rig.succeeded(await register(second, RegisterAction.register, { next: otherKey }));
  assert.ok((await report(second)).registered.some(({ rkey }) => rkey === otherKey));
  const again = await asHost(second, 1);
  assert.ok((await report(again)).registered.some(({ rkey }) => rkey === key));
  await release(again, ReleaseAction.clear);
});

statement.run();
