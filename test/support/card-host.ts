import type { DmaRegion } from '../../sdk/device.js';
import { CreateCompletionQueue, CreateSubmissionQueue } from '../../sdk/spec/nvme/admin-command.js';
import { commandBytes, commandDwords, Sqe } from '../../sdk/spec/nvme/command.js';
import { Cqe, completionBytes, completionDwords } from '../../sdk/spec/nvme/completion.js';
import { AdminOpcode } from '../../sdk/spec/nvme/opcodes.js';
import {
  Aqa,
  allOnes,
  Cc,
  Csts,
  completionDoorbell,
  Register,
  submissionDoorbell,
} from '../../sdk/spec/nvme/registers.js';
import { statusKind } from '../../sdk/spec/nvme/status.js';
import type { SimCard } from '../../sim/card.js';
import type { SimFunction } from '../../sim/pcie/function.js';

/** How a command ended. */
export interface Ended {
  readonly status: number;
  readonly dw0: number;
}

/** A command in flight, or ended when `ended` is not null. */
export interface Sent {
  readonly queueId: number;
  readonly cid: number;
  ended: Ended | null;
}

interface Ring {
  readonly id: number;
  readonly entries: number;
  readonly sq: DmaRegion;
  readonly cq: DmaRegion;
  tail: number;
  head: number;
  phase: number;
  /** The newest head that the card has reported. */
  sqHead: number;
}

const second = 1_000_000_000;

/**
 * A host of its own for tests of the card: plain rings, no promises, everything by hand. It notices
 * what a card must not do: a completion for nothing, a second one, one for the wrong queue.
 */
export class CardHost {
  readonly card: SimCard;
  readonly fn: SimFunction;
  /** What the card did wrong, in words. */
  readonly faults: string[] = [];
  readonly rings: Ring[] = [];
  readonly inFlight = new Map<number, Sent>();
  /** Off from the moment in which the controller may go down: doorbells are left alone then. */
  ringsDoorbells = true;
  private nextCid = 0;

  constructor(card: SimCard, fn: SimFunction = card.open()) {
    this.card = card;
    this.fn = fn;
  }

  /** The same host on a card that was restored: its rings lie where they lay. */
  movedTo(card: SimCard): CardHost {
    const host = new CardHost(card, card.function);
    for (const ring of this.rings) {
      const sq = host.fn.dma.regionAt(ring.sq.iova);
      host.rings.push({ ...ring, sq, cq: host.fn.dma.regionAt(ring.cq.iova) });
    }
    for (const [key, sent] of this.inFlight) host.inFlight.set(key, { ...sent });
    host.faults.push(...this.faults);
    host.ringsDoorbells = this.ringsDoorbells;
    host.nextCid = this.nextCid;
    return host;
  }

  get nowNs(): number {
    return this.fn.clock.nowNs();
  }

  read(offset: number): number {
    return this.fn.bar(0).read32(offset);
  }

  write(offset: number, value: number): void {
    this.fn.bar(0).write32(offset, value);
  }

  get isGone(): boolean {
    return this.read(Register.csts) === allOnes;
  }

  /** Bring the controller up with `pairs` I/O queue pairs. @returns whether it came */
  enable(pairs: number, entries = 16): boolean {
    this.ringsDoorbells = false;
    if (!this.until(() => this.isDecoding(), second)) return false;
    this.write(Register.cc, Cc.en.put(this.read(Register.cc), 0));
    if (!this.waitReady(0)) return false;
    // Only now does the card leave the old rings alone.
    this.forgetRings();
    this.ringsDoorbells = true;
    const admin = this.makeRing(0, entries);
    this.write(Register.aqa, Aqa.asqs.put(Aqa.acqs.put(0, entries), entries));
    this.writeAddress(Register.asq, admin.sq.iova);
    this.writeAddress(Register.acq, admin.cq.iova);
    this.write(Register.cc, enabled);
    if (!this.waitReady(1)) return false;
    for (let id = 1; id <= pairs; id++) if (!this.createPair(id, entries)) return false;
    return true;
  }

  /** Post a command with an identifier of the host's. The doorbell is not rung. */
  post(queueId: number, words: Uint32Array): Sent | null {
    const ring = this.rings[queueId];
    if (ring === undefined || this.room(queueId) === 0) return null;
    while (this.inFlight.has(keyOf(queueId, this.nextCid)))
      this.nextCid = (this.nextCid + 1) & 0xfff;
    const sent: Sent = { queueId, cid: this.nextCid, ended: null };
    this.nextCid = (this.nextCid + 1) & 0xfff;
    this.inFlight.set(keyOf(queueId, sent.cid), sent);
    const at = ring.tail * commandDwords;
    ring.sq.words.set(words, at);
    Sqe.cid.set(ring.sq.words, at, sent.cid);
    ring.tail = (ring.tail + 1) % ring.entries;
    return sent;
  }

  /** Entries that can be posted: one slot of either ring stays empty. */
  room(queueId: number): number {
    const ring = this.rings[queueId];
    if (ring === undefined) return 0;
    let used = 0;
    for (const sent of this.inFlight.values()) if (sent.queueId === queueId) used++;
    return ring.entries - 1 - used;
  }

