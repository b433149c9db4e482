import * as assert from 'uvu/assert';
import { Identify } from '../../sdk/spec/nvme/admin-command.js';
import { Feature } from '../../sdk/spec/nvme/features.js';
import { Cap, Cc, Csts } from '../../sdk/spec/nvme/registers.js';
import { Status, statusKind } from '../../sdk/spec/nvme/status.js';
import type { Rig } from '../../sdk/testing/rig.js';
import { StampBook } from '../../sdk/testing/stamps.js';
import { msNs } from '../../sdk/units.js';
import { bench, blocksOf, write } from './io-bench.js';
import { statements } from './statement.js';

const statement = statements('resets');

type Kind = 'controller' | 'function' | 'bus';

async function reset(rig: Rig, kind: Kind): Promise<void> {
  if (kind === 'controller') await rig.controller.disable();
  else await rig.fn.reset(kind);
}

for (const kind of ['controller', 'function', 'bus'] as const) {
  const cite = kind === 'controller' ? '[NVMe-2.0 §3.7.2]' : '[NVMe-PCIe-1.0 §3.3 Resets]';

  statement(`a ${kind} reset leaves the controller disabled`, cite, async (rig) => {
    await reset(rig, kind);
    assert.is(Cc.en.of(rig.controller.read('cc')), 0);
    assert.is(Csts.rdy.of(rig.controller.read('csts')), 0);
    assert.is(Csts.cfs.of(rig.controller.read('csts')), 0);
  });

  statement(`the controller can be enabled after a ${kind} reset`, cite, async (rig) => {
    await reset(rig, kind);
    await rig.enable();
    await rig.controllerWords();
  });

  statement(`CAP is the same after a ${kind} reset`, cite, async (rig) => {
    const cap = () => [rig.controller.read('cap'), rig.controller.readHigh('cap')];
    const before = cap();
    await reset(rig, kind);
    assert.equal(cap(), before);
  });

  statement(`completed writes are there after a ${kind} reset`, cite, async (rig) => {
    const made = await bench(rig);
    await write(made, 400, { count: 32, seed: 400 });
    await reset(rig, kind);
    await rig.enable();
    const again = { ...made, pair: await rig.queuePair() };
    assert.ok((await blocksOf(again, 400, 32)).holds({ kind: 'random', seed: 400 }));
  });

  statement(
    `a ${kind} reset with commands in flight leaves no half of a block`,
    cite,
    async (rig) => {
      const made = await bench(rig);
      const { ns, pair } = made;
      const stamps = new StampBook(kind.length, ns.blockBytes);
      const region = 64;
      const old = ns.buffer(region);
      const first = stamps.takeVersion();
      stamps.stamp(old.bytes, 0, first);
      await pair.runOk(ns.write({ lba: 0, count: region }, old));
      stamps.wrote(0, region, first);
      for (let lba = 0; lba < region - 2; lba++) {
        const version = stamps.takeVersion();
        const data = ns.buffer(1);
        stamps.stamp(data.bytes, lba, version);
        stamps.mayHaveWritten(lba, 1, version);
        pair.post(ns.write({ lba }, data));
      }
      pair.ring();
      await reset(rig, kind);
      await rig.enable();
      const again = { ...made, pair: await rig.queuePair() };
      assert.is(stamps.check((await blocksOf(again, 0, region)).bytes, 0), undefined);
    },
  );

  statement(`nothing is written to host memory after a ${kind} reset`, cite, async (rig) => {
    const made = await bench(rig);
    const { ns, pair } = made;
    const buffers = Array.from({ length: 32 }, () => ns.buffer(8));
    for (const [i, data] of buffers.entries()) pair.post(ns.read({ lba: i * 8, count: 8 }, data));
    pair.ring();
    await reset(rig, kind);
    for (const data of buffers) data.fill({ kind: 'word', word: 0x5a5a_5a5a });
    pair.cq.region.words.fill(0);
    await rig.controller.elapse(10 * msNs);
    for (const data of buffers) assert.ok(data.holds({ kind: 'word', word: 0x5a5a_5a5a }));
    assert.ok(pair.cq.region.words.every((word) => word === 0));
  });

  statement(
    `features that are not saved have their defaults after a ${kind} reset`,
    cite,
    async (rig) => {
      const before = rig.succeeded(await rig.getFeature({ fid: Feature.interruptCoalescing })).dw0;
      const set = await rig.setFeature({ fid: Feature.interruptCoalescing, value: 0x0a0b });
      const isFixed = statusKind(set.status) === Status.featureNotChangeable;
      rig.needs(!isFixed, 'a change of interrupt coalescing');
      rig.succeeded(set);
      await reset(rig, kind);
      await rig.enable();
      assert.is(
        rig.succeeded(await rig.getFeature({ fid: Feature.interruptCoalescing })).dw0,
        before,
      );
    },
  );
}

