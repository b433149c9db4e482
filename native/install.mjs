// Runs after `npm install` in a checkout: builds the addon where a compiler is, and says so where
// none is. ULTIMA_NATIVE=0 skips it, ULTIMA_NATIVE=1 makes a failure fatal.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const choice = process.env.ULTIMA_NATIVE;

if (choice !== '0') {
  const cmakeJs = createRequire(import.meta.url).resolve('cmake-js/bin/cmake-js');
  const options = ['compile', '-d', `${root}native`, '-O', `${root}build`, '--parallel', '2'];
  const run = spawnSync(process.execPath, [cmakeJs, ...options, '--log-level', 'error']);
  if (run.status !== 0) {
    console.error('ultima: the native addon is not built; everything but vfio: works without it');
    if (choice === '1') process.exit(1);
  }
}
