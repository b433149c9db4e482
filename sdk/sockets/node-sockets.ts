import { connect, createServer, type Server, type Socket } from 'node:net';
import {
  connect as connectTls,
  createSecureContext,
  createServer as createTlsServer,
  type SecureContextOptions,
  type TlsOptions,
} from 'node:tls';
import { ErrorCode, UltimaError } from '../errors.js';
import { cannotListen, cannotListenAt, clearPath, codeOf, unreachable } from './places.js';
import type { Listening, LocalSockets, Place, Stream, StreamUser } from './stream.js';

/** A peer that was told goodbye closes within this, or is cut off. */
const lingerMs = 2000;
/** Who ends its side may still be answered. */
const settings = { allowHalfOpen: true, noDelay: true, keepAlive: true } as const;

/** Mutual TLS 1.3: both sides show a certificate of the authority. PEM. */
export interface MutualTls {
  readonly key: string;
  readonly certificate: string;
  readonly authority: string;
  /** What the peer's certificate must be for, where we connect; the host's name when left out. */
  readonly peerName?: string;
}

/** Connections over node:net, or node:tls: what works everywhere. */
export class NodeSockets implements LocalSockets {
  readonly isPolled = false;
  private readonly tls: SecureContextOptions | null;
  private readonly peerName: string | undefined;

  constructor(tls?: MutualTls) {
    this.tls = tls === undefined ? null : settingsOf(tls);
    this.peerName = tls?.peerName;
  }

  async listen(place: Place, accept: (stream: NodeStream) => void): Promise<Listening> {
    const server = this.server(accept);
    const { host, port } = place;
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) => reject(cannotListen(place, codeOf(error), error)));
      server.listen({ host, port }, resolve);
    });
    return { place: placeOf(place, server), close: () => server.close() };
  }

  async listenAt(path: string, accept: (stream: NodeStream) => void): Promise<{ close(): void }> {
    await clearPath(path);
    const server = this.server(accept);
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) => reject(cannotListenAt(path, codeOf(error), error)));
      server.listen(path, resolve);
    });
    return { close: () => server.close() };
  }

  connect(place: Place, limitMs: number): Promise<NodeStream> {
    const { host, port } = place;
    const { tls, peerName } = this;
    const named = peerName === undefined ? {} : { servername: peerName };
    const socket =
      tls === null
        ? connect({ host, port, ...settings })
        : connectTls({ ...tls, host, port, ...named });
    if (tls !== null) socket.setNoDelay(true);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        socket.destroy();
        reject(unreachable(place, `no answer within ${limitMs} ms`));
      }, limitMs);
      socket.once(tls === null ? 'connect' : 'secureConnect', () => {
        clearTimeout(timer);
        socket.removeAllListeners('error');
        resolve(new NodeStream(socket));
      });
      socket.once('error', (error) => {
        clearTimeout(timer);
        // Node names the place, too.
        const why = error.message.replace(` ${host}:${port}`, '');
        reject(unreachable(place, why, error));
      });
    });
  }

  poll(): number {
    return 0;
  }

  watch(): void {}

  close(): void {}

  private server(accept: (stream: NodeStream) => void): Server {
    const { tls } = this;
    const taken = (socket: Socket): void => accept(new NodeStream(socket));
    const server =
      tls === null
        ? createServer(settings, taken)
        : createTlsServer({ ...tls, requestCert: true, rejectUnauthorized: true }, taken);
    // A client that fails the handshake, or cannot be accepted, is its own loss.
    server.on('tlsClientError', () => {});
    server.once('listening', () => server.on('error', () => {}));
    return server;
  }
}

export class NodeStream implements Stream {
  readonly remote: string;
  readonly local: string;
  private readonly socket: Socket;
  /** What bytes go through: the socket, or what encrypts them for it. */
  private carrier: Socket;
  private user: StreamUser | null = null;
  private readonly onSent: () => void;
  private readonly onData: (bytes: Uint8Array) => void;
  private readonly onEnd: () => void;
  private linger: NodeJS.Timeout | null = null;
  private hasEnded = false;
  private reason = 'the peer closed the connection';

