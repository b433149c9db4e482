import { ReservationType } from '../reservations/reservations.js';
import {
  Disconnect,
  FabricsCommand,
  FabricsStatus,
  FabricsType,
  fabricsOpcode,
  PropertyGet,
  PropertySet,
} from '../spec/fabrics/command.js';
import { broadcastNsid, Sqe } from '../spec/nvme/command.js';
import { NvmOpcode } from '../spec/nvme/opcodes.js';
import { Cc, Csts, Register, ShutdownStatus } from '../spec/nvme/registers.js';
import { doNotRetry, Status } from '../spec/nvme/status.js';
import type { Association } from './association.js';
import { carryOut, later, prepareControl } from './control.js';
import { capabilities, version } from './identify-pages.js';
import type { DiscoveryFacts } from './log-pages.js';
import {
  anaStatus,
  begin,
  conclude,
  memoryBytes,
  nextPart,
  prepare,
  statusOf,
} from './target-io.js';
import type { QueueOwner, TargetQueue } from './target-queue.js';
import {
  carryOut as carryOutReservation,
  isAllowed,
  isReservation,
  prepareReservation,
} from './target-reservations.js';
import type { TargetSlot } from './target-slot.js';

const Entry = Sqe;
const unreserved = ReservationType.none;

/** What commands of control have in common: memory of their own, and a promise where they wait. */
abstract class ControlOwner implements QueueOwner {
  abstract prepare(slot: TargetSlot): number;
  protected abstract carryOut(slot: TargetSlot): number | Promise<number>;
  abstract lost(queue: TargetQueue, why: string): void;

  acquire(slot: TargetSlot, _isForced: boolean): boolean {
    slot.memory = new Uint8Array(Math.ceil(slot.transfer / 4) * 4);
    return true;
  }

  execute(slot: TargetSlot): void {
    const status = this.carryOut(slot);
    if (status === later) return;
    if (typeof status === 'number') {
      this.conclude(slot, status);
      return;
    }
    slot.isBusy = true;
    const settle = (found: number): void => {
      slot.isBusy = false;
      this.conclude(slot, found);
    };
    // A handler that throws has answered nothing: the host learns no more than that.
    status.then(settle, () => settle(Status.internalError));
  }

  ended(_slot: TargetSlot): void {}

  release(slot: TargetSlot): void {
    slot.forgetMemory();
  }

  protected conclude(slot: TargetSlot, status: number): void {
    const { association } = slot.queue;
    if (status !== 0) association?.recordError(slot, status);
    slot.queue.finish(slot, status);
  }
}

/** A connection before its Connect. */
export class EntranceOwner extends ControlOwner {
  private readonly connect: (slot: TargetSlot) => Promise<number>;
  private readonly whenLost: (queue: TargetQueue, why: string) => void;

  constructor(
    connect: (slot: TargetSlot) => Promise<number>,
    whenLost: (queue: TargetQueue, why: string) => void,
  ) {
    super();
    this.connect = connect;
    this.whenLost = whenLost;
  }

  prepare(slot: TargetSlot): number {
    const { words } = slot;
    const isConnect =
      Entry.opc.get(words, 0) === fabricsOpcode &&
      FabricsCommand.fctype.get(words, 0) === FabricsType.connect;
    return isConnect ? prepareControl(slot) : doNotRetry(Status.commandSequenceError);
  }

  lost(queue: TargetQueue, why: string): void {
    this.whenLost(queue, why);
  }

  protected carryOut(slot: TargetSlot): Promise<number> {
    return this.connect(slot);
  }
}

export interface OwnerParts {
  readonly association: Association;
  readonly discovery: () => DiscoveryFacts;
  readonly whenLost: (queue: TargetQueue, why: string) => void;
}

/** The queue for admin commands of an association. */
export class AdminOwner extends ControlOwner {
  protected readonly association: Association;
  protected readonly whenLost: (queue: TargetQueue, why: string) => void;
  private readonly discovery: () => DiscoveryFacts;

  constructor(parts: OwnerParts) {
    super();
    this.association = parts.association;
    this.discovery = parts.discovery;
    this.whenLost = parts.whenLost;
  }

