import { assert } from '../../sdk/assert.js';
import type { Clock } from '../../sdk/device.js';
import {
  Command,
  Errno,
  MessageFlags,
  MessageHeader,
  MessageType,
} from '../../sdk/spec/vfio-user/header.js';
import { msNs } from '../../sdk/units.js';
import type { Watcher } from '../kernel.js';
import { peerGone, type UnixSocket } from '../socket.js';
import { Inbox } from './inbox.js';
import { Outbox } from './outbox.js';
import type { ServerCommands } from './server-commands.js';

export const headerBytes = MessageHeader.layout.bytes;
/** Where the payload of a message starts in its dwords. */
export const payloadAt = headerBytes / 4;

/** What stands for an error number when there will be no reply: the connection is gone. */
export const noReply = -1;

/** What the reply to a command may look like; anything else ends the connection. */
export interface Expected {
  /** Bytes of payload. */
  readonly least: number;
  readonly most: number;
  /** Descriptors that may come along. */
  readonly descriptors: number;
}

export const nothingExpected: Expected = { least: 0, most: 0, descriptors: 0 };

export interface LateReply {
  readonly errno: number;
}

interface Awaited {
  command: number;
  expected: Expected;
}

/** A command whose caller has gone on. */
interface Pending extends Awaited {
  readonly timer: NodeJS.Timeout;
  readonly resolve: (reply: LateReply) => void;
}

export interface ChannelOptions {
  readonly socket: UnixSocket;
  readonly clock: Clock;
  /** How long a server may take for an answer. */
  readonly timeoutMs: number;
  /** Largest payload that either side sends. */
  readonly payloadLimit: number;
  readonly commands: ServerCommands;
  readonly onDeath: () => void;
}

const noDescriptors = new Int32Array(0);
/** Messages between two looks at the time, so that a flood of them is not endless. */
const messagesPerLook = 64;
const longestWaitMs = 1000;

/**
 * The messages of one connection [vfio-user §Header]. Replies are matched to their commands, what
 * the server asks in between is answered. Whatever cannot be is the end of the connection:
 * `isAlive` turns false for good, `reason` says why, each command that waits ends with `noReply`.
 */
export class Channel {
  reason = '';
  /** The reply that `call` returned for, until the next message: payload from `payloadAt` on. */
  readonly reply: Uint32Array;
  replyBytes = 0;
  replyDescriptors: number[] = [];
  /** Compose the payload of the next command here, from `payloadAt` on. */
  readonly draft: Uint32Array;
  private readonly options: ChannelOptions;
  private readonly socket: UnixSocket;
  private readonly inbox: Inbox;
  private readonly outbox: Outbox;
  private readonly pending = new Map<number, Pending>();
  private readonly awaited: Awaited = { command: 0, expected: nothingExpected };
  private awaitedId = -1;
  private awaitedErrno = noReply;
  private watcher: Watcher | null;
  private nextId = 0;

  constructor(options: ChannelOptions) {
    this.options = options;
    this.socket = options.socket;
    const limitBytes = headerBytes + options.payloadLimit;
    this.inbox = new Inbox(options.socket, limitBytes, (words) => this.payloadLimit(words));
    this.outbox = new Outbox(options.socket, limitBytes);
    this.reply = this.inbox.words;
    this.draft = this.outbox.words;
    this.watcher = this.socket.watch(() => this.pump());
  }

  get isAlive(): boolean {
    return this.watcher !== null;
  }

  /** Bytes of `draft`, for payload that is no dwords. */
  get draftBytes(): Uint8Array {
    return this.outbox.bytes;
  }

  /**
   * Send the draft and hold the thread for the reply.
   *
   * @param payloadBytes of the draft
   * @returns 0, the error number of the server, or `noReply`
   */
  call(command: number, payloadBytes: number, expected: Expected, fds = noDescriptors): number {
    assert(this.awaitedId === -1, 'one command at a time holds the thread');
    if (!this.isAlive) return noReply;
    this.replyBytes = 0;
    this.replyDescriptors = [];
    this.awaited.command = command;
    this.awaited.expected = expected;
    this.awaitedErrno = noReply;
    this.awaitedId = this.post(command, payloadBytes, false, fds);
    this.hold(command);
    this.awaitedId = -1;
    return this.awaitedErrno;
  }

