import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import * as assert from 'uvu/assert';
import { native } from '../../native/index.js';
import { NvmeController, open, UltimaError } from '../../sdk/index.js';
import { skip, suite } from '../support/suite.js';

const test = suite('a served card');
const main = fileURLToPath(new URL('../../sdk/cli/main.js', import.meta.url));

/** `ultima serve` in a process of its own: a client holds its thread while it waits. */
class Server {
  readonly folder = mkdtempSync(join(tmpdir(), 'ultima-serve-'));
  readonly said: string[] = [];
  private child: ChildProcess | null = null;

  /** Until it says that it serves, or ends. */
  async start(words: readonly string[], folder = this.folder): Promise<void> {
    const all = [main, 'serve', 'card', ...words, '--vfio-user', folder];
    const child = spawn(process.execPath, all, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.child = child;
    const lines = createInterface({ input: child.stderr! });
    const served = words.filter((word) => word.startsWith('sim:')).length;
    await new Promise<void>((resolve) => {
      lines.on('line', (line) => {
        this.said.push(line);
        if (this.said.filter((said) => said.includes('is served at')).length === served) resolve();
      });
      lines.once('close', resolve);
    });
  }

  /** @returns the exit code, or the signal */
  async stop(signal: NodeJS.Signals): Promise<number | string | null> {
    const child = this.child!;
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
    child.kill(signal);
    const [code, by] = await once(child, 'close');
    return code ?? by;
  }

  async end(): Promise<void> {
    await this.stop('SIGKILL');
    rmSync(this.folder, { recursive: true });
  }
}

function statement(title: string, body: (server: Server) => Promise<void>): void {
  test(title, async () => {
    if (!native.isAvailable) skip(`native addon: ${native.unavailableReason}`);
    const server = new Server();
    try {
      await body(server);
    } finally {
      await server.end();
    }
  });
}

/** What a card keeps, also between clients. */
async function writeAndRead(address: string, lba: number, value: number): Promise<Uint8Array> {
  const controller = await NvmeController.open(await open(address));
  try {
    const namespace = await controller.namespace(1);
    const before = new Uint8Array(namespace.blockBytes);
    await namespace.read(lba, before);
    await namespace.write(lba, new Uint8Array(namespace.blockBytes).fill(value));
    await namespace.flush();
    const back = new Uint8Array(namespace.blockBytes);
    await namespace.read(lba, back);
    assert.ok(back.every((byte) => byte === value));
    return before;
  } finally {
    await controller.close();
  }
}

statement('the driver works on it as on any card, one client after the other', async (server) => {
  await server.start(['sim:simple']);
  const address = `vfio-user:${join(server.folder, 'cntrl')}`;
  assert.match(server.said[0]!, `sim:simple is served at ${address}`);
  assert.ok((await writeAndRead(address, 7, 0x5a)).every((byte) => byte === 0));
  assert.ok((await writeAndRead(address, 7, 0xa5)).every((byte) => byte === 0x5a));
  assert.is(await server.stop('SIGTERM'), 0);
  assert.is(existsSync(join(server.folder, 'cntrl')), false, 'the socket is removed');
  assert.match(server.said.at(-1)!, /SIGTERM: the card is closed/);
});

statement('several cards in one process are cards of their own', async (server) => {
  await server.start(['sim:simple', 'sim:ultima-g2']);
  const [first, second] = ['0', '1'].map((name) => join(server.folder, name, 'cntrl'));
  await writeAndRead(`vfio-user:${first}`, 0, 1);
  assert.ok((await writeAndRead(`vfio-user:${second}`, 0, 2)).every((byte) => byte === 0));
  assert.is(await server.stop('SIGINT'), 0);
});

statement('a server that is killed is a card that was pulled out', async (server) => {
  await server.start(['sim:simple']);
  const fn = await open(`vfio-user:${server.folder}`);
  const controller = await NvmeController.open(fn);
  const namespace = await controller.namespace(1);
  await server.stop('SIGKILL');
  const error = await namespace.read(0, new Uint8Array(512)).catch((thrown: unknown) => thrown);
  assert.ok(error instanceof UltimaError);
  assert.is(fn.isRemoved, true);
  await controller.close();
});

statement('a fault plan applies to a served card', async (server) => {
  const plan = join(server.folder, 'plan.json');
  const when = { command: { opcode: 'write' } };
  const faults = [{ kind: 'write fault', count: 1, when }];
  writeFileSync(plan, JSON.stringify({ seed: 1, faults }));
  await server.start(['sim:simple', '--faults', plan]);
  const controller = await NvmeController.open(await open(`vfio-user:${server.folder}`));
  const namespace = await controller.namespace(1);
  const block = new Uint8Array(namespace.blockBytes).fill(1);
  const error = await namespace.write(0, block).catch((thrown: unknown) => thrown);
  assert.ok(error instanceof UltimaError && /write fault/i.test(error.message), `${error}`);
  await namespace.write(0, block);
  await controller.close();
});

statement('a place where somebody serves is not taken', async (server) => {
  await server.start(['sim:simple']);
  const other = new Server();
  await other.start(['sim:simple'], server.folder);
  assert.is(await other.stop('SIGTERM'), 1);
  assert.match(other.said.join('\n'), /another process listens at/);
  await writeAndRead(`vfio-user:${server.folder}`, 0, 3);
  await other.end();
});

statement('a folder that cannot be made is named', async (server) => {
  await server.start(['sim:simple'], '/dev/null/x');
  assert.match(server.said.join(), /^ultima: the folder \/dev\/null\/x cannot be made: ENOTDIR/);
});

statement('the file of a served card is that of one process at a time', async (server) => {
  const file = join(server.folder, 'disk.img');
  const address = `sim:simple?bytes=1MiB&file=${encodeURIComponent(file)}`;
  // The first one makes the file, the next one finds it.
  for (let i = 0; i < 2; i++) {
    await server.start([address]);
    assert.match(String(await open(address).catch((error) => error)), /disk.img is in use/);
    const other = new Server();
    await other.start([address]);
    assert.match(other.said.join(), /disk.img is in use: another process writes to it/);
    assert.not(existsSync(join(other.folder, 'cntrl')));
    await other.end();
    assert.is(await server.stop('SIGTERM'), 0);
    server.said.length = 0;
  }
  const fn = await open(address);
  await server.start([address]);
  assert.match(server.said.join(), /disk.img is in use/);
  await fn.close();
});

test('what cannot be served is said before anything is made', async () => {
  const wrong: readonly (readonly [words: readonly string[], text: RegExp])[] = [
    [['card'], /say what to serve/],
    [['disk', 'sim:simple'], /say what to serve/],
    [['card', 'vfio:0000:01:00.0', '--vfio-user', '/nowhere'], /cannot be served/],
    [['card', 'sim:simple'], /--vfio-user DIR says where/],
    [['card', 'sim:simple', '--vfio-user', '/nowhere', '--time-scale', '0'], /--time-scale is 0/],
    [['card', 'sim:simple', '--vfio-user', '/nowhere', '--status', 'x'], /--status is x/],
    [['device'], /one device at a time/],
    [['device', 'memory:1KiB', 'memory:1KiB', '--nbd', 'tcp:x'], /one device at a time/],
    [['device', 'memory:1KiB'], /--nbd PLACE says where/],
    [['device', 'memory:1KB', '--nbd', 'tcp:x'], /must be a multiple of 512/],
    [['device', 'memory:1KiB', '--nbd', 'x'], /'x' is no place to listen/],
    [['device', 'memory:1KiB', '--nbd', 'tcp:x', '--tls-required'], /needs --tls DIR/],
    [['volume', 'db', '--nbd', 'tcp:x'], /--pool DEVICE/],
    [['volume', 'db@', '--pool', 'x', '--nbd', 'tcp:x'], /names neither a volume nor/],
  ];
  for (const [words, text] of wrong) {
    const child = spawn(process.execPath, [main, 'serve', ...words]);
    let said = '';
    child.stderr.on('data', (data) => {
      said += data;
    });
    const [code] = await once(child, 'close');
    assert.match(said, text);
    assert.is(code, 2);
  }
});

test.run();
