import { MessageFlags, MessageHeader, MessageType } from '../../sdk/spec/vfio-user/header.js';
import { type PeerSocket, peerGone } from './peer.js';

const headerBytes = MessageHeader.layout.bytes;
const replyFlags = MessageFlags.type.put(0, MessageType.reply);
const errorFlags = MessageFlags.hasError.put(replyFlags, 1);
const noBytes = new Uint8Array(0);
const noFds = new Int32Array(0);

export interface Message {
  readonly id: number;
  readonly command: number;
  readonly isReply: boolean;
  /** Of a command. */
  readonly wantsReply: boolean;
  /** Of a reply. */
  readonly hasError: boolean;
  /** What came behind the header. */
  readonly payload: Uint8Array;
  /** The same as dwords, the last one filled up with zeroes. */
  readonly words: Uint32Array;
  /** Descriptors that came along; whoever has the message owns them. */
  readonly fds: readonly number[];
  /** More came than one message may carry, and got lost. */
  readonly hasLostFds: boolean;
}

/** What there is instead of a message. Broken: the peer does not speak the protocol. */
export type NoMessage = 'nothing' | 'gone' | 'broken';

/**
 * Messages out of a stream of bytes, each with the descriptors that came with it, and messages into
 * one. A read ends where a message ends, so that descriptors of the next never mix in.
 */
export class MessageStream {
  /** Why the stream is broken; empty while it is not. */
  brokenBy = '';
  private readonly socket: PeerSocket;
  private readonly longestBytes: number;
  private readonly header = new Uint32Array(headerBytes / 4);
  private readonly headerView = new Uint8Array(this.header.buffer);
  private words = new Uint32Array(0);
  private payload: Uint8Array = noBytes;
  /** Bytes of the message under way that are here, its header included. */
  private have = 0;
  private refusedBefore = 0;
  /** Bytes that could not be sent yet, and what travels with the first of them. */
  private unsent: Uint8Array = noBytes;
  private unsentFds: Int32Array = noFds;

  /** @param longestBytes  of a message; a longer one breaks the stream */
  constructor(socket: PeerSocket, longestBytes: number) {
    this.socket = socket;
    this.longestBytes = longestBytes;
  }

  receive(): Message | NoMessage {
    if (this.brokenBy !== '') return 'broken';
    if (this.have === 0) this.refusedBefore = this.socket.refusedCount;
    while (this.have < headerBytes) {
      const count = this.socket.receive(this.headerView.subarray(this.have));
      if (count <= 0) return count === peerGone ? 'gone' : 'nothing';
      this.have += count;
      if (this.have === headerBytes && !this.openPayload()) return 'broken';
    }
    while (this.have - headerBytes < this.payload.length) {
      const count = this.socket.receive(this.payload.subarray(this.have - headerBytes));
      if (count <= 0) return count === peerGone ? 'gone' : 'nothing';
      this.have += count;
    }
    return this.closeMessage();
  }

  /** Whether something waits to be sent. */
  get isBlocked(): boolean {
    return this.unsent.length > 0;
  }

  /** Send what waits, as far as the peer takes it. @returns false when the peer is gone */
  flush(): boolean {
    while (this.unsent.length > 0) {
      const count = this.socket.send(this.unsent, this.unsentFds);
      if (count === peerGone) return false;
      if (count === 0) return true;
      this.unsent = this.unsent.subarray(count);
      this.unsentFds = noFds;
    }
    return true;
  }

  /**
   * Answer a command. Descriptors only while nothing waits to be sent.
   *
   * @returns false when the peer is gone
   */
  reply(to: Message, payload: Uint8Array = noBytes, fds: Int32Array = noFds): boolean {
    return this.send(compose(to.id, to.command, replyFlags, payload), fds);
  }

  /** Answer a command with a UNIX error number. @returns false when the peer is gone */
  fail(to: Message, errno: number): boolean {
    return this.send(compose(to.id, to.command, errorFlags, noBytes, errno), noFds);
  }

  /** Send a command of ours. @returns false when the peer is gone */
  ask(id: number, command: number, payload: Uint8Array): boolean {
    return this.send(compose(id, command, 0, payload), noFds);
  }

  private send(bytes: Uint8Array, fds: Int32Array): boolean {
    if (this.unsent.length === 0) {
      this.unsent = bytes;
      this.unsentFds = fds;
    } else {
      const all = new Uint8Array(this.unsent.length + bytes.length);
      all.set(this.unsent);
      all.set(bytes, this.unsent.length);
      this.unsent = all;
    }
    return this.flush();
  }

  /** The header is complete. @returns false when it cannot be one */
  private openPayload(): boolean {
    const size = MessageHeader.size.get(this.header, 0);
    const type = MessageFlags.type.of(MessageHeader.flags.get(this.header, 0));
    if (size < headerBytes || size > this.longestBytes) {
      this.brokenBy = `a message of ${size} bytes; ${headerBytes}..${this.longestBytes} can be`;
      return false;
    }
    if (type !== MessageType.command && type !== MessageType.reply) {
      this.brokenBy = `a message of type ${type}; 0 is a command, 1 a reply`;
      return false;
    }
    this.words = new Uint32Array(Math.ceil((size - headerBytes) / 4));
    this.payload = new Uint8Array(this.words.buffer, 0, size - headerBytes);
    return true;
  }

  private closeMessage(): Message {
    const { header, payload, words } = this;
    const flags = MessageHeader.flags.get(header, 0);
    this.have = 0;
    this.payload = noBytes;
    return {
      id: MessageHeader.id.get(header, 0),
      command: MessageHeader.command.get(header, 0),
      isReply: MessageFlags.type.of(flags) === MessageType.reply,
      wantsReply: MessageFlags.noReply.of(flags) === 0,
      hasError: MessageFlags.hasError.of(flags) === 1,
      payload,
      words,
      fds: this.socket.takeDescriptors(),
      hasLostFds: this.socket.refusedCount !== this.refusedBefore,
    };
  }
}

function compose(
  id: number,
  command: number,
  flags: number,
  payload: Uint8Array,
  errno = 0,
): Uint8Array {
  const words = new Uint32Array(headerBytes / 4);
  MessageHeader.id.set(words, 0, id);
  MessageHeader.command.set(words, 0, command);
  MessageHeader.size.set(words, 0, headerBytes + payload.length);
  MessageHeader.flags.set(words, 0, flags);
  MessageHeader.error.set(words, 0, errno);
  const bytes = new Uint8Array(headerBytes + payload.length);
  bytes.set(new Uint8Array(words.buffer));
  bytes.set(payload, headerBytes);
  return bytes;
}