  constructor(socket: Socket) {
    this.socket = socket;
    this.carrier = socket;
    this.remote = nameOf(socket.remoteAddress, socket.remotePort);
    this.local = nameOf(socket.localAddress, socket.localPort);
    this.onSent = () => {
      if (!this.socket.destroyed) this.user?.sent();
    };
    this.onData = (bytes) => {
      // After a goodbye what comes is only waited for.
      if (this.linger === null) this.user?.receive(bytes, 0, bytes.length);
    };
    this.onEnd = () => this.peerEnded();
    socket.on('error', (error) => this.failed(error));
  }

  attach(user: StreamUser): void {
    this.user = user;
    const { socket } = this;
    socket.on('close', () => this.closed());
    this.watch(socket);
    if (socket.destroyed) setImmediate(() => this.closed());
  }

  /**
   * Everything from now on is encrypted, in both directions.
   *
   * @param done  the handshake is over; when it fails, the connection is gone
   */
  secure(tls: TlsOptions, done: () => void): void {
    const { socket } = this;
    socket.off('data', this.onData);
    socket.off('end', this.onEnd);
    // A TLS server of its own for each: it, unlike a bare TLS socket, looks at certificates.
    const server = createTlsServer(tls, (secured) => {
      this.carrier = secured;
      secured.on('error', (error) => this.failed(error));
      this.watch(secured);
      done();
    });
    server.on('tlsClientError', (error) => this.failed(error));
    server.emit('connection', socket);
  }

  send(chunk: Uint8Array, length: number): boolean {
    const { carrier } = this;
    if (!carrier.writableEnded) carrier.write(chunk.subarray(0, length), this.onSent);
    return false;
  }

  setReading(isWanted: boolean): void {
    if (isWanted) this.carrier.resume();
    else this.carrier.pause();
  }

  end(): void {
    if (this.linger !== null) return;
    this.linger = setTimeout(() => this.cut(), lingerMs);
    const { carrier } = this;
    carrier.end();
    // What is dropped unread must not keep its end from being seen.
    carrier.resume();
    if (this.hasEnded) carrier.once('finish', () => this.cut());
  }

  destroy(): void {
    // What was sent before a goodbye still goes.
    if (this.linger !== null) return;
    this.user = null;
    this.cut();
  }

  private cut(): void {
    this.carrier.destroy();
    this.socket.destroy();
  }

  private watch(socket: Socket): void {
    socket.on('data', this.onData);
    socket.on('end', this.onEnd);
  }

  private failed(error: Error): void {
    this.reason = error.message;
    this.cut();
  }

  private peerEnded(): void {
    this.hasEnded = true;
    if (this.linger === null && this.user?.inputEnded !== undefined) this.user.inputEnded();
    // We may have said goodbye first.
    else this.cut();
  }

  private closed(): void {
    if (this.linger !== null) clearTimeout(this.linger);
    const { user } = this;
    this.user = null;
    user?.gone(this.reason);
  }
}

/** @throws UltimaError FILE_INVALID */
function settingsOf({ key, certificate, authority }: MutualTls): SecureContextOptions {
  return checkedTls({ key, cert: certificate, ca: authority, minVersion: 'TLSv1.3' });
}

/**
 * What is wrong with certificates shows now and not with the first peer.
 *
 * @throws UltimaError FILE_INVALID
 */
export function checkedTls<T extends SecureContextOptions>(options: T): T {
  try {
    createSecureContext(options);
    return options;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const message = `the key and certificates for TLS cannot be used: ${reason}`;
    throw new UltimaError(ErrorCode.fileInvalid, message, { reason }, error);
  }
}

function nameOf(address = '', port = 0): string {
  return `${address}:${port}`;
}

function placeOf(place: Place, server: Server): Place {
  const address = server.address();
  if (address === null || typeof address === 'string') return place;
  return { host: place.host, port: address.port };
}
