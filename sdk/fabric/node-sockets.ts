import { connect, createServer, type Server, type Socket } from 'node:net';
import {
  connect as connectTls,
  createServer as createTlsServer,
  type SecureContextOptions,
} from 'node:tls';
import { ErrorCode, UltimaError } from '../errors.js';
import type { FabricSockets, FabricStream, Listening, Place, StreamUser } from './stream.js';

/** A peer that was told goodbye closes within this, or is cut off. */
const lingerMs = 2000;

/** Mutual TLS 1.3: both sides show a certificate of the authority. PEM. */
export interface FabricTls {
  readonly key: string;
  readonly certificate: string;
  readonly authority: string;
  /** What the peer's certificate must be for, where we connect; the host's name when left out. */
  readonly peerName?: string;
}

/** Connections over node:net, or node:tls: what works everywhere. */
export class NodeSockets implements FabricSockets {
  readonly isPolled = false;
  private readonly tls: SecureContextOptions | null;
  private readonly peerName: string | undefined;

  constructor(tls?: FabricTls) {
    this.tls = tls === undefined ? null : settingsOf(tls);
    this.peerName = tls?.peerName;
  }

  async listen(place: Place, accept: (stream: FabricStream) => void): Promise<Listening> {
    const taken = (socket: Socket): void => accept(new NodeStream(socket));
    const { tls } = this;
    const server =
      tls === null
        ? createServer({ noDelay: true, keepAlive: true }, taken)
        : createTlsServer({ ...tls, requestCert: true, rejectUnauthorized: true }, taken);
    // A client that fails the handshake is its own loss.
    server.on('tlsClientError', () => {});
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) => reject(cannotListen(place, error)));
      server.listen({ host: place.host, port: place.port }, resolve);
    });
    server.on('error', () => {});
    return { place: placeOf(place, server), close: () => server.close() };
  }

  connect(place: Place, limitMs: number): Promise<FabricStream> {
    const { host, port } = place;
    const { tls, peerName } = this;
    const socket =
      tls === null
        ? connect({ host, port, noDelay: true, keepAlive: true })
        : connectTls({
            ...tls,
            host,
            port,
            ...(peerName !== undefined && { servername: peerName }),
          });
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
        reject(unreachable(place, error.message, error));
      });
    });
  }

  poll(): number {
    return 0;
  }

  watch(_onReadable: (() => void) | null): void {}

  close(): void {}
}

class NodeStream implements FabricStream {
  readonly remote: string;
  readonly local: string;
  private readonly socket: Socket;
  private user: StreamUser | null = null;
  private readonly onSent: () => void;
  private linger: NodeJS.Timeout | null = null;
  private reason = 'the peer closed the connection';

  constructor(socket: Socket) {
    this.socket = socket;
    this.remote = `${socket.remoteAddress ?? ''}:${socket.remotePort ?? 0}`;
    this.local = `${socket.localAddress ?? ''}:${socket.localPort ?? 0}`;
    this.onSent = () => {
      if (!this.socket.destroyed) this.user?.sent();
    };
    socket.on('error', (error) => {
      this.reason = error.message;
      socket.destroy();
    });
  }

  attach(user: StreamUser): void {
    this.user = user;
    const { socket } = this;
    socket.on('data', (bytes: Uint8Array) => user.receive(bytes, 0, bytes.length));
    socket.on('close', () => {
      if (this.linger !== null) clearTimeout(this.linger);
      this.user = null;
      user.gone(this.reason);
    });
    if (socket.destroyed) setImmediate(() => user.gone(this.reason));
  }

  send(chunk: Uint8Array, length: number): boolean {
    if (!this.socket.writableEnded) {
      this.socket.write(chunk.subarray(0, length), this.onSent);
    }
    return false;
  }

  end(): void {
    this.socket.end();
    this.linger ??= setTimeout(() => this.socket.destroy(), lingerMs);
  }

  destroy(): void {
    // What was sent before a goodbye still goes.
    if (this.linger === null) this.socket.destroy();
  }
}

/** @throws UltimaError FILE_INVALID */
function settingsOf({ key, certificate, authority }: FabricTls): SecureContextOptions {
  return { key, cert: certificate, ca: authority, minVersion: 'TLSv1.3' };
}

function placeOf(place: Place, server: Server): Place {
  const address = server.address();
  if (address === null || typeof address === 'string') return place;
  return { host: place.host, port: address.port };
}

export function unreachable({ host, port }: Place, why: string, cause?: unknown): UltimaError {
  return new UltimaError(
    ErrorCode.backendUnavailable,
    `${host}:${port} cannot be reached: ${why}; is a target listening there?`,
    { host, port, reason: why },
    cause,
  );
}

export function cannotListen({ host, port }: Place, error: Error): UltimaError {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  const isTaken = code === 'EADDRINUSE';
  return new UltimaError(
    isTaken ? ErrorCode.deviceBusy : ErrorCode.addressInvalid,
    isTaken
      ? `another process listens at ${host}:${port}; end it, or choose another port`
      : `cannot listen at ${host}:${port}: ${error.message}`,
    { host, port, reason: code },
    error,
  );
}
