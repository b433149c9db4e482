import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ErrorCode, UltimaError } from '../errors.js';
import type { NbdExport } from '../nbd/served-export.js';
import { NbdServer, type NbdTls } from '../nbd/server.js';
import { exportsOfPool, type VolumeExportOptions } from '../nbd/volume-export.js';
import { openSockets } from '../sockets/open.js';
import { Pool } from '../volume/pool.js';
import { parseWords, usageError } from './arguments.js';
import { openDevice } from './block-device.js';
import { ControlClaim } from './control-place.js';
import { PoolControl } from './control-server.js';
import { demandKey, keysOf } from './keys.js';
import { bytesText, openDevices, parseObjectName, poolOf } from './pool-access.js';
import {
  type FabricSettings,
  fabricSettings,
  nvmeTcpOptions,
  serveNvmeTcp,
} from './serve-nvme-tcp.js';
import { type ExportClients, usersOf } from './served-users.js';
import { type Surroundings, secondsOf, signalled } from './serving.js';
import type { Terminal } from './terminal.js';

const options = {
  nbd: { type: 'string', multiple: true },
  pool: { type: 'string', short: 'p', multiple: true },
  'map-cache': { type: 'string' },
  name: { type: 'string' },
  key: { type: 'string', multiple: true },
  'namespace-id': { type: 'string', short: 'n' },
  'read-only': { type: 'boolean' },
  'write-through': { type: 'boolean' },
  'allow-resize': { type: 'boolean' },
  tls: { type: 'string' },
  'tls-required': { type: 'boolean' },
  status: { type: 'string' },
  ...nvmeTcpOptions,
} as const;

interface ServeWords {
  readonly 'read-only'?: boolean;
  readonly 'write-through'?: boolean;
  readonly 'allow-resize'?: boolean;
  readonly nbd?: string[];
  readonly tls?: string;
  readonly 'tls-required'?: boolean;
  readonly status?: string;
}

/** `ultima serve device` */
export async function serveDevices(words: readonly string[], terminal: Terminal): Promise<number> {
  const { values, positionals } = parseWords(words, options);
  const [address, ...others] = positionals;
  if (address === undefined || others.length > 0) {
    throw usageError("one device at a time: 'ultima serve device sim:ultima-g2 --nbd unix:PATH'");
  }
  if (values['allow-resize'] === true) {
    throw usageError('--allow-resize is for volumes: a device has the size that it has');
  }
  const name = values.name ?? address;
  const fabric = fabricSettings(values, name);
  const settings = fabric === null ? settingsOf(values) : onlyFabric(values, fabric);
  const opened = await openDevice(address, values['namespace-id']);
  const { device, close } = opened;
  const { isReadOnly, isWriteThrough } = accessOf(values);
  const served = { name, description: address, device, isReadOnly, isWriteThrough };
  // A device has nothing that other commands could ask for.
  const beside = async (): Promise<() => Promise<void>> => () => Promise.resolve();
  return serve([served], settings, { terminal, beside, close });
}

/** `ultima serve volume` */
export async function serveVolumes(words: readonly string[], terminal: Terminal): Promise<number> {
  const { values, positionals: names } = parseWords(words, options);
  if (names.length === 0) {
    throw usageError("say which volume: 'ultima serve volume NAME --pool DEVICE --nbd unix:PATH'");
  }
  const objects = names.map(parseObjectName);
  const keys = keysOf(values.key);
  const fabric = fabricSettings(values, names[0] ?? '');
  const settings = fabric === null ? settingsOf(values) : onlyFabric(values, fabric);
  const access = accessOf(values);
  const { names: devices, ...memory } = poolOf(values);
  const opened = await openDevices(devices);
  let claim: ControlClaim | null = null;
  let pool: Pool;
  let exports: NbdExport[];
  try {
    claim = await ControlClaim.take(devices);
    pool = await Pool.open(opened.devices, { keys, ...memory });
    for (const object of objects) demandKey(pool, object, keys);
    sayHowFull(pool, terminal);
    exports = exportsOfPool(pool, names, access);
  } catch (error) {
    claim?.release();
    await opened.close();
    throw error;
  }
  const beside = async (clients: ExportClients): Promise<() => Promise<void>> => {
    const users = usersOf(names, clients);
    const { measure } = opened;
    const control = await PoolControl.start({ claim, pool, keys, users, measure });
    if (control.why !== '') {
      terminal.say(`ultima: other commands cannot use this pool meanwhile: ${control.why}`);
    }
    return () => control.close();
  };
  const close = async (): Promise<void> => {
    await pool.close();
    claim.release();
    await opened.close();
  };
  return serve(exports, settings, { terminal, beside, close });
}

