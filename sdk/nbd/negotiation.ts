import { assert } from '../assert.js';
import { copyBytes } from '../sockets/copy.js';
import type { Outbox } from '../sockets/outbox.js';
import {
  Count32,
  ExportReply,
  exportReplyPadding,
  InfoBlockSize,
  InfoExport,
  InfoHead,
  InfoType,
  NbdOption,
  OptionReply,
  OptionReplyHeader,
} from '../spec/nbd/handshake.js';
import { TransmissionFlag } from '../spec/nbd/transmission.js';
import { KiB } from '../units.js';
import type { MetadataContext } from './metadata.js';
import { contextQuery, type InfoQuery, infoQuery, textOf } from './option-data.js';
import { ReplyStyle } from './replies.js';
import type { ServedExport } from './served-export.js';
import { mostChosen, mostPayloadBytes } from './transmission.js';

/** Whether clients may, must or cannot encrypt. */
export type TlsUse = 'off' | 'optional' | 'required';

/** What comes after an option. */
export type NextPhase = 'options' | 'tls' | 'transmission' | 'goodbye' | 'violation';

/** Aligned to it, nothing in a pool is read to be written. */
const preferredBytes = 4 * KiB;
const noBytes = new Uint8Array(0);
const encoder = new TextEncoder();

export interface NegotiationParts {
  readonly exports: readonly ServedExport[];
  readonly outbox: Outbox;
  readonly tls: TlsUse;
}

/**
 * Fixed newstyle negotiation: options and their replies [NBD §Fixed newstyle negotiation]. Nothing
 * that was agreed in clear is still agreed when TLS begins, lest somebody on the way has said it.
 */
export class Negotiation {
  /** What the client chose with its last word. */
  chosen: ServedExport | null = null;
  style: ReplyStyle = ReplyStyle.simple;
  /** The client wants no padding behind the answer to exportName. */
  hasNoZeroes = false;
  isSecure = false;
  private readonly exports: readonly ServedExport[];
  private readonly outbox: Outbox;
  private readonly tls: TlsUse;
  /** Contexts hold for the export that they were chosen for. */
  private contextsFor: ServedExport | null = null;
  private chosenContexts: readonly MetadataContext[] = [];

  constructor({ exports, outbox, tls }: NegotiationParts) {
    this.exports = exports;
    this.outbox = outbox;
    this.tls = tls;
  }

  /** Contexts for the transmission phase, in the order of their numbers from 1. */
  get contexts(): readonly MetadataContext[] {
    return this.contextsFor === this.chosen ? this.chosenContexts : [];
  }

  /** TLS is on: begin anew. */
  secured(): void {
    this.isSecure = true;
    this.style = ReplyStyle.simple;
    this.contextsFor = null;
    this.chosenContexts = [];
  }

  option(option: number, data: Uint8Array): NextPhase {
    const isOpen = this.tls !== 'required' || this.isSecure;
    if (!isOpen && option === NbdOption.exportName) return 'violation';
    if (!isOpen && option !== NbdOption.startTls && option !== NbdOption.abort) {
      return this.reply(option, OptionReply.errTlsRequired);
    }
    switch (option) {
      case NbdOption.exportName:
        return this.exportName(data);
      case NbdOption.abort:
        this.reply(option, OptionReply.ack);
        return 'goodbye';
      case NbdOption.list:
        return data.length > 0 ? this.reply(option, OptionReply.errInvalid) : this.list();
      case NbdOption.startTls:
        return this.startTls(data);
      case NbdOption.info:
      case NbdOption.go:
        return this.info(option, data);
      case NbdOption.structuredReply:
        return this.chunked(option, data, ReplyStyle.structured);
      case NbdOption.extendedHeaders:
        return this.chunked(option, data, ReplyStyle.extended);
      case NbdOption.listMetaContext:
        return this.listContexts(data);
      case NbdOption.setMetaContext:
        return this.setContexts(data);
      default:
        return this.reply(option, OptionReply.errUnsupported);
    }
  }

  private chunked(option: number, data: Uint8Array, style: ReplyStyle): NextPhase {
    if (data.length > 0) return this.reply(option, OptionReply.errInvalid);
    if (this.style > style) return this.reply(option, OptionReply.errExtendedHeaders);
    this.style = style;
    return this.reply(option, OptionReply.ack);
  }

  /** The last word of old clients: an error ends the connection. */
  private exportName(data: Uint8Array): NextPhase {
    const served = this.find(textOf(data));
    // Whoever knows extended headers knows another way [NBD-ext §Option types].
    if (served === null || this.style === ReplyStyle.extended) return 'violation';
    const bytes = ExportReply.layout.bytes + (this.hasNoZeroes ? 0 : exportReplyPadding);
    const at = this.claim(bytes);
    const target = this.outbox.bytes;
    target.fill(0, at, at + bytes);
    ExportReply.bytes.set(target, at, served.bytes);
    ExportReply.flags.set(target, at, this.flagsOf(served));
    this.chosen = served;
    return 'transmission';
  }

  private list(): NextPhase {
    for (const { nameBytes, descriptionBytes } of this.exports) {
      const head = Count32.layout.bytes;
      const data = new Uint8Array(head + nameBytes.length + descriptionBytes.length);
      Count32.value.set(data, 0, nameBytes.length);
      data.set(nameBytes, head);
      data.set(descriptionBytes, head + nameBytes.length);
      this.reply(NbdOption.list, OptionReply.server, data);
    }
    return this.reply(NbdOption.list, OptionReply.ack);
  }

