/**
 * Told now and then how far long work is, in pieces of its own. What it throws ends the work, which
 * gives back what it held.
 */
export type StepListener = (done: number, total: number) => void;

export interface LongWork {
  readonly onStep?: StepListener | undefined;
}
