import { ErrorCode, UltimaError } from '../errors.js';
import type { LocalSockets, Stream } from '../sockets/stream.js';

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
export interface NbdListening {
  /** For clients: 'nbd+unix:///?socket=PATH', 'nbd://HOST:PORT' with the port that 0 became. */
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
export async function listenAt(
  endpoint: Endpoint,
  sockets: LocalSockets,
  accept: (stream: Stream) => void,
): Promise<NbdListening> {
  if (endpoint.kind === 'unix') {
    const { path } = endpoint;
    const { close } = await sockets.listenAt(path, accept);
    return { uri: `nbd+unix:///?socket=${encodeURIComponent(path).replaceAll('%2F', '/')}`, close };
  }
  const { place, close } = await sockets.listen(endpoint, accept);
  const host = endpoint.host.includes(':') ? `[${endpoint.host}]` : endpoint.host;
  return { uri: `nbd://${host}:${place.port}`, close };
}
