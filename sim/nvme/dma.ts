import { assert } from '../../sdk/assert.js';
import type { DeviceMemory } from '../pcie/device-memory.js';
import type { ControllerMemoryBuffer } from './cmb.js';
import { bitBucketAddress, type SegmentList } from './command.js';

/**
 * Memory as the controller reaches it: an address is in the controller memory buffer or goes over
 * the link. Each access returns false when the platform refused it; the refusal has been reported
 * by the host's memory then.
 */
export class Dma {
  readonly hasBuffer: boolean;
  private readonly memory: DeviceMemory;
  private readonly buffer: ControllerMemoryBuffer | null;

  constructor(memory: DeviceMemory, buffer: ControllerMemoryBuffer | null) {
    this.memory = memory;
    this.buffer = buffer;
    this.hasBuffer = buffer !== null;
  }

  /** Whose accesses follow, for reports about them; cid -1 for the queue itself. */
  name(queueId: number, cid: number): void {
    this.memory.queue = queueId;
    this.memory.cid = cid;
  }

  /** Whether an access stays inside the card and costs the link nothing. */
  isLocal(address: number, length: number): boolean {
    return this.buffer?.holds(address, length) === true;
  }

  readWords(address: number, target: Uint32Array, at: number, count: number): boolean {
    const buffer = this.buffer;
    if (buffer === null || !buffer.holds(address, count * 4)) {
      return this.memory.readWords(address, target, at, count);
    }
    const start = (address - buffer.base) / 4;
    for (let i = 0; i < count; i++) target[at + i] = buffer.words[start + i]!;
    return true;
  }

  writeWords(address: number, source: Uint32Array, at: number, count: number): boolean {
    const buffer = this.buffer;
    if (buffer === null || !buffer.holds(address, count * 4)) {
      return this.memory.writeWords(address, source, at, count);
    }
    const start = (address - buffer.base) / 4;
    for (let i = 0; i < count; i++) buffer.words[start + i] = source[at + i]!;
    return true;
  }

  readBytes(address: number, target: Uint8Array, at: number, length: number): boolean {
    const buffer = this.buffer;
    if (buffer === null || !buffer.holds(address, length)) {
      return this.memory.readBytes(address, target, at, length);
    }
    const start = address - buffer.base;
    for (let i = 0; i < length; i++) target[at + i] = buffer.bytes[start + i]!;
    return true;
  }

  writeBytes(address: number, source: Uint8Array, at: number, length: number): boolean {
    const buffer = this.buffer;
    if (buffer === null || !buffer.holds(address, length)) {
      return this.memory.writeBytes(address, source, at, length);
    }
    const start = address - buffer.base;
    for (let i = 0; i < length; i++) buffer.bytes[start + i] = source[at + i]!;
    return true;
  }

  /** Scatter `length` device bytes over a transfer, from its byte `dataOffset` on. */
  scatter(
    list: SegmentList,
    source: Uint8Array,
    from: number,
    dataOffset: number,
    length: number,
  ): boolean {
    assert(dataOffset + length <= list.totalBytes, 'a transfer beyond the data that was mapped');
    if (list.count === 1 && list.addresses[0]! !== bitBucketAddress) {
      return this.writeBytes(list.addresses[0]! + dataOffset, source, from, length);
    }
    let done = 0;
    while (done < length) {
      list.seek(dataOffset + done);
      const inside = dataOffset + done - list.cursorStart;
      const run = Math.min(list.lengths[list.cursor]! - inside, length - done);
      const address = list.addresses[list.cursor]!;
      if (address !== bitBucketAddress) {
        if (!this.writeBytes(address + inside, source, from + done, run)) return false;
      }
      done += run;
    }
    return true;
  }

  /** Gather `length` bytes of a transfer, from its byte `dataOffset` on, into device memory. */
  gather(
    list: SegmentList,
    target: Uint8Array,
    to: number,
    dataOffset: number,
    length: number,
  ): boolean {
    assert(dataOffset + length <= list.totalBytes, 'a transfer beyond the data that was mapped');
    if (list.count === 1) {
      return this.readBytes(list.addresses[0]! + dataOffset, target, to, length);
    }
    let done = 0;
    while (done < length) {
      list.seek(dataOffset + done);
      const inside = dataOffset + done - list.cursorStart;
      const run = Math.min(list.lengths[list.cursor]! - inside, length - done);
      if (!this.readBytes(list.addresses[list.cursor]! + inside, target, to + done, run)) {
        return false;
      }
      done += run;
    }
    return true;
  }
}
