import type { BlockRequest } from '../block/request.js';

/** Zeroes into the part of a request's data that starts at a byte of it. */
export function fillZeroes(request: BlockRequest, from: number, length: number): void {
  let skip = from;
  let left = length;
  for (let i = 0; left > 0; i++) {
    const here = request.lengths[i]!;
    if (skip >= here) {
      skip -= here;
      continue;
    }
    const take = Math.min(left, here - skip);
    const start = request.offsets[i]! + skip;
    request.regions[i]!.bytes.fill(0, start, start + take);
    left -= take;
    skip = 0;
  }
}

/** Copy between a request's data and a buffer. */
export function copySegments(
  request: BlockRequest,
  part: { readonly from: number; readonly length: number },
  buffer: Uint8Array,
  bufferAt: number,
  toRequest: boolean,
): void {
  let skip = part.from;
  let left = part.length;
  let at = bufferAt;
  for (let i = 0; left > 0; i++) {
    const here = request.lengths[i]!;
    if (skip >= here) {
      skip -= here;
      continue;
    }
    const take = Math.min(left, here - skip);
    const { bytes } = request.regions[i]!;
    const start = request.offsets[i]! + skip;
    if (toRequest) bytes.set(buffer.subarray(at, at + take), start);
    else buffer.set(bytes.subarray(start, start + take), at);
    at += take;
    left -= take;
    skip = 0;
  }
}
