import type { PoolCore } from './core.js';
import type { Finding } from './findings.js';
import { NodeKind, nodeWords } from './nodes.js';
import { pointerOf } from './tree-finder.js';

/**
 * Count again, from the catalog down, what every node and unit is named by, and compare with the
 * counts that the pool works with. For a pool in which nothing is under way, until it returns.
 *
 * @returns what is not as it must be; nothing for a sound pool
 */
export async function checkMaps(core: PoolCore): Promise<Finding[]> {
  const { nodes, units } = core;
  const pointers = new Uint32Array(nodes.end);
  const names = new Uint32Array(units.unitCount);
  const findings: Finding[] = [];
  const stack: number[] = [];
  const enter = (id: number): void => {
    if (pointers[id]!++ === 0) stack.push(id);
  };
  for (const { root } of core.catalog.objects.values()) if (root !== 0) enter(root);
  for (let id = stack.pop(); id !== undefined; id = stack.pop()) {
    const kind = nodes.kinds[id]!;
    if (kind === NodeKind.sums) continue;
    if (!nodes.isHere(id) && !(await core.pager.bring(id))) {
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
  for (let id = 1; id < nodes.end; id++) {
    if (pointers[id] === nodes.refs[id]) continue;
    const text = `${pointers[id]} pointers lead to it, ${nodes.refs[id]} were counted`;
    findings.push({ kind: 'inconsistent', what: `node ${id}`, text, costs: [] });
  }
  findings.push(...checkUnits(core, names));
  return findings;
}

function checkUnits(core: PoolCore, names: Uint32Array): Finding[] {
  const { units } = core;
  const system = systemUnits(core);
  const findings: Finding[] = [];
  let freeCount = 0;
  for (let unit = 0; unit < units.unitCount; unit++) {
    const isFree = units.isFree(unit);
    if (isFree) freeCount++;
    const uses = (isFree ? 1 : 0) + (system.has(unit) ? 1 : 0) + (names[unit]! > 0 ? 1 : 0);
    if (names[unit] === units.refs[unit] && uses === 1) continue;
    const text =
      `${names[unit]} entries name it, ${units.refs[unit]} were counted; ` +
      `free: ${isFree}, of the pool itself: ${system.has(unit)}`;
    findings.push({ kind: 'inconsistent', what: `unit ${unit}`, text, costs: [] });
  }
  if (freeCount !== units.freeCount) {
    const text = `${freeCount} units are free, ${units.freeCount} were counted`;
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
