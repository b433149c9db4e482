import { BlockStatus } from '../block/request.js';
import { builtInTiers } from '../qos/tiers.js';
import type { Pool } from '../volume/pool.js';
import type { StepListener } from '../volume/steps.js';
import {
  demandOwn,
  parseChoice,
  parseInteger,
  parseSize,
  parseWords,
  usageError,
  wrongNames,
} from './arguments.js';
import { growServed } from './grow-served.js';
import { demandKey } from './keys.js';
import { bytesText, createdText, parseObjectName, poolOf, poolOptions } from './pool-access.js';
import {
  type LoneTask,
  type PoolTask,
  type PoolVerb,
  runPoolVerb,
  type VerbContext,
} from './pool-verbs.js';
import type { Terminal } from './terminal.js';
import { table, type VerbResult } from './verb-result.js';

export const usage = `
ultima volume VERB [NAME] --pool DEVICE[,DEVICE] [options]

Thin volumes of a pool.

  create NAME --bytes SIZE   up to 16t; takes space as it is written
      --block-bytes N          4096 (default) or 512
      --checks                 a CRC32C of every 4 KiB, compared on every read
      --qos-tier NAME          its share beside others where it is served: high, medium, best-effort
      --encrypt-with NAME      AES-256-XTS with this key, which --key gives; the pool keeps its name
      --attribute KEY=VALUE    as often as wanted
  list                       all volumes with the space that they take
  describe NAME              one volume
  rename NAME --to NAME      under another name
  set NAME                   another --qos-tier, or --attribute KEY=VALUE; KEY= takes one away
  grow NAME --bytes SIZE     make it larger
      --nbd PLACE              instead of --pool, from another machine: while it is served there
                               with --allow-resize
  clone SOURCE NAME          a writable copy of a volume, or of VOLUME@SNAPSHOT, at once
  scrub NAME                 read and compare all of it; also of VOLUME@SNAPSHOT
  delete NAME                its space becomes free in the background
      --with-snapshots         its snapshots go, too

  --key NAME=SOURCE          a key of 64 bytes, from file:PATH, env:VARIABLE or fd:NUMBER: wherever
                             the data of an encrypted volume is read or written
  -p, --pool DEVICE          the devices of the pool, with commas or once for each
  --map-cache SIZE           memory for the maps of the pool; all that they need when left out
  -o, --output-format WORD   normal, json

While 'ultima serve volume' has the pool open, that process does all this, and its clients go on.
What it serves is neither deleted nor renamed; another tier counts when it is started again. Keys
are those that it was started with; --key must give the same.
`;

const options = {
  ...poolOptions,
  bytes: { type: 'string' },
  'block-bytes': { type: 'string', default: '4096' },
  checks: { type: 'boolean', default: false },
  'qos-tier': { type: 'string' },
  'encrypt-with': { type: 'string' },
  key: { type: 'string', multiple: true },
  attribute: { type: 'string', multiple: true },
  to: { type: 'string' },
  nbd: { type: 'string' },
  'with-snapshots': { type: 'boolean', default: false },
} as const;

export const verbs: Readonly<Record<string, PoolVerb>> = {
  create,
  list,
  describe,
  rename,
  set,
  grow,
  clone,
  scrub,
  delete: destroy,
};

export function run(words: readonly string[], terminal: Terminal): Promise<number> {
  return runPoolVerb('volume', verbs, words, terminal);
}

const common: readonly string[] = [...Object.keys(poolOptions), 'key'];

function parse(
  words: readonly string[],
  names: number,
  own: readonly (keyof typeof options)[] = [],
) {
  demandOwn(words, options, [...common, ...own]);
  const { values, positionals } = parseWords(words, options);
  if (positionals.length !== names) {
    const wanted = names === 0 ? 'no name' : names === 1 ? 'one name' : `${names} names`;
    throw wrongNames(wanted, positionals);
  }
  return { values, names: positionals, place: poolOf(values) };
}

function sizeOf(bytes: string | undefined): number {
  if (bytes === undefined) throw usageError('how large? --bytes SIZE');
  return parseSize('bytes', bytes);
}

