import type { VendorAnswer, VendorCommand } from '../fabric/subsystem.js';
import { Status } from '../spec/nvme/status.js';
import { KiB } from '../units.js';

/**
 * A message and its answer, of any length, over vendor specific admin commands:
 *
 *   0xc1  to the controller   a part of the message: dword 10 its offset, 11 the whole length
 *   0xc2  to the host         a part of the answer: dword 10 its offset; the completion's dword 0
 *                             has the whole length; waits until there is one
 *
 * One exchange at a time for each association: a part at offset 0 begins a new one.
 */
const sendOpcode = 0xc1;
const receiveOpcode = 0xc2;
/** What most answers fit in: all of it is sent, however short the answer is. */
const firstPartBytes = 32 * KiB;
/** Each part takes the time of a way there and back: few are better. Controllers take a MiB. */
const mostPartBytes = 512 * KiB;
export const longestMessageBytes = 64 * 1024 * 1024;

/** What an exchange looks at of a command. */
export type ExchangeCommand = Pick<VendorCommand, 'opcode' | 'dwords' | 'data' | 'mostAnswerBytes'>;

type Answering = (message: Uint8Array) => Promise<Uint8Array>;

/** The controller's end, one for each association. */
export class ExchangeServer {
  private readonly answering: Answering;
  private message = new Uint8Array(0);
  private gotBytes = 0;
  private answer: Promise<Uint8Array> | null = null;

  /** @param answering  must not reject */
  constructor(answering: Answering) {
    this.answering = answering;
  }

  async take(command: ExchangeCommand): Promise<VendorAnswer> {
    if (command.opcode === sendOpcode) return { status: this.takePart(command) };
    if (command.opcode !== receiveOpcode) return { status: Status.invalidOpcode };
    return await this.givePart(command);
  }

  private takePart({ dwords, data }: ExchangeCommand): number {
    const [offset = 0, length = 0] = dwords;
    if (offset === 0) {
      if (length < 1 || length > longestMessageBytes) return Status.invalidField;
      this.message = new Uint8Array(length);
      this.gotBytes = 0;
      this.answer = null;
    }
    const isNext = offset === this.gotBytes && length === this.message.length;
    if (!isNext || data.length < 1 || offset + data.length > length) return Status.invalidField;
    this.message.set(data, offset);
    this.gotBytes += data.length;
    if (this.gotBytes === length) this.answer = this.answering(this.message);
    return Status.success;
  }

  private async givePart(command: ExchangeCommand): Promise<VendorAnswer> {
    const { answer } = this;
    const [offset = 0] = command.dwords;
    if (answer === null) return { status: Status.commandSequenceError };
    const bytes = await answer;
    if (offset > bytes.length) return { status: Status.invalidField };
    const data = bytes.subarray(offset, offset + command.mostAnswerBytes);
    return { status: Status.success, result: bytes.length, data };
  }
}

/** One command of the host's end. @returns status and dword 0 of the completion */
export type Sending = (command: {
  readonly opcode: number;
  readonly dwords: readonly number[];
  readonly send?: Uint8Array;
  readonly receive?: Uint8Array;
}) => Promise<{ readonly status: number; readonly result: number }>;

/**
 * The host's end: send a message, and wait for its answer. Calls must not overlap.
 *
 * @returns the answer; null when the controller refuses, or says what makes no sense
 */
export async function exchange(send: Sending, message: Uint8Array): Promise<Uint8Array | null> {
  for (let at = 0; at < message.length; at += mostPartBytes) {
    const part = message.slice(at, at + mostPartBytes);
    const dwords = [at, message.length];
    const { status } = await send({ opcode: sendOpcode, dwords, send: part });
    if (status !== Status.success) return null;
  }
  let answer = new Uint8Array(0);
  let at = 0;
  do {
    const receive = new Uint8Array(at === 0 ? firstPartBytes : partOf(answer.length - at));
    const { status, result } = await send({ opcode: receiveOpcode, dwords: [at], receive });
    if (status !== Status.success || result > longestMessageBytes) return null;
    if (at === 0) answer = new Uint8Array(result);
    if (result !== answer.length) return null;
    answer.set(receive.subarray(0, result - at), at);
    at += receive.length;
  } while (at < answer.length);
  return answer;
}

/** What is left, in whole dwords. */
function partOf(leftBytes: number): number {
  return Math.min(mostPartBytes, 4 * Math.ceil(leftBytes / 4));
}
