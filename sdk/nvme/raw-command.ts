import { assert } from '../assert.js';
import type { DmaSpace } from '../device.js';
import { Bits, type U64 } from '../spec/layout.js';
import { commandDwords, Psdt, Sqe, sgl1Dword } from '../spec/nvme/command.js';
import {
  PrpEntry,
  prpEntryBytes,
  SglDescriptor,
  SglType,
  sglDescriptorBytes,
} from '../spec/nvme/data-pointer.js';

/** A piece of device-visible memory. */
export interface RawData {
  readonly iova: number;
  readonly length: number;
}

export interface SglEntry {
  readonly address: number;
  readonly length: number;
  readonly type: number;
  readonly subtype?: number;
}

/** Sixteen dwords, filled field by field. Nothing is checked: wrong commands can be written too. */
export class RawCommand {
  readonly words = new Uint32Array(commandDwords);
  /** Set once a command identifier was chosen; otherwise the queue gives one. */
  hasCid = false;

  constructor(opcode: number, nsid = 0) {
    Sqe.opc.set(this.words, 0, opcode);
    Sqe.nsid.set(this.words, 0, nsid);
  }

  /** Put a value into a field of a command table. */
  set(field: Bits | U64, value: number): this {
    if (field instanceof Bits && field === Sqe.cid) this.hasCid = true;
    field.set(this.words, 0, value);
    return this;
  }

  cid(value: number): this {
    return this.set(Sqe.cid, value);
  }

  /** PRP1 and PRP2 as they are. */
  prps(prp1: number, prp2 = 0): this {
    return this.set(Sqe.prp1, prp1).set(Sqe.prp2, prp2);
  }

  /**
   * Describe one contiguous piece of memory with PRP entries; a list is allocated where needed.
   *
   * @param space  where a PRP list is allocated
   */
  prp(data: RawData, space: DmaSpace, pageBytes: number): this {
    const pages = [data.iova];
    let next = data.iova - (data.iova % pageBytes) + pageBytes;
    for (; next < data.iova + data.length; next += pageBytes) pages.push(next);
    return this.prpPages(pages, space, pageBytes);
  }

  /** Describe pages, in order; the first may start inside its page. */
  prpPages(pages: readonly number[], space: DmaSpace, pageBytes: number): this {
    assert(pages.length > 0, 'a transfer has a page');
    if (pages.length <= 2) return this.prps(pages[0]!, pages[1] ?? 0);
    return this.prps(pages[0]!, writePrpList(pages.slice(1), space, pageBytes));
  }

  /** One SGL descriptor in the command. */
  sgl(entry: SglEntry): this {
    this.set(Sqe.psdt, Psdt.sgl);
    putSglDescriptor(this.words, sgl1Dword, entry);
    return this;
  }

  /** Several SGL descriptors in one segment; the command points at it as the last one. */
  sglSegment(entries: readonly SglEntry[], space: DmaSpace): this {
    const address = writeSglSegment(entries, space);
    const length = entries.length * sglDescriptorBytes;
    return this.sgl({ address, length, type: SglType.lastSegment });
  }
}

/**
 * Write entries into list pages that chain in their last entry.
 *
 * @returns the address of the first list page
 */
export function writePrpList(
  entries: readonly number[],
  space: DmaSpace,
  pageBytes: number,
): number {
  const perPage = pageBytes / prpEntryBytes;
  const list = space.allocate(pageBytes, { alignment: pageBytes });
  const isLast = entries.length <= perPage;
  const here = isLast ? entries : entries.slice(0, perPage - 1);
  here.forEach((entry, i) => {
    PrpEntry.pbao.set(list.words, (i * prpEntryBytes) / 4, entry);
  });
  if (!isLast) {
    const rest = writePrpList(entries.slice(perPage - 1), space, pageBytes);
    PrpEntry.pbao.set(list.words, ((perPage - 1) * prpEntryBytes) / 4, rest);
  }
  return list.iova;
}

/** @returns the address of a segment that holds the descriptors in order. */
export function writeSglSegment(entries: readonly SglEntry[], space: DmaSpace): number {
  const segment = space.allocate(entries.length * sglDescriptorBytes);
  entries.forEach((entry, i) => {
    putSglDescriptor(segment.words, (i * sglDescriptorBytes) / 4, entry);
  });
  return segment.iova;
}

export function putSglDescriptor(words: Uint32Array, at: number, entry: SglEntry): void {
  SglDescriptor.address.set(words, at, entry.address);
  SglDescriptor.length.set(words, at, entry.length);
  words[at + SglDescriptor.type.dword] = 0;
  SglDescriptor.type.set(words, at, entry.type);
  SglDescriptor.subtype.set(words, at, entry.subtype ?? 0);
}
