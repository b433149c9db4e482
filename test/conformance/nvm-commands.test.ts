import * as assert from 'uvu/assert';
import { Fuse, Sqe } from '../../sdk/spec/nvme/command.js';
import { Cns, Nsid } from '../../sdk/spec/nvme/identify.js';
import {
  IdentifyController as Id,
  IdentifyControllerNvm,
} from '../../sdk/spec/nvme/identify-controller.js';
import { IdentifyNamespace } from '../../sdk/spec/nvme/identify-namespace.js';
import { WriteZeroes } from '../../sdk/spec/nvme/nvm-command.js';
import { NvmOpcode } from '../../sdk/spec/nvme/opcodes.js';
import { Status, statusKind } from '../../sdk/spec/nvme/status.js';
import type { TestBuffer } from '../../sdk/testing/buffer.js';
import { type Bench, bench, blocksOf, write } from './io-bench.js';
import { statements } from './statement.js';

const statement = statements('flush, compare, write zeroes, uncorrectable, verify');

const flushCite = '[NVM-1.0 §? Flush]';
const compareCite = '[NVM-1.0 §3.2.1 Compare]';
const zeroesCite = '[NVM-1.0 §3.2.8 Write Zeroes]';
const uncorrectableCite = '[NVM-1.0 §3.2.7 Write Uncorrectable]';
const verifyCite = '[NVM-1.0 §3.2.5 Verify]';
const fusedCite = '[NVMe-2.0 §? Fused Operation]';

statement('a flush succeeds', flushCite, async (rig) => {
  const { ns, pair } = await bench(rig);
  await pair.runOk(rig.command(NvmOpcode.flush, ns.nsid));
});

statement('a flush after writes succeeds and changes nothing', flushCite, async (rig) => {
  const made = await bench(rig);
  await write(made, 0, { count: 16, seed: 4 });
  await made.pair.runOk(rig.command(NvmOpcode.flush, made.ns.nsid));
  assert.ok((await blocksOf(made, 0, 16)).holds({ kind: 'random', seed: 4 }));
});

statement('a flush of all namespaces is accepted where VWC says so', flushCite, async (rig) => {
  const { pair } = await bench(rig);
  const behavior = await rig.id(Id.vwcFlush);
  rig.needs(behavior === 2 || behavior === 3, 'a stated behaviour of broadcast flush');
  const completion = await pair.run(rig.command(NvmOpcode.flush, Nsid.broadcast));
  if (behavior === 3) rig.succeeded(completion);
  else rig.refused(completion, Status.invalidNamespaceOrFormat);
});

statement('a flush of a namespace that does not exist is refused', flushCite, async (rig) => {
  const { pair } = await bench(rig);
  const completion = await pair.run(rig.command(NvmOpcode.flush, Nsid.lastUsable));
  rig.refused(completion, Status.invalidNamespaceOrFormat, Status.invalidField);
});

const compare = ({ ns, pair }: Bench, lba: number, data: TestBuffer) =>
  pair.run(ns.blocks(NvmOpcode.compare, { lba, count: data.length / ns.blockBytes }, data));

for (const count of [1, 8, 64]) {
  statement(`a compare of ${count} equal blocks succeeds`, compareCite, async (rig) => {
    rig.needs((await rig.id(Id.oncsCompare)) === 1, 'compare');
    const made = await bench(rig);
    const data = await write(made, 20, { count, seed: count });
    rig.succeeded(await compare(made, 20, data));
  });
}

for (const place of ['first', 'middle', 'last'] as const) {
  statement(`a compare finds a difference in the ${place} byte`, compareCite, async (rig) => {
    rig.needs((await rig.id(Id.oncsCompare)) === 1, 'compare');
    const made = await bench(rig);
    const data = await write(made, 20, { count: 4, seed: 9 });
    const index = { first: 0, middle: data.length / 2, last: data.length - 1 }[place];
    data.bytes[index]! ^= 0x10;
    rig.refused(await compare(made, 20, data), Status.compareFailure);
  });
}

