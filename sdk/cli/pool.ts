import type { Finding } from '../volume/findings.js';
import { Pool } from '../volume/pool.js';
import type { StepListener } from '../volume/steps.js';
import { demandOwn, parseSize, parseWords, usageError } from './arguments.js';
import {
  bytesText,
  counted,
  naming,
  openDevices,
  type PoolPlace,
  placeOf,
  poolOptions,
  random,
  withPool,
} from './pool-access.js';
import {
  type LoneTask,
  type PoolTask,
  type PoolVerb,
  runPoolVerb,
  type VerbContext,
} from './pool-verbs.js';
import { remoteUsage } from './remote-device.js';
import type { Terminal } from './terminal.js';
import { table, type VerbResult } from './verb-result.js';

export const usage = `
ultima pool VERB DEVICE... [options]

A pool of thin volumes on one or more devices. A DEVICE is a file, a block device of the system, or
the address of a card (its namespace 1), for instance 'sim:ultima-g2?file=card.img', or a namespace
of another machine, see below.

  create DEVICE...     make a pool; DESTROYS what the devices hold
      --bytes SIZE       make files that are not there, of this size
      --journal SIZE     64k to 16m when left out, by the size of the first device
      --overwrite        take devices that are not blank
  describe DEVICE...   identity, space, volumes, and what is wrong
  list DEVICE...       the same in one line for each volume
  check DEVICE...      read all metadata and compare it; exit code 1 when something is wrong
      --repair           write anew what is wrong
  grow DEVICE...       take into the pool what its devices have become larger by
      --add DEVICE       or one more device; --bytes and --overwrite as above
  delete DEVICE...     take the labels off: the pool is gone
      --yes              without this nothing is done

  --map-cache SIZE     memory for the maps of the pool; all that they need when left out
  -o, --output-format WORD normal, json

While 'ultima serve volume' has the pool open, that process does what is asked here, for commands of
the same user that name the same devices, and its clients go on. Not create, check --repair,
grow --add and delete: end it first. A pool of 'ultima node' can be looked at in the same way.
${remoteUsage}
`;

const options = {
  ...poolOptions,
  bytes: { type: 'string' },
  journal: { type: 'string' },
  overwrite: { type: 'boolean', default: false },
  repair: { type: 'boolean', default: false },
  add: { type: 'string' },
  yes: { type: 'boolean', default: false },
} as const;

export const verbs: Readonly<Record<string, PoolVerb>> = {
  create,
  describe,
  list,
  check,
  grow,
  delete: destroy,
};

export function run(words: readonly string[], terminal: Terminal): Promise<number> {
  return runPoolVerb('pool', verbs, words, terminal);
}

function parse(words: readonly string[], own: readonly (keyof typeof options)[] = []) {
  demandOwn(words, options, [...Object.keys(poolOptions), ...own]);
  const { values, positionals } = parseWords(words, options);
  const devices = [...positionals, ...(values.pool ?? [])];
  return { values, devices, place: placeOf(devices, values) };
}

function create(words: readonly string[]): LoneTask {
  const { values, devices } = parse(words, ['bytes', 'journal', 'overwrite']);
  const bytes = values.bytes === undefined ? undefined : parseSize('bytes', values.bytes);
  const journal = values.journal === undefined ? undefined : parseSize('journal', values.journal);
  const wanted = { bytes, journal, overwrites: values.overwrite };
  return { what: 'pool create', devices, alone: () => createOn(devices, wanted) };
}

interface NewPool {
  readonly bytes: number | undefined;
  readonly journal: number | undefined;
  readonly overwrites: boolean;
}

async function createOn(
  devices: readonly string[],
  { bytes, journal, overwrites }: NewPool,
): Promise<VerbResult> {
  const opened = await openDevices(devices, { createBytes: bytes });
  try {
    const making = Pool.create(opened.devices, {
      random,
      overwrites,
      ...(journal === undefined ? {} : { journalBytes: journal }),
    });
    const pool = await naming(devices, making);
    await pool.close();
    return described(pool, devices);
  } finally {
    await opened.close();
  }
}

function described(pool: Pool, devices: readonly string[]): VerbResult {
  const space = pool.space();
  const json = {
    pool: Buffer.from(pool.id).toString('hex'),
    devices,
    space,
    volumes: pool.volumes().length,
    snapshots: pool.volumes().reduce((sum, { name }) => sum + pool.snapshots(name).length, 0),
    readOnly: pool.damage,
    findings: pool.findings,
  };
  const lines = [
    `pool       ${json.pool}`,
    `devices    ${devices.join(' ')}`,
    `space      ${bytesText(space.totalBytes)}: ${bytesText(space.freeBytes)} free, ` +
      `${bytesText(space.dataBytes)} data, ${bytesText(space.metadataBytes)} metadata`,
    `holds      ${counted(json.volumes, 'volume')}, ${counted(json.snapshots, 'snapshot')}`,
    ...(json.readOnly === '' ? [] : [`read-only  ${json.readOnly}`]),
    ...findingLines(pool.findings),
  ];
  return { json, lines };
}

