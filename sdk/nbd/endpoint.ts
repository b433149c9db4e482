import { existsSync, lstatSync, unlinkSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { ErrorCode, UltimaError } from '../errors.js';

/** Assigned to NBD [NBD §Newstyle negotiation]. */
const defaultPort = 10_809;
const forms = "'unix:PATH', 'tcp:HOST:PORT' or 'tcp:HOST' (port 10809)";
/** A path of a UNIX socket is at most so long on Linux, with its end. */
const longestPathBytes = 107;

/** Where a server listens. */
export type Endpoint =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number };

/** @throws UltimaError ADDRESS_INVALID */
export function parseEndpoint(text: string): Endpoint {
  if (text.startsWith('unix:')) {
    const path = text.slice('unix:'.length);
    const bytes = Buffer.byteLength(path);
    if (bytes >= 1 && bytes <= longestPathBytes && !path.includes('\0')) {
      return { kind: 'unix', path };
    }
    throw invalid(text, `the path has ${bytes} bytes; 1 to ${longestPathBytes} are possible`);
  }
  const match = /^tcp:(?:\[([0-9a-fA-F:.%\w]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(text);
  if (match === null) throw invalid(text, `the forms are ${forms}`);
  const port = match[3] === undefined ? defaultPort : Number(match[3]);
  if (port > 65_535) throw invalid(text, `port ${port} is above 65535`);
  return { kind: 'tcp', host: (match[1] ?? match[2])!, port };
}

function invalid(text: string, why: string): UltimaError {
  return new UltimaError(ErrorCode.addressInvalid, `'${text}' is no place to listen: ${why}`, {
    address: text,
  });
}

/** A socket that listens. */
export interface Listening {
  /** With the port that was given for 0. */
  readonly endpoint: Endpoint;
  /** For clients: 'nbd+unix:///?socket=PATH', 'nbd://HOST:PORT'. */
  readonly uri: string;
  close(): void;
}

/**
 * Listen. The socket that a server left behind that was killed is replaced; whatever else stands
 * at the path stays.
 *
 * @throws UltimaError DEVICE_BUSY when somebody listens there, FILE_UNWRITABLE for a path that
 *   cannot be made, ADDRESS_INVALID for a host or port that this machine does not have or give
 */
export async function listen(
  endpoint: Endpoint,
  accept: (socket: Socket) => void,
): Promise<Listening> {
  if (endpoint.kind === 'unix') await clearPath(endpoint.path);
  const server = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true }, accept);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(refused(endpoint, error)));
    if (endpoint.kind === 'unix') server.listen(endpoint.path, resolve);
    else server.listen({ host: endpoint.host, port: endpoint.port }, resolve);
  });
  // Clients that could not be accepted are their own loss; without a listener it would be ours.
  server.on('error', () => {});
  const place = placeOf(endpoint, server);
  return { endpoint: place, uri: uriOf(place), close: () => server.close() };
}

function placeOf(endpoint: Endpoint, server: Server): Endpoint {
  const address = server.address();
  if (endpoint.kind === 'unix' || address === null || typeof address === 'string') return endpoint;
  return { ...endpoint, port: address.port };
}

function uriOf(endpoint: Endpoint): string {
  if (endpoint.kind === 'unix') {
    return `nbd+unix:///?socket=${encodeURIComponent(endpoint.path).replaceAll('%2F', '/')}`;
  }
  const host = endpoint.host.includes(':') ? `[${endpoint.host}]` : endpoint.host;
  return `nbd://${host}:${endpoint.port}`;
}

async function clearPath(path: string): Promise<void> {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (!stat.isSocket()) {
    const message = `${path} is there and is no socket; name another path, or remove it`;
    throw new UltimaError(ErrorCode.fileUnwritable, message, { path });
  }
  if (await isAnswered(path)) throw inUse(path);
  unlinkSync(path);
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    // Refused: nobody listens. Anything else (no rights, a full queue) is somebody.
    socket.once('error', (error) => resolve(codeOf(error) !== 'ECONNREFUSED'));
  });
}

function inUse(place: string): UltimaError {
  return new UltimaError(
    ErrorCode.deviceBusy,
    `another process listens at ${place}; end it, or choose another place`,
    { address: place },
  );
}

function refused(endpoint: Endpoint, error: Error): UltimaError {
  const code = codeOf(error);
  const isUnix = endpoint.kind === 'unix';
  const place = isUnix ? endpoint.path : `${endpoint.host}:${endpoint.port}`;
  if (code === 'EADDRINUSE') return inUse(place);
  const reason = (isUnix ? pathReason(place, code) : hostReason(code)) ?? error.message;
  const facts = { address: place, reason: code };
  const name = isUnix ? ErrorCode.fileUnwritable : ErrorCode.addressInvalid;
  return new UltimaError(name, `cannot listen at ${place}: ${reason}`, facts, error);
}

function pathReason(path: string, code: string): string | null {
  // A missing folder is reported as missing rights.
  if (!existsSync(dirname(path))) return 'its folder is not there';
  const isDenied = code === 'EACCES' || code === 'EPERM';
  return isDenied ? 'this user has no right to make a socket there' : null;
}

function hostReason(code: string): string | null {
  if (code === 'EACCES' || code === 'EPERM') {
    return 'this user has no right to this port; those below 1024 are for root';
  }
  const isUnknown = code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND' || code === 'EAI_AGAIN';
  return isUnknown ? 'this machine has no such address' : null;
}

function codeOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : '';
}
