import { randomFillSync } from 'node:crypto';
import { MonotonicClock } from '../../native/vfio/clock.js';
import { FailoverDevice } from '../block/failover.js';
import { MemorySpace } from '../block/memory.js';
import { NbdServer } from '../nbd/server.js';
import { Attachment } from '../node/attachment.js';
import { parseInteger, parseWords, usageError } from './arguments.js';
import { openStore, storeOptions, storeUsage } from './cluster-store.js';
import { tlsOf } from './node.js';
import { secondsOf, signalled } from './serving.js';
import type { Terminal } from './terminal.js';

export const usage = `
ultima attach VOLUME --nbd PLACE [options]

Attach a mirrored volume of a cluster here, as its one writer, and serve it to NBD clients (QEMU,
libnbd, fio, kernels) until a signal ends it. Every write is on all members that are in sync before
it is answered; a member that fails is left out, and brought up to date when it comes back.

  --nbd PLACE          unix:PATH, tcp:HOST:PORT or tcp:HOST; may be given more than once
  --as NAME            the name under which we write; a random one when left out
  --force              take over from a writer that may still be alive: it is fenced first
  --accept-loss        serve although members that may have more are missing
  --wait SECONDS       how long it is tried without members or store in reach; 30 when left out
  --tls DIR            for nodes that want it: DIR/ca-cert.pem, DIR/server-cert.pem,
                       DIR/server-key.pem
  --status SECONDS     a line about the members so often
${storeUsage}
`;

const options = {
  ...storeOptions,
  nbd: { type: 'string', multiple: true },
  as: { type: 'string' },
  force: { type: 'boolean', default: false },
  'accept-loss': { type: 'boolean', default: false },
  wait: { type: 'string', default: '30' },
  tls: { type: 'string' },
  status: { type: 'string' },
} as const;

export async function run(words: readonly string[], terminal: Terminal): Promise<number> {
  const { values, positionals } = parseWords(words, options);
  const [volume, ...others] = positionals;
  if (volume === undefined || others.length > 0) throw usageError('one volume: ultima attach NAME');
  const listen = values.nbd ?? [];
  if (listen.length === 0) throw usageError('--nbd PLACE says where: unix:PATH or tcp:HOST:PORT');
  const statusMs = secondsOf(values.status);
  const reachMs = 1000 * parseInteger('wait', values.wait, { low: 0, high: 86_400 });
  const tls = values.tls === undefined ? undefined : tlsOf(values.tls);
  const store = openStore(values);
  try {
    const attachment = await Attachment.open({
      ...{ store, volume, writer: values.as ?? drawName() },
      ...{ clock: new MonotonicClock(), memory: new MemorySpace() },
      random: (bytes) => void randomFillSync(bytes),
      ...(tls === undefined ? {} : { tls }),
      ...{ isForced: values.force, acceptsLoss: values['accept-loss'], reachMs },
    });
    return await serve(attachment, { volume, listen, statusMs, terminal });
  } finally {
    await store.close();
  }
}

interface Serving {
  readonly volume: string;
  readonly listen: readonly string[];
  readonly statusMs: number | null;
  readonly terminal: Terminal;
}

async function serve(attachment: Attachment, serving: Serving): Promise<number> {
  const { volume, listen, statusMs, terminal } = serving;
  const { mirror, device } = attachment;
  const show = (): void => terminal.say(`ultima: ${volume}: ${statusLine(attachment)}`);
  const description = `mirrored volume ${volume}`;
  // What is lost with the volume is not answered: whoever serves it next is asked again.
  const kept = new FailoverDevice(device, { memory: device.memory });
  const server = await NbdServer.start({
    exports: [{ name: volume, description, device: kept }],
    listen,
  }).catch(async (error) => {
    await attachment.detach();
    throw error;
  });
  for (const uri of server.uris) terminal.say(`ultima: ${volume} is served at ${uri}`);
  if (mirror.mayHaveLost) {
    terminal.say(`ultima: ${volume}: every copy had restarted; what was not flushed may be lost`);
  }
  show();
  const timer = statusMs === null ? null : setInterval(show, statusMs);
  const ended = await Promise.race([signalled(), attachment.stopped]);
  if (timer !== null) clearInterval(timer);
  if (typeof ended !== 'string') {
    server.cut();
    kept.giveUp();
  }
  await server.close();
  if (typeof ended !== 'string') {
    // The mirror has stopped by itself: there is nothing to make durable any more.
    await attachment.detach().catch(() => {});
    throw ended ?? new Error('the mirror has stopped');
  }
  await attachment.detach();
  terminal.say(`ultima: ${ended}: ${volume} is durable on its members and detached`);
  return 0;
}

/** 'degraded, epoch 3: n1 InUse, n2 OutOfSync (member n2 cannot be reached: its node is away)' */
function statusLine(attachment: Attachment): string {
  const { state, epoch, members } = attachment.mirror.status;
  const told = members.map(({ id, condition, why }) => {
    // Why it was out once does not matter when it is back.
    const reason = condition === 'InUse' || why === '' ? '' : ` (${why})`;
    return `${id} ${condition}${reason}`;
  });
  return attachment.inWords(`${state}, epoch ${epoch}: ${told.join(', ')}`);
}

/** A name for a writer that has none. */
export function drawName(what = 'attach'): string {
  const bytes = new Uint8Array(4);
  randomFillSync(bytes);
  return `${what}-${Buffer.from(bytes).toString('hex')}`;
}
