import { Served, ultima } from '../clients/served.js';
import type { ServedDisk } from './machine.js';

const name = 'db';
/** Times that the cases have the server killed. */
export const killCount = 3;

/**
 * Serve a volume while a machine runs that has it as its disk. The pool lies on a simulated card,
 * whose volatile cache is lost with the process; the server writes through, because QEMU connects
 * again and goes on as if nothing had happened.
 *
 * @returns what was wrong with the pool or its server, in words; null for nothing
 */
export async function withDatabaseDisk(
  run: (disk: ServedDisk) => Promise<void>,
): Promise<string | null> {
  const served = new Served();
  const card = `sim:simple?bytes=256MiB&file=${served.file('card')}`;
  const words = ['volume', name, '--pool', card, '--write-through'];
  let fault: string | null = null;
  let kills = 0;
  let restart: Promise<void> = Promise.resolve();
  const killed = async (): Promise<void> => {
    await served.stop('SIGKILL');
    await served.start(...words);
    kills++;
  };
  const kill = (): void => {
    restart = restart.then(killed).catch((error: unknown) => {
      fault = `no server after ${kills} kills: ${String(error)}`;
    });
  };
  try {
    await ultima('pool', 'create', card);
    await ultima('volume', 'create', name, '--bytes', '160m', '--pool', card);
    await served.start(...words);
    await run({ socket: served.socket, name, kill });
    await restart;
    if (fault !== null) return fault;
    if (kills !== killCount) return `the server was killed ${kills} times, not ${killCount}`;
    const code = await served.stop('SIGTERM');
    if (code !== 0) return `the last server ended with ${code}`;
    await ultima('pool', 'check', card);
    return null;
  } catch (error) {
    return String(error);
  } finally {
    await served.end();
  }
}
