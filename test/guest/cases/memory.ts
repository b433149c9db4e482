import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import * as assert from 'uvu/assert';
import { openFunction } from '../../../native/index.js';
import { NvmeController } from '../../../sdk/nvme/controller.js';
import { MiB } from '../../../sdk/units.js';
import { address, type GuestCase } from '../case.js';
import { withBound, withFunction, writeAndReadBack } from './function.js';

const hugePageBytes = 2 * MiB;
const arenaBytes = 8 * MiB;
const cycles = 10_000;
const reopened = 20;

/** Memory of the device: what it is made of, and that all of it comes back. */
export const memoryCases: readonly GuestCase[] = [
  {
    title: 'ten thousand regions with a mapping of their own come and go without a leak',
    run: () =>
      withFunction(address.plain, async (fn) => {
        const first = fn.dma.allocate(4096, { access: 'read' });
        const { iova } = first;
        fn.dma.free(first);
        const before = held();
        for (let i = 0; i < cycles; i++) {
          const region = fn.dma.allocate(4096, { access: 'read' });
          assert.is(region.iova, iova);
          fn.dma.free(region);
        }
        assert.equal(held(), before);
        await fn.close();
      }),
  },
  {
    title: `a function opened and closed ${reopened} times leaves no descriptor and no memory`,
    run: () =>
      withBound(address.plain, async () => {
        const cycle = async (): Promise<void> => {
          const fn = await openFunction(address.plain, { arenaBytes });
          fn.bar(0).read32(0);
          fn.interrupts.enable(fn.interrupts.vectorCount);
          await fn.close();
        };
        await cycle();
        const before = held();
        for (let i = 0; i < reopened; i++) await cycle();
        assert.equal(held(), before);
      }),
  },
  {
    title: 'the arena lies in pages of 2 MiB when the system has them, and gives them back',
    run: () =>
      withHugePages(arenaBytes / hugePageBytes, (free) =>
        withBound(address.plain, async () => {
          const all = free();
          assert.is(all, arenaBytes / hugePageBytes, 'the system has pages of 2 MiB');
          const fn = await openFunction(address.plain, { arenaBytes });
          assert.is(free(), 0, 'the arena took them');
          const controller = await NvmeController.open(fn);
          await writeAndReadBack(controller);
          const region = fn.dma.allocate(hugePageBytes, { alignment: hugePageBytes });
          assert.is(region.iova % hugePageBytes, 0);
          await controller.close();
          assert.is(free(), all, 'and gave them back');
        }),
      ),
  },
  {
    title: 'with too few pages of 2 MiB the arena lies in ordinary ones',
    run: () =>
      withHugePages(arenaBytes / hugePageBytes - 1, (free) =>
        withBound(address.plain, async () => {
          const all = free();
          const controller = await NvmeController.open(
            await openFunction(address.plain, { arenaBytes }),
          );
          assert.is(free(), all);
          await writeAndReadBack(controller);
          await controller.close();
        }),
      ),
  },
];

async function withHugePages(
  count: number,
  use: (free: () => number) => Promise<void>,
): Promise<void> {
  const setting = '/proc/sys/vm/nr_hugepages';
  writeFileSync(setting, `${count}`);
  try {
    await use(() => Number(of('/proc/meminfo', /HugePages_Free: +(\d+)/)));
  } finally {
    writeFileSync(setting, '0');
  }
}

/** What the process holds of the kernel: descriptors, mappings of devices, pinned pages. */
function held(): Readonly<Record<string, string | number>> {
  const maps = readFileSync('/proc/self/maps', 'utf8').split('\n');
  return {
    descriptors: readdirSync('/proc/self/fd').length,
    windows: maps.filter((line) => line.includes('vfio')).length,
    arenas: maps.filter((line) => line.includes('/dev/zero')).length,
    locked: of('/proc/self/status', /VmLck:\s+(.*)/),
  };
}

function of(path: string, form: RegExp): string {
  return form.exec(readFileSync(path, 'utf8'))?.[1] ?? '';
}
