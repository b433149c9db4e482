import * as assert from 'uvu/assert';
import { BlockOp, BlockRequest, BlockStatus, blockFlagFua } from '../../../sdk/block/request.js';
import type { RemoteNamespace } from '../../../sdk/fabric/remote-namespace.js';
import { fabricRig, HeldDevice, nguidOf, rigNqn, until } from '../../support/fabric-rig.js';
import { suite } from '../../support/suite.js';

const test = suite('durable writes over NVMe/TCP');

const { flush, read, write, writeZeroes } = BlockOp;
const fua = blockFlagFua;

/** A device that writes down what it is asked, as 'write 8+16 fua'. */
class Watched extends HeldDevice {
  readonly log: string[] = [];

  constructor(canWriteZeroes: boolean) {
    super();
    Object.assign(this.limits, { canWriteZeroes, maxTransferBytes: 32 * 1024 });
  }

  override submit(request: BlockRequest): void {
    const names: Readonly<Record<number, string>> = {
      1: 'read',
      2: 'write',
      3: 'flush',
      5: 'zeroes',
    };
    const { op, lba, blockCount, flags } = request;
    const place = op === flush ? '' : ` ${lba}+${blockCount}`;
    this.log.push(`${names[op]}${place}${flags === fua ? ' fua' : ''}`);
    super.submit(request);
  }
}

interface Asked {
  readonly op: BlockOp;
  readonly count: number;
  readonly flags: number;
}

async function ask(device: RemoteNamespace, { op, count, flags }: Asked): Promise<void> {
  const ends: BlockStatus[] = [];
  const request = new BlockRequest(({ status }) => ends.push(status));
  Object.assign(request, { op, flags, lba: op === flush ? 0 : 8, blockCount: count });
  if (op === read || op === write) {
    request.setData(device.memory.allocate(count * 512), 0, count * 512);
  }
  device.submit(request);
  await until('the request has ended', () => {
    device.poll();
    return ends.length > 0;
  });
  assert.equal(ends, [BlockStatus.ok]);
}

/** What the device is asked for when a host asks for this. */
async function asked(
  wanted: Asked,
  { isWriteThrough = false, canWriteZeroes = true } = {},
): Promise<string[]> {
  const device = new Watched(canWriteZeroes);
  const namespaces = [{ nsid: 1, device, nguid: nguidOf(1), isWriteThrough }];
  const rig = await fabricRig({ nqn: rigNqn, namespaces });
  try {
    const host = await rig.connect();
    await ask(host.namespace(1), wanted);
    return device.log;
  } finally {
    await rig.close();
  }
}

test('a write with FUA is one at the device, in each of its parts, and no other write is', async () => {
  assert.equal(await asked({ op: write, count: 8, flags: fua }), ['write 8+8 fua']);
  assert.equal(await asked({ op: write, count: 8, flags: 0 }), ['write 8+8']);
  assert.equal(await asked({ op: read, count: 8, flags: 0 }), ['read 8+8']);
  const parts = ['write 8+64 fua', 'write 72+64 fua', 'write 136+2 fua'];
  assert.equal(await asked({ op: write, count: 130, flags: fua }), parts);
  assert.equal(await asked({ op: flush, count: 0, flags: 0 }), ['flush']);
});

test('zeroes with FUA are durable, also where they have to be written', async () => {
  assert.equal(await asked({ op: writeZeroes, count: 200, flags: fua }), ['zeroes 8+200 fua']);
  assert.equal(await asked({ op: writeZeroes, count: 200, flags: 0 }), ['zeroes 8+200']);
  for (const flags of [0, fua]) {
    const log = await asked({ op: writeZeroes, count: 130, flags }, { canWriteZeroes: false });
    const words = log.map((line) => line.split(' '));
    assert.ok(
      words.every(([op, , end]) => op === 'write' && end === (flags === fua ? 'fua' : undefined)),
    );
    const counts = words.map(([, place]) => Number(place!.split('+')[1]));
    assert.is(
      counts.reduce((sum, count) => sum + count, 0),
      130,
    );
  }
});

test('where a namespace writes through, every change is durable, and reads are as they were', async () => {
  const through = { isWriteThrough: true };
  assert.equal(await asked({ op: write, count: 8, flags: 0 }, through), ['write 8+8 fua']);
  assert.equal(await asked({ op: writeZeroes, count: 8, flags: 0 }, through), ['zeroes 8+8 fua']);
  assert.equal(await asked({ op: read, count: 8, flags: 0 }, through), ['read 8+8']);
});

test.run();
