// Build the native addon where a compiler is, and say so where none is. Runs after `npm install` in
// a checkout. ULTIMA_NATIVE=0 skips it, ULTIMA_NATIVE=1 makes a failure fatal.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const choice = process.env.ULTIMA_NATIVE;

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
}
