import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import * as assert from 'uvu/assert';
import { BlockOp } from '../../../sdk/block/request.js';
import { UltimaError } from '../../../sdk/errors.js';
import { emitFio3, emitMqsim } from '../../../sdk/trace/emit.js';
import type { ReadTraceOptions } from '../../../sdk/trace/read.js';
import { parseTrace, readTrace } from '../../../sdk/trace/read.js';
import type { Trace } from '../../../sdk/trace/trace.js';
import { suite } from '../../support/suite.js';

const test = suite('reading traces');
const formats = 'fixtures/traces/formats';
const scratch = mkdtempSync(join(tmpdir(), 'trace-'));

test.after(() => rmSync(scratch, { recursive: true }));

function parse(text: string, options: ReadTraceOptions = {}): Trace {
  return parseTrace(Buffer.from(text, 'latin1'), 'in.trace', options);
}

function refused(action: () => unknown): UltimaError {
  try {
    action();
  } catch (error) {
    if (error instanceof UltimaError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

async function refusedFile(path: string): Promise<UltimaError> {
  try {
    await readTrace(path);
  } catch (error) {
    if (error instanceof UltimaError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

function columns(trace: Trace): unknown[] {
  const { timeNs, op, flags, offsetBytes, lengthBytes, device, devices } = trace;
  return [timeNs, op, flags, offsetBytes, lengthBytes, device, devices];
}

test('a malformed line is named by file, number, reason and text', () => {
  const error = refused(() => parse('1 0 8 8 1\n2 0 8 8 1\n3 0 8 x 1\n'));
  assert.is(error.code, 'FILE_INVALID');
  assert.is(
    error.message,
    'in.trace, line 3: the length is not a positive number of sectors: 3 0 8 x 1',
  );
  assert.equal(error.facts.line, 3);
});

test('blank lines count as lines and carry nothing', () => {
  assert.is(refused(() => parse('1 0 8 8 1\n\n\n3 0 8 8 2\n')).facts.line, 4);
});

test('each column out of its range is refused with its own reason', () => {
  const bad: [string, RegExp][] = [
    ['1 0 8 8 1\n1 0 8 8\n', /five columns/],
    ['1 0 8 8 1\n1 0 -8 8 1\n', /sector/],
    ['1 0 8 8 1\n1 0 8 0 1\n', /positive number of sectors/],
    ['1 0 8 8 1\n1 0 8 8 3\n', /neither 1/],
    ['1 0 8 8 1\n1 0 99999999999999999999 8 1\n', /sector/],
    ['1,hm,0,Read,0,512,1\n1,hm,0,Erase,0,512,1\n', /neither Read nor Write/],
    ['1,hm,0,Read,0,512,1\n1,hm,0,Read,0,0,1\n', /positive number of bytes/],
    ['1,hm,0,Read,0,512,1\n1,hm,0,Read,9007199254740992,512,1\n', /below 2\^53/],
    ['1,hm,0,Read,0,512,1\n1,hm,0,Read,9007199254740991,512,1\n', /ends beyond 2\^53/],
    ['1,R,0,512,1\n1,X,0,512,1\n', /neither R nor W/],
    ['1,0,8,0,7\n1,0,8,2,7\n', /neither 0/],
    ['fio version 3 iolog\n0 f wait 5\n', /no wait/],
    ['fio version 3 iolog\n0 f erase 0 5\n', /action/],
    ['fio version 3 iolog\n0 f read 0\n', /offset and a length/],
    ['fio version 2 iolog\nwait x\n', /microseconds/],
    ['1 0 8 8 1\n9007199254740991 0 8 8 1\n99999999999999999999 0 8 8 1\n', /nanoseconds/],
  ];
  for (const [text, reason] of bad) {
    assert.match(refused(() => parse(text)).message, reason, text);
  }
});

test('a fraction in a file of whole nanoseconds is refused and points at the other format', () => {
  const error = refused(() => parse('1 0 8 8 1\n1.5 0 8 8 1\n', { format: 'mqsim' }));
  assert.match(error.message, /line 2: the time is not a whole number .* format disksim/);
});

test('blkparse lines that are broken are refused, those that carry no request are not', () => {
  const good = '8,0 0 1 0.000000000 1 D R 8 + 8 [a]\n';
  const bad: [string, RegExp][] = [
    ['8,0 0 1 0.000000000 1 D R 8 + x [a]\n', /number of sectors/],
    ['8,0 0 1 0.000000000 1 D R [a]\n', /without a range/],
    ['8,0 0 1 zero 1 D R 8 + 8 [a]\n', /seconds\.nanoseconds/],
    ['8,0 0 1 0.000000000 1 K R 8 + 8 [a]\n', /action/],
    ['8,0 0 1 0.000000000 1 D Y 8 + 8 [a]\n', /rwbs/],
    ['8-0 0 1 0.000000000 1 D R 8 + 8 [a]\n', /major,minor/],
  ];
  for (const [text, reason] of bad) {
    assert.match(refused(() => parse(good + text)).message, reason, text);
  }
  assert.is(parse(`${good}8,0 0 0 0.000000001 0 m N hello there\n`).count, 1);
});

test('stamps one unit apart stay apart at 2^60', () => {
  const base = 2n ** 60n;
  const line = (at: bigint): string => `${at},hm,0,Read,0,512,1\n`;
  const trace = parse(line(base) + line(base + 1n) + line(base + 12_345_678_901n));
  assert.equal([...trace.timeNs], [0, 100, 1_234_567_890_100]);
  assert.is(trace.originNs, base * 100n);
});

test('stamps more than 2^53 ns apart are refused instead of rounded', () => {
  const error = refused(() => parse('1,hm,0,Read,0,512,1\n100000000000000000,hm,0,Read,0,512,1\n'));
  assert.match(error.message, /line 2: the time stamp is more than 104 days away/);
});

test('records out of order are put in order, equal stamps stay as they came', () => {
  const trace = parse('30 0 3 1 1\n10 0 1 1 1\n30 0 4 1 0\n20 0 2 1 1\n');
  assert.equal([...trace.timeNs], [0, 10, 20, 20]);
  assert.equal([...trace.offsetBytes], [512, 1024, 1536, 2048]);
});

test('a device filter keeps that device and its own time', async () => {
  const trace = await readTrace(`${formats}/tencent.csv`, { device: '1063' });
  assert.is(trace.count, 4);
  // Three of its requests lie in the first second: thirds of it, in whole nanoseconds.
  assert.equal([...trace.timeNs], [0, 333_333_333, 666_666_666, 2_000_000_000]);
});

test('a filter for a device that is not there names those that are', () => {
  const error = refused(() => parse('1 0 8 8 1\n2 5 8 8 1\n', { device: '7' }));
  assert.is(error.message, 'in.trace: no request of device "7"; the file has: 0 5');
});

test('a limit keeps the first requests; in blkparse those of the chosen event', async () => {
  assert.is(parse('1 0 8 8 1\n2 0 8 8 1\nbroken\n', { limit: 2 }).count, 2);
  assert.is((await readTrace(`${formats}/blkparse.txt`, { limit: 3 })).count, 3);
});

test('a gzip file reads as what it holds', async () => {
  const path = join(scratch, 'packed.gz');
  writeFileSync(path, gzipSync(readFileSync(`${formats}/msr.csv`)));
  const plain = await readTrace(`${formats}/msr.csv`);
  assert.equal(columns(await readTrace(path)), columns(plain));
});

test('a gzip file that is cut off is refused', async () => {
  const path = join(scratch, 'cut.gz');
  const packed = readFileSync('fixtures/traces/ext4-sqlite.blkparse.gz');
  writeFileSync(path, packed.subarray(0, 50_000));
  const error = await refusedFile(path);
  assert.is(error.code, 'FILE_INVALID');
  assert.match(error.message, /cannot be read: unexpected end of file/);
});

test('files of the wrong kind are refused with what they are', async () => {
  const wrong: [string, Buffer | string, RegExp][] = [
    ['empty', '', /the file is empty/],
    ['json', '{"a": 1}\n', /not a block trace of a known kind \(begins with "{"a": 1}"\)/],
    ['elf', Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 0]), /binary, begins with 7f454c46/],
    ['prose', 'one two three four five\n', /begins with "one two/],
  ];
  for (const [name, content, message] of wrong) {
    const path = join(scratch, name);
    writeFileSync(path, content);
    const error = await refusedFile(path);
    assert.is(error.code, 'FILE_INVALID', name);
    assert.match(error.message, message, name);
  }
  assert.match((await refusedFile(scratch)).message, /a directory, not a trace file/);
  assert.match((await refusedFile(join(scratch, 'none'))).message, /cannot be read: ENOENT/);
});

test('a vscsi file that ends inside a record is refused', () => {
  const bytes = readFileSync(`${formats}/vscsi1.bin`).subarray(0, 100);
  const error = refused(() => parseTrace(bytes, 'v.bin'));
  assert.match(error.message, /v\.bin, record 4: cut off: 4 of 32 bytes/);
});

test('an override beats the content, and an unknown one is a usage error', () => {
  assert.is(parse('1 0 8 8 1\n', { format: 'disksim' }).format, 'disksim');
  const error = refused(() => parse('1 0 8 8 1\n', { format: 'csv' }));
  assert.is(error.code, 'USAGE');
  assert.match(error.message, /unknown trace format "csv"; known: blkparse, fio3/);
});

test('the last line counts without a line end; CRLF is a line end', () => {
  const trace = parse('1 0 8 8 1\r\n2 0 8 8 0');
  assert.equal([...trace.op], [BlockOp.read, BlockOp.write]);
});

test('lines that straddle chunks are whole lines', async () => {
  // 60,000 lines of different lengths are several chunks of any size the stream may choose.
  const lines = Array.from({ length: 60_000 }, (_, i) => `${i * 7} ${i % 3} ${i * 8} 8 ${i % 2}`);
  const path = join(scratch, 'long');
  writeFileSync(path, lines.join('\n'));
  const trace = await readTrace(path);
  assert.is(trace.count, 60_000);
  assert.is((await readTrace(path, { limit: 10 })).count, 10);
  for (let i = 0; i < trace.count; i += 997) {
    assert.is(trace.offsetBytes[i], i * 4096);
    assert.is(trace.timeNs[i], i * 7);
    assert.is(trace.op[i], i % 2 === 1 ? BlockOp.read : BlockOp.write);
  }
});

test('what is emitted for MQSim reads back as the same columns', async () => {
  const trace = await readTrace(`${formats}/mqsim.trace`);
  assert.equal(columns(parse([...emitMqsim(trace)].join(''))), columns(trace));
});

test('what is emitted for fio reads back as the same columns', async () => {
  for (const file of ['fio2.log', 'fio3.log', 'alibaba.csv']) {
    const trace = await readTrace(`${formats}/${file}`);
    assert.equal(columns(parse([...emitFio3(trace)].join(''))), columns(trace), file);
  }
});

test('a record that a format cannot say is refused unless loss is allowed', async () => {
  const trace = await readTrace(`${formats}/blkparse.txt`);
  assert.match(refused(() => [...emitMqsim(trace)]).message, /request 3: MQSim has only reads/);
  assert.match(refused(() => [...emitFio3(trace)]).message, /request 5: fio has no FUA/);
  // Two flushes and a discard have no words there; two writes and a read have.
  assert.is([...emitMqsim(trace, { isLossy: true })].length, 3);
});

test.run();
