import { PerformanceObserver } from 'node:perf_hooks';
import { theKernel } from '../native/index.js';
import { NvmeTcpTarget } from '../sdk/fabric/target.js';
import { NativeSockets } from '../sdk/sockets/native-sockets.js';
import type { Stream } from '../sdk/sockets/stream.js';
import { NullDevice, noClock } from './block-devices.js';
import { answerBytes, askBytes, benchNqn, blockBytes, deviceBytes } from './nvme-tcp-wire.js';

/**
 * The other end of the benchmark, in a process of its own: a target with a null device over
 * node:net or over the addon, or the least that answers at all. Each message is answered with the
 * processor time and the collections so far.
 */
const [kind = ''] = process.argv.slice(2);
const port = kind === 'echo' ? await echo() : await serve(kind === 'native');

let collections = 0;
const observer = new PerformanceObserver((list) => {
  collections += list.getEntries().length;
});
observer.observe({ entryTypes: ['gc'] });

process.on('message', () => {
  const { user, system } = process.cpuUsage();
  // What has been collected is told a turn later.
  setImmediate(() => process.send?.({ cpuUs: user + system, collections }));
});
process.on('disconnect', () => process.exit(0));
process.send?.({ port });

async function serve(isNative: boolean): Promise<number> {
  const device = new NullDevice({ bytes: deviceBytes, blockBytes, clock: noClock });
  const nguid = new Uint8Array(16).fill(1);
  const target = await NvmeTcpTarget.start({
    listen: ['127.0.0.1:0'],
    subsystems: [{ nqn: benchNqn, namespaces: [{ nsid: 1, device, nguid }] }],
    ...(isNative && { sockets: new NativeSockets(theKernel()) }),
  });
  return target.places[0]!.port;
}

/** For each request of so many bytes an answer of so many, in one send for all that came. */
async function echo(): Promise<number> {
  const sockets = new NativeSockets(theKernel());
  const answer = new Uint8Array(256 * answerBytes);
  const accept = (stream: Stream): void => {
    let pending = 0;
    stream.attach({
      receive: (_bytes, from, to) => {
        pending += to - from;
        const count = Math.floor(pending / askBytes);
        pending -= count * askBytes;
        if (count > 0) stream.send(answer, count * answerBytes);
      },
      sent: () => {},
      gone: () => {},
    });
  };
  const { place } = await sockets.listen({ host: '127.0.0.1', port: 0 }, accept);
  const loop = (): void => {
    const end = performance.now() + 1;
    while (performance.now() < end) sockets.poll();
    setImmediate(loop);
  };
  loop();
  return place.port;
}
