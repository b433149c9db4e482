import { Pool } from '../../../sdk/volume/pool.js';
import { Prng } from '../../../sim/prng.js';
import { CrashDevice } from '../../support/crash-device.js';

export const MiB = 1024 * 1024;

export function device(bytes = 8 * MiB, blockBytes = 512, hasVolatileCache = true): CrashDevice {
  return new CrashDevice({ blockBytes, bytes, hasVolatileCache });
}

export async function poolOn(...devices: CrashDevice[]): Promise<Pool> {
  const chance = new Prng(devices.length, 'identity');
  return Pool.create(devices, { random: (b) => chance.fill(b), journalBytes: 128 * 1024 });
}

/** The code of the error with which a promise is rejected; '' when it is not. */
export async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return '';
  } catch (error) {
    if (error instanceof Error && 'code' in error) return String(error.code);
    return error instanceof Error ? error.name : 'no error';
  }
}
