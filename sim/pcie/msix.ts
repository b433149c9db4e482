import {
  Msix,
  MsixEntry,
  messageAddressReserved,
  pendingBitsPerQuadword,
} from '../../sdk/spec/pcie/msix.js';
import type { ConfigRegisters, Placed } from './config-space.js';

const Entry = MsixEntry;
const entryBytes = MsixEntry.layout.bytes;
const entryDwords = entryBytes / 4;

/** Send the message of a vector: a memory write of `data` to `address`. */
export type MessageSend = (address: number, data: number) => void;

export interface MsixPlace {
  readonly bar: number;
  readonly tableOffset: number;
  readonly pendingOffset: number;
}

/**
 * MSI-X of one function [PCIe-4.0 §6.1.4 MSI and MSI-X Operation]: the table and the pending bits
 * that live in a BAR. A vector that is masked, itself or with its function, remembers one message
 * in its pending bit and sends it when the last mask goes.
 */
export class MsixTable {
  readonly count: number;
  readonly place: MsixPlace;
  private readonly entries: Uint32Array;
  private readonly pending: Uint32Array;
  private readonly config: ConfigRegisters;
  private readonly capability: Placed;
  private readonly send: MessageSend;

  constructor(options: {
    readonly count: number;
    readonly place: MsixPlace;
    readonly config: ConfigRegisters;
    readonly capability: Placed;
    readonly send: MessageSend;
  }) {
    this.count = options.count;
    this.place = options.place;
    this.config = options.config;
    this.capability = options.capability;
    this.send = options.send;
    this.entries = new Uint32Array(options.count * entryDwords);
    this.pending = new Uint32Array(Math.ceil(options.count / pendingBitsPerQuadword) * 2);
    this.reset();
    this.config.onWrite(options.capability, Msix.enable, () => this.deliverAll());
  }

  static tableBytes(count: number): number {
    return count * entryBytes;
  }

  static pendingBytes(count: number): number {
    return (Math.ceil(count / pendingBitsPerQuadword) * pendingBitsPerQuadword) / 8;
  }

  get isEnabled(): boolean {
    return this.config.get(this.capability, Msix.enable) === 1;
  }

  /** @returns false when MSI-X is off or there is no such vector: the message is lost */
  raise(vector: number): boolean {
    if (!this.isEnabled || vector >= this.count) return false;
    if (this.isMasked(vector)) this.setPending(vector, true);
    else this.deliver(vector);
    return true;
  }

  /** Is the offset in the table or in the pending bits? */
  owns(bar: number, offset: number): boolean {
    return this.tableIndex(bar, offset) >= 0 || this.pendingIndex(bar, offset) >= 0;
  }

  read(bar: number, offset: number): number {
    const index = this.tableIndex(bar, offset);
    if (index >= 0) return this.entries[index]!;
    return this.pending[this.pendingIndex(bar, offset)]!;
  }

  /** @returns false for a write that software must not make: pending bits, an unmasked entry */
  write(bar: number, offset: number, value: number): boolean {
    const index = this.tableIndex(bar, offset);
    if (index < 0) return false;
    const vector = Math.floor(index / entryDwords);
    const isControl = index % entryDwords === Entry.isMasked.dword;
    const isLegal = isControl || this.isMasked(vector) || !this.isEnabled;
    const isLow = index % entryDwords === Entry.addressLow.dword;
    const reserved = isControl ? ~Entry.isMasked.max : isLow ? messageAddressReserved : 0;
    this.entries[index] = value & ~reserved;
    if (isControl) this.deliverPending(vector);
    return isLegal;
  }

  /** Vectors come up masked and empty. */
  reset(): void {
    this.entries.fill(0);
    this.pending.fill(0);
    for (let vector = 0; vector < this.count; vector++) {
      Entry.isMasked.set(this.entries, vector * entryDwords, 1);
    }
  }

  /** For a platform that restores what it had programmed, after a reset. */
  save(): Uint32Array {
    return this.entries.slice();
  }

  restore(saved: Uint32Array): void {
    this.entries.set(saved);
  }

  isMasked(vector: number): boolean {
    if (this.config.get(this.capability, Msix.functionMask) === 1) return true;
    return Entry.isMasked.get(this.entries, vector * entryDwords) === 1;
  }

  isPending(vector: number): boolean {
    return (this.pending[vector >>> 5]! & (1 << (vector & 31))) !== 0;
  }

  private setPending(vector: number, isSet: boolean): void {
    const bit = 1 << (vector & 31);
    const word = this.pending[vector >>> 5]!;
    this.pending[vector >>> 5] = isSet ? word | bit : word & ~bit;
  }

  private deliver(vector: number): void {
    const at = vector * entryDwords;
    const high = Entry.addressHigh.get(this.entries, at) * 0x1_0000_0000;
    this.send(high + Entry.addressLow.get(this.entries, at), Entry.data.get(this.entries, at));
  }

  private deliverPending(vector: number): void {
    if (!this.isEnabled || !this.isPending(vector) || this.isMasked(vector)) return;
    this.setPending(vector, false);
    this.deliver(vector);
  }

  private deliverAll(): void {
    for (let vector = 0; vector < this.count; vector++) this.deliverPending(vector);
  }

  private tableIndex(bar: number, offset: number): number {
    const at = offset - this.place.tableOffset;
    return bar === this.place.bar && at >= 0 && at < this.entries.length * 4 ? at >>> 2 : -1;
  }

  private pendingIndex(bar: number, offset: number): number {
    const at = offset - this.place.pendingOffset;
    return bar === this.place.bar && at >= 0 && at < this.pending.length * 4 ? at >>> 2 : -1;
  }
}
