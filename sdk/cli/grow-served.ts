import { connect, type Socket } from 'node:net';
import { ErrorCode, UltimaError } from '../errors.js';
import { parseEndpoint } from '../nbd/endpoint.js';
import {
  ClientFlags,
  Count16,
  Count32,
  Greeting,
  HandshakeFlag,
  InfoExport,
  InfoHead,
  InfoType,
  NbdOption,
  OptionHeader,
  OptionReply,
  OptionReplyHeader,
} from '../spec/nbd/handshake.js';
import {
  Chunk,
  ChunkFlag,
  ChunkType,
  ErrorPayload,
  NbdCommand,
  RequestHeader,
  requestMagic,
  SimpleReply,
  simpleReplyMagic,
  structuredReplyMagic,
  TransmissionFlag,
} from '../spec/nbd/transmission.js';
import { KiB } from '../units.js';

/** A server that says nothing for so long has no word for us. */
const patienceMs = 10_000;
/** No reply to what is asked here is nearly as long, and no option has nearly as many. */
const mostReplyBytes = 64 * KiB;
const mostReplies = 64;
const noBytes = new Uint8Array(0);
/** Replies to options with an error. */
const leastError = 0x8000_0000;

/**
 * Ask an NBD server for a larger size of an export, as one that serves a volume with
 * `--allow-resize` gives. It is durable when this returns.
 *
 * @param place  'unix:PATH', 'tcp:HOST:PORT'
 * @throws UltimaError ADDRESS_INVALID; NOT_FOUND for an export or a server that there is not;
 *   COMMAND_FAILED with the server's reason; RangeError for a smaller size
 */
export async function growServed(place: string, name: string, bytes: number): Promise<void> {
  const endpoint = parseEndpoint(place);
  const wire = new Wire(connect(endpoint), place);
  try {
    const told = await choose(wire, name);
    if (bytes < told.bytes) {
      throw new RangeError(`${name} has ${told.bytes} bytes; it cannot shrink to ${bytes}`);
    }
    if ((told.flags & TransmissionFlag.sendResize) === 0) {
      const message = `the server at ${place} lets nobody resize ${name}: it needs --allow-resize`;
      throw new UltimaError(ErrorCode.commandFailed, message, { place, name });
    }
    wire.say(requestOf(NbdCommand.resize, bytes));
    await hearAnswer(wire);
    wire.say(requestOf(NbdCommand.disconnect, 0));
  } finally {
    wire.end();
  }
}

/** Bytes that come, as many as are waited for. */
class Wire {
  private readonly socket: Socket;
  private readonly place: string;
  private got = Buffer.alloc(0);
  private wake: () => void = () => {};
  private fault: UltimaError | null = null;

  constructor(socket: Socket, place: string) {
    this.socket = socket;
    this.place = place;
    socket.setTimeout(patienceMs, () => this.fail('says nothing'));
    socket.on('error', (error) => this.fail(error.message, error));
    socket.on('close', () => this.fail('has closed the connection'));
    socket.on('data', (bytes: Buffer) => {
      this.got = Buffer.concat([this.got, bytes]);
      this.wake();
    });
  }

  say(...parts: readonly Uint8Array[]): void {
    this.socket.write(Buffer.concat(parts));
  }

