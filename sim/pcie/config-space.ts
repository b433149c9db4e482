import { assert } from '../../sdk/assert.js';
import type { Bits, Struct } from '../../sdk/spec/layout.js';
import { configBytes } from '../../sdk/spec/pcie/header.js';

/** A structure of the standard at its place in configuration space. */
export interface Placed {
  readonly table: Struct;
  /** Byte offset. */
  readonly offset: number;
}

/** After the dword at `offset` changed from `before` to `after` by a write of software. */
export type WriteHook = (before: number, after: number) => void;

/**
 * The registers of configuration space, each bit one of: read-only, writable, or cleared by writing
 * a one (W1C). Where nothing is declared, reads give 0 and writes are dropped. This is the device's
 * side: link, power and host timing are the function's.
 */
export class ConfigRegisters {
  readonly words = new Uint32Array(configBytes / 4);
  private readonly defaults = new Uint32Array(configBytes / 4);
  private readonly writable = new Uint32Array(configBytes / 4);
  private readonly clearable = new Uint32Array(configBytes / 4);
  private readonly sticky = new Uint32Array(configBytes / 4);
  private readonly hooks = new Map<number, WriteHook>();

  /** Values that software never changes, or starts from. */
  set(place: Placed, field: Bits, value: number): void {
    field.set(this.words, place.offset / 4, value);
  }

  get(place: Placed, field: Bits): number {
    return field.get(this.words, place.offset / 4);
  }

  /** Software may write these fields. */
  allow(place: Placed, ...fields: Bits[]): void {
    for (const field of fields) this.allowMask(place, field, fieldMask(field));
  }

  /** Software may write the bits of `mask` in the field's dword. */
  allowMask(place: Placed, field: Bits, mask: number): void {
    this.writable[place.offset / 4 + field.dword]! |= mask;
  }

  /** Software clears these fields by writing ones. */
  allowClear(place: Placed, ...fields: Bits[]): void {
    for (const field of fields) {
      this.clearable[place.offset / 4 + field.dword]! |= fieldMask(field);
    }
  }

  /** These survive a function-level and a bus reset, not the loss of power. */
  keepOverReset(place: Placed, ...fields: Bits[]): void {
    for (const field of fields) {
      this.sticky[place.offset / 4 + field.dword]! |= fieldMask(field);
    }
  }

  /** Call `hook` after software changed the dword of a field. */
  onWrite(place: Placed, field: Bits, hook: WriteHook): void {
    const dword = place.offset / 4 + field.dword;
    assert(!this.hooks.has(dword), 'one hook per configuration dword');
    this.hooks.set(dword, hook);
  }

  /** What stands here now is what a reset brings back. */
  freezeDefaults(): void {
    this.defaults.set(this.words);
  }

  /** @param keepsSticky false when power was lost */
  reset(keepsSticky: boolean): void {
    for (let i = 0; i < this.words.length; i++) {
      const kept = keepsSticky ? this.sticky[i]! : 0;
      this.words[i] = (this.words[i]! & kept) | (this.defaults[i]! & ~kept);
    }
  }

  /** A platform puts back what software had written before a reset; hooks stay silent. */
  restoreWritable(saved: Uint32Array): void {
    for (let i = 0; i < this.words.length; i++) {
      const open = this.writable[i]!;
      this.words[i] = (this.words[i]! & ~open) | (saved[i]! & open);
    }
  }

  /** Does the dword at a byte offset have anything that software may change? */
  isWritable(offset: number): boolean {
    const dword = offset >>> 2;
    return this.writable[dword] !== 0 || this.clearable[dword] !== 0;
  }

  /**
   * A write of software to the enabled bytes of a dword.
   *
   * @param byteMask  0xff for each byte that the access carries
   */
  write(offset: number, value: number, byteMask: number): void {
    const dword = offset >>> 2;
    const before = this.words[dword]!;
    const open = this.writable[dword]! & byteMask;
    const cleared = this.clearable[dword]! & byteMask & value;
    const after = (((before & ~open) | (value & open)) & ~cleared) >>> 0;
    this.words[dword] = after;
    this.hooks.get(dword)?.(before, after);
  }
}

function fieldMask(field: Bits): number {
  return field.put(0, field.max);
}