async function described(pool: Pool, name: string): Promise<VerbResult> {
  const row = await rowOf(pool, name);
  const lines = [
    `volume     ${name}`,
    `size       ${bytesText(row.bytes)} in blocks of ${row.blockBytes} bytes`,
    `space      ${bytesText(row.usedBytes)}: ${bytesText(row.exclusiveBytes)} its own, ` +
      `${bytesText(row.sharedBytes)} shared`,
    `snapshots  ${
      pool
        .snapshots(name)
        .map((snapshot) => snapshot.name)
        .join(' ') || 'none'
    }`,
    `created    ${createdText(row.createdMs)}`,
    ...(row.qosTier === '' ? [] : [`tier       ${row.qosTier}`]),
    ...(row.keyId === '' ? [] : [`encrypted  with the key '${row.keyId}'`]),
    ...Object.entries(row.attributes).map(([key, value]) => `attribute  ${key}=${value}`),
    ...(row.damage === '' ? [] : [`damage     ${row.damage}; read-only`]),
  ];
  return { json: row, lines };
}

async function rowOf(pool: Pool, name: string) {
  const { object } = pool.volume(name);
  return {
    name,
    id: object.id,
    bytes: object.bytes,
    blockBytes: object.blockBytes,
    originId: object.originId,
    snapshots: pool.snapshots(name).map((snapshot) => snapshot.name),
    checks: object.hasChecks || object.isProtected,
    qosTier: object.qosTier,
    keyId: object.keyId,
    attributes: object.attributes,
    createdMs: object.createdMs,
    damage: object.damage,
    ...(await pool.spaceOf({ volume: name })),
  };
}

function create(words: readonly string[]): PoolTask {
  const { values, names, place } = parse(words, 1, [
    'bytes',
    'block-bytes',
    'checks',
    'qos-tier',
    'encrypt-with',
    'attribute',
  ]);
  const bytes = sizeOf(values.bytes);
  const blockBytes = parseInteger('block-bytes', values['block-bytes'], { low: 512, high: 4096 });
  if (blockBytes !== 512 && blockBytes !== 4096) {
    throw usageError(`--block-bytes is ${blockBytes}; it must be 512 or 4096`);
  }
  const qosTier = tierOf(values['qos-tier'] ?? '');
  const keyId = values['encrypt-with'];
  const attributes = attributesOf(values.attribute ?? []);
  const encryption = keyId === undefined ? {} : { keyId };
  const use = async (pool: Pool): Promise<VerbResult> => {
    const [name] = names;
    const createdMs = Date.now();
    const more = { attributes, createdMs, hasChecks: values.checks, qosTier, ...encryption };
    await pool.createVolume({ name: name!, bytes, blockBytes, ...more });
    return described(pool, name!);
  };
  return { place, access: 'write', keyWords: values.key, use };
}

/** '' is for none. */
function tierOf(wanted: string): string {
  const tiers = builtInTiers.map(({ name }) => name);
  return wanted === '' ? '' : parseChoice('qos-tier', wanted, tiers);
}

function set(words: readonly string[]): PoolTask {
  const { values, names, place } = parse(words, 1, ['qos-tier', 'attribute']);
  const [name] = names;
  const wantedTier = values['qos-tier'];
  const qosTier = wantedTier === undefined ? null : tierOf(wantedTier);
  const attributes = attributesOf(values.attribute ?? []);
  if (qosTier === null && values.attribute === undefined) {
    throw usageError('what is to be another? --qos-tier TIER or --attribute KEY=VALUE');
  }
  const use = async (pool: Pool): Promise<VerbResult> => {
    // Attributes first: they may be refused, and nothing has changed then.
    if (values.attribute !== undefined) {
      const all = { ...pool.volume(name!).object.attributes, ...attributes };
      const left = Object.entries(all).filter(([, value]) => value !== '');
      await pool.setAttributes(name!, Object.fromEntries(left));
    }
    if (qosTier !== null) await pool.setQosTier(name!, qosTier);
    return described(pool, name!);
  };
  return { place, access: 'write', use };
}

function attributesOf(pairs: readonly string[]): Record<string, string> {
  const attributes: Record<string, string> = {};
  for (const pair of pairs) {
    const at = pair.indexOf('=');
    if (at < 1) throw usageError(`--attribute is ${pair}; it must be KEY=VALUE`);
    attributes[pair.slice(0, at)] = pair.slice(at + 1);
  }
  return attributes;
}

