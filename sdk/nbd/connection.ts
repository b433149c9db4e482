import { copyBytes } from '../sockets/copy.js';
import { type ChunkPool, Outbox } from '../sockets/outbox.js';
import type { Turning } from '../sockets/reactor.js';
import type { Stream, StreamUser } from '../sockets/stream.js';
import {
  ClientFlags,
  Greeting,
  HandshakeFlag,
  NbdOption,
  OptionHeader,
} from '../spec/nbd/handshake.js';
import { KiB } from '../units.js';
import { Negotiation, type TlsUse } from './negotiation.js';
import type { ServedExport } from './served-export.js';
import { Transmission } from './transmission.js';

const headBytes = OptionHeader.layout.bytes;
/** Data of one option; the longest that a client has use for is a list of contexts. */
const mostOptionBytes = 64 * KiB;
const noBytes = new Uint8Array(0);
const offered = HandshakeFlag.fixedNewstyle | HandshakeFlag.noZeroes;

export interface ConnectionParts {
  readonly stream: Stream;
  readonly exports: readonly ServedExport[];
  readonly tls: TlsUse;
  readonly chunks: ChunkPool;
  /** Everything from now on is encrypted; `secured` follows. */
  readonly startTls: () => void;
  /** There is something for the devices to do, or to be sent: `turn` follows. */
  readonly touch: (connection: NbdConnection) => void;
  /** It is over, and the socket closed; called once. */
  readonly over: (connection: NbdConnection) => void;
}

type Phase =
  | 'greeting'
  | 'options'
  // What was said in clear is still going; then hands are shaken.
  | 'tls'
  | 'handshake'
  | 'transmission'
  | 'draining'
  | 'closed';

/**
 * One client, from its first byte to its last. It knows neither sockets nor time: bytes come in
 * through `receive`, go out through the stream, and `turn` is called after the devices worked.
 *
 * Input that cannot be taken yet is kept, and the stream told to read no more, so that what is kept
 * is never more than what the stream had already read.
 */
export class NbdConnection implements StreamUser, Turning {
  /** Why the server ended it; '' while it did not. */
  violation = '';
  phase: Phase = 'greeting';
  transmission: Transmission | null = null;
  isDirty = false;
  private readonly parts: ConnectionParts;
  private readonly stream: Stream;
  private readonly outbox: Outbox;
  private readonly negotiation: Negotiation;
  /** Input that waits: `keptFrom`..`keptTo` - 1. */
  private kept: Uint8Array = noBytes;
  private keptFrom = 0;
  private keptTo = 0;
  private isReading = true;
  private isTaking = false;
  /** The client sends nothing more. */
  private hasEnded = false;
  private readonly head = new Uint8Array(headBytes);
  private headFill = 0;
  private option = 0;
  private data: Uint8Array | null = null;
  private dataFill = 0;

  constructor(parts: ConnectionParts) {
    const { stream, exports, tls, chunks } = parts;
    this.parts = parts;
    this.stream = stream;
    this.outbox = new Outbox(stream, chunks);
    this.negotiation = new Negotiation({ exports, outbox: this.outbox, tls });
  }

  /** The export that the client uses; null until it has chosen. */
  get chosen(): ServedExport | null {
    return this.transmission === null ? null : this.negotiation.chosen;
  }

  /** Say the first word; the stream is attached. */
  greet(): void {
    const at = this.outbox.claim(Greeting.layout.bytes);
    Greeting.init.put(this.outbox.bytes, at);
    Greeting.option.put(this.outbox.bytes, at);
    Greeting.flags.set(this.outbox.bytes, at, offered);
    this.outbox.flush();
  }

  receive(bytes: Uint8Array, from: number, to: number): void {
    if (this.phase === 'closed' || this.phase === 'draining') return;
    if (this.hasKept) this.keep(bytes, from, to);
    else {
      const at = this.takeAll(bytes, from, to);
      if (at < to) this.keep(bytes, at, to);
    }
    this.look();
    this.touch();
  }

