import { ErrorCode, UltimaError } from '../../sdk/errors.js';
import { parseSize } from '../../sdk/units.js';
import type { VfioOptions } from './function.js';

export interface VfioAddress {
  /** '0000:01:00.0' */
  readonly place: string;
  readonly options: Pick<VfioOptions, 'arenaBytes' | 'iommu' | 'poisonsFreed'>;
}

const form = "'vfio:0000:01:00.0', 'vfio:01:00.0?arena=16MiB&iommu=group|iommufd&poison=1'";
const shortLength = 'bb:dd.f'.length;

/** @throws UltimaError ADDRESS_INVALID with the forms there are */
export function parseVfioAddress(address: string): VfioAddress {
  const match = /^vfio:((?:[0-9a-f]{4}:)?[0-9a-f]{2}:[01][0-9a-f]\.[0-7])(?:\?(.*))?$/i.exec(
    address,
  );
  if (match === null) throw wrong(address, 'it is no PCI address');
  const place = match[1]!.toLowerCase();
  const options: { -readonly [K in keyof VfioAddress['options']]: VfioAddress['options'][K] } = {};
  for (const pair of (match[2] ?? '').split('&').filter((text) => text !== '')) {
    const [key = '', value = ''] = pair.split('=');
    if (key === 'arena') options.arenaBytes = arena(address, value);
    else if (key === 'iommu' && (value === 'group' || value === 'iommufd')) options.iommu = value;
    else if (key === 'poison' && /^[01]$/.test(value)) options.poisonsFreed = value === '1';
    else throw wrong(address, `'${pair}' is not understood`);
  }
  return { place: place.length > shortLength ? place : `0000:${place}`, options };
}

function arena(address: string, value: string): number {
  const bytes = parseSize(value);
  const smallest = 65_536;
  if (bytes !== null && bytes >= smallest && Number.isSafeInteger(bytes)) return bytes;
  throw wrong(address, `arena ${value}: at least ${smallest} bytes, as '16MiB'`);
}

function wrong(address: string, what: string): UltimaError {
  return new UltimaError(
    ErrorCode.addressInvalid,
    `cannot open '${address}': ${what}; the forms are ${form}`,
    { address },
  );
}
