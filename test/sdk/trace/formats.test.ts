import * as assert from 'uvu/assert';
import { BlockOp } from '../../../sdk/block/request.js';
import { readTrace } from '../../../sdk/trace/read.js';
import type { Trace } from '../../../sdk/trace/trace.js';
import { suite } from '../../support/suite.js';

const test = suite('trace formats');
const folder = 'fixtures/traces/formats';

const { read, write, flush, discard } = BlockOp;

/** Rows of [ns since the first, operation, offset, length, device, flags]. */
type Row = readonly [number, number, number, number, string, number?];

function rows(trace: Trace): Row[] {
  const list: Row[] = [];
  for (let i = 0; i < trace.count; i++) {
    const device = trace.devices[trace.device[i]!]!;
    const { timeNs, op, offsetBytes, lengthBytes, flags } = trace;
    list.push([timeNs[i]!, op[i]!, offsetBytes[i]!, lengthBytes[i]!, device, flags[i]!]);
  }
  return list;
}

async function expectRows(file: string, format: string, expected: readonly Row[]): Promise<Trace> {
  const trace = await readTrace(`${folder}/${file}`);
  assert.is(trace.format, format);
  assert.equal(
    rows(trace),
    expected.map((row) => [...row.slice(0, 5), row[5] ?? 0]),
  );
  return trace;
}

test('MQSim: 1 is a read, 0 a write, sectors are 512 bytes, the time is ns', async () => {
  await expectRows('mqsim.trace', 'mqsim', [
    [0, read, 8192, 4096, '0'],
    [1500, write, 12288, 8192, '0'],
    [1500, read, 0, 512, '1'],
    [3_999_000, write, 1_073_737_728, 4096, '0'],
  ]);
});

test('DiskSim: a time with a fraction is milliseconds', async () => {
  await expectRows('disksim.trace', 'disksim', [
    [0, read, 8192, 4096, '0'],
    [250_000, write, 12288, 8192, '0'],
    [12_500_000, read, 512_000, 1024, '3'],
  ]);
});

test('MSR: FILETIME stamps one tick apart beyond 2^53 are 100 ns apart', async () => {
  const trace = await expectRows('msr.csv', 'msr', [
    [0, read, 383_496_192, 32_768, 'hm.1'],
    [100, write, 2_822_144, 4096, 'hm.1'],
    [1_000_000_000, read, 512, 1024, 'hm.0'],
  ]);
  assert.is(trace.originNs, 12_816_637_200_306_162_900n);
});

test('Alibaba: microseconds, bytes, one device per volume', async () => {
  const trace = await expectRows('alibaba.csv', 'alibaba', [
    [0, write, 8_792_731_648, 16_384, '419'],
    [46_000, read, 59_110_326_272, 360_448, '725'],
    [639_233_000, read, 8_792_735_744, 4096, '419'],
  ]);
  assert.is(trace.originNs, 1_577_808_144_360_767_000n);
});

test('Tencent: 0 is a read, 1 a write; the requests of a second are spread over it', async () => {
  await expectRows('tencent.csv', 'tencent', [
    [0, read, 6_610_407_424, 65_536, '1063'],
    [250_000_000, write, 3_208_032_256, 4096, '1071'],
    [500_000_000, write, 512, 1024, '1063'],
    [750_000_000, read, 4096, 4096, '1063'],
    [2_000_000_000, write, 8192, 4096, '1063'],
  ]);
});

test('fio version 2: waits in us add up; datasync is a flush, trim a discard', async () => {
  const trace = await expectRows('fio2.log', 'fio2', [
    [0, read, 4096, 8192, '/dev/nvme0n1'],
    [1_500_000, write, 0, 512, '/dev/nvme0n1'],
    [2_000_000, discard, 1_048_576, 65_536, '/dev/nvme0n1'],
    [2_000_000, flush, 0, 0, '/dev/nvme0n1'],
  ]);
  assert.is(trace.skipped, 3);
});

test('fio version 3: stamps are microseconds', async () => {
  const trace = await expectRows('fio3.log', 'fio3', [
    [0, read, 4096, 8192, '/dev/nvme0n1'],
    [99_995_000, write, 0, 512, '/dev/nvme0n1'],
    [99_995_000, flush, 0, 0, '/dev/nvme0n1'],
    [199_887_000, discard, 1_048_576, 65_536, '/dev/nvme0n1'],
  ]);
  assert.is(trace.originNs, 100_113_000n);
});

