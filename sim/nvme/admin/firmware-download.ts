/** FWUG: pieces of an image start and end on multiples of this. */
export const firmwareGranularityBytes = 4096;

/** Largest image that the card takes. */
export const firmwareImageMaximum = 4 * 1024 * 1024; // guess

/** The image that a host is bringing in pieces, in any order [NVMe-2.0 §5.13]. */
export class FirmwareDownload {
  private bytes = new Uint8Array(0);
  private readonly pieces: { readonly first: number; readonly end: number }[] = [];

  /** Whether a piece would cover bytes that are already here. */
  overlaps(first: number, length: number): boolean {
    return this.pieces.some((piece) => first < piece.end && piece.first < first + length);
  }

  /** A piece that begins at 0 begins a new image [NVMe-2.0 §5.13]. */
  add(first: number, piece: Uint8Array): void {
    const end = first + piece.length;
    if (end > this.bytes.length) {
      const grown = new Uint8Array(end);
      grown.set(this.bytes);
      this.bytes = grown;
    }
    this.bytes.set(piece, first);
    this.pieces.push({ first, end });
  }

  /** The whole image, or null when bytes are missing. */
  get image(): Uint8Array | null {
    const sorted = [...this.pieces].sort((a, b) => a.first - b.first);
    let end = 0;
    for (const piece of sorted) {
      if (piece.first !== end) return null;
      end = piece.end;
    }
    return end === 0 ? null : this.bytes;
  }

  get isEmpty(): boolean {
    return this.pieces.length === 0;
  }

  clear(): void {
    this.bytes = new Uint8Array(0);
    this.pieces.length = 0;
  }
}
