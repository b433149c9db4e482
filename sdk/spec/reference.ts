import { fieldsOf } from './describe.js';
import { Bits, type Field, Repeat, type Struct, U64 } from './layout.js';
import { AdminOpcode, NvmOpcode, opcodeText } from './nvme/opcodes.js';
import { Register, registerTables } from './nvme/registers.js';
import { Status, statusText } from './nvme/status.js';

/** A table as an export of a module of `sdk/spec`. */
export interface ReferenceTable {
  /** Folder of the module: 'nvme', 'pcie'. */
  readonly group: string;
  readonly name: string;
  readonly table: Struct;
}

/** Tables among a module's exports. */
export function tablesOf(
  group: string,
  exports: Readonly<Record<string, unknown>>,
): ReferenceTable[] {
  const found: ReferenceTable[] = [];
  for (const [name, value] of Object.entries(exports)) {
    if (isStruct(value)) found.push({ group, name, table: value });
  }
  return found;
}

/**
 * The register and structure reference: one HTML page that needs no network, with every field of
 * every table, its bits, mnemonic, meaning and values, then opcodes and status codes.
 */
export function referencePage(tables: readonly ReferenceTable[]): string {
  const groups = [...new Set(tables.map((table) => table.group))];
  const contents = tables.map(({ name, table }) => {
    return `<li><a href="#${name}">${escapeHtml(table.layout.title)}</a></li>`;
  });
  const sections = groups.map((group) => {
    const own = tables.filter((table) => table.group === group);
    return `<h2>${escapeHtml(group)}</h2>\n${own.map(section).join('\n')}`;
  });
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Register and structure reference</title>
<style>${style}</style></head><body>
<h1>Register and structure reference</h1>
<p>Generated from the tables in <code>sdk/spec</code>: ${tables.length} tables,
${tables.reduce((sum, { table }) => sum + fieldsOf(table).length, 0)} fields.</p>
<input id="filter" placeholder="Filter by mnemonic, title or words" autofocus>
<details><summary>Contents</summary><ul class="contents">${contents.join('')}</ul></details>
${sections.join('\n')}
${opcodeSection('Admin opcodes', AdminOpcode, 'admin')}
${opcodeSection('NVM command set opcodes', NvmOpcode, 'nvm')}
${statusSection()}
<script>${script}</script>
</body></html>
`;
}

function section({ name, table }: ReferenceTable): string {
  const { title, cite, bytes } = table.layout;
  const offset = registerOffset(table);
  const place = offset === undefined ? '' : `, offset ${hex(offset)}`;
  const rows = fieldsOf(table)
    .toSorted((a, b) => startBit(a[1]) - startBit(b[1]))
    .map(([mnemonic, field]) => row(mnemonic, field));
  const body = rows.length === 0 ? '<p>No fields of its own.</p>' : fieldTable(rows);
  return `<section id="${name}"><h3>${escapeHtml(title)}</h3>
<p><code>${name}</code>, ${bytes} bytes${place} <cite>${escapeHtml(cite)}</cite></p>
${body}</section>`;
}

function fieldTable(rows: readonly string[]): string {
  const head = '<tr><th>Offset</th><th>Bits</th><th>Mnemonic</th><th>Meaning</th></tr>';
  return `<table>${head}${rows.join('')}</table>`;
}

function row(mnemonic: string, field: Field): string {
  const { offset, extent } = placeOf(field);
  const cells = [hex(offset), extent, `<code>${mnemonic}</code>`, meaning(field)];
  return `<tr>${cells.map((cell) => `<td>${cell}</td>`).join('')}</tr>`;
}

function placeOf(field: Field): { offset: number; extent: string } {
  if (field instanceof Bits) {
    const high = field.low + field.width - 1;
    const extent = high === field.low ? `${high}` : `${high}:${field.low}`;
    return { offset: field.dword * 4, extent };
  }
  if (field instanceof U64) return { offset: field.dword * 4, extent: '63:0' };
  if (field instanceof Repeat) {
    const extent = `${field.count} × ${field.item.layout.bytes} bytes`;
    return { offset: field.dword * 4, extent };
  }
  return { offset: field.offset, extent: `${field.length} bytes` };
}

function startBit(field: Field): number {
  const { offset } = placeOf(field);
  return offset * 8 + (field instanceof Bits ? field.low : 0);
}

function meaning(field: Field): string {
  const doc = escapeHtml(field.doc);
  if (field instanceof Repeat) return `${doc}: ${escapeHtml(field.item.layout.title)}`;
  if (!(field instanceof Bits)) return doc;
  const parts = [doc];
  if (field.bias === 1) parts.push('<br><small>0’s based in memory; a count here</small>');
  if (field.names !== null) {
    const names = Object.entries(field.names).map(
      ([word, value]) => `${value} ${escapeHtml(word)}`,
    );
    parts.push(`<br><small>${names.join(' · ')}</small>`);
  }
  return parts.join('');
}

function registerOffset(table: Struct): number | undefined {
  const tables: Readonly<Record<string, Struct>> = registerTables;
  const offsets: Readonly<Record<string, number>> = Register;
  const name = Object.keys(tables).find((key) => tables[key] === table);
  return name === undefined ? undefined : offsets[name];
}

function opcodeSection(
  title: string,
  opcodes: Readonly<Record<string, number>>,
  kind: 'admin' | 'nvm',
): string {
  const rows = Object.values(opcodes).map(
    (opcode) => `<tr><td>${hex(opcode)}</td><td>${escapeHtml(opcodeText(opcode, kind))}</td></tr>`,
  );
  return `<section><h2>${title}</h2><table>${rows.join('')}</table></section>`;
}

function statusSection(): string {
  const rows = Object.entries(Status).map(([name, status]) => {
    const words = escapeHtml(statusText(status));
    return `<tr><td>${hex(status)}</td><td><code>${name}</code></td><td>${words}</td></tr>`;
  });
  return `<section><h2>Status codes</h2><table>${rows.join('')}</table></section>`;
}

function isStruct(value: unknown): value is Struct {
  if (typeof value !== 'object' || value === null || !('layout' in value)) return false;
  const { layout } = value;
  return typeof layout === 'object' && layout !== null && 'title' in layout && 'bytes' in layout;
}

function hex(value: number): string {
  return `${value.toString(16).toUpperCase().padStart(2, '0')}h`;
}

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

const style = `
body{font:15px/1.45 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%;margin:.5rem 0}
td,th{border:1px solid #8884;padding:.25rem .5rem;text-align:left;vertical-align:top}
td:nth-child(-n+2){white-space:nowrap;font-variant-numeric:tabular-nums}
cite{float:right;color:#777;font-style:normal}
input{width:100%;padding:.5rem;font:inherit;box-sizing:border-box;position:sticky;top:0}
.contents{columns:3}
:root{color-scheme:light dark}
`;

const script = `
const sections=[...document.querySelectorAll('section')];
const texts=sections.map(s=>s.textContent.toLowerCase());
document.getElementById('filter').addEventListener('input',e=>{
  const wanted=e.target.value.toLowerCase();
  sections.forEach((s,i)=>{s.hidden=!texts[i].includes(wanted)});
});
`;
