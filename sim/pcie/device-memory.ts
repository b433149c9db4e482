/** Why an access of the device was refused. */
export type DmaFault = 'notBusMaster' | 'unmapped' | 'freed' | 'readOnly' | 'writeOnly';

/** What the protocol checker calls a refused access. */
export const ruleOfFault = {
  notBusMaster: 'dmaNotBusMaster',
  unmapped: 'dmaUnmapped',
  freed: 'dmaFreed',
  readOnly: 'dmaReadOnly',
  writeOnly: 'dmaWriteOnly',
} as const satisfies Record<DmaFault, string>;

export type DmaFaultReport = (fault: DmaFault, iova: number, isWrite: boolean) => void;

/**
 * A host's memory as one function reaches it, whoever the host is: a driver in this process
 * (`HostMemory`) or a program at the other end of a socket. A refused access changes nothing,
 * returns false and is reported.
 *
 * Lengths and addresses are in bytes; word accesses need addresses that are multiples of 4.
 */
export interface DeviceMemory {
  /** Set by the function: bus master enabled, link up, powered. */
  isReachable: boolean;
  /** For whom the device accesses memory now; a report of a fault names them. -1: nobody. */
  queue: number;
  cid: number;
  onFault(report: DmaFaultReport): void;
  /** Copy dwords from host memory into `target` from index `at`. */
  readWords(iova: number, target: Uint32Array, at: number, count: number): boolean;
  /** Copy dwords from `source` at index `at` into host memory, the last one last. */
  writeWords(iova: number, source: Uint32Array, at: number, count: number): boolean;
  /** Copy bytes from host memory into `target` from byte `at`. */
  readBytes(iova: number, target: Uint8Array, at: number, length: number): boolean;
  /** Copy bytes from `source` at byte `at` into host memory. */
  writeBytes(iova: number, source: Uint8Array, at: number, length: number): boolean;
}

/** A host outside the simulation: the function reaches its memory and interrupts it. */
export interface ForeignHost {
  readonly memory: DeviceMemory;
  /** Message of an interrupt vector; what it announces is already in memory. */
  interrupt(vector: number): void;
}
