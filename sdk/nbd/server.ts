import type { Socket } from 'node:net';
import { createSecureContext, type TlsOptions } from 'node:tls';
import { ErrorCode, UltimaError } from '../errors.js';
import { NbdConnection } from './connection.js';
import { type Endpoint, type Listening, listen, parseEndpoint } from './endpoint.js';
import type { TlsUse } from './negotiation.js';
import { ChunkPool } from './outbox.js';
import { NbdReactor } from './reactor.js';
import { type NbdExport, ServedExport } from './served-export.js';
import { SocketTransport } from './socket-transport.js';

/** Certificates in PEM. */
export interface NbdTls {
  readonly key: string;
  readonly certificate: string;
  /** Clients must show a certificate of this authority; they need none when it is left out. */
  readonly authority?: string;
  /** Clear text is refused; false when left out. */
  readonly isRequired?: boolean;
}

export interface NbdServerOptions {
  /** At least one, at most 256; the first is the default one. */
  readonly exports: readonly NbdExport[];
  /** 'unix:PATH', 'tcp:HOST:PORT' (0: any free port), 'tcp:HOST'. */
  readonly listen: readonly string[];
  readonly tls?: NbdTls;
  /** 1 to 1,024; 64 when left out. What comes beyond is closed at once. */
  readonly mostConnections?: number;
  /** Until a client has chosen an export; 10,000 when left out. */
  readonly negotiationMs?: number;
}

export interface NbdServerStatus {
  readonly connections: number;
  /** Requests of the connections that are open, and of all that were. */
  readonly requests: number;
  /** Connections that were ended because of what they sent, and why the last one was. */
  readonly violations: number;
  readonly lastViolation: string;
}

const mostExports = 256;
const defaultConnections = 64;
const mostConnections = 1024;
const defaultNegotiationMs = 10_000;
/** What is under way when the server closes has so long to end. */
const closingMs = 5000;

interface Client {
  readonly connection: NbdConnection;
  readonly transport: SocketTransport;
  readonly deadline: NodeJS.Timeout;
}

/**
 * Block devices for NBD clients (kernels, QEMU, libnbd, fio), in this thread's event loop. The
 * server polls the devices while requests are under way, so nobody else may.
 *
 * A client can harm its own connection and nobody else's: what it sends is checked, what it makes
 * the server keep is bounded, and its end, at whatever moment, gives everything back.
 */
export class NbdServer {
  private readonly served: readonly ServedExport[];
  private readonly listening: Listening[] = [];
  private readonly clients = new Set<Client>();
  private readonly chunks = new ChunkPool();
  private readonly reactor: NbdReactor;
  private readonly tls: TlsOptions | null;
  private readonly tlsUse: TlsUse;
  private readonly most: number;
  private readonly negotiationMs: number;
  private requestCount = 0;
  private violationCount = 0;
  private lastViolation = '';
  private closing: Promise<void> | null = null;
  private whenEmpty: (() => void) | null = null;

  private constructor(options: NbdServerOptions) {
    this.served = options.exports.map((each) => new ServedExport(each));
    this.most = options.mostConnections ?? defaultConnections;
    this.negotiationMs = options.negotiationMs ?? defaultNegotiationMs;
    const { tls } = options;
    this.tls = tls === undefined ? null : settingsOf(tls);
    this.tlsUse = tls === undefined ? 'off' : tls.isRequired === true ? 'required' : 'optional';
    this.reactor = new NbdReactor(this.served, () => this.turnAll());
  }

  /**
   * Serve devices until `close`. All places are listened at, or none.
   *
   * @throws UltimaError ADDRESS_INVALID, DEVICE_BUSY, FILE_UNWRITABLE for a place to listen,
   *   DEVICE_UNSUPPORTED for a device with odd blocks, NAME_TAKEN, FILE_INVALID for certificates;
   *   RangeError for names and limits that cannot be
   */
  static async start(options: NbdServerOptions): Promise<NbdServer> {
    check(options);
    const endpoints = options.listen.map(parseEndpoint);
    const server = new NbdServer(options);
    try {
      for (const endpoint of endpoints) await server.listen(endpoint);
    } catch (error) {
      await server.close();
      throw error;
    }
    return server;
  }

  /** What clients are given: 'nbd+unix:///?socket=PATH', 'nbd://HOST:PORT'. */
  get uris(): readonly string[] {
    return this.listening.map(({ uri }) => uri);
  }

