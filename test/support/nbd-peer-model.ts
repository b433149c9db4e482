/**
 * What a client may expect from an NBD server, worked out naively from the text of the protocol and
 * from nothing else: the bytes that the client has said are read again here, request by request,
 * and every answer must be one of those that the text allows.
 */
export class NbdPeerModel {
  /** The client has broken a rule for which a server may end the connection. */
  mayBeCutOff = false;
  private readonly size: ModelSize;
  private readonly blockBytes: number;
  /** What the export had at least when the server saw what is being read here. */
  private leastBytes = 0;
  private input = Buffer.alloc(0);
  private output = Buffer.alloc(0);
  private phase: 'flags' | 'options' | 'requests' | 'over' = 'flags';
  private hasGreeting = false;
  private isStructured = false;
  /** Heads have 32 bytes, and lengths 64 bits. */
  private isExtended = false;
  private contexts = 0;
  private hasAnswerTo: number | null = null;
  /** Answers to come, by cookie. */
  private readonly expected = new Map<string, Expected[]>();
  private count = 0;
  private all: Expected[] = [];

  constructor(size: ModelSize, blockBytes: number) {
    this.size = size;
    this.blockBytes = blockBytes;
  }

  said(bytes: Buffer): void {
    if (this.input.length === 0) this.leastBytes = this.size.now();
    this.input = Buffer.concat([this.input, bytes]);
    this.readInput();
  }

  /** Nothing more comes: a write whose data is missing is answered with an error. */
  ended(): void {
    const { input } = this;
    if (this.phase !== 'requests' || input.length < this.headBytes) return;
    this.said(Buffer.alloc(this.headBytes + this.lengthOf(input) - input.length));
    this.phase = 'over';
    for (const list of this.expected.values()) {
      for (const asked of list)
        if (asked.isLast && asked.errors.length === 0) asked.errors.push(22);
    }
  }

  /** @returns what no server may say, or null */
  heard(bytes: Buffer): string | null {
    if (this.mayBeCutOff) return null;
    this.output = Buffer.concat([this.output, bytes]);
    if (!this.hasGreeting) {
      if (this.output.length < 18) return null;
      this.output = this.output.subarray(18);
      this.hasGreeting = true;
    }
    for (;;) {
      const before = this.output.length;
      const fault = this.phaseOfOutput === 'options' ? this.hearReply() : this.hearAnswer();
      if (fault !== null || this.output.length === before) return fault;
      // What a reply has decided may be what the next bytes depend on.
      this.readInput();
    }
  }

  /** @returns which request has no answer although all are carried out */
  missing(): string | null {
    if (this.mayBeCutOff || this.count === 0) return null;
    const [cookie] = [...this.expected].find(([, list]) => list.length > 0)!;
    return `${this.count} requests have no answer, one of them ${cookie}`;
  }

  private get headBytes(): number {
    return this.isExtended ? 32 : 28;
  }

  private lengthOf(head: Buffer): number {
    return this.isExtended ? Number(head.readBigUInt64BE(24)) : head.readUInt32BE(24);
  }

  /** Options are said one by one: the client has gone on when the last one was answered. */
  private get phaseOfOutput(): 'options' | 'requests' {
    return this.hasAnswerTo !== null || this.phase === 'options' ? 'options' : 'requests';
  }

  private readInput(): void {
    for (;;) {
      if (this.phase === 'flags' && this.input.length >= 4) {
        if (this.input.readUInt32BE(0) > 3) this.break();
        else this.phase = 'options';
        this.input = this.input.subarray(4);
      } else if (this.phase === 'options' && this.hasAnswerTo === null && this.input.length >= 16) {
        if (!this.readOption()) return;
      } else if (this.phase === 'requests' && this.input.length >= this.headBytes) {
        if (!this.readRequest()) return;
      } else return;
    }
  }

  private break(): void {
    this.mayBeCutOff = true;
    this.phase = 'over';
  }

