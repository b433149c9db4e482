import { MessageFlags, MessageHeader, MessageType } from '../../sdk/spec/vfio-user/header.js';
import { peerGone, type UnixSocket } from '../socket.js';
import type { ServerAnswer } from './server-commands.js';

const headerBytes = MessageHeader.layout.bytes;
const leastDraftBytes = 4096;
const noDescriptors = new Int32Array(0);

/** What the other side has not taken yet. */
interface Waiting {
  bytes: Uint8Array;
  fds: Int32Array;
}

/** Messages on their way out, in order. What the socket takes no more of now waits here. */
export class Outbox {
  /** The draft of the next command, header included. */
  readonly words: Uint32Array<ArrayBuffer>;
  readonly bytes: Uint8Array;
  private readonly socket: UnixSocket;
  private readonly limitBytes: number;
  private readonly head = new Uint32Array(headerBytes / 4);
  private readonly headBytes = new Uint8Array(this.head.buffer);
  private readonly waiting: Waiting[] = [];
  private waitingBytes = 0;

  /** @param limitBytes of a message; twice as many may wait */
  constructor(socket: UnixSocket, limitBytes: number) {
    this.socket = socket;
    this.limitBytes = limitBytes;
    this.words = new Uint32Array(Math.ceil(Math.max(leastDraftBytes, limitBytes) / 4));
    this.bytes = new Uint8Array(this.words.buffer);
  }

  get isEmpty(): boolean {
    return this.waiting.length === 0;
  }

  /** More waits than one answer of the largest size: the other side only asks and never takes. */
  get isFull(): boolean {
    return this.waitingBytes > 2 * this.limitBytes;
  }

  /** @returns bytes that went or wait, or `peerGone` */
  sendDraft(length: number, fds: Int32Array): number {
    return this.send(this.bytes.subarray(0, length), fds);
  }

  /** @returns as `sendDraft` */
  sendReply(answer: ServerAnswer & { readonly id: number; readonly command: number }): number {
    const { head } = this;
    let size = headerBytes;
    if (answer.errno === 0) for (const piece of answer.pieces) size += piece.length;
    MessageHeader.id.set(head, 0, answer.id);
    MessageHeader.command.set(head, 0, answer.command);
    MessageHeader.size.set(head, 0, size);
    const hasError = answer.errno === 0 ? 0 : 1;
    MessageHeader.flags.set(head, 0, MessageFlags.hasError.put(MessageType.reply, hasError));
    MessageHeader.error.set(head, 0, answer.errno);
    let result = this.send(this.headBytes, noDescriptors);
    if (answer.errno !== 0) return result;
    for (const piece of answer.pieces) {
      if (result !== peerGone && piece.length > 0) result = this.send(piece, noDescriptors);
    }
    return result;
  }

  /** Send what waits. @returns 0, or `peerGone` */
  flush(): number {
    while (this.waiting.length > 0) {
      const first = this.waiting[0]!;
      const count = this.socket.send(first.bytes, first.fds);
      if (count === peerGone) return peerGone;
      this.waitingBytes -= count;
      if (count < first.bytes.length) {
        if (count > 0) first.fds = noDescriptors;
        first.bytes = first.bytes.subarray(count);
        return 0;
      }
      this.waiting.shift();
    }
    return 0;
  }

  private send(bytes: Uint8Array, fds: Int32Array): number {
    const count = this.isEmpty ? this.socket.send(bytes, fds) : 0;
    if (count === peerGone || count === bytes.length) return count;
    // The memory may change before it goes: what waits is a copy.
    const rest = bytes.slice(count);
    this.waiting.push({ bytes: rest, fds: count > 0 ? noDescriptors : fds });
    this.waitingBytes += rest.length;
    return bytes.length;
  }
}
