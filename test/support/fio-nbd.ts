import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { type Ended, run } from '../clients/served.js';

const reconnectSeconds = 60;
const startMs = 20_000;
const fioLimitMs = 180_000;

/** Which of these programs are not here: a campaign that needs them says so. */
export function missing(...tools: readonly string[]): string[] {
  return tools.filter((tool) => spawnSync('which', [tool]).status !== 0);
}

/**
 * QEMU's server between fio and a server of ours that comes and goes. fio knows no way on when its
 * connection is lost; as a client of ours this one connects again, sends again what was not
 * answered, and goes on. fio sees one disk from its first write to its last checksum.
 */
export class Between {
  /** Where fio finds the disk. */
  readonly socket: string;
  private child: ChildProcess | null = null;

  constructor(socket: string) {
    this.socket = socket;
  }

  /** @param back  socket of ours, now and whenever it connects again */
  async start(back: string): Promise<void> {
    const driver = `driver=nbd,server.type=unix,server.path=${back}`;
    const image = `${driver},reconnect-delay=${reconnectSeconds}`;
    const words = ['--persistent', '-e', '4', '-k', this.socket, '--image-opts', image];
    this.child = spawn('qemu-nbd', words, { stdio: ['ignore', 'ignore', 'inherit'] });
    await listening(this.socket);
  }

  async end(): Promise<void> {
    const { child } = this;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const closed = once(child, 'close');
    child.kill('SIGKILL');
    await closed;
  }
}

export interface FioPlace {
  readonly socket: string;
  /** For what fio leaves behind. */
  readonly folder: string;
  readonly blockBytes: number;
  readonly blocks: number;
  /** Equal for those who write and those who verify what these have written. */
  readonly seed?: number;
}

/** fio with a CRC-32C in every block. */
export function fio(place: FioPlace, ...words: readonly string[]): Promise<Ended> {
  const { socket, folder, blockBytes, blocks, seed = 1 } = place;
  const size = [`--bs=${blockBytes}`, `--size=${blocks * blockBytes}`, '--verify=crc32c'];
  const where = [`--uri=nbd+unix:///?socket=${socket}`, `--aux-path=${folder}`];
  const fixed = ['--name=w', '--ioengine=nbd', `--randseed=${seed}`, ...size, ...where];
  return run({ program: 'fio', limitMs: fioLimitMs }, ...fixed, ...words);
}

/** Until somebody listens there. */
async function listening(path: string): Promise<void> {
  const untilMs = performance.now() + startMs;
  for (;;) {
    const socket = connect(path);
    const isThere = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true));
      socket.once('error', () => resolve(false));
    });
    socket.destroy();
    if (isThere) return;
    if (performance.now() > untilMs) throw new Error(`nobody listens at ${path}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