  sent(): void {
    this.outbox.sent();
    // Room for an answer is room for the next part of a read.
    this.touch();
  }

  /** The client will send nothing more, but may still read. */
  inputEnded(): void {
    if (this.phase === 'closed') return;
    this.hasEnded = true;
    if (this.transmission === null) this.finish();
    else this.touch();
  }

  gone(): void {
    this.close();
    this.parts.over(this);
  }

  /** The TLS handshake is over. */
  secured(): void {
    if (this.phase !== 'handshake') return;
    this.negotiation.secured();
    this.phase = 'options';
    this.look();
  }

  /** The server ends: what is under way is answered, nothing more is taken. */
  shutDown(): void {
    if (this.phase === 'transmission') this.drain();
    this.inputEnded();
  }

  /** Close at once. */
  drop(): void {
    const isOver = this.phase === 'closed';
    this.close();
    this.stream.destroy();
    if (!isOver) this.parts.over(this);
  }

  /** After the devices worked, or when there is room again. */
  turn(): void {
    if (this.phase === 'closed') return;
    this.transmission?.turn();
    this.outbox.flush();
    // Options are answered one by one: what has gone makes room for the next.
    while (this.hasKept && this.takeKept()) this.outbox.flush();
    this.settle();
  }

  private touch(): void {
    this.parts.touch(this);
  }

  private get hasKept(): boolean {
    return this.keptFrom < this.keptTo;
  }

  private keep(bytes: Uint8Array, from: number, to: number): void {
    const length = to - from;
    const before = this.keptTo - this.keptFrom;
    if (before + length > this.kept.length) {
      const larger = new Uint8Array(before + length);
      copyBytes(this.kept, this.keptFrom, larger, 0, before);
      this.kept = larger;
    } else if (this.keptFrom > 0) this.kept.copyWithin(0, this.keptFrom, this.keptTo);
    copyBytes(bytes, from, this.kept, before, length);
    this.keptFrom = 0;
    this.keptTo = before + length;
  }

  /** @returns whether any of it could be taken */
  private takeKept(): boolean {
    const { keptFrom } = this;
    const at = this.takeAll(this.kept, keptFrom, this.keptTo);
    if (this.hasKept) this.keptFrom = at;
    this.look();
    return at > keptFrom;
  }

  /** @returns where the input starts that cannot be taken yet */
  private takeAll(bytes: Uint8Array, from: number, to: number): number {
    if (this.isTaking) return from;
    this.isTaking = true;
    let at = from;
    while (at < to) {
      const next = this.take(bytes, at, to);
      if (next === at) break;
      at = next;
    }
    this.isTaking = false;
    return at;
  }

  /** Whether more may be read. */
  private look(): void {
    const { phase } = this;
    const isWanted = !this.hasKept && phase !== 'tls' && phase !== 'handshake';
    if (isWanted === this.isReading || phase === 'closed' || this.hasEnded) return;
    this.isReading = isWanted;
    this.stream.setReading(isWanted);
  }

  /** Send what is collected, and see whether this was all. */
  private settle(): void {
    const { transmission, outbox } = this;
    if (transmission !== null && transmission.violation !== '') {
      this.fail(transmission.violation);
      return;
    }
    const isLast = this.hasEnded && !this.hasKept;
    if (this.phase === 'transmission' && (isLast || transmission?.isDisconnecting === true)) {
      this.drain();
    }
    outbox.flush();
    if (this.phase === 'tls' && outbox.isEmpty) this.startTls();
    else if (this.phase === 'draining' && transmission?.isIdle !== false && outbox.isFlushed) {
      this.finish();
    }
  }

  private startTls(): void {
    // What came before the handshake came in clear, whoever it came from.
    if (this.hasKept) this.fail('input in clear behind the request for TLS');
    else {
      this.phase = 'handshake';
      this.parts.startTls();
    }
  }