  private startTls(data: Uint8Array): NextPhase {
    const option = NbdOption.startTls;
    if (data.length > 0 || this.isSecure) return this.reply(option, OptionReply.errInvalid);
    if (this.tls === 'off') return this.reply(option, OptionReply.errPolicy);
    this.reply(option, OptionReply.ack);
    return 'tls';
  }

  private info(option: number, data: Uint8Array): NextPhase {
    const query = infoQuery(data);
    if (query === null) return this.reply(option, OptionReply.errInvalid);
    const served = this.find(query.name);
    if (served === null) return this.unknown(option, query.name);
    this.giveInfo(option, served, query);
    this.reply(option, OptionReply.ack);
    if (option === NbdOption.info) return 'options';
    this.chosen = served;
    return 'transmission';
  }

  private giveInfo(option: number, served: ServedExport, { wanted }: InfoQuery): void {
    const info = new Uint8Array(InfoExport.layout.bytes);
    InfoExport.type.set(info, 0, InfoType.export);
    InfoExport.bytes.set(info, 0, served.bytes);
    InfoExport.flags.set(info, 0, this.flagsOf(served));
    this.reply(option, OptionReply.info, info);
    const sizes = new Uint8Array(InfoBlockSize.layout.bytes);
    InfoBlockSize.type.set(sizes, 0, InfoType.blockSize);
    InfoBlockSize.least.set(sizes, 0, served.blockBytes);
    InfoBlockSize.preferred.set(sizes, 0, Math.max(served.blockBytes, preferredBytes));
    InfoBlockSize.most.set(sizes, 0, mostPayloadBytes);
    this.reply(option, OptionReply.info, sizes);
    if (wanted.includes(InfoType.name)) this.giveText(option, InfoType.name, served.nameBytes);
    if (wanted.includes(InfoType.description) && served.descriptionBytes.length > 0) {
      this.giveText(option, InfoType.description, served.descriptionBytes);
    }
  }

  private flagsOf(served: ServedExport): number {
    let flags = served.flags();
    if (this.style !== ReplyStyle.simple) flags |= TransmissionFlag.sendDf;
    const hasContexts = this.contextsFor === served && this.chosenContexts.length > 0;
    if (this.style === ReplyStyle.extended && hasContexts) {
      flags |= TransmissionFlag.blockStatusPayload;
    }
    return flags;
  }

  private giveText(option: number, type: number, text: Uint8Array): void {
    const data = new Uint8Array(InfoHead.layout.bytes + text.length);
    InfoHead.type.set(data, 0, type);
    data.set(text, InfoHead.layout.bytes);
    this.reply(option, OptionReply.info, data);
  }

  private listContexts(data: Uint8Array): NextPhase {
    const option = NbdOption.listMetaContext;
    const query = contextQuery(data);
    if (query === null || this.style === ReplyStyle.simple)
      return this.reply(option, OptionReply.errInvalid);
    const served = this.find(query.name);
    if (served === null) return this.unknown(option, query.name);
    const isListed = ({ name }: MetadataContext): boolean =>
      query.queries.length === 0 || query.queries.some((each) => matches(name, each));
    for (const context of served.contexts().filter(isListed)) this.giveContext(option, context, 0);
    return this.reply(option, OptionReply.ack);
  }

  private setContexts(data: Uint8Array): NextPhase {
    const option = NbdOption.setMetaContext;
    this.contextsFor = null;
    this.chosenContexts = [];
    const query = contextQuery(data);
    if (query === null || this.style === ReplyStyle.simple)
      return this.reply(option, OptionReply.errInvalid);
    const served = this.find(query.name);
    if (served === null) return this.unknown(option, query.name);
    const chosen = served.contexts().filter(({ name }) => query.queries.includes(name));
    if (chosen.length > mostChosen) return this.reply(option, OptionReply.errTooBig);
    for (const [i, context] of chosen.entries()) this.giveContext(option, context, i + 1);
    this.contextsFor = served;
    this.chosenContexts = chosen;
    return this.reply(option, OptionReply.ack);
  }

  private giveContext(option: number, { name }: MetadataContext, id: number): void {
    const text = encoder.encode(name);
    const data = new Uint8Array(Count32.layout.bytes + text.length);
    Count32.value.set(data, 0, id);
    data.set(text, Count32.layout.bytes);
    this.reply(option, OptionReply.metaContext, data);
  }

  private unknown(option: number, name: string): NextPhase {
    const known = this.exports.map((served) => `'${served.name}'`).slice(0, 8);
    const text = `there is no export '${name.slice(0, 256)}'; there are ${known.join(', ')}`;
    return this.reply(option, OptionReply.errUnknown, encoder.encode(text));
  }

  /** An export by its name; the first one has no need of it. */
  private find(name: string | null): ServedExport | null {
    if (name === '') return this.exports[0]!;
    return this.exports.find((served) => served.name === name) ?? null;
  }

  private reply(option: number, type: number, data = noBytes): 'options' {
    const head = OptionReplyHeader.layout.bytes;
    const at = this.claim(head + data.length);
    const { bytes } = this.outbox;
    OptionReplyHeader.magic.put(bytes, at);
    OptionReplyHeader.option.set(bytes, at, option);
    OptionReplyHeader.type.set(bytes, at, type);
    OptionReplyHeader.dataBytes.set(bytes, at, data.length);
    copyBytes(data, 0, bytes, at + head, data.length);
    return 'options';
  }

  private claim(bytes: number): number {
    const at = this.outbox.claim(bytes);
    // Options are taken when the outbox is empty, and no option is answered at such length.
    assert(at >= 0, 'no room for the answer to an option');
    return at;
  }
}

/** 'base:' lists all of its namespace; all else is a name. */
function matches(name: string, query: string): boolean {
  return query.endsWith(':') ? name.startsWith(query) : name === query;
}
