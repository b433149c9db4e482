import type { DmaAccess } from '../../sdk/device.js';
import { ErrorCode, UltimaError } from '../../sdk/errors.js';
import { DmaMap, DmaTransfer, DmaUnmap } from '../../sdk/spec/vfio-user/dma.js';
import { Command, Errno } from '../../sdk/spec/vfio-user/header.js';
import { Errno as KernelErrno, type NativeKernel } from '../kernel.js';
import { SharedMemory } from '../shared-memory.js';
import type { MemorySource } from '../vfio/dma-space.js';
import {
  type AddressRange,
  type AddressSpace,
  type MapRequest,
  unmapFailure,
} from '../vfio/iommu.js';
import { type Agreement, ourTransferBytes } from './agreement.js';
import { type Channel, type Expected, noReply, nothingExpected, payloadAt } from './channel.js';
import type { ServerAnswer, ServerCommands } from './server-commands.js';

const unmapExpected: Expected = {
  least: DmaUnmap.layout.bytes,
  most: DmaUnmap.layout.bytes,
  descriptors: 0,
};
const transferBytes = DmaTransfer.layout.bytes;
/** What every processor can address. */
const lastAddress = 2 ** 48 - 1;
const refused: ServerAnswer = { errno: Errno.EINVAL, pieces: [] };

interface Mapped {
  readonly memory: SharedMemory;
  readonly iova: number;
  readonly length: number;
  readonly access: DmaAccess;
}

/**
 * The client's memory: memfds, each given to the server with the device addresses at which it
 * stands. A server that could not map one reads and writes it in messages. When the connection ends
 * the memory is taken back: whoever was at its other end does not reach it any more, so commands
 * may end and their buffers be used again.
 */
export class SharedArenas implements AddressSpace, ServerCommands {
  readonly ranges: readonly AddressRange[] = [{ first: 0, last: lastAddress }];
  readonly memory: MemorySource;
  private readonly kernel: NativeKernel;
  private readonly path: string;
  private readonly gives: boolean;
  private readonly memories = new Map<ArrayBuffer, SharedMemory>();
  private readonly mapped: Mapped[] = [];
  private channel: Channel | null = null;
  private agreement: Agreement | null = null;

  /**
   * @param path   of the server, for messages
   * @param gives  whether the server is given the memory, or has to ask for each byte
   */
  constructor(kernel: NativeKernel, path: string, gives: boolean) {
    this.kernel = kernel;
    this.gives = gives;
    this.path = path;
    this.memory = {
      arena: (length, isHuge) => this.newMemory(length, isHuge),
      unmap: (buffer) => this.dropMemory(buffer),
      addressOf: (memory) => kernel.addressOf(memory),
      pageBytes: () => kernel.pageBytes(),
    };
  }

  get pageBytes(): number {
    return Math.max(this.kernel.pageBytes(), this.agreement?.pageBytes ?? 1);
  }

  /**
   * A new connection: whatever stands at device addresses stands there for this server too. One
   * that does not take all of it changes nothing here.
   *
   * @throws UltimaError DMA_MAP_FAILED
   */
  connect(channel: Channel, agreement: Agreement): void {
    for (const mapped of this.mapped) this.tellMap(channel, agreement, mapped);
    this.channel = channel;
    this.agreement = agreement;
  }

  /** The connection of before is the one again; the server behind it knows what stands where. */
  stayWith(channel: Channel, agreement: Agreement): void {
    this.channel = channel;
    this.agreement = agreement;
  }

  /** The connection is gone: nobody at its other end reaches our memory any more. */
  takeBack(): void {
    if (this.channel === null) return;
    this.channel = null;
    for (const memory of this.memories.values()) {
      try {
        memory.takeBack();
      } catch {
        // No memory for a copy: better go on with what the other side may still see than not at
        // all. Most likely it is dead.
      }
    }
  }

  map(request: MapRequest): void {
    const { virtualAddress, iova, length, access } = request;
    const memory = this.memoryAt(virtualAddress);
    const mapped = { memory, iova, length, access };
    const { channel, agreement } = this;
    if (channel?.isAlive === true && agreement !== null) this.tellMap(channel, agreement, mapped);
    this.mapped.push(mapped);
  }

  unmap(iova: number, length: number): void {
    const index = this.mapped.findIndex((one) => one.iova === iova && one.length === length);
    if (index < 0) throw unmapFailure(iova, length, 0);
    this.mapped.splice(index, 1);
    const { channel } = this;
    if (channel === null || !channel.isAlive) return;
    const { draft, reply } = channel;
    draft.fill(0, payloadAt, payloadAt + DmaUnmap.layout.bytes / 4);
    DmaUnmap.argsz.set(draft, payloadAt, DmaUnmap.layout.bytes);
    DmaUnmap.address.set(draft, payloadAt, iova);
    DmaUnmap.length.set(draft, payloadAt, length);
    const errno = channel.call(Command.dmaUnmap, DmaUnmap.layout.bytes, unmapExpected);
    if (errno === noReply) return;
    const unmapped = errno === 0 ? DmaUnmap.length.get(reply, payloadAt) : 0;
    if (unmapped === length && DmaUnmap.address.get(reply, payloadAt) === iova) return;
    // It may go on using memory that is ours again: no more of it.
    channel.die(`it unmapped ${unmapped} of ${length} bytes at device address ${iova}`);
    throw unmapFailure(iova, length, unmapped);
  }

