import { AnaState } from '../../sdk/spec/nvme/logs.js';
import { PathStatus, Status } from '../../sdk/spec/nvme/status.js';
import type { Command } from './command.js';
import type { ControllerRecord } from './controller-record.js';
import type { Health } from './health.js';
import type { HostController, IoController } from './io/controller.js';
import type { IoSet } from './io/io-set.js';
import type { Namespace } from './namespace.js';
import { onlyGroup, type Subsystem } from './subsystem.js';

const anaStatus: ReadonlyMap<number, number> = new Map([
  [AnaState.inaccessible, PathStatus.asymmetricAccessInaccessible],
  [AnaState.persistentLoss, PathStatus.asymmetricAccessPersistentLoss],
  [AnaState.change, PathStatus.asymmetricAccessTransition],
]);

/** The I/O sets of the controllers of one subsystem: a command may end on another controller. */
export class SubsystemViews {
  readonly list: SubsystemView[] = [];

  /** Preempt and abort reaches the hosts' commands wherever they are. */
  abort(hosts: readonly string[], namespace: Namespace): void {
    for (const view of this.list) {
      if (hosts.includes(view.host)) view.abortAll(namespace);
    }
  }
}

/** The subsystem as the I/O commands of one controller see it. */
export class SubsystemView implements IoController {
  readonly controllerId: number;
  readonly namespaceLimit: number;
  readonly maxTransferBytes: number;
  readonly health: Health;
  private readonly subsystem: Subsystem;
  private readonly record: ControllerRecord;
  private readonly views: SubsystemViews;
  private readonly nameWithoutHost: string;
  private ioSet: IoSet | null = null;

  constructor(parts: {
    readonly subsystem: Subsystem;
    readonly controllerId: number;
    readonly views: SubsystemViews;
  }) {
    const { subsystem, controllerId } = parts;
    this.subsystem = subsystem;
    this.controllerId = controllerId;
    this.record = subsystem.controller(controllerId);
    this.views = parts.views;
    this.health = subsystem.health;
    this.namespaceLimit = subsystem.profile.subsystem.maxNamespaces;
    this.maxTransferBytes = subsystem.profile.controller.maxTransferBytes;
    this.nameWithoutHost = `controller ${controllerId}`;
    this.views.list.push(this);
  }

  /** The I/O set that looks through this view. */
  bind(ioSet: IoSet): void {
    this.ioSet = ioSet;
  }

  get host(): string {
    return this.record.hostId === '' ? this.nameWithoutHost : this.record.hostId;
  }

  get isHostAnonymous(): boolean {
    return this.record.hostId === '';
  }

  get hasExtendedHostIdentifier(): boolean {
    return this.record.hostId.length === 32;
  }

  get isRestricted(): boolean {
    return this.subsystem.mediaStatus !== 0 || !this.isAccessOptimized();
  }

  namespace(nsid: number): Namespace | null {
    return this.subsystem.active(nsid, this.controllerId) ?? null;
  }

  attachedNamespaces(): Iterable<Namespace> {
    return this.subsystem.namespaces.filter(({ attached }) => attached.has(this.controllerId));
  }

  refusal(namespace: Namespace): number {
    if (this.subsystem.mediaStatus !== 0) return this.subsystem.mediaStatus;
    return anaStatus.get(this.subsystem.anaState(namespace.anaGroupId)) ?? 0;
  }

  recordError(command: Command, status: number, lba: number): void {
    const { queueId, cid, nsid } = command;
    this.record.logError({ queueId, cid, nsid, status, lba });
  }

  controllersOf(host: string, namespace: Namespace): readonly HostController[] {
    return this.views.list
      .filter((view) => view.host === host && namespace.attached.has(view.controllerId))
      .map((view) => ({
        controllerId: view.controllerId,
        hostIdentifier: Uint8Array.from(Buffer.from(view.record.hostId, 'hex')),
      }));
  }

  abortCommandsOf(hosts: readonly string[], namespace: Namespace): void {
    this.views.abort(hosts, namespace);
  }

  /** End this controller's commands to a namespace. */
  abortAll(namespace: Namespace): void {
    const work = this.ioSet?.work;
    const found: Command[] = [];
    work?.forEach((command, target) => {
      if (target === namespace) found.push(command);
    });
    for (const command of found) work?.fail(command, Status.abortedPreemptAndAbort);
  }

  private isAccessOptimized(): boolean {
    return !anaStatus.has(this.subsystem.anaState(onlyGroup));
  }
}
