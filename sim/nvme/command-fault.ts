import type { Command } from './command.js';

/** Bits of `command.fault`: what a fault plan wants to go wrong with the command. */
export const CommandFault = {
  /** It never ends by itself. */
  stuck: 1,
  /** It cannot be aborted either. */
  deaf: 2,
  /** Its entry is never posted. */
  lostEntry: 4,
  /** Its entry is posted twice. */
  doubledEntry: 8,
  /** Its entry names an identifier, a queue or a head that cannot be. */
  wrongCid: 16,
  wrongQueue: 32,
  wrongHead: 64,
  /** Its entry is not announced. */
  lostInterrupt: 128,
  /** What it fetches is poisoned, or refused by the host. */
  poisoned: 256,
  refused: 512,
  /** It is a write, and the medium does not take it. */
  writeFault: 1024,
} as const;

/** Decides about each command that was fetched, by setting `fault` and `faultNs`. */
export interface CommandJudge {
  judge(command: Command): void;
}
