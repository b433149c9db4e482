import * as assert from 'uvu/assert';
import { writePrpList, writeSglSegment } from '../../sdk/nvme/raw.js';
import { SglType } from '../../sdk/spec/nvme/data-pointer.js';
import { IdentifyController } from '../../sdk/spec/nvme/identify-controller.js';
import { Status } from '../../sdk/spec/nvme/status.js';
import { poison, type TestBuffer } from '../../sdk/testing/buffer.js';
import type { NamespaceFixture } from '../../sdk/testing/namespace.js';
import type { QueueFixture } from '../../sdk/testing/queue.js';
import type { Rig } from '../../sdk/testing/rig.js';
import { statements } from './statement.js';

const statement = statements('data pointers');

const prpCite = '[NVMe-2.0 §4.1.1 PRP]';
const sglCite = '[NVMe-2.0 §4.1.2 SGL]';

interface Bench {
  readonly ns: NamespaceFixture;
  readonly pair: QueueFixture;
  /** Blocks that were written with random content from block 0 on. */
  readonly content: TestBuffer;
}

/** A namespace whose first blocks hold `bytes` of known content. */
async function bench(rig: Rig, bytes: number): Promise<Bench> {
  const ns = await rig.namespace();
  rig.needs(ns.metadataBytes === 0, 'a namespace without metadata');
  rig.needs((await rig.maxTransferBytes(2 ** 30)) >= bytes, `transfers of ${bytes} bytes`);
  const pair = await rig.queuePair({ entries: 16 });
  const content = ns.buffer(bytes / ns.blockBytes).fill({ kind: 'random', seed: bytes });
  await pair.runOk(ns.write({ lba: 0, count: bytes / ns.blockBytes }, content));
  return { ns, pair, content };
}

/** Offset, pages: a first page that starts inside, and transfers around the list boundaries. */
for (const offset of [0, 4, 8, 512, 2048, 4092]) {
  for (const pages of [1, 2, 3, 16]) {
    statement(
      `${pages} pages read to an address ${offset} bytes inside a page`,
      prpCite,
      async (rig) => {
        const bytes = pages * 4096;
        const { ns, pair, content } = await bench(rig, bytes);
        const memory = rig.buffer(bytes + 2 * rig.pageBytes);
        const data = memory.slice(offset, bytes);
        await pair.runOk(ns.read({ lba: 0, count: bytes / ns.blockBytes }, data));
        assert.ok(data.equals(content));
        assert.ok(memory.slice(offset + bytes).holds(poison), 'nothing beyond the transfer');
        if (offset > 0) assert.ok(memory.slice(0, offset).holds(poison), 'nothing before it');
      },
    );
  }
}

for (const offset of [4, 2048]) {
  statement(
    `four pages are written from an address ${offset} bytes inside a page`,
    prpCite,
    async (rig) => {
      const { ns, pair } = await bench(rig, 16_384);
      const count = 16_384 / ns.blockBytes;
      const data = rig.buffer(32_768).slice(offset, 16_384).fill({ kind: 'counting' });
      await pair.runOk(ns.write({ lba: 0, count }, data));
      const back = ns.buffer(count);
      await pair.runOk(ns.read({ lba: 0, count }, back));
      assert.ok(back.holds({ kind: 'counting' }));
    },
  );
}

statement('pages of a transfer may lie anywhere and in any order', prpCite, async (rig) => {
  const { ns, pair, content } = await bench(rig, 32_768);
  const size = rig.pageBytes;
  const pages = Array.from({ length: 32_768 / size }, () => rig.buffer(size)).toReversed();
  const command = ns.read({ lba: 0, count: 32_768 / ns.blockBytes }).prpPages(
    pages.map((page) => page.iova),
    rig.dma,
    size,
  );
  await pair.runOk(command);
  for (const [i, page] of pages.entries()) {
    assert.ok(page.equals(content.slice(i * size, size)));
  }
});

