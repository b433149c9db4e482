import * as assert from 'uvu/assert';
import { FormatNvm } from '../../sdk/spec/nvme/admin-command.js';
import { Sqe } from '../../sdk/spec/nvme/command.js';
import { IdentifyController } from '../../sdk/spec/nvme/identify-controller.js';
import { IdentifyNamespace } from '../../sdk/spec/nvme/identify-namespace.js';
import { Read, Write } from '../../sdk/spec/nvme/nvm-command.js';
import { AdminOpcode, NvmOpcode } from '../../sdk/spec/nvme/opcodes.js';
import { Status } from '../../sdk/spec/nvme/status.js';
import type { TestBuffer } from '../../sdk/testing/buffer.js';
import type { NamespaceFixture } from '../../sdk/testing/namespace.js';
import type { QueueFixture } from '../../sdk/testing/queue.js';
import type { Rig } from '../../sdk/testing/rig.js';
import { secondNs } from '../../sdk/units.js';
import { crc16, tuple } from './guard.js';
import { statements } from './statement.js';

const statement = statements('protection information');

const cite = '[NVM-1.0 §5.2 End-to-end Data Protection]';
const guard = 4;
const application = 2;
const reference = 1;
const all = guard + application + reference;

interface Bench {
  readonly rig: Rig;
  readonly ns: NamespaceFixture;
  readonly pair: QueueFixture;
}

/** What one command carries besides its blocks. */
interface Io {
  readonly lba: number;
  readonly count?: number;
  /** PRCHK. */
  readonly check?: number;
  readonly pract?: boolean;
  readonly ref?: number;
  readonly app?: number;
  readonly appMask?: number;
}

/** The namespace formatted with eight bytes of separate metadata and a type of protection. */
async function protectedBy(rig: Rig, type: 1 | 2 | 3): Promise<Bench> {
  rig.needs((await rig.id(IdentifyController.oacsFormat)) === 1, 'format');
  const before = await rig.namespace();
  const types = [
    IdentifyNamespace.dpcType1,
    IdentifyNamespace.dpcType2,
    IdentifyNamespace.dpcType3,
  ];
  rig.needs(before.id(types[type - 1]!) === 1, `protection type ${type}`);
  rig.needs(before.id(IdentifyNamespace.mcSeparate) === 1, 'separate metadata');
  const formats = Array.from({ length: before.id(IdentifyNamespace.nlbaf) }, (_, i) => i);
  const format = formats.find((i) => before.formatField('ms', i) === 8);
  rig.needs(format !== undefined, 'a format with eight bytes of metadata');
  const command = rig
    .command(AdminOpcode.formatNvm, before.nsid)
    .set(FormatNvm.lbafl, format ?? 0)
    .set(FormatNvm.pi, type);
  await rig.adminOk(command, 600 * secondNs);
  return { rig, ns: await rig.namespace(before.nsid), pair: await rig.queuePair({ entries: 16 }) };
}

async function withProtection(
  rig: Rig,
  type: 1 | 2 | 3,
  body: (bench: Bench) => Promise<void>,
): Promise<void> {
  const made = await protectedBy(rig, type);
  try {
    await body(made);
  } finally {
    // Format 0 without protection is what the other statements find.
    await rig.admin(rig.command(AdminOpcode.formatNvm, made.ns.nsid), 600 * secondNs);
  }
}

function command({ ns }: Bench, opcode: number, io: Io) {
  const made = ns
    .blocks(opcode, { lba: io.lba, count: io.count ?? 1 })
    .set(Write.pract, io.pract === true ? 1 : 0)
    .set(Write.ilbrt, io.ref ?? io.lba % 2 ** 32)
    .set(Write.lbat, io.app ?? 0)
    .set(Write.lbatm, io.appMask ?? 0);
  const check = io.check ?? 0;
  return made
    .set(Read.prchkGuard, (check & guard) === 0 ? 0 : 1)
    .set(Read.prchkApp, (check & application) === 0 ? 0 : 1)
    .set(Read.prchkRef, (check & reference) === 0 ? 0 : 1);
}

/** Run a command with data and, unless PRACT takes care of it, metadata. */
function run(made: Bench, opcode: number, io: Io, data: TestBuffer, metadata?: TestBuffer) {
  const { rig, pair } = made;
  const full = command(made, opcode, io).prp(data, rig.dma, rig.pageBytes);
  if (metadata !== undefined) full.set(Sqe.mptr, metadata.iova);
  return pair.run(full);
}

/** Blocks of random data and their right protection. */
function prepare({ ns, rig }: Bench, io: Io, seed = 1) {
  const count = io.count ?? 1;
  const data = rig.buffer(count * ns.blockBytes, { kind: 'random', seed });
  const metadata = rig.buffer(count * 8, { kind: 'zeroes' });
  for (let i = 0; i < count; i++) {
    const block = data.slice(i * ns.blockBytes, ns.blockBytes).bytes;
    const ref = ((io.ref ?? io.lba) + i) % 2 ** 32;
    metadata.bytes.set(tuple(block, { app: io.app ?? 0, ref }), i * 8);
  }
  return { data, metadata };
}

