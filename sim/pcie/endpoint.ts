import type { DeviceMemory } from './device-memory.js';

/**
 * What happens to an endpoint. 'function': function-level reset. 'bus': hot reset, also what a lost
 * link does. 'power': the supply is gone; all volatile state with it, at once.
 */
export type EndpointReset = 'function' | 'bus' | 'power';

/**
 * The device behind a simulated PCIe function: an NVMe controller, a network port, a test piece.
 * It is called in virtual time, never while its function is unreachable, and never throws because
 * of what a driver wrote.
 */
export interface Endpoint {
  /** A register read: aligned dword inside a BAR's size. Side effects as the device has them. */
  readBar(bar: number, offset: number): number;
  /** A register write that has arrived over the link. */
  writeBar(bar: number, offset: number, value: number): void;
  /**
   * Drop everything in flight: no DMA and no interrupt of before may appear after it. Events that
   * are still in the queue of the world must find nothing to do.
   */
  reset(kind: EndpointReset): void;
  /** The supply is back after reset('power'); registers are as after a bus reset. */
  powerOn(): void;
}

/**
 * The function and the link as its endpoint sees them. One per endpoint, the same object for life.
 */
export interface HostLink {
  /** DMA: the host's memory through the IOMMU. */
  readonly memory: DeviceMemory;
  /** Bus Master Enable, power and link: without them DMA faults and interrupts are lost. */
  readonly isBusMaster: boolean;
  /** Interrupt vectors of the function. */
  readonly vectorCount: number;
  /**
   * Send the message of a vector, honouring MSI-X enable, masks and pending bits. What the vector
   * announces is already in host memory.
   */
  raise(vector: number): void;
  /** A read of the device came back poisoned, or with an abort: recorded as the standard asks. */
  fetchFailed(isPoisoned: boolean): void;
  /** A posted write crosses the link in this time: a register write, or a DMA write alone. */
  readonly postedNs: number;
  /** A read crosses the link and comes back in this time, queueing and data apart. */
  readonly nonPostedNs: number;
  /**
   * Reserve the link towards the host for a DMA write.
   * @param isReserved  it goes before writes that still wait in the device
   * @returns ns from now until the last byte is in host memory
   */
  reserveWrite(bytes: number, isReserved?: boolean): number;
  /**
   * Reserve the link towards the device for the completions of a DMA read.
   * @param isUrgent  it goes before reads that the device has not asked for yet
   * @returns ns from now until the last byte is in the device
   */
  reserveRead(bytes: number, isUrgent?: boolean): number;
}
