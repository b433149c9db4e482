import { basename } from 'node:path';
import { lineOf, matchesOf, type Source, type Violation } from './source.js';

interface Ban {
  readonly pattern: RegExp;
  readonly what: string;
  /** Where it holds; everywhere when left out. */
  readonly within?: RegExp;
  readonly except?: RegExp;
}

/** Time and chance are passed in where a run must repeat. */
const repeatable = /^(?:sim|sdk\/(?:nvme|spec|block|volume))\//;
/** The rules and their tests must be able to say what is banned. */
const quotesBans = /^test\/tidy\//;
/** Memory views and a foreign addon need the odd cast. */
const mayCast = /^(?:native\/|sdk\/units\.ts$)/;

const bans: readonly Ban[] = [
  { pattern: /(?<![.\w])any\b(?!\s*[(:?=])/g, what: 'any' },
  { pattern: /\benum\s+\w+/g, what: 'enum' },
  { pattern: /\bexport\s+default\b/g, what: 'default export' },
  { pattern: /\bdebugger\b/g, what: 'debugger' },
  { pattern: /\beval\s*\(|\bnew\s+Function\b/g, what: 'eval' },
  { pattern: /\bDate\b/g, what: 'wall clock', within: repeatable },
  { pattern: /\bperformance\b|\bhrtime\b/g, what: 'real clock', within: repeatable },
  { pattern: /\bMath\.random\b|\bcrypto\.\w/g, what: 'chance', within: repeatable },
  { pattern: /\bsetTimeout\b|\bsetInterval\b/g, what: 'timer', within: repeatable },
  { pattern: /\bprocess\.env\b/g, what: 'environment', within: repeatable },
  { pattern: /\bconsole\./g, what: 'console', within: /^(?:sim|sdk\/(?!cli\/))/ },
  { pattern: /(?:<<|>>>?)\s*[1-9]/g, what: 'a field cut by hand', within: /^sdk\/nvme\// },
  { pattern: /\.(?:only|skip)\s*\(/g, what: 'a test left out', within: /^test\// },
  { pattern: /\bDataView\b/g, what: 'DataView', within: /^(?:sim|sdk\/nvme)\// },
];

/** Said in comments or text, so the whole text is searched. */
const textBans: readonly Ban[] = [
  { pattern: /@ts-(?:ignore|nocheck)/g, what: 'a type error hidden' },
  { pattern: /\b(?:TODO|FIXME|XXX)\b/g, what: 'unfinished' },
  { pattern: /(?<![\w.])\/(?:work|root|home)\/\w+/g, what: "somebody's machine" },
  { pattern: /\b[Ii]ssue #?\d+\b/g, what: 'a tracker that readers do not have' },
];

const vagueName = /^(?:utils?|helpers?|common|misc|shared|lib)$/;
const kebabCase = /^[a-z0-9]+(?:-[a-z0-9]+)*(?:\.test)?\.ts$/;

export function checkBans(source: Source): Violation[] {
  return [
    ...bans.flatMap((ban) => (holds(ban, source) ? matchesOf(source, ban.pattern, ban.what) : [])),
    ...checkCasts(source),
    ...(quotesBans.test(source.path) ? [] : checkText(source.path, source.text)),
    ...checkTestLibrary(source),
    ...checkName(source.path),
  ];
}

/** Documents and scripts speak of the project alone, too. */
export function checkText(path: string, text: string): Violation[] {
  return textBans.flatMap(({ pattern, what }) =>
    [...text.matchAll(pattern)].map((match) => ({
      path,
      line: lineOf(text, match.index),
      what: `${what}: ${match[0]}`,
    })),
  );
}

function holds(ban: Ban, { path }: Source): boolean {
  return (ban.within?.test(path) ?? true) && !(ban.except?.test(path) ?? false);
}

function checkCasts(source: Source): Violation[] {
  if (mayCast.test(source.path)) return [];
  const withoutImports = source.code.replace(
    /^[ \t]*(?:import|export)\s+(?:type\s+)?[{*][^;]*;/gm,
    (statement) => statement.replace(/[^\n]/g, ' '),
  );
  const seen = { ...source, code: withoutImports };
  return matchesOf(seen, /\bas\s+(?!const\b)[\w{([]+/g, 'cast');
}

/** What wraps the library, and what runs many suites of ours in one process. */
const mayUseLibrary: ReadonlySet<string> = new Set([
  'test/support/suite.ts',
  'test/guest/statements.ts',
]);

/** The library's own suite exits 0 on failures; ours does not. */
function checkTestLibrary(source: Source): Violation[] {
  if (mayUseLibrary.has(source.path)) return [];
  return source.imports
    .filter(({ specifier }) => specifier === 'uvu')
    .map(({ line }) => ({ path: source.path, line, what: 'import suite from test/support' }));
}

function checkName(path: string): Violation[] {
  const violations: Violation[] = [];
  const stem = basename(path).replace(/(?:\.test)?\.ts$/, '');
  if (vagueName.test(stem)) violations.push({ path, line: 1, what: `a name without a meaning` });
  if (!kebabCase.test(basename(path))) violations.push({ path, line: 1, what: 'not kebab-case' });
  return violations;
}
