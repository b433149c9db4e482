import { bits, struct, u32 } from '../layout.js';

/** Completion queue entry size in bytes, and CC.IOCQES for it. */
export const completionBytes = 16;
export const completionDwords = 4;
export const completionSizeExponent = 4;

/**
 * Completion queue entry. `status` is the whole status field as one number (see `Status`): it is 0
 * for success. `p` is the phase tag.
 */
export const Cqe = struct(
  { title: 'Completion Queue Entry', cite: '[NVMe-2.0 §3.3.3.2 CQE]', bytes: 16 },
  {
    dw0: u32(0x00, 'Command specific, dword 0 (DW0)'),
    dw1: u32(0x04, 'Command specific, dword 1 (DW1)'),
    sqhd: bits(0x08, 15, 0, 'SQ Head Pointer (SQHD)'),
    sqid: bits(0x08, 31, 16, 'SQ Identifier (SQID)'),
    cid: bits(0x0c, 15, 0, 'Command Identifier (CID)'),
    p: bits(0x0c, 16, 16, 'Phase Tag (P)'),
    status: bits(0x0c, 31, 17, 'Status (STATUS)'),
  },
);

/** Parts of a status number (bits 31:17 of DW3 moved down to bit 0). */
export const StatusField = struct(
  { title: 'Status Field', cite: '[NVMe-2.0 §3.3.3.2.1 STATUS]', bytes: 4 },
  {
    sc: bits(0x00, 7, 0, 'Status Code (SC)'),
    sct: bits(0x00, 10, 8, 'Status Code Type (SCT)', {
      generic: 0,
      'command specific': 1,
      'media and data integrity': 2,
      path: 3,
      vendor: 7,
    }),
    crd: bits(0x00, 12, 11, 'Command Retry Delay (CRD)'),
    m: bits(0x00, 13, 13, 'More (M)'),
    dnr: bits(0x00, 14, 14, 'Do Not Retry (DNR)'),
  },
);

/** DW0 of the completion of an asynchronous event request. */
export const AsyncEventResult = struct(
  { title: 'Asynchronous Event Result', cite: '[NVMe-2.0 §5.2 AER]', bytes: 4 },
  {
    type: bits(0x00, 2, 0, 'Asynchronous Event Type', {
      error: 0,
      'SMART / health': 1,
      notice: 2,
      'I/O command specific': 6,
      vendor: 7,
    }),
    info: bits(0x00, 15, 8, 'Asynchronous Event Information'),
    logPage: bits(0x00, 23, 16, 'Log Page Identifier'),
  },
);

/** DW0 of the completion of an abort. */
export const AbortResult = struct(
  { title: 'Abort Result', cite: '[NVMe-2.0 §5.1 Abort]', bytes: 4 },
  { notAborted: bits(0x00, 0, 0, 'Command was not aborted') },
);
