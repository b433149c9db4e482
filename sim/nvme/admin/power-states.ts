import { PowerState } from '../../../sdk/spec/nvme/identify-controller.js';

export interface PowerStateFacts {
  /** In units of 0.01 W. */
  readonly centiwatts: number;
  readonly isOperational: boolean;
  readonly entryUs: number;
  readonly exitUs: number;
  /** Rank among the states for throughput and latency, 0 best. */
  readonly rank: number;
  /** Clock of the cores in permille of the nominal one. */
  readonly clockPermille: number;
}

/** Power states of the card, most powerful first: a 25 W slot. */
export const powerStates: readonly PowerStateFacts[] = [
  operational({ centiwatts: 2_500, rank: 0, clockPermille: 1000 }), // guess
  operational({ centiwatts: 1_500, rank: 1, clockPermille: 700 }), // guess
  operational({ centiwatts: 1_000, rank: 2, clockPermille: 400 }), // guess
  asleep({ centiwatts: 300, rank: 3, entryUs: 1_000, exitUs: 2_000 }), // guess
  asleep({ centiwatts: 50, rank: 4, entryUs: 5_000, exitUs: 50_000 }), // guess
];

type Operational = Pick<PowerStateFacts, 'centiwatts' | 'rank' | 'clockPermille'>;

function operational(facts: Operational): PowerStateFacts {
  return { ...facts, isOperational: true, entryUs: 0, exitUs: 0 };
}

function asleep(facts: Omit<PowerStateFacts, 'isOperational' | 'clockPermille'>): PowerStateFacts {
  // What wakes the card up runs at once at the full clock.
  return { ...facts, isOperational: false, clockPermille: 1000 };
}

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
