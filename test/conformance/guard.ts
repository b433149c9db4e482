/** CRC-16 of T10 DIF, bit by bit: polynomial 8BB7h [NVM-1.0 §5.2.1.1 16b Guard]. */
export function crc16(bytes: Uint8Array): number {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++)
      crc = ((crc << 1) ^ ((crc & 0x8000) === 0 ? 0 : 0x8bb7)) & 0xffff;
  }
  return crc;
}

/** The eight bytes of a block, big endian. */
export function tuple(
  bytes: Uint8Array,
  tags: { readonly app: number; readonly ref: number },
): Uint8Array {
  const made = new Uint8Array(8);
  const view = new DataView(made.buffer);
  view.setUint16(0, crc16(bytes));
  view.setUint16(2, tags.app);
  view.setUint32(4, tags.ref);
  return made;
}
