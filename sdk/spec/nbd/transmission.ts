import { be16, be32, be64, message } from '../big-endian.js';

/** What an export offers [NBD §Transmission flags]. */
export const TransmissionFlag = {
  hasFlags: 1 << 0,
  readOnly: 1 << 1,
  sendFlush: 1 << 2,
  sendFua: 1 << 3,
  rotational: 1 << 4,
  sendTrim: 1 << 5,
  sendWriteZeroes: 1 << 6,
  sendDf: 1 << 7,
  canMultiConn: 1 << 8,
  /** A client may ask for another size (NBD_FLAG_SEND_RESIZE), see `NbdCommand.resize`. */
  sendResize: 1 << 9,
  sendCache: 1 << 10,
  sendFastZero: 1 << 11,
  /** Block status of chosen contexts only [NBD-ext §Transmission flags]. */
  blockStatusPayload: 1 << 12,
} as const;

/** Request types [NBD §Request types]. */
export const NbdCommand = {
  read: 0,
  write: 1,
  disconnect: 2,
  flush: 3,
  trim: 4,
  cache: 5,
  writeZeroes: 6,
  blockStatus: 7,
  /**
   * Another size for the export (NBD_CMD_RESIZE). The text reserves the number and leaves the rest
   * to a draft that was never finished; taken here: the new size in bytes stands as the offset, the
   * length is 0, no data follows, and the answer is that of a flush.
   */
  resize: 8,
} as const;

/** Bits of `RequestHeader.flags` [NBD §Command flags]. */
export const CommandFlag = {
  /** Durable when it is answered. */
  fua: 1 << 0,
  /** Zeroes that take up space. */
  noHole: 1 << 1,
  /** One piece of data in the answer (DF). */
  dontFragment: 1 << 2,
  /** One extent for each context (REQ_ONE). */
  oneExtent: 1 << 3,
  /** Fail where it would be no faster than a write. */
  fastZero: 1 << 4,
  /** The length is that of data that follows (PAYLOAD_LEN) [NBD-ext §Command flags]. */
  payloadLength: 1 << 5,
} as const;

export const requestMagic = 0x2560_9513;
export const simpleReplyMagic = 0x6744_6698;
export const structuredReplyMagic = 0x668e_33ef;
export const extendedRequestMagic = 0x21e4_1c71;
export const extendedReplyMagic = 0x6e8a_278c;

/** The head of a request; the data of a write follows [NBD §Request message]. */
export const RequestHeader = message(
  { title: 'NBD request', cite: '[NBD §Request message]', bytes: 28 },
  {
    magic: be32(0, 'requestMagic'),
    flags: be16(4, 'CommandFlag'),
    command: be16(6, 'NbdCommand (type)'),
    cookieHigh: be32(8, 'Chosen by the client, the same in the answer (handle)'),
    cookieLow: be32(12, 'Its lower half'),
    offset: be64(16, 'First byte of the export'),
    length: be32(24, 'Bytes'),
  },
);

/**
 * The same with a length of 64 bits: of the data that follows where the flags say so, otherwise of
 * what the request is about [NBD-ext §Request message].
 */
export const ExtendedRequestHeader = message(
  { title: 'NBD extended request', cite: '[NBD-ext §Request message]', bytes: 32 },
  {
    magic: be32(0, 'extendedRequestMagic'),
    flags: be16(4, 'CommandFlag'),
    command: be16(6, 'NbdCommand (type)'),
    cookieHigh: be32(8, 'Chosen by the client, the same in the answer (cookie)'),
    cookieLow: be32(12, 'Its lower half'),
    offset: be64(16, 'First byte of the export'),
    length: be64(24, 'Bytes'),
  },
);

/** The offset of a request of either kind, as it is sent back. */
export const RequestOffset = message(
  { title: 'NBD request, offset', cite: '[NBD §Request message]', bytes: 28 },
  { high: be32(16, 'Upper half'), low: be32(20, 'Lower half') },
);

/** What follows a request for the block status of chosen contexts [NBD-ext §Request types]. */
export const StatusChoice = message(
  { title: 'NBD block status payload', cite: '[NBD-ext §Request types]', bytes: 8 },
  { length: be64(0, 'Bytes that are asked about; the numbers of contexts follow') },
);

export const StatusChoiceContext = message(
  { title: 'NBD block status payload, context', cite: '[NBD-ext §Request types]', bytes: 4 },
  { id: be32(0, 'Number that the context got when it was chosen') },
);

/** An answer; the data of a read that succeeded follows [NBD §Simple reply message]. */
export const SimpleReply = message(
  { title: 'NBD simple reply', cite: '[NBD §Simple reply message]', bytes: 16 },
  {
    magic: be32(0, 'simpleReplyMagic'),
    error: be32(4, 'NbdError, or 0'),
    cookieHigh: be32(8, 'As in the request'),
    cookieLow: be32(12, 'As in the request'),
  },
);

