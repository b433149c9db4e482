/**
 * A TypeScript file as the tidiness rules see it. The compiler offers no parser to scripts, so a
 * small scanner tells code from comments and text: enough for rules about words, braces, imports.
 */
export interface Source {
  /** Relative to the root, with `/`. */
  readonly path: string;
  readonly text: string;
  /** The text with comments and the inside of strings, templates and patterns blanked. */
  readonly code: string;
  readonly imports: readonly Import[];
}

export interface Import {
  readonly specifier: string;
  readonly isTypeOnly: boolean;
  readonly line: number;
}

export interface Violation {
  readonly path: string;
  readonly line: number;
  readonly what: string;
}

export function readSource(path: string, text: string): Source {
  const code = blank(text);
  return { path, text, code, imports: findImports(text, code) };
}

export function lineOf(text: string, at: number): number {
  let line = 1;
  for (let i = text.indexOf('\n'); i !== -1 && i < at; i = text.indexOf('\n', i + 1)) line++;
  return line;
}

/** Every match of a pattern (with the flag g) in the code as a violation. */
export function matchesOf(source: Source, pattern: RegExp, what: string): Violation[] {
  return [...source.code.matchAll(pattern)].map((match) => ({
    path: source.path,
    line: lineOf(source.code, match.index),
    what: `${what}: ${match[0].trim().replace(/\s+/g, ' ')}`,
  }));
}

function findImports(text: string, code: string): Import[] {
  const imports: Import[] = [];
  const statement = /^[ \t]*(?:import|export)\b(\s+type\b)?[^;'"]*?(?:\bfrom\s*)?(['"])/gm;
  const call = /\bimport\(\s*(['"])/g;
  for (const match of code.matchAll(statement)) {
    if (!/^\s*import\s*['"]$|\bfrom\s*['"]$/.test(match[0])) continue;
    imports.push(importAt(text, match, match[1] !== undefined));
  }
  for (const match of code.matchAll(call)) imports.push(importAt(text, match, false));
  return imports;
}

function importAt(text: string, match: RegExpExecArray, isTypeOnly: boolean): Import {
  const start = match.index + match[0].length;
  const quote = text[start - 1]!;
  const specifier = text.slice(start, text.indexOf(quote, start));
  return { specifier, isTypeOnly, line: lineOf(text, start) };
}

/** A `/` after one of these starts a pattern; after a value it divides. */
const beforePattern = /(?:^|[=(,:[!&|?{};+\-*%<>~^]|\b(?:return|typeof|case|in|of))\s*$/;

/** Comments and literal contents become blanks; line ends and positions stay. */
export function blank(text: string): string {
  const out = [...text.replace(/[\ud800-\udfff]/g, '?')];
  const templates: number[] = [];
  let depth = 0;
  let at = 0;
  const skipTo = (end: number): void => {
    for (; at < end && at < out.length; at++) if (out[at] !== '\n') out[at] = ' ';
  };
  while (at < text.length) {
    const two = text.slice(at, at + 2);
    const one = text[at]!;
    if (two === '//') skipTo(endOf(text, '\n', at));
    else if (two === '/*') skipTo(endOf(text, '*/', at + 2) + 2);
    else if (one === "'" || one === '"') {
      const end = endOfQuoted(text, at, one);
      at++;
      skipTo(end);
      at++;
    } else if (one === '`' || (one === '}' && templates.at(-1) === depth)) {
      if (one === '}') templates.pop();
      at++;
      const end = endOfTemplate(text, at);
      skipTo(end);
      if (text[end] === '$') {
        templates.push(depth);
        at += 2;
      } else at++;
    } else if (one === '/' && beforePattern.test(lastCode(out, at))) {
      const end = endOfPattern(text, at);
      at++;
      skipTo(end);
      at++;
    } else {
      if (one === '{') depth++;
      else if (one === '}') depth--;
      at++;
    }
  }
  return out.join('');
}

function lastCode(out: readonly string[], at: number): string {
  return out
    .slice(Math.max(0, at - 40), at)
    .join('')
    .trimEnd();
}

function endOf(text: string, mark: string, from: number): number {
  const end = text.indexOf(mark, from);
  return end === -1 ? text.length : end;
}

function endOfQuoted(text: string, start: number, quote: string): number {
  let at = start + 1;
  while (at < text.length && text[at] !== quote && text[at] !== '\n') {
    at += text[at] === '\\' ? 2 : 1;
  }
  return at;
}

/** Position of the closing backtick, or of the `$` of a `${`. */
function endOfTemplate(text: string, start: number): number {
  let at = start;
  while (at < text.length && text[at] !== '`' && text.slice(at, at + 2) !== '${') {
    at += text[at] === '\\' ? 2 : 1;
  }
  return at;
}

function endOfPattern(text: string, start: number): number {
  let at = start + 1;
  let isInClass = false;
  while (at < text.length && text[at] !== '\n' && (isInClass || text[at] !== '/')) {
    if (text[at] === '[') isInClass = true;
    else if (text[at] === ']') isInClass = false;
    at += text[at] === '\\' ? 2 : 1;
  }
  return at;
}
