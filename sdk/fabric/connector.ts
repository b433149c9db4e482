import {
  Connect,
  ConnectData,
  ConnectInvalid,
  ConnectResult,
  discoveryNqn,
  dynamicController,
  FabricsStatus,
} from '../spec/fabrics/command.js';
import { Cc } from '../spec/nvme/registers.js';
import { doNotRetry } from '../spec/nvme/status.js';
import { Association } from './association.js';
import { ControllerAuthentication } from './authentication.js';
import { mostIoQueues, mostQueueEntries } from './identify-pages.js';
import type { DiscoveryFacts } from './log-pages.js';
import { AdminOwner, IoOwner } from './owners.js';
import type { FabricHost, FabricSubsystem } from './subsystem.js';
import type { TargetQueue } from './target-queue.js';
import type { TargetSlot } from './target-slot.js';

/** Hosts of discovery that say nothing about keep alive are let go after this. */
const discoveryKeepAliveMs = 120_000;

export interface ConnectorParts {
  readonly subsystems: ReadonlyMap<string, FabricSubsystem>;
  readonly discovery: () => DiscoveryFacts;
  readonly connected: (queue: TargetQueue) => void;
  readonly lost: (queue: TargetQueue) => void;
}

/** Where in a Connect something is that cannot be. */
type Fault = { readonly offset: number; readonly isInData: boolean };

const wrong = {
  qid: { offset: 0x2a, isInData: false },
  sqsize: { offset: 0x2c, isInData: false },
  hostid: { offset: 0, isInData: true },
  cntlid: { offset: 16, isInData: true },
  subnqn: { offset: 256, isInData: true },
  hostnqn: { offset: 512, isInData: true },
} as const satisfies Record<string, Fault>;

/** What a Connect makes of a connection: an association, or one more queue of one. */
export class Connector {
  private readonly parts: ConnectorParts;

  constructor(parts: ConnectorParts) {
    this.parts = parts;
  }

  /** [NVMe-2.0 §6.3 Connect] @returns the status */
  async connect(slot: TargetSlot): Promise<number> {
    const { words, queue } = slot;
    const data = new Uint32Array(slot.memory.buffer, slot.memory.byteOffset);
    if (Connect.recfmt.get(words, 0) !== 0) return doNotRetry(FabricsStatus.incompatibleFormat);
    const subsystem = this.parts.subsystems.get(ConnectData.subnqn.text(data, 0));
    if (subsystem === undefined) return refused(slot, wrong.subnqn);
    const hostNqn = ConnectData.hostnqn.text(data, 0);
    const host = subsystem.admit(hostNqn);
    if (host === null) return doNotRetry(FabricsStatus.invalidHost);
    const entries = Connect.sqsize.get(words, 0);
    if (entries < 2 || entries > mostQueueEntries) return refused(slot, wrong.sqsize);
    const isAdmin = Connect.qid.get(words, 0) === 0;
    const status = isAdmin
      ? await this.connectAdmin(slot, subsystem, { ...host, nqn: hostNqn })
      : connectIo(slot, subsystem, hostNqn);
    if (typeof status === 'number') return status;
    if (queue.isClosed) {
      if (isAdmin) status.end('the connection was lost while it was made');
      return doNotRetry(FabricsStatus.controllerBusy);
    }
    this.admit(slot, status, host);
    return 0;
  }

  private admit(slot: TargetSlot, association: Association, host: FabricHost): void {
    const { words, queue } = slot;
    const { discovery, connected, lost } = this.parts;
    const qid = Connect.qid.get(words, 0);
    queue.qid = qid;
    queue.association = association;
    queue.hasNoFlowControl = qid !== 0 && Connect.noFlowControl.get(words, 0) === 1;
    queue.resize(Connect.sqsize.get(words, 0));
    association.queues.set(qid, queue);
    const parts = { association, discovery, whenLost: lost };
    queue.owner = qid === 0 ? new AdminOwner(parts) : new IoOwner(parts);
    slot.result = ConnectResult.cntlid.put(0, association.identity.controllerId);
    if (host.secret !== undefined) {
      queue.authentication = new ControllerAuthentication({
        host,
        subsystemNqn: association.subsystem.nqn,
        hostNqn: association.identity.hostNqn,
        whenFailed: () => queue.finishAndClose('authentication failed'),
        beforeDone: async () => {
          if (qid === 0) await association.subsystem.fence(association);
          connected(queue);
        },
      });
      slot.result = ConnectResult.mustAuthenticate.put(slot.result, 1);
    }
    connected(queue);
  }

  private async connectAdmin(
    slot: TargetSlot,
    subsystem: FabricSubsystem,
    host: FabricHost,
  ): Promise<Association | number> {
    const { words, queue } = slot;
    const data = new Uint32Array(slot.memory.buffer, slot.memory.byteOffset);
    if (ConnectData.cntlid.get(data, 0) !== dynamicController) return refused(slot, wrong.cntlid);
    const hostNqn = host.nqn;
    if (hostNqn === '') return refused(slot, wrong.hostnqn);
    const hostId = hostIdOf(data);
    const { remote } = queue.stream;
    const controllerId = subsystem.takeControllerId();
    if (controllerId < 0) return FabricsStatus.controllerBusy;
    const kato = Connect.kato.get(words, 0);
    const isDiscovery = subsystem.nqn === discoveryNqn;
    const keepAliveMs = kato === 0 && isDiscovery ? discoveryKeepAliveMs : kato;
    const identity = { hostNqn, hostId, remote, controllerId };
    const association = new Association(identity, { subsystem, keepAliveMs });
    subsystem.associations.add(association);
    // Who has yet to prove who it is ends nothing of anybody.
    if (host.secret === undefined) await subsystem.fence(association);
    return association;
  }
}

function connectIo(
  slot: TargetSlot,
  subsystem: FabricSubsystem,
  hostNqn: string,
): Association | number {
  const data = new Uint32Array(slot.memory.buffer, slot.memory.byteOffset);
  const association = subsystem.find(ConnectData.cntlid.get(data, 0));
  if (association === null || association.isEnded) return refused(slot, wrong.cntlid);
  const { identity } = association;
  if (identity.hostNqn !== hostNqn) return refused(slot, wrong.hostnqn);
  if (identity.hostId !== hostIdOf(data)) return refused(slot, wrong.hostid);
  const admin = association.queues.get(0);
  if (subsystem.nqn === discoveryNqn || Cc.en.of(association.cc) === 0) {
    return doNotRetry(FabricsStatus.invalidQueueType);
  }
  if (admin?.authentication?.isDone === false) {
    return doNotRetry(FabricsStatus.authenticationRequired);
  }
  const qid = Connect.qid.get(slot.words, 0);
  if (qid > mostIoQueues || association.queues.has(qid)) return refused(slot, wrong.qid);
  return association.isClosing(qid) ? FabricsStatus.controllerBusy : association;
}

function hostIdOf(data: Uint32Array): string {
  return Buffer.from(ConnectData.hostid.bytes(data, 0)).toString('hex');
}

function refused(slot: TargetSlot, { offset, isInData }: Fault): number {
  const at = ConnectInvalid.offset.put(0, offset);
  slot.result = ConnectInvalid.isInData.put(at, isInData ? 1 : 0);
  return doNotRetry(FabricsStatus.invalidParameters);
}
