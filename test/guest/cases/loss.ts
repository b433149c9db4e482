import { spawn } from 'node:child_process';
import * as assert from 'uvu/assert';
import { bind, openFunction, unbind } from '../../../native/index.js';
import { Sysfs } from '../../../native/vfio/sysfs.js';
import type { PciFunction } from '../../../sdk/device.js';
import { UltimaError } from '../../../sdk/errors.js';
import { NvmeController } from '../../../sdk/nvme/controller.js';
import { Csts, Register } from '../../../sdk/spec/nvme/registers.js';
import { CapabilityHeader, CapabilityId, Header } from '../../../sdk/spec/pcie/header.js';
import { PowerManagement, PowerState } from '../../../sdk/spec/pcie/power-management.js';
import { address, type GuestCase } from '../case.js';
import { withBound } from './function.js';

const allOnes = 0xffff_ffff;
const writers = 16;
const limitMs = 60_000;

/** Devices that are taken away. */
export const lossCases: readonly GuestCase[] = [
  {
    title: 'a BAR switched off under a mapped access reads all-ones and the process lives',
    run: () =>
      lose((fn) => {
        const offset = Header.memorySpaceEnable.dword * 4;
        const command = fn.config.read16(offset);
        fn.config.write16(offset, Header.memorySpaceEnable.put(command, 0));
      }),
  },
  {
    title: 'a controller powered down under I/O ends it as removed and the process lives',
    run: () => lose(powerDown),
  },
  {
    title: 'a device that the kernel asks for back works until its owner has closed it in order',
    run: () => withBoundToVfio(closeInOrder),
  },
  {
    title: 'I/O of an owner that does not listen ends as removed when the kernel asks',
    run: () => withBoundToVfio(endRemoved),
  },
  {
    title: 'a card that is pulled out under I/O is asked for, closed in order, and gone',
    run: pullOut,
  },
];

/** Take a controller away while writes run on it. */
function lose(take: (fn: PciFunction) => void): Promise<void> {
  return withBound(address.plain, async () => {
    const fn = await openFunction(address.plain);
    try {
      const controller = await NvmeController.open(fn);
      const bar = fn.bar(0);
      assert.is.not(bar.read32(Register.vs), allOnes);
      const writing = write(controller, () => false);
      await writing.first;
      take(fn);
      assert.is(bar.read32(Register.vs), allOnes);
      assert.equal([...(await writing.ends)], ['DEVICE_REMOVED']);
      assert.is(fn.isRemoved, true);
      await controller.close();
    } finally {
      // Whatever failed: unbinding waits for the end of the function.
      await fn.close();
    }
  });
}

/** [PCIe-4.0 §5.3 D3hot]: the function answers to its configuration space alone. */
function powerDown(fn: PciFunction): void {
  const { config } = fn;
  let at = Header.capabilitiesPointer.of(config.read32(Header.capabilitiesPointer.dword * 4));
  while (CapabilityHeader.capabilityId.of(config.read32(at)) !== CapabilityId.powerManagement) {
    at = CapabilityHeader.nextPointer.of(config.read32(at));
    assert.ok(at > 0, 'the controller has no power management');
  }
  const offset = at + PowerManagement.powerState.dword * 4;
  const state = PowerManagement.powerState.put(config.read16(offset), PowerState.d3hot);
  config.write16(offset, state);
}

async function closeInOrder(): Promise<void> {
  let asked = (): void => undefined;
  const request = new Promise<void>((resolve) => {
    asked = resolve;
  });
  const fn = await openFunction(address.plain, { onRemovalRequest: asked });
  try {
    await giveBackInOrder(fn, request);
  } finally {
    await fn.close();
  }
}

async function giveBackInOrder(fn: PciFunction, request: Promise<void>): Promise<void> {
  const controller = await NvmeController.open(fn);
  let isAsked = false;
  const writing = write(controller, () => isAsked);
  await writing.first;
  const unbound = unbindElsewhere();
  await request;
  isAsked = true;
  const askedMs = performance.now();
  assert.equal([...(await writing.ends)], ['completed']);
  await controller.shutdown();
  assert.is(Csts.rdy.of(fn.bar(0).read32(Register.csts)), 0, 'it is shut down and disabled');
  await controller.close();
  await unbound;
  const seconds = (performance.now() - askedMs) / 1000;
  console.log(`     given back ${seconds.toFixed(1)} s after the kernel asked`);
  assert.ok(seconds < 5);
  assert.is(new Sysfs().driver(address.plain), null);
}

async function endRemoved(): Promise<void> {
  const fn = await openFunction(address.plain);
  try {
    const controller = await NvmeController.open(fn);
    const writing = write(controller, () => false);
    await writing.first;
    const unbound = unbindElsewhere();
    assert.equal([...(await writing.ends)], ['DEVICE_REMOVED']);
    await controller.close();
    await unbound;
  } finally {
    await fn.close();
  }
  assert.is(new Sysfs().driver(address.plain), null);
}

async function withBoundToVfio(use: () => Promise<void>): Promise<void> {
  const driver = bind(address.plain);
  try {
    await use();
  } finally {
    unbind(address.plain, driver === 'vfio-pci' ? null : driver);
  }
}

/** The last case of its controller: it does not come back. */
async function pullOut(): Promise<void> {
  const at = address.removable;
  bind(at);
  let asked = (): void => undefined;
  const request = new Promise<void>((resolve) => {
    asked = resolve;
  });
  const fn = await openFunction(at, { onRemovalRequest: asked });
  try {
    const controller = await NvmeController.open(fn);
    let isAsked = false;
    const writing = write(controller, () => isAsked);
    await writing.first;
    // The host's side of the console takes this line to QEMU.
    console.log('MONITOR device_del n5');
    await request;
    isAsked = true;
    assert.equal([...(await writing.ends)], ['completed']);
    await controller.close();
  } finally {
    await fn.close();
  }
  const sysfs = new Sysfs();
  const until = performance.now() + limitMs;
  while (sysfs.hasFunction(at)) {
    assert.ok(performance.now() < until, 'the function is still there');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** The writer blocks in the kernel until the device is closed: it must be another process. */
function unbindElsewhere(): Promise<unknown> {
  const path = '/sys/bus/pci/drivers/vfio-pci/unbind';
  const unbinder = spawn('/bin/sh', ['-c', `echo ${address.plain} > ${path}`]);
  return new Promise((resolve) => unbinder.on('close', resolve));
}

interface Writing {
  /** Resolves when the first write has ended. */
  readonly first: Promise<void>;
  /** How writes ended last, each way once. */
  readonly ends: Promise<ReadonlySet<string>>;
}

/** Writes in a closed loop, until they fail or are told to stop. */
function write(controller: NvmeController, isOver: () => boolean): Writing {
  let started = (): void => undefined;
  const first = new Promise<void>((resolve) => {
    started = resolve;
  });
  const until = performance.now() + limitMs;
  const loop = async (i: number): Promise<string> => {
    const namespace = await controller.namespace(1);
    const data = new Uint8Array(8 * namespace.blockBytes);
    for (let round = 0; !isOver(); round++) {
      if (performance.now() > until) return `still writing after ${limitMs} ms`;
      try {
        await namespace.write(((round * writers + i) % 1000) * 8, data);
      } catch (error) {
        return error instanceof UltimaError ? error.code : String(error);
      }
      started();
    }
    return 'completed';
  };
  const loops = Promise.all(Array.from({ length: writers }, (_, i) => loop(i)));
  return { first, ends: loops.then((ends) => new Set(ends)) };
}
