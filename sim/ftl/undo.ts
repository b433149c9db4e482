import { BlockState, type Blocks } from './blocks.js';
import type { Layout } from './layout.js';
import { noRow, type Rows } from './rows.js';
import type { UnitMap } from './unit-map.js';

export interface UndoParts {
  readonly rows: Rows;
  readonly layout: Layout;
  readonly blocks: Blocks;
  readonly map: UnitMap;
}

const nobody = -1;

/**
 * Undo the writes in rows that will never be programmed. A unit that lies in one of them lies again
 * where it did before; when that is in such a row, too, a step further back. The units that were
 * taken back are void in their rows then.
 *
 * The place of before may have been erased since, and written again: its block may even be the one
 * of a row that is undone. So only what a place holds in the present life of its block counts, and
 * each place is left at most once.
 *
 * @param gone  what a unit maps to that lies nowhere any more: `unmappedUnit` or `lostUnit`
 */
export function takeBack(parts: UndoParts, undone: readonly number[], gone: number): void {
  const { rows, layout, map } = parts;
  for (let isChanged = true; isChanged; ) {
    isChanged = false;
    for (const row of undone) {
      const first = row * layout.unitsPerRow;
      const base = rows.block[row]! * layout.unitsPerBlock + rows.index[row]! * layout.unitsPerRow;
      for (let place = 0; place < rows.fill[row]!; place++) {
        const unit = rows.units[first + place]!;
        if (unit === nobody || map.find(unit) !== base + place + 1) continue;
        rows.units[first + place] = nobody;
        const before = rows.before[first + place]!;
        if (before <= 0) map.forget(unit, before);
        else if (isHeld(parts, before - 1, unit)) map.putBack(unit, before - 1);
        else map.forget(unit, gone);
        isChanged = true;
      }
    }
  }
}

/** Whether a physical unit holds this unit, on the medium or in the buffer of a row. */
function isHeld({ rows, layout, blocks, map }: UndoParts, physical: number, unit: number): boolean {
  const block = map.blockOf(physical);
  const state = blocks.states[block];
  if (state === BlockState.free || state! >= BlockState.erasing) return false;
  const { unitsPerBlock, unitsPerRow } = layout;
  const index = Math.trunc((physical - block * unitsPerBlock) / unitsPerRow);
  if (index < blocks.rowsDone[block]!) return map.writtenAt(physical) === unit;
  const row = rows.at(block, index);
  const place = physical - block * unitsPerBlock - index * unitsPerRow;
  if (row === noRow || place >= rows.fill[row]!) return false;
  return rows.units[row * unitsPerRow + place] === unit;
}
