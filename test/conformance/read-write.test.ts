import * as assert from 'uvu/assert';
import { IdentifyController } from '../../sdk/spec/nvme/identify-controller.js';
import { Read, Write } from '../../sdk/spec/nvme/nvm-command.js';
import { Status } from '../../sdk/spec/nvme/status.js';
import { poison } from '../../sdk/testing/buffer.js';
import type { NamespaceFixture } from '../../sdk/testing/namespace.js';
import { TestPrng } from '../../sdk/testing/prng.js';
import type { QueueFixture } from '../../sdk/testing/queue.js';
import type { Rig } from '../../sdk/testing/rig.js';
import { StampBook } from '../../sdk/testing/stamps.js';
import { statements } from './statement.js';

const statement = statements('read and write');

const readCite = '[NVM-1.0 §3.2.4 Read]';
const writeCite = '[NVM-1.0 §3.2.6 Write]';

interface Bench {
  readonly ns: NamespaceFixture;
  readonly pair: QueueFixture;
}

async function bench(rig: Rig): Promise<Bench> {
  const ns = await rig.namespace();
  // Blocks with metadata or protection need more than data: they have statements of their own.
  rig.needs(ns.metadataBytes === 0, 'a namespace without metadata');
  return { ns, pair: await rig.queuePair({ entries: 64 }) };
}

/** Write random blocks and check that a read returns them. */
async function roundTrip({ ns, pair }: Bench, lba: number, count: number): Promise<void> {
  const data = ns.buffer(count).fill({ kind: 'random', seed: lba + count });
  await pair.runOk(ns.write({ lba, count }, data));
  const back = ns.buffer(count);
  await pair.runOk(ns.read({ lba, count }, back));
  assert.ok(back.equals(data), 'what was written is what is read');
}

for (const count of [1, 2, 3, 7, 8, 9, 15, 16, 17, 64]) {
  statement(`${count} blocks read as they were written`, writeCite, async (rig) => {
    const made = await bench(rig);
    rig.needs(count * made.ns.blockBytes <= (await rig.maxTransferBytes(2 ** 20)), 'the size');
    await roundTrip(made, 100, count);
  });
}

statement('the first block of a namespace reads as it was written', writeCite, async (rig) => {
  await roundTrip(await bench(rig), 0, 1);
});

statement('the last block of a namespace reads as it was written', writeCite, async (rig) => {
  const made = await bench(rig);
  await roundTrip(made, made.ns.blockCount - 1, 1);
});

statement('a transfer may end with the last block', writeCite, async (rig) => {
  const made = await bench(rig);
  await roundTrip(made, made.ns.blockCount - 8, 8);
});

for (const power of [31, 32, 33]) {
  statement(`a block at 2^${power} is not the block at 0`, writeCite, async (rig) => {
    const made = await bench(rig);
    rig.needs(made.ns.blockCount > 2 ** power, `more than 2^${power} blocks`);
    await roundTrip(made, 0, 1);
    await roundTrip(made, 2 ** power, 1);
    await roundTrip(made, 0, 1);
  });
}

statement(
  'the largest transfer reads as it was written',
  '[NVMe-2.0 §5.17.2.1 MDTS]',
  async (rig) => {
    const made = await bench(rig);
    const bytes = await rig.maxTransferBytes(2 ** 20);
    await roundTrip(made, 256, Math.min(0x1_0000, bytes / made.ns.blockBytes));
  },
);

