import type { PoolCore } from './core.js';
import type { Finding } from './findings.js';
import { NodeKind, nodeWords } from './nodes.js';
import { pointerOf } from './tree-finder.js';

/** Nodes that are counted in a row before others have their turn: less than a millisecond. */
const nodesAtATime = 256;

/** What the pool works with at one instant, and the maps as they were then, pinned. */
export interface MapCounts {
  /** Those that led to maps then: of volumes, snapshots, and of maps that somebody else walks. */
  readonly roots: readonly number[];
  /** Pointers to each node, and names of each unit. */
  readonly pointers: Uint32Array;
  readonly names: Uint32Array;
  readonly freeBits: Uint32Array;
  readonly freeCount: number;
  readonly system: ReadonlySet<number>;
}

/**
 * To be called when no write is under way, no checkpoint runs and nothing waits to become free.
 * Whoever calls it calls `checkMaps` with it, which lets the maps go.
 */
export function countsOf(core: PoolCore): MapCounts {
  const { nodes, units, pins } = core;
  const roots = pins.roots();
  for (const { root } of core.catalog.objects.values()) if (root !== 0) roots.push(root);
  const counts = {
    roots,
    pointers: nodes.refs.slice(0, nodes.end),
    names: units.refs.slice(0, units.unitCount),
    freeBits: units.freeBits(),
    freeCount: units.freeCount,
    system: systemUnits(core),
  };
  for (const root of roots) pins.hold(root);
  return counts;
}

/**
 * Count again, from the roots down, what every node and unit is named by, and compare with the
 * counts that the pool worked with at that instant. The pool may change in any way meanwhile: what
 * is pinned is copied before it changes.
 *
 * @param onStep  told of nodes that were counted; what it throws ends the count
 * @returns what is not as it must be; nothing for a sound pool
 */
export async function checkMaps(
  core: PoolCore,
  counts = countsOf(core),
  onStep: (done: number) => void = () => {},
): Promise<Finding[]> {
  try {
    return await countAgain(core, counts, onStep);
  } finally {
    for (const root of counts.roots) core.pins.drop(root);
  }
}

async function countAgain(
  core: PoolCore,
  counts: MapCounts,
  onStep: (done: number) => void,
): Promise<Finding[]> {
  const { nodes } = core;
  const pointers = new Uint32Array(counts.pointers.length);
  const names = new Uint32Array(counts.names.length);
  const findings: Finding[] = [];
  const stack: number[] = [];
  const enter = (id: number): void => {
    if (pointers[id]!++ === 0) stack.push(id);
  };
  for (const root of counts.roots) enter(root);
  let count = 0;
  for (let id = stack.pop(); id !== undefined; id = stack.pop()) {
    if (++count % nodesAtATime === 0) {
      onStep(count);
      await core.pump.letOthersRun();
    }
    const kind = nodes.kinds[id]!;
    if (kind === NodeKind.sums) continue;
    // It may leave again before this goes on.
    while (!nodes.isHere(id) && (await core.pager.bring(id)));
    if (!nodes.isHere(id)) {
      findings.push({ kind: 'lost', what: `node ${id}`, text: 'cannot be read', costs: [] });
      continue;
    }
    const at = nodes.at(id);
    const words = nodes.wordsOf(id);
    const isBottom = kind === NodeKind.leaf || kind === NodeKind.cells;
    const step = kind === NodeKind.leaf ? 2 : 1;
    for (let i = at; i < at + nodeWords; i += step) {
      const value = words[i]!;
      if (value === 0) continue;
      if (isBottom) names[value]!++;
      else enter(pointerOf(value));
    }
  }
  for (let id = 1; id < pointers.length; id++) {
    if (pointers[id] === counts.pointers[id]) continue;
    const text = `${pointers[id]} pointers lead to it, ${counts.pointers[id]} were counted`;
    findings.push({ kind: 'inconsistent', what: `node ${id}`, text, costs: [] });
  }
  findings.push(...checkUnits(counts, names));
  return findings;
}

function checkUnits(counts: MapCounts, names: Uint32Array): Finding[] {
  const { system, freeBits } = counts;
  const findings: Finding[] = [];
  let freeCount = 0;
  for (let unit = 0; unit < names.length; unit++) {
    const isFree = ((freeBits[unit >>> 5]! >>> (unit & 31)) & 1) === 1;
    if (isFree) freeCount++;
    const uses = (isFree ? 1 : 0) + (system.has(unit) ? 1 : 0) + (names[unit]! > 0 ? 1 : 0);
    if (names[unit] === counts.names[unit] && uses === 1) continue;
    const text =
      `${names[unit]} entries name it, ${counts.names[unit]} were counted; ` +
      `free: ${isFree}, of the pool itself: ${system.has(unit)}`;
    findings.push({ kind: 'inconsistent', what: `unit ${unit}`, text, costs: [] });
  }
  if (freeCount !== counts.freeCount) {
    const text = `${freeCount} units are free, ${counts.freeCount} were counted`;
    findings.push({ kind: 'inconsistent', what: 'free units', text, costs: [] });
  }
  return findings;
}

/** Units of labels, superblocks, journal, image and slots. */
function systemUnits(core: PoolCore): Set<number> {
  const { identity, ports, slots, units } = core;
  const system = new Set<number>(identity.imageUnits);
  for (let unit = 0; unit <= identity.journalUnits; unit++) system.add(unit);
  for (const port of ports) if (port.hasLabel) system.add(port.firstUnit);
  for (let unit = 0; unit < units.unitCount; unit++) {
    if (slots.isSlotUnit(unit)) system.add(unit);
  }
  return system;
}