  /** Send the draft; the reply, without payload, comes later. */
  request(command: number, payloadBytes: number, timeoutMs: number): Promise<LateReply> {
    if (!this.isAlive) return Promise.resolve({ errno: noReply });
    return new Promise((resolve) => {
      const late = (): void => this.die(`it did not answer within ${timeoutMs} ms`);
      const timer = setTimeout(late, timeoutMs);
      const id = this.post(command, payloadBytes, false, noDescriptors);
      this.pending.set(id, { command, expected: nothingExpected, timer, resolve });
      this.watcher?.hold(true);
      if (!this.isAlive) this.abandon();
    });
  }

  /**
   * Send the draft; no reply comes [vfio-user §Header No_reply]. A server that is slower than its
   * client holds the thread until it has taken what was told before.
   */
  tell(command: number, payloadBytes: number): void {
    if (!this.isAlive) return;
    this.post(command, payloadBytes, true, noDescriptors);
    if (!this.outbox.isEmpty) this.drain();
  }

  /** Close a descriptor that came with a reply. */
  giveUp(descriptor: number): void {
    this.socket.giveUp([descriptor]);
  }

  /** Take what has come; nothing waits. */
  pump(): void {
    this.flush();
    for (let i = 0; i < messagesPerLook && this.step(); i++);
  }

  /** The other side is gone, or is not to be talked to any more. Idempotent. */
  die(reason: string): void {
    if (this.watcher === null) return;
    this.watcher.close();
    this.watcher = null;
    this.reason = reason;
    this.socket.close();
    this.abandon();
    this.options.onDeath();
  }

  /** @returns identifier of the command */
  private post(command: number, payloadBytes: number, isTold: boolean, fds: Int32Array): number {
    const id = this.freeId();
    const words = this.draft;
    MessageHeader.id.set(words, 0, id);
    MessageHeader.command.set(words, 0, command);
    MessageHeader.size.set(words, 0, headerBytes + payloadBytes);
    const flags = MessageFlags.noReply.put(MessageType.command, isTold ? 1 : 0);
    MessageHeader.flags.set(words, 0, flags);
    MessageHeader.error.set(words, 0, 0);
    this.sent(this.outbox.sendDraft(headerBytes + payloadBytes, fds));
    return id;
  }

  private freeId(): number {
    do {
      this.nextId = (this.nextId + 1) & MessageHeader.id.max;
    } while (this.pending.has(this.nextId));
    return this.nextId;
  }

  private hold(command: number): void {
    const { clock, timeoutMs } = this.options;
    const untilNs = clock.nowNs() + timeoutMs * msNs;
    while (this.isAlive && this.awaitedId !== -1) {
      const leftMs = Math.ceil((untilNs - clock.nowNs()) / msNs);
      if (leftMs <= 0) {
        this.die(`it did not answer command ${command} within ${timeoutMs} ms`);
        return;
      }
      this.flush();
      // A server that takes nothing may be waiting for us to take something.
      const waitMs = this.outbox.isEmpty ? Math.min(leftMs, longestWaitMs) : 1;
      if (!this.socket.waitReadable(waitMs)) continue;
      for (let i = 0; i < messagesPerLook && this.awaitedId !== -1 && this.step(); i++);
    }
  }

  private drain(): void {
    const { clock, timeoutMs } = this.options;
    const untilNs = clock.nowNs() + timeoutMs * msNs;
    while (this.isAlive && !this.outbox.isEmpty) {
      if (clock.nowNs() >= untilNs) {
        this.die(`it took no message for ${timeoutMs} ms`);
        return;
      }
      this.socket.waitWritable(1);
      // It may be waiting for us to take something first.
      this.pump();
    }
  }

  private flush(): void {
    if (!this.outbox.isEmpty) this.sent(this.outbox.flush());
  }

  private sent(result: number): void {
    if (result === peerGone) this.die('it closed the connection');
    else if (this.outbox.isFull) this.die('it does not take what it asked for');
  }

