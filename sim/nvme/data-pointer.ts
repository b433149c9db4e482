import { Psdt, Sqe } from '../../sdk/spec/nvme/command.js';
import { PrpEntry, prpEntryBytes } from '../../sdk/spec/nvme/data-pointer.js';
import { Status } from '../../sdk/spec/nvme/status.js';
import type { Checker } from '../checker.js';
import type { Command, SegmentList } from './command.js';
import type { Dma } from './dma.js';
import { SglReader } from './sgl.js';

const entry = Sqe;
const prp = PrpEntry;
const entryDwords = prpEntryBytes / 4;
const entriesPerRead = 64;
const dwordBytes = 4;

/**
 * Where the data of a command lies: PRP entries and lists [NVMe-2.0 §4.1.1 PRP], or an SGL
 * [NVMe-2.0 §4.1.2 SGL], turned into segments. Every rule is checked; a list that the controller
 * cannot read is a Data Transfer Error.
 *
 * A list page, `page / 8` entries; the last one leads on when more than one entry is still missing:
 *
 *   PRP2 ──▶ ┌ entry ┬ entry ┬ … ┬ entry ┬ next list ┐ ──▶ ┌ entry ┬ …
 *            └ data    data        data    page start ┘     └ data
 */
export class DataPointer {
  /** Set when the controller is enabled: 2^(12 + CC.MPS). */
  pageBytes = 4096;
  private readonly dma: Dma;
  private readonly checker: Checker;
  private readonly sgl: SglReader;
  private readonly entries = new Uint32Array(entriesPerRead * entryDwords);
  private readonly hasSgl: boolean;

  constructor(dma: Dma, checker: Checker, hasSgl: boolean) {
    this.dma = dma;
    this.checker = checker;
    this.hasSgl = hasSgl;
    this.sgl = new SglReader(dma);
  }

  /** Fill `command.data`. @returns 0 or the status to complete with */
  map(command: Command, length: number): number {
    const list = command.data;
    list.clear();
    const status = this.find(command, list, length);
    if (status !== 0) this.reportInvalid(command, status);
    return status;
  }

  /** Fill `command.metadata` from MPTR. */
  mapMetadata(command: Command, length: number): number {
    const list = command.metadata;
    list.clear();
    const words = command.words;
    const pointer = entry.mptr.get(words, 0);
    const psdt = entry.psdt.get(words, 0);
    let status = 0;
    if (psdt === Psdt.sglWithMetadataSgl) {
      status = this.sgl.readMetadata(command, length);
    } else if (psdt === Psdt.prp && pointer % dwordBytes !== 0) {
      status = Status.invalidField;
    } else if (length > 0) {
      list.add(pointer, length);
    }
    if (status !== 0) this.reportInvalid(command, status);
    return status;
  }

  private find(command: Command, list: SegmentList, length: number): number {
    if (length === 0) return 0;
    const psdt = entry.psdt.get(command.words, 0);
    if (psdt === Psdt.prp) return this.findPrp(command, list, length);
    if (!this.hasSgl || psdt > Psdt.sglWithMetadataSgl) return Status.invalidField;
    return this.sgl.read(command, length);
  }

  private findPrp(command: Command, list: SegmentList, length: number): number {
    const words = command.words;
    const page = this.pageBytes;
    const first = entry.prp1.get(words, 0);
    const offset = offsetIn(first, page);
    if (offset % dwordBytes !== 0) return Status.prpOffsetInvalid;
    const inFirst = page - offset;
    if (length <= inFirst) {
      list.add(first, length);
      return 0;
    }
    list.add(first, inFirst);
    const second = entry.prp2.get(words, 0);
    const rest = length - inFirst;
    if (rest > page) return this.findList(command, rest);
    if (offsetIn(second, page) !== 0) return Status.prpOffsetInvalid;
    list.add(second, rest);
    return 0;
  }

  private findList(command: Command, length: number): number {
    const page = this.pageBytes;
    let address = entry.prp2.get(command.words, 0);
    // The first list may start anywhere in its page, on a whole entry.
    if (address % prpEntryBytes !== 0) return Status.prpOffsetInvalid;
    let left = length;
    for (;;) {
      const slots = (page - offsetIn(address, page)) / prpEntryBytes;
      const missing = Math.ceil(left / page);
      if (missing <= slots) return this.takeEntries(command, address, missing, left);
      const status = this.takeEntries(command, address, slots - 1, left);
      if (status !== 0) return status;
      left -= (slots - 1) * page;
      if (!this.readEntries(command, address + (slots - 1) * prpEntryBytes, 1)) {
        return Status.dataTransferError;
      }
      address = prp.pbao.get(this.entries, 0);
      if (offsetIn(address, page) !== 0) return Status.prpOffsetInvalid;
    }
  }

  /** Add `count` entries from `address` on; the last one may end inside its page. */
  private takeEntries(command: Command, address: number, count: number, left: number): number {
    const page = this.pageBytes;
    const list = command.data;
    let missing = left;
    for (let done = 0; done < count; done += entriesPerRead) {
      const run = Math.min(count - done, entriesPerRead);
      if (!this.readEntries(command, address + done * prpEntryBytes, run)) {
        return Status.dataTransferError;
      }
      for (let i = 0; i < run; i++) {
        const start = prp.pbao.get(this.entries, i * entryDwords);
        if (offsetIn(start, page) !== 0) return Status.prpOffsetInvalid;
        list.add(start, Math.min(missing, page));
        missing -= page;
      }
    }
    return 0;
  }

  private readEntries(command: Command, address: number, count: number): boolean {
    command.pendingFromHostBytes += count * prpEntryBytes;
    return this.dma.readWords(address, this.entries, 0, count * entryDwords);
  }

  private reportInvalid(command: Command, status: number): void {
    // The host's memory reports what could not be read.
    if (status === Status.dataTransferError) return;
    this.checker.report('dataPointerInvalid', {
      queue: command.queueId,
      cid: command.cid,
      value: entry.prp1.get(command.words, 0),
    });
  }
}

/** `address % page` without the library call that a remainder of doubles is. */
function offsetIn(address: number, page: number): number {
  return address - Math.floor(address / page) * page;
}
