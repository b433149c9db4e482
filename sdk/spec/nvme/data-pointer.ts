import { bits, struct, u32, u64 } from '../layout.js';

/** SGL descriptor types [NVMe-2.0 §4.1.2 SGL]. */
export const SglType = {
  dataBlock: 0,
  bitBucket: 1,
  segment: 2,
  lastSegment: 3,
  keyedDataBlock: 4,
  transportDataBlock: 5,
  vendor: 15,
} as const;

export const SglSubtype = { address: 0, offset: 1, transport: 10 } as const;

/** Bytes of one SGL descriptor and of one PRP entry. */
export const sglDescriptorBytes = 16;
export const prpEntryBytes = 8;

export const SglDescriptor = struct(
  { title: 'SGL Descriptor', cite: '[NVMe-2.0 §4.1.2 SGL]', bytes: 16 },
  {
    address: u64(0x00, 'Address'),
    length: u32(0x08, 'Length in bytes'),
    subtype: bits(0x0c, 27, 24, 'SGL Descriptor Sub Type', SglSubtype),
    type: bits(0x0c, 31, 28, 'SGL Descriptor Type', SglType),
  },
);

/** Keyed data block descriptor: transports with memory keys only, refused over PCIe. */
export const KeyedSglDescriptor = struct(
  { title: 'Keyed SGL Data Block Descriptor', cite: '[NVMe-2.0 §4.1.2 SGL]', bytes: 16 },
  {
    address: u64(0x00, 'Address'),
    length: bits(0x08, 23, 0, 'Length in bytes'),
    keyLow: bits(0x08, 31, 24, 'Key, bits 7:0'),
    keyHigh: bits(0x0c, 23, 0, 'Key, bits 31:8'),
    subtype: bits(0x0c, 27, 24, 'SGL Descriptor Sub Type', SglSubtype),
    type: bits(0x0c, 31, 28, 'SGL Descriptor Type', SglType),
  },
);

export const PrpEntry = struct(
  { title: 'PRP Entry', cite: '[NVMe-2.0 §4.1.1 PRP]', bytes: 8 },
  { pbao: u64(0x00, 'Page Base Address and Offset (PBAO)') },
);
