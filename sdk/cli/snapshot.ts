import type { ChangedRange } from '../volume/diff.js';
import type { Pool } from '../volume/pool.js';
import type { GroupMember } from '../volume/pool-names.js';
import { demandOwn, parseWords, usageError, wrongNames } from './arguments.js';
import {
  bytesText,
  createdText,
  parseObjectName,
  parseSnapshotName,
  poolOf,
  poolOptions,
} from './pool-access.js';
import { type PoolTask, type PoolVerb, runPoolVerb, type VerbContext } from './pool-verbs.js';
import type { Terminal } from './terminal.js';
import { type ListResult, table, type VerbResult } from './verb-result.js';

export const usage = `
ultima snapshot VERB NAME... --pool DEVICE[,DEVICE] [options]

Snapshots of volumes, named VOLUME@SNAPSHOT.

  create NAME...           of several volumes: all at one instant
  list [VOLUME]            the snapshots of a volume, or of all, with the space that they take
  describe NAME            one snapshot
  restore NAME --keep NAME take the volume back; what it held stays as the snapshot --keep
  clone NAME VOLUME        a writable volume that starts as the snapshot
  diff [FROM] TO           ranges that changed from one snapshot or volume to another, ascending;
                           without FROM all that is allocated
  delete NAME...           in any order; space becomes free in the background

  -p, --pool DEVICE        the devices of the pool, with commas or once for each
  --map-cache SIZE         memory for the maps of the pool; all that they need when left out
  -o, --output-format WORD normal, json

While 'ultima serve volume' has the pool open, that process does all this, and its clients go on. A
snapshot has every write that was answered before it was asked for. A volume is restored only while
no client has it open: nothing would tell the client. A snapshot that is served is not deleted.
`;

const options = { ...poolOptions, keep: { type: 'string' } } as const;

export const verbs: Readonly<Record<string, PoolVerb>> = {
  create,
  list,
  describe,
  restore,
  clone,
  diff,
  delete: destroy,
};

export function run(words: readonly string[], terminal: Terminal): Promise<number> {
  return runPoolVerb('snapshot', verbs, words, terminal);
}

interface Range {
  readonly least: number;
  readonly most: number;
}

function parse(
  words: readonly string[],
  range: Range,
  own: readonly (keyof typeof options)[] = [],
) {
  demandOwn(words, options, [...Object.keys(poolOptions), ...own]);
  const { values, positionals } = parseWords(words, options);
  if (positionals.length < range.least || positionals.length > range.most) {
    const { least, most } = range;
    const wanted = most === 1 ? (least === 1 ? 'one name' : 'one name at most') : 'names';
    throw wrongNames(wanted, positionals);
  }
  return { values, names: positionals, place: poolOf(values) };
}

/** Before others have their turn: less than a millisecond. */
const rangesAtATime = 1024;

const one = { least: 1, most: 1 } as const;
const oneAtMost = { least: 0, most: 1 } as const;
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

function create(words: readonly string[]): PoolTask {
  const { names, place } = parse(words, several);
  const members = names
    .map(parseSnapshotName)
    .map(({ volume, snapshot }) => ({ volume, name: snapshot }));
  const use = async (pool: Pool): Promise<VerbResult> => {
    const { pauseNs } = await pool.takeSnapshot(members, { createdMs: Date.now() });
    const snapshots = await rowsOf(pool, members);
    const pause = `writes were held back for ${Math.ceil(pauseNs / 1000)} us`;
    return { json: { pauseNs, snapshots }, lines: [`${names.join(' ')}: ${pause}`] };
  };
  return { place, access: 'write', use };
}

function list(words: readonly string[]): PoolTask {
  const { names, place } = parse(words, oneAtMost);
  const isOfAll = names.length === 0;
  const use = async (pool: Pool): Promise<VerbResult> => {
    const volumes = isOfAll ? pool.volumes().map(({ name }) => name) : names;
    const members = volumes.flatMap((volume) =>
      pool.snapshots(volume).map(({ name }) => ({ volume, name })),
    );
    const snapshots = await rowsOf(pool, members);
    const rows = snapshots.map((row) => [
      isOfAll ? `${row.volume}@${row.name}` : row.name,
      bytesText(row.bytes),
      bytesText(row.usedBytes),
      bytesText(row.exclusiveBytes),
      createdText(row.createdMs),
    ]);
    const head = ['snapshot', 'size', 'used', 'its own', 'created'];
    return { json: { snapshots }, lines: table(head, rows) };
  };
  return { place, access: 'read', use };
}

function describe(words: readonly string[]): PoolTask {
  const { names, place } = parse(words, one);
  const { volume, snapshot } = parseSnapshotName(names[0]!);
  const use = async (pool: Pool): Promise<VerbResult> => {
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
  };
  return { place, access: 'read', use };
}

function restore(words: readonly string[]): PoolTask {
  const { values, names, place } = parse(words, one, ['keep']);
  const { volume, snapshot } = parseSnapshotName(names[0]!);
  const { keep } = values;
  if (keep === undefined) {
    throw usageError('name what the volume holds now, which stays as a snapshot: --keep NAME');
  }
  const use = async (pool: Pool, { users }: VerbContext): Promise<VerbResult> => {
    // Nothing tells a client that what it has read is not there any more.
    const demand = (): void => users?.demandUnused(volume);
    const createdMs = Date.now();
    const { pauseNs } = await pool.restore(volume, snapshot, keep, { createdMs, demand });
    const lines = [`${volume} is as ${snapshot} has it; ${volume}@${keep} has what it was`];
    return { json: { volume, restored: snapshot, kept: keep, pauseNs }, lines };
  };
  return { place, access: 'write', use };
}

function clone(words: readonly string[]): PoolTask {
  const { names, place } = parse(words, { least: 2, most: 2 });
  const source = parseSnapshotName(names[0]!);
  const use = async (pool: Pool): Promise<VerbResult> => {
    await pool.clone(source, names[1]!, { createdMs: Date.now() });
    const lines = [`volume ${names[1]} starts as ${names[0]}`];
    return { json: { volume: names[1], source: names[0] }, lines };
  };
  return { place, access: 'write', use };
}

function diff(words: readonly string[]): PoolTask {
  const { names, place } = parse(words, { least: 1, most: 2 });
  const to = parseObjectName(names.at(-1)!);
  const from = names.length === 2 ? parseObjectName(names[0]!) : null;
  const use = async (pool: Pool, { step }: VerbContext): Promise<ListResult<ChangedRange>> => {
    const ranges: ChangedRange[] = [];
    for await (const range of pool.changes(from, to)) {
      if (ranges.push(range) % rangesAtATime !== 0) continue;
      step('ranges', ranges.length, 0);
      await new Promise(setImmediate);
    }
    const head = ['offset', 'bytes', 'now'];
    return { key: 'ranges', head, rows: ranges, cellsOf };
  };
  return { place, access: 'read', use };
}

function cellsOf({ byteOffset, byteLength, isData }: ChangedRange): string[] {
  return [String(byteOffset), String(byteLength), isData ? 'data' : 'zero'];
}

function destroy(words: readonly string[]): PoolTask {
  const { names, place } = parse(words, several);
  const parsed = names.map(parseSnapshotName);
  const use = async (pool: Pool, { users }: VerbContext): Promise<VerbResult> => {
    for (const name of parsed) users?.demandUnserved(name);
    for (const { volume, snapshot } of parsed) await pool.deleteSnapshot(volume, snapshot);
    return { json: { deleted: names }, lines: [`gone: ${names.join(' ')}`] };
  };
  return { place, access: 'write', use };
}
