/**
 * Real hardware, `ultima-sdk/native`: PCI functions through VFIO. The addon is optional; without it
 * everything here still loads, and opening says why it cannot.
 */
import type { PciFunction } from '../sdk/device.js';
import { ErrorCode, UltimaError } from '../sdk/errors.js';
import type { NativeKernel } from './kernel.js';
import { loadAddon } from './load.js';
import { parseVfioAddress } from './vfio/address.js';
import { bindToVfio, giveBack } from './vfio/bind.js';
import { BorrowedFunction } from './vfio/borrowed-function.js';
import { examine, type Finding } from './vfio/doctor.js';
import { lendFunction, openVfio, type VfioOptions } from './vfio/function.js';
import type { Loan, LoanDescription } from './vfio/loan.js';
import { Sysfs } from './vfio/sysfs.js';
import { parseVfioUserAddress } from './vfio-user/address.js';
import { moveVfioUser, openVfioUser, type VfioUserOptions } from './vfio-user/function.js';

export { type BuildResult, buildNative } from './build.js';
export type { NativeKernel, Watcher } from './kernel.js';
export { type DescriptorRange, mapDescriptor, SharedMemory } from './shared-memory.js';
export { ListeningSocket, peerGone, UnixSocket } from './socket.js';
export { MonotonicClock } from './vfio/clock.js';
export type { Finding, Verdict } from './vfio/doctor.js';
export type { IommuInterface } from './vfio/function.js';
export type { LentWindow, Loan, LoanDescription } from './vfio/loan.js';

/** What to choose when opening a function of another process; everything may be left out. */
export type ServedOptions = Omit<VfioUserOptions, 'kernel'>;

/** What to choose when opening a function; everything may be left out. */
export type NativeOptions = Omit<VfioOptions, 'kernel' | 'sysfs'>;

const loaded = loadAddon();

export const native = {
  isAvailable: loaded.kernel !== null,
  /** Why real hardware cannot be used here; empty when it can. */
  unavailableReason: loaded.unavailableReason,
} as const;

/**
 * Own a PCI function that is bound to vfio-pci. `ULTIMA_IOMMU=group` or `=iommufd` chooses the
 * interface when the options do not.
 *
 * @param address '0000:01:00.0'
 * @throws UltimaError BACKEND_UNAVAILABLE without the addon; what `openVfio` throws
 */
export async function openFunction(
  address: string,
  options: NativeOptions = {},
): Promise<PciFunction> {
  return openVfio(address, { ...chosenIommu(), ...options, kernel: theKernel() });
}

/**
 * The same for an address of `open`: 'vfio:0000:01:00.0', 'vfio:01:00.0?arena=16MiB&iommu=group'.
 *
 * @throws UltimaError ADDRESS_INVALID; as `openFunction`
 */
export async function openAddress(address: string): Promise<PciFunction> {
  const { place, options } = parseVfioAddress(address);
  return openFunction(place, options);
}

/**
 * Own the PCI function that a vfio-user server offers at a UNIX socket: no root, no kernel module,
 * no IOMMU. A connection that ends is a function that is removed, unless `reconnectMs` says how
 * long to wait for the server to come back.
 *
 * @param path of the socket
 * @throws UltimaError BACKEND_UNAVAILABLE without the addon or without a server; what
 *   `openVfioUser` throws
 */
export async function openServed(path: string, options: ServedOptions = {}): Promise<PciFunction> {
  return openVfioUser(path, { ...options, kernel: theKernel() });
}

/**
 * The same for an address of `open`: 'vfio-user:/run/card/cntrl'.
 *
 * @throws UltimaError ADDRESS_INVALID; as `openServed`
 */
export async function openServedAddress(address: string): Promise<PciFunction> {
  const { path, options } = parseVfioUserAddress(address);
  return openServed(path, options);
}

/**
 * Take the card behind an open function to another server, with its blocks, under a driver that
 * goes on: commands in flight end there. Holds the thread until it is done; a move that fails
 * leaves the card where it was.
 *
 * @param address 'vfio-user:/run/other/cntrl', of a server of the same card; both were started with
 *   `--movable`, or `isMovable`
 * @throws UltimaError ADDRESS_INVALID; what `moveVfioUser` throws
 */
export function moveServed(fn: PciFunction, address: string): void {
  moveVfioUser(fn, parseVfioUserAddress(address).path);
}

/**
 * Lend memory of an open function, and its registers, to a worker thread. Send `description` to the
 * worker (`workerData` or `postMessage`); `adopt` makes a function of it there.
 *
 * @param bytes rounded up to pages; everything that the worker allocates comes out of it
 * @throws UltimaError DEVICE_UNSUPPORTED for a simulated function, DMA_*
 */
export function lend(fn: PciFunction, bytes: number): Loan {
  return lendFunction(fn, bytes);
}

/**
 * In a worker thread: a function that another thread of this process lends. Closing it gives
 * nothing back but itself.
 *
 * @throws UltimaError BACKEND_UNAVAILABLE when it is not lent any more
 */
export function adopt(loan: LoanDescription): PciFunction {
  return new BorrowedFunction(theKernel(), loan);
}

/** Take a storage controller from its kernel driver. @returns the driver that held it */
export function bind(address: string): string | null {
  return bindToVfio(new Sysfs(), address);
}

/** Give a controller back to `driver`, or to whichever claims it. */
export function unbind(address: string, driver: string | null = null): void {
  giveBack(new Sysfs(), address, driver);
}

/** What real hardware needs and how it stands on this machine. */
export function doctor(): Finding[] {
  return examine({ sysfs: new Sysfs(), addon: loaded });
}

/**
 * The calls that sockets and shared memory are made with.
 *
 * @throws UltimaError BACKEND_UNAVAILABLE without the addon
 */
export function theKernel(): NativeKernel {
  if (loaded.kernel !== null) return loaded.kernel;
  throw new UltimaError(
    ErrorCode.backendUnavailable,
    `what this needs of the system cannot be used here: ${loaded.unavailableReason}`,
    { reason: loaded.unavailableReason },
  );
}

function chosenIommu(): Pick<VfioOptions, 'iommu'> {
  const chosen = process.env.ULTIMA_IOMMU;
  if (chosen === undefined || chosen === '') return {};
  if (chosen === 'group' || chosen === 'iommufd') return { iommu: chosen };
  throw new UltimaError(ErrorCode.usage, `ULTIMA_IOMMU=${chosen} is neither group nor iommufd`);
}
