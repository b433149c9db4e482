import type { Dma } from './dma.js';

const dwordBytes = 4;

/**
 * Shadow doorbells [NVMe-2.0 §5.8 DBBUF]: the host stores new tails and heads into a page of its
 * memory, laid out like the doorbells, and rings the register only when a value passes the event
 * index that the controller left in a second page.
 *
 *   host:        shadow = new; if (new - event - 1 < new - old) ring   (16-bit arithmetic)
 *   controller:  event = what it knows; then look at the shadow once more, or lose the race
 *
 * The admin queue has no shadow.
 */
export class ShadowDoorbells {
  isEnabled = false;
  private readonly dma: Dma;
  private readonly strideBytes: number;
  private readonly word = new Uint32Array(1);
  private shadowAddress = 0;
  private eventAddress = 0;

  constructor(dma: Dma, strideBytes: number) {
    this.dma = dma;
    this.strideBytes = strideBytes;
  }

  reset(): void {
    this.isEnabled = false;
  }

  set(shadowAddress: number, eventAddress: number): void {
    this.shadowAddress = shadowAddress;
    this.eventAddress = eventAddress;
    this.isEnabled = true;
  }

  /** @returns the tail that the host stored, or -1 when its page cannot be read */
  tail(queueId: number): number {
    return this.read(2 * queueId);
  }

  head(queueId: number): number {
    return this.read(2 * queueId + 1);
  }

  /** Ask for a doorbell when the tail moves past this one. */
  askForTail(queueId: number, tail: number): boolean {
    return this.write(2 * queueId, tail);
  }

  askForHead(queueId: number, head: number): boolean {
    return this.write(2 * queueId + 1, head);
  }

  private read(index: number): number {
    const address = this.shadowAddress + index * this.strideBytes;
    return this.dma.readWords(address, this.word, 0, 1) ? this.word[0]! : -1;
  }

  private write(index: number, value: number): boolean {
    this.word[0] = value;
    return this.dma.writeWords(this.eventAddress + index * this.strideBytes, this.word, 0, 1);
  }
}

/** Bytes between doorbells, in the register window and in the shadow page. */
export function strideBytesOf(doorbellStride: number): number {
  return dwordBytes * 2 ** doorbellStride;
}
