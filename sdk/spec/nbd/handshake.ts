import { be16, be32, be64, beMagic, message } from '../big-endian.js';

/** 'NBDMAGIC': the first thing that a server says [NBD §Newstyle negotiation]. */
export const initMagic = { high: 0x4e42_444d, low: 0x4147_4943 } as const;
/** 'IHAVEOPT': the second, and the start of every option [NBD §Newstyle negotiation]. */
export const optionMagic = { high: 0x4948_4156, low: 0x454f_5054 } as const;
/** The start of every reply to an option [NBD §Fixed newstyle negotiation]. */
export const optionReplyMagic = { high: 0x0003_e889, low: 0x0455_65a9 } as const;

/** What the server says first [NBD §Newstyle negotiation]. */
export const Greeting = message(
  { title: 'NBD greeting', cite: '[NBD §Newstyle negotiation]', bytes: 18 },
  {
    init: beMagic(0, initMagic, 'NBDMAGIC (INIT_PASSWD)'),
    option: beMagic(8, optionMagic, 'IHAVEOPT'),
    flags: be16(16, 'HandshakeFlag (handshake flags)'),
  },
);

/** Bits of `Greeting.flags` and of the answer [NBD §Handshake flags, §Client flags]. */
export const HandshakeFlag = {
  /** Options may fail and are answered (NBD_FLAG_FIXED_NEWSTYLE, NBD_FLAG_C_FIXED_NEWSTYLE). */
  fixedNewstyle: 1 << 0,
  /** No padding at the end of the negotiation (NBD_FLAG_NO_ZEROES, NBD_FLAG_C_NO_ZEROES). */
  noZeroes: 1 << 1,
} as const;

/** What the client answers [NBD §Client flags]. */
export const ClientFlags = message(
  { title: 'NBD client flags', cite: '[NBD §Client flags]', bytes: 4 },
  { flags: be32(0, 'HandshakeFlag, as far as the server offers them (client flags)') },
);

/** What a client may ask for before it uses an export [NBD §Option types]. */
export const NbdOption = {
  /** Use an export; an error ends the connection (NBD_OPT_EXPORT_NAME). */
  exportName: 1,
  abort: 2,
  list: 3,
  startTls: 5,
  info: 6,
  go: 7,
  structuredReply: 8,
  listMetaContext: 9,
  setMetaContext: 10,
  /** [NBD-ext §Option types] */
  extendedHeaders: 11,
} as const;

/** The head of an option; its data follows [NBD §Newstyle negotiation]. */
export const OptionHeader = message(
  { title: 'NBD option', cite: '[NBD §Newstyle negotiation]', bytes: 16 },
  {
    magic: beMagic(0, optionMagic, 'IHAVEOPT'),
    option: be32(8, 'NbdOption'),
    dataBytes: be32(12, 'Bytes of data that follow'),
  },
);

/** Kinds of replies to an option [NBD §Option reply types]. */
export const OptionReply = {
  ack: 1,
  server: 2,
  info: 3,
  metaContext: 4,
  errUnsupported: 0x8000_0001,
  errPolicy: 0x8000_0002,
  errInvalid: 0x8000_0003,
  errTlsRequired: 0x8000_0005,
  errUnknown: 0x8000_0006,
  errShutdown: 0x8000_0007,
  errTooBig: 0x8000_0009,
  /** Extended headers are agreed on, and nothing less goes [NBD-ext §Option reply types]. */
  errExtendedHeaders: 0x8000_000a,
} as const;

/** The head of a reply to an option; data follows [NBD §Fixed newstyle negotiation]. */
export const OptionReplyHeader = message(
  { title: 'NBD option reply', cite: '[NBD §Fixed newstyle negotiation]', bytes: 20 },
  {
    magic: beMagic(0, optionReplyMagic, 'Magic number of replies'),
    option: be32(8, 'The option that is answered'),
    type: be32(12, 'OptionReply'),
    dataBytes: be32(16, 'Bytes of data that follow'),
  },
);

/** The answer to the option exportName [NBD §Newstyle negotiation]. */
export const ExportReply = message(
  { title: 'NBD export', cite: '[NBD §Newstyle negotiation]', bytes: 10 },
  { bytes: be64(0, 'Size of the export'), flags: be16(8, 'TransmissionFlag') },
);
/** Zeroes behind it, unless both sides agreed on noZeroes. */
export const exportReplyPadding = 124;

/** Data of a reply `info` [NBD §Option reply types, NBD_REP_INFO]. */
export const InfoType = { export: 0, name: 1, description: 2, blockSize: 3 } as const;

export const InfoHead = message(
  { title: 'NBD info', cite: '[NBD §Option reply types]', bytes: 2 },
  { type: be16(0, 'InfoType; text follows for name and description') },
);

export const InfoExport = message(
  { title: 'NBD info: export', cite: '[NBD §Option reply types]', bytes: 12 },
  {
    type: be16(0, 'InfoType.export'),
    bytes: be64(2, 'Size of the export'),
    flags: be16(10, 'TransmissionFlag'),
  },
);

export const InfoBlockSize = message(
  { title: 'NBD info: block size', cite: '[NBD §Block size constraints]', bytes: 14 },
  {
    type: be16(0, 'InfoType.blockSize'),
    least: be32(2, 'Offsets and lengths are multiples of it (minimum block size)'),
    preferred: be32(6, 'What aligned requests need no reading for (preferred block size)'),
    most: be32(10, 'Largest request with data (maximum block size)'),
  },
);

/** In front of each text and list in the data of options and replies: how much of it follows. */
export const Count32 = message(
  { title: 'NBD length or count', cite: '[NBD §Option types]', bytes: 4 },
  { value: be32(0, 'Bytes of a text, items of a list, or the number of a context') },
);

export const Count16 = message(
  { title: 'NBD count', cite: '[NBD §Option types]', bytes: 2 },
  { value: be16(0, 'Items of a list of InfoType, or one of them') },
);

/** Of any text, in bytes [NBD §Conventions]. */
export const longestText = 4096;
