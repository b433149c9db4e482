import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { MiB } from '../../sdk/units.js';
import type { Kernel } from '../kernel.js';
import type { LoadResult } from '../load.js';
import { list, readText, type Sysfs } from './sysfs.js';

export type Verdict = 'ok' | 'note' | 'wrong';

/** One thing that real hardware needs: how it stands here, and what to do when it is wrong. */
export interface Finding {
  readonly check: string;
  readonly verdict: Verdict;
  readonly text: string;
  /** Empty when there is nothing to do. */
  readonly remedy: string;
}

/** What of the loaded addon is looked at. */
export interface LoadedAddon extends Pick<LoadResult, 'path' | 'unavailableReason'> {
  readonly kernel: Kernel | null;
}

export interface DoctorOptions {
  readonly sysfs: Sysfs;
  readonly addon: LoadedAddon;
  /** '' for the machine itself; another root for a test. */
  readonly root?: string;
}

const arenaBytes = 64 * MiB;
const bridgeClass = '0x06';
const storageClass = '0x0108';

/** Look at everything between this process and a controller behind VFIO. Changes nothing. */
export function examine(options: DoctorOptions): Finding[] {
  const { sysfs, addon } = options;
  const root = options.root ?? '';
  return [
    addonFinding(addon),
    ...kernelFindings(root),
    iommuFinding(sysfs, root),
    moduleFinding(sysfs),
    iommufdFinding(root),
    memlockFinding(addon),
    hugePageFinding(sysfs),
    ...controllers(sysfs).flatMap((address) => controllerFindings(sysfs, root, address)),
    ...(controllers(sysfs).length === 0 ? [noController] : []),
  ];
}

const noController: Finding = {
  check: 'controllers',
  verdict: 'note',
  text: `no PCI function with class ${storageClass}xx on this machine`,
  remedy: "use the simulator: --card 'sim:ultima-g2'",
};

function addonFinding(addon: LoadedAddon): Finding {
  const check = 'native addon';
  if (addon.kernel !== null) return ok(check, `loaded from ${addon.path}`);
  return wrong(check, addon.unavailableReason, "'npx ultima build-native'");
}

/** Options of the running kernel, where it or its package tells them. */
function kernelFindings(root: string): Finding[] {
  const check = 'kernel options';
  const config = kernelConfig(root);
  if (config === null) return [note(check, 'this kernel does not publish its configuration', '')];
  const isSet = (name: string): boolean => new RegExp(`^${name}=[ym]$`, 'm').test(config);
  const needed = ['CONFIG_VFIO', 'CONFIG_VFIO_PCI'];
  const missing = needed.filter((name) => !isSet(name));
  if (missing.length > 0) {
    return [wrong(check, `${missing.join(', ')} not set`, 'boot a kernel that has them')];
  }
  const hasCdev = isSet('CONFIG_IOMMUFD') && isSet('CONFIG_VFIO_DEVICE_CDEV');
  return [ok(check, hasCdev ? 'group interface and iommufd' : 'group interface, no iommufd')];
}

function kernelConfig(root: string): string | null {
  try {
    return gunzipSync(readFileSync(`${root}/proc/config.gz`)).toString('latin1');
  } catch {
    return readText(`${root}/boot/config-${release()}`);
  }
}

function iommuFinding(sysfs: Sysfs, root: string): Finding {
  const check = 'IOMMU';
  const units = list(join(sysfs.root, 'class/iommu'));
  if (units.length > 0) return ok(check, `on (${units.join(', ')})`);
  const isIntel = (readText(`${root}/proc/cpuinfo`) ?? '').includes('GenuineIntel');
  const argument = isIntel ? 'intel_iommu=on' : 'amd_iommu=on';
  return wrong(
    check,
    'off or absent',
    `turn it on in the firmware set-up (VT-d, AMD-Vi) and boot with ${argument}`,
  );
}

function moduleFinding(sysfs: Sysfs): Finding {
  const check = 'vfio-pci';
  if (existsSync(join(sysfs.root, 'bus/pci/drivers/vfio-pci'))) return ok(check, 'loaded');
  return wrong(check, 'not loaded', 'modprobe vfio-pci');
}

