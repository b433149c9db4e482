import { existsSync, lstatSync, unlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { ErrorCode, UltimaError } from '../errors.js';
import type { Place } from './stream.js';

/** Nobody answers at a place. */
export function unreachable({ host, port }: Place, why: string, cause?: unknown): UltimaError {
  return new UltimaError(
    ErrorCode.backendUnavailable,
    `${host}:${port} cannot be reached: ${why}; is a target listening there?`,
    { host, port, reason: why },
    cause,
  );
}

/** Why a place cannot be listened at. @param code  as Node names errors: 'EADDRINUSE' */
export function cannotListen({ host, port }: Place, code: string, cause?: unknown): UltimaError {
  const place = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  if (code === 'EADDRINUSE') return inUse(place);
  const message = `cannot listen at ${place}: ${hostReason(code)}`;
  return new UltimaError(
    ErrorCode.addressInvalid,
    message,
    { address: place, reason: code },
    cause,
  );
}

/** Why a path cannot be listened at. */
export function cannotListenAt(path: string, code: string, cause?: unknown): UltimaError {
  if (code === 'EADDRINUSE') return inUse(path);
  const message = `cannot listen at ${path}: ${pathReason(path, code)}`;
  return new UltimaError(ErrorCode.fileUnwritable, message, { address: path, reason: code }, cause);
}

/**
 * Make room for a socket: one that nobody answers at is removed.
 *
 * @throws UltimaError DEVICE_BUSY when somebody answers, FILE_UNWRITABLE for what is no socket
 */
export async function clearPath(path: string): Promise<void> {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (!stat.isSocket()) {
    const message = `${path} is there and is no socket; name another path, or remove it`;
    throw new UltimaError(ErrorCode.fileUnwritable, message, { path });
  }
  if (await isAnswered(path)) throw inUse(path);
  unlinkSync(path);
}

export function codeOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : '';
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    // Refused: nobody listens. Anything else (no rights, a full queue) is somebody.
    socket.once('error', (error) => resolve(codeOf(error) !== 'ECONNREFUSED'));
  });
}

function inUse(place: string): UltimaError {
  return new UltimaError(
    ErrorCode.deviceBusy,
    `another process listens at ${place}; end it, or choose another place`,
    { address: place },
  );
}

function pathReason(path: string, code: string): string {
  // A missing folder is reported as missing rights.
  if (!existsSync(dirname(path))) return 'its folder is not there';
  const isDenied = code === 'EACCES' || code === 'EPERM';
  return isDenied ? 'this user has no right to make a socket there' : code;
}

function hostReason(code: string): string {
  if (code === 'EACCES' || code === 'EPERM') {
    return 'this user has no right to this port; those below 1024 are for root';
  }
  const isUnknown = ['EADDRNOTAVAIL', 'ENOTFOUND', 'EAI_AGAIN', 'EINVAL'].includes(code);
  return isUnknown ? 'this machine has no such address' : code;
}
