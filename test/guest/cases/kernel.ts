import { execFileSync, spawn } from 'node:child_process';
import { closeSync, existsSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs';
import * as assert from 'uvu/assert';
import { bind, doctor, unbind } from '../../../native/index.js';
import { Sysfs } from '../../../native/vfio/sysfs.js';
import { address, type GuestCase } from '../case.js';
import { pattern, withController } from './function.js';

const bytes = 64 * 1024;
const start = 1024 * 1024;
const mountPoint = '/mnt';

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
    title: 'a mounted namespace that controllers share keeps its controller, and is named',
    run: async () => {
      const path = await disk(address.shared, 2);
      execFileSync('mkfs.ext4', ['-q', path]);
      execFileSync('mount', [path, mountPoint]);
      try {
        assert.throws(
          () => bind(address.shared),
          new RegExp(`${address.shared} stays with its driver: ${path} is mounted at /mnt`),
        );
        assert.is(new Sysfs().driver(address.shared), 'nvme');
      } finally {
        execFileSync('umount', [mountPoint]);
      }
    },
  },
  {
    title: 'a file system mounted in another mount namespace keeps its controller too',
    run: async () => {
      const path = await disk(address.shared, 2);
      const script = `mount ${path} ${mountPoint} && echo mounted && read line`;
      const other = spawn('unshare', ['-m', 'sh', '-c', script], {
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      const ended = new Promise((resolve) => other.on('close', resolve));
      await Promise.race([
        new Promise((resolve) => other.stdout.once('data', resolve)),
        ended.then(() => Promise.reject(new Error('the other process could not mount it'))),
      ]);
      try {
        assert.throws(() => bind(address.shared), new RegExp(`${path} is in exclusive use`));
        assert.is(new Sysfs().driver(address.shared), 'nvme');
      } finally {
        other.stdin.end('\n');
        await ended;
      }
      unbind(address.shared, bind(address.shared));
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

/** The block device of a namespace, as users have it; the kernel needs a moment to make it. */
export async function disk(at: string = address.plain, nsid = 1): Promise<string> {
  const sysfs = new Sysfs();
  for (let tries = 0; tries < 200; tries++) {
    const path = sysfs.blockDevices(at).find((name) => name.endsWith(`n${nsid}`));
    // nvme3c3n2 is the path of a controller to nvme3n2.
    const name = path?.replace(/c\d+(?=n)/, '');
    if (name !== undefined && existsSync(`/dev/${name}`)) return `/dev/${name}`;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`the kernel's driver made no disk of ${at}`);
}
