/**
 * Protection information of type 1 as a device stores it: eight bytes of metadata behind each
 * block, big endian: guard (CRC-16), application tag, reference tag (the low dword of the LBA)
 * [NVM-1.0 §5.2.1]. What was never written has tags that say so, and is not compared.
 */
export const tupleBytes = 8;

const escapeApp = 0xffff;
const polynomial = 0x8bb7;
const table = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8;
  for (let bit = 0; bit < 8; bit++) crc = (crc << 1) ^ ((crc & 0x8000) === 0 ? 0 : polynomial);
  return crc;
});

/** Whole blocks with a tuple behind each. */
export function guarded(data: Uint8Array, blockBytes: number, lba: number): Uint8Array {
  const count = data.length / blockBytes;
  const stored = new Uint8Array(count * (blockBytes + tupleBytes));
  const view = new DataView(stored.buffer);
  for (let i = 0; i < count; i++) {
    const at = i * (blockBytes + tupleBytes);
    stored.set(data.subarray(i * blockBytes, (i + 1) * blockBytes), at);
    view.setUint16(at + blockBytes, guardOf(stored, at, blockBytes));
    view.setUint32(at + blockBytes + 4, (lba + i) >>> 0);
  }
  return stored;
}

/** @returns the blocks alone; null when one is not as it was written, or is another block */
export function unguarded(stored: Uint8Array, blockBytes: number, lba: number): Uint8Array | null {
  const count = stored.length / (blockBytes + tupleBytes);
  const data = new Uint8Array(count * blockBytes);
  const view = new DataView(stored.buffer, stored.byteOffset, stored.byteLength);
  for (let i = 0; i < count; i++) {
    const at = i * (blockBytes + tupleBytes);
    data.set(stored.subarray(at, at + blockBytes), i * blockBytes);
    if (view.getUint16(at + blockBytes + 2) === escapeApp) continue;
    if (view.getUint16(at + blockBytes) !== guardOf(stored, at, blockBytes)) return null;
    if (view.getUint32(at + blockBytes + 4) !== (lba + i) >>> 0) return null;
  }
  return data;
}

/** Zeroes that were never written. */
export function formatted(blockCount: number, blockBytes: number): Uint8Array {
  const stored = new Uint8Array(blockCount * (blockBytes + tupleBytes));
  for (let at = blockBytes; at < stored.length; at += blockBytes + tupleBytes) {
    stored.fill(0xff, at, at + tupleBytes);
  }
  return stored;
}

function guardOf(bytes: Uint8Array, from: number, length: number): number {
  let crc = 0;
  for (let i = from; i < from + length; i++) {
    crc = ((crc << 8) & 0xffff) ^ table[(crc >>> 8) ^ bytes[i]!]!;
  }
  return crc;
}