  /** @returns whether it was there as a whole */
  private readOption(): boolean {
    const length = this.input.readUInt32BE(12);
    if (this.input.toString('latin1', 0, 8) !== 'IHAVEOPT' || length > 65_536) {
      this.break();
      return false;
    }
    if (this.input.length < 16 + length) return false;
    const code = this.input.readUInt32BE(8);
    const data = this.input.subarray(16, 16 + length);
    this.input = this.input.subarray(16 + length);
    this.hasAnswerTo = code;
    // An export by name is answered without a reply, or by the end.
    if (code === 1) this.break();
    if (code === 10) this.contexts = 0;
    this.lastName = code === 7 && length >= 4 ? data.toString('utf8', 4, length - 2) : '';
    return true;
  }

  private lastName = '';

  private hearReply(): string | null {
    if (this.phase === 'over' && this.hasAnswerTo === 1) {
      this.output = Buffer.alloc(0);
      return null;
    }
    if (this.output.length < 20) return null;
    if (this.output.readBigUInt64BE(0) !== 0x3e889045565a9n) return 'a reply without its magic';
    const length = this.output.readUInt32BE(16);
    if (this.output.length < 20 + length) return null;
    const code = this.output.readUInt32BE(8);
    const type = this.output.readUInt32BE(12);
    this.output = this.output.subarray(20 + length);
    if (code !== this.hasAnswerTo) return `a reply to option ${code}, not ${this.hasAnswerTo}`;
    const isLast = type === 1 || type >= 0x8000_0000;
    if (type === 4 && code === 10) this.contexts++;
    if (!isLast) return type === 2 || type === 3 || type === 4 ? null : `a reply of type ${type}`;
    this.hasAnswerTo = null;
    if (type !== 1) {
      if (code === 10) this.contexts = 0;
      return null;
    }
    if (code === 8 || code === 11) this.isStructured = true;
    if (code === 11) this.isExtended = true;
    if (code === 2) this.phase = 'over';
    if (code === 7) {
      this.phase = 'requests';
      if (this.lastName !== 'disk' && this.lastName !== '') this.contexts = 0;
    }
    return null;
  }

  /** @returns whether it was there as a whole */
  private readRequest(): boolean {
    const { input } = this;
    const command = input.readUInt16BE(6);
    const said = this.lengthOf(input);
    if (input.readUInt32BE(0) !== (this.isExtended ? 0x21e41c71 : 0x25609513)) {
      this.break();
      return false;
    }
    if (command === 2) {
      this.phase = 'over';
      return false;
    }
    // A write has data, also where it does not say so.
    const isFollowed = command === 1 || (this.isExtended && (input.readUInt16BE(4) & 32) !== 0);
    const dataBytes = isFollowed ? said : 0;
    if (dataBytes > 32 * 1024 * 1024) {
      this.break();
      return false;
    }
    const head = this.headBytes;
    if (input.length < head + dataBytes) return false;
    const data = input.subarray(head, head + dataBytes);
    const choice = command === 7 && isFollowed ? this.choiceOf(data) : null;
    const length = choice === null ? said : choice.length;
    const cookie = input.toString('hex', 8, 16);
    const flags = input.readUInt16BE(4);
    const offset = Number(input.readBigUInt64BE(16));
    const errors = this.errorsOf({ command, flags, offset, length });
    const { leastBytes } = this;
    if (choice !== null && choice.contexts < 0) errors.push(22);
    const contexts = choice === null ? this.contexts : choice.contexts;
    const list = this.expected.get(cookie) ?? [];
    // Which of two is answered cannot be known.
    if (list.length > 0) this.break();
    for (const each of this.all) each.isLast = false;
    const isWhole = (flags & 4) !== 0;
    const place = input.toString('hex', 16, 24);
    const counts = { covered: 0, chunks: 0, isLast: true };
    const words = { command, offset, length, errors, leastBytes };
    const asked = { ...words, isWhole, contexts, place, ...counts };
    list.push(asked);
    this.all = [asked];
    this.expected.set(cookie, list);
    this.count++;
    this.input = input.subarray(head + dataBytes);
    return true;
  }

