import * as assert from 'uvu/assert';
import { moveServed, native } from '../../native/index.js';
import type { PciFunction } from '../../sdk/device.js';
import { UltimaError } from '../../sdk/errors.js';
import { NvmeController } from '../../sdk/nvme/controller.js';
import type { ControllerEvent } from '../../sdk/nvme/events.js';
import type { Namespace } from '../../sdk/nvme/namespace.js';
import { open } from '../../sdk/open.js';
import { ServerProcess } from '../support/served/server-process.js';
import { skip, suite } from '../support/suite.js';

const test = suite('a served card that moves to another process');

/** A read takes a minute, unless the time of the card is faster than ours. */
const card = 'sim:simple?bytes=64MiB&media.readNs=60000000000';
const fast = ['--movable', '--time-scale', '1000'];
const blockCount = 32;

/** Servers, one for each list of options, and the driver on the first. */
interface Scene {
  readonly servers: readonly ServerProcess[];
  readonly fn: PciFunction;
  readonly controller: NvmeController;
  readonly namespace: Namespace;
  /** What the driver noticed. */
  readonly events: ControllerEvent[];
}

function statement(
  title: string,
  places: readonly (readonly [card: string, options: readonly string[]])[],
  body: (scene: Scene) => Promise<void>,
): void {
  test(title, async () => {
    if (!native.isAvailable) return skip(`native addon: ${native.unavailableReason}`);
    const servers = places.map(([each]) => new ServerProcess(each));
    const events: ControllerEvent[] = [];
    try {
      await Promise.all(servers.map((server, i) => server.start(places[i]![1])));
      const fn = await open(`${servers[0]!.address}?arena=64KiB`);
      const onEvent = (event: ControllerEvent) => events.push(event);
      const controller = await NvmeController.open(fn, { onEvent, eventRequests: 0 });
      const namespace = await controller.namespace(1);
      await body({ servers, fn, controller, namespace, events });
      await controller.close();
    } finally {
      for (const server of servers) await server.remove();
    }
  });
}

function block(namespace: Namespace, lba: number): Uint8Array {
  return new Uint8Array(namespace.blockBytes).fill(0x40 + lba);
}

async function writeAll(namespace: Namespace): Promise<void> {
  const lbas = Array.from({ length: blockCount }, (_, lba) => lba);
  await Promise.all(lbas.map((lba) => namespace.write(lba, block(namespace, lba))));
}

/** Resolves when all blocks have been read; they must hold what `writeAll` wrote. */
async function readAll(namespace: Namespace): Promise<void> {
  const targets = Array.from({ length: blockCount }, () => new Uint8Array(namespace.blockBytes));
  await Promise.all(targets.map((target, lba) => namespace.read(lba, target)));
  for (const [lba, target] of targets.entries()) assert.equal(target, block(namespace, lba));
}

statement(
  'commands in flight end in the other process, and the driver notices nothing',
  [
    [card, ['--movable']],
    [card, fast],
    [card, fast],
  ],
  async ({ servers, fn, namespace, events }) => {
    const [first, second, third] = servers;
    await writeAll(namespace);
    const reading = readAll(namespace);
    // A minute is not over: the first process can have ended none of them.
    moveServed(fn, second!.address);
    await first!.end('SIGKILL');
    await reading;
    const later = block(namespace, 99);
    await namespace.write(blockCount, later);
    const again = readAll(namespace);
    moveServed(fn, third!.address);
    await second!.end('SIGKILL');
    await again;
    const back = new Uint8Array(namespace.blockBytes);
    await namespace.read(blockCount, back);
    assert.equal(back, later);
    assert.is(fn.isRemoved, false);
    assert.equal(events, []);
    await third!.end('SIGKILL');
    const error = await namespace.read(0, back).catch((thrown: unknown) => thrown);
    assert.ok(error instanceof UltimaError, 'without its last server the card is gone');
    assert.is(fn.isRemoved, true);
  },
);

statement(
  'a move that fails leaves the card where it was, with what is in flight',
  [
    [card, fast],
    [card, ['--time-scale', '1000']],
    ['sim:ultima-g2', ['--movable']],
    [card.replace('64MiB', '32MiB'), ['--movable']],
  ],
  async ({ servers, fn, controller, namespace, events }) => {
    const [, unmovable, another, smaller] = servers;
    await writeAll(namespace);
    const refusals: readonly (readonly [address: string, code: string, text: RegExp])[] = [
      ['vfio-user:/nowhere/cntrl', 'BACKEND_UNAVAILABLE', /there is nothing/],
      [unmovable!.address, 'DEVICE_UNSUPPORTED', /with --movable/],
      [another!.address, 'DEVICE_UNSUPPORTED', /serves another card than/],
      [smaller!.address, 'DEVICE_MISBEHAVED', /MIG_DEVICE_STATE with error/],
    ];
    for (const [address, code, text] of refusals) {
      const reading = readAll(namespace);
      let thrown: unknown = null;
      try {
        moveServed(fn, address);
      } catch (error) {
        thrown = error;
      }
      assert.ok(thrown instanceof UltimaError, address);
      assert.is(thrown.code, code);
      assert.match(thrown.message, text);
      await reading;
    }
    for (const server of [unmovable, another, smaller]) await server!.end('SIGKILL');
    // A queue pair needs more memory than there is: the server hears of it still.
    const queuePair = await controller.createQueuePair({ entries: 1024 });
    await readAll(await controller.namespace(1, { queuePair }));
    assert.equal(events, []);
    assert.is(fn.isRemoved, false);
  },
);

test('a card of this process cannot be moved', async () => {
  const fn = await open('sim:simple');
  assert.throws(() => moveServed(fn, 'vfio-user:/nowhere/cntrl'), /no function that another/);
  await fn.close();
});

test.run();