  prepare(slot: TargetSlot): number {
    const refusal = authenticationRefusal(slot);
    return refusal === 0 ? prepareControl(slot) : refusal;
  }

  lost(queue: TargetQueue, why: string): void {
    this.whenLost(queue, why);
    this.association.end(why);
  }

  protected carryOut(slot: TargetSlot): number | Promise<number> {
    if (Entry.opc.get(slot.words, 0) === fabricsOpcode) return fabrics(this.association, slot);
    return carryOut(this.association, slot, this.discovery);
  }
}

/** A queue for I/O: the path that allocates nothing, and Fabrics commands beside it. */
export class IoOwner extends AdminOwner {
  override prepare(slot: TargetSlot): number {
    const refusal = authenticationRefusal(slot);
    if (refusal !== 0) return refusal;
    if (Entry.opc.get(slot.words, 0) === fabricsOpcode) return prepareControl(slot);
    const { association } = this;
    association.countIn(slot);
    const { subsystem } = association;
    const nsid = Entry.nsid.get(slot.words, 0);
    const isFlushOfAll = nsid === broadcastNsid && Entry.opc.get(slot.words, 0) === NvmOpcode.flush;
    const namespace = isFlushOfAll ? firstOf(subsystem.namespaces) : subsystem.namespaces.get(nsid);
    if (association.gate !== 0) return this.failed(slot, association.gate);
    if (namespace === undefined) {
      return this.failed(slot, doNotRetry(Status.invalidNamespaceOrFormat));
    }
    const path = anaStatus(subsystem.anaState(namespace.anaGroup));
    if (path !== 0) return path;
    if (isFlushOfAll && subsystem.namespaces.size > 1) {
      return this.failed(slot, doNotRetry(Status.invalidNamespaceOrFormat));
    }
    const isControl = isReservation(Entry.opc.get(slot.words, 0));
    const status = isControl ? prepareReservation(slot, namespace) : prepare(slot, namespace);
    return status === 0 ? 0 : this.failed(slot, status);
  }

  override acquire(slot: TargetSlot, isForced: boolean): boolean {
    const { namespace } = slot;
    if (namespace === null) return super.acquire(slot, isForced);
    if (slot.region !== null) return true;
    const bytes = memoryBytes(slot);
    return bytes === 0 || namespace.acquire(slot, bytes, isForced);
  }

  override execute(slot: TargetSlot): void {
    if (slot.namespace === null) {
      super.execute(slot);
      return;
    }
    const status = begin(slot);
    if (status === 0) this.advance(slot);
    else this.conclude(slot, status);
  }

  override ended(slot: TargetSlot): void {
    const status = statusOf(slot.request);
    if (status === 0) this.advance(slot);
    else this.conclude(slot, status);
  }

  override release(slot: TargetSlot): void {
    this.association.countOut(slot);
    if (slot.namespace === null) super.release(slot);
    else slot.namespace.giveBack(slot);
  }

  override lost(queue: TargetQueue, why: string): void {
    for (const namespace of this.association.subsystem.namespaces.values()) {
      namespace.abandon(queue);
    }
    // The others go on: Linux closes its queues for I/O first, and says goodbye on the admin queue.
    this.whenLost(queue, why);
    this.association.queueLost(queue);
  }

  /** The gate may have closed since the command came. */
  private advance(slot: TargetSlot): void {
    if (slot.queue.isClosed) slot.queue.forget(slot);
    else if (this.association.gate !== 0) this.conclude(slot, this.association.gate);
    else if (nextPart(slot)) this.submit(slot);
    else {
      const status = conclude(slot);
      if (status === 0) slot.queue.finish(slot, 0);
      else this.conclude(slot, status);
    }
  }

  private submit(slot: TargetSlot): void {
    const namespace = slot.namespace!;
    const { reservations } = namespace;
    const { hostId } = this.association.identity;
    if (reservations.type === unreserved || isAllowed(slot, reservations, hostId)) {
      namespace.submit(slot);
    } else {
      this.conclude(slot, doNotRetry(Status.reservationConflict));
    }
  }