  /** What block status is asked of: contexts are -1 for a list that cannot be. */
  private choiceOf(data: Buffer): { readonly length: number; readonly contexts: number } {
    if (data.length < 12 || data.length % 4 !== 0) return { length: 0, contexts: -1 };
    const ids = new Set<number>();
    for (let at = 8; at < data.length; at += 4) ids.add(data.readUInt32BE(at));
    const count = (data.length - 8) / 4;
    const isGood = ids.size === count && [...ids].every((id) => id >= 1 && id <= this.contexts);
    return { length: Number(data.readBigUInt64BE(0)), contexts: isGood ? count : -1 };
  }

  /** Every error that fits whatever size the export has; none for a request that may succeed. */
  private errorsOf({ command, flags, offset, length }: Asked): number[] {
    const errors: number[] = [];
    const known = [0, 1, 3, 4, 5, 6, 7, 8];
    if (!known.includes(command)) return [22];
    const extra = new Map([
      [0, this.isStructured ? 4 : 0],
      [6, 2 | 16],
      [7, 8 | (this.isExtended ? 32 : 0)],
      [1, this.isExtended ? 32 : 0],
    ]);
    if ((flags & ~(1 | (extra.get(command) ?? 0))) !== 0) errors.push(22);
    if (command === 3) return offset + length > 0 ? [22] : errors;
    if (command === 8) {
      const isOdd = length > 0 || offset % this.blockBytes !== 0 || offset > this.size.mostBytes;
      return isOdd ? [22] : errors;
    }
    if (command === 0 && length > 32 * 1024 * 1024) errors.push(22);
    if (length === 0) errors.push(22);
    if (offset % this.blockBytes !== 0 || length % this.blockBytes !== 0) errors.push(22);
    if (command === 7 && this.contexts === 0) errors.push(22);
    if (command === 6 && (flags & 18) === 18) errors.push(95);
    return errors;
  }

  private hearAnswer(): string | null {
    const { output } = this;
    if (output.length < 16) return null;
    const magic = output.readUInt32BE(0);
    const list = this.expected.get(output.toString('hex', 8, 16));
    const [asked] = list ?? [];
    if (asked === undefined) return 'an answer to nothing that was asked';
    if (magic === 0x67446698 && !this.isExtended) {
      const error = output.readUInt32BE(4);
      if (this.isStructured && asked.command === 0) return 'a simple reply to a read';
      const dataBytes = error === 0 && asked.command === 0 ? asked.length : 0;
      if (output.length < 16 + dataBytes) return null;
      this.output = output.subarray(16 + dataBytes);
      asked.covered = asked.length;
      return this.finish(list!, error);
    }
    const isKnown = magic === (this.isExtended ? 0x6e8a278c : 0x668e33ef);
    if (!isKnown || !this.isStructured) return 'an answer without its magic';
    const head = this.isExtended ? 32 : 20;
    if (output.length < head || output.length < head + output.readUInt32BE(head - 4)) return null;
    if (this.isExtended && output.toString('hex', 16, 24) !== asked.place) {
      return 'an answer with the offset of another request';
    }
    const payload = output.subarray(head, head + output.readUInt32BE(head - 4));
    const type = output.readUInt16BE(6);
    const isDone = (output.readUInt16BE(4) & 1) === 1;
    this.output = output.subarray(head + payload.length);
    return this.hearChunk(list!, { type, isDone, payload });
  }

