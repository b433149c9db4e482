import * as assert from 'uvu/assert';
import { FormatNvm } from '../../sdk/spec/nvme/admin-command.js';
import { Sqe } from '../../sdk/spec/nvme/command.js';
import { IdentifyController } from '../../sdk/spec/nvme/identify-controller.js';
import { IdentifyNamespace } from '../../sdk/spec/nvme/identify-namespace.js';
import { Read, Write } from '../../sdk/spec/nvme/nvm-command.js';
import { AdminOpcode, NvmOpcode } from '../../sdk/spec/nvme/opcodes.js';
import { Status } from '../../sdk/spec/nvme/status.js';
import { poison, type TestBuffer } from '../../sdk/testing/buffer.js';
import type { Rig } from '../../sdk/testing/rig.js';
import { secondNs } from '../../sdk/units.js';
import { tuple } from './guard.js';
import type { Bench } from './io-bench.js';
import { statements } from './statement.js';

const statement = statements('metadata');

const cite = '[NVM-1.0 §2.1.6 Metadata]';
const piCite = '[NVM-1.0 §5.2.1 Protection Information]';
const limitNs = 600 * secondNs;

interface Layout {
  readonly metadataBytes: number;
  readonly isExtended?: boolean;
  /** Protection type; none when left out. */
  readonly type?: number;
  /** Protection information in the first bytes of the metadata. */
  readonly isFirst?: boolean;
}

/** Run the body on the namespace with a layout, and take the layout back afterwards. */
async function formatted(rig: Rig, layout: Layout, body: (bench: Bench) => Promise<void>) {
  rig.needs((await rig.id(IdentifyController.oacsFormat)) === 1, 'format');
  const before = await rig.namespace();
  const { mcExtended, mcSeparate, dpcType1, dpcFirst, dpcLast } = IdentifyNamespace;
  const way = layout.isExtended === true ? mcExtended : mcSeparate;
  rig.needs(
    before.id(way) === 1,
    layout.isExtended === true ? 'extended blocks' : 'separate metadata',
  );
  if (layout.type !== undefined) {
    rig.needs(before.id(dpcType1) === 1, 'protection information');
    const place = layout.isFirst === true ? dpcFirst : dpcLast;
    rig.needs(before.id(place) === 1, 'that place of protection information');
  }
  const formats = Array.from({ length: before.id(IdentifyNamespace.nlbaf) }, (_, i) => i);
  const index = formats.find((i) => before.formatField('ms', i) === layout.metadataBytes);
  rig.needs(index !== undefined, `a format with ${layout.metadataBytes} bytes of metadata`);
  const command = rig
    .command(AdminOpcode.formatNvm, before.nsid)
    .set(FormatNvm.lbafl, index ?? 0)
    .set(FormatNvm.mset, layout.isExtended === true ? 1 : 0)
    .set(FormatNvm.pi, layout.type ?? 0)
    .set(FormatNvm.pil, layout.isFirst === true ? 1 : 0);
  await rig.adminOk(command, limitNs);
  try {
    const pair = await rig.queuePair({ entries: 16 });
    await body({ rig, ns: await rig.namespace(before.nsid), pair });
  } finally {
    const back = rig
      .command(AdminOpcode.formatNvm, before.nsid)
      .set(FormatNvm.lbafl, before.format);
    await rig.admin(back, limitNs);
  }
}

interface Io {
  readonly lba: number;
  readonly count: number;
  readonly metadata?: TestBuffer;
  readonly pract?: boolean;
  readonly checksGuard?: boolean;
}

function run({ rig, ns, pair }: Bench, opcode: number, io: Io, data: TestBuffer) {
  const command = ns
    .blocks(opcode, io, data)
    .set(Write.pract, io.pract === true ? 1 : 0)
    .set(Read.prchkGuard, io.checksGuard === true ? 1 : 0)
    .set(Write.ilbrt, io.lba);
  if (io.metadata !== undefined) command.set(Sqe.mptr, io.metadata.iova);
  rig.needs(data.length <= 2 ** 20, 'the size');
  return pair.run(command);
}

