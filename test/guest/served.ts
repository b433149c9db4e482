import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serveCard } from '../../sdk/serve.js';
import type { MachineOptions, ServedMachine } from './machine.js';

/** Larger than what the cases write, small enough for a file system to be made at once. */
const card = 'sim:ultima-g2?bytes=256MiB';

/** The QEMU of the environment, when it has a vfio-user client; else why it does not serve. */
export function clientOf(qemu: string | undefined): { readonly qemu: string } | string {
  if (qemu === undefined || qemu === '') {
    return 'ULTIMA_QEMU names no QEMU that has vfio-user-pci (10.1 or newer)';
  }
  const help = spawnSync(qemu, ['-device', 'vfio-user-pci,help'], { encoding: 'utf8' });
  if (help.status === 0 && help.stdout.includes('vfio-user-pci options')) return { qemu };
  return `${qemu} has no vfio-user-pci: ${help.error?.message ?? help.stderr.trim()}`;
}

/** Serve a card while a machine runs that has it as its disk. */
export async function withServed<T>(
  qemu: string,
  kernelWords: string,
  run: (served: NonNullable<MachineOptions['served']>) => Promise<T>,
): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'ultima-served-'));
  const served = await serveCard(card, folder);
  try {
    const vanish = (): void => {
      void served.close();
    };
    const machine: ServedMachine = { qemu, socket: served.path, vanish, kernelWords };
    const result = await run(machine);
    const { completedCount, dmaFaultCount, reportCount } = served.status();
    console.log(
      `     the card completed ${completedCount} commands; ${dmaFaultCount} DMA faults, ` +
        `${reportCount} misuses`,
    );
    return result;
  } finally {
    await served.close();
    rmSync(folder, { recursive: true });
  }
}
