import type { ChangedRange } from '../volume/diff.js';
import type { Pool } from '../volume/pool.js';
import type { GroupMember } from '../volume/pool-names.js';
import { parseWords, usageError } from './arguments.js';
import {
  bytesText,
  counted,
  createdText,
  parseObjectName,
  parseSnapshotName,
  poolOf,
  poolOptions,
  runVerb,
  table,
  type VerbResult,
  withPool,
} from './pool-access.js';
import type { Terminal } from './terminal.js';

export const usage = `
ultima snapshot VERB NAME... --pool DEVICE[,DEVICE] [options]

Snapshots of volumes, named VOLUME@SNAPSHOT.

  create NAME...           of several volumes: all at one instant
  list VOLUME              the snapshots of a volume with the space that they take
  describe NAME            one snapshot
  restore NAME --keep NAME take the volume back; what it held stays as the snapshot --keep
  clone NAME VOLUME        a writable volume that starts as the snapshot
  diff [FROM] TO           ranges that changed from one snapshot or volume to another, ascending;
                           without FROM all that is allocated
  delete NAME...           in any order; space becomes free in the background

  -p, --pool DEVICE        the devices of the pool, with commas or once for each
  --map-cache SIZE         memory for the maps of the pool; all that they need when left out
  -o, --output-format WORD normal, json
`;

const options = { ...poolOptions, keep: { type: 'string' } } as const;

export function run(words: readonly string[], terminal: Terminal): Promise<number> {
  const verbs = { create, list, describe, restore, clone, diff, delete: destroy };
  return runVerb('snapshot', verbs, words, terminal);
}

function parse(words: readonly string[], range: { readonly least: number; readonly most: number }) {
  const { values, positionals } = parseWords(words, options);
  if (positionals.length < range.least || positionals.length > range.most) {
    const { least, most } = range;
    const wanted = least === most ? counted(least, 'name') : `${least} or more names`;
    throw usageError(`this takes ${wanted}, not '${positionals.join(' ')}'`);
  }
  return { values, names: positionals, devices: poolOf(values) };
}

const one = { least: 1, most: 1 } as const;
const several = { least: 1, most: Number.POSITIVE_INFINITY } as const;

async function rowOf(pool: Pool, volume: string, snapshot: string) {
  const { object } = pool.snapshot(volume, snapshot);
  return {
    volume,
    name: snapshot,
    id: object.id,
    groupId: object.groupId,
    bytes: object.bytes,
    createdMs: object.createdMs,
    damage: object.damage,
    ...(await pool.spaceOf({ volume, snapshot })),
  };
}

function rowsOf(pool: Pool, members: readonly GroupMember[]) {
  return Promise.all(members.map(({ volume, name }) => rowOf(pool, volume, name)));
}

async function create(words: readonly string[]): Promise<VerbResult> {
  const { names, devices } = parse(words, several);
  const members = names
    .map(parseSnapshotName)
    .map(({ volume, snapshot }) => ({ volume, name: snapshot }));
  return withPool(devices, 'write', async (pool) => {
    const { pauseNs } = await pool.takeSnapshot(members, { createdMs: Date.now() });
    const snapshots = await rowsOf(pool, members);
    const pause = `writes were held back for ${Math.ceil(pauseNs / 1000)} us`;
    return { json: { pauseNs, snapshots }, lines: [`${names.join(' ')}: ${pause}`] };
  });
}

function list(words: readonly string[]): Promise<VerbResult> {
  const { names, devices } = parse(words, one);
  const [volume] = names;
  return withPool(devices, 'read', async (pool) => {
    const names = pool.snapshots(volume!).map(({ name }) => ({ volume: volume!, name }));
    const snapshots = await rowsOf(pool, names);
    const rows = snapshots.map((row) => [
      row.name,
      bytesText(row.bytes),
      bytesText(row.usedBytes),
      bytesText(row.exclusiveBytes),
      createdText(row.createdMs),
    ]);
    const head = ['snapshot', 'size', 'used', 'its own', 'created'];
    return { json: { snapshots }, lines: table(head, rows) };
  });
}

function describe(words: readonly string[]): Promise<VerbResult> {
  const { names, devices } = parse(words, one);
  const { volume, snapshot } = parseSnapshotName(names[0]!);
  return withPool(devices, 'read', async (pool) => {
    const row = await rowOf(pool, volume, snapshot);
    const lines = [
      `snapshot   ${volume}@${snapshot}`,
      `size       ${bytesText(row.bytes)}`,
      `space      ${bytesText(row.usedBytes)}: ${bytesText(row.exclusiveBytes)} its own, ` +
        `${bytesText(row.sharedBytes)} shared`,
      `created    ${createdText(row.createdMs)}`,
      ...(row.damage === '' ? [] : [`damage     ${row.damage}`]),
    ];
    return { json: row, lines };
  });
}

function restore(words: readonly string[]): Promise<VerbResult> {
  const { values, names, devices } = parse(words, one);
  const { volume, snapshot } = parseSnapshotName(names[0]!);
  const { keep } = values;
  if (keep === undefined) {
    throw usageError('what the volume holds now stays as a snapshot; --keep gives it a name');
  }
  return withPool(devices, 'write', async (pool) => {
    const { pauseNs } = await pool.restore(volume, snapshot, keep, { createdMs: Date.now() });
    const lines = [`${volume} is as ${snapshot} has it; ${volume}@${keep} has what it was`];
    return { json: { volume, restored: snapshot, kept: keep, pauseNs }, lines };
  });
}

function clone(words: readonly string[]): Promise<VerbResult> {
  const { names, devices } = parse(words, { least: 2, most: 2 });
  const source = parseSnapshotName(names[0]!);
  return withPool(devices, 'write', async (pool) => {
    await pool.clone(source, names[1]!, { createdMs: Date.now() });
    const lines = [`volume ${names[1]} starts as ${names[0]}`];
    return { json: { volume: names[1], source: names[0] }, lines };
  });
}

function diff(words: readonly string[]): Promise<VerbResult> {
  const { names, devices } = parse(words, { least: 1, most: 2 });
  const to = parseObjectName(names.at(-1)!);
  const from = names.length === 2 ? parseObjectName(names[0]!) : null;
  return withPool(devices, 'read', async (pool) => {
    const ranges: ChangedRange[] = [];
    for await (const range of pool.changes(from, to)) ranges.push(range);
    const rows = ranges.map(({ byteOffset, byteLength, isData }) => [
      String(byteOffset),
      String(byteLength),
      isData ? 'data' : 'zero',
    ]);
    return { json: { ranges }, lines: table(['offset', 'bytes', 'now'], rows) };
  });
}

function destroy(words: readonly string[]): Promise<VerbResult> {
  const { names, devices } = parse(words, several);
  const parsed = names.map(parseSnapshotName);
  return withPool(devices, 'write', async (pool) => {
    for (const { volume, snapshot } of parsed) await pool.deleteSnapshot(volume, snapshot);
    return { json: { deleted: names }, lines: [`gone: ${names.join(' ')}`] };
  });
}
