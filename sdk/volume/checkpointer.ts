import { BlockOp, BlockRequest, BlockStatus, blockFlagFua } from '../block/request.js';
import { crc32cOfWords } from '../crc32c.js';
import type { Catalog } from './catalog.js';
import type { Committer } from './committer.js';
import {
  cellBytes,
  cellsPerUnit,
  deviceRow,
  formatVersion,
  Image,
  imageMagic,
  maxImageUnits,
  placeOf,
  Superblock,
  superblockMagic,
  unitBytes,
} from './format.js';
import type { Journal } from './journal.js';
import { type NodeArena, nodeBytes, nodeWords } from './nodes.js';
import type { Port } from './port.js';
import type { SlotSpace } from './slot-space.js';
import type { UnitSpace } from './unit-space.js';

export interface CheckpointOwner {
  readonly ports: readonly Port[];
  readonly nodes: NodeArena;
  readonly units: UnitSpace;
  readonly slots: SlotSpace;
  readonly catalog: Catalog;
  readonly journal: Journal;
  readonly committer: Committer;
  readonly deferred: { seal(seq: number): void };
  readonly identity: PoolIdentity;
  readonly pager: { lookAgain(): void };
  readonly isFailed: boolean;
  settle(seq: number): void;
  fail(what: string): void;
  portOf(unit: number): Port;
}

export interface PoolIdentity {
  readonly poolId: Uint8Array;
  readonly deviceIds: Uint8Array[];
  session: number;
  generation: number;
  journalUnits: number;
  /** Units of the two copies of the image that is durable. */
  imageUnits: readonly number[];
}

/** A piece that a checkpoint writes, at most a unit. */
interface Piece {
  readonly unit: number;
  readonly byteInUnit: number;
  readonly words: Uint32Array;
}

const mostInFlight = 8;

/**
 * Writes the state at one instant: changed nodes to fresh slots, then the image, then the
 * superblock, twice. What the newest durable superblock needs is never overwritten: old slots and
 * the old image are free only when the new superblock is durable in both copies.
 *
 * It runs inside `poll`, beside I/O and commits. The state is that after the batch that is closed
 * at its start; recovery goes on with the batch behind it.
 */
export class Checkpointer {
  isRunning = false;
  /** Checkpoints that became durable since the pool was opened. */
  count = 0;
  private readonly owner: CheckpointOwner;
  private pieces: Piece[] = [];
  private nextPiece = 0;
  private inFlight = 0;
  private flushesLeft = 0;
  private status: BlockStatus = BlockStatus.ok;
  private superblock = new Uint32Array(0);
  private retiredSlots: number[] = [];
  private writtenNodes: readonly number[] = [];
  private retiredImage: readonly number[] = [];
  private nextImage: number[] = [];
  private sealedSeq = 0;
  private nextBlock = 0;
  private readonly doneCalls: (() => void)[] = [];

  constructor(owner: CheckpointOwner) {
    this.owner = owner;
  }

  /** Called when the running one, or one that starts now, is over. */
  onDone(call: () => void): void {
    this.doneCalls.push(call);
  }

  /**
   * Start, if none runs and no commit runs either.
   *
   * @returns whether one runs now
   */
  start(): boolean {
    const { owner } = this;
    if (this.isRunning) return true;
    if (owner.isFailed || !owner.committer.isIdle || owner.committer.isHeld) return false;
    const { journal, committer, identity } = owner;
    this.isRunning = true;
    this.status = BlockStatus.ok;
    if (journal.hasRecords && !journal.fitsRing) {
      // No room for the batch: the checkpoint takes its place.
      this.sealedSeq = journal.absorb();
      owner.deferred.seal(this.sealedSeq);
      committer.hold();
    } else {
      if (journal.hasRecords) committer.start();
      this.sealedSeq = journal.seq - 1;
    }
    this.nextBlock = journal.head;
    identity.generation++;
    if (!this.collect()) {
      owner.fail('no unit is left for the metadata of a checkpoint');
      this.end();
      return false;
    }
    this.nextPiece = 0;
    this.feed();
    return true;
  }

  /** Called with every poll: submitting happens outside completions. */
  turn(): void {
    if (this.isRunning) this.feed();
  }

