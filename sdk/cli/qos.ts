import { ErrorCode, UltimaError } from '../errors.js';
import type { NvmeController } from '../nvme/controller.js';
import { type CardTier, UltimaQos } from '../nvme/ultima-qos.js';
import { prometheusText } from '../observe/prometheus.js';
import { calibrate as measure } from '../qos/calibrate.js';
import { bestEffort } from '../qos/tiers.js';
import { parseDuration, parseInteger, parseSize, parseWords, usageError } from './arguments.js';
import { cardOf, cardOptions, withController } from './card.js';
import { applyPolicy, checkNamespaces, readPolicy, showPolicy } from './qos-policy.js';
import {
  copiesView,
  countersView,
  historyView,
  measuredLines,
  metricsOf,
  percent,
  rateText,
} from './qos-views.js';
import type { Terminal } from './terminal.js';
import { runVerb, table, type VerbResult } from './verb-result.js';

export const usage = `
ultima qos VERB CARD [options]

What each namespace of a card is promised. A tier names a promise: a minimum that holds whatever
the neighbours do, a maximum, a weight for what is left over. Rates count in units: one is a read of
4 KiB, 64 KiB are sixteen, and a write costs what the card says. What is set is saved on the card.

  capability CARD      what the card can promise, has promised, and how it counts
  tiers CARD           its tiers; a card has eight, best-effort is always there
  set-tier CARD        add or change a tier
      --tier NAME        lower case letters, digits, inner hyphens
      --min-iops N       assured, in units per second; --min-bandwidth SIZE in bytes per second
      --max-iops N       never exceeded; --max-bandwidth SIZE
      --weight N         part of what is left over; 1 when left out
      --burst N          units above the steady rate for a moment
      --latency TIME     what its requests may take: it decides what can be promised, e.g. 500us
      --remove           take the tier away; nobody may have it
  assign CARD          give a namespace a tier
      -n, --namespace-id N
      --tier NAME
      --or-best-effort   where the minimum does not fit, take the rest of the tier without it
  show CARD            its policy: tiers, and who has which; -o json for a file
  apply CARD FILE      let the card have exactly the policy of a file, - for standard input: the
                       tiers there and those that every card has; a namespace that is not
                       there is best-effort. All is checked before anything changes
      --dry-run          print what would change, and whether it can be promised
      --or-best-effort   as of assign
  counters CARD        what each namespace with a tier got, and whether its minimum was met
      --prometheus       in Prometheus's text format, ultima_qos_*
  history CARD         the last intervals of each: promised, served, throttled, met or not
  copies CARD          what its drives copied by themselves, by class: garbage collection, upkeep
  calibrate CARD       measure what the card does and let it promise that, less a headroom
      -n, --namespace-id N  where; 1 when left out
      --region SIZE      of the namespace, from its start; 1g when left out
      --requests N       of each of the measurements; 4096 when left out
      --headroom PART    promised to nobody; 0.1 when left out
      --writes --yes     measure writes and a mix, too; DESTROYS what the namespace holds.
                         Without it blocks are read as they are: where nothing was ever
                         written a card answers without its media, and promises too much
      --dry-run          print it, keep nothing; any card can be measured so

      --save FILE        keep a simulated card, with its policies, in a file
  -o, --output-format WORD normal, json

Example: 20,000 IOPS for namespace 1.

  ultima qos set-tier CARD --tier database --min-iops 20000 --weight 4
  ultima qos assign CARD -n 1 --tier database
  ultima qos counters CARD
`;

const options = {
  card: cardOptions.card,
  'namespace-id': cardOptions['namespace-id'],
  'output-format': cardOptions['output-format'],
  tier: { type: 'string' },
  'min-iops': { type: 'string' },
  'max-iops': { type: 'string' },
  'min-bandwidth': { type: 'string' },
  'max-bandwidth': { type: 'string' },
  weight: { type: 'string' },
  burst: { type: 'string' },
  latency: { type: 'string' },
  remove: { type: 'boolean', default: false },
  'or-best-effort': { type: 'boolean', default: false },
  prometheus: { type: 'boolean', default: false },
  region: { type: 'string' },
  requests: { type: 'string' },
  headroom: { type: 'string' },
  writes: { type: 'boolean', default: false },
  yes: { type: 'boolean', default: false },
  'dry-run': { type: 'boolean', default: false },
  save: { type: 'string' },
} as const;

const mostIops = 1_000_000_000;

export async function run(words: readonly string[], terminal: Terminal): Promise<number> {
  if (words[0] === 'counters' && words.includes('--prometheus')) {
    const { values, positionals } = parseWords(words.slice(1), options);
    const address = cardOf(positionals, values.card);
    const counters = await withController(address, ({ admin }) => new UltimaQos(admin).counters());
    terminal.out(prometheusText(metricsOf(address, counters)));
    return 0;
  }
  const verbs = {
    capability,
    tiers,
    'set-tier': setTier,
    assign,
    show,
    apply,
    counters,
    history,
    copies,
    calibrate,
  };
  return runVerb('qos', verbs, words, terminal);
}

