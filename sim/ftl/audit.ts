import { BlockState, type Blocks } from './blocks.js';
import type { Counters } from './counters.js';
import type { Layout } from './layout.js';
import type { RowWriter } from './row-writer.js';
import type { UnitMap } from './unit-map.js';

export interface AuditParts {
  readonly layout: Layout;
  readonly blocks: Blocks;
  readonly map: UnitMap;
  readonly counters: Counters;
  readonly writer: RowWriter;
}

/**
 * Recount a drive from its map alone and compare: valid units, block states, free lists, and where
 * every unit that was written to the medium came from. Costs a walk over all units.
 *
 * @returns what does not agree, in words; nothing when all does
 */
export function audit(parts: AuditParts): string[] {
  return [...auditUnits(parts), ...auditBlocks(parts), ...auditWrites(parts)];
}

function auditUnits({ layout, blocks, map }: AuditParts): string[] {
  const faults: string[] = [];
  const valid = new Int32Array(layout.blocks);
  let mapped = 0;
  for (let unit = 0; unit < layout.mappedUnits; unit++) {
    const place = map.find(unit);
    if (place <= 0) continue;
    mapped++;
    const block = map.blockOf(place - 1);
    valid[block]!++;
    if (map.unitAt(place - 1) !== unit) faults.push(`unit ${unit}: ${place - 1} holds another`);
  }
  if (mapped !== map.mappedCount) faults.push(`${mapped} units mapped, counted ${map.mappedCount}`);
  const pools = new Float64Array(layout.pools);
  for (let block = 0; block < layout.blocks; block++) {
    pools[blocks.poolOf(block)]! += valid[block]!;
    if (valid[block] === blocks.validUnits[block]) continue;
    faults.push(`block ${block}: ${valid[block]} valid units, counted ${blocks.validUnits[block]}`);
  }
  for (let pool = 0; pool < layout.pools; pool++) {
    if (pools[pool] === blocks.poolValidUnits[pool]) continue;
    faults.push(`pool ${pool}: ${pools[pool]} valid, counted ${blocks.poolValidUnits[pool]}`);
  }
  return faults;
}

function auditBlocks({ layout, blocks }: AuditParts): string[] {
  const faults: string[] = [];
  let bad = 0;
  let spare = 0;
  for (let pool = 0; pool < layout.pools; pool++) {
    const free = blocks.countIn(pool, BlockState.free);
    if (free !== blocks.freeCounts[pool]) faults.push(`pool ${pool}: ${free} blocks are free`);
    if (blocks.countFreeList(pool) !== free) faults.push(`pool ${pool}: its free list is another`);
    const poolSpare = blocks.countIn(pool, BlockState.spare);
    const poolBad = blocks.countIn(pool, BlockState.bad);
    const usable = layout.blocksPerPool - poolSpare - poolBad - blocks.countFailing(pool);
    if (usable !== blocks.usableCounts[pool]) faults.push(`pool ${pool}: ${usable} blocks usable`);
    bad += poolBad;
    spare += poolSpare;
  }
  if (bad !== blocks.badCount) faults.push(`${bad} blocks are bad, counted ${blocks.badCount}`);
  if (spare !== blocks.spareCount) faults.push(`${spare} spare blocks, counted otherwise`);
  for (let block = 0; block < layout.blocks; block++) {
    const state = blocks.states[block]!;
    const isEmpty = state === BlockState.free || state >= BlockState.erasing;
    if (isEmpty && blocks.validUnits[block] !== 0) faults.push(`block ${block} must hold nothing`);
  }
  return faults;
}

/** Written = host + relocated + map + padding + rewritten, less what is still in rows. */
function auditWrites({ counters, writer }: AuditParts): string[] {
  const put =
    counters.hostPutUnits +
    counters.gcUnits +
    counters.wearUnits +
    counters.refreshUnits +
    counters.mapWriteUnits +
    counters.padUnits +
    counters.rewrittenUnits;
  const done = counters.mediaWriteUnits + counters.abandonedUnits + writer.unitsInRows;
  return put === done ? [] : [`${put} units were put into rows, ${done} came out or are in them`];
}
