import { ReservationType } from '../../../sdk/reservations/reservations.js';
import { broadcastNsid } from '../../../sdk/spec/nvme/command.js';
import { NvmOpcode } from '../../../sdk/spec/nvme/opcodes.js';
import { Status } from '../../../sdk/spec/nvme/status.js';
import { blankPage } from '../../store/page-pool.js';
import { type Command, FuseRole } from '../command.js';
import type { Executor } from '../executor.js';
import type { Namespace } from '../namespace.js';
import type { QosUser } from '../qos/card-qos.js';
import { BlockTransfer } from './block-transfer.js';
import { CompareOperation } from './compare.js';
import { CopyOperation } from './copy.js';
import { DatasetManagementOperation } from './dataset-management.js';
import { FlushOperation } from './flush.js';
import { FusedCompareAndWrite } from './fused.js';
import { Protection } from './protection.js';
import { ReadOperation } from './read.js';
import { ReservationOperation } from './reservation-commands.js';
import { ReservationReportOperation } from './reservation-report.js';
import { Access, type Operation, Work, type WorkParts } from './work.js';
import { WriteOperation } from './write.js';
import { WriteUncorrectableOperation } from './write-uncorrectable.js';
import { WriteZeroesOperation } from './write-zeroes.js';

const opcodes = NvmOpcode;
const noRole = FuseRole.none;
const unreserved = ReservationType.none;

/**
 * The I/O commands of one controller: finds the namespace, checks that it may be used, and hands
 * the
 * command to the operation of its opcode [NVM-1.0 §3].
 */
export class IoSet implements Executor, QosUser {
  readonly work: Work;
  private readonly operations: (Operation | null)[] = new Array(256).fill(null);
  private readonly write: WriteOperation;
  private readonly flush: FlushOperation;
  private readonly fused: FusedCompareAndWrite;

  constructor(parts: WorkParts) {
    const work = new Work(parts);
    const shared = { work, transfer: new BlockTransfer(work), protection: new Protection() };
    const compare = new CompareOperation(shared);
    this.work = work;
    if (work.qos !== null) work.qosBase = work.qos.addUser(this);
    this.write = new WriteOperation(shared);
    this.flush = new FlushOperation(work);
    this.fused = new FusedCompareAndWrite(work, compare, this.write);
    this.operations[opcodes.read] = new ReadOperation(shared, false);
    this.operations[opcodes.verify] = new ReadOperation(shared, true);
    this.operations[opcodes.write] = this.write;
    this.operations[opcodes.compare] = compare;
    this.operations[opcodes.writeZeroes] = new WriteZeroesOperation(shared);
    this.operations[opcodes.writeUncorrectable] = new WriteUncorrectableOperation(shared);
    this.operations[opcodes.datasetManagement] = new DatasetManagementOperation(shared);
    this.operations[opcodes.copy] = new CopyOperation(shared);
    for (const opcode of [
      opcodes.reservationRegister,
      opcodes.reservationAcquire,
      opcodes.reservationRelease,
    ]) {
      this.operations[opcode] = new ReservationOperation(work, opcode);
    }
    this.operations[opcodes.reservationReport] = new ReservationReportOperation(work);
  }

  begin(command: Command): void {
    const { work } = this;
    work.enter(command);
    if (command.opcode === opcodes.flush && command.fuse === noRole) {
      this.beginFlush(command);
      return;
    }
    const operation = this.operations[command.opcode] ?? null;
    const namespace = work.controller.namespace(command.nsid);
    let status = this.refusal(command, operation, namespace);
    if (status === 0 && namespace !== null) {
      work.bind(command, namespace);
      status = gate(work, namespace, operation?.access ?? Access.none);
    }
    if (command.fuse !== noRole) this.fused.begin(command, namespace, status);
    else if (status !== 0) work.fail(command, status);
    else if (operation !== null && namespace !== null) this.start(command, operation, namespace);
  }

  release(slot: number, isReserved: boolean): void {
    const { work } = this;
    const command = work.commandIn(slot);
    const namespace = command === null ? null : work.namespaceOf(command);
    const operation = command === null ? null : (this.operations[command.opcode] ?? null);
    if (command === null || work.qos === null) return;
    command.isReserved = isReserved;
    // In line while it was being decoded: that is no wait.
    const sinceNs = Math.max(command.heldNs, command.decodedNs);
    command.shareNs = Math.max(0, work.services.nowNs - sinceNs);
    command.preparedNs = Math.max(command.preparedNs, work.qos.scheduled());
    if (command.opcode === opcodes.flush && command.fuse === noRole) {
      this.startFlush(command);
      return;
    }
    // The world may be another than when it began to wait.
    if (namespace === null || operation === null || !this.isStillThere(namespace)) {
      this.refuse(command, Status.invalidField);
      return;
    }
    if (work.isStale(command, namespace)) {
      this.refuse(command, Status.formatInProgress);
      return;
    }
    const status = gate(work, namespace, operation.access);
    if (status !== 0) this.refuse(command, status);
    else if (command.fuse !== noRole) this.fused.update(command, namespace);
    else operation.begin(command, namespace);
  }

