import { execFileSync } from 'node:child_process';
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import type { GuestCase } from '../case.js';
import { doneMark, guestBytes, guestNqn } from '../fabric-host.js';
import { pattern } from './function.js';

const nqn = 'nqn.2026-11.io.ultima:guest';
const host = '10.0.2.2';
const mountPoint = '/mnt';
const fileBytes = 128 * 1024;
const fileCount = 40;
const limitMs = 60_000;
const configuration = '/sys/kernel/config/nvmet';

/** Linux's own initiator at our targets, and our initiator at Linux's target. */
export const fabricCases: readonly GuestCase[] = [
  {
    title: 'discovery names the subsystem and where it is',
    run: async () => {
      setUpNetwork();
      const said = nvme('discover', ...place(0));
      assert.match(said, new RegExp(`subnqn: +${nqn}`));
      assert.match(said, /traddr: +10\.0\.2\.2/);
    },
  },
  {
    title: 'the kernel connects with digests, and fio finds every checksum on ext4',
    run: async () => {
      nvme('connect', ...place(0), '-n', nqn, '-g', '-G', '-i', '2', '-c', '1', '-l', '120');
      const path = await disk();
      execFileSync('mkfs.ext4', ['-q', '-F', path]);
      execFileSync('mount', [path, mountPoint]);
      const job = ['--rw=randwrite', '--bs=4k-64k', '--iodepth=16', '--size=8m', '--direct=1'];
      const words = ['--name=v', `--directory=${mountPoint}`, '--ioengine=libaio', ...job];
      execFileSync('fio', [...words, '--verify=crc32c', '--verify_fatal=1'], { stdio: 'pipe' });
    },
  },
  {
    title: 'files that were synced while every connection was lost twice are intact',
    run: async () => {
      for (let i = 0; i < fileCount; i++) {
        writeSynced(i);
        if (i === 10 || i === 25) console.log('HOST 0 drop');
      }
      execFileSync('umount', [mountPoint]);
      execFileSync('mount', [await disk(), mountPoint]);
      checkFiles(fileCount);
      const log = execFileSync('dmesg', { encoding: 'utf8' });
      assert.match(log, /Successfully reconnected/);
    },
  },
  {
    title: 'a second path takes over when the first one becomes inaccessible, and when it dies',
    run: async () => {
      nvme('connect', ...place(1), '-n', nqn, '-i', '2', '-c', '1', '-l', '120');
      await until('both paths are live', () => paths().length === 2);
      console.log('HOST 0 ana 3');
      console.log('HOST 1 ana 1');
      await until('the first path is inaccessible', () => anaStates().includes('inaccessible'));
      for (let i = fileCount; i < fileCount + 8; i++) writeSynced(i);
      console.log('HOST 0 ana 1');
      console.log('HOST 1 ana 2');
      await until('it is back', () => !anaStates().includes('inaccessible'));
      for (let i = fileCount + 8; i < fileCount + 20; i++) {
        if (i === fileCount + 10) console.log('HOST 0 kill');
        writeSynced(i);
      }
      execFileSync('umount', [mountPoint]);
      execFileSync('mount', [await disk(), mountPoint]);
      checkFiles(fileCount + 20);
      execFileSync('umount', [mountPoint]);
    },
  },
  {
    title: 'the dead path comes back, and after a disconnect nothing of either is left',
    run: async () => {
      console.log('HOST revive');
      // The kernel waits a minute for a dead controller that it is to let go.
      await until('both paths are live', () => paths().length === 2);
      nvme('disconnect', '-n', nqn);
      await until('the disk is gone', () => disks().length === 0);
      assert.equal(paths(), []);
    },
  },
  {
    title: 'our initiator finds what it wrote at the kernel’s target',
    run: async () => {
      const path = join(mountPoint, 'kernel-target');
      serveFile(path);
      console.log('HOST initiate');
      const byte = new Uint8Array(1);
      await until('the initiator is content', () => {
        const fd = openSync(path, 'r');
        readSync(fd, byte, 0, 1, guestBytes - 1);
        closeSync(fd);
        return byte[0] === doneMark;
      });
    },
  },
];

