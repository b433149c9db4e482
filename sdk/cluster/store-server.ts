import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { isIP } from 'node:net';
import { ErrorCode, UltimaError } from '../errors.js';
import {
  base64Of,
  bytesIn,
  isJson,
  type Json,
  listIn,
  numberIn,
  objectIn,
  parseJson,
} from './etcd-json.js';
import type { FileStore } from './file-store.js';
import type { StoreChange, StoreCondition, StoreEntry, StoreEvent } from './store.js';

export interface StoreServerOptions {
  readonly store: FileStore;
  /** '127.0.0.1' when left out. Others than the machine itself need TLS. */
  readonly host?: string;
  /** 0 chooses one. */
  readonly port: number;
  /** PEM. Clients must show a certificate that `ca` vouches for. */
  readonly tls?: { readonly ca: string; readonly cert: string; readonly key: string };
}

/** 64 values of the largest size, in base64. */
const mostBodyBytes = 32 * 1024 * 1024;
/** How late the end of a lease may come. */
const expiryMs = 250;

/** [GRPC §status codes] */
const Grpc = { unknown: 2, invalidArgument: 3, notFound: 5, unimplemented: 12, unavailable: 14 };

class BadCall extends Error {
  readonly status: number;
  readonly code: number;

  constructor(status: number, code: number, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/**
 * The embedded store for other processes, in the dialect of etcd's JSON gateway [ETCD-3.4 §gRPC
 * gateway], so that `EtcdStore` is the client of both and a cluster moves from one to the other by
 * its endpoints alone. What a client sends is checked; what it gets wrong costs its call.
 */
export class StoreServer {
  readonly endpoint: string;
  private readonly store: FileStore;
  private readonly server: Server;
  private readonly timer: ReturnType<typeof setInterval>;
  private readonly streams = new Set<ServerResponse>();

  /** @throws RangeError, UltimaError ADDRESS_INVALID when nobody may listen there */
  static async listen(options: StoreServerOptions): Promise<StoreServer> {
    const { host = '127.0.0.1', port, tls } = options;
    if (tls === undefined && !isLoopback(host)) {
      throw new RangeError(`a cluster store at ${host} is open to the network: give it TLS`);
    }
    const server =
      tls === undefined
        ? createServer()
        : createSecureServer({ ...tls, requestCert: true, rejectUnauthorized: true });
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) => reject(cannotListen(host, port, error)));
      server.listen(port, host, resolve);
    });
    const address = server.address();
    const bound = typeof address === 'object' && address !== null ? address.port : port;
    const name = isIP(host) === 6 ? `[${host}]` : host;
    return new StoreServer(options.store, server, `http${tls ? 's' : ''}://${name}:${bound}`);
  }

  private constructor(store: FileStore, server: Server, endpoint: string) {
    this.store = store;
    this.server = server;
    this.endpoint = endpoint;
    server.on('request', (request, response) => void this.answer(request, response));
    // A disk that fails says so to whoever writes next.
    this.timer = setInterval(() => void store.expire().catch(() => {}), expiryMs);
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const body = parseJson(await bodyOf(request));
      if (request.url === '/v3/watch') {
        this.watch(body, response);
        return;
      }
      const answer = await this.call(request.url ?? '', body);
      end(response, 200, answer);
    } catch (error) {
      const { status, code, message } = badCallOf(error);
      end(response, status, { error: message, message, code });
    }
  }

  private async call(path: string, body: Json): Promise<Json> {
    switch (path) {
      case '/v3/kv/range':
        return this.range(body);
      case '/v3/kv/txn':
        return this.txn(body);
      case '/v3/lease/grant': {
        const lease = await this.store.grantLease(numberIn(body, 'TTL') * 1000);
        return { ...this.head(), ID: lease.id, TTL: String(lease.ttlMs / 1000) };
      }
      case '/v3/lease/keepalive':
        return { result: await this.keepAlive(textIn(body, 'ID')) };
      case '/v3/lease/revoke':
        await this.store.lease(textIn(body, 'ID')).revoke();
        return this.head();
      default:
        throw new BadCall(404, Grpc.unimplemented, `${path}: not of this store`);
    }
  }

  private head(revision = this.store.revision): Json {
    const { storeId } = this.store;
    return { header: { cluster_id: String(storeId), member_id: '1', revision: String(revision) } };
  }

  private async range(body: Json): Promise<Json> {
    const key = keyIn(body);
    if (body.range_end === undefined) {
      const entry = await this.store.read(key);
      const entries = entry === null ? [] : [entry];
      return { ...this.head(), kvs: entries.map(plainEntry), count: String(entries.length) };
    }
    const { entries, revision } = await this.store.list(prefixIn(body));
    const kvs = body.count_only === true ? [] : entries.map(plainEntry);
    return { ...this.head(revision), kvs, count: String(entries.length) };
  }

  private async txn(body: Json): Promise<Json> {
    const conditions = listIn(body, 'compare').map((compare): StoreCondition => {
      if (compare.target !== 'MOD' || compare.result !== 'EQUAL') {
        throw new BadCall(400, Grpc.unimplemented, 'conditions are EQUAL on MOD');
      }
      return { key: keyIn(compare), revision: numberIn(compare, 'mod_revision') };
    });
    const changes = listIn(body, 'success').map((change) => this.changeOf(change));
    const { outcome, revision } = await this.store.commit(conditions, changes);
    return { ...this.head(revision), ...(outcome === 'applied' ? { succeeded: true } : {}) };
  }

  private changeOf(change: Json): StoreChange {
    if (isJson(change.request_delete_range)) {
      return { key: keyIn(change.request_delete_range), value: null };
    }
    const put = objectIn(change, 'request_put');
    const plain = { key: keyIn(put), value: bytesIn(put, 'value') };
    if (put.lease === undefined || put.lease === '0') return plain;
    return { ...plain, lease: this.store.lease(textIn(put, 'lease')) };
  }

  private async keepAlive(id: string): Promise<Json> {
    try {
      const lease = this.store.lease(id);
      await lease.keepAlive();
      return { ...this.head(), ID: id, TTL: String(lease.ttlMs / 1000) };
    } catch (error) {
      if (!(error instanceof UltimaError && error.code === ErrorCode.notFound)) throw error;
      return { ...this.head(), ID: id };
    }
  }

  private watch(body: Json, response: ServerResponse): void {
    const asked = objectIn(body, 'create_request');
    const prefix = prefixIn(asked);
    const after = Math.max(0, numberIn(asked, 'start_revision') - 1);
    response.writeHead(200, { 'content-type': 'application/json' });
    const say = (result: Json) => void response.write(`${JSON.stringify({ result })}\n`);
    say({ ...this.head(), created: true });
    this.streams.add(response);
    const watch = this.store.watch(prefix, after, {
      changed: (events) => {
        say({ ...this.head(events.at(-1)?.revision), events: events.map(plainEvent) });
      },
      failed: (error) => {
        // A revision to come is waited for, as etcd does; one that is forgotten is said.
        if (!(error instanceof UltimaError && error.code === ErrorCode.storeCompacted)) return;
        const oldest = String(error.facts.oldestRevision);
        say({ ...this.head(), canceled: true, compact_revision: oldest });
      },
    });
    response.on('close', () => {
      this.streams.delete(response);
      watch.close();
    });
  }

  /** Watches end, calls under way are answered; the store stays open. */
  async close(): Promise<void> {
    clearInterval(this.timer);
    const closed = new Promise((resolve) => this.server.close(resolve));
    for (const stream of this.streams) stream.destroy();
    this.server.closeIdleConnections();
    await closed;
  }
}

