import type { Prng } from '../prng.js';
import { BlockState, type Blocks } from './blocks.js';
import type { FtlProfile } from './ftl-profile.js';
import type { Layout } from './layout.js';

export const victimPolicies: readonly string[] = [
  'greedy',
  'cost-benefit',
  'fifo',
  'd-choices',
  'random',
];

/**
 * Which closed block of a pool gives its garbage back.
 *
 *   greedy        the one with fewest valid units; of equal ones the first
 *   cost-benefit  the one with the highest age × (1 - u) / 2u, u the valid share
 *                 (Rosenblum and Ousterhout)
 *   fifo          the one that was closed first
 *   d-choices     the one with fewest valid units of d drawn ones
 *   random        a drawn one
 */
export class Victims {
  private readonly layout: Layout;
  private readonly blocks: Blocks;
  private readonly chance: Prng;
  private readonly policy: string;
  private readonly choices: number;

  constructor(layout: Layout, blocks: Blocks, ftl: FtlProfile, chance: Prng) {
    this.layout = layout;
    this.blocks = blocks;
    this.chance = chance;
    this.policy = ftl.victim;
    this.choices = ftl.victim === 'random' ? 1 : ftl.victimChoices;
  }

  /** @returns a block that has something to gain, or -1 */
  pick(pool: number, clock: number): number {
    const block = this.choose(pool, clock);
    if (block >= 0 && this.blocks.validUnits[block]! < this.layout.unitsPerBlock) return block;
    // The policy does not look at the gain, but a block without any would be moved for ever.
    return this.fewestValid(pool);
  }

  private choose(pool: number, clock: number): number {
    if (this.policy === 'greedy') return this.fewestValid(pool);
    if (this.policy === 'fifo') return this.first(pool);
    if (this.policy === 'cost-benefit') return this.mostBenefit(pool, clock);
    return this.drawn(pool);
  }

  private fewestValid(pool: number): number {
    const { states, validUnits } = this.blocks;
    const { blocksPerPool, unitsPerBlock } = this.layout;
    let best = -1;
    let fewest = unitsPerBlock;
    const from = pool * blocksPerPool;
    for (let block = from; block < from + blocksPerPool; block++) {
      const valid = validUnits[block]!;
      if (valid < fewest && states[block] === BlockState.closed) {
        fewest = valid;
        best = block;
      }
    }
    return best;
  }

  private first(pool: number): number {
    const { states, closedAt } = this.blocks;
    const { blocksPerPool } = this.layout;
    let best = -1;
    let earliest = Infinity;
    const from = pool * blocksPerPool;
    for (let block = from; block < from + blocksPerPool; block++) {
      if (states[block] !== BlockState.closed || closedAt[block]! >= earliest) continue;
      earliest = closedAt[block]!;
      best = block;
    }
    return best;
  }

  private mostBenefit(pool: number, clock: number): number {
    const { states, validUnits, closedAt } = this.blocks;
    const { blocksPerPool, unitsPerBlock } = this.layout;
    let best = -1;
    let most = -1;
    const from = pool * blocksPerPool;
    for (let block = from; block < from + blocksPerPool; block++) {
      if (states[block] !== BlockState.closed) continue;
      const valid = validUnits[block]!;
      if (valid === 0) return block;
      const score = ((clock - closedAt[block]!) * (unitsPerBlock - valid)) / valid;
      if (score <= most) continue;
      most = score;
      best = block;
    }
    return best;
  }

  private drawn(pool: number): number {
    const { states, validUnits } = this.blocks;
    const { blocksPerPool } = this.layout;
    let best = -1;
    let left = this.choices;
    // Few blocks are not closed; a pool without any is found by `fewestValid`.
    for (let tries = 0; tries < this.choices * 64 && left > 0; tries++) {
      const block = pool * blocksPerPool + this.chance.below(blocksPerPool);
      if (states[block] !== BlockState.closed) continue;
      left--;
      if (best < 0 || validUnits[block]! < validUnits[best]!) best = block;
    }
    return best;
  }
}
