import { MonotonicClock } from '../../native/vfio/clock.js';
import { NvmeTcp, type NvmeTcpOptions } from '../fabric/initiator.js';
import { parseSecret } from '../fabric/secret.js';
import { checkNqn } from '../fabric/subsystem.js';
import { type MutualTls, NodeSockets } from '../sockets/node-sockets.js';
import { openSockets } from '../sockets/open.js';
import { nearest, parseChoice, parseInteger, usageError } from './arguments.js';
import type { OpenedDevice } from './block-device.js';
import { readPem } from './cluster-store.js';
import { readSource } from './secret-source.js';

export const remotePrefix = 'nvme-tcp:';
const form = "'nvme-tcp:HOST:PORT/NQN', with /NSID and ?SETTING=VALUE&... where wanted";

export const remoteUsage = `
A namespace of another machine: nvme-tcp:HOST:PORT/NQN[/NSID][?SETTING=VALUE&...]
  host-nqn=NQN              who we are: the other side may know its hosts by name
  secret=SOURCE             DH-HMAC-CHAP, ours for this host: file:PATH, env:VARIABLE or fd:NUMBER
  controller-secret=SOURCE  what the other side must know
  tls=DIR                   mutual TLS 1.3: DIR/ca-cert.pem, DIR/client-cert.pem, DIR/client-key.pem
  tls-name=NAME             what its certificate is for, when it is not HOST
  digests=both|header|data  a CRC-32C of what travels; none when left out`;

const settings = ['host-nqn', 'secret', 'controller-secret', 'tls', 'tls-name', 'digests'] as const;
type Setting = (typeof settings)[number];

interface Remote {
  readonly nsid: number;
  readonly tls: MutualTls | undefined;
  readonly options: Omit<NvmeTcpOptions, 'clock' | 'sockets' | 'tls'>;
}

/** @throws UltimaError USAGE, ADDRESS_INVALID, FILE_INVALID, and what connecting throws */
export async function openRemote(address: string): Promise<OpenedDevice> {
  const { nsid, tls, options } = parseRemote(address);
  const sockets = tls === undefined ? await openSockets() : new NodeSockets(tls);
  const clock = new MonotonicClock();
  try {
    const host = await NvmeTcp.connect({ ...options, clock, sockets });
    const close = async (): Promise<void> => {
      await host.close();
      sockets.close();
    };
    try {
      return { device: host.namespace(nsid), close };
    } catch (error) {
      await host.close();
      throw error;
    }
  } catch (error) {
    sockets.close();
    throw error;
  }
}

/** Namespace 1 is meant when none is named. */
function parseRemote(text: string): Remote {
  const [address = '', ...queries] = text.split('?');
  const match = /^([^/]+)\/(nqn\.[^/]+)(?:\/([^/]*))?$/.exec(address.slice(remotePrefix.length));
  if (match === null || queries.length > 1) throw usageError(`${address}: the form is ${form}`);
  const [, place = '', nqn = '', word = '1'] = match;
  const nsid = parseInteger('namespace', word, { low: 1, high: 0xffff_fffe });
  const given = settingsOf(address, queries[0] ?? '');
  const hostNqn = given.get('host-nqn');
  const digests = digestsOf(given.get('digests'));
  const secret = secretOf('secret', given);
  const controllerSecret = secretOf('controller-secret', given);
  if (secret !== undefined && hostNqn === undefined) {
    throw usageError(`${address}: a secret belongs to a host: host-nqn=NQN says to which`);
  }
  if (hostNqn !== undefined) checkNqn(hostNqn);
  return {
    nsid,
    tls: tlsOf(given),
    options: {
      ...{ address: place, nqn, ...digests },
      ...(hostNqn === undefined ? {} : { hostNqn }),
      ...(secret === undefined ? {} : { secret }),
      ...(controllerSecret === undefined ? {} : { controllerSecret }),
    },
  };
}

function settingsOf(address: string, query: string): ReadonlyMap<Setting, string> {
  const given = new Map<Setting, string>();
  for (const [name, value] of new URLSearchParams(query)) {
    const setting = settings.find((each) => each === name);
    if (setting === undefined) {
      const meant = nearest(name, settings);
      const hint = meant === undefined ? `one of ${settings.join(', ')}` : `did you mean ${meant}?`;
      throw usageError(`${address}: there is no setting '${name}'; ${hint}`);
    }
    if (given.has(setting)) throw usageError(`${address}: ${name} is given twice`);
    given.set(setting, value);
  }
  return given;
}

function digestsOf(text: string | undefined): { headerDigest: boolean; dataDigest: boolean } {
  const choice = text === undefined ? '' : parseChoice('digests', text, ['both', 'header', 'data']);
  const isBoth = choice === 'both';
  return { headerDigest: isBoth || choice === 'header', dataDigest: isBoth || choice === 'data' };
}

function secretOf(name: Setting, given: ReadonlyMap<Setting, string>): string | undefined {
  const source = given.get(name);
  if (source === undefined) return undefined;
  const secret = Buffer.from(readSource(`the ${name}`, source))
    .toString('latin1')
    .trim();
  parseSecret(secret);
  return secret;
}

function tlsOf(given: ReadonlyMap<Setting, string>): MutualTls | undefined {
  const folder = given.get('tls');
  const peerName = given.get('tls-name');
  if (folder === undefined) {
    if (peerName !== undefined) throw usageError('tls-name goes with tls=DIR');
    return undefined;
  }
  return {
    authority: readPem(folder, 'ca-cert.pem'),
    certificate: readPem(folder, 'client-cert.pem'),
    key: readPem(folder, 'client-key.pem'),
    ...(peerName === undefined ? {} : { peerName }),
  };
}
