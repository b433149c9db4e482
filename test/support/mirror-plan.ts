import type { Prng } from '../../sim/prng.js';

const kinds = [
  'work',
  'work',
  'work',
  'attach',
  'attach',
  'force',
  'force',
  'detach',
  'pause',
  'kill',
  'power cut',
  'blackout',
  'partition',
  'one way',
  'isolate',
  'isolate',
  'usurp',
  'usurp',
  'clock jump',
  'store out',
  'store cut',
  'slow',
  'hang',
  'dead',
  'full',
  'corrupt',
  'snapshot',
  'restore',
  'add',
  'remove',
  'verify',
  'grow',
] as const;

export interface MirrorStep {
  readonly kind: (typeof kinds)[number];
  readonly node: number;
  readonly other: number;
  /** How long what begins here lasts, and how long the world runs before the next step. */
  readonly lastsUs: number;
  readonly runUs: number;
}

export function stormPlan(prng: Prng, count: number): MirrorStep[] {
  const steps: MirrorStep[] = [{ kind: 'attach', node: 0, other: 1, lastsUs: 0, runUs: 3000 }];
  while (steps.length < count) {
    steps.push({
      kind: kinds[prng.below(kinds.length)]!,
      node: prng.below(60),
      other: 1 + prng.below(12),
      lastsUs: 200 + prng.below(prng.chance(0.3) ? 30_000 : 4_000),
      runUs: 200 + prng.below(prng.chance(0.2) ? 12_000 : 3_000),
    });
  }
  return steps;
}
