import type { NodeArena } from './nodes.js';
import type { Reaper } from './reaper.js';

/**
 * Maps that somebody walks. What is pinned stays as it is, whatever is written, restored or deleted
 * meanwhile: changes go to copies, and nothing below becomes free before the last pin is gone.
 */
export class Pins {
  private readonly nodes: NodeArena;
  private readonly reaper: Reaper;
  private readonly counts = new Map<number, number>();

  constructor(parts: { readonly nodes: NodeArena; readonly reaper: Reaper }) {
    this.nodes = parts.nodes;
    this.reaper = parts.reaper;
  }

  hold(root: number): void {
    this.nodes.share(root);
    this.counts.set(root, this.of(root) + 1);
  }

  drop(root: number): void {
    const left = this.of(root) - 1;
    if (left > 0) this.counts.set(root, left);
    else this.counts.delete(root);
    this.reaper.drop(root);
  }

  /** Pointers to a root that are pins. */
  of(root: number): number {
    return this.counts.get(root) ?? 0;
  }

  /** Each as often as it is pinned. */
  roots(): number[] {
    return [...this.counts].flatMap(([root, count]) => Array<number>(count).fill(root));
  }
}