  ring(queueId: number): void {
    const ring = this.rings[queueId];
    if (ring !== undefined) this.write(submissionDoorbell(queueId, 0), ring.tail);
  }

  /** Post, ring, and wait for the end. @returns null when it does not come */
  run(queueId: number, words: Uint32Array, limitNs = 100 * second): Ended | null {
    const sent = this.post(queueId, words);
    if (sent === null) return null;
    this.ring(queueId);
    this.until(() => sent.ended !== null || this.isGone, limitNs);
    return sent.ended;
  }

  /** Let the world run until something holds. @returns whether it does */
  until(holds: () => boolean, limitNs: number): boolean {
    const end = this.nowNs + limitNs;
    for (;;) {
      this.poll();
      if (holds()) return true;
      if (this.nowNs >= end) return false;
      this.fn.clock.idle(Math.min(end, this.nowNs + second / 100));
    }
  }

  /** Take every completion that is there. */
  poll(): void {
    for (const ring of this.rings) this.pollRing(ring);
  }

  /** Forget every command and queue: after a reset, or what may have been one. */
  forgetRings(): void {
    for (const ring of this.rings) {
      this.fn.dma.free(ring.sq);
      this.fn.dma.free(ring.cq);
    }
    this.rings.length = 0;
    this.inFlight.clear();
  }

  private pollRing(ring: Ring): void {
    let count = 0;
    for (;;) {
      const at = ring.head * completionDwords;
      const { words } = ring.cq;
      if (Cqe.p.get(words, at) !== ring.phase || count > ring.entries) break;
      count++;
      this.takeEntry(ring, words, at);
      ring.head++;
      if (ring.head === ring.entries) {
        ring.head = 0;
        ring.phase ^= 1;
      }
    }
    if (count > 0 && this.ringsDoorbells) this.write(completionDoorbell(ring.id, 0), ring.head);
  }

  private takeEntry(ring: Ring, words: Uint32Array, at: number): void {
    const cid = Cqe.cid.get(words, at);
    const queueId = Cqe.sqid.get(words, at);
    const sent = this.inFlight.get(keyOf(queueId, cid));
    if (queueId !== ring.id) this.faults.push(`entry for queue ${queueId} in queue ${ring.id}`);
    if (sent === undefined) {
      this.faults.push(
        `queue ${queueId} completed command 0x${cid.toString(16)}, which is not there`,
      );
      return;
    }
    ring.sqHead = Cqe.sqhd.get(words, at);
    if (ring.sqHead >= ring.entries) this.faults.push(`head ${ring.sqHead} of ${ring.entries}`);
    sent.ended = { status: statusKind(Cqe.status.get(words, at)), dw0: Cqe.dw0.get(words, at) };
    this.inFlight.delete(keyOf(queueId, cid));
  }

  /** A function that lost its state decodes nothing before the host says so. */
  private isDecoding(): boolean {
    const { config } = this.fn;
    if (config.read16(0x00) === 0xffff) return false;
    config.write16(0x04, 0x0006);
    return !this.isGone;
  }

  private waitReady(value: number): boolean {
    const isThere = () => Csts.rdy.of(this.read(Register.csts)) === value;
    return this.until(() => this.isGone || isThere(), 20 * second) && !this.isGone;
  }

  private createPair(id: number, entries: number): boolean {
    const ring = this.makeRing(id, entries);
    const words = new Uint32Array(commandDwords);
    Sqe.opc.set(words, 0, AdminOpcode.createCompletionQueue);
    Sqe.prp1.set(words, 0, ring.cq.iova);
    CreateCompletionQueue.qid.set(words, 0, id);
    CreateCompletionQueue.qsize.set(words, 0, entries);
    CreateCompletionQueue.pc.set(words, 0, 1);
    if (this.run(0, words)?.status !== 0) return false;
    words.fill(0);
    Sqe.opc.set(words, 0, AdminOpcode.createSubmissionQueue);
    Sqe.prp1.set(words, 0, ring.sq.iova);
    CreateSubmissionQueue.qid.set(words, 0, id);
    CreateSubmissionQueue.qsize.set(words, 0, entries);
    CreateSubmissionQueue.pc.set(words, 0, 1);
    CreateSubmissionQueue.cqid.set(words, 0, id);
    return this.run(0, words)?.status === 0;
  }

  private makeRing(id: number, entries: number): Ring {
    const sq = this.fn.dma.allocate(entries * commandBytes);
    const cq = this.fn.dma.allocate(entries * completionBytes);
    const ring = { id, entries, sq, cq, tail: 0, head: 0, phase: 1, sqHead: 0 };
    this.rings[id] = ring;
    return ring;
  }

  private writeAddress(offset: number, iova: number): void {
    this.write(offset, iova >>> 0);
    this.write(offset + 4, Math.floor(iova / 2 ** 32));
  }
}

const enabled = Cc.iocqes.put(Cc.iosqes.put(Cc.en.put(0, 1), 6), 4);

function keyOf(queueId: number, cid: number): number {
  return queueId * 65_536 + cid;
}
