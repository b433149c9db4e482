import { NvmeController } from '../sdk/nvme/controller.js';
import type { Namespace } from '../sdk/nvme/namespace.js';
import { QosGate } from '../sdk/qos/gate.js';
import { DriverLoop } from './driver-loop.js';
import { type Bench, type Figures, machine, median } from './figures.js';
import { NullFunction } from './null-function.js';

const perRun = 500_000;
const rounds = 7;
const depth = 64;

/** What a gate costs per I/O on the host when nobody is ever held back. */
export const bench: Bench = {
  claim: 'what a gate whose policies never bind adds to the driver, per I/O',
  run,
};

async function run(): Promise<Figures> {
  const fn = new NullFunction();
  const opening = NvmeController.open(fn, { queueEntries: 1024, eventRequests: 0 });
  const serve = setInterval(() => fn.serveAdmin(), 0);
  const controller = await opening;
  const open = async (): Promise<Namespace> =>
    controller.namespace(1, { queuePair: await controller.createQueuePair() });
  const plain = new DriverLoop(await open(), depth);
  const gate = new QosGate(await open(), { depthUnits: 1024 });
  const share = { reservation: 1_000_000, limit: 1e9, weight: 1 };
  const gated = new DriverLoop(gate.open(share), depth);
  clearInterval(serve);
  for (const loop of [plain, gated]) loop.run(200_000);
  const plainNs: number[] = [];
  const gatedNs: number[] = [];
  const added: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const without = nsPerIo(plain);
    const through = nsPerIo(gated);
    plainNs.push(without);
    gatedNs.push(through);
    added.push(through - without);
  }
  return {
    conditions: {
      device: 'null controller in the same thread',
      share: 'reservation 1,000,000, limit 1e9, weight 1: never binding',
      depth,
      requestsPerRun: perRun,
      rounds,
      time: 'of the processor, median of the rounds',
      ...machine(),
    },
    figures: {
      gateNsPerIo_added: median(added),
      nsPerIo_plain: median(plainNs),
      nsPerIo_gated: median(gatedNs),
    },
  };
}

function nsPerIo(loop: DriverLoop): number {
  const start = process.cpuUsage();
  loop.run(perRun);
  return (process.cpuUsage(start).user * 1000) / perRun;
}
