import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { ErrorCode, UltimaError } from '../errors.js';
import { type Header, headerIn, isJson, type Json, parseJson, strange } from './etcd-json.js';
import { rolledBack } from './key-table.js';

export interface EtcdTls {
  /** PEM. The authorities that may vouch for the servers. */
  readonly ca: string;
  /** PEM. Ours, where the servers want to know their clients. */
  readonly cert?: string;
  readonly key?: string;
}

export interface EtcdOptions {
  /** 'http://10.0.0.1:2379' or 'https://…', those of one cluster; tried in turn. */
  readonly endpoints: readonly string[];
  readonly tls?: EtcdTls;
  readonly user?: string;
  readonly password?: string;
  /** How long one endpoint may take to answer, 100..60,000; 2,000 when left out. */
  readonly timeoutMs?: number;
}

/** What may be done when an answer does not come. */
type Kind = 'query' | 'commit';

const mostAnswerBytes = 64 * 1024 * 1024;

/** Codes of gRPC that the gateway passes on [GRPC §status codes]. */
const Grpc = {
  invalidArgument: 3,
  notFound: 5,
  permissionDenied: 7,
  failedPrecondition: 9,
  outOfRange: 11,
  unauthenticated: 16,
} as const;

/** The server said no, before it changed anything. */
const definite: readonly number[] = Object.values(Grpc);

export interface OpenStream {
  readonly response: IncomingMessage;
  close(): void;
}

/**
 * Calls to the members of one etcd cluster. A query goes from endpoint to endpoint until one
 * answers; a commit moves on only when it has surely not been sent. Keeps count of what the cluster
 * has shown, so that a cluster that was wiped or restored is noticed.
 */
export class EtcdClient {
  readonly endpoints: readonly URL[];
  readonly timeoutMs: number;
  private readonly options: EtcdOptions;
  private readonly http = new HttpAgent({ keepAlive: true });
  private readonly https: HttpsAgent;
  private current = 0;
  private token = '';
  private newestRevision = 0;
  private clusterId = '';

  constructor(options: EtcdOptions) {
    this.endpoints = options.endpoints.map(endpointOf);
    if (this.endpoints.length < 1) throw new RangeError('0 endpoints of etcd; at least 1');
    this.timeoutMs = options.timeoutMs ?? 2_000;
    if (!(this.timeoutMs >= 100 && this.timeoutMs <= 60_000)) {
      throw new RangeError(`a time limit of ${this.timeoutMs} ms; 100 to 60000`);
    }
    this.options = options;
    const { ca, cert, key } = options.tls ?? {};
    this.https = new HttpsAgent({ keepAlive: true, ca, cert, key, minVersion: 'TLSv1.2' });
  }

  /**
   * @param kind  'commit' when the call changes something
   * @throws UltimaError STORE_UNREACHABLE, STORE_UNKNOWN (a commit), STORE_REFUSED, NOT_FOUND,
   *   STORE_INVALID, STORE_ROLLED_BACK
   */
  async call(path: string, body: Json, kind: Kind): Promise<Json> {
    const shownBefore = this.newestRevision;
    if (this.options.user !== undefined && this.token === '') await this.authenticate();
    let json = await this.tryEach(path, body, kind);
    if (isJson(json) && isTokenStale(json) && this.options.user !== undefined) {
      await this.authenticate();
      json = await this.tryEach(path, body, kind);
    }
    if ('error' in json) throw refusalOf(json, kind);
    // The answer to a lease kept alive is a stream of one.
    const answer = isJson(json.result) ? json.result : json;
    this.notice(headerIn(answer), shownBefore);
    return answer;
  }

  /** @throws UltimaError STORE_ROLLED_BACK */
  notice(header: Header, shownBefore: number): void {
    const { clusterId, revision } = header;
    if (this.clusterId !== '' && this.clusterId !== clusterId) {
      throw new UltimaError(
        ErrorCode.storeRolledBack,
        `the endpoints belong to etcd cluster ${clusterId}, before it was ${this.clusterId}; ` +
          'name the endpoints of one cluster',
        { clusterId, knownClusterId: this.clusterId },
      );
    }
    if (revision < shownBefore) throw rolledBack(shownBefore, revision);
    this.clusterId = clusterId;
    this.newestRevision = Math.max(this.newestRevision, revision);
  }

  private async authenticate(): Promise<void> {
    const { user = '', password = '' } = this.options;
    this.token = '';
    const json = await this.tryEach('/v3/auth/authenticate', { name: user, password }, 'query');
    if ('error' in json) throw refusalOf(json, 'query');
    if (typeof json.token !== 'string') throw strange('a token', json.token);
    this.token = json.token;
  }

  /** Each endpoint once, from the one that answered last. */
  private async tryEach(path: string, body: Json, kind: Kind): Promise<Json> {
    const failures: string[] = [];
    for (let i = 0; i < this.endpoints.length; i++) {
      const endpoint = this.endpoints[this.current]!;
      try {
        const text = await this.post(endpoint, path, body);
        const json = parseJson(text.split('\n', 1)[0]!);
        if (kind === 'commit' || !isFault(json)) return json;
        failures.push(`${endpoint.host}: ${String(json.error)}`);
      } catch (error) {
        const reason = reasonOf(error);
        failures.push(`${endpoint.host}: ${reason}`);
        if (kind === 'commit' && !(error instanceof NotSent)) throw unknownOutcome(reason);
      }
      this.moveOn();
    }
    const facts = { path, endpoints: this.endpoints.length };
    throw new UltimaError(
      ErrorCode.storeUnreachable,
      `no member of the etcd cluster answers (${failures.join('; ')}); nothing was changed`,
      facts,
    );
  }

