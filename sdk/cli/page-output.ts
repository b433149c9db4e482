import { parseChoice } from './arguments.js';
import type { Json } from './fio-json.js';
import type { Terminal } from './terminal.js';

export type PageFormat = 'normal' | 'json' | 'binary';

/** `-o` and `-b` of a command about a page. */
export function formatOf(values: {
  readonly 'output-format'?: string | undefined;
  readonly 'raw-binary'?: boolean | undefined;
}): PageFormat {
  if (values['raw-binary'] === true) return 'binary';
  const formats = ['normal', 'json', 'binary'] as const;
  return parseChoice('output-format', values['output-format'] ?? 'normal', formats);
}

export interface Page {
  readonly words: Uint32Array;
  readonly lines: () => readonly string[];
  readonly json: () => Json;
}

export function printPage(terminal: Terminal, format: PageFormat, page: Page): void {
  if (format === 'binary') {
    const { buffer, byteOffset, byteLength } = page.words;
    terminal.out(new Uint8Array(buffer, byteOffset, byteLength).slice());
  } else if (format === 'json') terminal.out(`${JSON.stringify(page.json(), null, 2)}\n`);
  else terminal.out(`${page.lines().join('\n')}\n`);
}

/** nvme-cli's dump: offset, sixteen bytes, the same as text. */
export function hexDump(words: Uint32Array): string[] {
  const bytes = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
  const lines = ['       0  1  2  3  4  5  6  7  8  9  a  b  c  d  e  f'];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = [...bytes.subarray(at, at + 16)];
    const hex = row.map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    const text = row.map((byte) => (byte < 0x20 || byte > 0x7e ? '.' : String.fromCharCode(byte)));
    lines.push(`${at.toString(16).padStart(4, '0')}: ${hex.padEnd(47)} "${text.join('')}"`);
  }
  return lines;
}