export const ChunkFlag = {
  /** The last chunk of its request. */
  done: 1 << 0,
} as const;

export const ChunkType = {
  none: 0,
  offsetData: 1,
  offsetHole: 2,
  blockStatus: 5,
  blockStatusExtended: 6,
  error: 0x8001,
  errorOffset: 0x8002,
} as const;

/** The head of one of the chunks of an answer [NBD §Structured reply chunk message]. */
export const Chunk = message(
  { title: 'NBD structured reply chunk', cite: '[NBD §Structured reply chunk message]', bytes: 20 },
  {
    magic: be32(0, 'structuredReplyMagic'),
    flags: be16(4, 'ChunkFlag'),
    type: be16(6, 'ChunkType'),
    cookieHigh: be32(8, 'As in the request'),
    cookieLow: be32(12, 'As in the request'),
    payloadBytes: be32(16, 'Bytes that follow'),
  },
);

/** The same where extended headers were agreed on [NBD-ext §Extended reply chunk message]. */
export const ExtendedChunk = message(
  { title: 'NBD extended chunk', cite: '[NBD-ext §Extended reply chunk message]', bytes: 32 },
  {
    magic: be32(0, 'extendedReplyMagic'),
    flags: be16(4, 'ChunkFlag'),
    type: be16(6, 'ChunkType'),
    cookieHigh: be32(8, 'As in the request'),
    cookieLow: be32(12, 'As in the request'),
    offsetHigh: be32(16, 'As in the request'),
    offsetLow: be32(20, 'As in the request'),
    payloadBytes: be64(24, 'Bytes that follow'),
  },
);

/** A chunk of data up to where the data starts [NBD §Structured reply types]. */
export const OffsetData = message(
  { title: 'NBD data chunk', cite: '[NBD §Structured reply types]', bytes: 8 },
  { offset: be64(0, 'First byte of the export that follows') },
);

/** The payload of a chunk that says where zeroes are [NBD §Structured reply types]. */
export const OffsetHole = message(
  { title: 'NBD hole chunk', cite: '[NBD §Structured reply types]', bytes: 12 },
  { offset: be64(0, 'First byte of the hole'), length: be32(8, 'Bytes that read as zeroes') },
);

/** The payload of an error chunk up to the text [NBD §Structured reply types]. */
export const ErrorPayload = message(
  { title: 'NBD error chunk', cite: '[NBD §Structured reply types]', bytes: 6 },
  { error: be32(0, 'NbdError'), textBytes: be16(4, 'Bytes of text that follow') },
);

/** Behind the text of an error chunk with an offset. */
export const ErrorOffset = message(
  { title: 'NBD error chunk, end', cite: '[NBD §Structured reply types]', bytes: 8 },
  { offset: be64(0, 'The byte of the export at which it went wrong') },
);

/** The payload of a block status chunk up to the extents [NBD §Structured reply types]. */
export const BlockStatusHead = message(
  { title: 'NBD block status chunk', cite: '[NBD §Structured reply types]', bytes: 4 },
  { context: be32(0, 'Number that the context got when it was chosen') },
);

export const ExtentDescriptor = message(
  { title: 'NBD extent', cite: '[NBD §Structured reply types]', bytes: 8 },
  { length: be32(0, 'Bytes, at least 1'), flags: be32(4, 'As the context defines them') },
);

/** The payload of an extended block status chunk up to the extents [NBD-ext §Reply types]. */
export const ExtendedStatusHead = message(
  { title: 'NBD extended block status chunk', cite: '[NBD-ext §Reply types]', bytes: 8 },
  {
    context: be32(0, 'Number that the context got when it was chosen'),
    count: be32(4, 'Extents that follow'),
  },
);

export const ExtendedExtent = message(
  { title: 'NBD extended extent', cite: '[NBD-ext §Reply types]', bytes: 16 },
  { length: be64(0, 'Bytes, at least 1'), flags: be64(8, 'As the context defines them') },
);

/** Extents of the context base:allocation [NBD §base:allocation metadata context]. */
export const AllocationFlag = { hole: 1 << 0, zero: 1 << 1 } as const;

/** The only errors that there are [NBD §Error values]. */
export const NbdError = {
  permission: 1,
  io: 5,
  noMemory: 12,
  invalid: 22,
  noSpace: 28,
  overflow: 75,
  notSupported: 95,
  shutdown: 108,
} as const;

/** Data of one request that a server must not take for an attack [NBD §Block size constraints]. */
export const leastPayloadLimit = 32 * 1024 * 1024;
