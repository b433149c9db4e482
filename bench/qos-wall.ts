import { NvmeController } from '../sdk/nvme/controller.js';
import type { Namespace } from '../sdk/nvme/namespace.js';
import { QosGate } from '../sdk/qos/gate.js';
import { DriverLoop } from './driver-loop.js';
import { type Bench, type Figures, machine, median } from './figures.js';
import { guestFigures } from './guest.js';
import { NullFunction } from './null-function.js';

const perRun = 500_000;
const rounds = 7;
const depth = 64;

/**
 * What a gate costs per I/O on the host when nobody is ever held back; and in the guest, on a
 * controller that has no such thing, what its policies keep.
 */
export const bench: Bench = {
  claim:
    'what a gate whose policies never bind adds to the driver, per I/O; in a guest, what it keeps',
  run,
  runInGuest,
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

async function runInGuest(): Promise<Figures> {
  return {
    conditions: {
      device: "QEMU's NVMe controller under TCG, our driver over VFIO, polling: wall clock",
      tenants:
        '8 at depth 32, reads of 4 KiB; one reserves 0.4 of what was measured through the gate, ' +
        'less a tenth, with a burst of 0.1 s, one is limited to 0.1 of it, 6 are best effort',
      depthUnits: 32,
      time: '4 windows of 1 s after 0.3 s',
      met:
        'of the reservation, or of all that the disk did where that was less (windowsTooSlow); ' +
        'fifo: the same tenants without the gate',
      ...machine(),
    },
    figures: await guestFigures('qos'),
  };
}

function nsPerIo(loop: DriverLoop): number {
  const start = process.cpuUsage();
  loop.run(perRun);
  return (process.cpuUsage(start).user * 1000) / perRun;
}
