import { Count16, Count32, longestText } from '../spec/nbd/handshake.js';

const decoder = new TextDecoder('utf-8', { fatal: true });

/**
 * The data of an option, read from its start. What does not fit is `null` from then on: an option
 * is either wholly as the text has it, or invalid.
 */
class OptionData {
  private readonly bytes: Uint8Array;
  private at = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  /** All of it has been read, and nothing was missing. */
  get isComplete(): boolean {
    return this.at === this.bytes.length;
  }

  count16(): number | null {
    return this.has(2) ? Count16.value.get(this.bytes, this.at - 2) : null;
  }

  count32(): number | null {
    return this.has(4) ? Count32.value.get(this.bytes, this.at - 4) : null;
  }

  /** A length and so many bytes of text. */
  text(): string | null {
    const length = this.count32();
    if (length === null || length > longestText || !this.has(length)) return null;
    return textOf(this.bytes.subarray(this.at - length, this.at));
  }

  private has(length: number): boolean {
    const fits = this.at + length <= this.bytes.length;
    // Beyond the end: whatever is asked for next is missing, too.
    this.at = fits ? this.at + length : this.bytes.length + 1;
    return fits;
  }
}

/** The text; null for bytes that are none. */
export function textOf(bytes: Uint8Array): string | null {
  if (bytes.length > longestText || bytes.includes(0)) return null;
  try {
    return decoder.decode(bytes);
  } catch (error) {
    if (error instanceof TypeError) return null;
    throw error;
  }
}

/** What infoQuery reads: the data of the options info and go. */
export interface InfoQuery {
  readonly name: string;
  readonly wanted: readonly number[];
}

export function infoQuery(bytes: Uint8Array): InfoQuery | null {
  const data = new OptionData(bytes);
  const name = data.text();
  const count = data.count16();
  if (name === null || count === null) return null;
  const wanted: number[] = [];
  for (let i = 0; i < count; i++) {
    const type = data.count16();
    if (type === null) return null;
    wanted.push(type);
  }
  return data.isComplete ? { name, wanted } : null;
}

/** The data of the options that list and set metadata contexts. */
export interface ContextQuery {
  readonly name: string;
  readonly queries: readonly string[];
}

export function contextQuery(bytes: Uint8Array): ContextQuery | null {
  const data = new OptionData(bytes);
  const name = data.text();
  const count = data.count32();
  if (name === null || count === null) return null;
  const queries: string[] = [];
  for (let i = 0; i < count; i++) {
    const query = data.text();
    if (query === null) return null;
    queries.push(query);
  }
  return data.isComplete ? { name, queries } : null;
}
