import type { HostController } from '../../../sdk/reservations/report.js';
import { DirectiveType } from '../../../sdk/spec/nvme/admin-command.js';
import { AnaState } from '../../../sdk/spec/nvme/logs.js';
import { Status } from '../../../sdk/spec/nvme/status.js';
import type { Command } from '../command.js';
import type { ControllerRecord } from '../controller-record.js';
import type { CommandServices } from '../executor.js';
import type { Namespace } from '../namespace.js';
import type { Subsystem } from '../subsystem.js';
import type { IoController, IoHealth } from './controller.js';
import { IoSet } from './io-set.js';

/** The I/O set of one controller of a subsystem. */
export function makeIoSet(parts: {
  readonly subsystem: Subsystem;
  readonly controllerId: number;
  readonly services: CommandServices;
}): IoSet {
  const { subsystem, controllerId, services } = parts;
  const chance = subsystem.world.prng(`I/O of controller ${controllerId}`);
  const set = new IoSet({
    services,
    controller: new SubsystemController(subsystem, controllerId),
    media: subsystem.media,
    chance,
    qos: subsystem.qos,
    isPrimary: controllerId === subsystem.secondaries.primaryId,
  });
  subsystem.controller(controllerId).abortIo = (namespace, status) =>
    set.abortAll(namespace, status);
  return set;
}

/** What the I/O set asks, answered by subsystem and controller record. */
class SubsystemController implements IoController {
  readonly controllerId: number;
  readonly namespaceLimit: number;
  readonly maxTransferBytes: number;
  readonly health: IoHealth;
  private readonly subsystem: Subsystem;
  private readonly record: ControllerRecord;

  constructor(subsystem: Subsystem, controllerId: number) {
    this.controllerId = controllerId;
    this.namespaceLimit = subsystem.profile.subsystem.maxNamespaces;
    this.maxTransferBytes = subsystem.profile.controller.maxTransferBytes;
    this.health = subsystem.health;
    this.subsystem = subsystem;
    this.record = subsystem.controller(controllerId);
  }

  get host(): string {
    return this.record.hostName;
  }

  get hasExtendedHostIdentifier(): boolean {
    return this.record.hostId.length > shortIdentifierDigits;
  }

  get isHostAnonymous(): boolean {
    return this.record.hostId === '';
  }

  get isRestricted(): boolean {
    return this.subsystem.mediaStatus !== 0 || this.subsystem.anaChanges > 0;
  }

  namespace(nsid: number): Namespace | null {
    return this.subsystem.active(nsid, this.controllerId) ?? null;
  }

  attachedNamespaces(): Iterable<Namespace> {
    return this.subsystem.namespaces.filter((each) => each.attached.has(this.controllerId));
  }

  refusal(namespace: Namespace): number {
    if (this.subsystem.mediaStatus !== 0) return this.subsystem.mediaStatus;
    switch (this.subsystem.anaState(namespace.anaGroupId)) {
      case AnaState.inaccessible:
        return Status.asymmetricAccessInaccessible;
      case AnaState.persistentLoss:
        return Status.asymmetricAccessPersistentLoss;
      case AnaState.change:
        return Status.asymmetricAccessTransition;
      default:
        return 0;
    }
  }

  useDirective(type: number, specific: number, namespace: Namespace): number {
    const { streams } = this.record;
    const isUsable = type === DirectiveType.streams && streams.isEnabled(namespace.nsid);
    if (!isUsable) return Status.invalidField;
    streams.use(namespace.nsid, specific);
    return 0;
  }

  recordError(command: Command, status: number, lba: number): void {
    const { queueId, cid, nsid } = command;
    // A host may name any 64-bit block; what no card can have reads as the highest number we keep.
    const kept = Math.min(lba, Number.MAX_SAFE_INTEGER);
    this.record.logError({ queueId, cid, nsid, status, lba: kept });
  }

  controllersOf(host: string, namespace: Namespace): readonly HostController[] {
    const found: HostController[] = [];
    for (const id of this.subsystem.controllerIds) {
      const record = this.subsystem.controller(id);
      if (record.hostName !== host || !namespace.attached.has(id)) continue;
      const hostIdentifier = Uint8Array.from(Buffer.from(record.hostId, 'hex'));
      found.push({ controllerId: id, hostIdentifier });
    }
    return found;
  }

  abortCommandsOf(hosts: readonly string[], namespace: Namespace): void {
    for (const id of this.subsystem.controllerIds) {
      const record = this.subsystem.controller(id);
      if (hosts.includes(record.hostName))
        record.abortIo?.(namespace, Status.abortedPreemptAndAbort);
    }
  }
}

/** Hexadecimal digits of a 64-bit host identifier; the extended one has 32. */
const shortIdentifierDigits = 16;
