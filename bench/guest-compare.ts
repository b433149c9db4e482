import { type Bench, type Figures, machine } from './figures.js';
import { guestFigures } from './guest.js';

/** Our driver over VFIO and the kernel's under fio, on the same emulated disk, in turn. */
export const bench: Bench = {
  claim: 'random reads of 4 KiB in a guest: our driver beside fio with io_uring on the kernel',
  run,
};

async function run(): Promise<Figures> {
  const figures = await guestFigures('compare');
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