function findingLines(findings: readonly Finding[]): string[] {
  return findings.map(({ kind, what, text, costs }) => {
    const price = costs.length === 0 ? '' : ` (costs ${costs.join(', ')})`;
    return `${kind.padEnd(10)} ${what}: ${text}${price}`;
  });
}

function describe(words: readonly string[]): PoolTask {
  const { devices, place } = parse(words);
  return { place, access: 'read', use: async (pool) => described(pool, devices) };
}

function list(words: readonly string[]): PoolTask {
  const { place } = parse(words);
  const use = async (pool: Pool): Promise<VerbResult> => {
    const volumes = await Promise.all(
      pool.volumes().map(async ({ name, bytes }) => {
        const { usedBytes } = await pool.spaceOf({ volume: name });
        return { name, bytes, snapshots: pool.snapshots(name).length, usedBytes };
      }),
    );
    const rows = volumes.map(({ name, bytes, snapshots, usedBytes }) => [
      name,
      bytesText(bytes),
      bytesText(usedBytes),
      String(snapshots),
    ]);
    return { json: { volumes }, lines: table(['volume', 'size', 'used', 'snapshots'], rows) };
  };
  return { place, access: 'read', use };
}

function check(words: readonly string[]): PoolTask | LoneTask {
  const { values, devices, place } = parse(words, ['repair']);
  if (values.repair) {
    const what = 'pool check --repair';
    return { what, devices, alone: () => withPool(place, 'write', mend) };
  }
  const use = async (pool: Pool, { step }: VerbContext): Promise<VerbResult> => {
    const onStep: StepListener = (done, total) => step('check', done, total);
    const findings = [...pool.findings, ...(await pool.check({ onStep }))];
    const lines = findings.length === 0 ? ['the pool is sound'] : findingLines(findings);
    return { json: { findings }, lines, code: findings.length === 0 ? 0 : 1 };
  };
  return { place, access: 'read', use };
}

async function mend(pool: Pool): Promise<VerbResult> {
  const before = [...pool.findings, ...(await pool.check())];
  if (before.length > 0) await pool.repair();
  const after = await pool.check();
  const lines = [
    ...findingLines(before),
    after.length === 0 ? 'the pool is sound now' : 'what is left:',
    ...findingLines(after),
  ];
  return { json: { findings: before, left: after }, lines, code: after.length === 0 ? 0 : 1 };
}

function grow(words: readonly string[]): PoolTask | LoneTask {
  const { values, devices, place } = parse(words, ['add', 'bytes', 'overwrite']);
  const { add } = values;
  if (add === undefined) return growInPlace(place);
  const bytes = values.bytes === undefined ? undefined : parseSize('bytes', values.bytes);
  const wanted = { add, bytes, overwrites: values.overwrite };
  return { what: 'pool grow --add', devices, alone: () => growBy(wanted, place) };
}

interface AddedDevice {
  readonly add: string;
  readonly bytes: number | undefined;
  readonly overwrites: boolean;
}

function growBy({ add, bytes, overwrites }: AddedDevice, place: PoolPlace): Promise<VerbResult> {
  return withPool(place, 'write', async (pool) => {
    const added = await openDevices([add], { createBytes: bytes });
    try {
      await naming([add], pool.addDevice(added.devices[0]!, { random, overwrites }));
      await pool.checkpoint();
      return described(pool, [...place.names, add]);
    } finally {
      // Closing writes to all devices, this one included.
      await pool.close();
      await added.close();
    }
  });
}

function growInPlace(place: PoolPlace): PoolTask {
  const use = async (pool: Pool, { measure }: VerbContext): Promise<VerbResult> => {
    measure();
    if ((await pool.growDevices()) > 0) return described(pool, place.names);
    throw usageError('no device has become larger; make one larger, or say --add DEVICE');
  };
  return { place, access: 'write', use };
}

function destroy(words: readonly string[]): LoneTask {
  const { values, devices } = parse(words, ['yes']);
  if (!values.yes) throw usageError('this deletes the pool and all of its volumes; say --yes');
  return { what: 'pool delete', devices, alone: () => destroyOn(devices) };
}

async function destroyOn(devices: readonly string[]): Promise<VerbResult> {
  const opened = await openDevices(devices);
  try {
    await Pool.destroy(opened.devices);
    return { json: { deleted: devices }, lines: [`the pool on ${devices.join(' ')} is gone`] };
  } finally {
    await opened.close();
  }
}
