import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, rename } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { ErrorCode, UltimaError } from '../errors.js';

/** Where a store keeps its log. Each call is durable when it resolves. */
export interface LogFile {
  read(): Promise<Uint8Array>;
  /** After the first `keptBytes`; what lies behind them is overwritten and cut off. */
  append(bytes: Uint8Array, keptBytes: number): Promise<void>;
  /** The whole content anew, or as before. */
  replace(bytes: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

const fileName = 'store.log';

/**
 * A log in a folder, for one process at a time: the kernel holds the lock for as long as the
 * process lives, and lets go of it however that ends.
 *
 * @throws UltimaError DEVICE_BUSY when another process has it, FILE_UNWRITABLE
 */
export async function openLogFile(folder: string): Promise<LogFile> {
  try {
    await mkdir(folder, { recursive: true });
    const directory = await open(folder, constants.O_RDONLY);
    try {
      const lock = await takeLock(folder, await directory.stat());
      const file = await open(join(folder, fileName), constants.O_RDWR | constants.O_CREAT, 0o600);
      return new FolderLog(folder, { lock, directory, file });
    } catch (error) {
      await directory.close();
      throw error;
    }
  } catch (error) {
    if (error instanceof UltimaError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    const message = `cannot keep the cluster store in ${folder}: ${reason}; choose another folder`;
    throw new UltimaError(ErrorCode.fileUnwritable, message, { folder, reason }, error);
  }
}

class FolderLog implements LogFile {
  private readonly folder: string;
  private readonly lock: Server;
  private readonly directory: FileHandle;
  private file: FileHandle;

  constructor(
    folder: string,
    held: { readonly lock: Server; readonly directory: FileHandle; readonly file: FileHandle },
  ) {
    this.folder = folder;
    this.lock = held.lock;
    this.directory = held.directory;
    this.file = held.file;
  }

  async read(): Promise<Uint8Array> {
    const { size } = await this.file.stat();
    const bytes = new Uint8Array(size);
    let done = 0;
    while (done < size) {
      const { bytesRead } = await this.file.read(bytes, done, size - done, done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return bytes.subarray(0, done);
  }

  async append(bytes: Uint8Array, keptBytes: number): Promise<void> {
    if ((await this.file.stat()).size > keptBytes) await this.file.truncate(keptBytes);
    await writeAll(this.file, bytes, keptBytes);
    await this.file.datasync();
  }

  async replace(bytes: Uint8Array): Promise<void> {
    const path = join(this.folder, fileName);
    const next = await open(`${path}.new`, 'w+', 0o600);
    try {
      await writeAll(next, bytes, 0);
      // The content before the name: the name must never show half of it.
      await next.sync();
      await rename(`${path}.new`, path);
    } catch (error) {
      await next.close();
      throw error;
    }
    const before = this.file;
    this.file = next;
    await before.close();
    await this.directory.sync();
  }

  async close(): Promise<void> {
    await this.file.close();
    await this.directory.close();
    await new Promise((resolve) => this.lock.close(resolve));
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, at + done);
    done += bytesWritten;
  }
}

/**
 * A name in the kernel's own space of sockets that belongs to one process and goes with it: a lock
 * file would outlive a process that is killed. It is named by the folder itself, not by its path.
 */
function takeLock(folder: string, held: { readonly dev: number; readonly ino: number }) {
  return new Promise<Server>((resolve, reject) => {
    const lock = createServer();
    lock.once('error', (error) => {
      const isTaken = 'code' in error && error.code === 'EADDRINUSE';
      const message = `another process keeps the cluster store in ${folder}; stop it first`;
      reject(isTaken ? new UltimaError(ErrorCode.deviceBusy, message, { folder }) : error);
    });
    lock.listen(`\0ultima-store-${held.dev}-${held.ino}`, () => resolve(lock.unref()));
  });
}
