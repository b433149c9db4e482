import { assert } from '../assert.js';
import { ReservationLog } from '../reservations/notice-log.js';
import { EventType, NoticeInfo, reservationInfo } from '../spec/fabrics/events.js';
import { Sqe } from '../spec/nvme/command.js';
import { AsyncEventResult } from '../spec/nvme/completion.js';
import { EventFeature } from '../spec/nvme/features.js';
import { LogPage } from '../spec/nvme/logs.js';
import { noParameter } from '../spec/nvme/logs-health.js';
import { Csts } from '../spec/nvme/registers.js';
import { Status } from '../spec/nvme/status.js';
import type { ServedNamespace } from './served-namespace.js';
import type { FabricSubsystem } from './subsystem.js';
import type { TargetQueue } from './target-queue.js';
import type { TargetSlot } from './target-slot.js';

/** Who is at the other end of an association. */
export interface HostIdentity {
  readonly hostNqn: string;
  /** 16 bytes in hexadecimal. */
  readonly hostId: string;
  /** 'ADDRESS:PORT' of its admin queue. */
  readonly remote: string;
  readonly controllerId: number;
}

export const mostEventRequests = 4;
export const errorLogEntries = 32;

/** Something that a host wants to hear of: told once, and again when it has read the log. */
interface Notice {
  readonly type: number;
  readonly info: number;
  readonly logPage: number;
  isPending: boolean;
  /** Told, and the log not read since. */
  isMasked: boolean;
}

export interface ErrorRecord {
  readonly count: number;
  readonly qid: number;
  readonly cid: number;
  readonly status: number;
  readonly nsid: number;
  readonly lba: number;
  readonly byte: number;
}

/**
 * One host's controller: what its queues have in common, from the Connect of its admin queue to the
 * loss of that connection, which ends all of it [NVMe-2.0 §3.3.2 Association].
 *
 * Two gates keep writes out. `refuse` lets every command for a namespace end with a status from now
 * on, and says when none that came before is inside a device any more. `drained` is the same for an
 * association that has ended: a host that comes back is let in only then, so that nothing that it
 * gave up can land after what it sends next.
 */
export class Association {
  readonly identity: HostIdentity;
  readonly subsystem: FabricSubsystem;
  readonly queues = new Map<number, TargetQueue>();
  /** Property values; CC as the host wrote it. */
  cc = 0;
  csts = 0;
  keepAliveMs: number;
  /** Commands that may still reach a device, or are inside one. */
  inFlight = 0;
  /** Every command for a namespace ends with it; 0 lets them pass. */
  gate = 0;
  isEnded = false;
  eventMask = 0;
  errorCount = 0;
  readonly errors: ErrorRecord[] = [];
  readonly changedNamespaces = new Set<number>();
  readonly reservationLog = new ReservationLog();
  /** By namespace: notifications that the host does not want, a bit for each type. */
  readonly reservationMasks = new Map<number, number>();
  /** Closed, with commands inside devices. */
  private readonly closing = new Set<TargetQueue>();
  private readonly eventSlots: TargetSlot[] = [];
  private readonly notices = {
    namespaces: notice(NoticeInfo.namespaceChanged, LogPage.changedNamespaces),
    ana: notice(NoticeInfo.anaChanged, LogPage.ana),
    discovery: notice(NoticeInfo.discoveryChanged, LogPage.discovery),
    reservation: notice(reservationInfo, LogPage.reservation, EventType.ioCommandSet),
  };
  private readonly idleWaiters: (() => void)[] = [];
  private timer: NodeJS.Timeout | null = null;

  constructor(
    identity: HostIdentity,
    parts: { readonly subsystem: FabricSubsystem; readonly keepAliveMs: number },
  ) {
    this.identity = identity;
    this.subsystem = parts.subsystem;
    this.keepAliveMs = parts.keepAliveMs;
    if (parts.subsystem.options.isClosedAtFirst === true) this.gate = Status.accessDenied;
    this.keepAlive();
  }

  /**
   * From now on every command for a namespace ends with this status, those under way excepted.
   *
   * @param status  0 opens the gate again
   * @returns       when nothing that came before is inside a device
   */
  refuse(status: number): Promise<void> {
    this.gate = status;
    return this.drained();
  }

  /** When no command of this association is inside a device. */
  drained(): Promise<void> {
    if (this.inFlight === 0) return Promise.resolve();
    return new Promise((resolve) => this.idleWaiters.push(resolve));
  }

  countIn(slot: TargetSlot): void {
    assert(!slot.isCounted, 'a command that is counted twice');
    slot.isCounted = true;
    this.inFlight++;
  }

  countOut(slot: TargetSlot): void {
    if (!slot.isCounted) return;
    slot.isCounted = false;
    this.inFlight--;
    if (this.inFlight > 0) return;
    for (const resolve of this.idleWaiters.splice(0)) resolve();
  }

  /** The host is alive [NVMe-2.0 §3.9 Keep Alive]. */
  keepAlive(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    if (this.keepAliveMs === 0 || this.isEnded) return;
    this.timer = setTimeout(() => {
      this.csts = Csts.cfs.put(this.csts, 1);
      this.end(`no keep alive within ${this.keepAliveMs} ms`);
    }, this.keepAliveMs);
  }

