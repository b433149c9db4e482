import { createServer, type Server, type Socket } from 'node:net';
import { ErrorCode, UltimaError } from '../errors.js';
import { keyCheckOf } from '../volume/cipher.js';
import type { KeyFinder } from '../volume/core.js';
import type { Pool } from '../volume/pool.js';
import { usageError } from './arguments.js';
import type { ControlClaim } from './control-place.js';
import {
  type ControlAnswer,
  decodeRequest,
  encodeAnswer,
  LineReader,
  piecesOf,
  WireFault,
} from './control-wire.js';
import { verbs as poolVerbs } from './pool.js';
import {
  type LoneTask,
  type PoolTask,
  type PoolUsers,
  type PoolVerb,
  stepsTo,
} from './pool-verbs.js';
import { verbs as snapshotVerbs } from './snapshot.js';
import {
  chosenVerb,
  formatOf,
  type ListResult,
  type OutputFormat,
  rendered,
  type VerbResult,
} from './verb-result.js';
import { verbs as volumeVerbs } from './volume.js';

export interface PoolControlOptions {
  /** Held until the pool is closed, too. */
  readonly claim: ControlClaim;
  readonly pool: Pool;
  readonly keys: KeyFinder;
  readonly users: PoolUsers | null;
  /** Look again how large the devices are. */
  readonly measure: () => void;
  /** Why commands may only look; '' when they may change the pool. */
  readonly lookOnly?: string;
}

const nouns: Readonly<Record<string, Readonly<Record<string, PoolVerb>>>> = {
  pool: poolVerbs,
  volume: volumeVerbs,
  snapshot: snapshotVerbs,
};
const mostSessions = 32;
/** Until a command has said what it wants. */
const requestMs = 10_000;
/** Until what has been said at the end is taken. */
const closingMs = 2000;

/**
 * Commands of other processes for a pool that this one has open. They are carried out here as they
 * would be there, and what they print goes back.
 *
 * What always holds
 *   - One change at a time; commands that only look go on beside it.
 *   - A command that is told as not begun has done nothing. Whose process ends before its turn is
 *     not carried out; long work ends at its next step, a change in the pool's own pieces of it.
 *   - Whatever is sent here harms the connection that it comes from, and nothing else.
 */
export class PoolControl {
  /** Where it listens; '' where there is no place, `why` says why. */
  readonly path: string;
  readonly why: string;
  readonly options: PoolControlOptions;
  isClosing = false;
  private readonly server: Server;
  private readonly sessions = new Set<Session>();
  private last: Promise<unknown> = Promise.resolve();

  private constructor(
    options: PoolControlOptions,
    place: { readonly path: string; readonly why: string },
  ) {
    this.options = options;
    this.path = place.path;
    this.why = place.why;
    this.server = createServer((socket) => this.accept(socket));
  }

  /** Listen until `close`. */
  static async start(options: PoolControlOptions): Promise<PoolControl> {
    const place = await options.claim.place().catch((error: unknown) => ({
      path: '',
      why: error instanceof Error ? error.message : String(error),
    }));
    if (place.path !== '') {
      const control = new PoolControl(options, place);
      const why = await listening(control.server, place.path);
      if (why === '') return control;
      return new PoolControl(options, { path: '', why });
    }
    return new PoolControl(options, place);
  }

  /** Changes under way end first, whatever else is under way is broken off. Idempotent. */
  async close(): Promise<void> {
    if (this.isClosing) return;
    this.isClosing = true;
    if (this.path !== '') this.server.close();
    const late = setTimeout(() => {
      for (const session of this.sessions) session.cut();
    }, closingMs);
    await Promise.all([...this.sessions].map((session) => session.ended()));
    clearTimeout(late);
  }

  /** One after the other. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.last.then(work);
    this.last = result.catch(() => {});
    return result;
  }

  private accept(socket: Socket): void {
    const session = new Session(socket, this);
    this.sessions.add(session);
    session.run(this.sessions.size > mostSessions).then(() => this.sessions.delete(session));
  }
}

/** @returns why it cannot listen; '' when it does */
function listening(server: Server, path: string): Promise<string> {
  return new Promise((resolve) => {
    server.once('error', (error) => resolve(`cannot listen at ${path}: ${error.message}`));
    server.listen(path, () => {
      server.removeAllListeners('error');
      // One that cannot be accepted is its own loss.
      server.on('error', () => {});
      resolve('');
    });
  });
}

interface Outcome {
  readonly result: VerbResult | ListResult;
  readonly format: OutputFormat;
}

/** One command of another process. */
class Session {
  private readonly socket: Socket;
  private readonly control: PoolControl;
  private isGone = false;
  private running: Promise<void> = Promise.resolve();
  private isWaiting = true;

  constructor(socket: Socket, control: PoolControl) {
    this.socket = socket;
    this.control = control;
    socket.on('error', () => {});
    socket.once('close', () => {
      this.isGone = true;
    });
  }

  run(isTooMany: boolean): Promise<void> {
    this.running = this.converse(isTooMany);
    return this.running;
  }

