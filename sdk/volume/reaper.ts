import { grown, type NodeArena, NodeKind, nodeWords } from './nodes.js';
import { pointerOf } from './tree-finder.js';
import type { UnitSpace } from './unit-space.js';

/**
 * Takes maps apart that nothing leads to any more, a few nodes at a time. What it has not reached
 * when the power fails is simply not reached from the catalog when the pool is opened again.
 */
export class Reaper {
  private readonly nodes: NodeArena;
  private readonly units: UnitSpace;
  private stack = new Uint32Array(1024);
  private depth = 0;

  constructor(parts: { readonly nodes: NodeArena; readonly units: UnitSpace }) {
    this.nodes = parts.nodes;
    this.units = parts.units;
  }

  get isIdle(): boolean {
    return this.depth === 0;
  }

  /** One pointer less to a node; after the last one the node and all below it are to go. */
  drop(id: number): void {
    if (this.nodes.unshare(id) > 0) return;
    if (this.depth === this.stack.length) this.stack = grown(this.stack);
    this.stack[this.depth++] = id;
  }

  /**
   * @param budget  nodes to take apart
   * @returns       a node that is not in memory and that it needs to go on; 0 for none
   */
  step(budget: number, releaseUnit: (unit: number) => void): number {
    for (let i = 0; i < budget && this.depth > 0; i++) {
      const id = this.stack[this.depth - 1]!;
      const { nodes } = this;
      const kind = nodes.kinds[id]!;
      if (kind !== NodeKind.sums && !nodes.isHere(id)) return id;
      this.depth--;
      const words = nodes.wordsOf(id);
      const from = nodes.at(id);
      const isBottom = kind === NodeKind.leaf || kind === NodeKind.cells;
      const step = kind === NodeKind.leaf ? 2 : 1;
      const end = kind === NodeKind.sums ? from : from + nodeWords;
      for (let at = from; at < end; at += step) {
        const value = words[at]!;
        if (value === 0) continue;
        if (isBottom) releaseUnit(value);
        else this.drop(pointerOf(value));
      }
      nodes.release(id);
    }
    return 0;
  }

  /** The node that it waits for is lost. */
  skip(): void {
    this.nodes.release(this.stack[--this.depth]!);
  }

  /** All of it now, as replay does, where nothing is under way. @returns as `step` does */
  finish(): number {
    let absent = 0;
    while (this.depth > 0 && absent === 0) {
      absent = this.step(1024, (unit) => this.units.refs[unit]!--);
    }
    return absent;
  }
}