statement('separate metadata reads as it was written', cite, async (rig) => {
  await formatted(rig, { metadataBytes: 64 }, async (made) => {
    const data = made.ns.buffer(4).fill({ kind: 'random', seed: 1 });
    const metadata = rig.buffer(256, { kind: 'random', seed: 2 });
    rig.succeeded(await run(made, NvmOpcode.write, { lba: 8, count: 4, metadata }, data));
    const [back, tags] = [made.ns.buffer(4), rig.buffer(512)];
    rig.succeeded(await run(made, NvmOpcode.read, { lba: 8, count: 4, metadata: tags }, back));
    assert.ok(back.equals(data));
    assert.ok(tags.slice(0, 256).equals(metadata));
    assert.ok(tags.slice(256).holds(poison), 'nothing beyond the metadata of four blocks');
  });
});

statement('each block has its own metadata', cite, async (rig) => {
  await formatted(rig, { metadataBytes: 64 }, async (made) => {
    const data = made.ns.buffer(4).fill({ kind: 'zeroes' });
    const metadata = rig.buffer(256, { kind: 'random', seed: 3 });
    rig.succeeded(await run(made, NvmOpcode.write, { lba: 8, count: 4, metadata }, data));
    const [one, tag] = [made.ns.buffer(1), rig.buffer(64)];
    rig.succeeded(await run(made, NvmOpcode.read, { lba: 10, count: 1, metadata: tag }, one));
    assert.ok(tag.equals(metadata.slice(128, 64)));
  });
});

statement('metadata may start anywhere in a page', cite, async (rig) => {
  await formatted(rig, { metadataBytes: 64 }, async (made) => {
    const data = made.ns.buffer(4).fill({ kind: 'zeroes' });
    const metadata = rig.buffer(rig.pageBytes * 2).slice(rig.pageBytes - 100, 256);
    metadata.fill({ kind: 'random', seed: 4 });
    rig.succeeded(await run(made, NvmOpcode.write, { lba: 8, count: 4, metadata }, data));
    const [back, tags] = [made.ns.buffer(4), rig.buffer(256)];
    rig.succeeded(await run(made, NvmOpcode.read, { lba: 8, count: 4, metadata: tags }, back));
    assert.ok(tags.equals(metadata));
  });
});

statement('a compare compares metadata as well', '[NVM-1.0 §3.2.1 Compare]', async (rig) => {
  rig.needs((await rig.id(IdentifyController.oncsCompare)) === 1, 'compare');
  await formatted(rig, { metadataBytes: 64 }, async (made) => {
    const data = made.ns.buffer(1).fill({ kind: 'random', seed: 5 });
    const metadata = rig.buffer(64, { kind: 'random', seed: 6 });
    const io = { lba: 3, count: 1, metadata };
    rig.succeeded(await run(made, NvmOpcode.write, io, data));
    rig.succeeded(await run(made, NvmOpcode.compare, io, data));
    metadata.bytes[63]! ^= 1;
    rig.refused(await run(made, NvmOpcode.compare, io, data), Status.compareFailure);
  });
});

for (const metadataBytes of [8, 64]) {
  statement(`extended blocks carry ${metadataBytes} bytes of metadata each`, cite, async (rig) => {
    await formatted(rig, { metadataBytes, isExtended: true }, async (made) => {
      const { ns } = made;
      assert.is(ns.transferBytes, ns.blockBytes + metadataBytes);
      const data = ns.buffer(5).fill({ kind: 'random', seed: metadataBytes });
      rig.succeeded(await run(made, NvmOpcode.write, { lba: 20, count: 5 }, data));
      const back = ns.buffer(5);
      rig.succeeded(await run(made, NvmOpcode.read, { lba: 20, count: 5 }, back));
      assert.ok(back.equals(data));
      const one = ns.buffer(1);
      rig.succeeded(await run(made, NvmOpcode.read, { lba: 23, count: 1 }, one));
      assert.ok(one.equals(data.slice(3 * ns.transferBytes, ns.transferBytes)));
    });
  });
}