  /** @returns whether a whole message came and was dealt with */
  private step(): boolean {
    if (!this.isAlive) return false;
    const result = this.inbox.receive();
    if (result === 'nothing') return false;
    if (result !== 'message') {
      this.die(result);
      return false;
    }
    const { words } = this.inbox;
    const type = MessageFlags.type.of(MessageHeader.flags.get(words, 0));
    if (type === MessageType.reply) this.takeReply();
    else if (type === MessageType.command) this.obey();
    else this.die(`it sent a message of type ${type}`);
    return this.isAlive;
  }

  /** Bytes of payload that the message with this header may have; -1: there is no such message. */
  private payloadLimit(words: Uint32Array): number {
    const flags = MessageHeader.flags.get(words, 0);
    if (MessageFlags.type.of(flags) !== MessageType.reply) return this.options.payloadLimit;
    const awaited = this.awaitedFor(MessageHeader.id.get(words, 0));
    if (awaited === null) return -1;
    return MessageFlags.hasError.of(flags) === 1 ? 0 : awaited.expected.most;
  }

  private awaitedFor(id: number): Awaited | null {
    return id === this.awaitedId ? this.awaited : (this.pending.get(id) ?? null);
  }

  private takeReply(): void {
    const { words, payloadBytes } = this.inbox;
    const id = MessageHeader.id.get(words, 0);
    const awaited = this.awaitedFor(id);
    const command = MessageHeader.command.get(words, 0);
    const hasError = MessageFlags.hasError.of(MessageHeader.flags.get(words, 0)) === 1;
    const descriptors = this.socket.takeDescriptors();
    const allowed = hasError || awaited === null ? 0 : awaited.expected.descriptors;
    let fault = '';
    if (awaited === null) fault = 'it answered what was not asked';
    else if (command !== awaited.command) fault = `it answered ${command} to ${awaited.command}`;
    else if (!hasError && payloadBytes < awaited.expected.least) {
      fault = `its answer to command ${command} has ${payloadBytes} bytes of payload, too few`;
    } else if (descriptors.length > allowed) {
      fault = `${descriptors.length} descriptors came with its answer to command ${command}`;
    }
    if (fault !== '') {
      this.inbox.drop(descriptors);
      this.die(fault);
      return;
    }
    // The error number is optional [vfio-user §Header].
    const errno = hasError ? MessageHeader.error.get(words, 0) || Errno.EIO : 0;
    this.finish(id, errno, descriptors);
  }

  private finish(id: number, errno: number, descriptors: number[]): void {
    if (id === this.awaitedId) {
      this.awaitedId = -1;
      this.awaitedErrno = errno;
      this.replyBytes = this.inbox.payloadBytes;
      this.replyDescriptors = descriptors;
      return;
    }
    const pending = this.pending.get(id)!;
    this.pending.delete(id);
    clearTimeout(pending.timer);
    if (this.pending.size === 0) this.watcher?.hold(false);
    pending.resolve({ errno });
  }

  /** Answer a command of the server. */
  private obey(): void {
    const { words } = this.inbox;
    const dropped = this.inbox.drop(this.socket.takeDescriptors());
    const id = MessageHeader.id.get(words, 0);
    const command = MessageHeader.command.get(words, 0);
    const isTold = MessageFlags.noReply.of(MessageHeader.flags.get(words, 0)) === 1;
    const isOurs = command === Command.dmaRead || command === Command.dmaWrite;
    const answer =
      isOurs && dropped === 0
        ? this.options.commands.obey(command, this.inbox.payload)
        : { errno: isOurs ? Errno.EINVAL : Errno.EOPNOTSUPP, pieces: [] };
    if (!isTold) this.sent(this.outbox.sendReply({ id, command, ...answer }));
  }

  /** Whoever waits for a reply waits no longer. */
  private abandon(): void {
    this.awaitedId = -1;
    const abandoned = [...this.pending.values()];
    this.pending.clear();
    for (const { timer, resolve } of abandoned) {
      clearTimeout(timer);
      resolve({ errno: noReply });
    }
  }
}
