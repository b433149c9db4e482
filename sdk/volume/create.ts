import type { BlockDevice } from '../block/device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { type KeyFinder, PoolCore } from './core.js';
import { cellBytes, Label, maxDevices, maxUnits, placeOf, unitBytes } from './format.js';
import { labelWords, signatureOf } from './labels.js';
import { checkDevice, Port } from './port.js';
import { runCheckpoint } from './session.js';

export interface PoolOptions {
  /** Fills an array with random bytes, for the identities of the pool and its devices. */
  readonly random: (bytes: Uint8Array) => unknown;
  /** Where the keys of encrypted volumes come from; none when left out. */
  readonly keys?: KeyFinder;
  /**
   * Memory for the maps, 16 KiB or more: what is not used leaves it and is read again when it is
   * needed. All maps stay in memory when left out. What has changed since the last checkpoint
   * stays in any case, at most half as much again.
   */
  readonly mapCacheBytes?: number;
  /** Size of the journal; a 64th of the first device, 64 KiB to 16 MiB, when left out. */
  readonly journalBytes?: number;
  /** Take devices that hold something; false when left out. */
  readonly overwrites?: boolean;
}

const largestJournal = 16 * 1024 * 1024;

/** Labels come last: a pool whose creation was cut short is no pool. */
export async function createPool(
  devices: readonly BlockDevice[],
  options: PoolOptions,
): Promise<PoolCore> {
  if (devices.length < 1 || devices.length > maxDevices) {
    throw new RangeError(`a pool lies on 1 to ${maxDevices} devices, not ${devices.length}`);
  }
  if (new Set(devices).size < devices.length) throw new RangeError('a device is named twice');
  for (const device of devices) checkDevice(device);
  if (options.overwrites !== true) await demandBlank(devices);
  const ports = devices.map((device, index) => new Port(device, index));
  const core = new PoolCore({
    ports,
    identity: {
      poolId: randomId(options),
      deviceIds: devices.map(() => randomId(options)),
      session: 1,
      generation: 0,
      journalUnits: journalUnitsOf(ports[0]!, options.journalBytes),
      imageUnits: [],
    },
    ...(options.mapCacheBytes === undefined ? {} : { mapCacheBytes: options.mapCacheBytes }),
  });
  if (options.keys !== undefined) core.keyOf = options.keys;
  const { units, identity, control } = core;
  if (units.unitCount > maxUnits) {
    throw new RangeError(`a pool has at most ${maxUnits * unitBytes} bytes`);
  }
  const blank = new Uint32Array((2 * cellBytes) / 4);
  for (const port of ports) await control.write(port, 0, blank, { isFua: true });
  const firsts = new Set(ports.map(({ firstUnit }) => firstUnit));
  for (let unit = identity.journalUnits + 1; unit < units.unitCount; unit++) {
    if (!firsts.has(unit)) units.free(unit);
  }
  core.startJournal(1, 0);
  await runCheckpoint(core);
  if (core.isFailed) {
    throw new UltimaError(ErrorCode.commandFailed, `the pool was not made: ${core.failure}`, {});
  }
  for (const port of ports.toReversed()) await writeLabels(core, port);
  return core;
}

export async function writeLabels(core: PoolCore, port: Port): Promise<void> {
  const { poolId, deviceIds } = core.identity;
  const { index, unitCount } = port;
  const words = labelWords({
    index,
    poolId,
    deviceId: deviceIds[index]!,
    unitCount,
    blockBytes: port.device.blockBytes,
  });
  for (const place of [placeOf.labelCopy, placeOf.label]) {
    await core.control.write(port, place * Label.layout.bytes, words, { isFua: true });
  }
}

export async function demandBlank(devices: readonly BlockDevice[]): Promise<void> {
  for (const [i, device] of devices.entries()) {
    const signature = await signatureOf(device);
    if (signature === 'blank') continue;
    const what = signature === 'pool' ? 'is part of a pool' : 'is not blank';
    throw new UltimaError(
      ErrorCode.volumeBusy,
      `device ${i} ${what}; its data would be lost: choose another one, or overwrite it on ` +
        'purpose (overwrites: true, --overwrite)',
      { device: i },
    );
  }
}

function journalUnitsOf(port: Port, bytes: number | undefined): number {
  const wanted = bytes ?? Math.min(largestJournal, (port.unitCount * unitBytes) / 64);
  const units = Math.max(1, Math.floor(wanted / unitBytes));
  const most = Math.floor(port.unitCount / 4);
  if (units > most) {
    throw new RangeError(
      `a journal of ${wanted} bytes; at most ${most * unitBytes} on this device`,
    );
  }
  return units;
}

function randomId({ random }: PoolOptions): Uint8Array {
  const id = new Uint8Array(16);
  random(id);
  return id;
}
