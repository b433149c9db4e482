import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ErrorCode, UltimaError } from '../errors.js';
import { parsePlace } from '../fabric/place.js';
import { parseSecret } from '../fabric/secret.js';
import { checkNqn, type FabricHost } from '../fabric/subsystem.js';
import { NvmeTcpTarget } from '../fabric/target.js';
import type { NbdExport } from '../nbd/served-export.js';
import { type MutualTls, NodeSockets } from '../sockets/node-sockets.js';
import { openSockets } from '../sockets/open.js';
import { usageError } from './arguments.js';
import { type Surroundings, secondsOf, signalled } from './serving.js';

export const nvmeTcpOptions = {
  'nvme-tcp': { type: 'string', multiple: true },
  nqn: { type: 'string' },
  hosts: { type: 'string' },
} as const;

interface FabricWords {
  readonly 'nvme-tcp'?: string[];
  readonly nqn?: string;
  readonly hosts?: string;
  readonly tls?: string;
  readonly status?: string;
}

export interface FabricSettings {
  readonly places: readonly string[];
  readonly nqn: string;
  readonly hosts: readonly FabricHost[] | undefined;
  readonly tls: MutualTls | undefined;
  readonly statusMs: number | null;
}

const nguidBytes = 16;

/** Whatever can be wrong with the words; null when NVMe/TCP is not asked for. */
export function fabricSettings(values: FabricWords, name: string): FabricSettings | null {
  const places = values['nvme-tcp'] ?? [];
  if (places.length === 0) {
    if (values.nqn === undefined && values.hosts === undefined) return null;
    throw usageError('--nqn and --hosts belong to --nvme-tcp HOST:PORT');
  }
  for (const place of places) parsePlace(place);
  const nqn = values.nqn ?? `nqn.2026-11.io.ultima:${name.replace(/[^A-Za-z0-9.-]+/g, '-')}`;
  try {
    checkNqn(nqn);
  } catch (error) {
    throw usageError(`--nqn: ${error instanceof Error ? error.message : error}`);
  }
  return {
    places,
    nqn,
    hosts: values.hosts === undefined ? undefined : hostsOf(values.hosts),
    tls: values.tls === undefined ? undefined : tlsOf(values.tls),
    statusMs: secondsOf(values.status),
  };
}

/** Serve until a signal comes: the devices are the namespaces of one subsystem, from 1 on. */
export async function serveNvmeTcp(
  exports: readonly NbdExport[],
  settings: FabricSettings,
  { terminal, beside, close }: Surroundings,
): Promise<number> {
  const { places, nqn, hosts, tls, statusMs } = settings;
  const sockets = tls === undefined ? await openSockets() : new NodeSockets(tls);
  let target: NvmeTcpTarget;
  try {
    const namespaces = exports.map(({ name, device, isReadOnly, isWriteThrough }, i) => ({
      nsid: i + 1,
      device,
      nguid: nguidOf(nqn, name),
      isReadOnly: isReadOnly === true,
      isWriteThrough: isWriteThrough === true,
    }));
    target = await NvmeTcpTarget.start({
      listen: places,
      sockets,
      subsystems: [{ nqn, namespaces, ...(hosts && { hosts }) }],
      ...(tls && { tls }),
    });
  } catch (error) {
    sockets.close();
    await close();
    throw error;
  }
  const signalCame = signalled();
  // Which of its namespaces a host uses, it does not tell.
  const endBeside = await beside({ clientsOf: () => target.status.associations });
  for (const { host, port } of target.places) {
    const place = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
    exports.forEach(({ name }, i) => {
      terminal.say(`ultima: ${name} is served at nvme-tcp:${place}/${nqn}/${i + 1}`);
    });
  }
  const show = (): void => {
    const { associations, commands, violations, lastViolation } = target.status;
    const last = lastViolation === '' ? '' : ` (the last one: ${lastViolation})`;
    terminal.say(`${associations} hosts, ${commands} commands, ${violations} cut off${last}`);
  };
  const timer = statusMs === null ? null : setInterval(show, statusMs);
  const signal = await signalCame;
  if (timer !== null) clearInterval(timer);
  await endBeside();
  await target.close();
  sockets.close();
  await close();
  terminal.say(`ultima: ${signal}: everything is durable and closed`);
  return 0;
}

/** The same name gives the same identifier, on every node that serves it. */
function nguidOf(nqn: string, name: string): Uint8Array {
  const digest = createHash('sha256').update(nqn).update('\0').update(name).digest();
  return new Uint8Array(digest.subarray(0, nguidBytes));
}

/** A line for each host: its name, its secret and ours, of which both may be left out. */
function hostsOf(path: string): FabricHost[] {
  return read(path)
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line, i) => {
      const [nqn = '', secret, controllerSecret, ...more] = line.split(/\s+/);
      try {
        if (more.length > 0) throw new Error('more than a name and two secrets');
        checkNqn(nqn);
        for (const each of [secret, controllerSecret]) if (each !== undefined) parseSecret(each);
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        throw usageError(`--hosts ${path}, host ${i + 1}: ${reason}`);
      }
      return {
        nqn,
        ...(secret !== undefined && { secret }),
        ...(controllerSecret !== undefined && { controllerSecret }),
      };
    });
}

function tlsOf(folder: string): MutualTls {
  return {
    certificate: read(join(folder, 'server-cert.pem')),
    key: read(join(folder, 'server-key.pem')),
    authority: read(join(folder, 'ca-cert.pem')),
  };
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const message = `${path} cannot be read: ${reason}`;
    throw new UltimaError(ErrorCode.fileInvalid, message, { path }, error);
  }
}
