import * as assert from 'uvu/assert';
import { BlockStatus } from '../../../sdk/block/request.js';
import type {
  Acquisition,
  DeviceReservations,
  Registration,
  ReservationState,
} from '../../../sdk/block/reservations.js';
import { ErrorCode, UltimaError } from '../../../sdk/errors.js';
import type { Adoption } from '../../../sdk/mirror/claims.js';
import { Fence } from '../../../sdk/mirror/fence.js';
import {
  type ReservationKey,
  ReservationOutcome,
  Reservations,
} from '../../../sdk/reservations/reservations.js';
import { ReservationType } from '../../../sdk/spec/nvme/nvm-command.js';
import { Prng } from '../../../sim/prng.js';
import { suite } from '../../support/suite.js';
import { clusterId, idOf, volumeId } from './rig.js';

const test = suite('fence');

/** Commands that wait until somebody lets one of them go on. */
class Turns {
  private waiting: (() => void)[] = [];

  next(): Promise<void> {
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  /** Let commands be carried out, one after the other in any order, until nobody wants more. */
  async run(prng: Prng, each: () => void): Promise<void> {
    for (;;) {
      for (let i = 0; i < 20; i++) await null;
      if (this.waiting.length === 0) return;
      const [resume] = this.waiting.splice(prng.below(this.waiting.length), 1);
      resume!();
      for (let i = 0; i < 20; i++) await null;
      each();
    }
  }
}

/** The card's reservations as a host sees them. A command takes effect when its turn has come. */
class HostView implements DeviceReservations {
  readonly kinds = ['exclusive access, registrants only'] as const;
  readonly canPersist = true;
  /** Commands until this host dies. */
  lifetime = Number.POSITIVE_INFINITY;
  private readonly device: Reservations;
  private readonly host: string;
  private readonly turns: Turns;

  constructor(device: Reservations, host: string, turns: Turns) {
    this.device = device;
    this.host = host;
    this.turns = turns;
  }

  async register({ action, currentKey, newKey }: Registration): Promise<void> {
    await this.turn();
    const { device, host } = this;
    const key = keyOf(newKey ?? 0n);
    if (action === 'register') demand(device.register(host, key));
    else if (action === 'replace') demand(device.replaceKey(host, keyOf(currentKey!), key));
    else demand(device.unregister(host, keyOf(currentKey!)));
  }

  async acquire({ action, type, key, preemptKey }: Acquisition): Promise<void> {
    await this.turn();
    const { host, device } = this;
    const rtype = ReservationType[type];
    const current = keyOf(key);
    if (action === 'acquire') demand(device.acquire(host, current, rtype));
    else {
      const preempted = keyOf(preemptKey!);
      demand(device.preempt({ host, current, preempted, type: rtype }, []));
    }
  }

  async release(): Promise<void> {
    throw new Error('nobody asked for it');
  }

  async report(): Promise<ReservationState> {
    await this.turn();
    const { type, generation, registrants, persistsThroughPowerLoss } = this.device;
    const isNone = type === ReservationType.none;
    return {
      generation,
      type: isNone ? 'none' : 'exclusive access, registrants only',
      persistsPowerLoss: persistsThroughPowerLoss,
      registered: registrants.map(({ host, key }, controllerId) => ({
        controllerId,
        isHolder: this.device.isHolder(host),
        hostId: new TextEncoder().encode(host),
        key: (BigInt(key.high) << 32n) | BigInt(key.low),
      })),
    };
  }

