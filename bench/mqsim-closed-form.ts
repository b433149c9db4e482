import type { FlashProfile } from '../sim/nand/flash-profile.js';
import { mqsimFlash, mqsimFtl } from '../sim/profiles/mqsim-media.js';
import { DriveLoad } from './drive-load.js';
import { type Bench, type Figures, machine } from './figures.js';

const readBytes = 4096;
const statedRate = 333;
const rates = [333, 400, 800, 1000, 1200, 2400];

export const bench: Bench = {
  claim: "one 4 KiB read on MQSim's default drive takes what its parameters add up to",
  run: async () => run(),
};

function run(): Figures {
  const figures: Record<string, number> = {
    latencyNs: latencyNs({ busMegatransfers: statedRate, isBusQuantised: true }),
  };
  let worstNs = 0;
  for (const rate of rates) {
    const ns = latencyNs({ busMegatransfers: rate });
    const exact = closedFormNs(rate);
    figures[`latencyNs_${rate}MTs`] = ns;
    figures[`closedFormNs_${rate}MTs`] = Number(exact.toFixed(1));
    worstNs = Math.max(worstNs, Math.abs(ns - exact));
  }
  figures.worstErrorNs = Number(worstNs.toFixed(1));
  return {
    conditions: {
      configuration: '8 channels, 64 dies, MLC with tR 75 us, NV-DDR2 x8 at 333 MT/s, ideal map',
      link: '4 lanes of 1 GB/s, packets of 128 + 28 bytes, nothing else on it',
      workload: '4 KiB read at depth 1 of a written unit, idle drive, no write cache',
      latencyNs: 'with a bus clock in whole nanoseconds, as MQSim has it: 88,906 by its formula',
      latencyNs_rateMTs: 'with the bus as it is',
      ...machine(),
    },
    figures,
  };
}

/** From the doorbell to the completion entry: the link's packets in turn around the drive. */
function latencyNs(changes: Partial<FlashProfile>): number {
  const load = new DriveLoad({ ...mqsimFlash, ...changes }, mqsimFtl);
  const { world, drive } = load;
  const unit = 12_345;
  // A page has two units: the neighbour goes along.
  drive.write(unit, 2, 0, 0);
  while (world.pendingCount > 0) world.advance(1_000_000);
  const start = world.nowNs;
  let end = start;
  const arrived = world.register(() => drive.read(unit, 1, 1));
  const completed = world.register(() => {
    end = world.nowNs;
  });
  load.onDone = () => world.schedule(packetNs(readBytes) + packetNs(16), completed, 0);
  // Doorbell to the card, its read request, the command's entry back.
  world.schedule(packetNs(4) + packetNs(4) + packetNs(64), arrived, 0);
  while (world.pendingCount > 0) world.advance(1_000_000);
  return end - start;
}

/** MQSim's PCIe_Link: bytes of payload in packets of 128, 28 bytes of overhead each. */
function packetNs(bytes: number): number {
  const full = Math.floor(bytes / 128);
  const rest = bytes - full * 128;
  const onWire = full * (128 + 28) + (rest > 0 ? rest + 28 : 0);
  return Math.ceil(onWire / 4);
}

function closedFormNs(rate: number): number {
  const linkNs = 8 + 8 + 23 + 1248 + 11;
  return 75_000 + (readBytes * 1000) / rate + 290 + 30 + linkNs;
}
