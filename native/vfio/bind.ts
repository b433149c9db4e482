import { closeSync, constants, openSync, readFileSync, readlinkSync } from 'node:fs';
import { ErrorCode, UltimaError } from '../../sdk/errors.js';
import { list, readText, type Sysfs } from './sysfs.js';

const storageClass = '0x0108';

/**
 * Take a function from its kernel driver and give it to vfio-pci. `driver_override` and a probe,
 * never `new_id`, which would grab every device of the model and race with the probe.
 *
 * @returns the driver that held it before, for `giveBack`
 * @throws UltimaError DEVICE_BUSY when a block device of it is mounted, held or used as swap;
 *   ADDRESS_INVALID; DEVICE_UNSUPPORTED for anything that is no storage controller
 */
export function bindToVfio(sysfs: Sysfs, address: string): string | null {
  if (!sysfs.hasFunction(address)) {
    throw new UltimaError(
      ErrorCode.addressInvalid,
      `there is no PCI function ${address} on this machine (see lspci -D)`,
      { address },
    );
  }
  const code = sysfs.attribute(address, 'class') ?? '';
  if (!code.startsWith(storageClass)) {
    throw new UltimaError(
      ErrorCode.deviceUnsupported,
      `${address} has class ${code}, not ${storageClass}xx (non-volatile memory controller)`,
      { address, class: code },
    );
  }
  const before = sysfs.driver(address);
  if (before === 'vfio-pci') return before;
  refuseHeld(sysfs, address);
  rebind(sysfs, address, 'vfio-pci');
  return before;
}

/** Give a function back to the driver that had it (or to whichever claims it). */
export function giveBack(sysfs: Sysfs, address: string, driver: string | null = null): void {
  rebind(sysfs, address, driver === 'vfio-pci' ? null : driver);
}

function rebind(sysfs: Sysfs, address: string, driver: string | null): void {
  const path = `bus/pci/devices/${address}`;
  const holder = sysfs.driver(address);
  try {
    if (holder !== null) sysfs.write(`bus/pci/drivers/${holder}/unbind`, address);
    // A lone newline clears the override: any driver that knows the device may claim it.
    sysfs.write(`${path}/driver_override`, driver ?? '\n');
    sysfs.write('bus/pci/drivers_probe', address);
    if (driver !== 'vfio-pci') sysfs.write(`${path}/driver_override`, '\n');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new UltimaError(
      ErrorCode.backendUnavailable,
      `cannot bind ${address} to ${driver ?? 'its driver'}: ${reason}; this needs root`,
      { address },
      error,
    );
  }
  const now = sysfs.driver(address);
  if (driver !== null && now !== driver) {
    throw new UltimaError(
      ErrorCode.deviceUnsupported,
      `${driver} did not take ${address} (it is held by ${now ?? 'no driver'}); is it loaded?`,
      { address, driver: now ?? 'none' },
    );
  }
}

/** A function whose namespaces somebody uses must not be pulled away under them. */
function refuseHeld(sysfs: Sysfs, address: string): void {
  for (const disk of disksOf(sysfs, address)) {
    const holder = holderOf(sysfs, disk);
    if (holder === null) continue;
    throw new UltimaError(
      ErrorCode.deviceBusy,
      `${address} stays with its driver: /dev/${disk} is ${holder}; release it first`,
      { address, disk, holder },
    );
  }
}

/**
 * Disks as users have them. A namespace that several controllers share has a hidden device for each
 * path, nvme0c1n1, and one that is used, nvme0n1.
 */
function disksOf(sysfs: Sysfs, address: string): readonly string[] {
  const names = sysfs.blockDevices(address).map((name) => name.replace(/^(nvme\d+)c\d+/, '$1'));
  return [...new Set(names)];
}

function holderOf(sysfs: Sysfs, disk: string): string | null {
  const parts = list(`${sysfs.root}/class/block/${disk}`).filter((name) => name.startsWith(disk));
  const names = [disk, ...parts];
  const mounts = lines('/proc/self/mountinfo').map((line) => line.split(' '));
  const swaps = lines('/proc/swaps');
  for (const name of names) {
    const number = readText(`${sysfs.root}/class/block/${name}/dev`);
    const mount = mounts.find((words) => words[2] === number || words.includes(`/dev/${name}`));
    if (mount !== undefined) return `mounted at ${mount[4]}`;
    if (swaps.some((line) => line.startsWith(`/dev/${name} `))) return 'used as swap';
    const holders = list(`${sysfs.root}/class/block/${name}/holders`);
    if (holders.length > 0) return `held by ${holders.join(', ')}`;
  }
  return opener(names) ?? claimer(disk);
}

/** A process that has the raw device open, as far as this user may look. */
function opener(names: readonly string[]): string | null {
  const wanted = new Set(names.map((name) => `/dev/${name}`));
  for (const pid of list('/proc').filter((name) => /^\d+$/.test(name))) {
    for (const fd of list(`/proc/${pid}/fd`)) {
      if (wanted.has(linkTarget(`/proc/${pid}/fd/${fd}`))) return `open in process ${pid}`;
    }
  }
  return null;
}

/**
 * What the lists above cannot show, for instance a mount in another container: the kernel refuses a
 * second exclusive user of a disk and of its partitions (open(2), O_EXCL).
 */
function claimer(disk: string): string | null {
  try {
    closeSync(openSync(`/dev/${disk}`, constants.O_RDONLY | constants.O_EXCL));
    return null;
  } catch (error) {
    const isBusy = error instanceof Error && 'code' in error && error.code === 'EBUSY';
    return isBusy ? 'in exclusive use (a file system mounted elsewhere, RAID, LVM, …)' : null;
  }
}

function linkTarget(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

function lines(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n');
  } catch {
    return [];
  }
}
