import { describeStruct, type FieldText, fieldsOf } from './describe.js';
import { Repeat, type Struct } from './layout.js';
import { Cns } from './nvme/identify.js';
import { NamespaceDescriptor, NamespaceIdentifierType } from './nvme/identify-namespace.js';
import { AnaGroup, AnaLog, ErrorEntry, LogPage } from './nvme/logs.js';
import { featureTable, identifyTable, logTable } from './nvme/page-tables.js';
import { statusText } from './nvme/status.js';

/**
 * What Identify returned, in words. Items of lists that are zero are left out.
 *
 * @param cns    which structure was asked for
 * @param words  the page
 */
export function describeIdentify(cns: number, words: Uint32Array): FieldText[] {
  if (cns === Cns.namespaceDescriptors) return describeDescriptors(words);
  const table = identifyTable(cns);
  return table === undefined ? describeRaw(words) : describeUsed(table, words, 0);
}

/** A log page in words, as far as it was read. Items of lists that are zero are left out. */
export function describeLogPage(lid: number, words: Uint32Array): FieldText[] {
  if (lid === LogPage.error) return describeErrors(words);
  if (lid === LogPage.ana) return describeAna(words);
  const table = logTable(lid);
  return table === undefined ? describeRaw(words) : describeUsed(table, words, 0);
}

/** A feature's value in words. */
export function describeFeature(fid: number, value: number): FieldText[] {
  const words = Uint32Array.of(value);
  const table = featureTable(fid);
  return table === undefined ? describeRaw(words) : describeStruct(table, words, 0);
}

function describeUsed(table: Struct, words: Uint32Array, at: number): FieldText[] {
  const unused = new Set<string>();
  for (const [name, field] of fieldsOf(table)) {
    if (!(field instanceof Repeat)) continue;
    const dwords = field.item.layout.bytes / 4;
    for (let i = 0; i < field.count; i++) {
      const first = field.at(at, i);
      const item = words.subarray(first, first + dwords);
      if (item.every((word) => word === 0)) unused.add(`${name}[${i}]`);
    }
  }
  return describeStruct(table, words, at).filter(({ name }) => {
    const end = name.indexOf('].');
    return end < 0 || !unused.has(name.slice(0, end + 1));
  });
}

/** The error log is an array of entries, newest first; the unused ones count 0 errors. */
function describeErrors(words: Uint32Array): FieldText[] {
  const dwords = ErrorEntry.layout.bytes / 4;
  const described: FieldText[] = [];
  for (let i = 0; (i + 1) * dwords <= words.length; i++) {
    const at = i * dwords;
    if (ErrorEntry.count.get(words, at) === 0) continue;
    for (const field of describeStruct(ErrorEntry, words, at)) {
      const isStatus = field.name === 'status';
      const text = isStatus ? statusText(ErrorEntry.status.get(words, at)) : field.text;
      described.push({ ...field, name: `[${i}].${field.name}`, text });
    }
  }
  return described;
}

/** Group descriptors follow the header; each is followed by its namespace identifiers. */
function describeAna(words: Uint32Array): FieldText[] {
  const described = describeStruct(AnaLog, words, 0);
  const groups = AnaLog.groups.get(words, 0);
  let at = AnaLog.layout.bytes / 4;
  for (let i = 0; i < groups && at + AnaGroup.layout.bytes / 4 <= words.length; i++) {
    for (const field of describeStruct(AnaGroup, words, at)) {
      described.push({ ...field, name: `group[${i}].${field.name}` });
    }
    const first = at + AnaGroup.layout.bytes / 4;
    const count = Math.min(AnaGroup.namespaces.get(words, at), words.length - first);
    for (let n = 0; n < count; n++) {
      const nsid = words[first + n]!;
      const name = `group[${i}].nsid[${n}]`;
      described.push({ name, value: nsid, text: `${nsid}`, doc: 'Namespace Identifier (NSID)' });
    }
    at = first + count;
  }
  return described;
}

/** Descriptors of different length, one after the other, up to one of length 0. */
function describeDescriptors(words: Uint32Array): FieldText[] {
  const bytes = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
  const headerWords = new Uint32Array(1);
  const header = new Uint8Array(headerWords.buffer);
  const described: FieldText[] = [];
  for (let at = 0; at + 4 <= bytes.length; ) {
    // A one-byte identifier puts the next header off its dword, so headers are copied out first.
    header.set(bytes.subarray(at, at + 4));
    const length = NamespaceDescriptor.nidl.get(headerWords, 0);
    const type = NamespaceDescriptor.nidt.get(headerWords, 0);
    if (length === 0 || at + 4 + length > bytes.length) break;
    const hex = [...bytes.subarray(at + 4, at + 4 + length)]
      .map((byte) => byte.toString(16).padStart(2, '0'))
      .join('');
    const known = Object.entries(NamespaceIdentifierType).find(([, value]) => value === type);
    const name = known?.[0] ?? `type${type}`;
    described.push({ name, value: hex, text: hex, doc: NamespaceDescriptor.nidt.doc });
    at += 4 + length;
  }
  return described;
}

function describeRaw(words: Uint32Array): FieldText[] {
  return [...words].map((value, i) => ({
    name: `dword${i}`,
    value,
    text: `0x${value.toString(16).padStart(8, '0')}`,
    doc: '',
  }));
}