type Values = ReturnType<typeof parse>['values'];

function parse(words: readonly string[]) {
  const { values, positionals } = parseWords(words, options);
  return { values, address: cardOf(positionals, values.card) };
}

function withQos(
  words: readonly string[],
  use: (qos: UltimaQos, values: Values, controller: NvmeController) => Promise<VerbResult>,
): Promise<VerbResult> {
  const { values, address } = parse(words);
  return withController(
    address,
    async (controller) => {
      const qos = new UltimaQos(controller.admin);
      if (!values['dry-run'] && !(await qos.isThere())) throw keepsNone(address);
      return use(qos, values, controller);
    },
    {},
    { savePath: values.save },
  );
}

function capability(words: readonly string[]): Promise<VerbResult> {
  return withQos(words, async (qos) => {
    const json = { ...(await qos.capabilities()), capacity: await qos.capacity() };
    const source = json.isMeasured ? 'as measured here' : "the maker's figure; calibrate it";
    const lines = [
      `capacity   ${rateText(json.capacityUnits)} (${source})`,
      `promised   ${rateText(json.promisedUnits)}`,
      json.keptPart === 1
        ? 'kept       all of it'
        : `kept       ${percent(json.keptPart)} of each minimum: the media have slowed`,
      `costs      a read of ${json.unitBytes} bytes 1 unit, a write ${json.writeCost} times a ` +
        `read, any other command ${json.discardCost}`,
      `depth      ${json.depthUnits} units are worked on at one time, ${json.quietDepthUnits} ` +
        'while nobody with a minimum asks for anything; the rest waits in order',
      `holds      ${json.maxTiers} tiers, ${json.maxNamespaces} namespaces, ` +
        `${json.historyIntervals} intervals of ${json.intervalNs / 1e6} ms each`,
    ];
    return { json, lines };
  });
}

function tiers(words: readonly string[]): Promise<VerbResult> {
  return withQos(words, async (qos) => {
    const there = (await qos.tiers()).filter((tier) => tier !== null);
    const rate = (value: number): string =>
      value === 0 || value === Number.POSITIVE_INFINITY ? '-' : value.toLocaleString('en-US');
    const head = ['tier', 'min-iops', 'min-bytes/s', 'max-iops', 'max-bytes/s', 'weight'];
    const rows = there.map((tier) => [
      tier.name,
      rate(tier.minIops),
      rate(tier.minBytesPerSecond),
      rate(tier.maxIops),
      rate(tier.maxBytesPerSecond),
      String(tier.weight),
    ]);
    return { json: there.map(forJson), lines: table(head, rows) };
  });
}

/** JSON has no Infinity: no limit is null. */
function forJson(tier: CardTier): object {
  const orNull = (value: number): number | null =>
    value === Number.POSITIVE_INFINITY ? null : value;
  const { maxIops, maxBytesPerSecond } = tier;
  return { ...tier, maxIops: orNull(maxIops), maxBytesPerSecond: orNull(maxBytesPerSecond) };
}

function setTier(words: readonly string[]): Promise<VerbResult> {
  return withQos(words, async (qos, values) => {
    const name = needed(values.tier, 'tier', 'which one');
    const list = [...(await qos.tiers())];
    const found = list.findIndex((tier) => tier?.name === name);
    if (values.remove) {
      if (found < 0) throw noTier(name, list);
      list[found] = null;
      await qos.setTiers(list, { isSaved: true });
      return { json: { removed: name }, lines: [`tier '${name}' is gone`] };
    }
    const index = found < 0 ? list.indexOf(null, 1) : found;
    if (index < 0) throw usageError(`tier '${name}' would be the ninth; remove one first`);
    const tier = tierFrom(list[index] ?? { ...bestEffort, name }, values);
    list[index] = tier;
    await qos.setTiers(list, { isSaved: true });
    return { json: forJson(tier), lines: [`tier '${name}' is set and saved`] };
  });
}

function tierFrom(before: CardTier, values: Values): CardTier {
  const iops = (name: 'min-iops' | 'max-iops', otherwise: number): number => {
    const text = values[name];
    return text === undefined ? otherwise : parseInteger(name, text, { low: 0, high: mostIops });
  };
  const bytes = (name: 'min-bandwidth' | 'max-bandwidth', otherwise: number): number => {
    const text = values[name];
    return text === undefined ? otherwise : parseSize(name, text);
  };
  const { weight, burst, latency } = values;
  const maximum = (value: number): number => (value === 0 ? Number.POSITIVE_INFINITY : value);
  return {
    ...before,
    minIops: iops('min-iops', before.minIops),
    minBytesPerSecond: bytes('min-bandwidth', before.minBytesPerSecond),
    maxIops: maximum(iops('max-iops', before.maxIops)),
    maxBytesPerSecond: maximum(bytes('max-bandwidth', before.maxBytesPerSecond)),
    weight: weight === undefined ? before.weight : parsePart('weight', weight, 1e6),
    ...(burst === undefined ? {} : { burst: parseInteger('burst', burst, { low: 1, high: 1e9 }) }),
    ...(latency === undefined ? {} : { latencyTargetNs: parseDuration('latency', latency) }),
  };
}

