import { KiB } from '../../sdk/units.js';

/** What the device may do with memory of the peer. */
export const Permission = { readable: 1, writable: 2 } as const;

const pageBytes = 4 * KiB;
/** Below this a loop is cheaper than a view. */
const shortCopyBytes = 48;

/** A run of the peer's memory without a gap. */
export class PeerSpan {
  readonly start: number;
  readonly length: number;
  /** Address behind the last byte. */
  readonly end: number;
  permission: number;
  /** The memory as dwords, null when only messages reach it. */
  words: Uint32Array | null;
  private bytes: Uint8Array | null;
  private pages: (Uint8Array | undefined)[] = [];

  constructor(options: {
    readonly start: number;
    readonly length: number;
    readonly permission: number;
    readonly bytes: Uint8Array | null;
  }) {
    const { start, length, bytes } = options;
    this.start = start;
    this.length = length;
    this.end = start + length;
    this.permission = options.permission;
    this.words =
      bytes === null ? null : new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2);
    this.bytes = bytes;
  }

  /** Copy out of the peer's memory; the range lies inside. */
  read(offset: number, target: Uint8Array, at: number, length: number): void {
    const bytes = this.bytes!;
    if (length < shortCopyBytes) {
      for (let i = 0; i < length; i++) target[at + i] = bytes[offset + i]!;
    } else if (length === pageBytes && offset % pageBytes === 0) {
      target.set(this.page(offset / pageBytes), at);
    } else {
      target.set(bytes.subarray(offset, offset + length), at);
    }
  }

  /** Copy into the peer's memory; the range lies inside. */
  write(offset: number, source: Uint8Array, at: number, length: number): void {
    const bytes = this.bytes!;
    if (at === 0 && length === source.length) {
      bytes.set(source, offset);
    } else if (length < shortCopyBytes) {
      for (let i = 0; i < length; i++) bytes[offset + i] = source[at + i]!;
    } else {
      bytes.set(source.subarray(at, at + length), offset);
    }
  }

  /** Nothing of the memory is used any more. @returns what is to be unmapped */
  drop(): Uint8Array | null {
    const { bytes } = this;
    this.permission = 0;
    this.words = null;
    this.bytes = null;
    this.pages = [];
    return bytes;
  }

  /** A view of a whole page, made once: the copy of a page then allocates nothing. */
  private page(index: number): Uint8Array {
    if (this.pages.length === 0) this.pages = new Array(this.length / pageBytes);
    let view = this.pages[index];
    if (view === undefined) {
      view = this.bytes!.subarray(index * pageBytes, (index + 1) * pageBytes);
      this.pages[index] = view;
    }
    return view;
  }
}
