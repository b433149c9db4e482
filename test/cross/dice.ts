import { type Bits, U64 } from '../../sdk/spec/layout.js';
import { Sqe } from '../../sdk/spec/nvme/command.js';
import type { Prng } from '../../sim/prng.js';
import type { Facts } from './facts.js';
import type { CommandStep } from './step.js';

/**
 * Chance for a generator, with the facts that both controllers share. A command is wrong in at most
 * one place: which of two mistakes is named is the controller's choice.
 */
export class Dice {
  readonly prng: Prng;
  readonly facts: Facts;
  private hasFault = false;

  constructor(prng: Prng, facts: Facts) {
    this.prng = prng;
    this.facts = facts;
  }

  below(limit: number): number {
    return this.prng.below(limit);
  }

  chance(probability: number): boolean {
    return this.prng.chance(probability);
  }

  pick<T>(items: readonly T[]): T {
    return items[this.prng.below(items.length)]!;
  }

  /** The next command may be wrong again. */
  fresh(): void {
    this.hasFault = false;
  }

  /** Whether to do the one wrong thing of this command here. */
  fault(probability: number): boolean {
    if (this.hasFault || !this.chance(probability)) return false;
    this.hasFault = true;
    return true;
  }

  /** Mostly the first; now and then one of the others, which may be wrong. */
  mostly<T>(usual: T, others: readonly T[], probability = 0.12): T {
    return this.fault(probability) ? this.pick(others) : usual;
  }

  word(): number {
    return this.prng.word();
  }

  /** The namespace, and identifiers that are none. */
  nsid(): number {
    return this.mostly(1, [0, 255, 257, 0xffff_fffe, 0xffff_ffff], 0.1);
  }
}

/** A command in the making: fields of tables over 16 dwords. */
export class Draft {
  readonly words = new Uint32Array(16);

  constructor(opcode: number, nsid: number) {
    Sqe.opc.set(this.words, 0, opcode);
    Sqe.nsid.set(this.words, 0, nsid);
  }

  set(field: Bits | U64, value: number): this {
    if (field instanceof U64) field.set(this.words, 0, value);
    else field.set(this.words, 0, value);
    return this;
  }

  step(
    queue: 0 | 1,
    more: Partial<Omit<CommandStep, 'kind' | 'words' | 'queue'>> = {},
  ): CommandStep {
    return {
      kind: 'command',
      queue,
      words: [...this.words],
      prp1: null,
      prp2: null,
      list: null,
      payload: [],
      seed: null,
      ...more,
    };
  }
}