function assign(words: readonly string[]): Promise<VerbResult> {
  return withQos(words, async (qos, values) => {
    const nsid = nsidOf(needed(values['namespace-id'], 'namespace-id', 'which namespace'));
    const name = needed(values.tier, 'tier', 'which tier');
    const list = await qos.tiers();
    const index = list.findIndex((tier) => tier?.name === name);
    if (index < 0) throw noTier(name, list);
    const orBestEffort = values['or-best-effort'];
    const isKept = await qos.assign(nsid, index, { isSaved: true, orBestEffort });
    const lines = [
      isKept
        ? `namespace ${nsid} has tier '${name}', saved`
        : `namespace ${nsid} has tier '${name}' without its minimum, which does not fit`,
    ];
    return { json: { nsid, tier: name, isReservationKept: isKept }, lines };
  });
}

function show(words: readonly string[]): Promise<VerbResult> {
  return withQos(words, showPolicy);
}

async function apply(words: readonly string[]): Promise<VerbResult> {
  const { values, positionals } = parseWords(words, options);
  const file = positionals.at(-1);
  const cards = positionals.slice(0, -1);
  const address = cardOf(cards, values.card);
  if (file === undefined) throw usageError('which policy? give a file, as qos show -o json prints');
  const policy = readPolicy(file);
  const { 'dry-run': isDryRun, 'or-best-effort': orBestEffort, save } = values;
  const how = { policy, isDryRun, orBestEffort };
  const use = async (controller: NvmeController): Promise<VerbResult> => {
    const qos = new UltimaQos(controller.admin);
    if (await qos.isThere()) return applyPolicy(controller, qos, how);
    if (!isDryRun) throw keepsNone(address);
    await checkNamespaces(controller, policy);
    return {
      json: { by: 'gate' },
      lines: [`${file} is a policy for a gate: ${address} keeps none`],
    };
  };
  return withController(address, use, {}, { savePath: save });
}

function counters(words: readonly string[]): Promise<VerbResult> {
  return withQos(words, async (qos) => countersView(await qos.counters(), await qos.tiers()));
}

function history(words: readonly string[]): Promise<VerbResult> {
  return withQos(words, async (qos) => historyView(await qos.history(), await qos.tiers()));
}

function copies(words: readonly string[]): Promise<VerbResult> {
  return withQos(words, async (qos) => copiesView(await qos.copies()));
}

function calibrate(words: readonly string[]): Promise<VerbResult> {
  return withQos(words, async (qos, values, controller) => {
    const nsid = nsidOf(values['namespace-id'] ?? '1');
    if (values.writes && !values.yes) {
      throw usageError(
        `--writes destroys what namespace ${nsid} holds; add --yes if that is meant`,
      );
    }
    const { requests, headroom, region } = values;
    const namespace = await controller.namespace(nsid);
    const found = measure(namespace, {
      writes: values.writes,
      ...(region === undefined ? {} : { regionBytes: parseSize('region', region) }),
      ...(requests === undefined
        ? {}
        : { requests: parseInteger('requests', requests, { low: 100, high: 10_000_000 }) }),
      ...(headroom === undefined ? {} : { headroom: parsePart('headroom', headroom, 0.9) }),
    });
    const lines = measuredLines(found);
    if (values['dry-run']) return { json: found, lines: [...lines, 'nothing was kept'] };
    await qos.setCapacity(found, { isSaved: true });
    const { capacityUnits } = await qos.capabilities();
    const last = `the card promises up to ${rateText(capacityUnits)} from now on`;
    return { json: found, lines: [...lines, last] };
  });
}

function nsidOf(text: string): number {
  return parseInteger('namespace-id', text, { low: 1, high: 0xffff_fffe });
}

function needed(value: string | undefined, name: string, what: string): string {
  if (value !== undefined) return value;
  throw usageError(`--${name} is missing: ${what}?`);
}

function parsePart(name: string, text: string, most: number): number {
  const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (value >= 0 && value <= most) return value;
  throw usageError(`--${name} is ${text}; it must be a number 0..${most}`);
}

function keepsNone(address: string): UltimaError {
  const message =
    `${address} keeps no policies by itself. A gate on the host does: for volumes that are ` +
    "served ('ultima volume create --qos-tier'), or in a program ('enforce', 'policyFrom')";
  return new UltimaError(ErrorCode.deviceUnsupported, message, { address });
}

function noTier(name: string, list: readonly (CardTier | null)[]): Error {
  const names = list.flatMap((tier) => (tier === null ? [] : [tier.name]));
  return usageError(`no tier '${name}'; the card has ${names.join(', ')}`);
}
