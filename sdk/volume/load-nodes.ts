import { checkWords } from '../crc32c.js';
import type { CatalogObject } from './catalog.js';
import type { PoolCore } from './core.js';
import { cellsPerUnit, directoryRow } from './format.js';
import { NodeKind, nodeBytes, nodeWords } from './nodes.js';
import { type CellsRead, wasAnswered } from './port.js';
import { groupsPerSplit, isSplit, pointerOf } from './tree-finder.js';

/**
 * Where each node lies. One that the directory puts beyond the end, into what the pool itself has
 * there or where another one lies is nowhere: nothing can lead to it.
 */
export function readDirectory(core: PoolCore, directory: Uint32Array, system: Uint8Array): void {
  const { nodes, slots } = core;
  for (let id = 1; id * directoryRow.words < directory.length; id++) {
    const slot = directory[id * directoryRow.words + directoryRow.slot]!;
    if (slot === 0) continue;
    nodes.reach(id);
    if (system[Math.floor(slot / cellsPerUnit)] !== 0 || !slots.claim(slot)) continue;
    nodes.slots[id] = slot;
    nodes.checks[id] = directory[id * directoryRow.words + directoryRow.check]!;
  }
}

/**
 * Read the maps from the roots down, and count what leads where. A node that cannot be read, or
 * says what cannot be, is emptied, and the volumes and snapshots that need it are damaged:
 * read-only, by name. The others know nothing of it.
 */
export async function countNames(core: PoolCore, system: Uint8Array): Promise<void> {
  const { catalog, findings } = core;
  const bad = new Set<number>();
  const walk = new Walk(core, system, bad);
  for (const object of catalog.objects.values()) {
    const { root } = object;
    if (root === 0 || walk.enter(root, NodeKind.root)) continue;
    object.root = 0;
    object.damage ||= 'the root of its map is lost';
    const text = 'the directory does not say where it lies';
    findings.push({ kind: 'lost', what: `node ${root}`, text, costs: [catalog.fullName(object)] });
  }
  await walk.finish();
  if (bad.size === 0) return;
  const costs = new Map<number, string[]>();
  for (const object of catalog.objects.values()) {
    for (const id of await lostNodesOf(core, object, bad)) {
      object.damage ||= 'a node of its map is lost';
      costs.set(id, [...(costs.get(id) ?? []), catalog.fullName(object)]);
    }
  }
  for (const id of bad) {
    const text = 'cannot be read, or says what cannot be';
    findings.push({ kind: 'lost', what: `node ${id}`, text, costs: costs.get(id) ?? [] });
    core.badNodes.add(id);
  }
}

/** @returns the slots that could be read; null for none */
async function readSlots(core: PoolCore, slot: number, count: number): Promise<CellsRead | null> {
  const unit = Math.floor(slot / cellsPerUnit);
  const port = core.portOf(unit);
  const byteOffset = port.byteOf(unit) + (slot % cellsPerUnit) * nodeBytes;
  try {
    return await core.control.readCells(port, byteOffset, count * nodeBytes);
  } catch (error) {
    if (wasAnswered(error)) return null;
    throw error;
  }
}

/** @returns whether the node is good, or good again */
function place(core: PoolCore, id: number, words: Uint32Array, from: number): boolean {
  const { nodes } = core;
  const state = checkWords(words, { from, to: from + nodeWords }, nodes.checks[id]!);
  if (state === 'bad') return false;
  nodes.bringIn(id);
  nodes.wordsOf(id).set(words.subarray(from, from + nodeWords), nodes.at(id));
  if (state === 'mended') {
    const text = 'one wrong bit';
    core.findings.push({ kind: 'mended', what: `node ${id}`, text, costs: [] });
    nodes.touch(id);
  }
  return true;
}

/** Counts pointers and names, from the roots down, level by level, each node once. */
class Walk {
  private readonly core: PoolCore;
  private readonly system: Uint8Array;
  private readonly bad: Set<number>;
  /** Nodes of the next level. */
  private found: number[] = [];

  constructor(core: PoolCore, system: Uint8Array, bad: Set<number>) {
    this.core = core;
    this.system = system;
    this.bad = bad;
  }

  /** A pointer to a node. @returns false when it cannot lead there */
  enter(id: number, kind: (typeof NodeKind)[keyof typeof NodeKind]): boolean {
    const { nodes } = this.core;
    if (id >= nodes.end || nodes.slots[id] === 0) return false;
    if (nodes.refs[id]! > 0) {
      if (nodes.kinds[id] !== kind) return false;
    } else {
      nodes.kinds[id] = kind;
      this.found.push(id);
    }
    nodes.refs[id]!++;
    return true;
  }

