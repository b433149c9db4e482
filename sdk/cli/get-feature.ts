import { describeStruct, linesOf, valuesOf } from '../spec/describe.js';
import type { Struct } from '../spec/layout.js';
import { FeatureSelect } from '../spec/nvme/admin-command.js';
import { AutonomousTable, Feature, FeatureTables, TimestampData } from '../spec/nvme/features.js';
import { Nsid } from '../spec/nvme/identify.js';
import { parseChoice, parseInteger, parseWords, usageError } from './arguments.js';
import { cardOf, cardOptions, withController } from './card.js';
import { formatOf, hexDump, printPage } from './page-output.js';
import type { Terminal } from './terminal.js';

export const usage = `usage: ultima get-feature CARD --feature-id N [options]

The value of a feature in the words of 'nvme get-feature'.

  -f, --feature-id N       identifier, or its name, for instance numberOfQueues
  -s, --sel WORD           current, default, saved, capabilities, or 0 to 3
  -n, --namespace-id N     0 when left out
  -c, --cdw11 N            for features that have more than one value
  -H, --human-readable     field by field
  -o, --output-format WORD normal, json, binary
  -b, --raw-binary         the value, and its data where it has some

  ultima get-feature sim:ultima-g2 -f 7 -H`;

const options = {
  ...cardOptions,
  'feature-id': { type: 'string', short: 'f' },
  sel: { type: 'string', short: 's' },
  cdw11: { type: 'string', short: 'c' },
} as const;

/** Features that have a structure beside their value. */
const dataBytesOf: Readonly<Record<number, number>> = {
  [Feature.timestamp]: TimestampData.layout.bytes,
  [Feature.autonomousPowerState]: AutonomousTable.layout.bytes,
};

export async function run(words: readonly string[], terminal: Terminal): Promise<number> {
  const { values, positionals } = parseWords(words, options);
  const format = formatOf(values);
  const id = idOf(values['feature-id']);
  const address = cardOf(positionals, values.card);
  const select = selectOf(values.sel ?? 'current');
  const nsid = parseInteger('namespace-id', values['namespace-id'] ?? '0', {
    low: 0,
    high: Nsid.broadcast,
  });
  const dword11 = parseInteger('cdw11', values.cdw11 ?? '0', { low: 0, high: 0xffff_ffff });
  const dataBytes = dataBytesOf[id] ?? 0;
  const { value, words: data } = await withController(address, (controller) =>
    controller.admin.getFeature(id, { nsid, select, cdw11: dword11, dataBytes }),
  );
  const name = Object.entries(Feature).find(([, known]) => known === id)?.[0] ?? 'unknown';
  const table = select === 'capabilities' ? undefined : tableOf(id);
  const described = table === undefined ? [] : describeStruct(table, Uint32Array.of(value), 0);
  const hex = (number: number, digits: number): string => number.toString(16).padStart(digits, '0');
  printPage(terminal, format, {
    words: data.length > 0 ? data : Uint32Array.of(value),
    lines: () => [
      `get-feature:0x${hex(id, 2)} (${name}), ${select} value:0x${hex(value, 8)}`,
      ...(values['human-readable'] === true ? linesOf(described) : []),
      ...(data.length > 0 ? hexDump(data) : []),
    ],
    json: () => ({ feature: id, name, select, value, fields: valuesOf(described) }),
  });
  return 0;
}

type Select = keyof typeof FeatureSelect;

const selects: readonly Select[] = ['current', 'default', 'saved', 'capabilities'];

function selectOf(typed: string): Select {
  const byNumber = selects.find((name) => String(FeatureSelect[name]) === typed);
  return byNumber ?? parseChoice('sel', typed, selects);
}

function idOf(typed: string | undefined): number {
  if (typed === undefined) throw usageError('no feature is named; give --feature-id');
  const named = Object.entries(Feature).find(([name]) => name === typed)?.[1];
  return named ?? parseInteger('feature-id', typed, { low: 0, high: 0xff });
}

function tableOf(id: number): Struct | undefined {
  return Object.entries(FeatureTables).find(([known]) => Number(known) === id)?.[1];
}
