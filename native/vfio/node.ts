import { setTimeout } from 'node:timers/promises';
import { ErrorCode, UltimaError } from '../../sdk/errors.js';
import { Errno, errnoText, type Kernel } from '../kernel.js';

/** Longest wait for the kernel's lock of a function: a reset takes an eighth of it. */
const lockWaitMs = 1000;
const lockLookMs = 20;

/** Why a machine has no nodes of iommufd. */
export const iommufdNeed =
  'the kernel needs CONFIG_IOMMUFD and CONFIG_VFIO_DEVICE_CDEV (Linux 6.6 or later); ' +
  'the group interface works without';

/**
 * Open a device node, or say why not and what to do.
 *
 * @throws UltimaError DEVICE_BUSY when another process holds it, BACKEND_UNAVAILABLE otherwise
 */
export function claim(kernel: Kernel, path: string, flags: number): number {
  const fd = kernel.open(path, flags);
  if (fd >= 0) return fd;
  if (fd === -Errno.EBUSY) {
    throw new UltimaError(
      ErrorCode.deviceBusy,
      `${path} is held by another process; close that one first`,
      { path },
    );
  }
  const remedies: Readonly<Record<number, string>> = {
    [Errno.ENOENT]:
      path.startsWith('/dev/vfio/devices/') || path === '/dev/iommu'
        ? iommufdNeed
        : "load vfio-pci and bind the device ('ultima bind')",
    [Errno.EACCES]: `give this user the node: chown it, or a udev rule for SUBSYSTEM=="vfio"`,
    [Errno.EPERM]: 'this process may not use VFIO here',
    [Errno.ENODEV]: 'load the module vfio-pci',
  };
  const remedy = remedies[-fd] ?? "run 'ultima doctor'";
  throw new UltimaError(
    ErrorCode.backendUnavailable,
    `cannot open ${path} (${errnoText(fd)}): ${remedy}`,
    { path, errno: errnoText(fd) },
  );
}

/**
 * The request that opens a function. It resets it, which takes long: off the JavaScript thread. The
 * kernel does not wait for the lock of the function but refuses while somebody has it: a driver
 * that is being bound, a file of its in sysfs.
 *
 * @returns what the kernel said
 * @throws UltimaError DEVICE_BUSY when it stays locked
 */
export async function openLocked(
  kernel: Kernel,
  fd: number,
  request: number,
  argument: Uint32Array,
): Promise<number> {
  for (let waitedMs = 0; waitedMs < lockWaitMs; waitedMs += lockLookMs) {
    const result = await kernel.ioctlAsync(fd, request, argument);
    if (result !== -Errno.EAGAIN) return result;
    await setTimeout(lockLookMs);
  }
  throw new UltimaError(
    ErrorCode.deviceBusy,
    `the kernel has held the lock of the function for ${lockWaitMs} ms (EAGAIN): it is being ` +
      'reset or bound to a driver; open it again after that',
    { waitedMs: lockWaitMs },
  );
}
