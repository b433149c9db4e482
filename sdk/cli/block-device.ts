import { MonotonicClock } from '../../native/vfio/clock.js';
import type { BlockDevice } from '../block/device.js';
import { FileDevice } from '../block/file.js';
import { MemoryDevice } from '../block/memory.js';
import { NvmeController } from '../nvme/controller.js';
import { open } from '../open.js';
import { GiB, parseSize } from '../units.js';
import { parseInteger, usageError } from './arguments.js';
import { openRemote, remotePrefix } from './remote-device.js';

/** A block device that a word on the command line names, and how to give it back. */
export interface OpenedDevice {
  readonly device: BlockDevice;
  close(): Promise<void>;
}

const memoryBlockBytes = 512;
const mostMemoryBytes = 16 * GiB;

/**
 * Open 'memory:64MiB', a file, a namespace of a card, or one of another machine.
 *
 * @throws UltimaError USAGE, and what opening a card throws
 */
export async function openDevice(address: string, namespaceId = '1'): Promise<OpenedDevice> {
  if (address.startsWith('memory:')) return openMemory(address);
  if (address.startsWith(remotePrefix)) return openRemote(address);
  if (!/^[a-z-]+:/.test(address)) {
    const file = await FileDevice.open({ path: address, clock: new MonotonicClock() });
    return { device: file, close: async () => file.close() };
  }
  const nsid = parseInteger('namespace-id', namespaceId, { low: 1, high: 0xffff_fffe });
  const controller = await NvmeController.open(await open(address));
  try {
    const device = await controller.namespace(nsid);
    return { device, close: () => controller.close() };
  } catch (error) {
    await controller.close();
    throw error;
  }
}

function openMemory(address: string): OpenedDevice {
  const text = address.slice('memory:'.length);
  const bytes = parseSize(text) ?? 0;
  if (bytes < memoryBlockBytes || bytes > mostMemoryBytes || bytes % memoryBlockBytes !== 0) {
    throw usageError(
      `${address}: the size must be a multiple of ${memoryBlockBytes} up to 16GiB, ` +
        'such as memory:64MiB',
    );
  }
  const device = new MemoryDevice({
    blockBytes: memoryBlockBytes,
    blockCount: bytes / memoryBlockBytes,
    clock: new MonotonicClock(),
  });
  return { device, close: () => Promise.resolve() };
}
