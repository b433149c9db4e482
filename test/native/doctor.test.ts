import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import * as assert from 'uvu/assert';
import type { LoadResult } from '../../native/load.js';
import { bindToVfio } from '../../native/vfio/bind.js';
import { examine, type Finding } from '../../native/vfio/doctor.js';
import { Sysfs } from '../../native/vfio/sysfs.js';
import { suite } from '../support/suite.js';
import { FakeKernel } from './fake-kernel.js';

const doctor = suite('native/doctor');
const roots: string[] = [];
const noAddon: LoadResult = {
  kernel: null,
  NullController: null,
  path: null,
  unavailableReason: 'no compiler',
};

doctor('a bare machine is told what it lacks, each with its remedy', () => {
  const root = machine();
  const findings = examine({ sysfs: new Sysfs(join(root, 'sys')), addon: noAddon, root });
  assert.match(text(findings, 'native addon'), /wrong: no compiler; 'npx ultima build-native'/);
  assert.match(text(findings, 'IOMMU'), /wrong: off or absent; .*amd_iommu=on/);
  assert.match(text(findings, 'vfio-pci'), /wrong: not loaded; modprobe vfio-pci/);
  assert.match(text(findings, 'controllers'), /note: no PCI function/);
});

doctor('a controller on vfio-pci in a group of its own is ready', () => {
  const root = machine();
  addFunction(root, '0000:01:00.0', { class: '0x010802', driver: 'vfio-pci', group: '4' });
  addFunction(root, '0000:00:01.0', { class: '0x060400', driver: 'pcieport', group: '4' });
  mkdirSync(join(root, 'dev/vfio'), { recursive: true });
  writeFileSync(join(root, 'dev/vfio/4'), '');
  const findings = examine({ sysfs: new Sysfs(join(root, 'sys')), addon: noAddon, root });
  assert.is(text(findings, '0000:01:00.0'), 'ok: ready, group 4; ');
});

doctor('an endpoint of the same group that a driver holds is in the way, and named', () => {
  const root = machine();
  addFunction(root, '0000:01:00.0', { class: '0x010802', driver: 'vfio-pci', group: '4' });
  addFunction(root, '0000:01:00.1', { class: '0x020000', driver: 'e1000e', group: '4' });
  mkdirSync(join(root, 'dev/vfio'), { recursive: true });
  writeFileSync(join(root, 'dev/vfio/4'), '');
  const findings = examine({ sysfs: new Sysfs(join(root, 'sys')), addon: noAddon, root });
  assert.match(text(findings, '0000:01:00.0'), /wrong: group 4 is shared with 0000:01:00.1/);
});

doctor('a controller of the kernel driver is named with its disks', () => {
  const root = machine();
  addFunction(root, '0000:02:00.0', { class: '0x010802', driver: 'nvme', group: '5' });
  mkdirSync(join(root, 'sys/bus/pci/devices/0000:02:00.0/nvme/nvme0/nvme0n1'), { recursive: true });
  const findings = examine({ sysfs: new Sysfs(join(root, 'sys')), addon: noAddon, root });
  assert.match(text(findings, '0000:02:00.0'), /note: held by nvme as nvme0n1; 'ultima bind/);
});

doctor('too little locked memory is wrong, with the figure to set', () => {
  const kernel = new FakeKernel();
  const addon = { kernel, NullController: null, path: 'x', unavailableReason: '' };
  const root = machine();
  const findings = examine({ sysfs: new Sysfs(join(root, 'sys')), addon, root });
  assert.match(text(findings, 'locked memory'), /wrong: 8388608 bytes.*ulimit -l 65536/);
});

doctor('a kernel without VFIO is told from one without iommufd', () => {
  const configs = [
    [
      'CONFIG_VFIO=m\n# CONFIG_VFIO_PCI is not set\n',
      /wrong: CONFIG_VFIO_PCI not set; boot a kernel/,
    ],
    ['CONFIG_VFIO=m\nCONFIG_VFIO_PCI=m\n', /ok: group interface, no iommufd/],
    [
      'CONFIG_VFIO=y\nCONFIG_VFIO_PCI=m\nCONFIG_IOMMUFD=m\nCONFIG_VFIO_DEVICE_CDEV=y\n',
      /ok: group interface and iommufd/,
    ],
  ] as const;
  for (const [config, verdict] of configs) {
    const root = machine();
    mkdirSync(join(root, 'proc'));
    writeFileSync(join(root, 'proc/config.gz'), gzipSync(config));
    const findings = examine({ sysfs: new Sysfs(join(root, 'sys')), addon: noAddon, root });
    assert.match(text(findings, 'kernel options'), verdict);
  }
});

doctor('pages of 2 MiB are counted against the arena, with the figure to set', () => {
  const root = machine();
  const folder = join(root, 'sys/kernel/mm/hugepages/hugepages-2048kB');
  mkdirSync(folder, { recursive: true });
  const verdictWith = (free: number): string => {
    writeFileSync(join(folder, 'free_hugepages'), `${free}\n`);
    const findings = examine({ sysfs: new Sysfs(join(root, 'sys')), addon: noAddon, root });
    return text(findings, 'huge pages');
  };
  assert.match(verdictWith(31), /note: 31 of 2 MiB free: .*; sysctl vm.nr_hugepages=32$/);
  assert.is(verdictWith(32), 'ok: 32 of 2 MiB free; ');
});

doctor('a group node that this user may not open is wrong, with a udev rule', () => {
  const root = machine();
  addFunction(root, '0000:01:00.0', { class: '0x010802', driver: 'vfio-pci', group: '4' });
  // No node at all is as closed as one of another user, and root may open every node.
  const findings = examine({ sysfs: new Sysfs(join(root, 'sys')), addon: noAddon, root });
  assert.match(
    text(findings, '0000:01:00.0'),
    /wrong: this user may not open \/dev\/vfio\/4; chown it, or a udev rule: SUBSYSTEM=="vfio"/,
  );
});

doctor('a controller in no IOMMU group is wrong, and the IOMMU is the remedy', () => {
  const root = machine();
  const path = join(root, 'sys/bus/pci/devices/0000:01:00.0');
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, 'class'), '0x010802\n');
  const findings = examine({ sysfs: new Sysfs(join(root, 'sys')), addon: noAddon, root });
  assert.match(text(findings, '0000:01:00.0'), /wrong: .*in no IOMMU group; turn the IOMMU on/);
});

