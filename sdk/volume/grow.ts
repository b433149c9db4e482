import type { BlockDevice } from '../block/device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import type { PoolCore } from './core.js';
import { demandBlank, writeLabels } from './create.js';
import type { Finding } from './findings.js';
import { cellBytes, maxDevices, maxUnits, unitBytes } from './format.js';
import { hexOf, readLabel } from './labels.js';
import { ControlIo, checkDevice, Port, Pump, unitsOf } from './port.js';
import { runCheckpoint } from './session.js';

export interface GrowOptions {
  readonly random: (bytes: Uint8Array) => unknown;
  readonly overwrites?: boolean;
}

/**
 * Take one more device into a pool. Its units are free only when a superblock that names the device
 * is durable: before that, no record may name them.
 */
export async function addDevice(
  core: PoolCore,
  device: BlockDevice,
  options: GrowOptions,
): Promise<void> {
  checkDevice(device);
  const { ports, units, identity } = core;
  if (ports.length === maxDevices) throw new RangeError(`a pool has at most ${maxDevices} devices`);
  const known = ports.findIndex((port) => port.device === device);
  if (known >= 0) throw new RangeError(`the device is in the pool already, as number ${known}`);
  const names = core.reliantNames();
  if (names.length > 0 && device.limits.hasProtection !== true) {
    throw new UltimaError(
      ErrorCode.deviceUnsupported,
      `the device has no protection information, which ${names.length} volumes and snapshots ` +
        `rely on (${names.slice(0, 3).join(', ')})`,
      { reliant: names.length },
    );
  }
  const index = ports.length;
  const port = new Port(device, index);
  const first = units.unitCount;
  if (first + port.unitCount > maxUnits) {
    throw new RangeError(`a pool has at most ${maxUnits * unitBytes} bytes`);
  }
  if (options.overwrites !== true && !(await wasNearlyTaken(core, device))) {
    await demandBlank([device]);
  }
  const id = new Uint8Array(16);
  options.random(id);
  port.firstUnit = first;
  ports.push(port);
  identity.deviceIds.push(id);
  units.grow(first + port.unitCount);
  await writeLabels(core, port);
  await runCheckpoint(core);
  if (core.isFailed) {
    throw new UltimaError(ErrorCode.poolReadOnly, `the pool is read-only: ${core.failure}`, {});
  }
  for (let unit = first + 1; unit < units.unitCount; unit++) units.free(unit);
}

/**
 * Take into the pool what its devices have become larger by. As with a new device, units are free
 * only when a superblock that names them is durable.
 *
 * @returns units that were added
 * @throws UltimaError POOL_INVALID for a device that has become smaller; RangeError when the
 *   superblock has no row left. Nothing has changed then
 */
export async function growDevices(core: PoolCore): Promise<number> {
  const { ports, units, identity } = core;
  const parts = largerParts(core);
  const first = units.unitCount;
  const end = parts.reduce((sum, { unitCount }) => sum + unitCount, first);
  if (end === first) return 0;
  if (end > maxUnits) throw new RangeError(`a pool has at most ${maxUnits * unitBytes} bytes`);
  const isLonger = parts[0]!.device === ports.at(-1)!.device;
  if (ports.length + parts.length - (isLonger ? 1 : 0) > maxDevices) {
    throw new RangeError(`a pool has at most ${maxDevices} devices and parts of them`);
  }
  for (const [i, { device, baseUnit, unitCount }] of parts.entries()) {
    const last = ports.at(-1)!;
    if (i === 0 && isLonger) {
      last.unitCount += unitCount;
      continue;
    }
    const port = new Port(device, ports.length, baseUnit);
    port.firstUnit = last.firstUnit + last.unitCount;
    identity.deviceIds.push(identity.deviceIds[ports.findIndex((one) => one.device === device)]!);
    ports.push(port);
  }
  units.grow(end);
  await runCheckpoint(core);
  if (core.isFailed) {
    throw new UltimaError(ErrorCode.poolReadOnly, `the pool is read-only: ${core.failure}`, {});
  }
  for (let unit = first; unit < end; unit++) units.free(unit);
  return end - first;
}

interface LargerPart {
  readonly device: BlockDevice;
  readonly baseUnit: number;
  readonly unitCount: number;
}

/** That of the last row first, which has just to become longer. */
function largerParts({ ports }: PoolCore): LargerPart[] {
  const known = new Map<BlockDevice, number>();
  for (const { device, unitCount } of ports.toReversed()) {
    known.set(device, (known.get(device) ?? 0) + unitCount);
  }
  const parts: LargerPart[] = [];
  for (const [device, baseUnit] of known) {
    const unitCount = unitsOf(device) - baseUnit;
    if (unitCount < 0) {
      const index = ports.findIndex((port) => port.device === device);
      const bytes = unitsOf(device) * unitBytes;
      const expected = baseUnit * unitBytes;
      const message = `device ${index} has shrunk: ${bytes} bytes of ${expected}`;
      throw new UltimaError(ErrorCode.poolInvalid, message, { index, bytes, expected });
    }
    if (unitCount > 0) parts.push({ device, baseUnit, unitCount });
  }
  return parts;
}

/** Labelled for this pool, but in no superblock of it: an earlier attempt was cut short. */
async function wasNearlyTaken(core: PoolCore, device: BlockDevice): Promise<boolean> {
  const findings: Finding[] = [];
  const label = await readLabel(device, findings);
  if (label === null || label.poolId !== hexOf(core.identity.poolId)) return false;
  return label.index >= core.ports.length;
}

/**
 * Take the labels off devices. Their pool is gone with the first of them.
 *
 * @throws UltimaError POOL_INVALID for a device without a label: then nothing has changed
 */
export async function destroyPool(devices: readonly BlockDevice[]): Promise<void> {
  for (const [i, device] of devices.entries()) {
    if ((await readLabel(device, [])) !== null) continue;
    throw new UltimaError(ErrorCode.poolInvalid, `device ${i} carries no pool`, { device: i });
  }
  const blank = new Uint32Array((2 * cellBytes) / 4);
  for (const device of devices) {
    const port = new Port(device, 0);
    const pump = new Pump([port], () => {
      port.poll();
    });
    await new ControlIo(pump).write(port, 0, blank, { isFua: true });
  }
}
