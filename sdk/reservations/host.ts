import type {
  Acquisition,
  DeviceReservations,
  Registration,
  Release,
  ReservationKind,
  ReservationState,
} from '../block/reservations.js';
import { commandDwords, Sqe } from '../spec/nvme/command.js';
import { IdentifyNamespace } from '../spec/nvme/identify-namespace.js';
import {
  AcquireAction,
  PersistThroughPowerLoss,
  RegisterAction,
  RegisteredController,
  RegisteredControllerExtended,
  ReleaseAction,
  ReservationAcquire,
  ReservationAcquireData,
  ReservationRegister,
  ReservationRegisterData,
  ReservationRelease,
  ReservationReleaseData,
  ReservationReport,
  ReservationStatus,
  ReservationType,
  reservationStatusExtendedBytes,
} from '../spec/nvme/nvm-command.js';
import { NvmOpcode } from '../spec/nvme/opcodes.js';
import { Status, statusKind } from '../spec/nvme/status.js';

/**
 * Reservations of one namespace as a host asks for them [NVMe-2.0 §8.19 Reservations]; how commands
 * go to the controller differs.
 */
export abstract class HostReservations<Options> implements DeviceReservations {
  readonly kinds: readonly ReservationKind[];
  readonly canPersist: boolean;
  private readonly nsid: number;

  /** @param page  Identify of the namespace */
  constructor(nsid: number, page: Uint32Array) {
    this.nsid = nsid;
    const known = capabilities.filter(([, field]) => field.get(page, 0) === 1);
    this.kinds = known.map(([kind]) => kind);
    this.canPersist = IdentifyNamespace.rescapPersist.get(page, 0) === 1;
  }

  /** @returns the status */
  protected abstract send(
    words: Uint32Array,
    data: Uint32Array,
    how: How<Options>,
  ): Promise<number>;
  /** What a promise is rejected with. */
  protected abstract errorOf(status: number): Error;

  /** Register, replace or remove this host's key. */
  async register(wanted: Registration, options?: Options): Promise<void> {
    const words = this.command(NvmOpcode.reservationRegister);
    ReservationRegister.rrega.set(words, 0, RegisterAction[wanted.action]);
    ReservationRegister.iekey.set(words, 0, wanted.ignoresExistingKey === true ? 1 : 0);
    const persistence = PersistThroughPowerLoss[wanted.persistence ?? 'unchanged'];
    ReservationRegister.cptpl.set(words, 0, persistence);
    const data = new Uint32Array(ReservationRegisterData.layout.bytes / 4);
    ReservationRegisterData.crkey.setCount(data, 0, wanted.currentKey ?? 0n);
    ReservationRegisterData.nrkey.setCount(data, 0, wanted.newKey ?? 0n);
    this.demand(await this.send(words, data, { isToHost: false, options }));
  }

  async acquire(wanted: Acquisition, options?: Options): Promise<void> {
    const words = this.command(NvmOpcode.reservationAcquire);
    ReservationAcquire.racqa.set(words, 0, AcquireAction[wanted.action]);
    ReservationAcquire.rtype.set(words, 0, ReservationType[wanted.type]);
    const data = new Uint32Array(ReservationAcquireData.layout.bytes / 4);
    ReservationAcquireData.crkey.setCount(data, 0, wanted.key);
    ReservationAcquireData.prkey.setCount(data, 0, wanted.preemptKey ?? 0n);
    this.demand(await this.send(words, data, { isToHost: false, options }));
  }

  async release(wanted: Release, options?: Options): Promise<void> {
    const words = this.command(NvmOpcode.reservationRelease);
    ReservationRelease.rrela.set(words, 0, ReleaseAction[wanted.action]);
    ReservationRelease.rtype.set(words, 0, ReservationType[wanted.type]);
    const data = new Uint32Array(ReservationReleaseData.layout.bytes / 4);
    ReservationReleaseData.crkey.setCount(data, 0, wanted.key);
    this.demand(await this.send(words, data, { isToHost: false, options }));
  }