  /** The next call begins at another endpoint. */
  moveOn(): void {
    this.current = (this.current + 1) % this.endpoints.length;
  }

  private post(endpoint: URL, path: string, body: Json): Promise<string> {
    return this.timed((resolve, reject) =>
      this.send(endpoint, path, body, {
        answered: (response) => collect(response, reject, resolve),
        failed: reject,
      }),
    );
  }

  /** A call whose answer goes on: a watch. Resolves when the answer begins. */
  stream(path: string, body: Json): Promise<OpenStream> {
    return this.timed((resolve, reject) => {
      const sending = this.send(this.endpoints[this.current]!, path, body, {
        // Without a reason: where the answer has ended nobody listens to its socket any more.
        answered: (response) => resolve({ response, close: () => sending.close() }),
        failed: reject,
      });
      return sending;
    });
  }

  private timed<T>(
    start: (resolve: (value: T) => void, reject: (error: Error) => void) => Sending,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      const late = new Error(`no answer within ${this.timeoutMs} ms`);
      const timer = setTimeout(() => sending.close(late), this.timeoutMs);
      const sending = start(
        (value) => {
          clearTimeout(timer);
          resolve(value);
        },
        (error) => {
          clearTimeout(timer);
          reject(error);
        },
      );
    });
  }

  private send(
    endpoint: URL,
    path: string,
    body: Json,
    to: { answered(response: IncomingMessage): void; failed(error: Error): void },
  ): Sending {
    const isSecure = endpoint.protocol === 'https:';
    const bytes = Buffer.from(JSON.stringify(body));
    const headers = {
      'content-type': 'application/json',
      'content-length': bytes.length,
      ...(this.token === '' ? {} : { authorization: this.token }),
    };
    const options = { method: 'POST', agent: isSecure ? this.https : this.http, headers };
    const sending = (isSecure ? httpsRequest : httpRequest)(new URL(path, endpoint), options);
    // Before the socket stands (and its TLS, too), no byte of the call has left.
    let isConnected = false;
    sending.on('socket', (socket) => {
      if (sending.reusedSocket) isConnected = true;
      else socket.once(isSecure ? 'secureConnect' : 'connect', () => (isConnected = true));
    });
    sending.on('response', to.answered);
    sending.on('error', (error) => {
      to.failed(isConnected ? error : new NotSent(reasonOf(error)));
    });
    sending.end(bytes);
    return { close: (error) => void sending.destroy(error) };
  }

  close(): void {
    this.http.destroy();
    this.https.destroy();
  }
}

interface Sending {
  close(error?: Error): void;
}

/** The call has surely not reached the server. */
class NotSent extends Error {}

function collect(
  response: IncomingMessage,
  fail: (error: Error) => void,
  done: (text: string) => void,
): void {
  const parts: Buffer[] = [];
  let bytes = 0;
  response.on('data', (part: Buffer) => {
    bytes += part.length;
    parts.push(part);
    if (bytes > mostAnswerBytes) response.destroy(new Error(`more than ${mostAnswerBytes} bytes`));
  });
  response.on('error', fail);
  response.on('aborted', () => fail(new Error('the connection ended within the answer')));
  response.on('end', () => done(Buffer.concat(parts).toString('utf8')));
}

/** The server could not decide: another member may. */
function isFault(json: Json): boolean {
  return 'error' in json && !definite.includes(Number(json.code));
}

function isTokenStale(json: Json): boolean {
  return 'error' in json && /invalid auth token|revision in header is old/.test(String(json.error));
}

function refusalOf(json: Json, kind: Kind): UltimaError {
  const code = Number(json.code);
  const reason = String(json.error);
  const facts = { reason, grpcCode: code };
  if (!definite.includes(code)) {
    if (kind === 'commit') return unknownOutcome(reason);
    return new UltimaError(ErrorCode.storeUnreachable, `etcd cannot answer: ${reason}`, facts);
  }
  if (code === Grpc.notFound && /lease/.test(reason)) {
    const message = 'the lease has ended; grant another';
    return new UltimaError(ErrorCode.notFound, message, facts);
  }
  const hint = 'check user, password, role and certificate';
  return new UltimaError(ErrorCode.storeRefused, `etcd refuses: ${reason}; ${hint}`, facts);
}

function unknownOutcome(reason: string): UltimaError {
  return new UltimaError(
    ErrorCode.storeUnknown,
    `the commit was sent and not answered (${reason}): it may or may not be applied; read again`,
    { reason },
  );
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.message || ('code' in error ? String(error.code) : error.name);
}

function endpointOf(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url !== null && /^https?:$/.test(url.protocol) && url.host !== '') return url;
  throw new UltimaError(
    ErrorCode.addressInvalid,
    `'${text}' is no endpoint of etcd; the form is http://HOST:2379 or https://HOST:2379`,
    { endpoint: text },
  );
}
