import { pageDataBytes, Slab } from '../store/slab.js';
import { alignment, type ByteReader, type ByteWriter, unusable } from './bytes.js';
import { isZero } from './sparse.js';

/** Contents of blocks as they are, where a restored card can look at them without a copy. */
export function writeSlab(writer: ByteWriter, slab: Slab): void {
  const { bytes } = slab;
  writer.count(slab.pages);
  writer.count(slab.metadataBytes);
  const hasContent = !isZero(bytes);
  writer.byte(hasContent ? 1 : 0);
  if (!hasContent) return;
  writer.align(alignment);
  writer.raw(bytes);
}

/** @param standing  the slab to fill; null when it is to be made */
export function readSlab(reader: ByteReader, standing: Slab | null, at: string): Slab {
  const pages = reader.count();
  const metadataBytes = reader.count();
  const length = pages * (pageDataBytes + metadataBytes);
  if (pages > mostPages || metadataBytes > mostMetadataBytes) {
    throw unusable(at, `has ${pages} pages with ${metadataBytes} bytes of metadata each`);
  }
  if (standing !== null && standing.bytes.length !== length) {
    throw unusable(at, `is ${length} bytes where this version has ${standing.bytes.length}`);
  }
  const content = reader.byte() === 0 ? null : readContent(reader, length);
  if (standing === null) return new Slab(pages, metadataBytes, content);
  if (content === null) standing.bytes.fill(0);
  else standing.borrow(content);
  return standing;
}

function readContent(reader: ByteReader, length: number): Uint8Array {
  reader.align(alignment);
  const bytes = reader.raw(length);
  // The checkpoint itself may start anywhere in memory.
  return bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
}

// No card has more: what asks for it would only fill the memory.
const mostPages = 64;
const mostMetadataBytes = 8 * 64 * 1024;