  private drain(): void {
    this.phase = 'draining';
    this.dropKept();
    this.transmission?.stopInput();
  }

  /** Nothing more will be said; `gone` follows. */
  private finish(): void {
    this.close();
    this.stream.end();
  }

  private fail(why: string): void {
    this.violation = why;
    this.drop();
  }

  private close(): void {
    if (this.phase === 'closed') return;
    this.phase = 'closed';
    this.dropKept();
    this.outbox.close();
    this.transmission?.abandon();
  }

  private dropKept(): void {
    this.kept = noBytes;
    this.keptFrom = 0;
    this.keptTo = 0;
  }

  /** @returns where the input starts that cannot be taken yet */
  private take(bytes: Uint8Array, at: number, to: number): number {
    switch (this.phase) {
      case 'greeting':
        return this.takeFlags(bytes, at, to);
      case 'options':
        return this.takeOption(bytes, at, to);
      case 'transmission':
        return this.transmission!.take(bytes, at, to);
      case 'tls':
      case 'handshake':
        return at;
      default:
        return to;
    }
  }

  /** Collect the head of a message. @returns where its bytes end */
  private takeHead(bytes: Uint8Array, at: number, to: number, length: number): number {
    const part = Math.min(to - at, length - this.headFill);
    copyBytes(bytes, at, this.head, this.headFill, part);
    this.headFill += part;
    return at + part;
  }

  private takeFlags(bytes: Uint8Array, at: number, to: number): number {
    const length = ClientFlags.layout.bytes;
    const next = this.takeHead(bytes, at, to, length);
    if (this.headFill < length) return next;
    this.headFill = 0;
    const flags = ClientFlags.flags.get(this.head, 0);
    if ((flags & ~offered) !== 0) this.fail('flags that no client may send');
    else {
      this.negotiation.hasNoZeroes = (flags & HandshakeFlag.noZeroes) !== 0;
      this.phase = 'options';
    }
    return next;
  }

  private takeOption(bytes: Uint8Array, at: number, to: number): number {
    if (this.data !== null) return this.takeData(bytes, at, to);
    // A client that does not read what it was told gets no more said.
    if (this.headFill === 0 && !this.outbox.isEmpty) return at;
    const next = this.takeHead(bytes, at, to, headBytes);
    if (this.headFill < headBytes) return next;
    this.headFill = 0;
    const length = OptionHeader.dataBytes.get(this.head, 0);
    if (!OptionHeader.magic.isThere(this.head, 0)) this.fail('an option without its magic number');
    else if (length > mostOptionBytes) this.fail('an option with too much data');
    else {
      this.option = OptionHeader.option.get(this.head, 0);
      this.data = new Uint8Array(length);
      this.dataFill = 0;
      if (length === 0) this.endOption(this.data);
    }
    return next;
  }

  private takeData(bytes: Uint8Array, at: number, to: number): number {
    const data = this.data!;
    const part = Math.min(to - at, data.length - this.dataFill);
    copyBytes(bytes, at, data, this.dataFill, part);
    this.dataFill += part;
    if (this.dataFill === data.length) this.endOption(data);
    return at + part;
  }

  private endOption(data: Uint8Array): void {
    this.data = null;
    const next = this.negotiation.option(this.option, data);
    if (next === 'violation') {
      const isName = this.option === NbdOption.exportName;
      this.fail(isName ? 'an export that there is not' : 'an option that cannot be');
    } else if (next === 'goodbye') this.drain();
    else if (next === 'tls') this.phase = 'tls';
    else if (next === 'transmission') {
      const { chosen, style, contexts } = this.negotiation;
      const { outbox } = this;
      const touch = (): void => this.touch();
      const parts = { served: chosen!, outbox, style, contexts, touch };
      this.transmission = new Transmission(parts);
      this.phase = 'transmission';
    }
  }
}
