import { Cns, Nsid } from '../spec/nvme/identify.js';
import { IdentifyController } from '../spec/nvme/identify-controller.js';
import { ErrorEntry, LogPage } from '../spec/nvme/logs.js';
import { statusText } from '../spec/nvme/status.js';
import { ErrorFields } from '../spec/nvme/whole-fields.js';
import { parseInteger, parseWords } from './arguments.js';
import { cardOf, cardOptions, withController } from './card.js';
import { type Row, row, rowJson, rowLines } from './field-rows.js';
import { formatOf, printPage } from './page-output.js';
import type { Terminal } from './terminal.js';

export const usage = `usage: ultima error-log CARD [options]

The Error Information log, newest entry first, in the words of 'nvme error-log'.

  -e, --log-entries N      entries, 64 or as many as the controller keeps
  -o, --output-format WORD normal, json, binary
  -b, --raw-binary         the entries themselves, 64 bytes each`;

const E = ErrorEntry;

/** nvme-cli's keys [nvme-cli §? error-log]. */
const errorRows: readonly Row[] = [
  row('error_count', 'dec', E.count),
  row('sqid', 'dec', E.sqid),
  row('cmdid', 'hex', E.cid),
  row('status_field', 'hex', E.status),
  row('phase_tag', 'hex', E.phase),
  row('parm_error_location', 'hex', ErrorFields.parameter),
  row('lba', 'hex', E.lba),
  row('nsid', 'hex', E.nsid),
  row('vs', 'dec', E.vsia),
  row('trtype', 'dec', E.trtype),
  row('cs', 'hex', E.commandSpecific),
  row('trtype_spec_info', 'hex', E.transportSpecific),
];
const wanted = 64;
const mostEntries = 256;
const entryBytes: number = E.layout.bytes;

export async function run(words: readonly string[], terminal: Terminal): Promise<number> {
  const options = { ...cardOptions, 'log-entries': { type: 'string', short: 'e' } } as const;
  const { values, positionals } = parseWords(words, options);
  const format = formatOf(values);
  const typed = values['log-entries'] ?? String(wanted);
  const asked = parseInteger('log-entries', typed, { low: 1, high: mostEntries });
  const address = cardOf(positionals, values.card);
  const page = await withController(address, async (controller) => {
    const identity = await controller.admin.identify(Cns.controller);
    const count = Math.min(asked, IdentifyController.elpe.get(identity, 0));
    const bytes = count * entryBytes;
    return controller.admin.logPage(LogPage.error, bytes, { nsid: Nsid.broadcast });
  });
  const entries = entriesOf(page);
  printPage(terminal, format, {
    words: page,
    lines: () => [
      `Error Log Entries for device:${address} entries:${entries.length}`,
      ...entries.flatMap(entryLines),
    ],
    json: () => ({ errors: entries.map((entry) => rowJson(errorRows, entry)) }),
  });
  return 0;
}

function entriesOf(page: Uint32Array): Uint32Array[] {
  const dwords = entryBytes / Uint32Array.BYTES_PER_ELEMENT;
  const entries: Uint32Array[] = [];
  for (let at = 0; at + dwords <= page.length; at += dwords) {
    entries.push(page.slice(at, at + dwords));
  }
  return entries;
}

function entryLines(entry: Uint32Array, index: number): string[] {
  const line = '.................';
  return [
    line,
    ` Entry[${String(index).padStart(2)}]`,
    line,
    ...rowLines(errorRows, entry, { width: 20 }).map((text) =>
      text.startsWith('status_field') ? `${text} (${statusText(E.status.get(entry, 0))})` : text,
    ),
  ];
}