  /** Close every connection of it. What is inside devices ends there. */
  end(why: string): void {
    if (this.isEnded) return;
    this.isEnded = true;
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    for (const queue of [...this.queues.values()]) queue.close(why);
    this.eventSlots.length = 0;
    this.subsystem.associationEnded(this);
  }

  /** A queue for I/O is closed. Its identifier is free when nothing of it is inside a device. */
  queueLost(queue: TargetQueue): void {
    if (this.queues.get(queue.qid) === queue) this.queues.delete(queue.qid);
    if (queue.usedSlots > 0) this.closing.add(queue);
  }

  /** Whether commands of a closed queue of this identifier are still inside a device. */
  isClosing(qid: number): boolean {
    for (const queue of this.closing) {
      if (queue.usedSlots === 0) this.closing.delete(queue);
      else if (queue.qid === qid) return true;
    }
    return false;
  }

  /** Whether a command of this host is inside the device of a namespace. */
  isInside(namespace: ServedNamespace): boolean {
    for (const queue of this.queues.values()) if (queue.hasInside(namespace)) return true;
    for (const queue of this.closing) if (queue.hasInside(namespace)) return true;
    return false;
  }

  /** A reservation of another host concerns this one. */
  reservationNotice(nsid: number, type: number): void {
    if (((this.reservationMasks.get(nsid) ?? 0) & (1 << type)) !== 0) return;
    if (this.reservationLog.add(nsid, type)) this.notices.reservation.isPending = true;
    this.tellEvents();
  }

  /** Queues for I/O go; the admin queue stays. For a controller reset. */
  endIo(why: string): void {
    for (const [qid, queue] of [...this.queues]) {
      if (qid === 0) continue;
      this.queues.delete(qid);
      queue.close(why);
    }
  }

  /** @returns false when the host has asked for as many events as it may */
  awaitEvent(slot: TargetSlot): boolean {
    if (this.eventSlots.length >= mostEventRequests) return false;
    this.eventSlots.push(slot);
    this.tellEvents();
    return true;
  }

  /** @returns whether there was such a request, which is aborted now */
  abortEvent(cid: number): boolean {
    const index = this.eventSlots.findIndex((slot) => Sqe.cid.get(slot.words, 0) === cid);
    if (index < 0) return false;
    const [slot] = this.eventSlots.splice(index, 1);
    if (slot !== undefined) this.complete(slot, Status.abortRequested);
    return true;
  }

  setEventMask(value: number): void {
    this.eventMask = value;
    this.tellEvents();
  }

  namespaceChanged(nsid: number): void {
    this.changedNamespaces.add(nsid);
    this.notices.namespaces.isPending = true;
    this.tellEvents();
  }

  anaChanged(): void {
    this.notices.ana.isPending = true;
    this.tellEvents();
  }

  discoveryChanged(): void {
    this.notices.discovery.isPending = true;
    this.tellEvents();
  }

  /** The host has read a log: it may be told of the next change. */
  logRead(page: number): void {
    for (const each of Object.values(this.notices)) {
      if (each.logPage === page) each.isMasked = false;
    }
    if (page === LogPage.changedNamespaces) this.changedNamespaces.clear();
    if (page === LogPage.reservation) {
      this.reservationLog.takeFirst();
      this.notices.reservation.isPending = this.reservationLog.first !== undefined;
    }
    this.tellEvents();
  }

  recordError(slot: TargetSlot, status: number): void {
    this.errorCount++;
    this.errors.unshift({
      count: this.errorCount,
      qid: slot.queue.qid,
      cid: Sqe.cid.get(slot.words, 0),
      status,
      nsid: Sqe.nsid.get(slot.words, 0),
      lba: slot.lba,
      byte: noParameter.byte,
    });
    if (this.errors.length > errorLogEntries) this.errors.pop();
  }

  private tellEvents(): void {
    const { namespaces, ana, discovery, reservation } = this.notices;
    this.tell(reservation);
    if (EventFeature.namespace.of(this.eventMask) === 1) this.tell(namespaces);
    if (EventFeature.ana.of(this.eventMask) === 1) this.tell(ana);
    if (EventFeature.discovery.of(this.eventMask) === 1) this.tell(discovery);
  }

  private tell(what: Notice): void {
    if (!what.isPending || what.isMasked) return;
    const slot = this.eventSlots.shift();
    if (slot === undefined) return;
    what.isPending = false;
    what.isMasked = true;
    let result = AsyncEventResult.type.put(0, what.type);
    result = AsyncEventResult.info.put(result, what.info);
    slot.result = AsyncEventResult.logPage.put(result, what.logPage);
    this.complete(slot, 0);
  }

  private complete(slot: TargetSlot, status: number): void {
    slot.isBusy = false;
    slot.queue.finish(slot, status);
  }
}

function notice(info: number, logPage: number, type: number = EventType.notice): Notice {
  return { type, info, logPage, isPending: false, isMasked: false };
}
