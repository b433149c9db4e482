import { ErrorCode, UltimaError } from '../../sdk/errors.js';
import { Command } from '../../sdk/spec/vfio-user/header.js';
import {
  CapabilityKey,
  capabilityDefault,
  protocolVersion,
  VersionMessage,
} from '../../sdk/spec/vfio-user/version.js';
import { MiB } from '../../sdk/units.js';
import { type Channel, headerBytes, noReply, payloadAt } from './channel.js';

/** What a server takes, as it said when the connection was made. */
export interface Agreement {
  readonly minor: number;
  /** Descriptors with one message. */
  readonly messageFds: number;
  /** Bytes of data in one message. */
  readonly transferBytes: number;
  readonly dmaMaps: number;
  /** The smallest page that can be mapped. */
  readonly pageBytes: number;
}

/** What we take. */
export const ourMessageFds = 8;
export const ourTransferBytes = MiB;

const versionBytes = VersionMessage.layout.bytes;
/** A longer answer is no list of capabilities. */
const longestAnswer = 4096;
const largestPageBytes = 2 * MiB;

/**
 * Propose our version and hear the server's [vfio-user §VFIO_USER_VERSION]. The first exchange of
 * every connection.
 *
 * @param takesFds  whether the server may give us memory of its own
 * @throws UltimaError BACKEND_UNAVAILABLE when the server speaks another version or does not
 *   answer, DEVICE_MISBEHAVED when its answer cannot be one
 */
export function agree(channel: Channel, path: string, takesFds: boolean): Agreement {
  const { draft } = channel;
  const messageFds = takesFds ? ourMessageFds : 0;
  const capabilities = { ...proposal, [CapabilityKey.maxMessageFds]: messageFds };
  VersionMessage.major.set(draft, payloadAt, protocolVersion.major);
  VersionMessage.minor.set(draft, payloadAt, protocolVersion.minor);
  const text = new TextEncoder().encode(`${JSON.stringify({ capabilities })}\0`);
  channel.draftBytes.set(text, headerBytes + versionBytes);
  const expected = { least: versionBytes, most: longestAnswer, descriptors: 0 };
  const errno = channel.call(Command.version, versionBytes + text.length, expected);
  if (errno !== 0) throw refusal(path, errno, channel.reason);
  const answer = readAnswer(channel);
  if (typeof answer !== 'string') return answer;
  channel.die(answer);
  throw new UltimaError(
    ErrorCode.deviceMisbehaved,
    `${path}: the answer to the version of the protocol is wrong: ${answer}`,
    { path, reason: answer },
  );
}

/** The server may name nothing that we do not: so we name what we want to hear. */
const proposal = {
  [CapabilityKey.maxMessageFds]: ourMessageFds,
  [CapabilityKey.maxTransferBytes]: ourTransferBytes,
  [CapabilityKey.maxDmaMaps]: capabilityDefault.maxDmaMaps,
  [CapabilityKey.pageSizes]: capabilityDefault.pageSizes,
};

function refusal(path: string, errno: number, reason: string): UltimaError {
  const { major, minor } = protocolVersion;
  const ours = `${major}.${minor}`;
  const message =
    errno === noReply
      ? `${path}: no version was agreed on, ${reason}; either it is no vfio-user server, or it ` +
        `does not speak version ${ours} or earlier, or it serves another client: close that one`
      : `${path}: the server refuses version ${ours} and earlier (error ${errno}); ` +
        `it must speak major version ${major}`;
  return new UltimaError(ErrorCode.backendUnavailable, message, { path, version: ours, errno });
}

/** @returns what is wrong with it, when something is */
function readAnswer(channel: Channel): Agreement | string {
  const { reply, replyBytes } = channel;
  const major = VersionMessage.major.get(reply, payloadAt);
  const minor = VersionMessage.minor.get(reply, payloadAt);
  if (major !== protocolVersion.major || minor > protocolVersion.minor) {
    const { major: ourMajor, minor: ourMinor } = protocolVersion;
    return `version ${major}.${minor} to a proposal of ${ourMajor}.${ourMinor}`;
  }
  const text = new Uint8Array(reply.buffer, headerBytes + versionBytes, replyBytes - versionBytes);
  const capabilities = capabilitiesOf(text);
  if (capabilities === null) return 'its capabilities are no JSON object that ends with a NUL';
  const count = (name: string, fallback: number, least: number): number => {
    const value = capabilities[name] ?? fallback;
    return typeof value === 'number' && Number.isSafeInteger(value) && value >= least ? value : -1;
  };
  const pageSizes = count(CapabilityKey.pageSizes, capabilityDefault.pageSizes, 1);
  const agreement = {
    minor,
    messageFds: count(CapabilityKey.maxMessageFds, capabilityDefault.maxMessageFds, 0),
    transferBytes: count(CapabilityKey.maxTransferBytes, capabilityDefault.maxTransferBytes, 1),
    dmaMaps: count(CapabilityKey.maxDmaMaps, capabilityDefault.maxDmaMaps, 1),
    pageBytes: Math.max(capabilityDefault.pageSizes, lowestBit(pageSizes)),
  };
  for (const [name, value] of Object.entries(agreement)) {
    if (value < 0) return `capability ${name} is no count`;
  }
  if (agreement.pageBytes > largestPageBytes) return `its smallest page has ${pageSizes} bytes`;
  return agreement;
}

/** @returns -1 for -1 */
function lowestBit(value: number): number {
  if (value < 0) return largestPageBytes + 1;
  let bit = 1;
  while (Math.floor(value / bit) % 2 === 0) bit *= 2;
  return bit;
}

function capabilitiesOf(text: Uint8Array): Readonly<Record<string, unknown>> | null {
  if (text.length === 0) return {};
  if (text.indexOf(0) !== text.length - 1) return null;
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(text.subarray(0, -1)));
  } catch {
    return null;
  }
  if (!isObject(value)) return null;
  const capabilities = value.capabilities ?? {};
  return isObject(capabilities) ? capabilities : null;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