  protected override carryOut(slot: TargetSlot): number | Promise<number> {
    const { words } = slot;
    if (Entry.opc.get(words, 0) === fabricsOpcode) return super.carryOut(slot);
    const namespace = this.association.subsystem.namespaces.get(Entry.nsid.get(words, 0));
    if (namespace === undefined) return doNotRetry(Status.invalidNamespaceOrFormat);
    return carryOutReservation(this.association, slot, namespace);
  }

  private failed(slot: TargetSlot, status: number): number {
    this.association.recordError(slot, status);
    return status;
  }
}

function firstOf<T>(map: ReadonlyMap<number, T>): T | undefined {
  for (const value of map.values()) return value;
  return undefined;
}

/** Before a queue is authenticated nothing else is done on it. */
function authenticationRefusal(slot: TargetSlot): number {
  const { authentication } = slot.queue;
  if (authentication === null || authentication.isDone) return 0;
  const { words } = slot;
  const type = FabricsCommand.fctype.get(words, 0);
  const isPart =
    Entry.opc.get(words, 0) === fabricsOpcode &&
    (type === FabricsType.authenticationSend || type === FabricsType.authenticationReceive);
  return isPart ? 0 : doNotRetry(FabricsStatus.authenticationRequired);
}

function fabrics(association: Association, slot: TargetSlot): number | Promise<number> {
  const { words, queue } = slot;
  const isAdmin = queue.qid === 0;
  switch (FabricsCommand.fctype.get(words, 0)) {
    case FabricsType.propertyGet:
      return isAdmin ? propertyGet(association, slot) : doNotRetry(Status.invalidField);
    case FabricsType.propertySet:
      return isAdmin ? propertySet(association, slot) : doNotRetry(Status.invalidField);
    case FabricsType.authenticationSend:
      if (queue.authentication === null) return doNotRetry(Status.commandSequenceError);
      return queue.authentication.take(slot.memory.subarray(0, slot.transfer));
    case FabricsType.authenticationReceive:
      if (queue.authentication === null) return doNotRetry(Status.commandSequenceError);
      return queue.authentication.give(slot.memory.subarray(0, slot.transfer));
    case FabricsType.disconnect:
      if (isAdmin) return doNotRetry(FabricsStatus.invalidQueueType);
      return Disconnect.recfmt.get(words, 0) === 0
        ? 0
        : doNotRetry(FabricsStatus.incompatibleFormat);
    default:
      return doNotRetry(Status.invalidOpcode);
  }
}

function propertyGet(association: Association, slot: TargetSlot): number {
  const isLong = PropertyGet.size.get(slot.words, 0) === 1;
  const offset = PropertyGet.offset.get(slot.words, 0);
  if (offset === Register.cap && isLong) {
    [slot.result, slot.resultHigh] = capabilities();
    return 0;
  }
  if (isLong) return doNotRetry(Status.invalidField);
  if (offset === Register.vs) slot.result = version;
  else if (offset === Register.cc) slot.result = association.cc;
  else if (offset === Register.csts) slot.result = association.csts;
  else return doNotRetry(Status.invalidField);
  return 0;
}

function propertySet(association: Association, slot: TargetSlot): number {
  const isLong = PropertySet.size.get(slot.words, 0) === 1;
  const value = PropertySet.value.get(slot.words, 0);
  if (isLong || PropertySet.offset.get(slot.words, 0) !== Register.cc) {
    return doNotRetry(Status.invalidField);
  }
  const before = association.cc;
  association.cc = value >>> 0;
  const isEnabled = Cc.en.of(association.cc) === 1;
  if (isEnabled !== (Cc.en.of(before) === 1)) {
    association.csts = Csts.rdy.put(0, isEnabled ? 1 : 0);
    if (!isEnabled) association.endIo('the host has reset the controller');
  }
  if (Cc.shn.of(association.cc) !== 0) {
    association.csts = Csts.shst.put(association.csts, ShutdownStatus.complete);
  }
  return 0;
}
