import { createInterface } from 'node:readline';
import * as assert from 'uvu/assert';
import { MonotonicClock } from '../../../native/vfio/clock.js';
import { MemoryDevice } from '../../../sdk/block/memory.js';
import { readBlocks, writeBlocks } from '../../../sdk/block/promised.js';
import { openDevice } from '../../../sdk/cli/block-device.js';
import { NvmeTcpTarget } from '../../../sdk/fabric/target.js';
import { MiB } from '../../../sdk/units.js';
import { ServedPool, saying } from '../../support/served-pool.js';
import { suite } from '../../support/suite.js';

const test = suite('commands for a pool on another machine, that a process serves over NVMe/TCP');
const rig = new ServedPool();
const nqn = 'nqn.2026-11.io.ultima:far';
let target: NvmeTcpTarget | null = null;
/** Address of the pool's device: a target takes any number of hosts, so no lock is on it. */
let far = '';

test.before(async () => {
  const blockBytes = 512;
  const clock = new MonotonicClock();
  const device = new MemoryDevice({ blockBytes, blockCount: (32 * MiB) / blockBytes, clock });
  const nguid = new Uint8Array(16).fill(1);
  target = await NvmeTcpTarget.start({
    listen: ['127.0.0.1:0'],
    subsystems: [{ nqn, namespaces: [{ nsid: 1, device, nguid }] }],
  });
  far = `nvme-tcp:127.0.0.1:${target.places[0]!.port}/${nqn}/1`;
  assert.is((await saying(`pool create ${far}`)).fault, '');
  assert.is((await saying(`volume create db --bytes 1m --pool ${far}`)).fault, '');
});

test.after(async () => {
  rig.end();
  await target?.close();
});

/** `ultima serve volume db` on it. @returns what it says until it serves, or to its end */
async function serve(): Promise<{ readonly said: string; end(): Promise<number | null> }> {
  const words = `serve volume db --pool ${far} --nvme-tcp 127.0.0.1:0`;
  const { child, ended } = rig.start(words);
  let said = '';
  for await (const line of createInterface({ input: child.stderr! })) {
    said += `${line}\n`;
    if (line.includes('is served at')) break;
  }
  const end = async (): Promise<number | null> => {
    child.kill('SIGTERM');
    return (await ended).code;
  };
  return { said, end };
}

test('one process serves it at a time, and does what others ask for, its hosts connected', async () => {
  const first = await serve();
  const address = /is served at (nvme-tcp:\S+)/.exec(first.said)![1]!;
  const second = await serve();
  assert.match(
    second.said,
    /^ultima: another process serves the pool on nvme-tcp:.*; end it first\n$/,
  );
  assert.is(await second.end(), 1);
  const host = await openDevice(address);
  const block = new Uint8Array(4096);
  await writeBlocks(host.device, 0, block.fill(1));
  assert.is((await saying(`snapshot create db@s --pool ${far}`)).fault, '');
  await writeBlocks(host.device, 0, block.fill(2));
  const diff = await saying(`snapshot diff db@s db --pool ${far} -o json`);
  assert.equal(JSON.parse(diff.out), {
    ranges: [{ byteOffset: 0, byteLength: 4096, isData: true }],
  });
  const line = `snapshot restore db@s --keep kept --pool ${far}`;
  assert.match(
    (await saying(line)).fault,
    /^VOLUME_BUSY: 1 client of process \d+ may use volume db/,
  );
  await host.close();
  let said = await saying(line);
  // The server may not have seen yet that the host is gone.
  while (said.fault.startsWith('VOLUME_BUSY')) said = await saying(line);
  assert.is(said.fault, '');
  const next = await openDevice(address);
  await readBlocks(next.device, 0, block);
  assert.equal(block, new Uint8Array(4096).fill(1));
  await next.close();
  assert.is(await first.end(), 0);
  assert.match((await saying(`snapshot list db --pool ${far}`)).out, /\ns .*\nkept /);
  assert.is((await saying(`pool check ${far}`)).out, 'the pool is sound\n');
});

test.run();
