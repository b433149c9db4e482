import type { Bar, PciFunction } from '../device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import {
  allOnes,
  Cap,
  Csts,
  pageShiftBase,
  Register,
  timeoutUnitMs,
} from '../spec/nvme/registers.js';
import { highDword, lowDword, msNs } from '../units.js';

const timeoutUnitNs = timeoutUnitMs * msNs;

/** CAP as the driver uses it [NVMe-2.0 §3.1.3.1 CAP]. */
export interface Capabilities {
  readonly maxQueueEntries: number;
  readonly isContiguousRequired: boolean;
  readonly hasWeightedRoundRobin: boolean;
  /** Longest time that RDY may take to follow EN. */
  readonly timeoutNs: number;
  readonly doorbellStride: number;
  readonly hasSubsystemReset: boolean;
  readonly hasNvmCommandSet: boolean;
  readonly hasCommandSets: boolean;
  readonly isAdminOnly: boolean;
  readonly minPageBytes: number;
  readonly maxPageBytes: number;
  readonly hasMemoryBuffer: boolean;
  readonly words: Uint32Array;
}

/**
 * The registers of a controller. A function that is gone reads as all-ones: every read that decides
 * something goes through a check for that, so that all-ones is never taken for a state.
 */
export class Registers {
  readonly bar: Bar;
  private readonly fn: PciFunction;

  constructor(fn: PciFunction) {
    this.fn = fn;
    this.bar = fn.bar(0);
  }

  read32(offset: number): number {
    return this.bar.read32(offset);
  }

  write32(offset: number, value: number): void {
    this.bar.write32(offset, value);
  }

  /** Two 32-bit stores, low dword first [NVMe-PCIe-1.0 §? 64-bit register access]. */
  write64(offset: number, value: number): void {
    this.bar.write32(offset, lowDword(value));
    this.bar.write32(offset + 4, highDword(value));
  }

  /** CSTS, or null when the function is gone. */
  status(): number | null {
    if (this.fn.isRemoved) return null;
    const csts = this.bar.read32(Register.csts);
    // CSTS has reserved bits that read 0, so that all-ones is no status [NVMe-2.0 §3.1.3.6 CSTS].
    return csts === allOnes ? null : csts;
  }

  /** CSTS of a function that is there. @throws UltimaError DEVICE_REMOVED */
  presentStatus(during: string): number {
    const csts = this.status();
    if (csts === null) throw removed(this.fn, during);
    return csts;
  }

  isReady(csts: number): boolean {
    return Csts.rdy.of(csts) === 1;
  }

  isFatal(csts: number): boolean {
    return Csts.cfs.of(csts) === 1;
  }
}

/** @throws UltimaError DEVICE_REMOVED when CAP reads as all-ones */
export function readCapabilities(fn: PciFunction, registers: Registers): Capabilities {
  const words = Uint32Array.of(registers.read32(Register.cap), registers.read32(Register.cap + 4));
  if (words[0] === allOnes && words[1] === allOnes) throw removed(fn, 'reading CAP');
  const timeoutUnits = Math.max(1, Cap.to.get(words, 0));
  return {
    maxQueueEntries: Cap.mqes.get(words, 0),
    isContiguousRequired: Cap.cqr.get(words, 0) === 1,
    hasWeightedRoundRobin: Cap.amsWrr.get(words, 0) === 1,
    timeoutNs: timeoutUnits * timeoutUnitNs,
    doorbellStride: Cap.dstrd.get(words, 0),
    hasSubsystemReset: Cap.nssrs.get(words, 0) === 1,
    hasNvmCommandSet: Cap.cssNvm.get(words, 0) === 1,
    hasCommandSets: Cap.cssIocs.get(words, 0) === 1,
    isAdminOnly: Cap.cssNoio.get(words, 0) === 1,
    minPageBytes: pageBytesOf(Cap.mpsmin.get(words, 0)),
    maxPageBytes: pageBytesOf(Cap.mpsmax.get(words, 0)),
    hasMemoryBuffer: Cap.cmbs.get(words, 0) === 1,
    words,
  };
}

function pageBytesOf(exponent: number): number {
  return 2 ** (pageShiftBase + exponent);
}

export function removed(fn: PciFunction, during: string): UltimaError {
  return new UltimaError(
    ErrorCode.deviceRemoved,
    `${fn.address} is gone: its registers read as all-ones (${during})`,
    { address: fn.address, during },
  );
}
