import { ErrorCode, UltimaError } from '../../sdk/errors.js';
import { Errno, errnoText, type Kernel } from '../kernel.js';

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
