import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

export interface TestFile {
  /** `test/sdk/spec/layout.test.ts`: what people type and read. */
  readonly source: string;
  /** The compiled file that runs. */
  readonly compiled: string;
}

/**
 * Folders of tests that have commands of their own: they need a guest, other programs or a time
 * bound. A filter that is the name of the folder chooses it.
 */
const otherCommands: readonly string[] = ['test/clients', 'test/guest', 'test/fuzz', 'test/storm'];

/**
 * The test files under `root`, by their sources: what was compiled once and has no source any more
 * is removed, so that a renamed test cannot pass for ever.
 */
export function findTestFiles(root: string, filters: readonly string[]): TestFile[] {
  removeStale(root, 'test');
  const found: TestFile[] = [];
  for (const source of filesUnder(root, 'test').filter((path) => path.endsWith('.test.ts'))) {
    const other = otherCommands.find((folder) => source.startsWith(`${folder}/`));
    if (other !== undefined && !filters.includes(other)) continue;
    if (filters.length > 0 && !filters.some((filter) => source.includes(filter))) continue;
    found.push({ source, compiled: join(root, 'dist', source.replace(/\.ts$/, '.js')) });
  }
  return found;
}

function removeStale(root: string, folder: string): void {
  for (const path of filesUnder(join(root, 'dist'), folder)) {
    const source = path.replace(/(\.d\.ts|\.js)(\.map)?$/, '.ts');
    if (source !== path && !existsSync(join(root, source))) rmSync(join(root, 'dist', path));
  }
}

/** Relative paths with `/`, sorted, of every file below `root/folder`. */
export function filesUnder(root: string, folder: string): string[] {
  if (!existsSync(join(root, folder))) return [];
  const paths: string[] = [];
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) paths.push(...filesUnder(root, path));
    else paths.push(path);
  }
  return paths.sort();
}