statement('a compare changes neither the blocks nor the host', compareCite, async (rig) => {
  rig.needs((await rig.id(Id.oncsCompare)) === 1, 'compare');
  const made = await bench(rig);
  await write(made, 20, { count: 2, seed: 3 });
  const other = made.ns.buffer(2).fill({ kind: 'ones' });
  await compare(made, 20, other);
  assert.ok(other.holds({ kind: 'ones' }));
  assert.ok((await blocksOf(made, 20, 2)).holds({ kind: 'random', seed: 3 }));
});

statement('a compare beyond the end is out of range', compareCite, async (rig) => {
  rig.needs((await rig.id(Id.oncsCompare)) === 1, 'compare');
  const made = await bench(rig);
  const completion = await compare(made, made.ns.blockCount, made.ns.buffer(1));
  rig.refused(completion, Status.lbaOutOfRange);
});

statement('blocks read as zeroes after write zeroes', zeroesCite, async (rig) => {
  rig.needs((await rig.id(Id.oncsWriteZeroes)) === 1, 'write zeroes');
  const made = await bench(rig);
  const before = await write(made, 30, { count: 8, seed: 8 });
  await made.pair.runOk(made.ns.blocks(NvmOpcode.writeZeroes, { lba: 32, count: 3 }));
  const after = await blocksOf(made, 30, 8);
  const bytes = made.ns.blockBytes;
  assert.ok(after.slice(2 * bytes, 3 * bytes).holds({ kind: 'zeroes' }));
  assert.ok(after.slice(0, 2 * bytes).equals(before.slice(0, 2 * bytes)));
  assert.ok(after.slice(5 * bytes).equals(before.slice(5 * bytes)));
});

statement(
  'blocks that write zeroes deallocates read as zeroes where DLFEAT says so',
  zeroesCite,
  async (rig) => {
    rig.needs((await rig.id(Id.oncsWriteZeroes)) === 1, 'write zeroes');
    const made = await bench(rig);
    rig.needs(made.ns.id(IdentifyNamespace.dlfeatWriteZeroes) === 1, 'deallocating write zeroes');
    rig.needs(made.ns.id(IdentifyNamespace.dlfeatReads) === 1, 'deallocated blocks that read zero');
    await write(made, 30, { count: 8, seed: 8 });
    const command = made.ns.blocks(NvmOpcode.writeZeroes, { lba: 30, count: 8 });
    await made.pair.runOk(command.set(WriteZeroes.deac, 1));
    assert.ok((await blocksOf(made, 30, 8)).holds({ kind: 'zeroes' }));
  },
);

statement('write zeroes beyond the end is out of range', zeroesCite, async (rig) => {
  rig.needs((await rig.id(Id.oncsWriteZeroes)) === 1, 'write zeroes');
  const { ns, pair } = await bench(rig);
  const command = ns.blocks(NvmOpcode.writeZeroes, { lba: ns.blockCount - 1, count: 2 });
  rig.refused(await pair.run(command), Status.lbaOutOfRange);
});

statement('a write after write zeroes is what is read', zeroesCite, async (rig) => {
  rig.needs((await rig.id(Id.oncsWriteZeroes)) === 1, 'write zeroes');
  const made = await bench(rig);
  await made.pair.runOk(made.ns.blocks(NvmOpcode.writeZeroes, { lba: 30, count: 8 }));
  await write(made, 31, { count: 2, seed: 31 });
  assert.ok((await blocksOf(made, 31, 2)).holds({ kind: 'random', seed: 31 }));
});

const uncorrectable = ({ ns, pair }: Bench, lba: number, count: number) =>
  pair.run(ns.blocks(NvmOpcode.writeUncorrectable, { lba, count }));

statement('a block made uncorrectable cannot be read', uncorrectableCite, async (rig) => {
  rig.needs((await rig.id(Id.oncsWriteUncorrectable)) === 1, 'write uncorrectable');
  const made = await bench(rig);
  await write(made, 50, { count: 4, seed: 5 });
  rig.succeeded(await uncorrectable(made, 51, 2));
  const completion = await made.pair.run(made.ns.read({ lba: 52 }, made.ns.buffer(1)));
  rig.refused(completion, Status.unrecoveredReadError);
  await write(made, 50, { count: 4, seed: 5 });
});