statement('with extended blocks and PRACT the host moves data only', piCite, async (rig) => {
  await formatted(rig, { metadataBytes: 8, isExtended: true, type: 1 }, async (made) => {
    const { ns } = made;
    const data = rig.buffer(2 * ns.blockBytes, { kind: 'random', seed: 7 });
    const io = { lba: 30, count: 2, pract: true };
    rig.succeeded(await run(made, NvmOpcode.write, io, data));
    const whole = ns.buffer(2);
    rig.succeeded(await run(made, NvmOpcode.read, { lba: 30, count: 2 }, whole));
    for (let i = 0; i < 2; i++) {
      const block = data.slice(i * ns.blockBytes, ns.blockBytes);
      const at = i * ns.transferBytes;
      assert.ok(whole.slice(at, ns.blockBytes).equals(block));
      const expected = tuple(block.bytes, { app: 0, ref: 30 + i });
      assert.equal([...whole.slice(at + ns.blockBytes, 8).bytes], [...expected]);
    }
    const back = rig.buffer(2 * ns.blockBytes + 64);
    rig.succeeded(
      await run(made, NvmOpcode.read, { ...io, checksGuard: true }, back.slice(0, data.length)),
    );
    assert.ok(back.slice(0, data.length).equals(data));
    assert.ok(back.slice(data.length).holds(poison));
  });
});

for (const isFirst of [true, false]) {
  const where = isFirst ? 'first' : 'last';
  const covered = isFirst ? 'the data alone' : 'data and the metadata before it';

  /** The guard's input, and where the eight bytes lie. */
  const place = (block: Uint8Array, tags: Uint8Array) =>
    isFirst
      ? { input: block, at: 0 }
      : { input: new Uint8Array([...block, ...tags.subarray(0, 56)]), at: 56 };

  statement(`protection in the ${where} bytes guards ${covered}`, piCite, async (rig) => {
    await formatted(rig, { metadataBytes: 64, type: 1, isFirst }, async (made) => {
      const data = made.ns.buffer(1).fill({ kind: 'random', seed: 8 });
      const metadata = rig.buffer(64, { kind: 'random', seed: 9 });
      const { input, at } = place(data.bytes, metadata.bytes);
      metadata.bytes.set(tuple(input, { app: 0, ref: 40 }), at);
      const io = { lba: 40, count: 1, metadata, checksGuard: true };
      rig.succeeded(await run(made, NvmOpcode.write, io, data));
      const [back, tags] = [made.ns.buffer(1), rig.buffer(64)];
      rig.succeeded(await run(made, NvmOpcode.read, { ...io, metadata: tags }, back));
      assert.ok(back.equals(data) && tags.equals(metadata));
      data.bytes[0]! ^= 1;
      rig.refused(await run(made, NvmOpcode.write, io, data), Status.guardCheckError);
    });
  });

  statement(
    `PRACT replaces the ${where} bytes of larger metadata and keeps the rest`,
    piCite,
    async (rig) => {
      await formatted(rig, { metadataBytes: 64, type: 1, isFirst }, async (made) => {
        const data = made.ns.buffer(1).fill({ kind: 'random', seed: 10 });
        const metadata = rig.buffer(64, { kind: 'random', seed: 11 });
        const io = { lba: 41, count: 1, metadata, pract: true };
        rig.succeeded(await run(made, NvmOpcode.write, io, data));
        const [back, tags] = [made.ns.buffer(1), rig.buffer(64)];
        rig.succeeded(await run(made, NvmOpcode.read, { lba: 41, count: 1, metadata: tags }, back));
        const expected = new Uint8Array(metadata.bytes);
        const { input, at } = place(data.bytes, metadata.bytes);
        expected.set(tuple(input, { app: 0, ref: 41 }), at);
        assert.equal([...tags.bytes], [...expected]);
      });
    },
  );
}

statement.run();
