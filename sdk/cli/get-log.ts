import { describeStruct, linesOf, valuesOf } from '../spec/describe.js';
import type { Struct } from '../spec/layout.js';
import { Nsid } from '../spec/nvme/identify.js';
import {
  AnaLog,
  ChangedNamespaceLog,
  EffectsLog,
  EnduranceGroupLog,
  ErrorEntry,
  FirmwareSlotLog,
  HealthLog,
  LogPage,
  SanitizeLog,
  SelfTestLog,
  SupportedPagesLog,
  TelemetryLog,
} from '../spec/nvme/logs.js';
import { parseInteger, parseWords } from './arguments.js';
import { cardOf, cardOptions, withController } from './card.js';
import { formatOf, hexDump, printPage } from './page-output.js';
import type { Terminal } from './terminal.js';

export const usage = `usage: ultima get-log CARD --log-id N [options]

Any log page, as bytes or in words.

  -i, --log-id N           log page identifier
  -l, --log-len N          bytes, a multiple of 4; the whole page where its size is known
  -L, --lpo N              offset in bytes, a multiple of 4
  -s, --lsp N              log specific field, 0..127
  -S, --lsi N              log specific identifier
  -n, --namespace-id N     all when left out
      --rae                leave the asynchronous event as it is
  -H, --human-readable     field by field, where the page is known
  -o, --output-format WORD normal, json, binary
  -b, --raw-binary         the bytes themselves

  ultima get-log sim:ultima-g2 -i 3 -H`;

const options = {
  ...cardOptions,
  'log-id': { type: 'string', short: 'i' },
  'log-len': { type: 'string', short: 'l' },
  lpo: { type: 'string', short: 'L' },
  lsp: { type: 'string', short: 's' },
  lsi: { type: 'string', short: 'S' },
  rae: { type: 'boolean' },
} as const;

const tables: Readonly<Record<number, Struct>> = {
  [LogPage.supportedPages]: SupportedPagesLog,
  [LogPage.error]: ErrorEntry,
  [LogPage.health]: HealthLog,
  [LogPage.firmwareSlot]: FirmwareSlotLog,
  [LogPage.changedNamespaces]: ChangedNamespaceLog,
  [LogPage.effects]: EffectsLog,
  [LogPage.selfTest]: SelfTestLog,
  [LogPage.telemetryHost]: TelemetryLog,
  [LogPage.telemetryController]: TelemetryLog,
  [LogPage.enduranceGroup]: EnduranceGroupLog,
  [LogPage.ana]: AnaLog,
  [LogPage.sanitize]: SanitizeLog,
};
/** One request at most; more goes in several. */
const mostBytes = 16 * 1024 * 1024;
const defaultBytes = 512;

export async function run(words: readonly string[], terminal: Terminal): Promise<number> {
  const { values, positionals } = parseWords(words, options);
  const format = formatOf(values);
  const number = (name: 'log-id' | 'lpo' | 'lsp' | 'lsi', high: number): number =>
    parseInteger(name, values[name] ?? '0', { low: 0, high });
  const address = cardOf(positionals, values.card);
  const lid = parseInteger('log-id', values['log-id'] ?? 'missing', { low: 0, high: 0xff });
  const table = tables[lid];
  const known = table?.layout.bytes ?? defaultBytes;
  const bytes = parseInteger('log-len', values['log-len'] ?? String(known), {
    low: 4,
    high: mostBytes,
  });
  const nsid = parseInteger('namespace-id', values['namespace-id'] ?? String(Nsid.broadcast), {
    low: 0,
    high: Nsid.broadcast,
  });
  const page = await withController(address, (controller) =>
    controller.admin.logPage(lid, Math.ceil(bytes / 4) * 4, {
      nsid,
      offset: number('lpo', Number.MAX_SAFE_INTEGER),
      specificParameter: number('lsp', 0x7f),
      specificId: number('lsi', 0xffff),
      retainsEvent: values.rae === true,
    }),
  );
  const described = table === undefined ? null : () => describeStruct(table, page, 0);
  const isHuman = values['human-readable'] === true && described !== null;
  printPage(terminal, format, {
    words: page,
    lines: () => [
      `Device:${address} log-id:${lid} namespace-id:0x${nsid.toString(16)}`,
      ...(isHuman ? linesOf(described()) : hexDump(page)),
    ],
    json: () =>
      described === null ? { 'log-id': lid, bytes: [...bytesOf(page)] } : valuesOf(described()),
  });
  return 0;
}

function bytesOf(page: Uint32Array): Uint8Array {
  return new Uint8Array(page.buffer, page.byteOffset, page.byteLength);
}
