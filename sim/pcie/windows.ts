import { assert } from '../../sdk/assert.js';
import type { BarShape } from './capabilities.js';
import { pageBytes } from './host-memory.js';
import { type MsixPlace, MsixTable } from './msix.js';

/** A window of the endpoint's own registers; MSI-X is appended to the first one. */
export interface EndpointBar {
  readonly index: 0 | 2 | 4;
  /** Bytes that the endpoint answers for. */
  readonly bytes: number;
  readonly isPrefetchable: boolean;
}

/** The MSI-X table and the pending bits follow the registers of the first window, in own pages. */
export function placeMsix(bars: readonly EndpointBar[], vectors: number): MsixPlace {
  const first = bars[0];
  assert(first !== undefined, 'a function without a window has no registers');
  const tableOffset = roundUp(first.bytes, pageBytes);
  const pendingOffset = tableOffset + roundUp(MsixTable.tableBytes(vectors), pageBytes);
  return { bar: first.index, tableOffset, pendingOffset };
}

/** A window with all that is in it, rounded up to a power of two. */
export function shapeOf(bar: EndpointBar, msixPlace: MsixPlace, vectors: number): BarShape {
  const isFirst = bar.index === msixPlace.bar;
  const end = msixPlace.pendingOffset + MsixTable.pendingBytes(vectors);
  const bytes = Math.max(pageBytes, isFirst ? end : bar.bytes);
  return {
    index: bar.index,
    bytes: 2 ** Math.ceil(Math.log2(bytes)),
    isPrefetchable: bar.isPrefetchable,
  };
}

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}
