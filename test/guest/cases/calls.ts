import * as assert from 'uvu/assert';
import { openFunction } from '../../../native/index.js';
import type { Kernel } from '../../../native/kernel.js';
import { loadAddon } from '../../../native/load.js';
import { openVfio } from '../../../native/vfio/function.js';
import { BlockOp, BlockRequest } from '../../../sdk/block/request.js';
import { UltimaError } from '../../../sdk/errors.js';
import { type CompletionMode, NvmeController } from '../../../sdk/index.js';
import type { Namespace } from '../../../sdk/nvme/namespace.js';
import { checkIntervalNs } from '../../../sdk/nvme/options.js';
import { address, type GuestCase } from '../case.js';
import { withBound } from './function.js';

const depth = 16;
const reads = 2_000;

/** What crosses into native code, and on which thread. */
export const callCases: readonly GuestCase[] = [
  {
    title: 'polled I/O makes no call into the addon, but one now and then for a device gone',
    run: async () => {
      const { calls, looks } = await countCalls('polling');
      assert.ok(calls <= looks, `${calls} calls, ${looks} looks at the device`);
    },
  },
  {
    title: 'I/O by interrupt makes at most one call into the addon for each sleep',
    run: async () => {
      const { calls, looks, sleeps } = await countCalls('interrupt');
      console.log(`     ${reads} reads at depth ${depth}: ${sleeps} sleeps, ${calls} calls`);
      assert.ok(calls > 0 && calls <= sleeps + looks, `${calls} calls, ${sleeps} sleeps`);
    },
  },
  {
    title: 'other tasks of the thread run while the kernel resets a device that is opened',
    run: () =>
      withBound(address.plain, async () => {
        let turns = 0;
        let isOpen = false;
        const count = (): void => {
          turns++;
          if (!isOpen) setImmediate(count);
        };
        setImmediate(count);
        const fn = await openFunction(address.plain);
        isOpen = true;
        assert.ok(turns > 10, `${turns} turns of the event loop`);
        await fn.close();
      }),
  },
  {
    title: 'the environment chooses the interface, and the refused iommufd says what it needs',
    run: () =>
      withBound(address.plain, async () => {
        for (const [chosen, message] of [
          ['iommufd', /needs CONFIG_IOMMUFD and CONFIG_VFIO_DEVICE_CDEV/],
          ['neither', /ULTIMA_IOMMU=neither is neither group nor iommufd/],
        ] as const) {
          process.env.ULTIMA_IOMMU = chosen;
          try {
            const error = await openFunction(address.plain).catch((thrown: unknown) => thrown);
            assert.instance(error, UltimaError);
            assert.match(String(error), message);
          } finally {
            delete process.env.ULTIMA_IOMMU;
          }
        }
        await (await openFunction(address.plain, { iommu: 'group' })).close();
      }),
  },
];

interface Count {
  readonly calls: number;
  /** The most that the driver looks after its device in that time. */
  readonly looks: number;
  readonly sleeps: number;
}

/** Calls into the addon while reads run, once everything is set up. */
async function countCalls(completionMode: CompletionMode): Promise<Count> {
  const { kernel } = loadAddon();
  assert.ok(kernel !== null);
  const counter = { calls: 0 };
  const count = { calls: 0, sleeps: 0, looks: 0 };
  await withBound(address.plain, async () => {
    const fn = await openVfio(address.plain, { kernel: counted(kernel, counter) });
    const controller = await NvmeController.open(fn, { completionMode });
    const namespace = await controller.namespace(1);
    // The first sleep makes the watcher.
    while ((await readMany(namespace, depth)) === 0);
    const before = counter.calls;
    const startNs = fn.clock.nowNs();
    count.sleeps = await readMany(namespace, reads);
    count.calls = counter.calls - before;
    count.looks = 1 + Math.floor((fn.clock.nowNs() - startNs) / checkIntervalNs);
    await controller.close();
  });
  return count;
}

/** @returns how often it had nothing to do */
async function readMany(namespace: Namespace, total: number): Promise<number> {
  const { clock, memory, queuePair, blockBytes } = namespace;
  let left = total;
  let inFlight = 0;
  const submit = (request: BlockRequest): void => {
    if (left-- <= 0) return;
    request.lba = left % 1000;
    inFlight++;
    namespace.submit(request);
  };
  const buffer = memory.allocate(depth * blockBytes);
  for (let i = 0; i < depth; i++) {
    const request = new BlockRequest((ended) => {
      assert.is(ended.status, 0);
      inFlight--;
      submit(ended);
    });
    request.op = BlockOp.read;
    request.blockCount = 1;
    request.setData(buffer, i * blockBytes, blockBytes);
    submit(request);
  }
  let sleeps = 0;
  while (inFlight > 0) {
    if (namespace.poll() > 0) continue;
    sleeps++;
    await queuePair.idle(clock.nowNs() + 5e9);
  }
  memory.free(buffer);
  return sleeps;
}

/** The same kernel, and a count of the calls. */
function counted(kernel: Kernel, counter: { calls: number }): Kernel {
  return new Proxy(kernel, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== 'function') return value;
      return (...words: unknown[]): unknown => {
        counter.calls++;
        return Reflect.apply(value, target, words);
      };
    },
  });
}
