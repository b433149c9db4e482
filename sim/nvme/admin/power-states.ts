import { PowerState } from '../../../sdk/spec/nvme/identify-controller.js';

export interface PowerStateFacts {
  /** In units of 0.01 W. */
  readonly centiwatts: number;
  readonly isOperational: boolean;
  readonly entryUs: number;
  readonly exitUs: number;
  /** Rank among the states for throughput and latency, 0 best. */
  readonly rank: number;
}

/** Power states of the card, most powerful first: a 25 W slot. */
export const powerStates: readonly PowerStateFacts[] = [
  { centiwatts: 2_500, isOperational: true, entryUs: 0, exitUs: 0, rank: 0 }, // guess
  { centiwatts: 1_500, isOperational: true, entryUs: 0, exitUs: 0, rank: 1 }, // guess
  { centiwatts: 1_000, isOperational: true, entryUs: 0, exitUs: 0, rank: 2 }, // guess
  { centiwatts: 300, isOperational: false, entryUs: 1_000, exitUs: 2_000, rank: 3 }, // guess
  { centiwatts: 50, isOperational: false, entryUs: 5_000, exitUs: 50_000, rank: 4 }, // guess
];

/** Write the descriptor of a state at dword `at`. */
export function writePowerState(words: Uint32Array, at: number, state: PowerStateFacts): void {
  PowerState.mp.set(words, at, state.centiwatts);
  PowerState.nops.set(words, at, state.isOperational ? 0 : 1);
  PowerState.enlat.set(words, at, state.entryUs);
  PowerState.exlat.set(words, at, state.exitUs);
  for (const field of [PowerState.rrt, PowerState.rrl, PowerState.rwt, PowerState.rwl]) {
    field.set(words, at, state.rank);
  }
}
