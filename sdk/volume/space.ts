import type { PoolCore } from './core.js';
import { cellBytes, cellsPerUnit, unitBytes } from './format.js';
import { NodeKind, nodeWords } from './nodes.js';
import { pointerOf } from './tree-finder.js';

/** What a volume or snapshot takes. `usedBytes` = `exclusiveBytes` + `sharedBytes`. */
export interface ObjectSpace {
  /** Bytes that do not read as zeroes for want of data: 4 KiB steps. */
  readonly mappedBytes: number;
  /** Whole units in which its data lies. */
  readonly usedBytes: number;
  /** What deleting it would free: no other volume or snapshot needs it. */
  readonly exclusiveBytes: number;
  readonly sharedBytes: number;
}

export interface PoolSpace {
  readonly totalBytes: number;
  /** For data that is to come. */
  readonly freeBytes: number;
  /** Units that data lies in. */
  readonly dataBytes: number;
  /** Labels, journal, maps and what is kept back for the next checkpoint. */
  readonly metadataBytes: number;
  /** Given up, and free as soon as the record of that is durable and taken apart. */
  readonly comingBytes: number;
}

export function poolSpace(core: PoolCore): PoolSpace {
  const { units } = core;
  let data = 0;
  for (let unit = 1; unit < units.unitCount; unit++) if (units.refs[unit]! > 0) data++;
  const free = Math.max(0, units.freeCount - core.reservedUnits);
  const coming = units.waitingCount;
  return {
    totalBytes: units.unitCount * unitBytes,
    freeBytes: free * unitBytes,
    dataBytes: data * unitBytes,
    metadataBytes: (units.unitCount - free - data - coming) * unitBytes,
    comingBytes: coming * unitBytes,
  };
}

/** Nodes that are walked in a row before others have their turn: less than a millisecond. */
const nodesAtATime = 256;
/** What `walkSpace` yields for that; no node has this number. */
const othersTurn = 0;

/** `walkSpace`, with what it needs. @throws UltimaError POOL_DAMAGED when a node is lost */
export async function objectSpace(core: PoolCore, root: number): Promise<ObjectSpace> {
  const walk = walkSpace(core, root);
  try {
    for (;;) {
      const { value, done } = walk.next();
      if (done === true) return value;
      if (value === othersTurn) await core.pump.letOthersRun();
      else await core.pager.hold(value);
    }
  } finally {
    walk.return(noSpace);
  }
}

const noSpace: ObjectSpace = { mappedBytes: 0, usedBytes: 0, exclusiveBytes: 0, sharedBytes: 0 };

/**
 * Exact while nothing is written, by walking the map, which is pinned meanwhile. A unit belongs to
 * one extent of a family of maps, so it is exclusive when all its names stand in the one entry, and
 * no node on the way there is shared. It yields the nodes that must be in memory to go on.
 */
function* walkSpace(core: PoolCore, root: number): Generator<number, ObjectSpace> {
  const sum = { cells: 0, units: 0, exclusive: 0 };
  const { nodes, pins } = core;
  if (root !== 0) {
    const isPrivate = nodes.refs[root]! - pins.of(root) === 1;
    pins.hold(root);
    try {
      yield* addNodes(core, { id: root, isPrivate }, sum);
    } finally {
      pins.drop(root);
    }
  }
  return {
    mappedBytes: sum.cells * cellBytes,
    usedBytes: sum.units * unitBytes,
    exclusiveBytes: sum.exclusive * unitBytes,
    sharedBytes: (sum.units - sum.exclusive) * unitBytes,
  };
}

interface SeenNode {
  readonly id: number;
  /** All above it belongs to this map alone. */
  readonly isPrivate: boolean;
}

function* addNodes(core: PoolCore, root: SeenNode, sum: Sum): Generator<number, void> {
  const { nodes } = core;
  const stack = [root];
  let count = 0;
  for (let one = stack.pop(); one !== undefined; one = stack.pop()) {
    if (++count % nodesAtATime === 0) yield othersTurn;
    const { id } = one;
    const kind = nodes.kinds[id]!;
    // The root has the pointer that pins it, too.
    const isPrivate = one.isPrivate && (kind === NodeKind.root || nodes.refs[id] === 1);
    if (kind === NodeKind.sums) continue;
    while (!nodes.isHere(id)) yield id;
    const at = nodes.at(id);
    if (kind === NodeKind.leaf) addLeaf(core, id, isPrivate, sum);
    else if (kind === NodeKind.cells) addCells(core, id, isPrivate, sum);
    else {
      for (const entry of nodes.wordsOf(id).subarray(at, at + nodeWords)) {
        if (entry !== 0) stack.push({ id: pointerOf(entry), isPrivate });
      }
    }
  }
}

interface Sum {
  cells: number;
  units: number;
  exclusive: number;
}

function addLeaf(core: PoolCore, id: number, isPrivate: boolean, sum: Sum): void {
  const { nodes, units } = core;
  const words = nodes.wordsOf(id);
  const at = nodes.at(id);
  for (let i = at; i < at + nodeWords; i += 2) {
    if (words[i] === 0) continue;
    sum.units++;
    for (let mask = words[i + 1]!; mask !== 0; mask &= mask - 1) sum.cells++;
    if (isPrivate && units.refs[words[i]!] === 1) sum.exclusive++;
  }
}

function addCells(core: PoolCore, id: number, isPrivate: boolean, sum: Sum): void {
  const { nodes, units } = core;
  const words = nodes.wordsOf(id);
  const at = nodes.at(id);
  for (let i = at; i < at + nodeWords; i += cellsPerUnit) {
    const names = new Map<number, number>();
    for (const unit of words.subarray(i, i + cellsPerUnit)) {
      if (unit !== 0) names.set(unit, (names.get(unit) ?? 0) + 1);
    }
    for (const [unit, count] of names) {
      sum.cells += count;
      sum.units++;
      if (isPrivate && units.refs[unit] === count) sum.exclusive++;
    }
  }
}
