import { mkdirSync } from 'node:fs';
import { ErrorCode, UltimaError } from './errors.js';

/** A folder and all above it, where they are not there yet. @throws UltimaError FILE_UNWRITABLE */
export function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const message = `the folder ${folder} cannot be made: ${reason}; choose another one`;
    throw new UltimaError(ErrorCode.fileUnwritable, message, { folder, reason }, error);
  }
}