statement(
  'the bit-by-bit guard of the tests is that of T10: 32 zero bytes give 0, "123456789" D0DBh',
  cite,
  async () => {
    assert.is(crc16(new Uint8Array(32)), 0);
    assert.is(crc16(new TextEncoder().encode('123456789')), 0xd0db);
  },
);

for (const type of [1, 2, 3] as const) {
  statement(`a namespace can be formatted with protection type ${type}`, cite, async (rig) => {
    await withProtection(rig, type, async ({ ns }) => {
      assert.is(ns.id(IdentifyNamespace.dpsType), type);
      assert.is(ns.metadataBytes, 8);
    });
  });

  statement(
    `with type ${type}, blocks and protection read as they were written`,
    cite,
    async (rig) => {
      await withProtection(rig, type, async (made) => {
        const io = { lba: 40, count: 3, app: 0x1234, appMask: 0xffff, check: guard + application };
        const { data, metadata } = prepare(made, io);
        rig.succeeded(await run(made, NvmOpcode.write, io, data, metadata));
        const [back, tags] = [rig.buffer(data.length), rig.buffer(24)];
        rig.succeeded(await run(made, NvmOpcode.read, io, back, tags));
        assert.ok(back.equals(data) && tags.equals(metadata));
      });
    },
  );

  statement(`with type ${type}, a wrong guard in a write is found`, cite, async (rig) => {
    await withProtection(rig, type, async (made) => {
      const io = { lba: 40, count: 2, check: guard };
      const { data, metadata } = prepare(made, io);
      metadata.bytes[8]! ^= 1;
      rig.refused(await run(made, NvmOpcode.write, io, data, metadata), Status.guardCheckError);
    });
  });

  statement(`with type ${type}, a wrong application tag in a write is found`, cite, async (rig) => {
    await withProtection(rig, type, async (made) => {
      const io = { lba: 40, check: application, app: 0x00f0, appMask: 0x00ff };
      const { data, metadata } = prepare(made, io);
      metadata.bytes[3]! ^= 1;
      const completion = await run(made, NvmOpcode.write, io, data, metadata);
      rig.refused(completion, Status.applicationTagCheckError);
    });
  });

  statement(
    `with type ${type}, bits outside the application tag mask are not checked`,
    cite,
    async (rig) => {
      await withProtection(rig, type, async (made) => {
        const io = { lba: 40, check: application, app: 0x00f0, appMask: 0x00ff };
        const { data, metadata } = prepare(made, io);
        metadata.bytes[2]! ^= 0x80;
        rig.succeeded(await run(made, NvmOpcode.write, io, data, metadata));
      });
    },
  );

  statement(
    `with type ${type} and PRACT, the controller makes the guard and tags`,
    cite,
    async (rig) => {
      await withProtection(rig, type, async (made) => {
        const io = { lba: 50, count: 2, app: 0xbeef, appMask: 0xffff, pract: true };
        const { data } = prepare(made, io);
        rig.succeeded(await run(made, NvmOpcode.write, io, data));
        const [back, tags] = [rig.buffer(data.length), rig.buffer(16)];
        rig.succeeded(await run(made, NvmOpcode.read, { ...io, pract: false }, back, tags));
        assert.ok(back.equals(data));
        for (let i = 0; i < 2; i++) {
          const block = data.slice(i * made.ns.blockBytes, made.ns.blockBytes).bytes;
          // With type 3 the reference tag does not count up.
          const ref = type === 3 ? 50 : 50 + i;
          assert.equal(
            [...tags.bytes.slice(i * 8, i * 8 + 8)],
            [...tuple(block, { app: 0xbeef, ref })],
          );
        }
      });
    },
  );

  statement(`with type ${type} and PRACT, a read checks and strips`, cite, async (rig) => {
    await withProtection(rig, type, async (made) => {
      const io = { lba: 50, count: 2, pract: true, check: guard };
      const { data } = prepare(made, io);
      rig.succeeded(await run(made, NvmOpcode.write, { ...io, check: 0 }, data));
      const back = rig.buffer(data.length);
      rig.succeeded(await run(made, NvmOpcode.read, io, back));
      assert.ok(back.equals(data));
    });
  });

  statement(
    `with type ${type}, a bad guard on the medium is found by a read that checks`,
    cite,
    async (rig) => {
      await withProtection(rig, type, async (made) => {
        const io = { lba: 60 };
        const { data, metadata } = prepare(made, io);
        metadata.bytes[0]! ^= 0xff;
        rig.succeeded(await run(made, NvmOpcode.write, io, data, metadata));
        const [back, tags] = [rig.buffer(data.length), rig.buffer(8)];
        rig.succeeded(await run(made, NvmOpcode.read, io, back, tags));
        const checked = await run(made, NvmOpcode.read, { ...io, check: guard }, back, tags);
        rig.refused(checked, Status.guardCheckError);
      });
    },
  );

  statement(`with type ${type}, verify finds a bad guard`, cite, async (rig) => {
    rig.needs((await rig.id(IdentifyController.oncsVerify)) === 1, 'verify');
    await withProtection(rig, type, async (made) => {
      const io = { lba: 60 };
      const { data, metadata } = prepare(made, io);
      metadata.bytes[1]! ^= 0xff;
      rig.succeeded(await run(made, NvmOpcode.write, io, data, metadata));
      const checked = command(made, NvmOpcode.verify, { ...io, check: guard });
      rig.refused(await made.pair.run(checked), Status.guardCheckError);
    });
  });
}

