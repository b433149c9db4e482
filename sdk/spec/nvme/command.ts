import { bits, repeat, struct, u32, u64 } from '../layout.js';
import { SglDescriptor } from './data-pointer.js';

/** Submission queue entry size in bytes and dwords, and CC.IOSQES for it. */
export const commandBytes = 64;
export const commandDwords = 16;
export const commandSizeExponent = 6;

/** NSID that means every namespace [NVMe-2.0 §3.2.1.1 NSID]. */
export const broadcastNsid = 0xffff_ffff;

export const Fuse = { normal: 0, first: 1, second: 2 } as const;

/** PRP or SGL for Data Transfer. */
export const Psdt = { prp: 0, sgl: 1, sglWithMetadataSgl: 2 } as const;

/** What every command has [NVMe-2.0 §3.3.3.1 SQE]. */
export const Sqe = struct(
  { title: 'Submission Queue Entry', cite: '[NVMe-2.0 §3.3.3.1 SQE]', bytes: 64 },
  {
    opc: bits(0x00, 7, 0, 'Opcode (OPC)'),
    fuse: bits(0x00, 9, 8, 'Fused Operation (FUSE)', Fuse),
    psdt: bits(0x00, 15, 14, 'PRP or SGL for Data Transfer (PSDT)', Psdt),
    cid: bits(0x00, 31, 16, 'Command Identifier (CID)'),
    nsid: u32(0x04, 'Namespace Identifier (NSID)'),
    cdw2: u32(0x08, 'Command Dword 2 (CDW2)'),
    cdw3: u32(0x0c, 'Command Dword 3 (CDW3)'),
    mptr: u64(0x10, 'Metadata Pointer (MPTR)'),
    prp1: u64(0x18, 'PRP Entry 1 (PRP1)'),
    prp2: u64(0x20, 'PRP Entry 2 (PRP2)'),
    cdw10: u32(0x28, 'Command Dword 10 (CDW10)'),
    cdw11: u32(0x2c, 'Command Dword 11 (CDW11)'),
    cdw12: u32(0x30, 'Command Dword 12 (CDW12)'),
    cdw13: u32(0x34, 'Command Dword 13 (CDW13)'),
    cdw14: u32(0x38, 'Command Dword 14 (CDW14)'),
    cdw15: u32(0x3c, 'Command Dword 15 (CDW15)'),
  },
);

/** The data pointer read as an SGL: the same bytes as PRP1 and PRP2. */
export const SqeSgl = struct(
  { title: 'Submission Queue Entry with SGL', cite: '[NVMe-2.0 §3.3.3.1 DPTR]', bytes: 64 },
  { sgl1: repeat(0x18, 1, SglDescriptor, 'SGL Entry 1 (SGL1)') },
);

/** Where SGL1 starts inside an entry, in dwords. */
export const sgl1Dword = SqeSgl.sgl1.dword;

/** Layout of a table that names only a command's own fields; the common ones are in `Sqe`. */
export function commandLayout<const T extends string, const C extends string>(
  title: T,
  cite: C,
): { readonly title: T; readonly cite: C; readonly bytes: 64 } {
  return { title, cite, bytes: 64 };
}