function accessOf(values: ServeWords): Required<VolumeExportOptions> {
  const isReadOnly = values['read-only'] === true;
  const canGrow = values['allow-resize'] === true;
  return { isReadOnly, isWriteThrough: values['write-through'] === true, canGrow };
}

/** Shares of a pool in use, in percent, that are worth a word. */
const fullPercents = [80, 90, 95, 99] as const;

function sayHowFull(pool: Pool, terminal: Terminal): void {
  pool.watchSpace(fullPercents, ({ percent, freeBytes }) => {
    const [least] = fullPercents;
    const share = percent === 0 ? `less than ${least}` : `${percent} or more`;
    terminal.say(`ultima: the pool is full to ${share} %: ${bytesText(freeBytes)} are free`);
  });
}

interface Settings {
  readonly places: readonly string[];
  readonly tls: NbdTls | undefined;
  readonly statusMs: number | null;
}

/** Whatever can be wrong with the words, before anything is opened. */
function settingsOf(values: ServeWords): Settings {
  const places = values.nbd ?? [];
  if (places.length === 0) {
    throw usageError(
      '--nbd PLACE says where to listen: unix:PATH or tcp:HOST:PORT; --nvme-tcp HOST:PORT as well',
    );
  }
  const isRequired = values['tls-required'] === true;
  if (isRequired && values.tls === undefined) {
    throw usageError('--tls-required needs --tls DIR with the certificates');
  }
  const tls = values.tls === undefined ? undefined : tlsOf(values.tls, isRequired);
  return { places, tls, statusMs: secondsOf(values.status) };
}

/** One protocol at a time: each polls the devices itself. */
function onlyFabric(values: ServeWords, fabric: FabricSettings): FabricSettings {
  const isOther = values['tls-required'] === true || values['allow-resize'] === true;
  if (values.nbd === undefined && !isOther) return fabric;
  throw usageError(
    '--nbd, --tls-required and --allow-resize do not go with --nvme-tcp: serve one or the other',
  );
}

async function serve(
  exports: readonly NbdExport[],
  settings: Settings | FabricSettings,
  surroundings: Surroundings,
): Promise<number> {
  if ('nqn' in settings) return serveNvmeTcp(exports, settings, surroundings);
  const { places, tls, statusMs } = settings;
  const { terminal, beside, close } = surroundings;
  const sockets = await openSockets();
  let server: NbdServer;
  try {
    const how = tls === undefined ? { sockets } : { tls };
    server = await NbdServer.start({ exports, listen: places, ...how });
  } catch (error) {
    sockets.close();
    await close();
    throw error;
  }
  const signalCame = signalled();
  const endBeside = await beside(server);
  for (const uri of server.uris) {
    for (const { name } of exports) terminal.say(`ultima: ${name} is served at ${uri}`);
  }
  const show = (): void => {
    const { connections, requests, violations, lastViolation } = server.status;
    const last = lastViolation === '' ? '' : ` (the last one: ${lastViolation})`;
    terminal.say(`${connections} connections, ${requests} requests, ${violations} cut off${last}`);
  };
  const timer = statusMs === null ? null : setInterval(show, statusMs);
  const signal = await signalCame;
  if (timer !== null) clearInterval(timer);
  await endBeside();
  await server.close();
  sockets.close();
  await close();
  terminal.say(`ultima: ${signal}: everything is durable and closed`);
  return 0;
}

/** The names that QEMU and libnbd use for such files. */
function tlsOf(folder: string, isRequired: boolean): NbdTls {
  const certificate = read(folder, 'server-cert.pem');
  const key = read(folder, 'server-key.pem');
  let authority: string | undefined;
  try {
    authority = readFileSync(join(folder, 'ca-cert.pem'), 'utf8');
  } catch {
    // Without it clients need no certificate.
    authority = undefined;
  }
  return { certificate, key, isRequired, ...(authority === undefined ? {} : { authority }) };
}

function read(folder: string, name: string): string {
  const path = join(folder, name);
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const message = `--tls ${folder}: ${name} cannot be read: ${reason}`;
    throw new UltimaError(ErrorCode.fileInvalid, message, { path }, error);
  }
}
