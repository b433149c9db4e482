import { randomFillSync } from 'node:crypto';
import type { BlockDevice } from '../block/device.js';
import { NodeAgent } from '../node/agent.js';
import { checkName } from '../node/records.js';
import type { MutualTls } from '../sockets/node-sockets.js';
import { Pool } from '../volume/pool.js';
import { parseWords, usageError } from './arguments.js';
import { openStore, readPem, storeOptions, storeUsage } from './cluster-store.js';
import { ControlClaim } from './control-place.js';
import { PoolControl } from './control-server.js';
import { openDevices, poolOf } from './pool-access.js';
import { signalled } from './serving.js';
import type { Terminal } from './terminal.js';

export const usage = `
ultima node NAME --pool DEVICE[,DEVICE] --listen HOST:PORT [options]

Be a node of a cluster: make the members of mirrored volumes that the cluster gives to this node, in
its pool, and serve them over NVMe/TCP to whoever writes, until a signal ends it.

  -p, --pool DEVICE    the devices of the node's pool: files, cards; 'ultima pool create' makes one
  --create             make the pool when the devices hold none
  --map-cache SIZE     memory for the maps of the pool; all that they need when left out
  --listen HOST:PORT   where members are served; port 0 takes one that is free
  --address HOST:PORT  where others reach that, when it is another place
  --zone NAME          what fails together, as a rack does; members of a volume go to different
                       zones where they can. The node's name when left out
  --tls DIR            only nodes with a certificate of our authority: DIR/ca-cert.pem,
                       DIR/server-cert.pem, DIR/server-key.pem (TLS 1.3)
${storeUsage}
`;

const options = {
  ...storeOptions,
  pool: { type: 'string', short: 'p', multiple: true },
  'map-cache': { type: 'string' },
  create: { type: 'boolean', default: false },
  listen: { type: 'string' },
  address: { type: 'string' },
  zone: { type: 'string' },
  tls: { type: 'string' },
} as const;

export async function run(words: readonly string[], terminal: Terminal): Promise<number> {
  const { values, positionals } = parseWords(words, options);
  const [name, ...others] = positionals;
  if (name === undefined || others.length > 0) throw usageError('one name: ultima node NAME …');
  checkName('node', name);
  const { listen, address, zone } = values;
  if (listen === undefined) throw usageError('where? --listen HOST:PORT');
  const tls = values.tls === undefined ? undefined : tlsOf(values.tls);
  const store = openStore(values);
  const { names: devices, ...memory } = poolOf(values);
  const opened = await openDevices(devices);
  let claim: ControlClaim | null = null;
  try {
    claim = await ControlClaim.take(devices);
    const pool = await poolOn(opened.devices, values.create, memory);
    const agent = await NodeAgent.start({
      ...{ name, pool, store, listen, random: (bytes) => void randomFillSync(bytes) },
      ...(zone === undefined ? {} : { zone }),
      ...(address === undefined ? {} : { address }),
      ...(tls === undefined ? {} : { tls }),
      onTrouble: (what) => terminal.say(`ultima: node ${name}: ${what}`),
    });
    const { measure } = opened;
    const lookOnly = `the pool is that of node ${name}, and 'ultima cluster' changes what is in it`;
    const asked = { claim, pool, keys: () => null, users: null, measure, lookOnly };
    const control = await PoolControl.start(asked);
    if (control.why !== '') terminal.say(`ultima: node ${name}: nobody can look: ${control.why}`);
    const signalCame = signalled();
    const members = `${agent.memberCount} members`;
    terminal.say(`ultima: node ${name} serves ${members} at ${agent.address}`);
    const signal = await signalCame;
    await control.close();
    await agent.close();
    await pool.close();
    terminal.say(`ultima: ${signal}: node ${name} has left in order`);
    return 0;
  } finally {
    claim?.release();
    await opened.close();
    await store.close();
  }
}

async function poolOn(
  devices: readonly BlockDevice[],
  mayCreate: boolean,
  memory: { readonly mapCacheBytes?: number },
): Promise<Pool> {
  try {
    return await Pool.open(devices, memory);
  } catch (error) {
    if (!mayCreate) throw error;
    // Refused for devices that hold anything else.
    return Pool.create(devices, { random: (bytes) => void randomFillSync(bytes), ...memory });
  }
}

export function tlsOf(folder: string): MutualTls {
  return {
    authority: readPem(folder, 'ca-cert.pem'),
    certificate: readPem(folder, 'server-cert.pem'),
    key: readPem(folder, 'server-key.pem'),
  };
}