  get status(): NbdServerStatus {
    let requests = this.requestCount;
    for (const { connection } of this.clients) {
      requests += connection.transmission?.requestCount ?? 0;
    }
    return {
      connections: this.clients.size,
      requests,
      violations: this.violationCount,
      lastViolation: this.lastViolation,
    };
  }

  /** Answer what is under way, let the clients go, give everything back. Idempotent. */
  close(): Promise<void> {
    this.closing ??= this.end();
    return this.closing;
  }

  /**
   * Every client is cut off without an answer to what is under way, and asks again where the device
   * is served next. To be followed by `close`.
   */
  cut(): void {
    for (const { transport } of this.clients) transport.destroy();
  }

  private async listen(endpoint: Endpoint): Promise<void> {
    this.listening.push(await listen(endpoint, (socket) => this.accept(socket)));
  }

  private async end(): Promise<void> {
    for (const each of this.listening) each.close();
    for (const { connection } of [...this.clients]) connection.shutDown();
    const late = setTimeout(() => {
      for (const { transport } of this.clients) transport.destroy();
    }, closingMs);
    await new Promise<void>((resolve) => {
      this.whenEmpty = resolve;
      this.lookWhetherEmpty();
    });
    clearTimeout(late);
    this.reactor.close();
    for (const each of this.served) each.close();
  }

  /** Devices may still have requests of clients that are gone. */
  private lookWhetherEmpty(): void {
    if (this.whenEmpty === null || this.clients.size > 0) return;
    if (this.served.some(({ inFlight }) => inFlight > 0)) {
      setImmediate(() => this.lookWhetherEmpty());
    } else this.whenEmpty();
  }

  private accept(socket: Socket): void {
    if (this.clients.size >= this.most || this.closing !== null) {
      socket.destroy();
      return;
    }
    const { chunks, tlsUse } = this;
    const transport = new SocketTransport(socket, this.tls, () => this.forget(client));
    const connection = new NbdConnection({
      transport,
      exports: this.served,
      tls: tlsUse,
      chunks,
      wake: () => this.reactor.wake(),
    });
    const deadline = setTimeout(() => {
      if (connection.transmission === null) transport.destroy();
    }, this.negotiationMs);
    const client: Client = { connection, transport, deadline };
    this.clients.add(client);
    transport.attach(connection);
  }

  private forget(client: Client): void {
    const { connection, deadline } = client;
    clearTimeout(deadline);
    this.clients.delete(client);
    this.requestCount += connection.transmission?.requestCount ?? 0;
    if (connection.violation !== '') {
      this.violationCount++;
      this.lastViolation = connection.violation;
    }
    this.lookWhetherEmpty();
  }

  private turnAll(): void {
    for (const { connection } of this.clients) connection.turn();
  }
}

function check({ exports, listen: places, ...limits }: NbdServerOptions): void {
  if (exports.length < 1 || exports.length > mostExports) {
    throw new RangeError(`${exports.length} exports; 1 to ${mostExports} are possible`);
  }
  if (places.length < 1) throw new RangeError('no place to listen; one at least');
  const most = limits.mostConnections ?? defaultConnections;
  if (!Number.isInteger(most) || most < 1 || most > mostConnections) {
    throw new RangeError(`${most} connections; 1 to ${mostConnections} are possible`);
  }
  const names = new Set<string>();
  for (const { name } of exports) {
    if (names.has(name)) {
      const message = `two exports are called '${name}'; names must differ`;
      throw new UltimaError(ErrorCode.nameTaken, message, { name });
    }
    names.add(name);
  }
}

/** @throws UltimaError FILE_INVALID */
function settingsOf({ key, certificate, authority }: NbdTls): TlsOptions {
  const trusts = authority === undefined ? {} : { ca: authority };
  const asks = authority !== undefined;
  const options: TlsOptions = { key, cert: certificate, minVersion: 'TLSv1.2', ...trusts };
  try {
    // Made to be checked: what is wrong shows now and not with the first client.
    createSecureContext(options);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const message = `the key and certificates for TLS cannot be used: ${reason}`;
    throw new UltimaError(ErrorCode.fileInvalid, message, { reason }, error);
  }
  return { ...options, requestCert: asks, rejectUnauthorized: asks };
}
