import { randomBytes, randomInt } from 'node:crypto';
import { ErrorCode, UltimaError } from '../errors.js';
import {
  AuthChallenge,
  AuthFailureMessage,
  AuthFailureReason,
  AuthHash,
  AuthHeader,
  AuthMessage,
  AuthNegotiate,
  AuthProtocol,
  AuthReply,
  AuthSuccess1,
  AuthSuccess2,
  AuthType,
  authFailed,
  authProtocolDhChap,
  DhGroup,
} from '../spec/fabrics/authentication.js';
import {
  AuthenticationReceive,
  AuthenticationSend,
  authenticationProtocol,
  FabricsType,
} from '../spec/fabrics/command.js';
import { messageWords } from './authentication.js';
import { augmented, DhHalf, dhBytes, response } from './dh-groups.js';
import { control, fabrics } from './host-control.js';
import type { HostQueue } from './host-queue.js';
import { hashBytes, isEqual, parseSecret, transformedKey } from './secret.js';

const mostMessageBytes = 4096;
const lastSequence = 0xffff_ffff;
/** In our order of preference. */
const allHashes = [AuthHash.sha512, AuthHash.sha384, AuthHash.sha256];
const allGroups = [
  DhGroup.ffdhe2048,
  DhGroup.ffdhe3072,
  DhGroup.ffdhe4096,
  DhGroup.ffdhe6144,
  DhGroup.ffdhe8192,
  DhGroup.none,
];

export interface HostSecrets {
  readonly hostNqn: string;
  readonly nqn: string;
  readonly secret?: string | undefined;
  /** The controller has to prove that it knows this one. */
  readonly controllerSecret?: string | undefined;
  readonly hashes?: readonly number[];
  readonly groups?: readonly number[];
}

/**
 * The host's side of DH-HMAC-CHAP on one queue [NVMe-2.0 §8.13.5 DH-HMAC-CHAP].
 *
 * @throws UltimaError USAGE without a secret, DEVICE_MISBEHAVED when either side is not who it says
 */
export async function authenticateHost(queue: HostQueue, secrets: HostSecrets): Promise<void> {
  if (secrets.secret === undefined) {
    const message = `${secrets.nqn} asks hosts for a DH-HMAC-CHAP secret; give it with the address`;
    throw new UltimaError(ErrorCode.usage, message);
  }
  const tid = randomInt(1, 0xffff);
  await send(queue, negotiation(secrets, tid));
  const challenge = await receive(queue, { tid, wanted: AuthMessage.challenge });
  const { reply, expected } = replyTo(challenge, { secrets, tid, secret: secrets.secret });
  await send(queue, reply);
  const success = await receive(queue, { tid, wanted: AuthMessage.success1 });
  if (expected === null) return;
  const at = AuthSuccess1.layout.bytes;
  const words = messageWords(success);
  const theirs = success.subarray(at, at + expected.length);
  if (AuthSuccess1.hasResponse.get(words, 0) === 1 && isEqual(theirs, expected)) {
    const last = new Uint32Array(AuthSuccess2.layout.bytes / 4);
    head(last, { type: AuthType.dhChap, id: AuthMessage.success2, tid });
    await send(queue, new Uint8Array(last.buffer));
    return;
  }
  const failure = new Uint32Array(AuthFailureMessage.layout.bytes / 4);
  head(failure, { type: AuthType.common, id: AuthMessage.failure2, tid });
  AuthFailureMessage.reason.set(failure, 0, authFailed);
  const { authenticationFailed } = AuthFailureReason;
  AuthFailureMessage.explanation.set(failure, 0, authenticationFailed);
  await send(queue, new Uint8Array(failure.buffer)).catch(() => {});
  throw refused('the controller does not know the secret that it should');
}

function negotiation({ hashes, groups }: HostSecrets, tid: number): Uint8Array {
  const start = AuthNegotiate.layout.bytes / 4;
  const words = new Uint32Array(start + AuthProtocol.layout.bytes / 4);
  head(words, { type: AuthType.common, id: AuthMessage.negotiate, tid });
  AuthNegotiate.protocols.set(words, 0, 1);
  AuthProtocol.authId.set(words, start, authProtocolDhChap);
  const hashList = hashes ?? allHashes;
  const groupList = groups ?? allGroups;
  AuthProtocol.hashes.set(words, start, hashList.length);
  AuthProtocol.groups.set(words, start, groupList.length);
  AuthProtocol.hashList.bytes(words, start).set(hashList);
  AuthProtocol.groupList.bytes(words, start).set(groupList);
  return new Uint8Array(words.buffer);
}

interface ReplyFacts {
  readonly secrets: HostSecrets;
  readonly secret: string;
  readonly tid: number;
}