  private hearChunk(list: Expected[], { type, isDone, payload }: ChunkWords): string | null {
    const asked = list[0]!;
    let error = 0;
    if (type === 1 || type === 2) {
      if (type === 2 && payload.length !== 12) return `a hole in ${payload.length} bytes`;
      const bytes = type === 1 ? payload.length - 8 : payload.readUInt32BE(8);
      const at = Number(payload.readBigUInt64BE(0)) - asked.offset;
      if (asked.command !== 0 || at !== asked.covered) return 'data that was not asked for';
      if (bytes === 0 || (asked.isWhole && at > 0)) return 'a chunk of nothing, or one too many';
      asked.covered += bytes;
      if (asked.covered > asked.length) return 'more data than was asked for';
    } else if (type === 6 && this.isExtended) {
      const count = payload.readUInt32BE(4);
      if (asked.command !== 7 || payload.length !== 8 + 16 * count) return 'extents that cannot be';
      asked.chunks++;
      asked.covered = asked.length;
      let sum = 0;
      for (let i = 0; i < count; i++) sum += Number(payload.readBigUInt64BE(8 + 16 * i));
      if (sum < 1 || sum > asked.length) return `extents of ${sum} bytes of ${asked.length}`;
    } else if (type === 5 && !this.isExtended) {
      if (asked.command !== 7 || payload.length % 8 !== 4) return 'extents that cannot be';
      asked.chunks++;
      asked.covered = asked.length;
      let sum = 0;
      for (let at = 4; at < payload.length; at += 8) sum += payload.readUInt32BE(at);
      if (sum < 1 || sum > asked.length) return `extents of ${sum} bytes of ${asked.length}`;
    } else if (type >= 0x8000) {
      error = payload.readUInt32BE(0);
      if (error === 0) return 'an error 0';
      const textBytes = payload.readUInt16BE(4);
      if (payload.length !== 6 + textBytes + (type === 0x8002 ? 8 : 0)) return 'an odd error chunk';
    } else if (type !== 0 || !isDone) return `a chunk of type ${type}`;
    if (!isDone) return null;
    if (asked.command === 7 && error === 0 && asked.chunks !== asked.contexts) {
      return `${asked.chunks} chunks for ${asked.contexts} contexts`;
    }
    return this.finish(list, error);
  }

  private finish(list: Expected[], error: number): string | null {
    const asked = list.shift()!;
    const { command, offset, errors, covered, length } = asked;
    this.count--;
    const all = [...errors, ...this.errorsOfSize(asked)];
    const isRight = error === 0 ? errors.length === 0 && this.fits(asked) : all.includes(error);
    if (!isRight) return `command ${command} is answered ${error}, not one of [${all}]`;
    if (command === 8 && error === 0 && this.size.now() < offset) return 'it has not grown';
    const needsAll = error === 0 && (command === 0 || command === 7);
    return needsAll && covered !== length ? `${covered} of ${length} bytes are answered` : null;
  }

  /** Whether the export may have had a size with which it succeeds. */
  private fits({ command, offset, length, leastBytes }: Expected): boolean {
    if (command === 3) return true;
    return command === 8 ? offset >= leastBytes : offset + length <= this.size.now();
  }

  /** Errors because of a size that the export may have had. */
  private errorsOfSize({ command, offset, length, leastBytes }: Expected): number[] {
    if (command === 8) return offset < this.size.now() ? [22] : [];
    if (offset + length <= leastBytes) return [];
    return [command === 1 || command === 6 ? 28 : 22];
  }
}

/** Of an export, which never becomes smaller. */
export interface ModelSize {
  now(): number;
  /** What it can be made; 0 where it cannot grow. */
  readonly mostBytes: number;
}

interface Asked {
  readonly command: number;
  readonly flags: number;
  readonly offset: number;
  readonly length: number;
}

interface Expected {
  readonly command: number;
  readonly offset: number;
  readonly length: number;
  readonly errors: number[];
  readonly leastBytes: number;
  /** One chunk of content at most. */
  readonly isWhole: boolean;
  /** Whose status is asked for. */
  readonly contexts: number;
  /** The offset, in hexadecimal. */
  readonly place: string;
  covered: number;
  chunks: number;
  isLast: boolean;
}

interface ChunkWords {
  readonly type: number;
  readonly isDone: boolean;
  readonly payload: Buffer;
}