statement('neighbours of an uncorrectable block can be read', uncorrectableCite, async (rig) => {
  rig.needs((await rig.id(Id.oncsWriteUncorrectable)) === 1, 'write uncorrectable');
  const made = await bench(rig);
  await write(made, 50, { count: 4, seed: 5 });
  rig.succeeded(await uncorrectable(made, 51, 1));
  await blocksOf(made, 50, 1);
  await blocksOf(made, 52, 2);
  await write(made, 50, { count: 4, seed: 5 });
});

statement('a write makes an uncorrectable block readable again', uncorrectableCite, async (rig) => {
  rig.needs((await rig.id(Id.oncsWriteUncorrectable)) === 1, 'write uncorrectable');
  const made = await bench(rig);
  rig.succeeded(await uncorrectable(made, 51, 1));
  await write(made, 51, { count: 1, seed: 51 });
  assert.ok((await blocksOf(made, 51, 1)).holds({ kind: 'random', seed: 51 }));
});

statement('a read over an uncorrectable block fails as a whole', uncorrectableCite, async (rig) => {
  rig.needs((await rig.id(Id.oncsWriteUncorrectable)) === 1, 'write uncorrectable');
  const made = await bench(rig);
  await write(made, 50, { count: 8, seed: 5 });
  rig.succeeded(await uncorrectable(made, 57, 1));
  const completion = await made.pair.run(made.ns.read({ lba: 50, count: 8 }, made.ns.buffer(8)));
  rig.refused(completion, Status.unrecoveredReadError);
  await write(made, 50, { count: 8, seed: 5 });
});

statement('write uncorrectable beyond the end is out of range', uncorrectableCite, async (rig) => {
  rig.needs((await rig.id(Id.oncsWriteUncorrectable)) === 1, 'write uncorrectable');
  const made = await bench(rig);
  rig.refused(await uncorrectable(made, made.ns.blockCount, 1), Status.lbaOutOfRange);
});

statement('verify of good blocks succeeds and moves no data', verifyCite, async (rig) => {
  rig.needs((await rig.id(Id.oncsVerify)) === 1, 'verify');
  const made = await bench(rig);
  await write(made, 60, { count: 8, seed: 6 });
  await made.pair.runOk(made.ns.blocks(NvmOpcode.verify, { lba: 60, count: 8 }));
});

statement('verify finds an uncorrectable block', verifyCite, async (rig) => {
  rig.needs((await rig.id(Id.oncsVerify)) === 1, 'verify');
  rig.needs((await rig.id(Id.oncsWriteUncorrectable)) === 1, 'write uncorrectable');
  const made = await bench(rig);
  await write(made, 60, { count: 8, seed: 6 });
  rig.succeeded(await uncorrectable(made, 63, 1));
  const completion = await made.pair.run(made.ns.blocks(NvmOpcode.verify, { lba: 60, count: 8 }));
  rig.refused(completion, Status.unrecoveredReadError);
  await write(made, 60, { count: 8, seed: 6 });
});

statement('a verify is carried out up to VSL and refused above it', verifyCite, async (rig) => {
  rig.needs((await rig.id(Id.oncsVerify)) === 1, 'verify');
  const { ns, pair } = await bench(rig);
  const [completion, { words }] = await rig.tryIdentify(Cns.controllerOfCommandSet, { csi: 0 });
  rig.needs(completion.status === 0, 'Identify Controller of a command set');
  const vsl = IdentifyControllerNvm.vsl.get(words, 0);
  const limit = vsl === 0 ? ns.blockCount : (rig.pageBytes * 2 ** vsl) / ns.blockBytes;
  const longest = Math.min(limit, ns.blockCount, 0x1_0000);
  await pair.runOk(ns.blocks(NvmOpcode.verify, { lba: 0, count: longest }));
  if (longest < limit || vsl === 0) return;
  const above = ns.blocks(NvmOpcode.verify, { lba: 0, count: longest + 1 });
  rig.refused(await pair.run(above), Status.invalidField);
});

