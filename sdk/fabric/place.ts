import { ErrorCode, UltimaError } from '../errors.js';
import type { Place } from '../sockets/stream.js';
import { defaultPort } from '../spec/fabrics/pdu.js';

/** 'HOST:PORT', '[ADDRESS]:PORT' or 'HOST'. @throws UltimaError ADDRESS_INVALID */
export function parsePlace(text: string): Place {
  const match = /^(?:\[([0-9a-fA-F:.%\w]+)\]|([^:[\]/]+))(?::(\d{1,5}))?$/.exec(text);
  const port = match?.[3] === undefined ? defaultPort : Number(match[3]);
  if (match !== null && port <= 65_535) return { host: (match[1] ?? match[2])!, port };
  throw new UltimaError(
    ErrorCode.addressInvalid,
    `'${text}' is no place for NVMe/TCP: the forms are 'HOST:PORT', '[ADDRESS]:PORT' and 'HOST'`,
    { address: text },
  );
}