function plainEntry({ key, value, revision }: StoreEntry): Json {
  return { key: base64Of(key), value: base64Of(value), mod_revision: String(revision) };
}

function plainEvent({ key, value, revision }: StoreEvent): Json {
  const kv = { key: base64Of(key), mod_revision: String(revision) };
  if (value === null) return { type: 'DELETE', kv };
  return { kv: { ...kv, value: base64Of(value) } };
}

function keyIn(json: Json): string {
  return Buffer.from(bytesIn(json, 'key')).toString('latin1');
}

/** A range is always that of a prefix: its end is its beginning with the last character raised. */
function prefixIn(json: Json): string {
  const key = Buffer.from(bytesIn(json, 'key'));
  const end = Buffer.from(bytesIn(json, 'range_end'));
  const isPrefix = key.length > 0 && end.length === key.length;
  if (isPrefix) end[end.length - 1]! -= 1;
  if (!isPrefix || !end.equals(key)) {
    throw new BadCall(400, Grpc.unimplemented, 'a range is that of a prefix');
  }
  return key.toString('latin1');
}

function textIn(json: Json, name: string): string {
  const value = json[name];
  if (typeof value === 'string') return value;
  throw new BadCall(400, Grpc.invalidArgument, `${name} is no text`);
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  if (request.method !== 'POST') throw new BadCall(405, Grpc.unimplemented, 'calls are POST');
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of request) {
    const piece = Buffer.from(part);
    bytes += piece.length;
    if (bytes > mostBodyBytes) {
      throw new BadCall(413, Grpc.invalidArgument, `more than ${mostBodyBytes} bytes`);
    }
    parts.push(piece);
  }
  return Buffer.concat(parts).toString('utf8');
}

function badCallOf(error: unknown): BadCall {
  if (error instanceof BadCall) return error;
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof RangeError) return new BadCall(400, Grpc.invalidArgument, message);
  if (!(error instanceof UltimaError)) return new BadCall(500, Grpc.unknown, message);
  if (error.code === ErrorCode.notFound) return new BadCall(404, Grpc.notFound, message);
  if (error.code === ErrorCode.storeInvalid) {
    return new BadCall(400, Grpc.invalidArgument, message);
  }
  return new BadCall(503, Grpc.unavailable, message);
}

function end(response: ServerResponse, status: number, answer: Json): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(`${JSON.stringify(answer)}\n`);
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);
}

function cannotListen(host: string, port: number, error: Error): UltimaError {
  const reason = 'code' in error ? String(error.code) : error.message;
  const place = `${host}:${port}`;
  const message = `the cluster store cannot listen at ${place}: ${reason}; choose another port`;
  return new UltimaError(ErrorCode.addressInvalid, message, { host, port, reason }, error);
}
