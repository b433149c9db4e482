import * as assert from 'uvu/assert';
import { IdentifyController as Id } from '../../sdk/spec/nvme/identify-controller.js';
import { IdentifyNamespace } from '../../sdk/spec/nvme/identify-namespace.js';
import {
  Copy,
  CopyRange0,
  DatasetManagement,
  DatasetRange,
} from '../../sdk/spec/nvme/nvm-command.js';
import { NvmOpcode } from '../../sdk/spec/nvme/opcodes.js';
import { Status } from '../../sdk/spec/nvme/status.js';
import type { Rig } from '../../sdk/testing/rig.js';
import { type Bench, bench, blocksOf, write } from './io-bench.js';
import { statements } from './statement.js';

const statement = statements('dataset management and copy');

const datasetCite = '[NVM-1.0 §3.2.3 Dataset Management]';
const copyCite = '[NVM-1.0 §3.2.2 Copy]';

interface Range {
  readonly lba: number;
  readonly count: number;
}

async function datasetBench(rig: Rig): Promise<Bench> {
  rig.needs((await rig.id(Id.oncsDatasetManagement)) === 1, 'dataset management');
  return bench(rig);
}

/** A dataset management command over ranges; AD is set unless it is a hint. */
function manage({ rig, ns, pair }: Bench, ranges: readonly Range[], isHint = false) {
  const data = rig.buffer(4096, { kind: 'zeroes' });
  for (const [i, range] of ranges.entries()) {
    const at = (i * DatasetRange.layout.bytes) / 4;
    DatasetRange.slba.set(data.words, at, range.lba);
    DatasetRange.length.set(data.words, at, range.count);
  }
  const command = rig
    .command(NvmOpcode.datasetManagement, ns.nsid, data)
    .set(DatasetManagement.nr, ranges.length)
    .set(DatasetManagement.ad, isHint ? 0 : 1);
  return pair.run(command);
}

statement('a deallocated block reads as DLFEAT says', datasetCite, async (rig) => {
  const made = await datasetBench(rig);
  const reads = made.ns.id(IdentifyNamespace.dlfeatReads);
  await write(made, 100, { count: 8, seed: 1 });
  rig.succeeded(await manage(made, [{ lba: 100, count: 8 }]));
  const data = await blocksOf(made, 100, 8);
  // Deallocation is a hint: the block may also keep its data.
  const isKept = data.holds({ kind: 'random', seed: 1 });
  if (reads === 1) assert.ok(isKept || data.holds({ kind: 'zeroes' }));
  if (reads === 2) assert.ok(isKept || data.holds({ kind: 'ones' }));
});

statement('deallocated blocks read the same every time', datasetCite, async (rig) => {
  const made = await datasetBench(rig);
  await write(made, 100, { count: 8, seed: 1 });
  rig.succeeded(await manage(made, [{ lba: 100, count: 8 }]));
  const first = await blocksOf(made, 100, 8);
  assert.ok((await blocksOf(made, 100, 8)).equals(first));
});

statement('neighbours of a deallocated range keep their data', datasetCite, async (rig) => {
  const made = await datasetBench(rig);
  const before = await write(made, 96, { count: 24, seed: 2 });
  rig.succeeded(await manage(made, [{ lba: 104, count: 8 }]));
  const after = await blocksOf(made, 96, 24);
  const bytes = made.ns.blockBytes;
  assert.ok(after.slice(0, 8 * bytes).equals(before.slice(0, 8 * bytes)));
  assert.ok(after.slice(16 * bytes).equals(before.slice(16 * bytes)));
});

statement('a write after deallocation is what is read', datasetCite, async (rig) => {
  const made = await datasetBench(rig);
  rig.succeeded(await manage(made, [{ lba: 100, count: 16 }]));
  await write(made, 103, { count: 2, seed: 3 });
  assert.ok((await blocksOf(made, 103, 2)).holds({ kind: 'random', seed: 3 }));
});

for (const count of [1, 2, 255, 256]) {
  statement(`dataset management takes ${count} ranges`, datasetCite, async (rig) => {
    const made = await datasetBench(rig);
    const ranges = Array.from({ length: count }, (_, i) => ({ lba: 1000 + i * 8, count: 4 }));
    rig.succeeded(await manage(made, ranges));
  });
}