function list(words: readonly string[]): PoolTask {
  const { place } = parse(words, 0);
  const use = async (pool: Pool): Promise<VerbResult> => {
    const volumes = await Promise.all(pool.volumes().map(({ name }) => rowOf(pool, name)));
    const rows = volumes.map((row) => [
      row.name,
      bytesText(row.bytes),
      bytesText(row.usedBytes),
      bytesText(row.exclusiveBytes),
      String(row.snapshots.length),
      row.damage === '' ? 'good' : 'damaged',
    ]);
    const head = ['volume', 'size', 'used', 'its own', 'snapshots', 'state'];
    return { json: { volumes }, lines: table(head, rows) };
  };
  return { place, access: 'read', use };
}

function describe(words: readonly string[]): PoolTask {
  const { names, place } = parse(words, 1);
  return { place, access: 'read', use: async (pool) => described(pool, names[0]!) };
}

function rename(words: readonly string[]): PoolTask {
  const { values, names, place } = parse(words, 1, ['to']);
  const { to } = values;
  if (to === undefined) throw usageError('under which name? --to NAME');
  const use = async (pool: Pool, { users }: VerbContext): Promise<VerbResult> => {
    // Clients know it by its name.
    users?.demandUnserved({ volume: names[0]! });
    await pool.renameVolume(names[0]!, to);
    return described(pool, to);
  };
  return { place, access: 'write', use };
}

function grow(words: readonly string[]): PoolTask | LoneTask {
  const wanted = parseWords(words, options);
  if (wanted.values.nbd !== undefined) {
    return { what: 'volume grow --nbd', devices: [], alone: () => growWhileServed(wanted) };
  }
  const { values, names, place } = parse(words, 1, ['bytes']);
  const bytes = sizeOf(values.bytes);
  const use = async (pool: Pool): Promise<VerbResult> => {
    await pool.growVolume(names[0]!, bytes);
    return described(pool, names[0]!);
  };
  return { place, access: 'write', use };
}

interface GrowWords {
  readonly values: { readonly nbd?: string; readonly bytes?: string; readonly pool?: string[] };
  readonly positionals: readonly string[];
}

async function growWhileServed({ values, positionals }: GrowWords): Promise<VerbResult> {
  const [name] = positionals;
  if (name === undefined || positionals.length > 1 || values.pool !== undefined) {
    throw usageError("one name, and no pool: 'ultima volume grow NAME --bytes SIZE --nbd PLACE'");
  }
  const bytes = sizeOf(values.bytes);
  await growServed(values.nbd ?? '', name, bytes);
  return { json: { name, bytes }, lines: [`volume ${name} has ${bytesText(bytes)}`] };
}

function clone(words: readonly string[]): PoolTask {
  const { names, place } = parse(words, 2);
  const source = parseObjectName(names[0]!);
  const use = async (pool: Pool): Promise<VerbResult> => {
    await pool.clone(source, names[1]!, { createdMs: Date.now() });
    return described(pool, names[1]!);
  };
  return { place, access: 'write', use };
}

function scrub(words: readonly string[]): PoolTask {
  const { values, names, place } = parse(words, 1);
  const name = parseObjectName(names[0]!);
  const use = async (pool: Pool, { keys, step }: VerbContext): Promise<VerbResult> => {
    demandKey(pool, name, keys);
    const onStep: StepListener = (done, total) => step('scrub', done, total);
    const result = await pool.scrub(name, { onStep });
    const lines = [
      `${bytesText(result.readBytes)} read, ${result.bad.length} places bad`,
      ...result.bad.map(({ byteOffset, byteLength, status }) => {
        return `  ${byteLength} bytes at ${byteOffset}: ${reasonOf(status)}`;
      }),
    ];
    return { json: result, lines, code: result.bad.length === 0 ? 0 : 1 };
  };
  return { place, access: 'read', keyWords: values.key, use };
}

/** What the status of a read means to a person. */
function reasonOf(status: BlockStatus): string {
  if (status === BlockStatus.integrityError) return 'not what was written there';
  if (status === BlockStatus.mediaError) return 'the device cannot read it';
  return `status ${status}`;
}

function destroy(words: readonly string[]): PoolTask {
  const { values, names, place } = parse(words, 1, ['with-snapshots']);
  const use = async (pool: Pool, { users }: VerbContext): Promise<VerbResult> => {
    users?.demandUnserved({ volume: names[0]! });
    await pool.deleteVolume(names[0]!, { withSnapshots: values['with-snapshots'] });
    return { json: { deleted: names[0] }, lines: [`volume ${names[0]} is gone`] };
  };
  return { place, access: 'write', use };
}