statement(
  'a doorbell rung while the controller is disabled does nothing',
  '[NVMe-PCIe-1.0 §3.1.2]',
  async (rig) => {
    const { adminSq } = rig.controller;
    await rig.controller.disable();
    adminSq.post(rig.command(0x0a));
    adminSq.ring();
    await rig.controller.elapse(msNs);
    assert.is(Csts.rdy.of(rig.controller.read('csts')), 0);
    await rig.enable();
    await rig.controllerWords();
  },
);

statement('two controller resets in a row are one', '[NVMe-2.0 §3.7.2]', async (rig) => {
  await rig.controller.disable();
  await rig.controller.disable();
  await rig.enable();
  await rig.controllerWords();
});

statement(
  'CC.EN cleared before CSTS.RDY is set still ends disabled',
  '[NVMe-2.0 §3.1.3.5 CC.EN]',
  async (rig) => {
    await rig.controller.disable();
    rig.controller.write('cc', rig.controller.configuration());
    await rig.controller.disable();
    await rig.controller.elapse(10 * msNs);
    assert.is(Csts.rdy.of(rig.controller.read('csts')), 0);
  },
);

statement('a reset during shutdown makes the controller usable', '[NVMe-2.0 §3.6]', async (rig) => {
  rig.controller.write('cc', Cc.shn.put(rig.controller.read('cc'), 1));
  await rig.enable();
  await rig.controllerWords();
});

statement('the page size may be any that CAP allows', '[NVMe-2.0 §3.1.3.5 CC.MPS]', async (rig) => {
  const [smallest, largest] = [rig.controller.cap(Cap.mpsmin), rig.controller.cap(Cap.mpsmax)];
  rig.needs(largest > smallest, 'several page sizes');
  for (let size = smallest; size <= largest; size++) {
    await rig.controller.disable();
    rig.controller.write('cc', Cc.en.put(rig.controller.read('cc'), 0));
    const cc = Cc.mps.put(rig.controller.configuration(), size);
    // Queues aligned to the largest page are right for every size.
    await rig.controller.enable();
    await rig.controller.disable();
    const bytes = 2 ** (12 + size);
    const region = rig.dma.allocate(4 * bytes, { alignment: bytes });
    const sq = rig.controller.submissionQueue(0, { entries: 16, region });
    const cq = rig.controller.completionQueue(0, { entries: 16, region, offset: bytes });
    rig.controller.adminSq = sq;
    rig.controller.adminCq = cq;
    rig.controller.write('asq', sq.iova % 2 ** 32);
    rig.controller.writeHigh('asq', Math.floor(sq.iova / 2 ** 32));
    rig.controller.write('acq', cq.iova % 2 ** 32);
    rig.controller.writeHigh('acq', Math.floor(cq.iova / 2 ** 32));
    rig.controller.write('aqa', 0x000f_000f);
    await rig.controller.enableWith(cc);
    const data = rig.dma.allocate(4096, { alignment: bytes });
    await rig.adminOk(rig.command(0x06).prps(data.iova).set(Identify.cns, 1));
    assert.is(data.words[0]! & 0xffff, rig.fn.config.read16(0));
  }
});

statement.run();
