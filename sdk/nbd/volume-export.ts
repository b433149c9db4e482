import type { Pool } from '../volume/pool.js';
import type { ObjectName } from '../volume/pool-names.js';
import type { NbdDifference } from './metadata.js';
import type { NbdExport } from './served-export.js';

export interface VolumeExportOptions {
  /** Refuse writes; a snapshot does so anyway. False when left out. */
  readonly isReadOnly?: boolean;
  /** See `NbdExport`. */
  readonly isWriteThrough?: boolean;
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
  const at = name.indexOf('@');
  const volume = at < 0 ? name : name.slice(0, at);
  const target: ObjectName = at < 0 ? { volume } : { volume, snapshot: name.slice(at + 1) };
  const isSnapshot = target.snapshot !== undefined;
  const device = isSnapshot ? pool.snapshot(volume, target.snapshot) : pool.volume(volume);
  const differences = (): NbdDifference[] =>
    pool
      .snapshots(volume)
      .filter((each) => each.name !== target.snapshot)
      .map((each) => ({
        snapshot: each.name,
        changed: (startByte) => pool.changes({ volume, snapshot: each.name }, target, startByte),
      }));
  return {
    name,
    description: isSnapshot ? `snapshot of ${volume}` : 'volume',
    device,
    isReadOnly: isSnapshot || device.isReadOnly || options.isReadOnly === true,
    isWriteThrough: options.isWriteThrough === true,
    metadata: {
      allocated: (startByte) => pool.changes(null, target, startByte),
      differences,
    },
  };
}
