import type { PciFunction } from './device.js';
import { ErrorCode, UltimaError } from './errors.js';

const forms =
  "'sim:<profile>', 'sim:<profile>?key=value&key=value' or 'vfio:<domain>:<bus>:<device>.<function>'";
const bdf = /^(?:[0-9a-f]{4}:)?[0-9a-f]{2}:[0-1][0-9a-f]\.[0-7]$/i;
const shortBdfLength = 'bb:dd.f'.length;

/**
 * Open a card: the one place that chooses between the simulator and real hardware.
 *
 * @param address  'sim:ultima-g2', 'sim:simple?bytes=1GiB&seed=7', 'vfio:0000:01:00.0'
 * @throws UltimaError ADDRESS_INVALID, PROFILE_UNKNOWN, PROFILE_INVALID, BACKEND_UNAVAILABLE
 */
export async function open(address: string): Promise<PciFunction> {
  if (address.startsWith('sim:')) {
    const { openSimulated } = await import('../sim/open.js');
    return openSimulated(address).open();
  }
  if (address.startsWith('vfio:')) {
    const place = address.slice('vfio:'.length);
    if (!bdf.test(place)) throw invalid(address);
    const { openFunction } = await import('../native/index.js');
    return openFunction(place.length > shortBdfLength ? place : `0000:${place}`);
  }
  throw invalid(address);
}

function invalid(address: string): UltimaError {
  return new UltimaError(
    ErrorCode.addressInvalid,
    `'${address}' is not the address of a card; the forms are ${forms}`,
    { address },
  );
}
