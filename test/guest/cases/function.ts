import * as assert from 'uvu/assert';
import { bind, openFunction, unbind } from '../../../native/index.js';
import type { PciFunction } from '../../../sdk/device.js';
import { NvmeController } from '../../../sdk/nvme/controller.js';
import { Header } from '../../../sdk/spec/pcie/header.js';
import { address, type GuestCase } from '../case.js';

const all = Object.values(address);

/** The function, its memory and its interrupts, as the driver finds them over VFIO. */
export const functionCases: readonly GuestCase[] = [
  ...all.map((at) => ({
    title: `${at} reads back what the driver wrote, on every namespace`,
    run: () => withController(at, writeAndReadBack),
  })),
  {
    title: 'bus mastering is off when a function is opened, and off again after it is closed',
    run: () =>
      withFunction(address.plain, async (fn) => {
        assert.is(isBusMaster(fn), false);
        const controller = await NvmeController.open(fn);
        assert.is(isBusMaster(fn), true);
        await controller.close();
        const again = await openFunction(address.plain);
        assert.is(isBusMaster(again), false);
        await again.close();
      }),
  },
  {
    title: 'a controller resets under I/O and every request ends by name',
    run: () =>
      withController(address.plain, (controller) =>
        resetUnderIo(controller, () => controller.reset()),
      ),
  },
  {
    title: 'a function reset under I/O is noticed, and the controller is brought back',
    run: () =>
      withController(address.plain, (controller) =>
        resetUnderIo(controller, () => controller.fn.reset('function')),
      ),
  },
  {
    title: 'interrupts, polling and hybrid complete the same I/O',
    run: async () => {
      for (const completionMode of ['interrupt', 'polling', 'hybrid'] as const) {
        await withFunction(address.plain, async (fn) => {
          const controller = await NvmeController.open(fn, { completionMode });
          await writeAndReadBack(controller);
          await controller.close();
        });
      }
    },
  },
  {
    title: 'two devices work in one process at the same time',
    run: () =>
      withController(address.plain, (one) =>
        withController(address.cmb, async (two) => {
          await Promise.all([writeAndReadBack(one), writeAndReadBack(two)]);
        }),
      ),
  },
];

export async function writeAndReadBack(controller: NvmeController): Promise<void> {
  for (const nsid of await controller.namespaceIds()) {
    const namespace = await controller.namespace(nsid);
    const lengths = [1, 2, 8, 33].map((blocks) => blocks * namespace.blockBytes);
    for (const [i, length] of lengths.entries()) {
      const data = pattern(length, nsid * 16 + i);
      const lba = 64 * i;
      await namespace.write(lba, data);
      await namespace.flush();
      const back = new Uint8Array(length).fill(0xee);
      await namespace.read(lba, back);
      assert.is(Buffer.compare(data, back), 0, `namespace ${nsid}, ${length} bytes differ`);
    }
  }
}

async function resetUnderIo(
  controller: NvmeController,
  resetIt: () => Promise<void>,
): Promise<void> {
  const namespace = await controller.namespace(1);
  const data = pattern(8 * namespace.blockBytes, 3);
  for (let round = 0; round < 5; round++) {
    const writes = Array.from({ length: 32 }, (_, i) => outcome(namespace.write(i * 8, data)));
    const reset = resetIt();
    const ends = await Promise.all(writes);
    await reset;
    for (const end of ends) assert.match(end, endings);
  }
  // What is handed over before the driver notices is lost with the reset; what follows waits.
  assert.match(await outcome(namespace.write(0, data)), endings);
  await namespace.write(0, data);
  const back = new Uint8Array(data.length);
  await namespace.read(0, back);
  assert.is(Buffer.compare(data, back), 0);
}

const endings = /^(completed|not executed|unknown)$/;

async function outcome(io: Promise<void>): Promise<string> {
  try {
    await io;
    return 'completed';
  } catch (error) {
    const facts = error instanceof Error && 'facts' in error ? error.facts : null;
    const has = typeof facts === 'object' && facts !== null && 'outcome' in facts;
    return has ? String(facts.outcome) : String(error);
  }
}

/** Bytes that differ from place to place and from seed to seed. */
export function pattern(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = (seed + 1) * 0x9e37_79b1;
  for (let i = 0; i < length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[i] = state;
  }
  return bytes;
}

function isBusMaster(fn: PciFunction): boolean {
  return Header.busMasterEnable.of(fn.config.read16(Header.busMasterEnable.dword * 4)) === 1;
}

export async function withBound(at: string, use: () => Promise<void>): Promise<void> {
  const driver = bind(at);
  try {
    await use();
  } finally {
    unbind(at, driver);
  }
}

export function withFunction(at: string, use: (fn: PciFunction) => Promise<void>): Promise<void> {
  return withBound(at, async () => {
    const fn = await openFunction(at);
    try {
      await use(fn);
    } finally {
      await fn.close();
    }
  });
}

export function withController(
  at: string,
  use: (controller: NvmeController) => Promise<void>,
): Promise<void> {
  return withFunction(at, async (fn) => {
    const controller = await NvmeController.open(fn, { queuePairs: 2, queueEntries: 64 });
    try {
      await use(controller);
    } finally {
      await controller.close();
    }
  });
}
