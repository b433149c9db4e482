import {
  ClientFlags,
  Greeting,
  HandshakeFlag,
  NbdOption,
  OptionHeader,
} from '../spec/nbd/handshake.js';
import { KiB } from '../units.js';
import { Negotiation, type TlsUse } from './negotiation.js';
import { type ChunkPool, copy, type NbdTransport, Outbox } from './outbox.js';
import type { ServedExport } from './served-export.js';
import { Transmission } from './transmission.js';

const headBytes = OptionHeader.layout.bytes;
/** Data of one option; the longest that a client has use for is a list of contexts. */
const mostOptionBytes = 64 * KiB;
const offered = HandshakeFlag.fixedNewstyle | HandshakeFlag.noZeroes;

export interface ConnectionParts {
  readonly transport: NbdTransport;
  readonly exports: readonly ServedExport[];
  readonly tls: TlsUse;
  readonly chunks: ChunkPool;
  /** There is something for the devices to do. */
  readonly wake: () => void;
}

type Phase = 'greeting' | 'options' | 'tls' | 'transmission' | 'draining' | 'closed';

/**
 * One client, from its first byte to its last. It knows neither sockets nor time: bytes come in
 * through `receive`, go out through the transport, and `turn` is called after the devices worked.
 *
 * Input that cannot be taken yet is kept, and the transport told to read no more, so that what is
 * kept is never more than what the transport had already read.
 */
export class NbdConnection {
  /** Why the server ended it; '' while it did not. */
  violation = '';
  phase: Phase = 'greeting';
  transmission: Transmission | null = null;
  private readonly transport: NbdTransport;
  private readonly outbox: Outbox;
  private readonly negotiation: Negotiation;
  private readonly wake: () => void;
  private readonly input: Uint8Array[] = [];
  private inputAt = 0;
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
    const { transport, exports, tls, chunks } = parts;
    this.transport = transport;
    this.wake = parts.wake;
    this.outbox = new Outbox(transport, chunks);
    this.negotiation = new Negotiation({ exports, outbox: this.outbox, tls });
    const at = this.outbox.claim(Greeting.layout.bytes);
    Greeting.init.put(this.outbox.bytes, at);
    Greeting.option.put(this.outbox.bytes, at);
    Greeting.flags.set(this.outbox.bytes, at, offered);
    this.outbox.flush();
  }

  /** The export in use; null before one is chosen. */
  get served(): ServedExport | null {
    return this.negotiation.chosen;
  }

  /** Bytes of the client. They must stay as they are until they were taken. */
  receive(bytes: Uint8Array): void {
    if (this.phase === 'closed' || this.phase === 'draining') return;
    this.input.push(bytes);
    this.takeInput();
    this.settle();
    this.wake();
  }

  /** A chunk that was sent has gone. */
  sent(): void {
    this.outbox.sent();
    if (this.phase === 'tls' && this.outbox.isEmpty && !this.negotiation.isSecure) {
      // What came before the handshake came in clear, whoever it came from.
      if (this.input.length > 0) this.fail('input in clear behind the request for TLS');
      else this.transport.startTls();
      return;
    }
    this.turn();
    // Room for an answer is room for the next part of a read.
    if (this.phase === 'transmission' || this.phase === 'draining') this.wake();
  }

  /** The TLS handshake is over. */
  secured(): void {
    if (this.phase !== 'tls') return;
    this.negotiation.secured();
    this.phase = 'options';
    this.transport.setReading(true);
    this.isReading = true;
  }

  /** The client will send nothing more, but may still read. */
  peerEnded(): void {
    if (this.phase === 'closed') return;
    if (this.transmission === null) {
      this.close();
      this.transport.end();
    }
    this.hasEnded = true;
    this.settle();
  }

  /** The socket is gone. */
  lost(): void {
    this.close();
  }

  /** The server ends: what is under way is answered, nothing more is taken. */
  shutDown(): void {
    if (this.phase === 'transmission') this.drain();
    this.peerEnded();
  }

  /** After the devices worked, or when there is room again. */
  turn(): void {
    if (this.phase === 'closed') return;
    this.transmission?.turn();
    if (this.input.length > 0) this.takeInput();
    this.settle();
  }

  private takeInput(): void {
    if (this.isTaking) return;
    this.isTaking = true;
    while (this.input.length > 0) {
      const bytes = this.input[0]!;
      const at = this.take(bytes, this.inputAt);
      if (at < bytes.length && at === this.inputAt) break;
      this.inputAt = at;
      if (at < bytes.length) continue;
      this.input.shift();
      this.inputAt = 0;
    }
    this.isTaking = false;
    const isWanted = this.input.length === 0 && this.phase !== 'tls';
    if (isWanted === this.isReading || this.phase === 'closed') return;
    this.isReading = isWanted;
    this.transport.setReading(isWanted);
  }

  /** Send what is collected, and see whether this was all. */
  private settle(): void {
    if (this.phase === 'closed') return;
    const { transmission } = this;
    if (transmission !== null && transmission.violation !== '') {
      this.fail(transmission.violation);
      return;
    }
    const isLast = this.hasEnded && this.input.length === 0;
    if (this.phase === 'transmission' && (isLast || transmission?.isDisconnecting === true)) {
      this.drain();
    }
    this.outbox.flush();
    if (this.phase !== 'draining' || transmission?.isIdle === false || !this.outbox.isFlushed) {
      return;
    }
    this.close();
    this.transport.end();
  }

  private drain(): void {
    this.phase = 'draining';
    this.input.length = 0;
    this.inputAt = 0;
    this.transmission?.stopInput();
  }

  private fail(why: string): void {
    if (this.phase === 'closed') return;
    this.violation = why;
    this.close();
    this.transport.destroy();
  }

  private close(): void {
    if (this.phase === 'closed') return;
    this.phase = 'closed';
    this.input.length = 0;
    this.outbox.close();
    this.transmission?.abandon();
  }

  /** @returns where the input starts that cannot be taken yet */
  private take(bytes: Uint8Array, at: number): number {
    switch (this.phase) {
      case 'greeting':
        return this.takeFlags(bytes, at);
      case 'options':
        return this.takeOption(bytes, at);
      case 'transmission':
        return this.transmission!.take(bytes, at, bytes.length);
      case 'tls':
        return at;
      default:
        return bytes.length;
    }
  }

  /** Collect the head of a message. @returns where its bytes end */
  private takeHead(bytes: Uint8Array, at: number, length: number): number {
    const part = Math.min(bytes.length - at, length - this.headFill);
    copy(bytes, at, this.head, this.headFill, part);
    this.headFill += part;
    return at + part;
  }

  private takeFlags(bytes: Uint8Array, at: number): number {
    const length = ClientFlags.layout.bytes;
    const next = this.takeHead(bytes, at, length);
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

  private takeOption(bytes: Uint8Array, at: number): number {
    if (this.data !== null) return this.takeData(this.data, bytes, at);
    // A client that does not read what it was told gets no more said.
    if (this.headFill === 0 && !this.outbox.isEmpty) return at;
    const next = this.takeHead(bytes, at, headBytes);
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

  private takeData(data: Uint8Array, bytes: Uint8Array, at: number): number {
    const part = Math.min(bytes.length - at, data.length - this.dataFill);
    copy(bytes, at, data, this.dataFill, part);
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
      const { chosen, isStructured, contexts } = this.negotiation;
      const { outbox } = this;
      this.transmission = new Transmission({ served: chosen!, outbox, isStructured, contexts });
      this.phase = 'transmission';
    }
  }
}