function iommufdFinding(root: string): Finding {
  const check = 'iommufd';
  if (existsSync(`${root}/dev/iommu`)) return ok(check, '/dev/iommu is there');
  return note(check, 'no /dev/iommu: the group interface is used', '');
}

function memlockFinding(addon: LoadedAddon): Finding {
  const check = 'locked memory';
  if (addon.kernel === null) return note(check, 'unknown without the addon', '');
  const limit = addon.kernel.memlockLimit();
  const text = limit === Number.MAX_SAFE_INTEGER ? 'unlimited' : `${limit} bytes`;
  if (limit >= arenaBytes) return ok(check, text);
  return wrong(
    check,
    `${text}, an open takes ${arenaBytes}`,
    `ulimit -l ${arenaBytes / 1024}, LimitMEMLOCK=${arenaBytes} in the service, ` +
      'or a smaller arena (arenaBytes)',
  );
}

function hugePageFinding(sysfs: Sysfs): Finding {
  const check = 'huge pages';
  const path = join(sysfs.root, 'kernel/mm/hugepages/hugepages-2048kB/free_hugepages');
  const free = Number(readText(path) ?? 0);
  if (free * 2 * MiB >= arenaBytes) return ok(check, `${free} of 2 MiB free`);
  return note(
    check,
    `${free} of 2 MiB free: ordinary pages are used, the IOMMU then misses more often`,
    `sysctl vm.nr_hugepages=${arenaBytes / (2 * MiB)}`,
  );
}

function controllers(sysfs: Sysfs): string[] {
  return list(join(sysfs.root, 'bus/pci/devices')).filter((address) =>
    (sysfs.attribute(address, 'class') ?? '').startsWith(storageClass),
  );
}

function controllerFindings(sysfs: Sysfs, root: string, address: string): Finding[] {
  const driver = sysfs.driver(address);
  const group = sysfs.group(address);
  const findings: Finding[] = [];
  if (group === null) {
    const remedy = 'turn the IOMMU on';
    return [wrong(address, `held by ${driver ?? 'no driver'}, in no IOMMU group`, remedy)];
  }
  const others = sysfs.groupMembers(group).filter((other) => other !== address);
  const inTheWay = others.filter((other) => isInTheWay(sysfs, other));
  if (inTheWay.length > 0) {
    const text = `group ${group} is shared with ${inTheWay.join(', ')}, held by other drivers`;
    findings.push(wrong(address, text, 'bind those to vfio-pci too, or use another slot'));
  }
  if (driver !== 'vfio-pci') {
    const disks = sysfs.blockDevices(address);
    const disksText = disks.length > 0 ? ` as ${disks.join(', ')}` : '';
    const text = `held by ${driver ?? 'no driver'}${disksText}`;
    findings.push(note(address, text, `'ultima bind ${address}' gives it to us`));
    return findings;
  }
  const node = `/dev/vfio/${group}`;
  if (!mayUse(root + node)) {
    const remedy = `chown it, or a udev rule: SUBSYSTEM=="vfio", OWNER="USER"`;
    findings.push(wrong(address, `this user may not open ${node}`, remedy));
  }
  if (findings.length === 0) findings.push(ok(address, `ready, group ${group}`));
  return findings;
}

/** Bridges may stay with their driver; every other endpoint must be free or on vfio-pci. */
function isInTheWay(sysfs: Sysfs, address: string): boolean {
  if ((sysfs.attribute(address, 'class') ?? '').startsWith(bridgeClass)) return false;
  const driver = sysfs.driver(address);
  return driver !== null && driver !== 'vfio-pci';
}

function mayUse(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function ok(check: string, text: string): Finding {
  return { check, verdict: 'ok', text, remedy: '' };
}

function note(check: string, text: string, remedy: string): Finding {
  return { check, verdict: 'note', text, remedy };
}

function wrong(check: string, text: string, remedy: string): Finding {
  return { check, verdict: 'wrong', text, remedy };
}