statement(
  'one page may be named twice: the last part of the data is in it',
  prpCite,
  async (rig) => {
    const { ns, pair, content } = await bench(rig, 8192);
    rig.needs(rig.pageBytes === 4096, 'pages of 4096 bytes');
    const page = rig.buffer(4096);
    const command = ns.read({ lba: 0, count: 8192 / ns.blockBytes }).prps(page.iova, page.iova);
    await pair.runOk(command);
    assert.ok(page.equals(content.slice(4096)) || page.equals(content.slice(0, 4096)));
  },
);

statement('a PRP list that fills its page goes on in the next list page', prpCite, async (rig) => {
  const size = rig.pageBytes;
  // One entry in the command and one more than a list page holds besides its chain pointer.
  const bytes = size * (size / 8 + 2);
  const { ns, pair } = await bench(rig, bytes);
  const count = bytes / ns.blockBytes;
  const data = ns.buffer(count);
  await pair.runOk(ns.read({ lba: 0, count }, data));
  assert.ok(data.holds({ kind: 'random', seed: bytes }));
});

statement('a PRP list may begin inside a page', prpCite, async (rig) => {
  const { ns, pair, content } = await bench(rig, 16_384);
  const size = rig.pageBytes;
  rig.needs(size === 4096, 'pages of 4096 bytes');
  const data = rig.buffer(16_384);
  const list = rig.dma.allocate(size, { alignment: size });
  // Three entries exactly fill the rest of the page: the last one is data, not a chain.
  const first = size / 4 - 6;
  for (let i = 0; i < 3; i++) {
    list.words[first + 2 * i] = (data.iova + (i + 1) * size) % 2 ** 32;
    list.words[first + 2 * i + 1] = Math.floor((data.iova + (i + 1) * size) / 2 ** 32);
  }
  const command = ns.read({ lba: 0, count: 16_384 / ns.blockBytes });
  await pair.runOk(command.prps(data.iova, list.iova + first * 4));
  assert.ok(data.equals(content));
});

statement(
  'a second PRP entry inside a page is refused',
  '[NVMe-2.0 §4.1.1 PRP Offset Invalid]',
  async (rig) => {
    const { ns, pair } = await bench(rig, 8192);
    rig.needs(rig.pageBytes === 4096, 'pages of 4096 bytes');
    const data = rig.buffer(16_384);
    const command = ns
      .read({ lba: 0, count: 8192 / ns.blockBytes })
      .prps(data.iova, data.iova + 4096 + 512);
    rig.refused(await pair.run(command), Status.prpOffsetInvalid);
  },
);

statement(
  'a PRP list entry inside a page is refused',
  '[NVMe-2.0 §4.1.1 PRP Offset Invalid]',
  async (rig) => {
    const { ns, pair } = await bench(rig, 16_384);
    rig.needs(rig.pageBytes === 4096, 'pages of 4096 bytes');
    const data = rig.buffer(32_768);
    const pages = [0, 1, 2, 3].map((i) => data.iova + i * 4096 + (i === 2 ? 8 : 0));
    const command = ns
      .read({ lba: 0, count: 16_384 / ns.blockBytes })
      .prpPages(pages, rig.dma, 4096);
    rig.refused(await pair.run(command), Status.prpOffsetInvalid);
  },
);

statement(
  'a PRP list that goes on inside a page is refused',
  '[NVMe-2.0 §4.1.1 PRP Offset Invalid]',
  async (rig) => {
    const size = rig.pageBytes;
    const entries = size / 8 + 4;
    const { ns, pair } = await bench(rig, size * (entries + 1));
    const data = rig.buffer(size * (entries + 1));
    const pages = Array.from({ length: entries }, (_, i) => data.iova + (i + 1) * size);
    const perList = size / 8 - 1;
    // The second list would be good; the pointer to it says that it begins inside its page.
    const second = writePrpList(pages.slice(perList), rig.dma, size);
    const first = rig.dma.allocate(size, { alignment: size });
    const chained = [...pages.slice(0, perList), second + 64];
    for (const [i, page] of chained.entries()) {
      first.words[2 * i] = page % 2 ** 32;
      first.words[2 * i + 1] = Math.floor(page / 2 ** 32);
    }
    const command = ns.read({ lba: 0, count: (size * (entries + 1)) / ns.blockBytes });
    rig.refused(await pair.run(command.prps(data.iova, first.iova)), Status.prpOffsetInvalid);
  },
);

