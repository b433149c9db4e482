import { bits, count0, struct, u32 } from '../layout.js';

/** [PCIe-4.0 §7.7.2 MSI-X Capability and Table Structure] */
export const Msix = struct(
  { title: 'MSI-X Capability', cite: 'PCIe-4.0 §7.7.2', bytes: 12 },
  {
    capabilityId: bits(0x00, 7, 0, 'Capability ID'),
    nextPointer: bits(0x00, 15, 8, 'Next Capability Pointer'),
    tableCount: count0(0x00, 26, 16, 'Message Control: Table Size'),
    functionMask: bits(0x00, 30, 30, 'Message Control: Function Mask'),
    enable: bits(0x00, 31, 31, 'Message Control: MSI-X Enable'),
    tableBar: bits(0x04, 2, 0, 'Table BIR'),
    tableOffset8: bits(0x04, 31, 3, 'Table Offset, in units of 8 bytes'),
    pendingBar: bits(0x08, 2, 0, 'PBA BIR'),
    pendingOffset8: bits(0x08, 31, 3, 'PBA Offset, in units of 8 bytes'),
  },
);

/** One vector of the table in a BAR [PCIe-4.0 §7.7.2.5-8]. */
export const MsixEntry = struct(
  { title: 'MSI-X Table Entry', cite: 'PCIe-4.0 §7.7.2.5', bytes: 16 },
  {
    addressLow: u32(0x00, 'Message Address'),
    addressHigh: u32(0x04, 'Message Upper Address'),
    data: u32(0x08, 'Message Data'),
    isMasked: bits(0x0c, 0, 0, 'Vector Control: Mask Bit'),
  },
);

/** Vectors that one quadword of the pending bit array covers [PCIe-4.0 §7.7.2.9 Pending Bits]. */
export const pendingBitsPerQuadword = 64;

/** Where interrupt messages go on x86 hosts: writes into this range are interrupts. */
export const messageWindow = { first: 0xfee0_0000, last: 0xfeef_ffff } as const;

/** Message addresses are dword-aligned; these bits read as 0 [PCIe-4.0 §7.7.2.5]. */
export const messageAddressReserved = 0x3;
