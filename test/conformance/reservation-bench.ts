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
} from '../../sdk/spec/nvme/nvm-command.js';
import { NvmOpcode } from '../../sdk/spec/nvme/opcodes.js';
import type { Rig } from '../../sdk/testing/rig.js';
import { type Bench, bench } from './io-bench.js';

export const key = 0x1122_3344n;
export const otherKey = 0x99n;

/** A namespace that nobody has registered with, as host 1. */
export async function reserved(rig: Rig): Promise<Bench> {
  rig.needs((await rig.id(Id.oncsReservations)) === 1, 'reservations');
  await identifyHost(rig);
  const made = await bench(rig);
  const { registered } = await report(made);
  if (registered.length > 0) await release(made, ReleaseAction.clear, registered[0]?.rkey ?? 0n);
  return made;
}

/** Become a host, with whichever size of identifier the controller takes. */
export async function identifyHost(rig: Rig, host = 1): Promise<void> {
  const fid = Feature.hostIdentifier;
  const data = rig.buffer(16, { kind: 'zeroes' });
  data.words[0] = host;
  if ((await rig.setFeature({ fid, data: data.slice(0, 8) })).status === 0) return;
  rig.succeeded(await rig.setFeature({ fid, value: 1, data }));
}

export function register(made: Bench, action: number, keys: { current?: bigint; next?: bigint }) {
  const { rig, ns, pair } = made;
  const data = rig.buffer(16, { kind: 'zeroes' });
  ReservationRegisterData.crkey.setCount(data.words, 0, keys.current ?? 0n);
  ReservationRegisterData.nrkey.setCount(data.words, 0, keys.next ?? 0n);
  const command = rig
    .command(NvmOpcode.reservationRegister, ns.nsid, data)
    .set(ReservationRegister.rrega, action);
  return pair.run(command);
}

export function acquire(
  made: Bench,
  type: number,
  options: { key?: bigint; action?: number; preempted?: bigint } = {},
) {
  const { rig, ns, pair } = made;
  const data = rig.buffer(16, { kind: 'zeroes' });
  ReservationAcquireData.crkey.setCount(data.words, 0, options.key ?? key);
  ReservationAcquireData.prkey.setCount(data.words, 0, options.preempted ?? 0n);
  const command = rig
    .command(NvmOpcode.reservationAcquire, ns.nsid, data)
    .set(ReservationAcquire.racqa, options.action ?? AcquireAction.acquire)
    .set(ReservationAcquire.rtype, type);
  return pair.run(command);
}

export function release(made: Bench, action: number, current = key, type = 0) {
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
export async function report({ rig, ns, pair }: Bench) {
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
export async function registered(rig: Rig): Promise<Bench> {
  const made = await reserved(rig);
  rig.succeeded(await register(made, RegisterAction.register, { next: key }));
  return made;
}

/** The same controller for another host: a reset forgets the host, not the reservation. */
export async function asHost(made: Bench, host: number): Promise<Bench> {
  const { rig } = made;
  await rig.enable();
  await identifyHost(rig, host);
  return { rig, ns: made.ns, pair: await rig.queuePair() };
}