statement('a second PRP entry that is not needed is not used', prpCite, async (rig) => {
  const { ns, pair, content } = await bench(rig, 4096);
  rig.needs(rig.pageBytes === 4096, 'pages of 4096 bytes');
  const [data, other] = [rig.buffer(4096), rig.buffer(4096)];
  const command = ns.read({ lba: 0, count: 4096 / ns.blockBytes }).prps(data.iova, other.iova);
  await pair.runOk(command);
  assert.ok(data.equals(content));
  assert.ok(other.holds(poison));
});

async function sglBench(rig: Rig, bytes: number): Promise<Bench> {
  rig.needs((await rig.id(IdentifyController.sglsSupport)) !== 0, 'SGLs');
  return bench(rig, bytes);
}

/** A read of all the content, without a data pointer yet. */
const readAll = ({ ns, content }: Bench) =>
  ns.read({ lba: 0, count: content.length / ns.blockBytes });

const block = (data: TestBuffer) => ({
  address: data.iova,
  length: data.length,
  type: SglType.dataBlock,
});

statement('a data block descriptor in the command moves the data', sglCite, async (rig) => {
  const made = await sglBench(rig, 16_384);
  const data = rig.buffer(16_384);
  await made.pair.runOk(readAll(made).sgl(block(data)));
  assert.ok(data.equals(made.content));
});

for (const parts of [1, 2, 3, 5, 32]) {
  statement(
    `a last segment of ${parts} data blocks moves the data in order`,
    sglCite,
    async (rig) => {
      const made = await sglBench(rig, 16_384);
      const each = Math.floor(16_384 / parts / 4) * 4;
      const memory = rig.buffer(65_536);
      const pieces = Array.from({ length: parts }, (_, i) =>
        memory.slice(i * 1024 + i * each, i === parts - 1 ? 16_384 - each * i : each),
      );
      await made.pair.runOk(readAll(made).sglSegment(pieces.map(block), rig.dma));
      for (const [i, piece] of pieces.entries()) {
        assert.ok(piece.equals(made.content.slice(i * each, piece.length)));
      }
    },
  );
}

statement('a segment descriptor leads to the next segment', sglCite, async (rig) => {
  const made = await sglBench(rig, 8192);
  const [one, two] = [rig.buffer(4096), rig.buffer(4096)];
  const last = writeSglSegment([block(two)], rig.dma);
  const first = writeSglSegment(
    [block(one), { address: last, length: 16, type: SglType.lastSegment }],
    rig.dma,
  );
  await made.pair.runOk(readAll(made).sgl({ address: first, length: 32, type: SglType.segment }));
  assert.ok(one.equals(made.content.slice(0, 4096)));
  assert.ok(two.equals(made.content.slice(4096)));
});

statement('a write takes its data from an SGL', sglCite, async (rig) => {
  const { ns, pair } = await sglBench(rig, 8192);
  const [one, two] = [
    rig.buffer(4096, { kind: 'ones' }),
    rig.buffer(4096, { kind: 'word', word: 7 }),
  ];
  const command = ns.write({ lba: 0, count: 8192 / ns.blockBytes });
  await pair.runOk(command.sglSegment([block(one), block(two)], rig.dma));
  const back = rig.buffer(8192);
  await pair.runOk(ns.read({ lba: 0, count: 8192 / ns.blockBytes }, back));
  assert.ok(back.slice(0, 4096).equals(one) && back.slice(4096).equals(two));
});

