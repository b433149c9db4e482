import { readdirSync, readFileSync } from 'node:fs';
import { UltimaError } from '../../../sdk/errors.js';
import { parseTrace } from '../../../sdk/trace/read.js';
import { Prng } from '../../../sim/prng.js';
import { suite } from '../../support/suite.js';

const test = suite('damaged traces');
const folder = 'fixtures/traces/formats';
const rounds = 400;
const seed = 20;

/** Change, drop, double or insert a few bytes. */
function damaged(bytes: Buffer, prng: Prng): Buffer {
  const copy = Buffer.concat([bytes]);
  for (let times = 1 + prng.below(4); times > 0; times--) {
    const at = prng.below(copy.length);
    const what = prng.below(3);
    if (what === 0) copy[at] = prng.below(256);
    else if (what === 1) copy.copyWithin(at, Math.min(copy.length, at + 1 + prng.below(9)));
    else copy[at] = copy[prng.below(copy.length)]!;
  }
  return copy.subarray(0, 1 + prng.below(copy.length));
}

for (const file of readdirSync(folder).filter((name) => name !== 'README.md')) {
  test(`${file}: damage gives a sound trace or a named error, never anything else`, () => {
    const whole = readFileSync(`${folder}/${file}`);
    const prng = new Prng(seed, file);
    for (let round = 0; round < rounds; round++) {
      try {
        demandSound(parseTrace(damaged(whole, prng), file));
      } catch (error) {
        if (error instanceof UltimaError && error.code === 'FILE_INVALID') continue;
        throw new Error(`seed ${seed}, round ${round}: ${String(error)}`);
      }
    }
  });
}

function demandSound(trace: ReturnType<typeof parseTrace>): void {
  const { count, timeNs, op, offsetBytes, lengthBytes, device, devices } = trace;
  for (let i = 0; i < count; i++) {
    const isOrdered = timeNs[i]! >= (i === 0 ? 0 : timeNs[i - 1]!);
    const isFlush = op[i] === 3;
    const hasLength = isFlush ? lengthBytes[i] === 0 : lengthBytes[i]! > 0;
    const isInRange = Number.isSafeInteger(offsetBytes[i]! + lengthBytes[i]!);
    const isKnown = op[i]! >= 1 && op[i]! <= 5 && device[i]! < devices.length;
    if (!(isOrdered && hasLength && isInRange && isKnown && offsetBytes[i]! >= 0)) {
      throw new Error(`request ${i} is unsound`);
    }
  }
}

test.run();
