import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { bind, unbind } from '../../../native/index.js';
import { address, type GuestCase } from '../case.js';
import { deviationOf } from '../deviations.js';

const folder = fileURLToPath(new URL('../../conformance/', import.meta.url));
const files = readdirSync(folder).filter((name) => name.endsWith('.test.js'));
const fileLimitMs = 120_000;

/** The standard's statements, each file of them on a controller of QEMU's. */
export function conformanceCases(name: keyof typeof address): GuestCase[] {
  let driver: string | null = null;
  return files.map((file, i) => ({
    title: `${name} controller conforms: ${file.replace('.test.js', '')}`,
    run: () => {
      // Bound once: the kernel's driver takes seconds to let go and come back.
      if (i === 0) driver = bind(address[name]);
      try {
        runFile(file, address[name]);
      } finally {
        if (i === files.length - 1) unbind(address[name], driver);
      }
      return Promise.resolve();
    },
  }));
}

function runFile(file: string, at: string): void {
  const started = process.hrtime();
  const run = spawnSync(process.execPath, [`${folder}${file}`], {
    encoding: 'utf8',
    env: { ...process.env, ULTIMA_DEVICE: `vfio:${at}?arena=8MiB`, FORCE_COLOR: '0' },
    timeout: fileLimitMs,
  });
  const total = Number(/Total:\s+(\d+)/.exec(run.stdout)?.[1] ?? 0);
  const passed = Number(/Passed:\s+(\d+)/.exec(run.stdout)?.[1] ?? 0);
  // The title of a statement ends where its citation begins.
  const failures = [...run.stdout.matchAll(/^\s+FAIL {2}conformance: .*? {2}"(.*?) \[/gm)];
  const failed = failures.map((match) => match[1] ?? '');
  const skips = run.stdout.split('\n').filter((line) => line.startsWith('SKIP '));
  const [seconds] = process.hrtime(started);
  console.log(
    `     ${total} statements: ${passed - skips.length} hold, ${skips.length} not offered, ` +
      `${failed.length} deviate, ${seconds} s`,
  );
  for (const reason of new Set(skips)) console.log(`     ${reason.slice('SKIP '.length)}`);
  for (const title of failed) {
    const deviation = deviationOf(title);
    if (deviation !== undefined) console.log(`     QEMU ${deviation.does} ${deviation.clause}`);
  }
  const unexplained = failed.filter((title) => deviationOf(title) === undefined);
  const isComplete = total > 0 && passed + failed.length === total;
  if (isComplete && unexplained.length === 0) return;
  throw new Error(`not explained: ${unexplained.join('; ')}\n${run.stdout}${run.stderr}`);
}
