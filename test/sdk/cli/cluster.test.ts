import { randomFillSync } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { MonotonicClock } from '../../../native/vfio/clock.js';
import { writeBlocks } from '../../../sdk/block/promised.js';
import { run } from '../../../sdk/cli/cluster.js';
import type { Terminal } from '../../../sdk/cli/terminal.js';
import { FileStore } from '../../../sdk/cluster/file-store.js';
import { StoreServer } from '../../../sdk/cluster/store-server.js';
import { until } from '../../support/fabric-rig.js';
import { Cluster, filled } from '../../support/node-cluster.js';
import { suite } from '../../support/suite.js';
import { assertRejects } from '../cluster/contract.js';

const test = suite('ultima cluster');

/** What a command prints, and what it says beside. */
class Screen implements Terminal {
  printed = '';
  said = '';
  readonly isInteractive = false;
  readonly columns = 80;

  out(data: string | Uint8Array): void {
    this.printed += String(data);
  }

  say(line: string): void {
    this.said += `${line}\n`;
  }

  progress(): void {}
}

test('copies are added, moved and removed, with the volume attached and without', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ultima-cli-'));
  const random = (bytes: Uint8Array): void => void randomFillSync(bytes);
  const store = await FileStore.open({ folder, clock: new MonotonicClock(), random });
  const server = await StoreServer.listen({ store, port: 0 });
  const cluster = new Cluster(store);
  const ultima = async (...words: string[]): Promise<Screen> => {
    const screen = new Screen();
    assert.is(await run([...words, '--store', server.endpoint], screen), 0);
    return screen;
  };
  const refused = (pattern: RegExp, ...words: string[]) => {
    return assertRejects(() => ultima(...words), pattern);
  };
  try {
    await cluster.start(4);
    const made = await ultima('create', 'db', '--bytes', '1m', '--mirrors', '2', '--near', 'n2');
    const [, first, second] = /on (\w+), (\w+)/.exec(made.printed)!;
    assert.is(first, 'n2');
    const [third, fourth] = ['n1', 'n3', 'n4'].filter((node) => node !== second);
    const attachment = await cluster.attach('a');
    await writeBlocks(attachment.device, 0, filled(1));
    const added = await ultima('add-member', 'db', '--node', third!);
    assert.is(added.printed, `volume db is on n2, ${second}, ${third}\n`);
    assert.match(added.said, new RegExp(`${third} gets everything; attached by a`));
    await refused(/has 3 members, which are the most/, 'add-member', 'db');
    await ultima('replace-node', second!, fourth!);
    const grown = await ultima('grow', 'db', '--bytes', '2m');
    assert.is(grown.printed, 'volume db has 2.10 MB\n');
    assert.is(attachment.device.blockCount, 512);
    await refused(/has 2097152 bytes; it cannot shrink to 1048576/, 'grow', 'db', '--bytes', '1m');
    await refused(/how large\? --bytes SIZE/, 'grow', 'db');
    await attachment.detach();
    await ultima('grow', 'db', '--bytes', '3m');
    const removed = await ultima('remove-member', 'db', '--node', 'n2');
    assert.is(removed.printed, `volume db is on ${third}, ${fourth}\n`);
    await refused(/has no member on n2; it has some on/, 'remove-member', 'db', '--node', 'n2');
    // It takes another one when it has taken the former one away, and said so.
    const { agent } = cluster.nodes.find(({ name }) => name === 'n2')!;
    await until('n2 has removed its copy', () => agent.memberCount === 0);
    await agent.settled();
    await ultima('replace-node', third!, 'n2');
    assert.match((await ultima('volumes')).printed, new RegExp(`db +3.15 MB +ready +${fourth}:`));
    await refused(/no node named n9/, 'replace-node', 'n2', 'n9');
    await refused(/which one\? --node NODE/, 'remove-member', 'db');
    await refused(/replace-node OLD NEW/, 'replace-node', 'n2');
    await refused(
      /--bytes does not go with 'ultima cluster add/,
      'add-member',
      'db',
      '--bytes',
      '1m',
    );
    await refused(/--node does not go with/, 'replace-node', 'n2', 'n3', '--node', 'n4');
    await refused(new RegExp(`node ${fourth} has members of db`), 'remove-node', fourth!);
    await ultima('remove-node', third!);
    for (const data of await cluster.contents(4)) assert.equal(data, filled(1));
  } finally {
    await server.close();
    await cluster.end();
    rmSync(folder, { recursive: true });
  }
});

test('a folder for a cluster that cannot be made is named, and nothing is started', async () => {
  const screen = new Screen();
  const up = () => run(['up', '--dir', '/dev/null/cluster', '--store-port', '0'], screen);
  const error = await assertRejects(up, /\/dev\/null\/cluster cannot be made: ENOTDIR/);
  assert.is(error?.code, 'FILE_UNWRITABLE');
  assert.is(screen.said, '');
});

test.run();