for (const [name, which] of [
  ['read', 'read'],
  ['write', 'write'],
] as const) {
  statement(`a ${name} of more than MDTS is refused`, '[NVMe-2.0 §5.17.2.1 MDTS]', async (rig) => {
    const { ns, pair } = await bench(rig);
    rig.needs((await rig.id(IdentifyController.mdts)) !== 0, 'a transfer limit');
    const limit = await rig.maxTransferBytes(2 ** 40);
    const count = limit / ns.blockBytes + 1;
    rig.needs(count <= 0x1_0000, 'a transfer limit below 65536 blocks');
    const data = ns.buffer(count);
    rig.refused(await pair.run(ns[which]({ lba: 0, count }, data)), Status.invalidField);
    assert.ok(data.slice(0, 4096).holds(poison));
  });

  statement(
    `a ${name} at the end of the namespace is out of range`,
    '[NVM-1.0 §2.1 LBA Out of Range]',
    async (rig) => {
      const { ns, pair } = await bench(rig);
      const data = ns.buffer(1);
      rig.refused(await pair.run(ns[which]({ lba: ns.blockCount }, data)), Status.lbaOutOfRange);
      assert.ok(data.holds(poison));
    },
  );

  statement(
    `a ${name} that runs over the end is out of range`,
    '[NVM-1.0 §2.1 LBA Out of Range]',
    async (rig) => {
      const { ns, pair } = await bench(rig);
      const data = ns.buffer(2);
      const command = ns[which]({ lba: ns.blockCount - 1, count: 2 }, data);
      rig.refused(await pair.run(command), Status.lbaOutOfRange);
    },
  );

  for (const [high, low] of [
    [0xffff_ffff, 0xffff_ffff],
    [0x8000_0000, 0],
    [1 << 20, 0],
  ] as const) {
    const lba = `${high.toString(16)}${low.toString(16).padStart(8, '0')}h`;
    statement(
      `a ${name} at ${lba} is out of range, whatever is added`,
      '[NVM-1.0 §2.1 LBA Out of Range]',
      async (rig) => {
        const { ns, pair } = await bench(rig);
        const command = ns[which]({ lba: 0, count: 8 }, ns.buffer(8));
        command.words[Read.slba.dword] = low;
        command.words[Read.slba.dword + 1] = high;
        rig.refused(await pair.run(command), Status.lbaOutOfRange);
      },
    );
  }

  statement(
    `a ${name} with Force Unit Access succeeds`,
    which === 'read' ? readCite : writeCite,
    async (rig) => {
      const { ns, pair } = await bench(rig);
      await pair.runOk(ns[which]({ lba: 0 }, ns.buffer(1)).set(Write.fua, 1));
    },
  );

  statement(
    `a ${name} with Limited Retry succeeds`,
    which === 'read' ? readCite : writeCite,
    async (rig) => {
      const { ns, pair } = await bench(rig);
      await pair.runOk(ns[which]({ lba: 0 }, ns.buffer(1)).set(Write.lr, 1));
    },
  );

  statement(
    `a ${name} takes dataset management hints`,
    which === 'read' ? readCite : writeCite,
    async (rig) => {
      const { ns, pair } = await bench(rig);
      await pair.runOk(ns[which]({ lba: 0 }, ns.buffer(1)).set(Write.dsm, 0x75));
    },
  );
}

statement('a write changes its blocks and no neighbour', writeCite, async (rig) => {
  const { ns, pair } = await bench(rig);
  const before = ns.buffer(8).fill({ kind: 'random', seed: 1 });
  await pair.runOk(ns.write({ lba: 40, count: 8 }, before));
  await pair.runOk(ns.write({ lba: 43, count: 2 }, ns.buffer(2).fill({ kind: 'ones' })));
  const after = ns.buffer(8);
  await pair.runOk(ns.read({ lba: 40, count: 8 }, after));
  const bytes = ns.blockBytes;
  assert.ok(after.slice(0, 3 * bytes).equals(before.slice(0, 3 * bytes)));
  assert.ok(after.slice(3 * bytes, 2 * bytes).holds({ kind: 'ones' }));
  assert.ok(after.slice(5 * bytes).equals(before.slice(5 * bytes)));
});

statement('a read changes nothing', readCite, async (rig) => {
  const made = await bench(rig);
  await roundTrip(made, 10, 4);
  const first = made.ns.buffer(4);
  const second = made.ns.buffer(4);
  await made.pair.runOk(made.ns.read({ lba: 10, count: 4 }, first));
  await made.pair.runOk(made.ns.read({ lba: 10, count: 4 }, second));
  assert.ok(first.equals(second));
});

statement('a read writes its data and nothing beyond', readCite, async (rig) => {
  const { ns, pair } = await bench(rig);
  const memory = rig.buffer(4 * rig.pageBytes + ns.blockBytes);
  const data = memory.slice(rig.pageBytes, 3 * ns.blockBytes);
  await pair.runOk(ns.read({ lba: 0, count: 3 }, data));
  assert.ok(memory.slice(0, rig.pageBytes).holds(poison));
  const used = Math.ceil(data.length / rig.pageBytes) * rig.pageBytes;
  assert.ok(memory.slice(rig.pageBytes + data.length, used - data.length).holds(poison));
});

statement('a write does not change host memory', writeCite, async (rig) => {
  const { ns, pair } = await bench(rig);
  const data = ns.buffer(8).fill({ kind: 'random', seed: 5 });
  await pair.runOk(ns.write({ lba: 0, count: 8 }, data));
  assert.ok(data.holds({ kind: 'random', seed: 5 }));
});

