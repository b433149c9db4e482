import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { Sysfs } from '../../../native/vfio/sysfs.js';
import { address, type GuestCase } from '../case.js';
import { pattern } from './function.js';
import { disk } from './kernel.js';

/** The card that the host serves over vfio-user stands behind the first root port. */
const card = address.plain;
const mountPoint = '/mnt';
const fileBytes = 1024 * 1024;
const fileCount = 8;
const limitMs = 60_000;

/** The kernel's own driver on a simulated card, through QEMU's client. */
export const servedCases: readonly GuestCase[] = [
  {
    title: "the kernel's driver takes the card and makes a disk of it",
    run: async () => {
      const path = await disk(card);
      assert.is(new Sysfs().driver(card), 'nvme');
      assert.is(attribute(path, 'model'), 'Ultima G2 Storage Card');
    },
  },
  {
    title: 'the driver uses message-signalled interrupts, and they arrive',
    run: async () => {
      const path = await disk(card);
      const before = interrupts();
      execFileSync('dd', [`if=${path}`, 'of=/dev/null', 'bs=64k', 'count=64', 'iflag=direct'], {
        stdio: 'ignore',
      });
      assert.ok(interrupts() > before, `${before} interrupts before and after`);
    },
  },
  {
    title: 'files on ext4 are there, byte for byte, after they were unmounted',
    run: async () => {
      const path = await disk(card);
      execFileSync('mkfs.ext4', ['-q', '-F', path]);
      execFileSync('mount', [path, mountPoint]);
      for (let i = 0; i < fileCount; i++) {
        writeFileSync(join(mountPoint, `file${i}`), pattern(fileBytes, i));
      }
      execFileSync('umount', [mountPoint]);
      execFileSync('mount', [path, mountPoint]);
      for (let i = 0; i < fileCount; i++) {
        const back = readFileSync(join(mountPoint, `file${i}`));
        assert.is(Buffer.compare(back, pattern(fileBytes, i)), 0, `file ${i}`);
      }
      execFileSync('umount', [mountPoint]);
    },
  },
  {
    title: 'fio writes at random with depth 16 and finds every checksum',
    run: async () => {
      const job = { rw: 'randwrite', bs: '4k', iodepth: 16, size: '16m', verify: 'crc32c' };
      const { errors, written } = fio(await disk(card), job);
      assert.equal({ errors, written }, { errors: 0, written: 16 * 1024 * 1024 });
    },
  },
  {
    title: 'nvme-cli reads identify and health data that fit the card',
    run: async () => {
      const path = await disk(card);
      const identity = nvme(['id-ctrl', path]);
      assert.is(String(identity.mn).trim(), 'Ultima G2 Storage Card');
      const health = nvme(['smart-log', path]);
      assert.ok(Number(health.data_units_written) > 0);
      assert.is(Number(health.critical_warning), 0);
    },
  },
  {
    title: 'a controller reset from the outside leaves the data as they are',
    run: async () => {
      const path = await disk(card);
      const data = pattern(fileBytes, 99);
      writeFileSync('/tmp/data', data);
      execFileSync('dd', ['if=/tmp/data', `of=${path}`, 'bs=1M', 'oflag=direct'], {
        stdio: 'ignore',
      });
      execFileSync('nvme', ['reset', path.replace(/n\d+$/, '')]);
      const same = await disk(card);
      execFileSync('dd', [`if=${same}`, 'of=/tmp/back', 'bs=1M', 'count=1', 'iflag=direct'], {
        stdio: 'ignore',
      });
      assert.is(Buffer.compare(readFileSync('/tmp/back'), data), 0);
    },
  },
  {
    title: 'the card vanishes under I/O: the write fails, the disk goes, the kernel lives',
    run: vanish,
  },
];

/** The same on a machine that has no messages for interrupts: the card pulls its pin. */
export const pinCases: readonly GuestCase[] = [
  {
    title: 'the driver works with the interrupt pin, and the kernel loses no interrupt',
    run: async () => {
      const path = await disk(card);
      const before = interrupts();
      const job = { rw: 'randwrite', bs: '4k', iodepth: 16, size: '16m', verify: 'crc32c' };
      const { errors, written } = fio(path, job);
      assert.equal({ errors, written }, { errors: 0, written: 16 * 1024 * 1024 });
      assert.ok(interrupts() > before, `${before} interrupts before and after`);
      const said = execFileSync('dmesg', { encoding: 'utf8' });
      assert.not.match(said, /nobody cared|completion polled|timeout, aborting/);
    },
  },
];

function attribute(path: string, name: string): string {
  const controller = path.replace('/dev/', '').replace(/n\d+$/, '');
  return readFileSync(`/sys/class/nvme/${controller}/${name}`, 'utf8').trim();
}

/** Of the driver's queues, on all processors together. */
function interrupts(): number {
  const lines = readFileSync('/proc/interrupts', 'utf8').split('\n');
  const counts = lines
    .filter((line) => /nvme\d+q\d+/.test(line))
    .flatMap((line) => (line.match(/\b\d+\b(?= )/g) ?? []).map(Number));
  return counts.reduce((sum, count) => sum + count, 0);
}

function fio(
  path: string,
  job: Readonly<Record<string, string | number>>,
): { errors: number; written: number } {
  const words = Object.entries(job).map(([name, value]) => `--${name}=${value}`);
  const fixed = ['--name=job', `--filename=${path}`, '--ioengine=libaio', '--direct=1'];
  const text = execFileSync('fio', [...fixed, ...words, '--output-format=json'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const result: unknown = JSON.parse(text.slice(text.indexOf('{')));
  const [first]: unknown[] = isObject(result) && Array.isArray(result.jobs) ? result.jobs : [];
  assert.ok(isObject(first) && isObject(first.write));
  if (!isObject(first) || !isObject(first.write)) throw new Error('unreachable');
  return { errors: Number(first.error), written: Number(first.write.io_bytes) };
}

function nvme(words: readonly string[]): Readonly<Record<string, unknown>> {
  const text = execFileSync('nvme', [...words, '-o', 'json'], { encoding: 'utf8' });
  const value: unknown = JSON.parse(text);
  if (isObject(value)) return value;
  throw new Error('nvme-cli prints something else');
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The last case: the card does not come back. */
async function vanish(): Promise<void> {
  const path = await disk(card);
  // Of a command, in milliseconds; the kernel's own is half a minute. A disk with several paths
  // has none, its paths do.
  for (const name of readdirSync('/sys/block').filter((entry) => entry.startsWith('nvme'))) {
    const limit = `/sys/block/${name}/queue/io_timeout`;
    if (existsSync(limit)) writeFileSync(limit, '2000');
  }
  const words = ['if=/dev/zero', `of=${path}`, 'bs=64k', 'count=100000', 'oflag=direct'];
  const writer = spawn('dd', words, { stdio: 'ignore' });
  const ended = new Promise<number | null>((resolve) => writer.on('close', resolve));
  await new Promise((resolve) => setTimeout(resolve, 500));
  // The host's side of the console takes this line to the server.
  console.log('VANISH');
  assert.is.not(await ended, 0, 'the writer must fail');
  const until = performance.now() + limitMs;
  while (existsSync(path) && performance.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.is(existsSync(path), false, 'the disk is still there');
}