  /** @returns when it is over; one that has asked for nothing yet is cut off */
  ended(): Promise<void> {
    if (this.isWaiting) this.cut();
    return this.running;
  }

  cut(): void {
    this.socket.destroy();
  }

  private async converse(isTooMany: boolean): Promise<void> {
    try {
      const line = await this.request();
      if (isTooMany) throw new UltimaError(ErrorCode.deviceBusy, tooMany);
      const { result, format } = await this.carryOut(line);
      for await (const text of rendered(result, format)) await this.tell(text);
      await this.send({ kind: 'end', code: result.code ?? 0 });
    } catch (error) {
      const told = error instanceof WireFault ? usageError(`no request: ${error.message}`) : error;
      const fault = told instanceof Error ? told : new Error(String(told));
      await this.send({ kind: 'fault', error: fault }).catch(() => {});
      // What is ours to mend ends this process, as it would end any other.
      if (!(fault instanceof UltimaError || fault instanceof RangeError)) throw fault;
    } finally {
      this.socket.destroySoon();
    }
  }

  /** The one line; what comes behind it ends the connection. */
  private request(): Promise<string> {
    const { socket } = this;
    const reader = new LineReader();
    return new Promise((resolve, reject) => {
      const end = (settle: () => void): void => {
        clearTimeout(late);
        this.isWaiting = false;
        settle();
      };
      const late = setTimeout(() => end(() => reject(new WireFault('it never came'))), requestMs);
      socket.once('close', () => end(() => reject(new WireFault('the connection was closed'))));
      socket.on('data', (bytes: Buffer) => {
        if (!this.isWaiting) return void socket.destroy();
        try {
          const [line, ...more] = reader.push(bytes);
          if (line === undefined) return;
          if (more.length > 0) throw new WireFault('one command at a time');
          end(() => resolve(line));
        } catch (error) {
          end(() => reject(error));
        }
      });
    });
  }

  private async carryOut(line: string): Promise<Outcome> {
    const { words, keyChecks } = decodeRequest(line);
    const [noun, ...more] = words;
    const verbs = Object.entries(nouns).find(([name]) => name === noun)?.[1];
    if (verbs === undefined) throw usageError(`no command of a pool: ${noun}`);
    const { verb, rest } = chosenVerb(noun!, verbs, more);
    const format = formatOf(rest);
    const task = verb(rest);
    if (!('use' in task)) throw needsAll(task);
    demandKeys(this.control.options.keys, keyChecks);
    const result = await (task.access === 'read' ? this.use(task) : this.change(task));
    return { result, format };
  }

  private change(task: PoolTask): Promise<VerbResult | ListResult> {
    const { lookOnly = '' } = this.control.options;
    if (lookOnly !== '') throw new UltimaError(ErrorCode.deviceBusy, lookOnly);
    return this.control.inTurn(() => this.use(task));
  }

  private async use(task: PoolTask): Promise<VerbResult | ListResult> {
    const { pool, keys, users, measure } = this.control.options;
    this.demandListener();
    // Nothing is done before this is with the other side, or at least on its way there for certain.
    await this.send({ kind: 'started' });
    const show = stepsTo((text) => {
      // Who does not read gets no more of it.
      if (this.socket.writableLength === 0) this.send({ kind: 'progress', text }).catch(() => {});
    });
    return task.use(pool, {
      keys,
      users,
      measure,
      step: (what, done, total) => {
        this.demandListener();
        show(what, done, total);
      },
    });
  }

  private demandListener(): void {
    if (!this.isGone && !this.control.isClosing) return;
    const why = this.isGone ? 'interrupted' : 'the process that serves the pool is ending';
    throw new UltimaError(ErrorCode.commandAborted, why);
  }

  private async tell(text: string): Promise<void> {
    for (const piece of piecesOf(text)) await this.send({ kind: 'out', text: piece });
  }

  /** @returns when the system has it */
  private send(answer: ControlAnswer): Promise<void> {
    return new Promise((resolve, reject) => {
      this.socket.write(encodeAnswer(answer), (error) => {
        if (error === undefined || error === null) resolve();
        else reject(new WireFault(error.message));
      });
    });
  }
}

const tooMany = `${mostSessions} other commands are under way in the process that serves the pool`;

function needsAll({ what }: LoneTask): UltimaError {
  const message =
    `process ${process.pid} serves the pool, and 'ultima ${what}' needs it for itself; ` +
    `end that process first`;
  return new UltimaError(ErrorCode.deviceBusy, message);
}

/** The other side's keys stay there: ours are used, and must be the same. */
function demandKeys(keys: KeyFinder, checks: ReadonlyMap<string, string>): void {
  for (const [id, check] of checks) {
    const own = keys(id);
    if (own === null) {
      const message =
        `process ${process.pid} serves the pool and does not have the key '${id}'; ` +
        `start it with --key ${id}=SOURCE`;
      throw new UltimaError(ErrorCode.notFound, message, { keyId: id });
    }
    if (keyCheckOf(own) === check) continue;
    const message = `process ${process.pid} serves the pool and has another key '${id}'`;
    throw new UltimaError(ErrorCode.verifyFailed, message, { keyId: id });
  }
}
