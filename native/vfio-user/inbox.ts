import { MessageHeader } from '../../sdk/spec/vfio-user/header.js';
import { peerGone, type UnixSocket } from '../socket.js';

const headerBytes = MessageHeader.layout.bytes;

/** Nothing whole yet, a whole message, or what is wrong with the connection. */
export type Received = 'nothing' | 'message' | string;

/**
 * Messages as they arrive, one at a time. The header is read alone and then exactly the payload, so
 * that descriptors are known to belong to the message that they came with. The size that a header
 * claims is believed only as far as the message may be large.
 */
export class Inbox {
  readonly words: Uint32Array;
  private readonly bytes: Uint8Array;
  private readonly header: Uint8Array;
  private readonly socket: UnixSocket;
  private readonly limitOf: (words: Uint32Array) => number;
  private have = 0;
  private size = headerBytes;
  private isWhole = false;

  /**
   * @param limitBytes of the largest message that can come
   * @param limitOf    bytes of payload that a message with this header may have, -1 for none at all
   */
  constructor(socket: UnixSocket, limitBytes: number, limitOf: (words: Uint32Array) => number) {
    this.socket = socket;
    this.limitOf = limitOf;
    this.words = new Uint32Array(Math.ceil(limitBytes / 4));
    this.bytes = new Uint8Array(this.words.buffer);
    this.header = this.bytes.subarray(0, headerBytes);
  }

  /** Of the message that came last. */
  get payloadBytes(): number {
    return this.size - headerBytes;
  }

  /** A view, until the next message. */
  get payload(): Uint8Array {
    return this.bytes.subarray(headerBytes, this.size);
  }

  /** Take what is there, up to the end of one message. */
  receive(): Received {
    if (this.isWhole) {
      this.isWhole = false;
      this.have = 0;
      this.size = headerBytes;
    }
    for (;;) {
      // Looking whether there is something happens often, and allocates nothing.
      const isFresh = this.have === 0 && this.size === headerBytes;
      const into = isFresh ? this.header : this.bytes.subarray(this.have, this.size);
      const count = this.socket.receive(into);
      if (count === peerGone) return 'it closed the connection';
      if (this.socket.refusedCount > 0) return 'it sent more descriptors than were agreed on';
      if (count === 0) return 'nothing';
      this.have += count;
      if (this.have < this.size) continue;
      if (this.have === headerBytes) {
        const fault = this.takeSize(this.limitOf(this.words));
        if (fault !== '') return fault;
        if (this.size > headerBytes) continue;
      }
      this.isWhole = true;
      return 'message';
    }
  }

  /** Close descriptors that nobody wants. @returns how many */
  drop(descriptors: readonly number[]): number {
    this.socket.giveUp(descriptors);
    return descriptors.length;
  }

  private takeSize(limit: number): string {
    if (limit < 0) return 'it answered what was not asked';
    const size = MessageHeader.size.get(this.words, 0);
    if (size < headerBytes || size > headerBytes + limit) {
      return `it sent a message of ${size} bytes, at most ${headerBytes + limit} are possible`;
    }
    this.size = size;
    return '';
  }
}