doctor('only a storage controller is bound, and one whose disk is held stays', () => {
  const root = machine();
  const sysfs = new Sysfs(join(root, 'sys'));
  addFunction(root, '0000:03:00.0', { class: '0x020000', driver: 'e1000e', group: '6' });
  assert.throws(() => bindToVfio(sysfs, '0000:03:00.0'), /has class 0x020000, not 0x0108xx/);
  addFunction(root, '0000:02:00.0', { class: '0x010802', driver: 'nvme', group: '5' });
  mkdirSync(join(root, 'sys/bus/pci/devices/0000:02:00.0/nvme/nvme0/nvme0n1'), { recursive: true });
  mkdirSync(join(root, 'sys/class/block/nvme0n1/nvme0n1p1'), { recursive: true });
  mkdirSync(join(root, 'sys/class/block/nvme0n1p1/holders/dm-0'), { recursive: true });
  assert.throws(() => bindToVfio(sysfs, '0000:02:00.0'), /\/dev\/nvme0n1 is held by dm-0/);
  assert.throws(() => bindToVfio(sysfs, '0000:09:00.0'), /no PCI function 0000:09:00.0/);
});

doctor('a namespace that controllers share is looked at where it is used, not at its path', () => {
  const root = machine();
  const sysfs = new Sysfs(join(root, 'sys'));
  addFunction(root, '0000:02:00.0', { class: '0x010802', driver: 'nvme', group: '5' });
  const paths = join(root, 'sys/bus/pci/devices/0000:02:00.0/nvme/nvme81');
  mkdirSync(join(paths, 'nvme80c81n3'), { recursive: true });
  mkdirSync(join(root, 'sys/class/block/nvme80n3/holders/md0'), { recursive: true });
  assert.throws(() => bindToVfio(sysfs, '0000:02:00.0'), /\/dev\/nvme80n3 is held by md0/);
  assert.is(sysfs.driver('0000:02:00.0'), 'nvme');
});

doctor('a disk is found mounted by its number where the mount has another name for it', () => {
  const root = machine();
  const sysfs = new Sysfs(join(root, 'sys'));
  addFunction(root, '0000:02:00.0', { class: '0x010802', driver: 'nvme', group: '5' });
  mkdirSync(join(root, 'sys/bus/pci/devices/0000:02:00.0/nvme/nvme80/nvme80n1'), {
    recursive: true,
  });
  mkdirSync(join(root, 'sys/class/block/nvme80n1'), { recursive: true });
  // Whatever this process has at /proc stands in for a disk mounted there.
  const mount = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  const [, , number] = mount.map((line) => line.split(' ')).find((words) => words[4] === '/proc')!;
  writeFileSync(join(root, 'sys/class/block/nvme80n1/dev'), `${number}\n`);
  assert.throws(() => bindToVfio(sysfs, '0000:02:00.0'), /\/dev\/nvme80n1 is mounted at \//);
});

doctor.after(() => {
  for (const root of roots) rmSync(root, { recursive: true });
});

function text(findings: readonly Finding[], check: string): string {
  return findings
    .filter((finding) => finding.check === check)
    .map((finding) => `${finding.verdict}: ${finding.text}; ${finding.remedy}`)
    .join('\n');
}

function machine(): string {
  const root = mkdtempSync(join(tmpdir(), 'ultima-doctor-'));
  roots.push(root);
  mkdirSync(join(root, 'sys/bus/pci/devices'), { recursive: true });
  return root;
}

interface FakeFunction {
  readonly class: string;
  readonly driver: string;
  readonly group: string;
}

function addFunction(root: string, address: string, fake: FakeFunction): void {
  const path = join(root, 'sys/bus/pci/devices', address);
  const driver = join(root, 'sys/bus/pci/drivers', fake.driver);
  const group = join(root, 'sys/kernel/iommu_groups', fake.group);
  for (const folder of [path, driver, join(group, 'devices')])
    mkdirSync(folder, { recursive: true });
  writeFileSync(join(path, 'class'), `${fake.class}\n`);
  symlinkSync(driver, join(path, 'driver'));
  symlinkSync(group, join(path, 'iommu_group'));
  symlinkSync(path, join(group, 'devices', address));
}

doctor.run();