  /** Take copies of all that is to be written. @returns false when the pool is too full */
  private collect(): boolean {
    const { nodes, slots, units } = this.owner;
    this.retiredSlots = nodes.retiredSlots;
    nodes.retiredSlots = [];
    this.pieces = [];
    const ids = nodes.takeDirty();
    this.writtenNodes = ids;
    const places: { slot: number; id: number }[] = [];
    for (const id of ids) {
      const slot = slots.allocate();
      if (slot === 0) return false;
      if (nodes.slots[id] !== 0) this.retiredSlots.push(nodes.slots[id]!);
      nodes.slots[id] = slot;
      places.push({ slot, id });
    }
    places.sort((a, b) => a.slot - b.slot);
    for (let i = 0; i < places.length; ) {
      let end = i + 1;
      const unit = Math.floor(places[i]!.slot / cellsPerUnit);
      while (
        end < places.length &&
        places[end]!.slot === places[i]!.slot + (end - i) &&
        Math.floor(places[end]!.slot / cellsPerUnit) === unit
      ) {
        end++;
      }
      const words = new Uint32Array((end - i) * nodeWords);
      for (let j = i; j < end; j++) {
        const { id } = places[j]!;
        const from = nodes.at(id);
        words.set(nodes.wordsOf(id).subarray(from, from + nodeWords), (j - i) * nodeWords);
        const start = (j - i) * nodeWords;
        nodes.checks[id] = crc32cOfWords(words, start, start + nodeWords);
      }
      const byteInUnit = (places[i]!.slot % cellsPerUnit) * nodeBytes;
      this.pieces.push({ unit, byteInUnit, words });
      i = end;
    }
    const image = this.imageWords();
    const perCopy = Math.ceil((image.length * 4) / unitBytes);
    if (perCopy > maxImageUnits) return false;
    this.nextImage = [];
    for (let copy = 0; copy < 2; copy++) {
      for (let i = 0; i < perCopy; i++) {
        const unit = units.allocate();
        if (unit === 0) return false;
        this.nextImage.push(unit);
        const from = (i * unitBytes) / 4;
        const words = image.subarray(from, from + unitBytes / 4);
        this.pieces.push({ unit, byteInUnit: 0, words: padded(words) });
      }
    }
    this.retiredImage = this.owner.identity.imageUnits;
    this.superblock = this.superblockWords(image, perCopy);
    return true;
  }

  private imageWords(): Uint32Array {
    const { nodes, catalog } = this.owner;
    const json = new TextEncoder().encode(JSON.stringify([...catalog.objects.values()]));
    const catalogWords = Math.ceil(json.length / 8) * 2;
    const headerWords = Image.layout.bytes / 4;
    const words = new Uint32Array(headerWords + catalogWords + nodes.end * 2);
    Image.magic.set(words, 0, imageMagic);
    Image.nodeCount.set(words, 0, nodes.end);
    Image.catalogBytes.set(words, 0, json.length);
    Image.nextId.set(words, 0, catalog.nextId);
    new Uint8Array(words.buffer).set(json, headerWords * 4);
    const rows = headerWords + catalogWords;
    for (let id = 1; id < nodes.end; id++) {
      words[rows + 2 * id] = nodes.slots[id]!;
      words[rows + 2 * id + 1] = nodes.slots[id] === 0 ? 0 : nodes.checks[id]!;
    }
    return words;
  }

  private superblockWords(image: Uint32Array, perCopy: number): Uint32Array<ArrayBuffer> {
    const { identity, ports } = this.owner;
    const words = new Uint32Array(Superblock.layout.bytes / 4);
    Superblock.magic.set(words, 0, superblockMagic);
    Superblock.version.set(words, 0, formatVersion);
    Superblock.deviceCount.set(words, 0, ports.length);
    Superblock.poolId.bytes(words, 0).set(identity.poolId);
    Superblock.generation.set(words, 0, identity.generation);
    Superblock.session.set(words, 0, identity.session);
    Superblock.journalUnits.set(words, 0, identity.journalUnits);
    Superblock.journalSeq.set(words, 0, this.sealedSeq + 1);
    Superblock.journalBlock.set(words, 0, this.nextBlock);
    Superblock.imageBytes.set(words, 0, image.length * 4);
    Superblock.imageCheck.set(words, 0, crc32cOfWords(image, 0, image.length));
    Superblock.imageUnits.set(words, 0, perCopy);
    const rows = Superblock.devices.bytes(words, 0);
    for (const port of ports) {
      const row = new Uint32Array(deviceRow.words);
      new Uint8Array(row.buffer).set(identity.deviceIds[port.index]!);
      row[deviceRow.unitCount] = port.unitCount;
      rows.set(new Uint8Array(row.buffer), port.index * deviceRow.words * 4);
    }
    const units = Uint32Array.from(this.nextImage);
    Superblock.firstCopy.bytes(words, 0).set(new Uint8Array(units.buffer, 0, perCopy * 4));
    Superblock.secondCopy.bytes(words, 0).set(new Uint8Array(units.buffer, perCopy * 4));
    Superblock.check.set(words, 0, crc32cOfWords(words, 2, words.length));
    return words;
  }