statement('dataset management without Deallocate changes nothing', datasetCite, async (rig) => {
  const made = await datasetBench(rig);
  await write(made, 100, { count: 8, seed: 4 });
  rig.succeeded(await manage(made, [{ lba: 100, count: 8 }], true));
  assert.ok((await blocksOf(made, 100, 8)).holds({ kind: 'random', seed: 4 }));
});

statement('a range of no blocks deallocates nothing', datasetCite, async (rig) => {
  const made = await datasetBench(rig);
  await write(made, 100, { count: 2, seed: 5 });
  rig.succeeded(await manage(made, [{ lba: 100, count: 0 }]));
  assert.ok((await blocksOf(made, 100, 2)).holds({ kind: 'random', seed: 5 }));
});

statement('only as many ranges as NR says are used', datasetCite, async (rig) => {
  const made = await datasetBench(rig);
  await write(made, 100, { count: 8, seed: 6 });
  const { ns, pair } = made;
  const data = rig.buffer(4096, { kind: 'zeroes' });
  for (let i = 0; i < 2; i++) {
    DatasetRange.slba.set(data.words, i * 4, 100 + i * 4);
    DatasetRange.length.set(data.words, i * 4, 4);
  }
  const command = rig
    .command(NvmOpcode.datasetManagement, ns.nsid, data)
    .set(DatasetManagement.nr, 1)
    .set(DatasetManagement.ad, 1);
  await pair.runOk(command);
  const expected = rig.buffer(8 * ns.blockBytes, { kind: 'random', seed: 6 });
  const kept = expected.slice(4 * ns.blockBytes);
  assert.ok((await blocksOf(made, 104, 4)).equals(kept));
});

async function copyBench(rig: Rig): Promise<Bench> {
  rig.needs((await rig.id(Id.oncsCopy)) === 1, 'copy');
  const made = await bench(rig);
  const limits = [made.ns.id(IdentifyNamespace.mssrl), made.ns.id(IdentifyNamespace.mcl)];
  rig.needs(
    limits.every((limit) => limit > 0),
    'a copy of any length',
  );
  return made;
}

/** A copy of format 0 ranges to `target`. */
function copy({ rig, ns, pair }: Bench, target: number, ranges: readonly Range[]) {
  const data = rig.buffer(ranges.length * CopyRange0.layout.bytes, { kind: 'zeroes' });
  for (const [i, range] of ranges.entries()) {
    const at = (i * CopyRange0.layout.bytes) / 4;
    CopyRange0.slba.set(data.words, at, range.lba);
    CopyRange0.nlb.set(data.words, at, range.count);
  }
  const command = rig
    .command(NvmOpcode.copy, ns.nsid, data)
    .set(Copy.sdlba, target)
    .set(Copy.nr, ranges.length)
    .set(Copy.df, 0);
  return pair.run(command);
}

for (const count of [1, 5, 16]) {
  statement(`a copy of ${count} blocks is what the source was`, copyCite, async (rig) => {
    const made = await copyBench(rig);
    const source = await write(made, 200, { count, seed: count });
    rig.succeeded(await copy(made, 300, [{ lba: 200, count }]));
    assert.ok((await blocksOf(made, 300, count)).equals(source));
  });
}

statement('a copy does not change its source', copyCite, async (rig) => {
  const made = await copyBench(rig);
  await write(made, 200, { count: 8, seed: 1 });
  rig.succeeded(await copy(made, 300, [{ lba: 200, count: 8 }]));
  assert.ok((await blocksOf(made, 200, 8)).holds({ kind: 'random', seed: 1 }));
});

statement('several source ranges arrive one after the other', copyCite, async (rig) => {
  const made = await copyBench(rig);
  rig.needs(made.ns.id(IdentifyNamespace.msrc) >= 3, 'three source ranges');
  const parts = [
    { lba: 230, count: 3 },
    { lba: 200, count: 1 },
    { lba: 215, count: 4 },
  ];
  const sources = [];
  for (const { lba, count } of parts) sources.push(await write(made, lba, { count, seed: lba }));
  rig.succeeded(await copy(made, 300, parts));
  let lba = 300;
  for (const [i, { count }] of parts.entries()) {
    assert.ok((await blocksOf(made, lba, count)).equals(sources[i]!));
    lba += count;
  }
});

statement('a copy writes as many blocks as its ranges name', copyCite, async (rig) => {
  const made = await copyBench(rig);
  await write(made, 200, { count: 4, seed: 1 });
  await write(made, 300, { count: 6, seed: 2 });
  const before = await blocksOf(made, 304, 2);
  rig.succeeded(await copy(made, 300, [{ lba: 200, count: 4 }]));
  assert.ok((await blocksOf(made, 304, 2)).equals(before));
});

