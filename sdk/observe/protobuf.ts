/**
 * Writes protocol buffer messages: as much of the encoding as a trace file needs. Memory grows by
 * doubling.
 */
export class ProtobufWriter {
  private buffer = new Uint8Array(1024);
  private used = 0;

  /** A view of what was written; the next write may move it. */
  get bytes(): Uint8Array {
    return this.buffer.subarray(0, this.used);
  }

  clear(): void {
    this.used = 0;
  }

  /** A varint field. @param value integer 0..2^53 - 1 */
  integer(field: number, value: number): void {
    this.varint(field * 8);
    this.varint(value);
  }

  /** A 64-bit field of fixed size. @param value integer 0..2^53 - 1 */
  fixed64(field: number, value: number): void {
    this.varint(field * 8 + 1);
    this.reserve(8);
    let rest = value;
    for (let i = 0; i < 8; i++) {
      this.buffer[this.used++] = rest % 256;
      rest = Math.floor(rest / 256);
    }
  }

  text(field: number, value: string): void {
    this.message(field, new TextEncoder().encode(value));
  }

  /** A field of bytes, for instance an inner message. */
  message(field: number, content: Uint8Array): void {
    this.varint(field * 8 + 2);
    this.varint(content.length);
    this.reserve(content.length);
    this.buffer.set(content, this.used);
    this.used += content.length;
  }

  private varint(value: number): void {
    this.reserve(10);
    let rest = value;
    while (rest > 127) {
      this.buffer[this.used++] = (rest % 128) + 128;
      rest = Math.floor(rest / 128);
    }
    this.buffer[this.used++] = rest;
  }

  private reserve(count: number): void {
    if (this.used + count <= this.buffer.length) return;
    const grown = new Uint8Array(Math.max(2 * this.buffer.length, this.used + count));
    grown.set(this.bytes);
    this.buffer = grown;
  }
}
