import type { BlockRequest } from './request.js';

/** Give `piece` the part of a request's data that starts at a byte of it. Copies nothing. */
export function sliceSegments(
  request: BlockRequest,
  from: number,
  length: number,
  piece: BlockRequest,
): void {
  if (request.segmentCount === 1) {
    piece.setData(request.regions[0]!, request.offsets[0]! + from, length);
    return;
  }
  piece.segmentCount = 0;
  let skip = from;
  let left = length;
  for (let i = 0; left > 0; i++) {
    const here = request.lengths[i]!;
    if (skip >= here) {
      skip -= here;
      continue;
    }
    const take = Math.min(left, here - skip);
    piece.addSegment(request.regions[i]!, request.offsets[i]! + skip, take);
    left -= take;
    skip = 0;
  }
}
