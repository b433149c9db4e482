import { type Stats, statSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { ErrorCode, UltimaError } from '../errors.js';

const hasNames = process.platform === 'linux';

/**
 * One process writes to a file at a time: two would each go on from what it has read, and write
 * over what the other one has. A name in the kernel's own space of sockets stands for the file; it
 * belongs to one process and goes with it, however that ends, which a file beside would outlive.
 *
 * Processes in different network namespaces (containers) do not see each other's names. Systems
 * without such names have no locks.
 */
export class FileLock {
  private readonly server: Server;

  private constructor(server: Server) {
    this.server = server;
  }

  /**
   * Keep others from writing to a file, or a block device, until `release`.
   *
   * @returns null where there are no locks
   * @throws UltimaError DEVICE_BUSY when another process, or another part of this one, has it
   */
  static async take(path: string): Promise<FileLock | null> {
    const identity = fileIdentity(path);
    if (identity === null || !hasNames) return null;
    const lock = await FileLock.takeName(`file-${identity}`);
    if (lock === 'taken') throw busy(path, 'writes to it');
    return lock;
  }

  /**
   * The same for what is no file.
   *
   * @param name  at most 90 bytes, the same in every process
   * @returns null where there are no locks
   */
  static async takeName(name: string): Promise<FileLock | 'taken' | null> {
    if (!hasNames) return null;
    const server = createServer((socket) => socket.destroy());
    const isTaken = await new Promise<boolean>((resolve, reject) => {
      // Also later: somebody who looks and cannot be accepted is no harm.
      server.on('error', (error) => {
        if (isCode(error, 'EADDRINUSE')) resolve(true);
        else reject(error);
      });
      server.listen(kernelName(name), () => resolve(false));
    });
    if (isTaken) return 'taken';
    // What is locked keeps no process alive.
    server.unref();
    return new FileLock(server);
  }

  /**
   * Open what writes to a file, and makes one that is not there, while nobody else has it.
   *
   * @param path  null for what has no file: then there is no lock
   * @throws UltimaError DEVICE_BUSY, and what `open` throws; nothing stays open then
   */
  static async around<T extends { close(): Promise<void> }>(
    path: string | null,
    open: () => T,
  ): Promise<{ readonly opened: T; readonly lock: FileLock | null }> {
    if (path === null) return { opened: open(), lock: null };
    let lock = await FileLock.take(path);
    let opened: T | null = null;
    try {
      opened = open();
      // A file that was not there is now.
      lock ??= await FileLock.take(path);
      return { opened, lock };
    } catch (error) {
      lock?.release();
      await opened?.close();
      throw error;
    }
  }

  /** @throws UltimaError DEVICE_BUSY when somebody has taken it */
  static async demandFree(path: string): Promise<void> {
    const identity = fileIdentity(path);
    if (identity === null || !hasNames) return;
    const isTaken = await new Promise<boolean>((resolve) => {
      const socket = connect(kernelName(`file-${identity}`));
      // Any other error is one of somebody who has too much to do to answer.
      socket.once('error', (error) => resolve(!isCode(error, 'ECONNREFUSED')));
      socket.once('connect', () => {
        socket.destroy();
        resolve(true);
      });
    });
    if (isTaken) throw busy(path, 'may be in the middle of changing it');
  }

  release(): void {
    this.server.close();
  }
}

function isCode(error: Error, code: string): boolean {
  return 'code' in error && error.code === code;
}

function busy(path: string, why: string): UltimaError {
  const message = `${path} is in use: another process ${why}; stop it first`;
  return new UltimaError(ErrorCode.deviceBusy, message, { path });
}

/** What a file is, by whichever of its paths. Null for a file that is not there. */
export function fileIdentity(path: string): string | null {
  let stats: Stats | undefined;
  try {
    stats = statSync(path, { throwIfNoEntry: false });
  } catch {
    // What cannot be looked at cannot be opened either, and that says why.
    return null;
  }
  if (stats === undefined) return null;
  return stats.isBlockDevice() ? `block-${stats.rdev}` : `${stats.dev}-${stats.ino}`;
}

function kernelName(name: string): string {
  return `\0ultima-${name}`;
}