for (const type of [1, 2] as const) {
  statement(`with type ${type}, a wrong reference tag in a write is found`, cite, async (rig) => {
    await withProtection(rig, type, async (made) => {
      const io = { lba: 70, count: 2, check: reference };
      const { data, metadata } = prepare(made, io);
      metadata.bytes[15]! ^= 1;
      rig.refused(
        await run(made, NvmOpcode.write, io, data, metadata),
        Status.referenceTagCheckError,
      );
    });
  });

  statement(
    `with type ${type}, a read that expects another reference tag fails`,
    cite,
    async (rig) => {
      await withProtection(rig, type, async (made) => {
        const io = { lba: 70, check: all };
        const { data, metadata } = prepare(made, io);
        rig.succeeded(await run(made, NvmOpcode.write, io, data, metadata));
        const [back, tags] = [rig.buffer(data.length), rig.buffer(8)];
        const completion = await run(made, NvmOpcode.read, { ...io, ref: 71 }, back, tags);
        rig.refused(completion, Status.referenceTagCheckError, Status.invalidProtectionInformation);
      });
    },
  );

  statement(
    `with type ${type}, application tag FFFFh turns the checks of a block off`,
    cite,
    async (rig) => {
      await withProtection(rig, type, async (made) => {
        const io = { lba: 80 };
        const { data, metadata } = prepare(made, { ...io, app: 0xffff });
        metadata.bytes[0]! ^= 0xff;
        rig.succeeded(await run(made, NvmOpcode.write, io, data, metadata));
        const [back, tags] = [rig.buffer(data.length), rig.buffer(8)];
        rig.succeeded(await run(made, NvmOpcode.read, { ...io, check: all }, back, tags));
      });
    },
  );
}

statement(
  'with type 1, the initial reference tag must be the low bits of the LBA',
  cite,
  async (rig) => {
    await withProtection(rig, 1, async (made) => {
      const io = { lba: 90, ref: 1000, check: reference };
      const { data, metadata } = prepare(made, io);
      const completion = await run(made, NvmOpcode.write, io, data, metadata);
      rig.refused(completion, Status.invalidProtectionInformation, Status.referenceTagCheckError);
    });
  },
);

for (const [title, ref] of [
  ['the initial reference tag need not be the LBA', 123_456],
  ['the initial reference tag may be any number', 0xffff_fffe],
] as const) {
  statement(`with type 2, ${title}`, cite, async (rig) => {
    await withProtection(rig, 2, async (made) => {
      const io = { lba: 90, count: 3, ref, check: all };
      const { data, metadata } = prepare(made, io);
      rig.succeeded(await run(made, NvmOpcode.write, io, data, metadata));
      const [back, tags] = [rig.buffer(data.length), rig.buffer(24)];
      rig.succeeded(await run(made, NvmOpcode.read, io, back, tags));
      assert.ok(back.equals(data) && tags.equals(metadata));
    });
  });
}

statement(
  'with type 3, only FFFFh and FFFFFFFFh together turn the checks off',
  cite,
  async (rig) => {
    await withProtection(rig, 3, async (made) => {
      const io = { lba: 95 };
      const [back, tags] = [rig.buffer(made.ns.blockBytes), rig.buffer(8)];
      for (const [ref, isChecked] of [
        [0xffff_ffff, false],
        [5, true],
      ] as const) {
        const { data, metadata } = prepare(made, { ...io, app: 0xffff, ref });
        metadata.bytes[0]! ^= 0xff;
        rig.succeeded(await run(made, NvmOpcode.write, { ...io, ref }, data, metadata));
        const completion = await run(
          made,
          NvmOpcode.read,
          { ...io, ref, check: guard },
          back,
          tags,
        );
        if (isChecked) rig.refused(completion, Status.guardCheckError);
        else rig.succeeded(completion);
      }
    });
  },
);

statement('a compare of protected blocks compares data and protection', cite, async (rig) => {
  rig.needs((await rig.id(IdentifyController.oncsCompare)) === 1, 'compare');
  await withProtection(rig, 1, async (made) => {
    const io = { lba: 99 };
    const { data, metadata } = prepare(made, io);
    rig.succeeded(await run(made, NvmOpcode.write, io, data, metadata));
    rig.succeeded(await run(made, NvmOpcode.compare, io, data, metadata));
    data.bytes[7]! ^= 1;
    rig.refused(await run(made, NvmOpcode.compare, io, data, metadata), Status.compareFailure);
  });
});

statement.run();
