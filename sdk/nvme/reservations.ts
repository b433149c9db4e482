import type {
  Acquisition,
  DeviceReservations,
  Registration,
  Release,
  ReservationKind,
  ReservationState,
} from '../block/reservations.js';
import type { DmaRegion } from '../device.js';
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
import { type CommandResult, command } from './admin-queue.js';
import { blockStatusOf } from './block-status.js';
import type { IoCommands } from './io-commands.js';
import { type IoOptions, ioError } from './io-options.js';
import type { NamespaceFormat } from './namespace-format.js';
import { SlotEnd } from './submission-queue.js';

/** Reservations of one namespace [NVMe-2.0 §8.19 Reservations]. */
export class Reservations implements DeviceReservations {
  readonly kinds: readonly ReservationKind[];
  readonly canPersist: boolean;
  private readonly nsid: number;
  private readonly commands: IoCommands;

  constructor({ nsid, words }: Pick<NamespaceFormat, 'nsid' | 'words'>, commands: IoCommands) {
    this.nsid = nsid;
    this.commands = commands;
    const known = capabilities.filter(([, field]) => field.get(words, 0) === 1);
    this.kinds = known.map(([kind]) => kind);
    this.canPersist = IdentifyNamespace.rescapPersist.get(words, 0) === 1;
  }

  /** Register, replace or remove this host's key. */
  async register(wanted: Registration, options: IoOptions = {}): Promise<void> {
    const words = command(NvmOpcode.reservationRegister, this.nsid);
    ReservationRegister.rrega.set(words, 0, RegisterAction[wanted.action]);
    ReservationRegister.iekey.set(words, 0, wanted.ignoresExistingKey === true ? 1 : 0);
    const persistence = PersistThroughPowerLoss[wanted.persistence ?? 'unchanged'];
    ReservationRegister.cptpl.set(words, 0, persistence);
    const data = new Uint32Array(ReservationRegisterData.layout.bytes / 4);
    ReservationRegisterData.crkey.setCount(data, 0, wanted.currentKey ?? 0n);
    ReservationRegisterData.nrkey.setCount(data, 0, wanted.newKey ?? 0n);
    await this.send(words, data, options);
  }

  async acquire(wanted: Acquisition, options: IoOptions = {}): Promise<void> {
    const words = command(NvmOpcode.reservationAcquire, this.nsid);
    ReservationAcquire.racqa.set(words, 0, AcquireAction[wanted.action]);
    ReservationAcquire.rtype.set(words, 0, ReservationType[wanted.type]);
    const data = new Uint32Array(ReservationAcquireData.layout.bytes / 4);
    ReservationAcquireData.crkey.setCount(data, 0, wanted.key);
    ReservationAcquireData.prkey.setCount(data, 0, wanted.preemptKey ?? 0n);
    await this.send(words, data, options);
  }

  async release(wanted: Release, options: IoOptions = {}): Promise<void> {
    const words = command(NvmOpcode.reservationRelease, this.nsid);
    ReservationRelease.rrela.set(words, 0, ReleaseAction[wanted.action]);
    ReservationRelease.rtype.set(words, 0, ReservationType[wanted.type]);
    const data = new Uint32Array(ReservationReleaseData.layout.bytes / 4);
    ReservationReleaseData.crkey.setCount(data, 0, wanted.key);
    await this.send(words, data, options);
  }

  /** The report, with 128-bit host identifiers where the host registered with one. */
  async report(options: IoOptions = {}): Promise<ReservationState> {
    const region = this.commands.memory.allocate(reportBytes);
    try {
      let form: ReportForm = extendedForm;
      let result = await this.ask(form, region, options);
      // The form must be the one of the host identifier that is set [NVMe-2.0 §7.5 EDS].
      if (statusKind(result.status) === Status.hostIdentifierInconsistentFormat) {
        form = plainForm;
        result = await this.ask(form, region, options);
      }
      demandSuccess(result);
      return stateOf(region.words, form);
    } finally {
      this.commands.memory.free(region);
    }
  }

  private async ask(
    form: ReportForm,
    region: DmaRegion,
    options: IoOptions,
  ): Promise<CommandResult> {
    const words = command(NvmOpcode.reservationReport, this.nsid);
    ReservationReport.numd.set(words, 0, reportBytes / 4);
    ReservationReport.eds.set(words, 0, form.eds);
    const data = [{ region, offset: 0, length: reportBytes }];
    const [result] = await this.commands.run([{ words, data }], options);
    return result!;
  }

  private async send(words: Uint32Array, data: Uint32Array, options: IoOptions): Promise<void> {
    const length = data.length * 4;
    const region = this.commands.memory.allocate(length);
    try {
      region.words.set(data);
      const slices = [{ region, offset: 0, length }];
      const [result] = await this.commands.run([{ words, data: slices }], options);
      demandSuccess(result!);
    } finally {
      this.commands.memory.free(region);
    }
  }
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

function demandSuccess(result: CommandResult): void {
  if (result.status === 0) return;
  const status = blockStatusOf(SlotEnd.completed, result.status);
  throw ioError('reservation command', { status, detail: result.status, cause: 'none' });
}
