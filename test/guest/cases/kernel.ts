import { closeSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs';
import * as assert from 'uvu/assert';
import { bind, doctor, unbind } from '../../../native/index.js';
import { Sysfs } from '../../../native/vfio/sysfs.js';
import { address, type GuestCase } from '../case.js';
import { pattern, withController } from './function.js';

const bytes = 64 * 1024;
const start = 1024 * 1024;

/** The kernel's own driver and ours, on the same disk in turn. */
export const kernelCases: readonly GuestCase[] = [
  {
    title: "the kernel's driver reads what ours wrote",
    run: async () => {
      const data = pattern(bytes, 77);
      await withController(address.plain, async (controller) => {
        const namespace = await controller.namespace(1);
        await namespace.write(start / namespace.blockBytes, data);
        await namespace.flush();
      });
      const back = new Uint8Array(bytes);
      const fd = openSync(await disk(), 'r');
      readSync(fd, back, 0, bytes, start);
      closeSync(fd);
      assert.is(Buffer.compare(data, back), 0);
    },
  },
  {
    title: "our driver reads what the kernel's wrote",
    run: async () => {
      const data = pattern(bytes, 78);
      const fd = openSync(await disk(), 'r+');
      writeSync(fd, data, 0, bytes, 2 * start);
      fsyncSync(fd);
      closeSync(fd);
      await withController(address.plain, async (controller) => {
        const namespace = await controller.namespace(1);
        const back = new Uint8Array(bytes);
        await namespace.read((2 * start) / namespace.blockBytes, back);
        assert.is(Buffer.compare(data, back), 0);
      });
    },
  },
  {
    title: 'a controller whose disk is open in a process stays with its driver, and is named',
    run: async () => {
      const path = await disk();
      const fd = openSync(path, 'r');
      try {
        assert.throws(() => bind(address.plain), new RegExp(`${path} is open in process`));
        assert.is(new Sysfs().driver(address.plain), 'nvme');
      } finally {
        closeSync(fd);
      }
    },
  },
  {
    title: 'the doctor finds the IOMMU on and a bound controller ready',
    run: async () => {
      const driver = bind(address.cmb);
      try {
        const verdicts = new Map(doctor().map((finding) => [finding.check, finding]));
        assert.is(verdicts.get('IOMMU')?.verdict, 'ok');
        assert.is(verdicts.get('native addon')?.verdict, 'ok');
        assert.match(verdicts.get(address.cmb)?.text ?? '', /^ready, group \d+$/);
        assert.match(verdicts.get(address.plain)?.text ?? '', /^held by nvme as nvme\d+n1$/);
      } finally {
        unbind(address.cmb, driver);
      }
    },
  },
];

/** The block device of the plain controller; the kernel needs a moment to make it. */
export async function disk(): Promise<string> {
  const sysfs = new Sysfs();
  for (let tries = 0; tries < 200; tries++) {
    const [name] = sysfs.blockDevices(address.plain);
    if (name !== undefined) return `/dev/${name}`;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`the kernel's driver made no disk of ${address.plain}`);
}