function setUpNetwork(): void {
  const ifconfig = (...words: string[]): void => {
    execFileSync('/bin/busybox', ['ifconfig', ...words]);
  };
  ifconfig('lo', 'up');
  const card = readdirSync('/sys/class/net').find((name) => name !== 'lo');
  ifconfig(card ?? 'eth0', '10.0.2.15', 'netmask', '255.255.255.0', 'up');
  mkdirSync('/etc/nvme', { recursive: true });
  // Paths come and go here, and the kernel says so each time.
  execFileSync('dmesg', ['-n', '1']);
}

/** Where a target is, for nvme-cli. */
function place(target: number): string[] {
  const words = readFileSync('/proc/cmdline', 'utf8');
  const ports = /ultima\.ports=(\S+)/.exec(words)?.[1]?.split(',') ?? [];
  return ['-t', 'tcp', '-a', host, '-s', ports[target] ?? '', '-q', `${nqn}-host`];
}

function nvme(...words: string[]): string {
  return execFileSync('nvme', words, { encoding: 'utf8', timeout: limitMs });
}

/** Disks over all paths; the paths themselves are hidden and are called otherwise. */
function disks(): string[] {
  return readdirSync('/sys/block').filter((name) => /^nvme\d+n\d+$/.test(name));
}

async function disk(): Promise<string> {
  await until('there is a disk', () => disks().length === 1);
  return `/dev/${disks()[0]}`;
}

function paths(): string[] {
  const root = '/sys/class/nvme';
  return readdirSync(root).filter((name) => attribute(join(root, name, 'state')) === 'live');
}

function anaStates(): string[] {
  const root = '/sys/class/nvme';
  return readdirSync(root).flatMap((name) =>
    readdirSync(join(root, name))
      .filter((each) => /^nvme\d+c\d+n\d+$/.test(each))
      .map((each) => attribute(join(root, name, each, 'ana_state'))),
  );
}

function attribute(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    // It comes and goes with its controller.
    return '';
  }
}

function writeSynced(index: number): void {
  const fd = openSync(join(mountPoint, `file${index}`), 'w');
  writeSync(fd, pattern(fileBytes, index));
  fsyncSync(fd);
  closeSync(fd);
}

function checkFiles(count: number): void {
  for (let i = 0; i < count; i++) {
    const found = readFileSync(join(mountPoint, `file${i}`));
    assert.is(Buffer.compare(found, pattern(fileBytes, i)), 0, `file ${i}`);
  }
}

/**
 * The kernel's target, at a file in memory. It asks the file system for the size of blocks, and
 * that of the guest's root, an overlay, says 2^0 bytes.
 */
function serveFile(path: string): void {
  execFileSync('mount', ['-t', 'tmpfs', 'none', mountPoint]);
  writeFileSync(path, '');
  truncateSync(path, guestBytes);
  execFileSync('mount', ['-t', 'configfs', 'none', '/sys/kernel/config']);
  const subsystem = join(configuration, 'subsystems', guestNqn);
  const namespace = join(subsystem, 'namespaces/1');
  const port = join(configuration, 'ports/1');
  mkdirSync(subsystem);
  writeFileSync(join(subsystem, 'attr_allow_any_host'), '1');
  mkdirSync(namespace);
  writeFileSync(join(namespace, 'device_path'), path);
  writeFileSync(join(namespace, 'buffered_io'), '1');
  writeFileSync(join(namespace, 'enable'), '1');
  mkdirSync(port);
  const values = { trtype: 'tcp', adrfam: 'ipv4', traddr: '0.0.0.0', trsvcid: '4420' };
  for (const [name, value] of Object.entries(values)) {
    writeFileSync(join(port, `addr_${name}`), value);
  }
  symlinkSync(subsystem, join(port, 'subsystems', guestNqn));
}

async function until(what: string, isSo: () => boolean): Promise<void> {
  const end = performance.now() + limitMs;
  while (!isSo()) {
    if (performance.now() > end) throw new Error(`it never came to pass: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
