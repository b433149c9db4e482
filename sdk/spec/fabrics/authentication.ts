import { bits, type Layout, struct, u32, wide } from '../layout.js';

/** AUTH_TYPE: who a message belongs to [NVMe-2.0 §8.13.4 Authentication Protocols]. */
export const AuthType = { common: 0x00, dhChap: 0x01 } as const;

export const AuthMessage = {
  negotiate: 0x00,
  challenge: 0x01,
  reply: 0x02,
  success1: 0x03,
  success2: 0x04,
  failure1: 0xf0,
  failure2: 0xf1,
} as const;

/** HASHID, and NULL or a group of RFC 7919 [NVMe-2.0 §8.13.5 DH-HMAC-CHAP]. */
export const AuthHash = { none: 0, sha256: 1, sha384: 2, sha512: 3 } as const;
export const DhGroup = {
  none: 0,
  ffdhe2048: 1,
  ffdhe3072: 2,
  ffdhe4096: 3,
  ffdhe6144: 4,
  ffdhe8192: 5,
} as const;

/** AuthID of DH-HMAC-CHAP in the list of protocols. */
export const authProtocolDhChap = 1;

/** Reason code of a failure: the explanation says which one. */
export const authFailed = 1;
export const AuthFailureReason = {
  authenticationFailed: 1,
  protocolNotUsable: 2,
  concatenationMismatch: 3,
  hashNotUsable: 4,
  groupNotUsable: 5,
  incorrectPayload: 6,
  incorrectMessage: 7,
} as const;

const layout = (title: string, bytes: number): Layout => ({
  title,
  cite: '[NVMe-2.0 §8.13 In-band Authentication]',
  bytes,
});

const common = {
  authType: bits(0, 7, 0, 'Authentication type (AUTH_TYPE)', AuthType),
  authId: bits(0, 15, 8, 'Message (AUTH_ID)', AuthMessage),
  tid: bits(4, 15, 0, 'Transaction identifier (T_ID)'),
} as const;

export const AuthHeader = struct(layout('Authentication message', 8), common);

export const AuthNegotiate = struct(layout('AUTH_Negotiate', 8), {
  ...common,
  scC: bits(4, 23, 16, 'Secure channel concatenation (SC_C)'),
  protocols: bits(4, 31, 24, 'Number of protocol descriptors (NAPD)'),
});

/** Follows the negotiation; hash identifiers first, group identifiers from byte 30 of the list. */
export const AuthProtocol = struct(layout('DH-HMAC-CHAP protocol descriptor', 64), {
  authId: bits(0, 7, 0, 'Authentication protocol (AuthID)'),
  hashes: bits(0, 23, 16, 'Number of hash functions (HALEN)'),
  groups: bits(0, 31, 24, 'Number of DH groups (DHLEN)'),
  hashList: wide(4, 30, 'raw', 'Hash functions, in order of preference (HALIST)'),
  groupList: wide(34, 30, 'raw', 'DH groups, in order of preference (DHLIST)'),
});

/** The challenge and the DH value follow. */
export const AuthChallenge = struct(layout('DH-HMAC-CHAP_Challenge', 16), {
  ...common,
  hashLength: bits(4, 23, 16, 'Hash length (HL)'),
  hash: bits(8, 7, 0, 'Hash function (HashID)', AuthHash),
  group: bits(8, 15, 8, 'DH group (DHgID)', DhGroup),
  dhLength: bits(8, 31, 16, 'DH value length (DHVLEN)'),
  sequence: u32(12, 'Sequence number (SEQNUM)'),
});

/** The response, the challenge of the host and the DH value follow. */
export const AuthReply = struct(layout('DH-HMAC-CHAP_Reply', 16), {
  ...common,
  hashLength: bits(4, 23, 16, 'Hash length (HL)'),
  hasChallenge: bits(8, 7, 0, 'The host asks for a response (CVALID)'),
  dhLength: bits(8, 31, 16, 'DH value length (DHVLEN)'),
  sequence: u32(12, 'Sequence number (SEQNUM)'),
});

/** The response of the controller follows when RVALID says so. */
export const AuthSuccess1 = struct(layout('DH-HMAC-CHAP_Success1', 16), {
  ...common,
  hashLength: bits(4, 23, 16, 'Hash length (HL)'),
  hasResponse: bits(8, 7, 0, 'A response follows (RVALID)'),
});

export const AuthSuccess2 = struct(layout('DH-HMAC-CHAP_Success2', 16), { ...common });

export const AuthFailureMessage = struct(layout('AUTH_Failure', 8), {
  ...common,
  reason: bits(4, 23, 16, 'Reason code'),
  explanation: bits(4, 31, 24, 'Reason code explanation', AuthFailureReason),
});