statement('a bit bucket swallows its part of a read', sglCite, async (rig) => {
  const made = await sglBench(rig, 12_288);
  rig.needs((await rig.id(IdentifyController.sglsBitBucket)) === 1, 'SGL bit buckets');
  const [one, two] = [rig.buffer(4096), rig.buffer(4096)];
  const bucket = { address: 0, length: 4096, type: SglType.bitBucket };
  await made.pair.runOk(readAll(made).sglSegment([block(one), bucket, block(two)], rig.dma));
  assert.ok(one.equals(made.content.slice(0, 4096)));
  assert.ok(two.equals(made.content.slice(8192)));
});

for (const [title, length, statuses] of [
  ['shorter', 4096, [Status.dataSglLengthInvalid]],
  ['longer', 12_288, [Status.dataSglLengthInvalid]],
] as const) {
  statement(`an SGL ${title} than the data is refused`, sglCite, async (rig) => {
    const made = await sglBench(rig, 8192);
    if (title === 'longer') {
      rig.needs((await rig.id(IdentifyController.sglsExcessLength)) === 0, 'refusal of long SGLs');
    }
    const data = rig.buffer(16_384).slice(0, length);
    rig.refused(await made.pair.run(readAll(made).sgl(block(data))), ...statuses);
  });
}

statement('an unknown SGL descriptor type is refused', sglCite, async (rig) => {
  const made = await sglBench(rig, 8192);
  const data = rig.buffer(8192);
  const command = readAll(made).sgl({ ...block(data), type: 9 });
  rig.refused(await made.pair.run(command), Status.sglDescriptorTypeInvalid);
});

statement('a keyed data block is refused where keys are not supported', sglCite, async (rig) => {
  const made = await sglBench(rig, 8192);
  rig.needs((await rig.id(IdentifyController.sglsKeyed)) === 0, 'absence of keyed SGLs');
  const command = readAll(made).sgl({ ...block(rig.buffer(8192)), type: SglType.keyedDataBlock });
  rig.refused(await made.pair.run(command), Status.sglDescriptorTypeInvalid);
});

statement('a reserved SGL descriptor subtype is refused', sglCite, async (rig) => {
  const made = await sglBench(rig, 8192);
  const command = readAll(made).sgl({ ...block(rig.buffer(8192)), subtype: 5 });
  rig.refused(await made.pair.run(command), Status.sglDescriptorTypeInvalid, Status.invalidField);
});

statement('a segment whose length is not whole descriptors is refused', sglCite, async (rig) => {
  const made = await sglBench(rig, 8192);
  const data = rig.buffer(8192);
  const address = writeSglSegment([block(data), block(data)], rig.dma);
  const command = readAll(made).sgl({ address, length: 24, type: SglType.lastSegment });
  rig.refused(await made.pair.run(command), Status.invalidSglSegmentDescriptor);
});

statement('an empty segment is refused', sglCite, async (rig) => {
  const made = await sglBench(rig, 8192);
  const address = rig.buffer(4096).iova;
  const command = readAll(made).sgl({ address, length: 0, type: SglType.lastSegment });
  rig.refused(
    await made.pair.run(command),
    Status.invalidSglSegmentDescriptor,
    Status.invalidSglDescriptorCount,
    Status.dataSglLengthInvalid,
  );
});

statement('a segment descriptor inside a last segment is refused', sglCite, async (rig) => {
  const made = await sglBench(rig, 8192);
  const data = rig.buffer(8192);
  const entries = [{ address: data.iova, length: 16, type: SglType.lastSegment }, block(data)];
  const completion = await made.pair.run(readAll(made).sglSegment(entries, rig.dma));
  rig.refused(
    completion,
    Status.invalidSglSegmentDescriptor,
    Status.sglDescriptorTypeInvalid,
    Status.invalidSglDescriptorCount,
  );
});

statement('an SGL is refused where SGLs are not supported', sglCite, async (rig) => {
  rig.needs((await rig.id(IdentifyController.sglsSupport)) === 0, 'absence of SGLs');
  const made = await bench(rig, 8192);
  const command = readAll(made).sgl(block(rig.buffer(8192)));
  rig.refused(await made.pair.run(command), Status.invalidField);
});

statement.run();
