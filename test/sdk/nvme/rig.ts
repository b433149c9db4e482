import { type BlockOp, BlockRequest } from '../../../sdk/block/request.js';
import type { DmaRegion } from '../../../sdk/device.js';
import { NvmeController } from '../../../sdk/nvme/controller.js';
import type { ControllerEvent } from '../../../sdk/nvme/events.js';
import type { Namespace } from '../../../sdk/nvme/namespace.js';
import type { ControllerOptions } from '../../../sdk/nvme/options.js';
import type { SimCard } from '../../../sim/card.js';
import { openSimulated } from '../../../sim/open.js';
import type { Prng } from '../../../sim/prng.js';

/** A simulated card with the driver on it. `close` demands that the checker has seen nothing. */
export interface SimRig {
  readonly card: SimCard;
  readonly controller: NvmeController;
  readonly namespace: Namespace;
  readonly events: ControllerEvent[];
  close(): Promise<void>;
}

export async function simRig(address: string, options: ControllerOptions = {}): Promise<SimRig> {
  const card = openSimulated(address);
  const events: ControllerEvent[] = [];
  const onEvent = (event: ControllerEvent) => events.push(event);
  const controller = await NvmeController.open(card.open(), { ...options, onEvent });
  const namespace = await controller.namespace(1);
  const close = async (): Promise<void> => {
    await controller.close();
    card.checker.demandNone();
    await card.close();
  };
  return { card, controller, namespace, events, close };
}

/** Every dword says where it belongs: block, write generation, place. */
export function stamp(region: DmaRegion, lba: number, generation: number): void {
  const { words } = region;
  for (let i = 0; i < words.length; i++)
    words[i] = (lba * 2654435761 + generation * 40503 + i) >>> 0;
}

/** Whether the memory holds what `stamp` put there. */
export function isStamped(region: DmaRegion, lba: number, generation: number): boolean {
  const { words } = region;
  for (let i = 0; i < words.length; i++) {
    if (words[i] !== (lba * 2654435761 + generation * 40503 + i) >>> 0) return false;
  }
  return true;
}

/** A request on one piece of memory of its own. */
export function requestOn(namespace: Namespace, op: BlockOp, bytes: number): BlockRequest {
  const request = new BlockRequest(() => {});
  request.op = op;
  request.blockCount = bytes / namespace.blockBytes;
  request.setData(namespace.memory.allocate(bytes), 0, bytes);
  return request;
}

/** Cut `bytes` of a region into pieces at random places, whole multiples of `unit`. */
export function scatter(
  request: BlockRequest,
  parts: { readonly region: DmaRegion; readonly bytes: number; readonly unit: number },
  prng: Prng,
): void {
  request.segmentCount = 0;
  for (let done = 0; done < parts.bytes; ) {
    const most = (parts.bytes - done) / parts.unit;
    const length = Math.min(most, 1 + prng.below(most)) * parts.unit;
    const isLast = request.segmentCount === 100;
    request.addSegment(parts.region, done, isLast ? parts.bytes - done : length);
    done += isLast ? parts.bytes - done : length;
  }
}

/** Poll a namespace until nothing is in flight, with a deadline in virtual time. */
export function pollUntil(namespace: Namespace, isOver: () => boolean): void {
  const limitNs = namespace.clock.nowNs() + 100_000_000_000;
  while (!isOver()) {
    if (namespace.poll() === 0) namespace.clock.idle(namespace.clock.nowNs() + 1_000_000);
    if (namespace.clock.nowNs() > limitNs) throw new Error('requests that never end');
  }
}
