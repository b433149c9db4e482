import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync, readdirSync, type Stats, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FileLock, fileIdentity } from '../block/file-lock.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { clearPath } from '../sockets/places.js';

/** A path of a UNIX socket is at most so long on Linux, with its end. */
const longestPathBytes = 107;
const keyHexDigits = 32;
const suffix = '.sock';
/** Sockets of dead servers that a new one looks for. */
const mostSwept = 256;
/** One that sweeps has it for a moment. */
const claimLooks = 5;
const claimPauseMs = 20;

/**
 * Where the server of a pool listens to other commands: a socket whose name follows from the pool's
 * devices, in whatever order and by whatever path they are named, in a folder that belongs to the
 * user alone.
 */
export function controlKey(devices: readonly string[]): string {
  const identities = devices.map(deviceIdentity).sort();
  const digest = createHash('sha256').update(identities.join('\n')).digest('hex');
  return digest.slice(0, keyHexDigits);
}

/**
 * The first one that there is, or can be made, is for servers; a client looks into all.
 * `ULTIMA_RUNTIME_DIR` names the only one, where the two do not see the same others.
 */
export function controlFolders(): string[] {
  const user = process.getuid?.();
  if (user === undefined) return [];
  const { ULTIMA_RUNTIME_DIR: only, XDG_RUNTIME_DIR: session } = process.env;
  if (only !== undefined && only !== '') return [only];
  const folders = [`/run/user/${user}/ultima`, join(tmpdir(), `ultima-${user}`)];
  if (user === 0) folders.splice(1, 0, '/run/ultima');
  if (session !== undefined && session !== '') folders.unshift(join(session, 'ultima'));
  return [...new Set(folders)];
}

/** Sockets of the user's own at which the server of these devices may listen. */
export function controlSockets(devices: readonly string[]): string[] {
  const key = controlKey(devices);
  return controlFolders()
    .filter((folder) => folderFault(folder) === null)
    .map((folder) => join(folder, key + suffix))
    .filter((path) => isOwn(lstatOf(path), 'socket') && fits(path));
}

/**
 * The right to serve a pool's devices, which one process has at a time, and which goes with it. To
 * be taken before the pool is opened: devices that are no files have no lock of their own.
 */
export class ControlClaim {
  private readonly key: string;
  private readonly lock: FileLock | null;

  private constructor(key: string, lock: FileLock | null) {
    this.key = key;
    this.lock = lock;
  }

  /** @throws UltimaError DEVICE_BUSY while another process serves them */
  static async take(devices: readonly string[]): Promise<ControlClaim> {
    const key = controlKey(devices);
    for (let i = 0; i < claimLooks; i++) {
      const lock = await FileLock.takeName(lockName(key));
      if (lock !== 'taken') return new ControlClaim(key, lock);
      await new Promise((resolve) => setTimeout(resolve, claimPauseMs));
    }
    const message = `another process serves the pool on ${devices.join(' ')}; end it first`;
    throw new UltimaError(ErrorCode.deviceBusy, message, {});
  }

  /**
   * A path to listen at, of which the socket of a dead server was taken away.
   *
   * @returns why there is none, when `path` is ''
   * @throws UltimaError DEVICE_BUSY, FILE_UNWRITABLE for something else that is there
   */
  async place(): Promise<{ readonly path: string; readonly why: string }> {
    const faults: string[] = [];
    for (const folder of controlFolders()) {
      const path = join(folder, this.key + suffix);
      const fault = fits(path) ? makeFolder(folder) : `${path} is longer than a socket's name`;
      if (fault !== null) {
        faults.push(fault);
        continue;
      }
      await sweep(folder);
      // Where there are no locks somebody may listen there.
      await clearPath(path);
      return { path, why: '' };
    }
    return { path: '', why: faults.join('; ') || 'this system has no folder for it' };
  }

  release(): void {
    this.lock?.release();
  }
}

function lockName(key: string): string {
  return `pool-${process.getuid?.() ?? 0}-${key}`;
}

/** Files are what they are, whatever they are called; everything else is its address. */
function deviceIdentity(name: string): string {
  const file = /^sim:.*[?&]file=([^&]*)/s.exec(name)?.[1];
  const isAddress = /^[a-z-]+:/.test(name);
  if (isAddress && file === undefined) return name.replace(/\?.*$/s, '');
  const path = file === undefined ? name : decoded(file);
  return `file-${fileIdentity(path) ?? path}`;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function fits(path: string): boolean {
  return Buffer.byteLength(path) <= longestPathBytes;
}

/** @returns why it cannot be; null when it is there now */
function makeFolder(folder: string): string | null {
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : '';
    if (code !== 'EEXIST') return `${folder} cannot be made (${code})`;
  }
  return folderFault(folder);
}

/** Whoever may write to it could listen in the place of the server. */
function folderFault(folder: string): string | null {
  const stats = lstatOf(folder);
  if (stats === undefined) return `${folder} is not there`;
  const isAlone = (stats.mode & 0o077) === 0;
  if (isOwn(stats, 'folder') && isAlone) return null;
  return `${folder} is no folder that belongs to this user alone (mode 0700)`;
}

function isOwn(stats: Stats | undefined, kind: 'folder' | 'socket'): boolean {
  if (stats === undefined || stats.uid !== process.getuid?.()) return false;
  return kind === 'folder' ? stats.isDirectory() : stats.isSocket();
}

function lstatOf(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}

/** Take away sockets of servers that were killed: those whose claim nobody has. */
async function sweep(folder: string): Promise<void> {
  const pattern = new RegExp(`^([0-9a-f]{${keyHexDigits}})\\${suffix}$`);
  for (const name of readdirSync(folder).slice(0, mostSwept)) {
    const key = pattern.exec(name)?.[1];
    if (key === undefined) continue;
    const lock = await FileLock.takeName(lockName(key));
    if (lock === 'taken' || lock === null) continue;
    const path = join(folder, name);
    if (lstatOf(path)?.isSocket() === true) unlinkSync(path);
    lock.release();
  }
}