  /** The report, with 128-bit host identifiers where the host registered with one. */
  async report(options?: Options): Promise<ReservationState> {
    const data = new Uint32Array(reportBytes / 4);
    let form: ReportForm = extendedForm;
    let status = await this.ask(form, data, options);
    // The form must be the one of the host identifier that is set [NVMe-2.0 §7.5 EDS].
    if (statusKind(status) === Status.hostIdentifierInconsistentFormat) {
      form = plainForm;
      status = await this.ask(form, data, options);
    }
    this.demand(status);
    return stateOf(data, form);
  }

  private ask(form: ReportForm, data: Uint32Array, options?: Options): Promise<number> {
    const words = this.command(NvmOpcode.reservationReport);
    ReservationReport.numd.set(words, 0, reportBytes / 4);
    ReservationReport.eds.set(words, 0, form.eds);
    return this.send(words, data, { isToHost: true, options });
  }

  private command(opcode: number): Uint32Array {
    const words = new Uint32Array(commandDwords);
    Sqe.opc.set(words, 0, opcode);
    Sqe.nsid.set(words, 0, this.nsid);
    return words;
  }

  private demand(status: number): void {
    if (status !== 0) throw this.errorOf(status);
  }
}

export interface How<Options> {
  /** The data is overwritten with what the controller gives. */
  readonly isToHost: boolean;
  readonly options: Options | undefined;
}

const reportBytes = 4096;

/** [NVMe-2.0 §? RESCAP] */
const capabilities = [
  ['write exclusive', IdentifyNamespace.rescapWriteExclusive],
  ['exclusive access', IdentifyNamespace.rescapExclusiveAccess],
  ['write exclusive, registrants only', IdentifyNamespace.rescapWriteExclusiveRegistrants],
  ['exclusive access, registrants only', IdentifyNamespace.rescapExclusiveAccessRegistrants],
  ['write exclusive, all registrants', IdentifyNamespace.rescapWriteExclusiveAll],
  ['exclusive access, all registrants', IdentifyNamespace.rescapExclusiveAccessAll],
] as const;

/** The two shapes of a report: where entries start, and how they are laid out. */
const extendedForm = {
  eds: 1,
  headerBytes: reservationStatusExtendedBytes,
  entry: RegisteredControllerExtended,
};
const plainForm = {
  eds: 0,
  headerBytes: ReservationStatus.layout.bytes,
  entry: RegisteredController,
};
type ReportForm = typeof extendedForm | typeof plainForm;

function stateOf(words: Uint32Array, { headerBytes, entry }: ReportForm): ReservationState {
  const room = Math.floor((reportBytes - headerBytes) / entry.layout.bytes);
  // The count comes from the device: no more than what fits is believed.
  const count = Math.min(ReservationStatus.regctl.get(words, 0), room);
  const type = ReservationStatus.rtype.get(words, 0);
  const kind = kinds.find((name) => ReservationType[name] === type);
  return {
    generation: ReservationStatus.gen.get(words, 0),
    type: kind ?? 'none',
    persistsPowerLoss: ReservationStatus.ptpls.get(words, 0) === 1,
    registered: Array.from({ length: count }, (_, index) => {
      const at = (headerBytes + index * entry.layout.bytes) / 4;
      return {
        controllerId: entry.cntlid.get(words, at),
        isHolder: entry.holds.get(words, at) === 1,
        hostId: entry.hostid.bytes(words, at).slice(),
        key: entry.rkey.count(words, at),
      };
    }),
  };
}

const kinds = [
  'none',
  'write exclusive',
  'exclusive access',
  'write exclusive, registrants only',
  'exclusive access, registrants only',
  'write exclusive, all registrants',
  'exclusive access, all registrants',
] as const satisfies readonly ReservationKind[];