statement('verify beyond the end is out of range', verifyCite, async (rig) => {
  rig.needs((await rig.id(Id.oncsVerify)) === 1, 'verify');
  const { ns, pair } = await bench(rig);
  const command = ns.blocks(NvmOpcode.verify, { lba: ns.blockCount });
  rig.refused(await pair.run(command), Status.lbaOutOfRange);
});

/** Compare and write as a fused pair, in adjacent slots under one doorbell. */
async function fused(made: Bench, data: { expected: TestBuffer; next: TestBuffer; lba: number }) {
  const { ns, pair } = made;
  const { expected, next, lba } = data;
  const first = pair.post(
    ns.blocks(NvmOpcode.compare, { lba }, expected).set(Sqe.fuse, Fuse.first),
  );
  const second = pair.post(ns.write({ lba }, next).set(Sqe.fuse, Fuse.second));
  pair.ring();
  return [await pair.wait(first), await pair.wait(second)] as const;
}

statement('a fused compare that holds lets its write happen', fusedCite, async (rig) => {
  rig.needs((await rig.id(Id.fuses)) === 1, 'fused compare and write');
  const made = await bench(rig);
  const expected = await write(made, 70, { count: 1, seed: 70 });
  const next = made.ns.buffer(1).fill({ kind: 'random', seed: 71 });
  for (const completion of await fused(made, { expected, next, lba: 70 }))
    rig.succeeded(completion);
  assert.ok((await blocksOf(made, 70, 1)).holds({ kind: 'random', seed: 71 }));
});

statement('a fused compare that fails stops its write', fusedCite, async (rig) => {
  rig.needs((await rig.id(Id.fuses)) === 1, 'fused compare and write');
  const made = await bench(rig);
  await write(made, 70, { count: 1, seed: 70 });
  const expected = made.ns.buffer(1).fill({ kind: 'zeroes' });
  const next = made.ns.buffer(1).fill({ kind: 'ones' });
  const [first, second] = await fused(made, { expected, next, lba: 70 });
  rig.refused(first, Status.compareFailure);
  rig.refused(second, Status.abortedFailedFused);
  assert.ok((await blocksOf(made, 70, 1)).holds({ kind: 'random', seed: 70 }));
});

statement('a second fused command alone is aborted', fusedCite, async (rig) => {
  rig.needs((await rig.id(Id.fuses)) === 1, 'fused compare and write');
  const { ns, pair } = await bench(rig);
  const command = ns.write({ lba: 70 }, ns.buffer(1)).set(Sqe.fuse, Fuse.second);
  rig.refused(await pair.run(command), Status.abortedMissingFused);
});

statement(
  'a first fused command followed by a normal one is aborted, the normal one is not',
  fusedCite,
  async (rig) => {
    rig.needs((await rig.id(Id.fuses)) === 1, 'fused compare and write');
    const made = await bench(rig);
    const { ns, pair } = made;
    const data = await write(made, 70, { count: 1, seed: 70 });
    const first = pair.post(
      ns.blocks(NvmOpcode.compare, { lba: 70 }, data).set(Sqe.fuse, Fuse.first),
    );
    const normal = pair.post(ns.read({ lba: 70 }, ns.buffer(1)));
    pair.ring();
    rig.refused(await pair.wait(first), Status.abortedMissingFused);
    rig.succeeded(await pair.wait(normal));
  },
);

statement('a fused pair over different blocks is refused', fusedCite, async (rig) => {
  rig.needs((await rig.id(Id.fuses)) === 1, 'fused compare and write');
  const made = await bench(rig);
  const { ns, pair } = made;
  const data = await write(made, 70, { count: 1, seed: 70 });
  const first = pair.post(
    ns.blocks(NvmOpcode.compare, { lba: 70 }, data).set(Sqe.fuse, Fuse.first),
  );
  const second = pair.post(ns.write({ lba: 71 }, data).set(Sqe.fuse, Fuse.second));
  pair.ring();
  const kinds = [await pair.wait(first), await pair.wait(second)].map((c) => statusKind(c.status));
  assert.ok(kinds.some((kind) => kind === Status.invalidField));
  assert.is.not(kinds[1], 0);
});

statement.run();
