import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { bind, unbind } from '../../../native/index.js';
import { address, type GuestCase } from '../case.js';

const folder = fileURLToPath(new URL('../../conformance/', import.meta.url));
const files = readdirSync(folder).filter((name) => name.endsWith('.test.js'));
const fileLimitMs = 120_000;

/** The standard's statements, each file of them on a controller of QEMU's. */
export function conformanceCases(controllers: readonly (keyof typeof address)[]): GuestCase[] {
  return controllers.flatMap((name) =>
    files.map((file) => ({
      title: `${name} controller conforms: ${file.replace('.test.js', '')}`,
      run: async () => {
        const driver = bind(address[name]);
        try {
          runFile(file, address[name]);
        } finally {
          unbind(address[name], driver);
        }
      },
    })),
  );
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
  const skips = run.stdout.split('\n').filter((line) => line.startsWith('SKIP '));
  const [seconds] = process.hrtime(started);
  console.log(`     ${total} statements, ${skips.length} not offered, ${seconds} s`);
  for (const reason of new Set(skips)) console.log(`     ${reason.slice('SKIP '.length)}`);
  if (run.status === 0 && total > 0 && passed === total) return;
  throw new Error(`${passed} of ${total} statements hold\n${run.stdout}${run.stderr}`);
}