function replyTo(
  message: Uint8Array,
  { secrets, secret, tid }: ReplyFacts,
): { readonly reply: Uint8Array; readonly expected: Buffer | null } {
  const words = messageWords(message);
  const hash = AuthChallenge.hash.get(words, 0);
  const group = AuthChallenge.group.get(words, 0);
  const hashLength = hashBytes(hash);
  const valueLength = AuthChallenge.dhLength.get(words, 0);
  const at = AuthChallenge.layout.bytes;
  const isOffered =
    (secrets.hashes ?? allHashes).some((each) => each === hash) &&
    (secrets.groups ?? allGroups).some((each) => each === group);
  const isSized =
    AuthChallenge.hashLength.get(words, 0) === hashLength &&
    valueLength === dhBytes(group) &&
    message.length >= at + hashLength + valueLength;
  if (!isOffered || !isSized) throw refused('the controller challenges in a way not offered');
  const challenge = message.subarray(at, at + hashLength);
  const half = valueLength === 0 ? null : new DhHalf(group);
  const theirs = message.subarray(at + hashLength, at + hashLength + valueLength);
  const shared = half?.secretWith(theirs) ?? null;
  if (half !== null && shared === null) throw refused('the controller gives its secret away');
  const { hostNqn, nqn, controllerSecret } = secrets;
  const own = response({
    hash,
    key: transformedKey(parseSecret(secret), hostNqn),
    challenge: augmented(hash, challenge, shared),
    sequence: AuthChallenge.sequence.get(words, 0),
    tid,
    role: 'HostHost',
    own: hostNqn,
    other: nqn,
  });
  const isMutual = controllerSecret !== undefined;
  const ourChallenge = randomBytes(hashLength);
  const sequence = isMutual ? randomInt(1, lastSequence) : 0;
  const out = new Uint32Array(AuthReply.layout.bytes / 4);
  head(out, { type: AuthType.dhChap, id: AuthMessage.reply, tid });
  AuthReply.hashLength.set(out, 0, hashLength);
  AuthReply.hasChallenge.set(out, 0, isMutual ? 1 : 0);
  AuthReply.dhLength.set(out, 0, valueLength);
  AuthReply.sequence.set(out, 0, sequence);
  const parts = [
    new Uint8Array(out.buffer),
    own,
    isMutual ? ourChallenge : Buffer.alloc(hashLength),
  ];
  if (half !== null) parts.push(half.publicValue);
  const expected = isMutual
    ? response({
        hash,
        key: transformedKey(parseSecret(controllerSecret), nqn),
        challenge: augmented(hash, ourChallenge, shared),
        sequence,
        tid,
        role: 'Controller',
        own: nqn,
        other: hostNqn,
      })
    : null;
  return { reply: Buffer.concat(parts), expected };
}

async function send(queue: HostQueue, message: Uint8Array): Promise<void> {
  await control(queue, {
    what: 'authentication',
    send: message,
    fill: (words) => {
      fabrics(words, FabricsType.authenticationSend);
      setProtocol(words);
      AuthenticationSend.tl.set(words, 0, message.length);
    },
  });
}

async function receive(
  queue: HostQueue,
  { tid, wanted }: { readonly tid: number; readonly wanted: number },
): Promise<Uint8Array> {
  const message = new Uint8Array(mostMessageBytes);
  await control(queue, {
    what: 'authentication',
    receive: message,
    fill: (words) => {
      fabrics(words, FabricsType.authenticationReceive);
      setProtocol(words);
      AuthenticationReceive.al.set(words, 0, message.length);
    },
  });
  const words = messageWords(message);
  const id = AuthHeader.authId.get(words, 0);
  if (id === wanted && AuthHeader.tid.get(words, 0) === tid) return message;
  const reason = AuthFailureMessage.explanation.get(words, 0);
  const why = Object.entries(AuthFailureReason).find(([, value]) => value === reason)?.[0];
  if (id === AuthMessage.failure1) throw refused(`the controller refuses us: ${why ?? reason}`);
  throw refused('the controller sends a message out of order');
}

function setProtocol(words: Uint32Array): void {
  AuthenticationSend.secp.set(words, 0, authenticationProtocol.secp);
  AuthenticationSend.spsp0.set(words, 0, authenticationProtocol.spsp0);
  AuthenticationSend.spsp1.set(words, 0, authenticationProtocol.spsp1);
}

function head(
  words: Uint32Array,
  { type, id, tid }: { readonly type: number; readonly id: number; readonly tid: number },
): void {
  AuthHeader.authType.set(words, 0, type);
  AuthHeader.authId.set(words, 0, id);
  AuthHeader.tid.set(words, 0, tid);
}

function refused(why: string): UltimaError {
  return new UltimaError(ErrorCode.deviceMisbehaved, `authentication failed: ${why}`);
}
