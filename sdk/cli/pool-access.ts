import { randomFillSync } from 'node:crypto';
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { MonotonicClock } from '../../native/vfio/clock.js';
import type { BlockDevice } from '../block/device.js';
import { FileDevice } from '../block/file.js';
import { UltimaError } from '../errors.js';
import { makeFolder } from '../folder.js';
import { NvmeController } from '../nvme/controller.js';
import { open } from '../open.js';
import type { KeyFinder } from '../volume/core.js';
import { leastCacheBytes } from '../volume/pager.js';
import { Pool } from '../volume/pool.js';
import type { ObjectName } from '../volume/pool-names.js';
import { parseSize, usageError } from './arguments.js';
import { openRemote, remotePrefix } from './remote-device.js';
import { bytesText, counted } from './replay-text.js';

export interface OpenedDevices {
  readonly devices: readonly BlockDevice[];
  /** Files may have become larger since. */
  measure(): void;
  close(): Promise<void>;
}

interface Opening {
  /** Make files that are not there, of this size. */
  readonly createBytes?: number | undefined;
  /** Nothing is going to be written; false when left out. */
  readonly isReadOnly?: boolean;
}

/**
 * Open the devices of a pool: files by their paths, cards by their addresses (namespace 1).
 *
 * @throws UltimaError DEVICE_BUSY for a file to which another process writes
 */
export async function openDevices(
  names: readonly string[],
  { createBytes, isReadOnly = false }: Opening = {},
): Promise<OpenedDevices> {
  if (names.length === 0) {
    throw usageError('on which devices? give paths of files or addresses of cards');
  }
  const devices: BlockDevice[] = [];
  const files: FileDevice[] = [];
  const closers: (() => Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    for (const closer of closers.reverse()) await closer();
  };
  try {
    for (const name of names) {
      if (name.startsWith(remotePrefix)) {
        const remote = await openRemote(name);
        closers.push(() => remote.close());
        devices.push(remote.device);
      } else if (/^[a-z-]+:/.test(name)) {
        const controller = await NvmeController.open(await open(name));
        closers.push(() => controller.close());
        devices.push(await controller.namespace(1));
      } else {
        const isNew = createBytes !== undefined && !existsSync(name);
        if (isNew) makeFolder(dirname(name));
        const clock = new MonotonicClock();
        const size = isNew ? { createBytes } : {};
        const file = await FileDevice.open({ path: name, clock, isReadOnly, ...size });
        closers.push(async () => file.close());
        devices.push(file);
        files.push(file);
      }
    }
    const measure = (): void => {
      for (const file of files) file.measure();
    };
    return { devices, measure, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Random identities for pools and devices. */
export function random(bytes: Uint8Array): void {
  randomFillSync(bytes);
}

const noKeys: KeyFinder = () => null;

/** The devices of a pool, and how much memory its maps may take; all that they need without. */
export interface PoolPlace {
  readonly names: readonly string[];
  readonly mapCacheBytes?: number;
}

/** Open the pool on devices, use it, close it, whatever happens in between. */
export async function withPool<T>(
  { names, ...memory }: PoolPlace,
  access: 'read' | 'write',
  use: (pool: Pool) => Promise<T>,
  keys: KeyFinder = noKeys,
): Promise<T> {
  const isReadOnly = access === 'read';
  const opened = await openDevices(names, { isReadOnly });
  try {
    const pool = await naming(names, Pool.open(opened.devices, { isReadOnly, keys, ...memory }));
    const result = await use(pool);
    await pool.close();
    return result;
  } finally {
    await opened.close();
  }
}

/** Errors tell devices by their places in the list; here they are told by their names, too. */
export async function naming<T>(names: readonly string[], work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof UltimaError)) throw error;
    const name = names[Number(error.facts.device)];
    if (name === undefined) throw error;
    const message = `${error.message} (device ${error.facts.device} is ${name})`;
    throw new UltimaError(error.code, message, error.facts);
  }
}

export const poolOptions = {
  pool: { type: 'string', short: 'p', multiple: true },
  'map-cache': { type: 'string' },
  'output-format': { type: 'string', short: 'o' },
} as const;

interface PoolWords {
  readonly pool?: readonly string[];
  readonly 'map-cache'?: string;
}

/** `--map-cache` with devices that were named already. */
export function placeOf(names: readonly string[], words: PoolWords): PoolPlace {
  const text = words['map-cache'];
  if (text === undefined) return { names };
  const mapCacheBytes = parseSize('map-cache', text);
  if (mapCacheBytes >= leastCacheBytes) return { names, mapCacheBytes };
  throw usageError(`--map-cache is ${mapCacheBytes}; it must be ${leastCacheBytes} or more`);
}

/** `--pool`, once for each device or with commas, and `--map-cache`. */
export function poolOf(words: PoolWords): PoolPlace {
  const names = (words.pool ?? []).flatMap((one) => one.split(',')).filter((name) => name !== '');
  if (names.length === 0) {
    throw usageError('in which pool? --pool DEVICE[,DEVICE] names the devices that it lies on');
  }
  return placeOf(names, words);
}

/** `volume` or `volume@snapshot`. */
export function parseObjectName(text: string): ObjectName {
  const [volume, snapshot, ...rest] = text.split('@');
  if (volume === undefined || volume === '' || snapshot === '' || rest.length > 0) {
    throw usageError(`'${text}' names neither a volume nor, as VOLUME@SNAPSHOT, a snapshot`);
  }
  return snapshot === undefined ? { volume } : { volume, snapshot };
}

/** A snapshot's two names. @throws UltimaError USAGE for a volume alone */
export function parseSnapshotName(text: string): { volume: string; snapshot: string } {
  const { volume, snapshot } = parseObjectName(text);
  if (snapshot !== undefined) return { volume, snapshot };
  throw usageError(`'${text}' is no snapshot; write VOLUME@SNAPSHOT`);
}

/** When a volume or snapshot was made, where that is known. */
export function createdText(createdMs: number): string {
  return createdMs === 0 ? '-' : new Date(createdMs).toISOString();
}

export { bytesText, counted };
