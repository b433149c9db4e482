import type { TlsOptions } from 'node:tls';
import { ErrorCode, UltimaError } from '../errors.js';
import { checkedTls, NodeSockets, NodeStream } from '../sockets/node-sockets.js';
import { ChunkPool } from '../sockets/outbox.js';
import { Reactor } from '../sockets/reactor.js';
import type { LocalSockets, Stream } from '../sockets/stream.js';
import { NbdConnection } from './connection.js';
import { listenAt, type NbdListening, parseEndpoint } from './endpoint.js';
import type { TlsUse } from './negotiation.js';
import { type NbdExport, ServedExport } from './served-export.js';

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
  /** With it everything goes over node:net and node:tls. */
  readonly tls?: NbdTls;
  /** How connections are made in clear; over node:net when left out. */
  readonly sockets?: LocalSockets;
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
/** Waiting in the kernel costs less than spinning, and its end is seen nearly as soon. */
const waitMs = 1;

/**
 * Block devices for NBD clients (kernels, QEMU, libnbd, fio), in this thread's event loop. The
 * server polls the devices while requests are under way, so nobody else may.
 *
 * A client can harm its own connection and nobody else's: what it sends is checked, what it makes
 * the server keep is bounded, and its end, at whatever moment, gives everything back.
 */
export class NbdServer {
  private readonly served: readonly ServedExport[];
  private readonly listening: NbdListening[] = [];
  /** With the deadlines until which they must have chosen an export. */
  private readonly clients = new Map<NbdConnection, NodeJS.Timeout>();
  private readonly chunks = new ChunkPool();
  private readonly sockets: LocalSockets;
  private readonly ownsSockets: boolean;
  private readonly reactor: Reactor;
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
    const given = this.tls === null ? options.sockets : undefined;
    this.ownsSockets = given === undefined;
    this.sockets = given ?? new NodeSockets();
    this.reactor = new Reactor({ sockets: this.sockets, spinMs: 0, waitMs });
    this.reactor.setServed(this.served);
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
      for (const endpoint of endpoints) {
        const accept = (stream: Stream): void => server.accept(stream);
        server.listening.push(await listenAt(endpoint, server.sockets, accept));
      }
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
    for (const connection of this.clients.keys()) {
      requests += connection.transmission?.requestCount ?? 0;
    }
    return {
      connections: this.clients.size,
      requests,
      violations: this.violationCount,
      lastViolation: this.lastViolation,
    };
  }

  /** Connections that use an export. */
  clientsOf(name: string): number {
    let count = 0;
    for (const { chosen } of this.clients.keys()) if (chosen?.name === name) count++;
    return count;
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
    for (const connection of [...this.clients.keys()]) connection.drop();
  }

  private async end(): Promise<void> {
    for (const each of this.listening) each.close();
    for (const connection of [...this.clients.keys()]) connection.shutDown();
    const late = setTimeout(() => this.cut(), closingMs);
    await new Promise<void>((resolve) => {
      this.whenEmpty = resolve;
      this.lookWhetherEmpty();
    });
    clearTimeout(late);
    this.reactor.close();
    for (const each of this.served) each.close();
    if (this.ownsSockets) this.sockets.close();
  }

  /** Devices may still have requests of clients that are gone. */
  private lookWhetherEmpty(): void {
    if (this.whenEmpty === null || this.clients.size > 0) return;
    if (this.served.some(({ inFlight }) => inFlight > 0)) {
      setImmediate(() => this.lookWhetherEmpty());
    } else this.whenEmpty();
  }

  private accept(stream: Stream): void {
    if (this.clients.size >= this.most || this.closing !== null) {
      stream.destroy();
      return;
    }
    const { chunks, tlsUse } = this;
    const connection = new NbdConnection({
      stream,
      exports: this.served,
      tls: tlsUse,
      chunks,
      startTls: () => this.startTls(stream, connection),
      touch: (each) => this.reactor.touch(each),
      over: (each) => this.forget(each),
    });
    const deadline = setTimeout(() => {
      if (connection.transmission === null) connection.drop();
    }, this.negotiationMs);
    this.clients.set(connection, deadline);
    stream.attach(connection);
    connection.greet();
  }

  private startTls(stream: Stream, connection: NbdConnection): void {
    if (this.tls !== null && stream instanceof NodeStream) {
      stream.secure(this.tls, () => connection.secured());
    } else connection.drop();
  }

  private forget(connection: NbdConnection): void {
    clearTimeout(this.clients.get(connection));
    this.clients.delete(connection);
    this.requestCount += connection.transmission?.requestCount ?? 0;
    if (connection.violation !== '') {
      this.violationCount++;
      this.lastViolation = connection.violation;
    }
    this.lookWhetherEmpty();
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
  const asks = authority !== undefined;
  const trusts = asks ? { ca: authority } : {};
  const context = checkedTls({ key, cert: certificate, minVersion: 'TLSv1.2', ...trusts });
  return { ...context, requestCert: asks, rejectUnauthorized: asks };
}
