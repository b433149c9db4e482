import { leastPayloads } from '../../sdk/spec/vfio-user/commands.js';
import { DmaTransfer } from '../../sdk/spec/vfio-user/dma.js';
import { Command } from '../../sdk/spec/vfio-user/header.js';
import type { Message, MessageStream } from './message-stream.js';
import type { PeerSocket, ServeSystem } from './peer.js';
import type { MessageDma } from './peer-memory.js';

/** The whole process waits for an answer: a peer that takes longer is given up. */
const answerLimitMs = 500;
/** Commands that a peer may send between our question and its answer. */
const waitingLimit = 256;
const headBytes = DmaTransfer.layout.bytes;

/**
 * DMA by messages [vfio-user §VFIO_USER_DMA_READ]: a question, and its answer before anything else
 * happens, because the device needs the bytes now. Commands of the peer that come in between are
 * kept in their order. After the first failure every access fails: the connection is to be closed.
 */
export class MessageExchange implements MessageDma {
  /** Why the peer is given up; empty while it is not. */
  failure = '';
  private readonly stream: MessageStream;
  private readonly socket: PeerSocket;
  private readonly system: ServeSystem;
  private readonly transferBytes: number;
  private readonly waiting: Message[] = [];
  private nextId = 0;

  /** @param options.transferBytes  data that the peer takes or gives with one message */
  constructor(options: {
    readonly stream: MessageStream;
    readonly socket: PeerSocket;
    readonly system: ServeSystem;
    readonly transferBytes: number;
  }) {
    this.stream = options.stream;
    this.socket = options.socket;
    this.system = options.system;
    this.transferBytes = options.transferBytes;
  }

  /** Whether an exchange has left something for its session to do: no message announces it. */
  get needsPump(): boolean {
    return this.waiting.length > 0 || this.failure !== '';
  }

  /** The oldest command that came during an exchange. */
  takeWaiting(): Message | null {
    return this.waiting.shift() ?? null;
  }

  read(iova: number, target: Uint8Array, at: number, length: number): boolean {
    for (let done = 0; done < length; ) {
      const run = Math.min(length - done, this.transferBytes);
      const answer = this.ask(Command.dmaRead, headOf(iova + done, run));
      if (answer === null) return false;
      if (answer.payload.length !== headBytes + run || !isAbout(answer, iova + done, run)) {
        return this.giveUp('its answer to a DMA read has another address or count');
      }
      target.set(answer.payload.subarray(headBytes), at + done);
      done += run;
    }
    return true;
  }

  write(iova: number, source: Uint8Array, at: number, length: number): boolean {
    for (let done = 0; done < length; ) {
      const run = Math.min(length - done, this.transferBytes);
      const question = new Uint8Array(headBytes + run);
      question.set(headOf(iova + done, run));
      question.set(source.subarray(at + done, at + done + run), headBytes);
      const answer = this.ask(Command.dmaWrite, question);
      if (answer === null) return false;
      if (!isAbout(answer, iova + done, run)) {
        return this.giveUp('its answer to a DMA write has another address or count');
      }
      done += run;
    }
    return true;
  }

  /** @returns the answer; null when the peer refused or is given up */
  private ask(command: number, payload: Uint8Array): Message | null {
    if (this.failure !== '') return null;
    const id = this.nextId;
    this.nextId = (id + 1) & 0xffff;
    const untilMs = this.system.nowMs() + answerLimitMs;
    if (!this.stream.ask(id, command, payload) || !this.sendAll(untilMs)) {
      this.giveUp('it is gone, or takes no messages');
      return null;
    }
    for (;;) {
      const message = this.stream.receive();
      if (message === 'nothing') {
        const leftMs = Math.ceil(untilMs - this.system.nowMs());
        if (leftMs > 0 && this.socket.waitReadable(leftMs)) continue;
        this.giveUp(`it did not answer for ${answerLimitMs} ms`);
        return null;
      }
      if (typeof message === 'string') {
        this.giveUp(message === 'gone' ? 'it is gone' : this.stream.brokenBy);
        return null;
      }
      if (!message.isReply) {
        this.waiting.push(message);
        if (this.waiting.length <= waitingLimit) continue;
        this.giveUp(`it sent more than ${waitingLimit} commands instead of an answer`);
        return null;
      }
      for (const fd of message.fds) this.system.closeDescriptor(fd);
      if (message.id !== id || message.command !== command) {
        this.giveUp('it answered what was not asked');
        return null;
      }
      return message.hasError || message.payload.length < leastAnswer(command) ? null : message;
    }
  }

  private sendAll(untilMs: number): boolean {
    while (this.stream.isBlocked) {
      const leftMs = Math.ceil(untilMs - this.system.nowMs());
      if (leftMs <= 0 || !this.socket.waitWritable(leftMs) || !this.stream.flush()) return false;
    }
    return true;
  }

  private giveUp(reason: string): false {
    if (this.failure === '') this.failure = reason;
    return false;
  }
}

function headOf(address: number, count: number): Uint8Array {
  const words = new Uint32Array(headBytes / 4);
  DmaTransfer.address.set(words, 0, address);
  DmaTransfer.count.set(words, 0, count);
  return new Uint8Array(words.buffer);
}

/** The text has the count of a write's answer in a dword, those that speak it in a quadword. */
function isAbout(answer: Message, address: number, count: number): boolean {
  const { words } = answer;
  const isSameAddress =
    DmaTransfer.address.isExact(words, 0) && DmaTransfer.address.get(words, 0) === address;
  return isSameAddress && words[DmaTransfer.count.dword] === count;
}

function leastAnswer(command: number): number {
  return leastPayloads.get(command)!.reply;
}
