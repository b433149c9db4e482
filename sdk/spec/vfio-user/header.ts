import { bits, struct, u32 } from '../layout.js';

/** What a message asks for [vfio-user §Commands]. 14 was dirty pages, before 0.0.2. */
export const Command = {
  version: 1,
  dmaMap: 2,
  dmaUnmap: 3,
  deviceGetInfo: 4,
  deviceGetRegionInfo: 5,
  deviceGetRegionIoFds: 6,
  deviceGetIrqInfo: 7,
  deviceSetIrqs: 8,
  regionRead: 9,
  regionWrite: 10,
  /** From the server to the client, as dmaWrite; all others go the other way. */
  dmaRead: 11,
  dmaWrite: 12,
  deviceReset: 13,
  regionWriteMulti: 15,
  deviceFeature: 16,
  migrationRead: 17,
  migrationWrite: 18,
} as const;

export const MessageType = { command: 0, reply: 1 } as const;

/** In front of every message; what follows is the payload [vfio-user §Header]. */
export const MessageHeader = struct(
  { title: 'vfio-user message header', cite: '[vfio-user §Header]', bytes: 16 },
  {
    id: bits(0, 15, 0, 'Chosen by the sender of a command, the same in its reply (Message ID)'),
    command: bits(0, 31, 16, 'What is asked for (Command)', Command),
    size: u32(4, 'Bytes of the whole message, this header included (Message size)'),
    flags: u32(8, 'All of the flags below, and reserved bits'),
    error: u32(12, 'A UNIX error number in a reply that has hasError, or 0 (Error)'),
  },
);

/** The dword `MessageHeader.flags` [vfio-user §Header]. */
export const MessageFlags = struct(
  { title: 'vfio-user message flags', cite: '[vfio-user §Header]', bytes: 4 },
  {
    type: bits(0, 3, 0, 'Command or reply (Type)', MessageType),
    noReply: bits(0, 4, 4, 'In a command: send no reply (No_reply)'),
    hasError: bits(0, 5, 5, 'In a reply: the command failed; nothing follows the header (Error)'),
    reserved: bits(0, 31, 6, 'Reserved'),
  },
);

/** UNIX error numbers as Linux has them on x86 and Arm; the text names only EEXIST. */
export const Errno = {
  EPERM: 1,
  ENOENT: 2,
  EIO: 5,
  E2BIG: 7,
  EBADF: 9,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  ENOSPC: 28,
  ERANGE: 34,
  ENOSYS: 38,
  EPROTO: 71,
  EMSGSIZE: 90,
  EOPNOTSUPP: 95,
} as const;
