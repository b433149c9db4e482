import { ErrorCode, UltimaError } from '../errors.js';
import { KiB, MiB } from '../units.js';

/**
 * What a command and the server of a pool say to each other: one request, then answers, each a line
 * of JSON. Neither believes the other: what is longer, or of another shape, is refused.
 */
export const controlVersion = 1;
export const mostLineBytes = MiB;
const mostWords = 4096;
const mostWordLength = 64 * KiB;
const mostKeys = 256;
/** Characters of a result in one line; escaped, each has at most six bytes. */
const pieceLength = 32 * KiB;
const newline = 10;

/** `ultima NOUN VERB …` for a server to carry out. */
export interface ControlRequest {
  /** From the noun on. */
  readonly words: readonly string[];
  /** What tells each key of `--key` from another one; the keys themselves stay where they are. */
  readonly keyChecks: ReadonlyMap<string, string>;
}

export type ControlAnswer =
  /** It begins now; before that nothing has happened. */
  | { readonly kind: 'started' }
  | { readonly kind: 'progress'; readonly text: string }
  /** A piece of what the command prints. */
  | { readonly kind: 'out'; readonly text: string }
  | { readonly kind: 'end'; readonly code: number }
  | { readonly kind: 'fault'; readonly error: Error };

/** Something that no program of ours says. */
export class WireFault extends Error {}

/** Cuts what comes into lines. */
export class LineReader {
  private kept: Uint8Array[] = [];
  private keptBytes = 0;
  private readonly decoder = new TextDecoder('utf-8', { fatal: true });

  /** @throws WireFault for a line that is too long, or no UTF-8 */
  push(bytes: Uint8Array): string[] {
    const lines: string[] = [];
    for (let from = 0; from < bytes.length; ) {
      const found = bytes.indexOf(newline, from);
      const end = found < 0 ? bytes.length : found;
      this.keptBytes += end - from;
      if (this.keptBytes > mostLineBytes) {
        throw new WireFault(`a line of more than ${mostLineBytes} bytes`);
      }
      this.kept.push(bytes.slice(from, end));
      if (found >= 0) lines.push(this.takeLine());
      from = end + 1;
    }
    return lines;
  }

  private takeLine(): string {
    const line = Buffer.concat(this.kept);
    this.kept = [];
    this.keptBytes = 0;
    try {
      return this.decoder.decode(line);
    } catch {
      throw new WireFault('a line that is no UTF-8');
    }
  }
}

export function encodeRequest({ words, keyChecks }: ControlRequest): string {
  const keys = Object.fromEntries(keyChecks);
  return `${JSON.stringify({ ultima: controlVersion, words, keys })}\n`;
}

/** @throws WireFault; UltimaError COMMAND_FAILED for another version */
export function decodeRequest(line: string): ControlRequest {
  const request = objectOf(line);
  if (request.ultima !== controlVersion) {
    const message =
      `the server of the pool speaks version ${controlVersion} of what commands say to it, and ` +
      `this command another one; end the server first, or use the same version of ultima`;
    throw new UltimaError(ErrorCode.commandFailed, message, {});
  }
  const { words, keys } = request;
  if (!Array.isArray(words) || words.length < 2 || words.length > mostWords) {
    throw new WireFault(`words are 2 to ${mostWords} texts`);
  }
  const texts = words.map((word: unknown) => textOf(word, 'a word'));
  if (typeof keys !== 'object' || keys === null || Array.isArray(keys)) {
    throw new WireFault('keys are no object');
  }
  const entries = Object.entries(keys);
  if (entries.length > mostKeys) throw new WireFault(`more than ${mostKeys} keys`);
  const checks = entries.map(([id, check]): [string, string] => [id, textOf(check, 'a key')]);
  return { words: texts, keyChecks: new Map(checks) };
}

export function encodeAnswer(answer: ControlAnswer): string {
  if (answer.kind !== 'fault') return `${JSON.stringify(answer)}\n`;
  const { error } = answer;
  const isKnown = error instanceof UltimaError || error instanceof RangeError;
  const message = isKnown ? error.message : (error.stack ?? error.message);
  const code =
    error instanceof UltimaError ? error.code : error instanceof RangeError ? 'RANGE' : '';
  return `${JSON.stringify({ kind: 'fault', code, message: message.slice(0, pieceLength) })}\n`;
}

/** @throws WireFault */
export function decodeAnswer(line: string): ControlAnswer {
  const { kind, text, code, message } = objectOf(line);
  if (kind === 'started') return { kind };
  if (kind === 'progress' || kind === 'out') return { kind, text: textOf(text, 'a text') };
  if (kind === 'end') {
    if (code === 0 || code === 1) return { kind, code };
    throw new WireFault('an exit code that cannot be');
  }
  if (kind !== 'fault') throw new WireFault('an answer that there is not');
  return { kind, error: errorOf(textOf(code, 'a code'), textOf(message, 'a message')) };
}

/** Pieces of a text that fit into lines; no character is cut in two. */
export function* piecesOf(text: string): Generator<string> {
  for (let from = 0; from < text.length; ) {
    let to = Math.min(from + pieceLength, text.length);
    const last = text.charCodeAt(to - 1);
    if (to < text.length && last >= 0xd800 && last <= 0xdbff) to++;
    yield text.slice(from, to);
    from = to;
  }
}

function errorOf(code: string, message: string): Error {
  if (code === 'RANGE') return new RangeError(message);
  const known = Object.values(ErrorCode).find((each) => each === code);
  if (known !== undefined) return new UltimaError(known, message);
  const error = new Error(message);
  // Where it happened is in the server.
  error.stack = message;
  return error;
}

function objectOf(line: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new WireFault('a line that is no JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new WireFault('a line that is no object');
  }
  return Object.fromEntries(Object.entries(value));
}

function textOf(value: unknown, what: string): string {
  if (typeof value === 'string' && value.length <= mostWordLength) return value;
  throw new WireFault(`${what} that is no text of at most ${mostWordLength} characters`);
}