  async finish(): Promise<void> {
    while (this.found.length > 0) {
      const level = this.found;
      this.found = [];
      await this.visitAll(level);
    }
  }

  /** Where they lie one after the other they are read at once, up to a unit. */
  private async visitAll(level: readonly number[]): Promise<void> {
    const { core, bad } = this;
    const { nodes, pager } = core;
    const rows = level
      .map((id) => ({ id, slot: nodes.slots[id]! }))
      .sort((a, b) => a.slot - b.slot);
    for (let i = 0; i < rows.length; ) {
      const unit = Math.floor(rows[i]!.slot / cellsPerUnit);
      let end = i;
      while (end < rows.length && Math.floor(rows[end]!.slot / cellsPerUnit) === unit) end++;
      const first = rows[i]!.slot;
      const read = await readSlots(core, first, rows[end - 1]!.slot + 1 - first);
      for (const { id, slot } of rows.slice(i, end)) {
        const isRead = read !== null && !read.missing.has(slot - first);
        if (!isRead || !place(core, id, read.words, (slot - first) * nodeWords)) bad.add(id);
        this.visit(id);
        // What differs from the device must stay.
        if (bad.has(id)) nodes.keep(id);
        if (nodes.frameCount > pager.mostNodes && nodes.canLeave(id)) nodes.leave(id);
      }
      i = end;
    }
  }

  private visit(id: number): void {
    const { nodes } = this.core;
    if (!nodes.isHere(id)) nodes.bringIn(id);
    const words = nodes.wordsOf(id);
    const at = nodes.at(id);
    if (this.bad.has(id)) {
      words.fill(0, at, at + nodeWords);
      // A split node always has its leaf.
      if (nodes.kinds[id] === NodeKind.split) words[at] = nodes.make(NodeKind.leaf);
      return;
    }
    const kind = nodes.kinds[id]!;
    if (kind === NodeKind.sums) return;
    if (kind === NodeKind.leaf || kind === NodeKind.cells) {
      this.countUnits(id, kind === NodeKind.leaf ? 2 : 1);
      return;
    }
    for (let i = at; i < at + nodeWords; i++) {
      const entry = words[i]!;
      if (entry === 0 || this.enter(pointerOf(entry), kindBelow(kind, i - at, entry))) continue;
      words[i] = 0;
      if (kind === NodeKind.split && i === at) words[i] = nodes.make(NodeKind.leaf);
      this.bad.add(id);
    }
    if (kind === NodeKind.split && words[at] === 0) {
      words[at] = nodes.make(NodeKind.leaf);
      this.bad.add(id);
    }
  }

  private countUnits(id: number, step: number): void {
    const { nodes, units } = this.core;
    const { system } = this;
    const { refs } = units;
    const words = nodes.wordsOf(id);
    const from = nodes.at(id);
    for (let i = from; i < from + nodeWords; i += step) {
      const unit = words[i]!;
      if (unit === 0) continue;
      // Beyond the end it is undefined, which is not 0 either.
      if (system[unit] === 0) {
        refs[unit]!++;
      } else {
        words[i] = 0;
        if (step === 2) words[i + 1] = 0;
        this.bad.add(id);
      }
    }
  }
}

function kindBelow(
  kind: number,
  index: number,
  entry: number,
): (typeof NodeKind)[keyof typeof NodeKind] {
  if (kind === NodeKind.root) return NodeKind.middle;
  if (kind === NodeKind.middle) return isSplit(entry) ? NodeKind.split : NodeKind.leaf;
  if (index === 0) return NodeKind.leaf;
  return index <= groupsPerSplit ? NodeKind.cells : NodeKind.sums;
}

/** Those of the bad nodes that the map of an object needs. Only for pools with damage. */
async function lostNodesOf(
  core: PoolCore,
  object: CatalogObject,
  bad: ReadonlySet<number>,
): Promise<Set<number>> {
  const { nodes } = core;
  const lost = new Set<number>();
  const stack = object.root === 0 ? [] : [object.root];
  for (let id = stack.pop(); id !== undefined; id = stack.pop()) {
    if (bad.has(id)) lost.add(id);
    const kind = nodes.kinds[id]!;
    if (kind === NodeKind.leaf || kind >= NodeKind.cells) continue;
    while (!nodes.isHere(id) && (await core.pager.bring(id)));
    if (!nodes.isHere(id)) {
      lost.add(id);
      continue;
    }
    const at = nodes.at(id);
    for (const entry of nodes.wordsOf(id).subarray(at, at + nodeWords)) {
      if (entry !== 0) stack.push(pointerOf(entry));
    }
  }
  return lost;
}
