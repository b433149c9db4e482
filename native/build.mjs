// Build the native addon where a compiler is, and say so where none is. Runs after `npm install` in
// a checkout. ULTIMA_NATIVE=0 skips it, ULTIMA_NATIVE=1 makes a failure fatal. With --prebuild, as
// when the package is packed, the addon is put where the loader looks on machines without a
// compiler; then a failure is fatal too.
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const isPrebuild = process.argv.includes('--prebuild');
const choice = isPrebuild ? '1' : process.env.ULTIMA_NATIVE;

if (choice !== '0' && process.platform === 'linux') {
  const cmakeJs = createRequire(import.meta.url).resolve('cmake-js/bin/cmake-js');
  const run = spawnSync(process.execPath, [cmakeJs, 'compile', '-d', here, '--parallel', '2'], {
    encoding: 'utf8',
  });
  if (run.status !== 0) {
    const lines = `${run.stdout}${run.stderr}`.trim().split('\n');
    const telling = lines.filter((line) => /error|not found|no such|could not/i.test(line));
    const reason = (telling.length > 0 ? telling : lines).slice(0, 3).join('\n  ');
    console.error(
      `ultima: the native addon is not built; everything but vfio: works without it\n  ${reason}`,
    );
    if (choice === '1') process.exit(1);
  }
  if (isPrebuild) {
    const folder = `${here}prebuilds/${process.platform}-${process.arch}`;
    mkdirSync(folder, { recursive: true });
    copyFileSync(`${here}build/Release/ultima.node`, `${folder}/ultima.node`);
  }
}
