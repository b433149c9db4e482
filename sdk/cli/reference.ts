import { mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { type ReferenceTable, referencePage, tablesOf } from '../spec/reference.js';

/**
 * `npm run docs`: write the register and structure reference. Every module under `sdk/spec` is
 * asked for its tables, so that a new table is in the reference without being listed anywhere.
 */
const specFolder = fileURLToPath(new URL('../spec', import.meta.url));

const tables = new Map<string, ReferenceTable>();
for (const file of readdirSync(specFolder, { recursive: true, encoding: 'utf8' }).toSorted()) {
  if (!file.endsWith('.js')) continue;
  const exports: Record<string, unknown> = await import(
    pathToFileURL(path.join(specFolder, file)).href
  );
  const group = path.dirname(file) === '.' ? 'layout' : path.dirname(file);
  for (const found of tablesOf(group, exports)) tables.set(`${group}/${found.name}`, found);
}

const target = path.resolve('out/registers.html');
mkdirSync(path.dirname(target), { recursive: true });
writeFileSync(`${target}.part`, referencePage([...tables.values()]));
renameSync(`${target}.part`, target);
console.log(`${tables.size} tables in ${target}`);
