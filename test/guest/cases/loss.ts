import * as assert from 'uvu/assert';
import { bind, openFunction, unbind } from '../../../native/index.js';
import { Sysfs } from '../../../native/vfio/sysfs.js';
import { NvmeController } from '../../../sdk/nvme/controller.js';
import { Header } from '../../../sdk/spec/pcie/header.js';
import { address, type GuestCase } from '../case.js';

/** Devices that are taken away. */
export const lossCases: readonly GuestCase[] = [
  {
    title: 'a BAR switched off under a mapped access reads all-ones and the process lives',
    run: async () => {
      const driver = bind(address.plain);
      try {
        const fn = await openFunction(address.plain);
        const bar = fn.bar(0);
        assert.is.not(bar.read32(8), 0xffff_ffff);
        const offset = Header.memorySpaceEnable.dword * 4;
        const command = fn.config.read16(offset);
        fn.config.write16(offset, Header.memorySpaceEnable.put(command, 0));
        assert.is(bar.read32(8), 0xffff_ffff);
        assert.is(fn.isRemoved, true);
        await fn.close();
      } finally {
        unbind(address.plain, driver);
      }
    },
  },
  {
    title: 'unbinding while I/O runs asks for the device back and gets it within seconds',
    run: unbindUnderIo,
  },
];

async function unbindUnderIo(): Promise<void> {
  const driver = bind(address.plain);
  const sysfs = new Sysfs();
  let asked = (): void => undefined;
  const request = new Promise<void>((resolve) => {
    asked = resolve;
  });
  const fn = await openFunction(address.plain, { onRemovalRequest: asked });
  const controller = await NvmeController.open(fn);
  const namespace = await controller.namespace(1);
  let isAsked = false;
  void request.then(() => {
    isAsked = true;
  });
  // The writer blocks in the kernel until the device is closed: it must be another process.
  const { spawn } = await import('node:child_process');
  const unbinder = spawn('/bin/sh', [
    '-c',
    `echo ${address.plain} > /sys/bus/pci/drivers/vfio-pci/unbind`,
  ]);
  const unbound = new Promise((resolve) => unbinder.on('close', resolve));
  const data = new Uint8Array(8 * namespace.blockBytes);
  let completed = 0;
  const limit = Date.now() + 20_000;
  while (!isAsked && Date.now() < limit) {
    await namespace.write((completed % 100) * 8, data).catch(() => undefined);
    completed++;
  }
  assert.ok(isAsked, 'the kernel did not ask for the device');
  await controller.close().catch(() => undefined);
  await fn.close();
  await unbound;
  assert.is(sysfs.driver(address.plain), null);
  unbind(address.plain, driver === 'vfio-pci' ? null : driver);
}
