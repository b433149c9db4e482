import { usageError } from './arguments.js';

const form = /^(?:vfio:)?((?:[0-9a-f]{4}:)?[0-9a-f]{2}:[01][0-9a-f]\.[0-7])$/i;
const shortLength = 'bb:dd.f'.length;

/** The one address that was typed, with its domain: '0000:01:00.0'. @throws UltimaError USAGE */
export function pciAddress(positionals: readonly string[]): string {
  const [typed = '', ...rest] = positionals;
  const match = form.exec(typed);
  if (match === null || rest.length > 0) {
    throw usageError(`'${positionals.join(' ')}' is no address; the form is 0000:01:00.0`);
  }
  const place = match[1]!;
  return place.length > shortLength ? place : `0000:${place}`;
}
