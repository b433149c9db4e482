import { lineOf, type Violation } from './source.js';

/** `| key | …`: the first column of the tables of REFERENCES.md. */
export function referenceKeys(references: string): Set<string> {
  const keys = new Set<string>();
  for (const match of references.matchAll(/^\|\s*`?([A-Za-z0-9][\w.-]*)`?\s*\|/gm)) {
    keys.add(match[1]!);
  }
  return keys;
}

/** Every `[KEY §…]` must have a key that REFERENCES.md explains. */
export function checkCitations(
  file: { readonly path: string; readonly text: string },
  keys: ReadonlySet<string>,
): Violation[] {
  const violations: Violation[] = [];
  for (const match of file.text.matchAll(/\[([^\][\n`'"§]+?)(?:\s|\n\s*\*?\s*|\/\/)*§/g)) {
    const key = match[1]!.trim();
    if (key.length < 3 || keys.has(key)) continue;
    const line = lineOf(file.text, match.index);
    violations.push({ path: file.path, line, what: `${key} is not in REFERENCES.md` });
  }
  return violations;
}

export interface KnownCommands {
  readonly scripts: ReadonlySet<string>;
  readonly subcommands: ReadonlySet<string>;
  readonly benches: ReadonlySet<string>;
}

/** What a document tells people to type must exist. */
export function checkCommands(
  file: { readonly path: string; readonly text: string },
  known: KnownCommands,
): Violation[] {
  const violations: Violation[] = [];
  const demand = (pattern: RegExp, names: ReadonlySet<string>, what: string): void => {
    for (const match of file.text.matchAll(pattern)) {
      if (names.has(match[1]!)) continue;
      const line = lineOf(file.text, match.index);
      violations.push({ path: file.path, line, what: `no ${what} ${match[1]}` });
    }
  };
  demand(/\bnpm run ([a-z][\w:-]*)/g, known.scripts, 'script');
  demand(/\bnpm (start|test)\b/g, known.scripts, 'script');
  demand(/\bnpm run bench -- ([a-z][\w-]*)/g, known.benches, 'bench');
  demand(/(?:^|`|npx |\$ )ultima ([a-z][\w-]*)/gm, known.subcommands, 'subcommand');
  return violations;
}