statement('the largest single source range is copied', '[NVM-1.0 §4.1.5.1 MSSRL]', async (rig) => {
  const made = await copyBench(rig);
  const count = made.ns.id(IdentifyNamespace.mssrl);
  rig.needs(count * made.ns.blockBytes <= (await rig.maxTransferBytes(2 ** 22)), 'the range size');
  const source = await write(made, 4096, { count, seed: 9 });
  rig.succeeded(await copy(made, 4096 + count, [{ lba: 4096, count }]));
  assert.ok((await blocksOf(made, 4096 + count, count)).equals(source));
});

statement('a source range above MSSRL is refused', '[NVM-1.0 §4.1.5.1 MSSRL]', async (rig) => {
  const made = await copyBench(rig);
  const count = made.ns.id(IdentifyNamespace.mssrl) + 1;
  rig.needs(count <= 0x1_0000, 'a source range limit below 65536 blocks');
  const completion = await copy(made, 0x2_0000, [{ lba: 0, count }]);
  rig.refused(completion, Status.commandSizeLimitExceeded);
});

statement('more source ranges than MSRC are refused', '[NVM-1.0 §4.1.5.1 MSRC]', async (rig) => {
  const made = await copyBench(rig);
  const limit = made.ns.id(IdentifyNamespace.msrc);
  rig.needs(limit < 256, 'a source range count limit below 256');
  const ranges = Array.from({ length: limit + 1 }, (_, i) => ({ lba: i, count: 1 }));
  const completion = await copy(made, 0x2_0000, ranges);
  rig.refused(completion, Status.commandSizeLimitExceeded);
});

statement('ranges above MCL together are refused', '[NVM-1.0 §4.1.5.1 MCL]', async (rig) => {
  const made = await copyBench(rig);
  const [mcl, mssrl, msrc] = [
    made.ns.id(IdentifyNamespace.mcl),
    made.ns.id(IdentifyNamespace.mssrl),
    made.ns.id(IdentifyNamespace.msrc),
  ];
  const ranges: Range[] = [];
  for (let left = mcl + 1; left > 0; left -= mssrl) {
    ranges.push({ lba: 0, count: Math.min(left, mssrl) });
  }
  rig.needs(ranges.length <= msrc, 'more ranges than MCL needs');
  const completion = await copy(made, 0x2_0000, ranges);
  rig.refused(completion, Status.commandSizeLimitExceeded);
});

statement('a copy to beyond the end is out of range', copyCite, async (rig) => {
  const made = await copyBench(rig);
  const completion = await copy(made, made.ns.blockCount - 1, [{ lba: 0, count: 2 }]);
  rig.refused(completion, Status.lbaOutOfRange);
});

statement('a copy from beyond the end is out of range', copyCite, async (rig) => {
  const made = await copyBench(rig);
  const completion = await copy(made, 0, [{ lba: made.ns.blockCount - 1, count: 2 }]);
  rig.refused(completion, Status.lbaOutOfRange);
});

statement('a source range format that is not announced is refused', copyCite, async (rig) => {
  const { ns, pair } = await copyBench(rig);
  const announced = await rig.id(Id.cdfs);
  for (let format = 0; format <= Copy.df.max; format++) {
    if (Math.floor(announced / 2 ** format) % 2 === 1) continue;
    const command = rig
      .command(NvmOpcode.copy, ns.nsid, rig.buffer(4096, { kind: 'zeroes' }))
      .set(Copy.sdlba, 300)
      .set(Copy.df, format);
    rig.refused(await pair.run(command), Status.invalidField);
  }
});

statement('a copy of an uncorrectable block fails and says so', copyCite, async (rig) => {
  const made = await copyBench(rig);
  rig.needs((await rig.id(Id.oncsWriteUncorrectable)) === 1, 'write uncorrectable');
  await write(made, 200, { count: 2, seed: 1 });
  await made.pair.runOk(made.ns.blocks(NvmOpcode.writeUncorrectable, { lba: 201 }));
  const completion = await copy(made, 300, [{ lba: 200, count: 2 }]);
  rig.refused(completion, Status.unrecoveredReadError);
  await write(made, 200, { count: 2, seed: 1 });
});

statement.run();
