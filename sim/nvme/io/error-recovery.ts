import { Read } from '../../../sdk/spec/nvme/nvm-command.js';
import { Status } from '../../../sdk/spec/nvme/status.js';
import { msNs } from '../../../sdk/units.js';
import type { Command } from '../command.js';
import type { Namespace } from '../namespace.js';
import type { Work } from './work.js';

const fields = Read;

/** Attempts to read a block that does not come, without and with Limited Retry. */
const retryCount = 16; // guess: read-retry tables of TLC parts have 10 to 30 entries
const limitedRetryCount = 1; // guess
const limitUnitNs = 100 * msNs;

/**
 * A block that cannot be read is read again before the command fails: often, once with Limited
 * Retry, and never longer than the time limit of feature 05h (TLER) [NVMe-2.0 §? Error Recovery].
 *
 * @returns true when the command waits for the retries and will come back
 */
export function isRetriedFirst(
  work: Work,
  command: Command,
  namespace: Namespace,
  status: number,
): boolean {
  if (status !== Status.unrecoveredReadError || command.step !== 0) return false;
  command.step = 1;
  const isLimited = fields.lr.get(command.words, 0) === 1;
  const attempts = isLimited ? limitedRetryCount : retryCount;
  const limit = namespace.errorRecoveryLimit;
  const limitNs = limit === 0 ? Infinity : limit * limitUnitNs;
  work.media.retry(work.services, command, attempts, limitNs);
  return true;
}
