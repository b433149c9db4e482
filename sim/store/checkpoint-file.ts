import { readFileSync } from 'node:fs';
import { ErrorCode, UltimaError } from '../../sdk/errors.js';

/** The bytes of a checkpoint. @throws UltimaError FILE_INVALID when the file cannot be read */
export function readCheckpointFile(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const text = `checkpoint ${path} cannot be read: ${why}`;
    throw new UltimaError(ErrorCode.fileInvalid, text, { path }, error);
  }
}
