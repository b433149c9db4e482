import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { ErrorCode, UltimaError } from '../errors.js';

/**
 * Write a whole file or nothing: the content goes to a temporary file beside the target, which
 * then takes the target's name. A reader never sees half of it, a failure leaves what was there.
 * Missing folders are made. What is no file, such as a device, a pipe or /dev/stdout, is written to
 * and never replaced; of a symbolic link its target is.
 *
 * @throws UltimaError FILE_UNWRITABLE, with the path, the system's reason and what to do
 */
export function writeFileAtomically(path: string, content: string | Uint8Array): void {
  const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content;
  let temporary = '';
  try {
    makeFolder(dirname(path));
    const target = existsSync(path) ? realpathSync(path) : path;
    if (existsSync(target) && !statSync(target).isFile()) {
      writeThrough(target, bytes);
      return;
    }
    temporary = join(dirname(target), `.${basename(target)}.${process.pid}.tmp`);
    writeWhole(temporary, bytes);
    renameSync(temporary, target);
  } catch (error) {
    if (temporary !== '') removeQuietly(temporary);
    const reason = reasonOf(error);
    throw new UltimaError(
      ErrorCode.fileUnwritable,
      `cannot write ${path} (${bytes.length} bytes): ${reason}; ${remedyOf(reason)}`,
      { path, bytes: bytes.length, reason },
      error,
    );
  }
}

/**
 * One folder after the other: Node's own recursive call goes round for ever where a folder that is
 * there lets nothing be made in it and says ENOENT, as /proc does.
 */
function makeFolder(path: string): void {
  if (existsSync(path)) return;
  makeFolder(dirname(path));
  mkdirSync(path);
}

function writeThrough(path: string, bytes: Uint8Array): void {
  const file = openSync(path, 'w');
  try {
    writeAll(file, bytes);
  } finally {
    closeSync(file);
  }
}

function writeAll(file: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) {
    done += writeSync(file, bytes, done, bytes.length - done);
  }
}

function writeWhole(path: string, bytes: Uint8Array): void {
  const file = openSync(path, 'w');
  try {
    writeAll(file, bytes);
    // The data before the name: after a crash the name must not show an empty file.
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

function removeQuietly(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // The folder itself may be missing or unreachable; there is nothing to remove then.
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof Error && 'code' in error) return String(error.code);
  return String(error);
}

function remedyOf(reason: string): string {
  if (reason === 'ENOSPC' || reason === 'EDQUOT') return 'free space or choose another path';
  if (reason === 'EACCES' || reason === 'EPERM' || reason === 'EROFS') {
    return 'choose a folder that you may write to';
  }
  return 'choose another path';
}
