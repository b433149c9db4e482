import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { runMachine } from './machine.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const directory = `${root}out/guest`;
spawnSync('bash', [`${root}test/guest/prepare.sh`, directory], { stdio: 'inherit' });
const code = await runMachine({
  directory,
  what: process.argv.slice(2),
  limitMs: 280_000,
  onLine: (line) => console.log(line),
});
console.log(code);
