import { bits, struct, u32, wide } from '../layout.js';

/** "ULTF", little endian: the first dword of a firmware image. */
export const firmwareMagic = 0x46544c55;

/** What must happen before an image runs. */
export const ActivationNeeds = {
  nothing: 0,
  controllerReset: 1,
  subsystemReset: 2,
  conventionalReset: 3,
} as const;

/** Start of a firmware image; the body follows. Images are whole units of 4 KiB. */
export const FirmwareHeader = struct(
  { title: 'Firmware image header', cite: '[Ultima firmware image]', bytes: 64 },
  {
    magic: u32(0, 'Magic: "ULTF"'),
    lengthBytes: u32(4, 'Length of the whole image in bytes'),
    checksum: u32(8, 'Sum of all dwords of the image is 0 modulo 2^32'),
    needs: bits(12, 7, 0, 'What must happen before it runs', ActivationNeeds),
    revision: wide(16, 8, 'text', 'Firmware revision'),
  },
);

/**
 * Build an image that the card takes.
 *
 * @param options.revision     1..8 printable characters
 * @param options.lengthBytes  a multiple of 4096
 * @param options.needs        a value of `ActivationNeeds`; a controller reset when left out
 */
export function makeFirmwareImage(options: {
  readonly revision: string;
  readonly lengthBytes: number;
  readonly needs?: number;
}): Uint8Array {
  const words = new Uint32Array(options.lengthBytes / 4);
  for (let i = FirmwareHeader.layout.bytes / 4; i < words.length; i++) words[i] = i;
  FirmwareHeader.magic.set(words, 0, firmwareMagic);
  FirmwareHeader.lengthBytes.set(words, 0, options.lengthBytes);
  FirmwareHeader.needs.set(words, 0, options.needs ?? ActivationNeeds.controllerReset);
  FirmwareHeader.revision.setText(words, 0, options.revision);
  FirmwareHeader.checksum.set(words, 0, -sumOf(words) >>> 0);
  return new Uint8Array(words.buffer);
}

/** The revision and needs of an image, or null when it is damaged or none of ours. */
export function readFirmwareImage(
  image: Uint8Array,
): { readonly revision: string; readonly needs: number } | null {
  if (image.length < FirmwareHeader.layout.bytes || image.length % 4 !== 0) return null;
  const words = new Uint32Array(image.slice().buffer);
  if (FirmwareHeader.magic.get(words, 0) !== firmwareMagic) return null;
  if (FirmwareHeader.lengthBytes.get(words, 0) !== image.length) return null;
  if (sumOf(words) !== 0) return null;
  const revision = FirmwareHeader.revision.text(words, 0);
  const needs = FirmwareHeader.needs.get(words, 0);
  return revision === '' || needs > ActivationNeeds.conventionalReset ? null : { revision, needs };
}

function sumOf(words: Uint32Array): number {
  let sum = 0;
  for (const word of words) sum = (sum + word) >>> 0;
  return sum;
}
