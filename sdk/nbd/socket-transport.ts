import type { Socket } from 'node:net';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';
import type { NbdConnection } from './connection.js';
import type { NbdTransport } from './outbox.js';

/** A client that was told goodbye closes within this, or is cut off. */
const lingerMs = 2000;

/** A connection at a socket of Node. */
export class SocketTransport implements NbdTransport {
  private readonly tls: TlsOptions | null;
  private readonly gone: () => void;
  private readonly onSent: () => void;
  private readonly onData: (bytes: Uint8Array) => void;
  private readonly onEnd: () => void;
  private readonly socket: Socket;
  private stream: Socket;
  private connection: NbdConnection | null = null;
  private linger: NodeJS.Timeout | null = null;
  private isEnded = false;

  /** @param gone  the socket is closed; called once */
  constructor(socket: Socket, tls: TlsOptions | null, gone: () => void) {
    this.socket = socket;
    this.stream = socket;
    this.tls = tls;
    this.gone = gone;
    this.onSent = () => this.connection?.sent();
    this.onData = (bytes) => this.connection?.receive(bytes);
    this.onEnd = () => this.peerEnded();
  }

  /** Begin: the connection hears what arrives. */
  attach(connection: NbdConnection): void {
    this.connection = connection;
    this.socket.on('close', () => this.closed());
    this.watch(this.socket);
  }

  send(bytes: Uint8Array): void {
    this.stream.write(bytes, this.onSent);
  }

  setReading(isWanted: boolean): void {
    if (isWanted) this.stream.resume();
    else this.stream.pause();
  }

  startTls(): void {
    const { socket, tls } = this;
    if (tls === null) {
      this.destroy();
      return;
    }
    socket.off('data', this.onData);
    socket.off('end', this.onEnd);
    // A TLS server of its own for each: it, unlike a bare TLS socket, looks at certificates.
    const server = createTlsServer(tls, (secure) => {
      this.stream = secure;
      this.watch(secure);
      this.connection?.secured();
    });
    server.on('tlsClientError', () => this.destroy());
    server.emit('connection', socket);
  }

  end(): void {
    this.stream.end();
    this.linger ??= setTimeout(() => this.destroy(), lingerMs);
    if (this.isEnded) this.stream.once('finish', () => this.destroy());
  }

  destroy(): void {
    this.stream.destroy();
    this.socket.destroy();
  }

  private watch(stream: Socket): void {
    stream.on('data', this.onData);
    stream.on('end', this.onEnd);
    // 'close' follows; whatever it was, this client is gone.
    stream.on('error', () => this.destroy());
  }

  private peerEnded(): void {
    if (this.isEnded) return;
    this.isEnded = true;
    // We may have said goodbye first.
    if (this.linger !== null) this.destroy();
    else this.connection?.peerEnded();
  }

  private closed(): void {
    if (this.linger !== null) clearTimeout(this.linger);
    this.connection?.lost();
    this.gone();
  }
}