  private feed(): void {
    while (this.nextPiece < this.pieces.length && this.inFlight < mostInFlight) {
      const { unit, byteInUnit, words } = this.pieces[this.nextPiece++]!;
      const port = this.owner.portOf(unit);
      this.inFlight++;
      const byteOffset = port.byteOf(unit) + byteInUnit;
      this.write(port, byteOffset, { words, flags: 0 }, (status) => {
        port.needsFlush = true;
        this.inFlight--;
        this.note(status);
        if (this.nextPiece === this.pieces.length && this.inFlight === 0) this.flushAll();
      });
    }
  }

  private flushAll(): void {
    if (this.status !== BlockStatus.ok) {
      this.broken('writing a checkpoint');
      return;
    }
    this.flushesLeft = 1;
    for (const port of this.owner.ports) {
      if (!port.device.limits.hasVolatileCache) continue;
      this.flushesLeft++;
      const request = new BlockRequest(() => {
        this.note(request.status);
        this.flushed();
      });
      request.op = BlockOp.flush;
      port.submit(request);
    }
    this.flushed();
  }

  private flushed(): void {
    if (--this.flushesLeft > 0) return;
    if (this.status === BlockStatus.ok) this.writeSuperblock(0);
    else this.broken('flushing a checkpoint');
  }

  private writeSuperblock(copy: 0 | 1): void {
    const isOdd = this.owner.identity.generation % 2 === 1;
    const place = placeOf.superblocks[(isOdd ? 0 : 2) + copy]!;
    const port = this.owner.ports[0]!;
    const data = { words: this.superblock, flags: blockFlagFua };
    this.write(port, place * cellBytes, data, (status) => {
      this.note(status);
      if (status !== BlockStatus.ok) this.broken('writing a superblock');
      else if (copy === 0) this.writeSuperblock(1);
      else this.durable();
    });
  }

  private durable(): void {
    const { owner } = this;
    owner.journal.tail = this.nextBlock;
    for (const slot of this.retiredSlots) owner.slots.free(slot);
    owner.nodes.settle(this.writtenNodes);
    this.writtenNodes = [];
    owner.pager.lookAgain();
    for (const unit of this.retiredImage) owner.units.free(unit);
    owner.slots.settle();
    owner.identity.imageUnits = this.nextImage;
    this.count++;
    owner.settle(this.sealedSeq);
    this.end();
  }

  private broken(what: string): void {
    this.owner.fail(`${what} ended with status ${this.status}`);
    this.end();
  }

  private end(): void {
    this.isRunning = false;
    this.pieces = [];
    const status = this.owner.isFailed ? BlockStatus.deviceError : BlockStatus.ok;
    this.owner.committer.release(status);
    for (const call of this.doneCalls.splice(0)) call();
  }

  private note(status: BlockStatus): void {
    if (status !== BlockStatus.ok) this.status = status;
  }

  private write(
    port: Port,
    byteOffset: number,
    data: { readonly words: Uint32Array; readonly flags: number },
    ended: (status: BlockStatus) => void,
  ): void {
    const { memory } = port.device;
    const byteLength = data.words.length * 4;
    const region = memory.allocate(byteLength);
    region.words.set(data.words);
    const request = new BlockRequest(() => {
      memory.free(region);
      ended(request.status);
    });
    request.op = BlockOp.write;
    request.flags = data.flags;
    port.aim(request, byteOffset, byteLength);
    request.setData(region, 0, byteLength);
    port.submit(request);
  }
}

/** Whole cells, because devices have blocks of up to that. */
function padded(words: Uint32Array): Uint32Array {
  const whole = Math.ceil(words.length / nodeWords) * nodeWords;
  if (whole === words.length) return words;
  const next = new Uint32Array(whole);
  next.set(words);
  return next;
}