statement('the second write of a block is what is read', writeCite, async (rig) => {
  const { ns, pair } = await bench(rig);
  for (const seed of [1, 2, 3]) {
    await pair.runOk(ns.write({ lba: 9 }, ns.buffer(1).fill({ kind: 'random', seed })));
  }
  const back = ns.buffer(1);
  await pair.runOk(ns.read({ lba: 9 }, back));
  assert.ok(back.holds({ kind: 'random', seed: 3 }));
});

statement('a write that completed is read on another queue', '[NVMe-2.0 §3.3]', async (rig) => {
  const { ns, pair } = await bench(rig);
  rig.needs((await rig.queueCount()) >= 2, 'two I/O queues');
  const other = await rig.queuePair();
  await pair.runOk(ns.write({ lba: 77 }, ns.buffer(1).fill({ kind: 'random', seed: 77 })));
  const back = ns.buffer(1);
  await other.runOk(ns.read({ lba: 77 }, back));
  assert.ok(back.holds({ kind: 'random', seed: 77 }));
});

statement('data survives a controller reset', '[NVMe-2.0 §3.7.2]', async (rig) => {
  const { ns, pair } = await bench(rig);
  await pair.runOk(ns.write({ lba: 5 }, ns.buffer(1).fill({ kind: 'random', seed: 55 })));
  await rig.enable();
  const again = await rig.queuePair();
  const back = ns.buffer(1);
  await again.runOk(ns.read({ lba: 5 }, back));
  assert.ok(back.holds({ kind: 'random', seed: 55 }));
});

statement('data survives a normal shutdown', '[NVMe-2.0 §3.6]', async (rig) => {
  const { ns, pair } = await bench(rig);
  await pair.runOk(ns.write({ lba: 6 }, ns.buffer(1).fill({ kind: 'random', seed: 66 })));
  await rig.controller.shutdown('normal');
  await rig.enable();
  const again = await rig.queuePair();
  const back = ns.buffer(1);
  await again.runOk(ns.read({ lba: 6 }, back));
  assert.ok(back.holds({ kind: 'random', seed: 66 }));
});

statement('a hundred writes in flight at once all arrive', writeCite, async (rig) => {
  const { ns, pair } = await bench(rig);
  const stamps = new StampBook(0x1234, ns.blockBytes);
  for (let round = 0; round < 4; round++) {
    const cids: number[] = [];
    for (let i = 0; i < 25; i++) {
      const lba = round * 25 + i;
      const data = ns.buffer(1);
      const version = stamps.takeVersion();
      stamps.stamp(data.bytes, lba, version);
      stamps.wrote(lba, 1, version);
      cids.push(pair.post(ns.write({ lba }, data)));
    }
    pair.ring();
    for (const cid of cids) rig.succeeded(await pair.wait(cid));
  }
  const back = ns.buffer(100);
  await pair.runOk(ns.read({ lba: 0, count: 100 }, back));
  assert.is(stamps.check(back.bytes, 0), undefined);
});

statement(
  'random reads and writes of random sizes never return another block',
  writeCite,
  async (rig) => {
    const { ns, pair } = await bench(rig);
    const prng = new TestPrng(20_240_601);
    console.log(`seed ${prng.seed}`);
    const stamps = new StampBook(prng.word(), ns.blockBytes);
    const region = 512;
    for (let i = 0; i < 300; i++) {
      const count = 1 + prng.below(16);
      const lba = prng.below(region - count);
      const data = ns.buffer(count);
      if (prng.below(2) === 0) {
        const version = stamps.takeVersion();
        stamps.stamp(data.bytes, lba, version);
        await pair.runOk(ns.write({ lba, count }, data));
        stamps.wrote(lba, count, version);
      } else {
        await pair.runOk(ns.read({ lba, count }, data));
        assert.is(stamps.check(data.bytes, lba), undefined);
      }
    }
  },
);

statement('all 65536 blocks of one command are moved where MDTS allows', readCite, async (rig) => {
  const { ns, pair } = await bench(rig);
  const bytes = 0x1_0000 * ns.blockBytes;
  rig.needs(
    (await rig.maxTransferBytes(2 ** 40)) >= bytes && bytes <= 2 ** 25,
    '65536 blocks in one command',
  );
  await pair.runOk(ns.read({ lba: 0, count: 0x1_0000 }, ns.buffer(0x1_0000)));
});

statement.run();
