import { accessSync, constants } from 'node:fs';
import { runMachine } from './machine.js';
import { guestDirectory, whyNotGuest } from './prepare.js';

/**
 * `npm run test:guest -- [group …]`: boot a Debian guest with several NVMe controllers and run the
 * cases of `inside.ts` on them, over the addon and VFIO. Ends with one line of counts.
 */
const directory = guestDirectory;
/** What the guest said last, when it fails before its first case. */
const keptLines = 40;
/** Two free cores need a few minutes; a machine that others use as well may need ten. */
const limitMs = 1_200_000;

const obstacle = whyNotGuest(directory);
if (obstacle !== null) {
  console.log(`SKIP guest: ${obstacle}`);
  const isFailure = process.env.CI === 'true';
  console.log(isFailure ? '0 passed, 1 failed' : '0 passed, 0 failed, 1 skipped');
  process.exitCode = isFailure ? 1 : 0;
} else {
  process.exitCode = await run(process.argv.slice(2));
}

async function run(groups: readonly string[]): Promise<number> {
  accessSync(directory, constants.W_OK);
  const counts = { PASS: 0, FAIL: 0, SKIP: 0 };
  let hasStarted = false;
  const before: string[] = [];
  const code = await runMachine({
    directory,
    what: groups,
    limitMs,
    onLine: (raw) => {
      // The firmware leaves its last message without an end of line.
      const line = raw.replace(/^.*?(?=(?:PASS|FAIL|SKIP) \w+: )/, '');
      const word = /^(PASS|FAIL|SKIP) /.exec(line)?.[1];
      // Indented lines are of a case that is not over yet.
      hasStarted ||= word !== undefined || /^ {5}\S/.test(line);
      if (word === 'PASS' || word === 'FAIL' || word === 'SKIP') counts[word]++;
      // What QEMU says of each copy that it fails.
      const isNoise = /^qemu-system-x86_64: aio failed/.test(line);
      if (isNoise) return;
      if (hasStarted) console.log(line);
      else before.push(line);
    },
  });
  if (code < 0) {
    console.log(`the guest did not end by itself within ${limitMs / 1000} s`);
    counts.FAIL++;
  } else if (code !== 0 && counts.FAIL === 0) {
    for (const line of before.slice(-keptLines)) console.log(line);
    console.log(`the guest ended with code ${code}`);
    counts.FAIL++;
  } else if (counts.PASS + counts.FAIL === 0) {
    console.log('the guest ran no case');
    counts.FAIL++;
  }
  const skipped = counts.SKIP > 0 ? `, ${counts.SKIP} skipped` : '';
  console.log(`${counts.PASS} passed, ${counts.FAIL} failed${skipped}`);
  return counts.FAIL === 0 ? 0 : 1;
}
