import { leastPayloads } from '../../sdk/spec/vfio-user/commands.js';
import { Command, Errno } from '../../sdk/spec/vfio-user/header.js';
import {
  CapabilityKey,
  capabilityDefault,
  protocolVersion,
  VersionMessage,
} from '../../sdk/spec/vfio-user/version.js';

/** What a server can do; each is at least what a peer may assume that is told nothing. */
export interface ServerAbilities {
  readonly maxMessageFds: number;
  readonly maxTransferBytes: number;
  readonly maxDmaMaps: number;
  /** Page sizes, or'ed. */
  readonly pageSizes: number;
}

/** What the two sides have agreed on. */
export interface Agreement {
  readonly minor: number;
  /** Descriptors that the peer takes with one message. */
  readonly peerMessageFds: number;
  /** Data that the peer takes or gives with one message, bytes. */
  readonly peerTransferBytes: number;
  readonly hasWriteMultiple: boolean;
}

const { major } = protocolVersion;
const key = CapabilityKey;
const absent = {
  [key.maxMessageFds]: capabilityDefault.maxMessageFds,
  [key.maxTransferBytes]: capabilityDefault.maxTransferBytes,
};
/** Longer proposals are no proposals. */
const longestText = 4096;

/**
 * Answer the proposal of a client [vfio-user §VFIO_USER_VERSION]: the same major version, the lower
 * minor one, and of the capabilities those that the client named, with our values.
 *
 * @param payload  what followed the header of the version message
 * @returns        the agreement and the payload of the reply, or a UNIX error number
 */
export function negotiate(
  payload: Uint8Array,
  abilities: ServerAbilities,
): { readonly agreement: Agreement; readonly reply: Uint8Array } | number {
  if (payload.length < leastPayloads.get(Command.version)!.command) return Errno.EINVAL;
  const words = new Uint32Array(1);
  new Uint8Array(words.buffer).set(payload.subarray(0, VersionMessage.layout.bytes));
  if (VersionMessage.major.get(words, 0) !== major) return Errno.EOPNOTSUPP;
  const proposed = capabilitiesOf(payload.subarray(VersionMessage.layout.bytes));
  if (proposed === null) return Errno.EINVAL;
  const minor = Math.min(VersionMessage.minor.get(words, 0), protocolVersion.minor);
  // A peer may take no descriptors at all; one that takes no data makes no sense.
  const peerMessageFds = countOf(proposed, key.maxMessageFds, 0) ?? -1;
  const peerTransferBytes = countOf(proposed, key.maxTransferBytes, 1) ?? -1;
  const isMultiple = proposed[key.writeMultiple];
  if (peerMessageFds < 0 || peerTransferBytes < 0) return Errno.EINVAL;
  if (isMultiple !== undefined && typeof isMultiple !== 'boolean') return Errno.EINVAL;
  const hasWriteMultiple = isMultiple === true;
  return {
    agreement: { minor, peerMessageFds, peerTransferBytes, hasWriteMultiple },
    reply: replyOf(minor, answerTo(proposed, abilities)),
  };
}

/** Of what the client named, what we have. */
function answerTo(proposed: Capabilities, abilities: ServerAbilities): Capabilities {
  const ours: Capabilities = {
    [key.maxMessageFds]: abilities.maxMessageFds,
    [key.maxTransferBytes]: abilities.maxTransferBytes,
    [key.maxDmaMaps]: abilities.maxDmaMaps,
    [key.pageSizes]: abilities.pageSizes,
    [key.writeMultiple]: true,
  };
  const known = Object.entries(ours).filter(([name]) => Object.hasOwn(proposed, name));
  return Object.fromEntries(known.filter(([name]) => proposed[name] !== false));
}

function replyOf(minor: number, capabilities: Capabilities): Uint8Array {
  const text = new TextEncoder().encode(`${JSON.stringify({ capabilities })}\0`);
  const bytes = new Uint8Array(VersionMessage.layout.bytes + text.length);
  const words = new Uint32Array(1);
  VersionMessage.major.set(words, 0, major);
  VersionMessage.minor.set(words, 0, minor);
  bytes.set(new Uint8Array(words.buffer));
  bytes.set(text, VersionMessage.layout.bytes);
  return bytes;
}

type Capabilities = Readonly<Record<string, unknown>>;

/** @returns null for text that is no JSON object, or does not end with its only NUL */
function capabilitiesOf(text: Uint8Array): Capabilities | null {
  if (text.length === 0) return {};
  if (text.length > longestText || text.indexOf(0) !== text.length - 1) return null;
  const value = parse(text.subarray(0, -1));
  if (!isObject(value)) return null;
  const capabilities = value.capabilities;
  if (capabilities === undefined) return {};
  return isObject(capabilities) ? capabilities : null;
}

function parse(text: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(text));
  } catch {
    return null;
  }
}

function isObject(value: unknown): value is Capabilities {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A whole number, or what its absence means; null for anything else. */
function countOf(
  from: Capabilities,
  name: typeof key.maxMessageFds | typeof key.maxTransferBytes,
  least: number,
): number | null {
  if (!Object.hasOwn(from, name)) return absent[name];
  const value = from[name];
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= least ? value : null;
}
