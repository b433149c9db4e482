/**
 * Files of the conformance suite, by name, in one process: under emulation a start costs seconds.
 */
import { fileURLToPath } from 'node:url';

// uvu collects suites into the first group of its queue, and runs them when told to.
Object.assign(globalThis, { UVU_DEFER: 1, UVU_QUEUE: [[null]] });

const folder = fileURLToPath(new URL('../conformance/', import.meta.url));
const { exec } = await import('uvu');
for (const name of process.argv.slice(2)) await import(`${folder}${name}.test.js`);
await exec();