test("fio's own recording has the requests that fio says it issued, at its pace", async () => {
  // 'issued rwts: total=9,11,0,5', at most 100 requests a second: multiples of 10 ms, and later.
  const trace = await readTrace(`${folder}/fio3-recorded.log`);
  const { reads, writes, flushes, discards } = totals(trace);
  assert.equal([reads[0], writes[0], discards[0], flushes[0]], [9, 11, 0, 5]);
  const lastNs = trace.timeNs[trace.count - 1]!;
  assert.ok(lastNs > 200e6 && lastNs < 300e6, `${lastNs}`);
});

test('blkparse: only what was issued to the driver counts; FUA and flush are kept', async () => {
  await expectRows('blkparse.txt', 'blkparse', [
    [0, write, 512_000, 8192, '8,0'],
    [499_994_000, read, 1_073_676_288, 4096, '8,0'],
    [600_003_000, flush, 0, 0, '8,0'],
    [700_003_000, flush, 0, 0, '8,0'],
    [700_893_000, write, 2_097_152, 4096, '8,0', 1],
    [999_993_002, discard, 0, 1_073_741_824, '8,0'],
  ]);
});

test('blkparse: as queued, a preflush with data is a flush and then the write', async () => {
  const trace = await readTrace(`${folder}/blkparse.txt`, { event: 'Q' });
  assert.equal(rows(trace), [
    [0, write, 512_000, 4096, '8,0', 0],
    [3000, write, 516_096, 4096, '8,0', 0],
    [499_999_000, read, 1_073_676_288, 4096, '8,0', 0],
    [599_999_000, flush, 0, 0, '8,0', 0],
    [699_999_000, flush, 0, 0, '8,0', 0],
    [699_999_000, write, 2_097_152, 4096, '8,0', 1],
    [999_999_001, discard, 0, 1_073_741_824, '8,0', 0],
  ]);
});

test('vscsi versions 1 and 2: the SCSI operation decides; INQUIRY is no request', async () => {
  const expected: Row[] = [
    [0, read, 8192, 4096, 'disk'],
    [250_000, write, 12_288, 8192, 'disk'],
    [300_000, flush, 0, 0, 'disk'],
    [1_000_000, read, 4_398_046_511_104, 512, 'disk'],
  ];
  assert.is((await expectRows('vscsi1.bin', 'vscsi1', expected)).skipped, 1);
  assert.is((await expectRows('vscsi2.bin', 'vscsi2', expected)).skipped, 1);
});

test('the recorded workload adds up to what its README counts', async () => {
  const trace = await readTrace('fixtures/traces/ext4-sqlite.blkparse.gz');
  assert.is(trace.count, 16_319);
  assert.equal(totals(trace), {
    reads: [4812, 25_519_104],
    writes: [8687, 220_102_656],
    flushes: [2800, 0],
    discards: [20, 2_083_729_408],
    fua: 620,
  });
});

test('what the recorded workload queued is what its own summary says', async () => {
  // blkparse's totals at the end of the file: reads 4812, writes 14186 with discards and flushes;
  // 24921 KiB read. Of the writes 2186 were flushes without data and 614 had a preflush.
  const trace = await readTrace('fixtures/traces/ext4-sqlite.blkparse.gz', { event: 'Q' });
  const { reads, writes, flushes, discards } = totals(trace);
  assert.is(reads[0], 4812);
  assert.is(Math.floor(reads[1] / 1024), 24_921);
  assert.is(flushes[0], 2186 + 614);
  assert.is(writes[0] + discards[0] + 2186, 14_186);
});

function totals(trace: Trace) {
  const sum: [number, number][] = [0, 1, 2, 3, 4, 5].map(() => [0, 0]);
  let fua = 0;
  for (let i = 0; i < trace.count; i++) {
    const total = sum[trace.op[i]!]!;
    total[0]++;
    total[1] += trace.lengthBytes[i]!;
    fua += trace.flags[i]!;
  }
  return {
    reads: sum[read]!,
    writes: sum[write]!,
    flushes: sum[flush]!,
    discards: sum[discard]!,
    fua,
  };
}

test.run();
