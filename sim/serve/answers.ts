import type { Struct } from '../../sdk/spec/layout.js';
import { Errno } from '../../sdk/spec/vfio-user/header.js';
import type { Message } from './message-stream.js';
import type { ServedFunction } from './served-function.js';

/** What a command is answered with: a payload, or a UNIX error number. */
export type Answer = Reply | number;

export interface Reply {
  readonly payload: Uint8Array;
  /** Descriptors that go along. */
  readonly fds?: readonly number[];
  /** The descriptors of the command belong to somebody now. */
  readonly keepsFds?: boolean;
}

/** What handlers work on. */
export interface Place {
  readonly served: ServedFunction;
  /** Data that one message may carry. */
  readonly transferBytes: number;
  /** Descriptors that the peer takes with one message. */
  readonly peerMessageFds: number;
  readonly hasWriteMultiple: boolean;
}

export type Handler = (message: Message, place: Place) => Answer;

export const done: Reply = { payload: new Uint8Array(0) };

/** Descriptors came with a command that takes none. */
export const strayFds = Errno.EINVAL;

/** The first structure of a payload, again, to be changed and sent back. */
export function echoOf(message: Message, table: Struct, bytes = table.layout.bytes): Uint32Array {
  const words = new Uint32Array(Math.ceil(bytes / 4));
  words.set(message.words.subarray(0, table.layout.bytes / 4));
  return words;
}

export function bytesOf(words: Uint32Array): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
}
