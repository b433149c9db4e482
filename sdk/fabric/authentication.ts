import { randomBytes, randomInt } from 'node:crypto';
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
  AuthType,
  authFailed,
  authProtocolDhChap,
  DhGroup,
} from '../spec/fabrics/authentication.js';
import { doNotRetry, Status } from '../spec/nvme/status.js';
import { augmented, DhHalf, dhBytes, response } from './dh-groups.js';
import { hashBytes, isEqual, parseSecret, transformedKey } from './secret.js';
import type { FabricHost } from './subsystem.js';
import type { QueueAuthentication } from './target-queue.js';

const negotiateBytes = AuthNegotiate.layout.bytes + AuthProtocol.layout.bytes;
const challengeBytes = AuthChallenge.layout.bytes;
const replyBytes = AuthReply.layout.bytes;
const successBytes = AuthSuccess1.layout.bytes;
const failureBytes = AuthFailureMessage.layout.bytes;
const lastSequence = 0xffff_ffff;

export interface AuthenticationParts {
  readonly host: FabricHost;
  readonly hostNqn: string;
  readonly subsystemNqn: string;
  /** Which hashes and groups we take; all when left out. */
  readonly hashes?: readonly number[];
  readonly groups?: readonly number[];
  /** The host is who it says: what has to be done before it hears so. */
  readonly beforeDone: () => Promise<void>;
  readonly whenFailed: () => void;
}

type Step = 'negotiate' | 'challenge' | 'reply' | 'success1' | 'success2' | 'done' | 'failed';

/** Words over a message that may start anywhere and end short: zeroes follow. */
export function messageWords(message: Uint8Array): Uint32Array {
  const words = new Uint32Array(Math.ceil(message.length / 4) + 32);
  new Uint8Array(words.buffer).set(message);
  return words;
}

/** The controller's side of DH-HMAC-CHAP on one queue [NVMe-2.0 §8.13.5 DH-HMAC-CHAP]. */
export class ControllerAuthentication implements QueueAuthentication {
  isDone = false;
  private readonly parts: AuthenticationParts;
  private step: Step = 'negotiate';
  private tid = 0;
  private hash = 0;
  private group = 0;
  private half: DhHalf | null = null;
  private challenge = Buffer.alloc(0);
  private readonly sequence = randomInt(1, lastSequence);
  private answer: Buffer | null = null;
  private reason = 0;

  constructor(parts: AuthenticationParts) {
    this.parts = parts;
  }

  take(message: Uint8Array): number | Promise<number> {
    const words = messageWords(message);
    const id = AuthHeader.authId.get(words, 0);
    if (this.step === 'negotiate' && id === AuthMessage.negotiate) {
      return this.negotiate(words, message.length);
    }
    if (AuthHeader.tid.get(words, 0) !== this.tid) {
      return this.fail(AuthFailureReason.incorrectPayload);
    }
    if (this.step === 'reply' && id === AuthMessage.reply) return this.reply(words, message);
    if (this.step === 'success2' && id === AuthMessage.success2) {
      this.step = 'done';
      this.isDone = true;
      return 0;
    }
    if (id === AuthMessage.failure2) {
      this.parts.whenFailed();
      return 0;
    }
    return this.fail(AuthFailureReason.incorrectMessage);
  }

  give(message: Uint8Array): number {
    if (this.step === 'challenge') return this.giveChallenge(message);
    if (this.step === 'success1') return this.giveSuccess(message);
    if (this.step !== 'failed') return doNotRetry(Status.commandSequenceError);
    if (message.length < failureBytes) return doNotRetry(Status.invalidField);
    const words = messageWords(new Uint8Array(failureBytes));
    AuthHeader.authType.set(words, 0, AuthType.common);
    AuthHeader.authId.set(words, 0, AuthMessage.failure1);
    AuthHeader.tid.set(words, 0, this.tid);
    AuthFailureMessage.reason.set(words, 0, authFailed);
    AuthFailureMessage.explanation.set(words, 0, this.reason);
    message.set(new Uint8Array(words.buffer, 0, failureBytes));
    // The host reads it, and then there is nothing left to say.
    setImmediate(this.parts.whenFailed);
    return 0;
  }

  private negotiate(words: Uint32Array, length: number): number {
    this.tid = AuthHeader.tid.get(words, 0);
    const at = AuthNegotiate.layout.bytes / 4;
    if (length < negotiateBytes) return this.fail(AuthFailureReason.incorrectPayload);
    if (AuthNegotiate.scC.get(words, 0) !== 0) {
      return this.fail(AuthFailureReason.concatenationMismatch);
    }
    const isOurs = AuthProtocol.authId.get(words, at) === authProtocolDhChap;
    if (!isOurs || AuthNegotiate.protocols.get(words, 0) < 1) {
      return this.fail(AuthFailureReason.protocolNotUsable);
    }
    const hashes = AuthProtocol.hashList
      .bytes(words, at)
      .subarray(0, AuthProtocol.hashes.get(words, at));
    const groups = AuthProtocol.groupList
      .bytes(words, at)
      .subarray(0, AuthProtocol.groups.get(words, at));
    const { hashes: ours = Object.values(AuthHash), groups: allowed = Object.values(DhGroup) } =
      this.parts;
    const hash = hashes.find((each) => hashBytes(each) > 0 && ours.includes(each));
    if (hash === undefined) return this.fail(AuthFailureReason.hashNotUsable);
    const group = groups.find((each) => allowed.some((known) => known === each));
    if (group === undefined) return this.fail(AuthFailureReason.groupNotUsable);
    this.hash = hash;
    this.group = group;
    this.step = 'challenge';
    return 0;
  }

