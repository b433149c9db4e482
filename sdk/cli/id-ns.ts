import { ErrorCode, UltimaError } from '../errors.js';
import { Cns, Nsid } from '../spec/nvme/identify.js';
import { IdentifyNamespace, LbaFormat } from '../spec/nvme/identify-namespace.js';
import { NamespaceFields } from '../spec/nvme/whole-fields.js';
import { parseInteger, parseWords } from './arguments.js';
import { cardOf, cardOptions, withController } from './card.js';
import { hexText, type Row, row, rowJson, rowLines } from './field-rows.js';
import type { Json } from './fio-json.js';
import { formatOf, printPage } from './page-output.js';
import type { Terminal } from './terminal.js';

export const usage = `usage: ultima id-ns CARD [options]

The Identify Namespace structure in the words of 'nvme id-ns'.

  -n, --namespace-id N     1 when left out
  -H, --human-readable     what the bits mean
  -o, --output-format WORD normal, json, binary
  -b, --raw-binary         the 4096 bytes themselves

  ultima id-ns sim:ultima-g2 -n 1 -H`;

const N = IdentifyNamespace;
const F = NamespaceFields;

/** nvme-cli's order and words [nvme-cli §? id-ns]. */
const namespaceRows: readonly Row[] = [
  row('nsze', 'hex', N.nsze),
  row('ncap', 'hex', N.ncap),
  row('nuse', 'hex', N.nuse),
  row('nsfeat', 'hex', F.nsfeat),
  row('nlbaf', 'dec', F.nlbaf),
  row('flbas', 'hex', F.flbas),
  row('mc', 'hex', F.mc),
  row('dpc', 'hex', F.dpc),
  row('dps', 'hex', F.dps),
  row('nmic', 'hex', F.nmic),
  row('rescap', 'hex', F.rescap),
  row('fpi', 'hex', F.fpi),
  row('dlfeat', 'dec', F.dlfeat),
  row('nawun', 'dec', F.nawun),
  row('nawupf', 'dec', F.nawupf),
  row('nacwu', 'dec', F.nacwu),
  row('nabsn', 'dec', N.nabsn),
  row('nabo', 'dec', N.nabo),
  row('nabspf', 'dec', N.nabspf),
  row('noiob', 'dec', N.noiob),
  row('nvmcap', 'count', N.nvmcap),
];
const optimalRows: readonly Row[] = [
  row('npwg', 'dec', F.npwg),
  row('npwa', 'dec', F.npwa),
  row('npdg', 'dec', F.npdg),
  row('npda', 'dec', F.npda),
  row('nows', 'dec', F.nows),
];
const lastRows: readonly Row[] = [
  row('mssrl', 'dec', N.mssrl),
  row('mcl', 'dec', N.mcl),
  row('msrc', 'dec', F.msrc),
  row('anagrpid', 'dec', N.anagrpid),
  row('nsattr', 'dec', F.nsattr),
  row('nvmsetid', 'dec', N.nvmsetid),
  row('endgid', 'dec', N.endgid),
  row('nguid', 'id', N.nguid),
  row('eui64', 'id', N.eui64),
];

export async function run(words: readonly string[], terminal: Terminal): Promise<number> {
  const { values, positionals } = parseWords(words, cardOptions);
  const format = formatOf(values);
  const range = { low: 1, high: Nsid.broadcast };
  const nsid = parseInteger('namespace-id', values['namespace-id'] ?? '1', range);
  const address = cardOf(positionals, values.card);
  const page = await withController(address, async (controller) => {
    const found = await controller.admin.identify(Cns.namespace, { nsid });
    // An inactive namespace identifies as zeros, which no person takes for an answer.
    if (N.nsze.get(found, 0) === 0) throw inactive(nsid, await controller.namespaceIds());
    return found;
  });
  const hasOptimal = N.nsfeatOptimal.get(page, 0) === 1;
  const rows = [...namespaceRows, ...(hasOptimal ? optimalRows : []), ...lastRows];
  const human = values['human-readable'] === true;
  printPage(terminal, format, {
    words: page,
    lines: () => [
      `NVME Identify Namespace ${nsid}:`,
      ...rowLines(rows, page, { width: 8, ...(human ? { parts: IdentifyNamespace } : {}) }),
      ...formatLines(page, human),
    ],
    json: () => ({ ...rowJson(rows, page), lbafs: formatJson(page) }),
  });
  return 0;
}

function inactive(nsid: number, active: readonly number[]): UltimaError {
  const known = active.join(', ') || 'none';
  return new UltimaError(
    ErrorCode.namespaceInvalid,
    `namespace ${nsid} is not active; active: ${known}`,
    { nsid, active: known },
  );
}

function formatLines(page: Uint32Array, isHuman: boolean): string[] {
  const used = formatInUse(page);
  return formats(page).map((at, i) => {
    const ms = LbaFormat.ms.get(page, at);
    const lbads = LbaFormat.lbads.get(page, at);
    const rp = LbaFormat.rp.get(page, at);
    const label = `lbaf ${String(i).padStart(2)} :`;
    const mark = i === used ? ' (in use)' : '';
    if (!isHuman) return `${label} ms:${ms} lbads:${lbads} rp:${hexText(rp)}${mark}`;
    const name = Object.entries(LbaFormat.rp.names ?? {}).find(([, value]) => value === rp)?.[0];
    return [
      `${label} Metadata Size: ${ms} bytes`,
      `Data Size: ${2 ** lbads} bytes`,
      `Relative Performance: ${hexText(rp)} ${name}${mark}`,
    ].join(' - ');
  });
}

function formatJson(page: Uint32Array): Json[] {
  return formats(page).map((at) => ({
    ms: LbaFormat.ms.get(page, at),
    ds: LbaFormat.lbads.get(page, at),
    rp: LbaFormat.rp.get(page, at),
  }));
}

/** Where each format that the namespace offers begins. */
function formats(page: Uint32Array): number[] {
  const count = Math.min(N.nlbaf.get(page, 0), N.lbaf.count);
  return Array.from({ length: count }, (_, i) => N.lbaf.at(0, i));
}

function formatInUse(page: Uint32Array): number {
  const lowCount = N.flbasIndex.max + 1;
  return N.flbasIndexHigh.get(page, 0) * lowCount + N.flbasIndex.get(page, 0);
}