  private refuse(command: Command, status: number): void {
    if (command.fuse !== noRole) this.fused.cancel(command);
    this.work.fail(command, status);
  }

  finish(command: Command): void {
    const { work } = this;
    if (command.opcode === opcodes.flush) {
      this.flush.finish(command);
      return;
    }
    const namespace = work.namespaceOf(command);
    const operation = this.operations[command.opcode] ?? null;
    // Deleted or detached while the command was under way.
    if (namespace === null || operation === null || !this.isStillThere(namespace)) {
      if (command.fuse !== noRole) this.fused.cancel(command);
      work.fail(command, Status.invalidField);
    } else if (work.isStale(command, namespace)) {
      if (command.fuse !== noRole) this.fused.cancel(command);
      work.fail(command, Status.formatInProgress);
    } else if (command.fuse !== noRole) {
      this.fused.finish(command, namespace);
    } else {
      operation.finish(command, namespace);
    }
  }

  cancel(command: Command): void {
    if (!this.work.isIn(command)) return;
    if (command.fuse !== noRole) this.fused.cancel(command);
    this.work.forget(command);
  }

  abandon(): void {
    const { work } = this;
    work.forEach((command, namespace) => {
      const isPlainWrite = command.opcode === opcodes.write && command.fuse === noRole;
      if (namespace !== null && isPlainWrite) {
        const chain = work.takeChain(command, namespace);
        const { medium } = namespace;
        if (chain !== blankPage) medium.commitSome(command.scratch0, command.scratch1, chain);
      }
      work.forget(command);
    });
    this.forgetAnonymousHost();
  }

  /** Another host preempts, or sanitize starts: every command to the namespace ends. */
  abortAll(namespace: Namespace, status: number): void {
    this.work.forEach((command, own) => {
      if (own === namespace) this.work.services.stop(command, status);
    });
  }

  /** [NVMe-2.0 §8.19] a host without identifier cannot come back after the reset. */
  private forgetAnonymousHost(): void {
    const { controller } = this.work;
    if (!controller.isHostAnonymous) return;
    for (const namespace of controller.attachedNamespaces()) {
      namespace.reservations.forgetHost(controller.host);
    }
  }

  /** Between fetch and media, where the card may have somebody else go first. */
  private start(command: Command, operation: Operation, namespace: Namespace): void {
    if (operation.access !== Access.none && this.work.holds(command, namespace)) return;
    operation.begin(command, namespace);
  }

  private beginFlush(command: Command): void {
    const { work } = this;
    const status = this.flushRefusal(command);
    if (status !== 0) work.fail(command, status);
    else if (!work.holds(command, work.controller.namespace(command.nsid))) {
      this.flush.begin(command);
    }
  }

  /** It has waited, and the world may be another. */
  private startFlush(command: Command): void {
    const status = this.flushRefusal(command);
    if (status !== 0) this.work.fail(command, status);
    else this.flush.begin(command);
  }

  private flushRefusal(command: Command): number {
    const { controller } = this.work;
    if (command.nsid === broadcastNsid) return 0;
    const namespace = controller.namespace(command.nsid);
    if (namespace === null) return this.missing(command.nsid);
    return controller.isRestricted ? controller.refusal(namespace) : 0;
  }

  private refusal(
    command: Command,
    operation: Operation | null,
    namespace: Namespace | null,
  ): number {
    if (operation === null) return Status.invalidOpcode;
    return namespace === null ? this.missing(command.nsid) : 0;
  }

  /** An NSID that could exist is inactive; any other is no NSID [NVMe-2.0 §3.2.1.2]. */
  private missing(nsid: number): number {
    if (nsid === broadcastNsid) return Status.invalidField;
    const isValid = nsid > 0 && nsid <= this.work.controller.namespaceLimit;
    return isValid ? Status.invalidField : Status.invalidNamespaceOrFormat;
  }

  private isStillThere(namespace: Namespace): boolean {
    return this.work.controller.namespace(namespace.nsid) === namespace;
  }
}

/** @returns 0, or why the namespace cannot be used by this host in this way now */
function gate(work: Work, namespace: Namespace, access: number): number {
  const { controller } = work;
  if (!namespace.isReady) return Status.formatInProgress;
  if (controller.isRestricted) {
    const status = controller.refusal(namespace);
    if (status !== 0) return status;
  }
  const { reservations } = namespace;
  if (access === Access.write && (namespace.isWriteProtected || work.media.isReadOnly)) {
    return Status.namespaceWriteProtected;
  }
  if (reservations.type === unreserved || access === Access.none) return 0;
  const isAllowed =
    access === Access.read
      ? reservations.mayRead(controller.host)
      : reservations.mayWrite(controller.host);
  return isAllowed ? 0 : Status.reservationConflict;
}