  private async turn(): Promise<void> {
    await this.turns.next();
    if (this.lifetime-- <= 0) await new Promise(() => {});
  }
}

function keyOf(key: bigint): ReservationKey {
  return { low: Number(key & 0xffff_ffffn), high: Number(key >> 32n) };
}

function demand(outcome: number): void {
  if (outcome === ReservationOutcome.done) return;
  const isConflict = outcome === ReservationOutcome.conflict;
  const blockStatus = isConflict ? BlockStatus.accessDenied : BlockStatus.invalidRequest;
  throw new UltimaError(ErrorCode.commandFailed, 'refused', { blockStatus });
}

function claimOf(epoch: number): Adoption {
  const token = String(epoch).padStart(32, '0');
  const known = { knownEpoch: 0, knownIncarnation: 0, session: 1 };
  return { verb: 'adopt', clusterId, volumeId, memberId: idOf(0), epoch, token, ...known };
}

interface Claimant {
  readonly epoch: number;
  readonly host: string;
  readonly view: HostView;
  /** The device has let it through, and nobody has told it otherwise. */
  isThrough: boolean;
  isRefused: boolean;
}

async function claim(claimant: Claimant): Promise<void> {
  const fence = new Fence(claimant.view);
  const adoption = claimOf(claimant.epoch);
  const objection = (await fence.enter(adoption)) ?? (await fence.take(adoption));
  if (objection === null) {
    claimant.isThrough = true;
    return;
  }
  assert.is(objection.reason, 'epoch', objection.text);
  await fence.leave(adoption);
  claimant.isRefused = true;
}

test('in any order of steps, with deaths, the device lets no claim through after a newer one', async () => {
  let overtaken = 0;
  for (let seed = 1; seed <= 500; seed++) {
    const prng = new Prng(seed, 'fence');
    const device = new Reservations();
    const turns = new Turns();
    const claimants: Claimant[] = [1, 2, 3, 4].map((epoch) => {
      // In half of the runs the newest claim comes from the host of the oldest.
      const host = `host ${seed % 2 === 0 ? epoch : epoch % 3}`;
      return {
        ...{ epoch, host, isThrough: false, isRefused: false },
        view: new HostView(device, host, turns),
      };
    });
    // The newest lives: somebody must be able to go on.
    for (const { view } of claimants.slice(0, 3))
      if (prng.chance(0.4)) view.lifetime = prng.below(9);
    for (const each of claimants) void claim(each);
    let newest = 0;
    await turns.run(prng, () => {
      for (const { epoch, isThrough } of claimants) {
        if (!isThrough || epoch <= newest) continue;
        newest = epoch;
      }
      for (const { epoch, host, isThrough } of claimants) {
        if (!isThrough || epoch >= newest) continue;
        overtaken++;
        // It may not know, and the device does. The device tells hosts apart, not processes.
        const isAlone = claimants.every((each) => each.epoch === epoch || each.host !== host);
        assert.not.ok(isAlone && device.mayWrite(host), `seed ${seed}: epoch ${epoch} writes`);
      }
    });
    assert.ok(claimants[3]!.isThrough, `seed ${seed}: the newest claim came through`);
    assert.ok(device.isHolder(claimants[3]!.host), `seed ${seed}: and holds the reservation`);
    // Others that are registered came late, and died before they looked.
    for (const each of claimants.slice(0, 3)) {
      if (each.host === claimants[3]!.host || !device.isRegistrant(each.host)) continue;
      assert.not.ok(each.isThrough, `seed ${seed}: epoch ${each.epoch} is let through`);
    }
  }
  assert.ok(overtaken > 30, `${overtaken} looks at a claim that was overtaken`);
});

test('a key of somebody else is named and left alone', async () => {
  const prng = new Prng(1, 'fence');
  const device = new Reservations();
  const turns = new Turns();
  device.register('stranger', keyOf(0x1234n));
  device.acquire('stranger', keyOf(0x1234n), 4);
  const fence = new Fence(new HostView(device, 'host', turns));
  let text = '';
  void fence.enter(claimOf(9)).then((objection) => {
    assert.is(objection?.reason, 'foreign');
    text = objection?.text ?? '';
  });
  await turns.run(prng, () => {});
  assert.match(text, /0x1234/);
  assert.equal(
    device.registrants.map(({ host }) => host),
    ['stranger'],
  );
});

test.run();
