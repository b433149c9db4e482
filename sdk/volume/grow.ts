import type { BlockDevice } from '../block/device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import type { PoolCore } from './core.js';
import { demandBlank, writeLabels } from './create.js';
import type { Finding } from './findings.js';
import { cellBytes, maxDevices, maxUnits, unitBytes } from './format.js';
import { hexOf, readLabel } from './labels.js';
import { ControlIo, checkDevice, Port, Pump } from './port.js';
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
  if (ports.some((port) => port.device === device)) throw new RangeError('it is in the pool');
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
