import { ErrorCode, UltimaError } from '../errors.js';
import type { ObjectName } from '../volume/pool-names.js';
import { counted, parseObjectName } from './pool-access.js';
import type { PoolUsers } from './pool-verbs.js';

/** The clients of what this process serves. */
export interface ExportClients {
  /** How many have an export open. */
  clientsOf(name: string): number;
}

/** @param names  exports: volumes, and snapshots as VOLUME@SNAPSHOT */
export function usersOf(names: readonly string[], clients: ExportClients): PoolUsers {
  const served = names.map((name) => ({ name, object: parseObjectName(name) }));
  return {
    demandUnserved: (wanted: ObjectName) => {
      const found = served.find(({ object }) => {
        const isOfAll = wanted.snapshot === undefined;
        return object.volume === wanted.volume && (isOfAll || object.snapshot === wanted.snapshot);
      });
      if (found === undefined) return;
      const message = `${found.name} is served by process ${process.pid}; end that process first`;
      throw new UltimaError(ErrorCode.volumeBusy, message, { name: found.name });
    },
    demandUnused: (volume: string) => {
      const isServed = served.some(({ name }) => name === volume);
      const count = isServed ? clients.clientsOf(volume) : 0;
      if (count === 0) return;
      const message =
        `${counted(count, 'client')} of process ${process.pid} may use volume ${volume}, and ` +
        `nothing tells them that it becomes another one; disconnect them first`;
      throw new UltimaError(ErrorCode.volumeBusy, message, { volume, clients: count });
    },
  };
}
