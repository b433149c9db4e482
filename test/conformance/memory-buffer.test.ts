import * as assert from 'uvu/assert';
import type { Bar } from '../../sdk/device.js';
import { Sqe } from '../../sdk/spec/nvme/command.js';
import { Cap, Cmbloc, Cmbmsc, Cmbsz, cmbBytes } from '../../sdk/spec/nvme/registers.js';
import { createCq, createSq } from '../../sdk/testing/queue.js';
import type { Rig } from '../../sdk/testing/rig.js';
import { bench, blocksOf, write } from './io-bench.js';
import { statements } from './statement.js';

const statement = statements('controller memory buffer');

const cite = '[NVMe-2.0 §8.5 Controller Memory Buffer]';

/** Where the device's own addresses of the buffer begin; far from any host memory of a test. */
const base = 2 ** 46;

interface MemoryBuffer {
  readonly bar: Bar;
  readonly offset: number;
  readonly bytes: number;
  readonly size: number;
}

/** Turn the buffer on at `base`. */
function turnOn(rig: Rig): MemoryBuffer {
  const { controller } = rig;
  rig.needs(controller.cap(Cap.cmbs) === 1, 'a controller memory buffer with CMBMSC');
  const words = new Uint32Array(2);
  Cmbmsc.cre.set(words, 0, 1);
  Cmbmsc.cmse.set(words, 0, 1);
  Cmbmsc.cbaHigh.set(words, 0, base / 2 ** 32);
  // The address is complete before the enabling bits are set.
  controller.writeHigh('cmbmsc', words[1]!);
  controller.write('cmbmsc', words[0]!);
  const [size, location] = [controller.read('cmbsz'), controller.read('cmbloc')];
  const unit = Cmbsz.szu.of(size);
  return {
    bar: rig.fn.bar(Cmbloc.bir.of(location)),
    offset: cmbBytes(Cmbloc.ofst.of(location), unit),
    bytes: cmbBytes(Cmbsz.sz.of(size), unit),
    size,
  };
}

statement('the buffer lies inside its BAR', '[NVMe-2.0 §3.1.3.11 CMBLOC]', async (rig) => {
  const { bar, offset, bytes } = turnOn(rig);
  assert.ok(bytes > 0);
  assert.ok(offset + bytes <= bar.length);
});

statement('a buffer supports something', '[NVMe-2.0 §3.1.3.12 CMBSZ]', async (rig) => {
  const { size } = turnOn(rig);
  const uses = [Cmbsz.sqs, Cmbsz.cqs, Cmbsz.lists, Cmbsz.rds, Cmbsz.wds];
  assert.ok(uses.some((use) => use.of(size) === 1));
});

statement('the base address that was given is valid', '[NVMe-2.0 §? CMBSTS]', async (rig) => {
  turnOn(rig);
  assert.is(rig.controller.read('cmbsts'), 0);
});

statement('what the host stores in the buffer it loads from there', cite, async (rig) => {
  const { bar, offset, bytes } = turnOn(rig);
  for (const at of [0, 4, 4096, bytes - 4]) bar.write32(offset + at, 0xc0de_0000 + (at & 0xffff));
  for (const at of [0, 4, 4096, bytes - 4]) {
    assert.is(bar.read32(offset + at), 0xc0de_0000 + (at & 0xffff));
  }
});

statement(
  'a read may put its data into the buffer',
  '[NVMe-2.0 §3.1.3.12 CMBSZ.RDS]',
  async (rig) => {
    const { bar, offset, size } = turnOn(rig);
    rig.needs(Cmbsz.rds.of(size) === 1, 'read data in the controller memory buffer');
    const made = await bench(rig);
    const source = await write(made, 33, { count: 1, seed: 33 });
    await made.pair.runOk(made.ns.read({ lba: 33 }).prps(base + 4096));
    const words = Array.from({ length: 8 }, (_, i) => bar.read32(offset + 4096 + i * 4));
    assert.equal(words, [...source.words.slice(0, 8)]);
  },
);

statement(
  'a write may take its data from the buffer',
  '[NVMe-2.0 §3.1.3.12 CMBSZ.WDS]',
  async (rig) => {
    const { bar, offset, size } = turnOn(rig);
    rig.needs(Cmbsz.wds.of(size) === 1, 'write data in the controller memory buffer');
    const made = await bench(rig);
    for (let at = 0; at < made.ns.blockBytes; at += 4) bar.write32(offset + at, 0xabc0_0000 + at);
    await made.pair.runOk(made.ns.write({ lba: 34 }).prps(base));
    const data = await blocksOf(made, 34, 1);
    assert.ok([...data.words].every((word, i) => word === 0xabc0_0000 + i * 4));
  },
);

statement(
  'a submission queue may lie in the buffer',
  '[NVMe-2.0 §3.1.3.12 CMBSZ.SQS]',
  async (rig) => {
    const { bar, offset, size } = turnOn(rig);
    rig.needs(Cmbsz.sqs.of(size) === 1, 'submission queues in the controller memory buffer');
    const made = await bench(rig);
    rig.needs((await rig.queueCount()) >= 2, 'two I/O queues');

    const cq = rig.controller.completionQueue(2, { entries: 8 });
    await rig.adminOk(createCq(rig, cq));
    const sq = rig.controller.submissionQueue(2, { entries: 8 });
    await rig.adminOk(createSq(rig, sq, { cqid: 2 }).prps(base + 8192));
    const data = made.ns.buffer(1);
    await write(made, 35, { count: 1, seed: 35 });
    const command = made.ns.read({ lba: 35 }, data).cid(0x77);
    for (let i = 0; i < 16; i++) bar.write32(offset + 8192 + i * 4, command.words[i]!);
    sq.ringValue(1);
    const found = await rig.controller.waitFor(cq, { sqid: 2, cid: Sqe.cid.get(command.words, 0) });
    rig.succeeded(found);
    assert.ok(data.holds({ kind: 'random', seed: 35 }));
  },
);

statement('CMBMSC keeps its value over a controller reset', '[NVMe-2.0 §? CMBMSC]', async (rig) => {
  turnOn(rig);
  const before = [rig.controller.read('cmbmsc'), rig.controller.readHigh('cmbmsc')];
  await rig.controller.disable();
  assert.equal([rig.controller.read('cmbmsc'), rig.controller.readHigh('cmbmsc')], before);
});

statement.run();
