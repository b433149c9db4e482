import { Write } from '../../sdk/spec/nvme/nvm-command.js';
import type { Command } from '../nvme/command.js';

/** The stream that a write names; 0, which the drive may divide itself, when it names none. */
export function streamOf(command: Command, streams: number): number {
  if (Write.dtype.get(command.words, 0) === 0) return 0;
  return Write.dspec.get(command.words, 0) % streams;
}
