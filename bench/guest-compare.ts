import { runMachine } from '../test/guest/machine.js';
import { guestDirectory, whyNotGuest } from '../test/guest/prepare.js';
import { type Bench, type Figures, machine } from './figures.js';

/** Our driver over VFIO and the kernel's under fio, on the same emulated disk, in turn. */
export const bench: Bench = {
  claim: 'random reads of 4 KiB in a guest: our driver beside fio with io_uring on the kernel',
  run,
};

async function run(): Promise<Figures> {
  const obstacle = whyNotGuest(guestDirectory);
  if (obstacle !== null) throw new Error(`no guest: ${obstacle}`);
  let figures: Record<string, number> | null = null;
  const said: string[] = [];
  await runMachine({
    directory: guestDirectory,
    what: ['compare'],
    limitMs: 300_000,
    onLine: (line) => {
      said.push(line);
      if (line.startsWith('FIGURES ')) figures = JSON.parse(line.slice('FIGURES '.length));
    },
  });
  if (figures === null) throw new Error(`the guest gave no figures:\n${said.join('\n')}`);
  return {
    conditions: {
      device: "QEMU's NVMe controller under TCG: an emulator's time, only ratios mean something",
      baseline: 'fio, io_uring, direct, on the Linux nvme driver',
      processorTime: 'busy time of all processors of the guest, interrupts included',
      rounds: 'three in turn, median; a ratio is the median of the rounds',
      ...machine(),
    },
    figures,
  };
}
