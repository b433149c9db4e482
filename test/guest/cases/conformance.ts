import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { bind, unbind } from '../../../native/index.js';
import { notOnSimulatedCards } from '../../support/allowed-skips.js';
import { address, type GuestCase } from '../case.js';
import { deviationOf } from '../deviations.js';

const folder = fileURLToPath(new URL('../../conformance/', import.meta.url));
const script = fileURLToPath(new URL('../statements.js', import.meta.url));
const all = readdirSync(folder)
  .filter((name) => name.endsWith('.test.js'))
  .map((name) => name.replace('.test.js', ''));
const limitMs = 540_000;
const heading = /^ conformance: /m;

/** The standard's statements on a controller of QEMU's; one case for each file of them. */
export function conformanceCases(
  name: keyof typeof address,
  files: readonly string[] = all,
): GuestCase[] {
  let sections: readonly string[] | null = null;
  return files.map((file, i) => ({
    title: `${name} controller conforms: ${file}`,
    run: () => {
      sections ??= runAll(address[name], files);
      if (sections.length !== files.length) {
        throw new Error(`${sections.length} of ${files.length} files ran\n${sections.at(-1)}`);
      }
      judge(sections[i] ?? '');
      return Promise.resolve();
    },
  }));
}

/** @returns what each file printed */
function runAll(at: string, files: readonly string[]): readonly string[] {
  const driver = bind(at);
  try {
    const run = spawnSync(process.execPath, [script, ...files], {
      encoding: 'utf8',
      env: { ...process.env, ULTIMA_DEVICE: `vfio:${at}?arena=8MiB`, FORCE_COLOR: '0' },
      timeout: limitMs,
      maxBuffer: 64 * 1024 * 1024,
    });
    return run.stdout.split(heading).slice(1);
  } finally {
    unbind(at, driver);
  }
}

function judge(section: string): void {
  const [, passed = 0, total = 0] = /\((\d+) \/ (\d+)\)/.exec(section)?.map(Number) ?? [];
  // The title of a statement ends where its citation begins.
  const failures = [...section.matchAll(/^\s+FAIL {2}conformance: .*? {2}"(.*?) \[/gm)];
  const failed = failures.map((match) => match[1] ?? '');
  const skips = section.split('\n').filter((line) => line.startsWith('SKIP '));
  console.log(
    `     ${total} statements: ${passed - skips.length} hold, ${skips.length} not offered, ` +
      `${failed.length} deviate`,
  );
  for (const reason of new Set(skips)) console.log(`     ${reason.slice('SKIP '.length)}`);
  const untried = skips.filter((line) => notOnSimulatedCards.some((what) => line.endsWith(what)));
  if (untried.length > 0) throw new Error(`on no simulated card either: ${untried.join('; ')}`);
  const deviations = new Set(failed.map(deviationOf));
  for (const deviation of deviations) {
    if (deviation !== undefined) console.log(`     QEMU ${deviation.does} ${deviation.clause}`);
  }
  const unexplained = failed.filter((title) => deviationOf(title) === undefined);
  const isComplete = total > 0 && passed + failed.length === total;
  if (isComplete && unexplained.length === 0) return;
  throw new Error(`not explained: ${unexplained.join('; ')}\n${section}`);
}
