import { ErrorCode, UltimaError } from '../errors.js';
import { QosGate, type QosGateOptions } from '../qos/gate.js';
import { bestEffort, shareOf, TierTable } from '../qos/tiers.js';
import type { Pool } from '../volume/pool.js';
import type { ObjectName } from '../volume/pool-names.js';
import type { NbdDifference, NbdRanges } from './metadata.js';
import type { NbdExport } from './served-export.js';

export interface VolumeExportOptions {
  /** Refuse writes; a snapshot does so anyway. False when left out. */
  readonly isReadOnly?: boolean;
  /** See `NbdExport`. */
  readonly isWriteThrough?: boolean;
  /** Clients may make a volume larger, see `NbdExport.grow`; false when left out. */
  readonly canGrow?: boolean;
}

export interface PoolExportOptions extends VolumeExportOptions {
  /** What the names of tiers mean; the built-in ones when left out. */
  readonly tiers?: TierTable;
  /** See `QosGate`. */
  readonly gate?: QosGateOptions;
}

/**
 * Several volumes and snapshots of a pool, each with the share that its tier promises: they all
 * work on the same devices, so one gate stands before all of them. A volume without a tier is best
 * effort, as a snapshot is of the volume's tier. Where none of them names a tier there is no gate.
 *
 * @throws UltimaError NOT_FOUND; RangeError for a tier that there is not
 */
export function exportsOfPool(
  pool: Pool,
  names: readonly string[],
  options: PoolExportOptions = {},
): NbdExport[] {
  const exports = names.map((name) => exportOfVolume(pool, name, options));
  const table = options.tiers ?? new TierTable();
  const tiers = names.map((name) => {
    const { volume } = objectNameOf(name);
    return table.get(pool.volume(volume).object.qosTier || bestEffort.name);
  });
  if (tiers.every(({ name }) => name === bestEffort.name)) return exports;
  const gate = new QosGate(exports[0]!.device, {
    clientCount: exports.length,
    ...options.gate,
  });
  return exports.map((each, i) => {
    const device = gate.open(shareOf(tiers[i]!), each.device);
    return { ...each, device, description: `${each.description}, tier ${tiers[i]!.name}` };
  });
}

/**
 * A volume, or a snapshot of one, for an NBD server: with `base:allocation` that tells holes from
 * data, and a context 'ultima:diff-SNAPSHOT' for each snapshot of the volume that tells what has
 * changed since.
 *
 * @param name  'VOLUME' or 'VOLUME@SNAPSHOT'; the export is called the same
 * @throws UltimaError NOT_FOUND
 */
export function exportOfVolume(
  pool: Pool,
  name: string,
  options: VolumeExportOptions = {},
): NbdExport {
  const target = objectNameOf(name);
  const { volume } = target;
  const isSnapshot = target.snapshot !== undefined;
  const device = isSnapshot ? pool.snapshot(volume, target.snapshot) : pool.volume(volume);
  // Where a map is not all in memory it has to be read, and is told one by one.
  const { isLimited } = pool.core.pager;
  const changes = (from: ObjectName | null, startByte: number): ReturnType<NbdRanges> =>
    isLimited ? pool.changes(from, target, startByte) : pool.changesNow(from, target, startByte);
  const differences = (): NbdDifference[] =>
    pool
      .snapshots(volume)
      .filter((each) => each.name !== target.snapshot)
      .map(({ id, name: snapshot }) => ({
        snapshot,
        changed: (startByte) => {
          demandThatOne(pool, { volume, snapshot }, id);
          return changes({ volume, snapshot }, startByte);
        },
      }));
  return {
    name,
    description: isSnapshot ? `snapshot of ${volume}` : 'volume',
    device,
    isReadOnly: isSnapshot || device.isReadOnly || options.isReadOnly === true,
    isWriteThrough: options.isWriteThrough === true,
    ...(options.canGrow === true && { grow: (bytes) => pool.growVolume(volume, bytes) }),
    metadata: { allocated: (startByte) => changes(null, startByte), differences },
  };
}

/** What a client has chosen by its name may be gone, and another one be called so. */
function demandThatOne(pool: Pool, name: Required<ObjectName>, id: number): void {
  const { volume, snapshot } = name;
  if (pool.snapshot(volume, snapshot).object.id === id) return;
  const message = `${volume}@${snapshot} is another snapshot than when it was chosen`;
  throw new UltimaError(ErrorCode.notFound, message, name);
}

function objectNameOf(name: string): ObjectName {
  const at = name.indexOf('@');
  return at < 0 ? { volume: name } : { volume: name.slice(0, at), snapshot: name.slice(at + 1) };
}
