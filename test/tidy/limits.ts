import { lineOf, type Source, type Violation } from './source.js';

export const limits = {
  fileLines: 500,
  functionLines: 70,
  lineColumns: 100,
  titleColumns: 120,
} as const;

export function checkLimits(source: Source): Violation[] {
  const { path } = source;
  const lines = source.text.replace(/\n$/, '').split('\n');
  const violations: Violation[] = [];
  if (lines.length > limits.fileLines) {
    violations.push({ path, line: 1, what: `${lines.length} lines, limit ${limits.fileLines}` });
  }
  for (const [i, line] of lines.entries()) {
    if (line.length <= limits.lineColumns || isTitle(line)) continue;
    const what = `${line.length} columns, limit ${limits.lineColumns}`;
    violations.push({ path, line: i + 1, what });
  }
  for (const body of functionBodies(source.code)) {
    const first = lineOf(source.code, body.start);
    const count = lineOf(source.code, body.end) - first + 1;
    if (count <= limits.functionLines) continue;
    const what = `a function of ${count} lines, limit ${limits.functionLines}`;
    violations.push({ path, line: first, what });
  }
  return violations;
}

/** A test's title is one string, which nobody should have to break. */
function isTitle(line: string): boolean {
  return line.length <= limits.titleColumns && /^\s*test\((['"`]).*\1, .*\{$/.test(line);
}

interface Body {
  readonly start: number;
  readonly end: number;
}

/** An arrow, or a parameter list and perhaps a type, in which braces follow a mark. */
const bodyStart = /=>\s*$|\)\s*(?::(?:[<|&,:]\s*\{[^{}]*\}|[^;={}])*)?$/;
const statementStart = /\b(?:if|for|while|switch|catch|with)\s*$|\bawait\s*$/;

/** Braces that follow a parameter list or an arrow, with what they close. */
function functionBodies(code: string): Body[] {
  const open: { readonly at: number; readonly isBody: boolean }[] = [];
  const bodies: Body[] = [];
  for (const match of code.matchAll(/[{}]/g)) {
    if (match[0] === '{') open.push({ at: match.index, isBody: isBody(code, match.index) });
    else {
      const start = open.pop();
      if (start?.isBody) bodies.push({ start: start.at, end: match.index });
    }
  }
  return bodies;
}

function isBody(code: string, at: number): boolean {
  const before = code.slice(Math.max(0, at - 300), at);
  const match = bodyStart.exec(before);
  if (match === null) return false;
  if (match[0].startsWith('=')) return true;
  return !statementStart.test(beforeParenthesis(code, at - before.length + match.index));
}

/** The code before the parenthesis that `close` ends. */
function beforeParenthesis(code: string, close: number): string {
  let depth = 0;
  for (let i = close; i >= 0; i--) {
    if (code[i] === ')') depth++;
    else if (code[i] === '(' && --depth === 0) return code.slice(Math.max(0, i - 20), i);
  }
  return '';
}