  async hear(length: number): Promise<Uint8Array> {
    while (this.got.length < length) {
      if (this.fault !== null) throw this.fault;
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
    const piece = this.got.subarray(0, length);
    this.got = this.got.subarray(length);
    return piece;
  }

  /** What a server says that cannot be. */
  nonsense(what: string): UltimaError {
    const message = `what answers at ${this.place} is no NBD server for this: ${what}`;
    return new UltimaError(ErrorCode.commandFailed, message, { place: this.place });
  }

  /** What was said still goes; what comes from now on is for nobody. */
  end(): void {
    this.socket.setTimeout(0);
    this.socket.destroySoon();
  }

  private fail(why: string, cause?: Error): void {
    const message = `the NBD server at ${this.place}: ${why}`;
    this.fault ??= new UltimaError(ErrorCode.notFound, message, { place: this.place }, cause);
    this.socket.destroy();
    this.wake();
  }
}

interface Told {
  readonly bytes: number;
  readonly flags: number;
}

/** The way into the transmission phase, with answers that have a text where they are errors. */
async function choose(wire: Wire, name: string): Promise<Told> {
  const greeting = await wire.hear(Greeting.layout.bytes);
  const isKnown = Greeting.init.isThere(greeting, 0) && Greeting.option.isThere(greeting, 0);
  const flags = Greeting.flags.get(greeting, 0) & HandshakeFlag.noZeroes;
  if (!isKnown) throw wire.nonsense('it greets otherwise');
  const mine = new Uint8Array(ClientFlags.layout.bytes);
  ClientFlags.flags.set(mine, 0, flags | HandshakeFlag.fixedNewstyle);
  wire.say(mine, optionOf(NbdOption.structuredReply, noBytes));
  await hearReplies(wire, name, () => {});
  const text = new TextEncoder().encode(name);
  const length = new Uint8Array(Count32.layout.bytes);
  Count32.value.set(length, 0, text.length);
  const wishes = new Uint8Array(Count16.layout.bytes);
  wire.say(optionOf(NbdOption.go, Buffer.concat([length, text, wishes])));
  let told: Told | null = null;
  await hearReplies(wire, name, (data) => {
    if (data.length !== InfoExport.layout.bytes) return;
    if (InfoHead.type.get(data, 0) !== InfoType.export) return;
    told = { bytes: InfoExport.bytes.get(data, 0), flags: InfoExport.flags.get(data, 0) };
  });
  if (told === null) throw wire.nonsense('it does not say how large the export is');
  return told;
}

/** Up to the last one of an option. */
async function hearReplies(
  wire: Wire,
  name: string,
  info: (data: Uint8Array) => void,
): Promise<void> {
  for (let count = 0; count < mostReplies; count++) {
    const head = await wire.hear(OptionReplyHeader.layout.bytes);
    const length = OptionReplyHeader.dataBytes.get(head, 0);
    const isKnown = OptionReplyHeader.magic.isThere(head, 0) && length <= mostReplyBytes;
    if (!isKnown) throw wire.nonsense('a reply that makes no sense');
    const data = await wire.hear(length);
    const type = OptionReplyHeader.type.get(head, 0);
    if (type === OptionReply.ack) return;
    if (type < leastError) {
      if (data.length >= InfoHead.layout.bytes) info(data);
      continue;
    }
    const isTls = type === OptionReply.errTlsRequired;
    const reason = isTls ? 'it wants TLS, which this does not speak' : textOf(data);
    throw new UltimaError(ErrorCode.notFound, `${name} cannot be used: ${reason}`, { name });
  }
  throw wire.nonsense(`more than ${mostReplies} replies to one option`);
}

/** To the one request that is under way. */
async function hearAnswer(wire: Wire): Promise<void> {
  const simpleBytes = SimpleReply.layout.bytes;
  const head = await wire.hear(simpleBytes);
  if (SimpleReply.magic.get(head, 0) === simpleReplyMagic) {
    const error = SimpleReply.error.get(head, 0);
    if (error !== 0) throw refused(`error ${error}`);
    return;
  }
  const rest = await wire.hear(Chunk.layout.bytes - simpleBytes);
  const chunk = Buffer.concat([head, rest]);
  const length = Chunk.payloadBytes.get(chunk, 0);
  const isChunk = Chunk.magic.get(chunk, 0) === structuredReplyMagic && length <= mostReplyBytes;
  const type = isChunk ? Chunk.type.get(chunk, 0) : null;
  const isLast = (Chunk.flags.get(chunk, 0) & ChunkFlag.done) !== 0;
  if (type === ChunkType.none && isLast && length === 0) return;
  const headBytes = ErrorPayload.layout.bytes;
  if (type !== ChunkType.error || length < headBytes) {
    throw wire.nonsense('an answer that makes no sense');
  }
  const payload = await wire.hear(length);
  const textBytes = ErrorPayload.textBytes.get(payload, 0);
  throw refused(textOf(payload.subarray(headBytes, headBytes + textBytes)));
}

function refused(reason: string): UltimaError {
  const message = `the server refuses to make it larger: ${reason}`;
  return new UltimaError(ErrorCode.commandFailed, message, {});
}

function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes) || 'no reason is given';
}

function optionOf(option: number, data: Uint8Array): Uint8Array {
  const head = new Uint8Array(OptionHeader.layout.bytes);
  OptionHeader.magic.put(head, 0);
  OptionHeader.option.set(head, 0, option);
  OptionHeader.dataBytes.set(head, 0, data.length);
  return Buffer.concat([head, data]);
}

function requestOf(command: number, offset: number): Uint8Array {
  const head = new Uint8Array(RequestHeader.layout.bytes);
  RequestHeader.magic.set(head, 0, requestMagic);
  RequestHeader.command.set(head, 0, command);
  RequestHeader.offset.set(head, 0, offset);
  return head;
}
