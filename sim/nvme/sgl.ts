import { Sqe, sgl1Dword } from '../../sdk/spec/nvme/command.js';
import {
  SglDescriptor,
  SglSubtype,
  SglType,
  sglDescriptorBytes,
} from '../../sdk/spec/nvme/data-pointer.js';
import { directionOf } from '../../sdk/spec/nvme/opcodes.js';
import { Status } from '../../sdk/spec/nvme/status.js';
import { bitBucketAddress, type Command, type SegmentList } from './command.js';
import type { Dma } from './dma.js';

const entry = Sqe;
const descriptor = SglDescriptor;
const descriptorDwords = sglDescriptorBytes / 4;
const qwordBytes = 8;
const perRead = 32;

/** Descriptors that one command may use: a chain that goes round in a circle ends here. */
export const maxSglDescriptors = 16_384;

/** What the walk makes of one descriptor; a status of the standard otherwise. */
const leadsOn = -1;

/**
 * SGLs as the controller supports them: data block, bit bucket, segment and last segment
 * descriptors with addresses, data at any byte, no keys. A list that is longer than the command's
 * data is used as far as the data goes (SGLS says so), a shorter one is refused
 * [NVMe-2.0 §4.1.2 SGL].
 */
export class SglReader {
  private readonly dma: Dma;
  private readonly words = new Uint32Array(perRead * descriptorDwords);
  private readonly single = new Uint32Array(descriptorDwords);
  /** The segment that the last segment descriptor named. */
  private address = 0;
  private length = 0;
  private isLast = false;
  /** Data that flows to the controller has nothing to throw away: a bit bucket counts 0 bytes. */
  private isBucketIgnored = false;

  constructor(dma: Dma) {
    this.dma = dma;
  }

  /** The data of a command from SGL1. @returns 0 or a status */
  read(command: Command, length: number): number {
    const status = this.walk(command, command.data, command.words, sgl1Dword);
    if (status !== 0) return status;
    return command.data.totalBytes >= length ? 0 : Status.dataSglLengthInvalid;
  }

  /** Metadata: MPTR names a segment of one descriptor. @returns 0 or a status */
  readMetadata(command: Command, length: number): number {
    if (length === 0) return 0;
    const pointer = entry.mptr.get(command.words, 0);
    if (pointer % qwordBytes !== 0) return Status.invalidSglSegmentDescriptor;
    command.pendingFromHostBytes += sglDescriptorBytes;
    if (!this.dma.readWords(pointer, this.single, 0, descriptorDwords)) {
      return Status.dataTransferError;
    }
    const status = this.walk(command, command.metadata, this.single, 0);
    if (status !== 0) return status;
    return command.metadata.totalBytes >= length ? 0 : Status.metadataSglLengthInvalid;
  }

  /** Follow everything that starts at the descriptor in `words` at dword `at`. */
  private walk(command: Command, list: SegmentList, words: Uint32Array, at: number): number {
    this.isBucketIgnored = directionOf(command.opcode) === 'to controller';
    let result = this.take(list, words, at);
    let budget = maxSglDescriptors;
    while (result === leadsOn) {
      const count = this.length / sglDescriptorBytes;
      if (count === 0 || !Number.isInteger(count) || this.address % qwordBytes !== 0) {
        return Status.invalidSglSegmentDescriptor;
      }
      budget -= count;
      if (budget < 0) return Status.invalidSglDescriptorCount;
      result = this.readSegment(command, list, count);
    }
    return result;
  }

  private readSegment(command: Command, list: SegmentList, count: number): number {
    const address = this.address;
    const isLast = this.isLast;
    command.pendingFromHostBytes += count * sglDescriptorBytes;
    for (let done = 0; done < count; done += perRead) {
      const run = Math.min(perRead, count - done);
      const from = address + done * sglDescriptorBytes;
      if (!this.dma.readWords(from, this.words, 0, run * descriptorDwords)) {
        return Status.dataTransferError;
      }
      for (let i = 0; i < run; i++) {
        const result = this.take(list, this.words, i * descriptorDwords);
        if (result === 0) continue;
        if (result !== leadsOn) return result;
        if (isLast) return Status.invalidSglSegmentDescriptor;
        return done + i === count - 1 ? leadsOn : Status.invalidSglDescriptorCount;
      }
    }
    // Every segment but the last one ends with the descriptor of the next.
    return isLast ? 0 : Status.invalidSglSegmentDescriptor;
  }

  /** @returns 0 for data, `leadsOn` for a segment, or a status */
  private take(list: SegmentList, words: Uint32Array, at: number): number {
    if (descriptor.subtype.get(words, at) !== SglSubtype.address) {
      return Status.sglDescriptorTypeInvalid;
    }
    const length = descriptor.length.get(words, at);
    switch (descriptor.type.get(words, at)) {
      case SglType.dataBlock:
        if (length > 0) list.add(descriptor.address.get(words, at), length);
        return 0;
      case SglType.bitBucket:
        if (!this.isBucketIgnored && length > 0) list.add(bitBucketAddress, length);
        return 0;
      case SglType.segment:
      case SglType.lastSegment:
        this.address = descriptor.address.get(words, at);
        this.length = length;
        this.isLast = descriptor.type.get(words, at) === SglType.lastSegment;
        return leadsOn;
      default:
        return Status.sglDescriptorTypeInvalid;
    }
  }
}
