/**
 * All statements of the conformance suite in one process: under emulation a start costs seconds.
 */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

// uvu collects suites into the first group of its queue, and runs them when told to.
Object.assign(globalThis, { UVU_DEFER: 1, UVU_QUEUE: [[null]] });

const folder = fileURLToPath(new URL('../conformance/', import.meta.url));
const { exec } = await import('uvu');
for (const name of readdirSync(folder).filter((file) => file.endsWith('.test.js'))) {
  await import(`${folder}${name}`);
}
await exec();