  obey(command: number, payload: Uint8Array): ServerAnswer {
    if (payload.length < transferBytes) return refused;
    const words = new Uint32Array(payload.slice(0, transferBytes).buffer);
    if (!DmaTransfer.address.isExact(words, 0)) return refused;
    const address = DmaTransfer.address.get(words, 0);
    const count = DmaTransfer.count.get(words, 0);
    if (count < 1 || count > ourTransferBytes) return refused;
    const isWrite = command === Command.dmaWrite;
    if (payload.length !== transferBytes + (isWrite ? count : 0)) return refused;
    const bytes = this.bytesAt(address, count, isWrite ? 'write' : 'read');
    if (bytes === null) return { errno: Errno.EFAULT, pieces: [] };
    const head = new Uint8Array(words.buffer);
    if (!isWrite) return { errno: 0, pieces: [head, bytes] };
    bytes.set(payload.subarray(transferBytes));
    return { errno: 0, pieces: [head] };
  }

  private bytesAt(address: number, count: number, access: DmaAccess): Uint8Array | null {
    for (const one of this.mapped) {
      const offset = address - one.iova;
      if (offset < 0 || offset + count > one.length) continue;
      if (one.access !== 'readWrite' && one.access !== access) return null;
      return new Uint8Array(one.memory.buffer, offset, count);
    }
    return null;
  }

  private tellMap(channel: Channel, agreement: Agreement, mapped: Mapped): void {
    const { draft } = channel;
    const { iova, length, access, memory } = mapped;
    const isShared = this.gives && agreement.messageFds > 0;
    DmaMap.argsz.set(draft, payloadAt, DmaMap.layout.bytes);
    DmaMap.isReadable.set(draft, payloadAt, access === 'write' ? 0 : 1);
    DmaMap.isWritable.set(draft, payloadAt, access === 'read' ? 0 : 1);
    DmaMap.offset.set(draft, payloadAt, 0);
    DmaMap.address.set(draft, payloadAt, iova);
    DmaMap.length.set(draft, payloadAt, length);
    const fds = isShared ? Int32Array.of(memory.fd) : new Int32Array(0);
    const errno = channel.call(Command.dmaMap, DmaMap.layout.bytes, nothingExpected, fds);
    if (errno !== 0) throw this.mapFailure(mapped, errno, { agreement, channel });
  }

  private mapFailure(
    mapped: Mapped,
    errno: number,
    server: { readonly agreement: Agreement; readonly channel: Channel },
  ): UltimaError {
    const { iova, length } = mapped;
    const limit = server.agreement.dmaMaps;
    const count = this.mapped.length;
    const reasons: Readonly<Record<number, string>> = {
      [noReply]: `the connection ended: ${server.channel.reason}`,
      [Errno.EEXIST]: 'it has something at these device addresses already',
      [Errno.ENOMEM]: 'it has no room left',
    };
    const reason = reasons[errno] ?? `error ${errno}`;
    const remedy = count >= limit ? `; it takes ${limit} mappings, allocate fewer or larger` : '';
    return new UltimaError(
      ErrorCode.dmaMapFailed,
      `${this.path}: the server does not take ${length} bytes of memory: ${reason}${remedy}`,
      { iova, length, errno, mapped: count, limit },
    );
  }

  /** Ordinary pages only: the size that others see is the size that was asked for. */
  private newMemory(length: number, isHuge: boolean): ArrayBuffer | number {
    if (isHuge) return -KernelErrno.EINVAL;
    try {
      const memory = new SharedMemory(this.kernel, 'ultima-dma', length);
      this.memories.set(memory.buffer, memory);
      return memory.buffer;
    } catch (error) {
      if (error instanceof UltimaError) return -KernelErrno.ENOMEM;
      throw error;
    }
  }

  private dropMemory(buffer: ArrayBuffer): number {
    const memory = this.memories.get(buffer);
    if (memory === undefined) return -KernelErrno.EINVAL;
    this.memories.delete(buffer);
    memory.close();
    return 0;
  }

  private memoryAt(address: number): SharedMemory {
    for (const memory of this.memories.values()) {
      if (this.kernel.addressOf(memory.buffer) === address) return memory;
    }
    throw new TypeError('only memory of this function can be mapped for it');
  }
}
