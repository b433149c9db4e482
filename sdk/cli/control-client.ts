import { connect, type Socket } from 'node:net';
import { ErrorCode, UltimaError } from '../errors.js';
import { codeOf } from '../sockets/places.js';
import { controlSockets } from './control-place.js';
import {
  type ControlAnswer,
  type ControlRequest,
  decodeAnswer,
  encodeRequest,
  LineReader,
  WireFault,
} from './control-wire.js';
import type { Terminal } from './terminal.js';

export interface HandedOver {
  /** The pool's, as they were named. */
  readonly devices: readonly string[];
  /** It may change the pool. */
  readonly isChange: boolean;
  readonly request: ControlRequest;
}

/**
 * Have a command carried out by the process that serves the pool, and print what it prints.
 *
 * @returns the exit code; null when no process of this user serves the pool, and nothing was done
 * @throws what the command throws; UltimaError OUTCOME_UNKNOWN when the server ends on the way of a
 *   change, or somebody interrupts it, COMMAND_ABORTED where nothing would have been changed
 */
export async function handOver(work: HandedOver, terminal: Terminal): Promise<number | null> {
  if (work.devices.length === 0) return null;
  for (const path of controlSockets(work.devices)) {
    const socket = await connected(path);
    if (socket === null) continue;
    const code = await new Conversation(socket, work, terminal).end;
    if (code !== null) return code;
  }
  return null;
}

/**
 * @returns null when nobody listens: what a dead server has left behind
 * @throws UltimaError DEVICE_BUSY for one that has too much to do to answer
 */
function connected(path: string): Promise<Socket | null> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once('error', (error) => {
      const code = codeOf(error);
      if (code === 'ECONNREFUSED' || code === 'ENOENT') return resolve(null);
      const message = `the process that serves the pool cannot be asked at ${path}: ${code}`;
      reject(new UltimaError(ErrorCode.deviceBusy, message, { path, reason: code }, error));
    });
    socket.once('connect', () => resolve(socket));
  });
}

/** From the request to its end, of whatever kind. */
class Conversation {
  readonly end: Promise<number | null>;
  private readonly socket: Socket;
  private readonly work: HandedOver;
  private readonly terminal: Terminal;
  private readonly reader = new LineReader();
  private hasStarted = false;
  private isOver = false;
  private settle: (code: number | null) => void = () => {};
  private fail: (error: Error) => void = () => {};
  private readonly onInterrupt = (): void => this.stop(this.brokenOff('it was interrupted'));

  constructor(socket: Socket, work: HandedOver, terminal: Terminal) {
    this.socket = socket;
    this.work = work;
    this.terminal = terminal;
    this.end = new Promise((resolve, reject) => {
      this.settle = resolve;
      this.fail = reject;
    });
    socket.on('error', () => {});
    socket.on('data', (bytes: Buffer) => this.receive(bytes));
    socket.on('close', () => this.closed());
    process.on('SIGINT', this.onInterrupt);
    socket.write(encodeRequest(work.request));
  }

  private receive(bytes: Uint8Array): void {
    try {
      for (const line of this.reader.push(bytes)) if (!this.isOver) this.hear(decodeAnswer(line));
    } catch (error) {
      if (!(error instanceof WireFault)) throw error;
      this.stop(this.brokenOff(`what serves the pool has answered ${error.message}`));
    }
  }

  private hear(answer: ControlAnswer): void {
    if (answer.kind === 'started') this.hasStarted = true;
    else if (answer.kind === 'progress') this.terminal.progress(printable(answer.text));
    else if (answer.kind === 'out') this.terminal.out(answer.text);
    else if (answer.kind === 'fault') this.stop(answer.error);
    else {
      this.over();
      this.settle(answer.code);
    }
  }

  private closed(): void {
    if (this.isOver) return;
    if (this.hasStarted) this.stop(this.brokenOff('the process that serves the pool has ended'));
    else {
      // It has not begun: the pool is free now, or another one has it.
      this.over();
      this.settle(null);
    }
  }

  private stop(error: Error): void {
    if (this.isOver) return;
    this.over();
    this.fail(error);
  }

  private over(): void {
    this.isOver = true;
    process.off('SIGINT', this.onInterrupt);
    this.socket.destroy();
  }

  /**
   * What is known about a command that has no end. That it has begun may be on its way, so that
   * only a server's own end, behind which nothing comes, tells that it has not.
   */
  private brokenOff(why: string): UltimaError {
    const { request, isChange } = this.work;
    const command = `ultima ${request.words.slice(0, 2).join(' ')}`;
    if (!isChange) {
      const message = `${command}: ${why}; nothing has been changed`;
      return new UltimaError(ErrorCode.commandAborted, message);
    }
    const message = `${command}: ${why}; whether it was done is unknown: look first`;
    return new UltimaError(ErrorCode.outcomeUnknown, message);
  }
}

/** On one line, and nothing that moves on a terminal. */
function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, ' ');
}
