import {
  AcquireAction,
  PersistThroughPowerLoss,
  RegisterAction,
  ReleaseAction,
  ReservationAcquire,
  ReservationAcquireData,
  ReservationRegister,
  ReservationRegisterData,
  ReservationRelease,
  ReservationReleaseData,
} from '../../../sdk/spec/nvme/nvm-command.js';
import { Status } from '../../../sdk/spec/nvme/status.js';
import type { Command } from '../command.js';
import type { Namespace } from '../namespace.js';
import { type ReservationKey, ReservationOutcome } from '../reservations.js';
import { parametersOf } from './parameters.js';
import { Access, type Operation, type Work } from './work.js';

/**
 * Reservation Register, Acquire and Release: a key structure comes in, the state machine decides.
 */
abstract class ReservationOperation implements Operation {
  readonly access = Access.none;
  protected readonly work: Work;
  private readonly dataBytes: number;

  constructor(work: Work, dataBytes: number) {
    this.work = work;
    this.dataBytes = dataBytes;
  }

  begin(command: Command, _namespace: Namespace): void {
    const { work } = this;
    const { services } = work;
    const length = this.dataBytes;
    let status = this.check(command);
    if (status === 0) status = services.mapData(command, length);
    if (status === 0) {
      status = services.fromHost(command, parametersOf(command).bytes, 0, 0, length);
    }
    if (status !== 0) work.fail(command, status);
    else work.media.manage(work.services, command, 1);
  }

  finish(command: Command, namespace: Namespace): void {
    const outcome = this.decide(command, namespace);
    this.work.end(command, statusOf(outcome));
  }

  /** @returns 0, or the status for a field that is wrong by itself */
  protected abstract check(command: Command): number;
  /** @returns a `ReservationOutcome` */
  protected abstract decide(command: Command, namespace: Namespace): number;

  protected key(command: Command, offset: number): ReservationKey {
    const { words } = parametersOf(command);
    return { low: words[offset / 4]!, high: words[offset / 4 + 1]! };
  }
}

function statusOf(outcome: number): number {
  if (outcome === ReservationOutcome.done) return 0;
  const isConflict = outcome === ReservationOutcome.conflict;
  return isConflict ? Status.reservationConflict : Status.invalidField;
}

/** [NVMe-2.0 §7.3 Reservation Register] */
export class ReservationRegisterOperation extends ReservationOperation {
  constructor(work: Work) {
    super(work, ReservationRegisterData.layout.bytes);
  }

  protected override check(command: Command): number {
    const action = ReservationRegister.rrega.get(command.words, 0);
    return action > RegisterAction.replace ? Status.invalidField : 0;
  }

  protected override decide(command: Command, namespace: Namespace): number {
    const { words } = command;
    const { reservations } = namespace;
    const { host } = this.work.controller;
    const ignoresKey = ReservationRegister.iekey.get(words, 0) === 1;
    const current = ignoresKey ? null : this.key(command, ReservationRegisterData.crkey.offset);
    const key = this.key(command, ReservationRegisterData.nrkey.offset);
    const action = ReservationRegister.rrega.get(words, 0);
    let outcome: number;
    if (action === RegisterAction.register) outcome = reservations.register(host, key);
    else if (action === RegisterAction.unregister) outcome = reservations.unregister(host, current);
    else outcome = reservations.replaceKey(host, current, key);
    if (outcome !== ReservationOutcome.done) return outcome;
    const change = ReservationRegister.cptpl.get(words, 0);
    if (change === PersistThroughPowerLoss.off) reservations.persistsThroughPowerLoss = false;
    if (change === PersistThroughPowerLoss.on) reservations.persistsThroughPowerLoss = true;
    return outcome;
  }
}

/** [NVMe-2.0 §7.2 Reservation Acquire] */
export class ReservationAcquireOperation extends ReservationOperation {
  constructor(work: Work) {
    super(work, ReservationAcquireData.layout.bytes);
  }

  protected override check(command: Command): number {
    const { words } = command;
    if (ReservationAcquire.iekey.get(words, 0) === 1) return Status.invalidField;
    const action = ReservationAcquire.racqa.get(words, 0);
    return action > AcquireAction.preemptAndAbort ? Status.invalidField : 0;
  }

  protected override decide(command: Command, namespace: Namespace): number {
    const { words } = command;
    const { reservations } = namespace;
    const { controller } = this.work;
    const { host } = controller;
    const current = this.key(command, ReservationAcquireData.crkey.offset);
    const type = ReservationAcquire.rtype.get(words, 0);
    const action = ReservationAcquire.racqa.get(words, 0);
    if (action === AcquireAction.acquire) return reservations.acquire(host, current, type);
    const preempted = this.key(command, ReservationAcquireData.prkey.offset);
    const lost: string[] = [];
    const outcome = reservations.preempt({ host, current, preempted, type }, lost);
    const others = lost.filter((name) => name !== host);
    const isAborting = action === AcquireAction.preemptAndAbort && others.length > 0;
    if (outcome === ReservationOutcome.done && isAborting) {
      controller.abortCommandsOf(others, namespace);
    }
    return outcome;
  }
}

/** [NVMe-2.0 §7.4 Reservation Release] */
export class ReservationReleaseOperation extends ReservationOperation {
  constructor(work: Work) {
    super(work, ReservationReleaseData.layout.bytes);
  }

  protected override check(command: Command): number {
    const { words } = command;
    if (ReservationRelease.iekey.get(words, 0) === 1) return Status.invalidField;
    const action = ReservationRelease.rrela.get(words, 0);
    return action > ReleaseAction.clear ? Status.invalidField : 0;
  }

  protected override decide(command: Command, namespace: Namespace): number {
    const { words } = command;
    const { reservations } = namespace;
    const { host } = this.work.controller;
    const current = this.key(command, ReservationReleaseData.crkey.offset);
    const action = ReservationRelease.rrela.get(words, 0);
    if (action === ReleaseAction.clear) return reservations.clear(host, current);
    return reservations.releaseBy(host, current, ReservationRelease.rtype.get(words, 0));
  }
}