  private giveChallenge(message: Uint8Array): number {
    const { hash, group } = this;
    const hashLength = hashBytes(hash);
    const valueLength = dhBytes(group);
    const length = challengeBytes + hashLength + valueLength;
    if (message.length < length) return doNotRetry(Status.invalidField);
    this.challenge = randomBytes(hashLength);
    this.half = valueLength === 0 ? null : new DhHalf(group);
    const words = new Uint32Array(challengeBytes / 4);
    AuthHeader.authType.set(words, 0, AuthType.dhChap);
    AuthHeader.authId.set(words, 0, AuthMessage.challenge);
    AuthHeader.tid.set(words, 0, this.tid);
    AuthChallenge.hashLength.set(words, 0, hashLength);
    AuthChallenge.hash.set(words, 0, hash);
    AuthChallenge.group.set(words, 0, group);
    AuthChallenge.dhLength.set(words, 0, valueLength);
    AuthChallenge.sequence.set(words, 0, this.sequence);
    message.set(new Uint8Array(words.buffer));
    message.set(this.challenge, challengeBytes);
    if (this.half !== null) message.set(this.half.publicValue, challengeBytes + hashLength);
    this.step = 'reply';
    return 0;
  }

  private reply(words: Uint32Array, message: Uint8Array): number | Promise<number> {
    const { hash, group, parts } = this;
    const hashLength = hashBytes(hash);
    const valueLength = AuthReply.dhLength.get(words, 0);
    const isSized =
      AuthReply.hashLength.get(words, 0) === hashLength &&
      valueLength === dhBytes(group) &&
      message.length >= replyBytes + 2 * hashLength + valueLength;
    if (!isSized) return this.fail(AuthFailureReason.incorrectPayload);
    const valueAt = replyBytes + 2 * hashLength;
    const secret = this.half?.secretWith(message.subarray(valueAt, valueAt + valueLength)) ?? null;
    if (this.half !== null && secret === null) return this.fail(AuthFailureReason.incorrectPayload);
    const { hostNqn, subsystemNqn } = parts;
    const expected = response({
      hash,
      key: transformedKey(parseSecret(parts.host.secret ?? ''), hostNqn),
      challenge: augmented(hash, this.challenge, secret),
      sequence: this.sequence,
      tid: this.tid,
      role: 'HostHost',
      own: hostNqn,
      other: subsystemNqn,
    });
    const theirs = message.subarray(replyBytes, replyBytes + hashLength);
    if (!isEqual(expected, theirs)) return this.fail(AuthFailureReason.authenticationFailed);
    const isAsked = AuthReply.hasChallenge.get(words, 0) === 1;
    if (isAsked) {
      const { controllerSecret } = parts.host;
      if (controllerSecret === undefined) return this.fail(AuthFailureReason.authenticationFailed);
      const asked = message.subarray(replyBytes + hashLength, replyBytes + 2 * hashLength);
      this.answer = response({
        hash,
        key: transformedKey(parseSecret(controllerSecret), subsystemNqn),
        challenge: augmented(hash, asked, secret),
        sequence: AuthReply.sequence.get(words, 0),
        tid: this.tid,
        role: 'Controller',
        own: subsystemNqn,
        other: hostNqn,
      });
    }
    this.step = 'success1';
    return parts.beforeDone().then(() => 0);
  }

  private giveSuccess(message: Uint8Array): number {
    const length = successBytes + (this.answer?.length ?? 0);
    if (message.length < length) return doNotRetry(Status.invalidField);
    const words = new Uint32Array(successBytes / 4);
    AuthHeader.authType.set(words, 0, AuthType.dhChap);
    AuthHeader.authId.set(words, 0, AuthMessage.success1);
    AuthHeader.tid.set(words, 0, this.tid);
    AuthSuccess1.hashLength.set(words, 0, hashBytes(this.hash));
    AuthSuccess1.hasResponse.set(words, 0, this.answer === null ? 0 : 1);
    message.set(new Uint8Array(words.buffer));
    if (this.answer !== null) message.set(this.answer, successBytes);
    this.step = this.answer === null ? 'done' : 'success2';
    this.isDone = this.answer === null;
    return 0;
  }

  private fail(reason: number): number {
    this.step = 'failed';
    this.reason = reason;
    return 0;
  }
}
