import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import * as assert from 'uvu/assert';
import { loadAddon } from '../../native/load.js';
import { UltimaError } from '../../sdk/errors.js';
import { NvmeController } from '../../sdk/nvme/controller.js';
import type { ControllerEvent } from '../../sdk/nvme/events.js';
import { open } from '../../sdk/open.js';
import { Killer } from '../support/served/killer.js';
import { ServerProcess } from '../support/served/server-process.js';
import { skip, suite } from '../support/suite.js';

const served = suite('a card that another process serves');
const loaded = loadAddon();
const execute = promisify(execFile);
const runner = fileURLToPath(new URL('./run.js', import.meta.url));
const command = fileURLToPath(new URL('../../sdk/cli/main.js', import.meta.url));
const fixture = fileURLToPath(
  new URL('../../../fixtures/traces/ext4-sqlite.blkparse.gz', import.meta.url),
);

const card = 'sim:simple?bytes=64GiB';
let server: ServerProcess | null = null;

served.before(async () => {
  if (loaded.kernel === null) return;
  server = new ServerProcess(card);
  await server.start();
});
served.after(() => server?.remove());

function withAddon(title: string, body: () => Promise<void>): void {
  served(title, async () => {
    if (loaded.kernel !== null) return body();
    skip(`native addon: ${loaded.unavailableReason}`);
  });
}

async function ultima(...words: readonly string[]): Promise<string> {
  return (await execute(process.execPath, [command, ...words])).stdout;
}

withAddon('meets the statements about interrupts and about memory in a window', async () => {
  // All of the suite is `npm run test:served`.
  const filters = ['interrupts', 'memory-buffer'].map((subject) => `conformance/${subject}.`);
  const { stdout } = await execute(process.execPath, [runner, ...filters]);
  assert.match(stdout, /\n20 passed, 0 failed\n$/);
});

withAddon('is identified as the same card in this process is', async () => {
  const [here, there] = await Promise.all([
    ultima('id-ctrl', card, '-H'),
    ultima('id-ctrl', server!.address, '-H'),
  ]);
  assert.is(there, here);
});

withAddon('has every byte of a recorded workload', async () => {
  const text = await ultima(
    ...['replay', fixture, '--card', server!.address, '--mode', 'depth', '--limit', '1000'],
    ...['--report', 'none', '--perfetto', 'none', '--json'],
  );
  const result: unknown = JSON.parse(text);
  assert.ok(typeof result === 'object' && result !== null);
  // As the same 1000 requests on a card in this process: what was written is read back.
  const wanted = { requests: 1000, verifiedBytes: 81_617_920, mismatches: 0, failed: 0 };
  assert.equal({ ...wanted, ...pick(result, Object.keys(wanted)) }, wanted);
});

function pick(object: object, keys: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).filter(([key]) => keys.includes(key)));
}

withAddon('works without shared memory, when each byte it moves is a message', async () => {
  const controller = await NvmeController.open(await open(`${server!.address}?shared=0`));
  const namespace = await controller.namespace(1);
  const blocks = Array.from({ length: 20 }, (_, lba) =>
    new Uint8Array(8 * namespace.blockBytes).fill(lba + 1),
  );
  await Promise.all(blocks.map((block, i) => namespace.write(8 * i, block)));
  for (const [i, block] of blocks.entries()) {
    const back = new Uint8Array(block.length);
    await namespace.read(8 * i, back);
    assert.equal(back, block);
  }
  await controller.close();
});

withAddon('takes resets under I/O, and each request ends by name', async () => {
  const controller = await NvmeController.open(await open(server!.address));
  const namespace = await controller.namespace(1);
  const block = (lba: number, value: number) =>
    new Uint8Array(namespace.blockBytes).fill((lba + value) & 0xff);
  const lbas = Array.from({ length: 64 }, (_, lba) => lba);
  await Promise.all(lbas.map((lba) => namespace.write(lba, block(lba, 1))));
  for (let round = 2; round < 8; round++) {
    const running = lbas.map((lba) =>
      namespace.write(lba, block(lba, round)).then(
        () => 'completed',
        (error: unknown) => (error instanceof UltimaError ? error.facts.outcome : error),
      ),
    );
    if (round % 2 === 0) await controller.reset();
    else await controller.fn.reset('function');
    for (const word of await Promise.all(running)) {
      assert.ok(['completed', 'unknown', 'not executed'].includes(String(word)), String(word));
    }
    if (round % 2 === 1) await controller.reset();
    await Promise.all(lbas.map((lba) => namespace.write(lba, block(lba, round))));
    for (const lba of lbas) {
      const back = new Uint8Array(namespace.blockBytes);
      await namespace.read(lba, back);
      assert.equal(back, block(lba, round), `block ${lba} in round ${round}`);
    }
  }
  await controller.close();
});

withAddon('comes back with its server, reset, under the same driver', async () => {
  const mortal = new ServerProcess('');
  mortal.card = `sim:simple?bytes=8MiB&file=${join(mortal.folder, 'medium')}`;
  const killer = await Killer.start();
  const events: ControllerEvent[] = [];
  try {
    await mortal.start();
    const fn = await open(`${mortal.address}?reconnectMs=15000`);
    const onEvent = (event: ControllerEvent) => events.push(event);
    const controller = await NvmeController.open(fn, { onEvent });
    const namespace = await controller.namespace(1);
    const data = new Uint8Array(namespace.blockBytes).fill(0x77);
    await namespace.write(5, data, { isFua: true });
    const replaced = killer.killAndRestart(mortal.pid, 0, mortal.words);
    const back = new Uint8Array(namespace.blockBytes);
    // What was in flight has ended by name; whatever comes after it works.
    for (let i = 0; i < 100 && events.length === 0; i++) {
      await namespace.read(5, back).catch((error: unknown) => {
        assert.ok(error instanceof UltimaError && error.facts.outcome !== 'failed');
      });
      await fn.clock.turn(fn.clock.nowNs() + 20e6);
    }
    await replaced;
    await namespace.read(5, back);
    assert.equal(back, data);
    assert.is(fn.isRemoved, false);
    const [first] = events;
    assert.is(first?.kind, 'recovery');
    assert.match(JSON.stringify(first), /"controller reset","isSuccess":true/);
    await controller.close();
  } finally {
    await killer.close();
    await mortal.remove();
  }
});

served.run();
