import { ErrorCode, UltimaError } from '../errors.js';
import { mostRegions } from '../mirror/member-header.js';
import { KiB, MiB } from '../units.js';

/**
 * What the cluster store holds besides the mirrors' own records:
 *
 *   cluster          who this cluster is
 *   node/NAME        a node that has joined; stays when the node is away
 *   alive/NAME       what it says of itself; goes with its lease
 *   volume/NAME      a volume, and which node has which member of it
 *   member/ID        its node has made the member; its node alone writes this
 *
 * All JSON. A record that does not read as declared here was written by a newer version or by
 * somebody else: it is named and left alone, never guessed at.
 */
export interface ClusterRecord {
  /** 32 hexadecimal digits. */
  readonly clusterId: string;
}

export interface NodeRecord {
  readonly name: string;
  /** What fails together; nodes of one zone share a rack, a switch or a power supply. */
  readonly zone: string;
  /** Identity of its pool: another one under the same name is another node. */
  readonly poolId: string;
}

export interface AliveRecord {
  /** 'HOST:PORT' where its members are served. */
  readonly address: string;
  readonly poolBytes: number;
  readonly freeBytes: number;
  /** Empty when all is well; what is wrong with its pool or its card otherwise. */
  readonly trouble: string;
}

export interface PlacedMember {
  /** 32 hexadecimal digits. */
  readonly id: string;
  readonly node: string;
}

/** 'creating' until every member is made; 'deleting' until every member is gone. */
export type VolumeState = 'creating' | 'ready' | 'deleting';
const states: readonly VolumeState[] = ['creating', 'ready', 'deleting'];

export interface VolumeRecord {
  readonly name: string;
  /** 32 hexadecimal digits. */
  readonly volumeId: string;
  readonly bytes: number;
  readonly blockBytes: number;
  /** For one bit of the write-intent map: stays as it was made when the volume grows. */
  readonly regionBytes: number;
  readonly state: VolumeState;
  readonly members: readonly PlacedMember[];
  /** Identities of those among the members that shall go, once the others have everything. */
  readonly leaving: readonly string[];
  /** Members of former times, to be removed by their nodes: what is in no list is kept. */
  readonly retired: readonly PlacedMember[];
}

export const keys = {
  cluster: 'cluster',
  nodes: 'node/',
  alive: 'alive/',
  volumes: 'volume/',
  members: 'member/',
} as const;

const nameForm = /^[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?$/;
const idForm = /^[0-9a-f]{32}$/;
export const mostMirrors = 3;

/** @throws RangeError for what is no name of a node or volume: the rules of Kubernetes */
export function checkName(what: string, name: string): void {
  if (nameForm.test(name)) return;
  throw new RangeError(
    `${what} name ${JSON.stringify(name)}: 1 to 63 of a-z, 0-9, '-' and '.', a letter or digit ` +
      'at both ends',
  );
}

export function encodeRecord(record: object): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ format: 1, ...record }));
}

type Plain = { readonly [name: string]: unknown };

function parse(key: string, bytes: Uint8Array): Plain {
  try {
    const said: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    if (isPlain(said) && said.format === 1) return said;
  } catch {
    // Told below.
  }
  throw strange(key, 'format');
}

function strange(key: string, field: string): UltimaError {
  return new UltimaError(
    ErrorCode.storeInvalid,
    `the cluster store's record ${key} cannot be understood (${field}): somebody else wrote it, ` +
      'or a newer version; it is left alone',
    { key, field },
  );
}

export function decodeCluster(bytes: Uint8Array): ClusterRecord {
  const said = parse(keys.cluster, bytes);
  return { clusterId: idOf(said, keys.cluster, 'clusterId') };
}

export function decodeNode(key: string, bytes: Uint8Array): NodeRecord {
  const said = parse(key, bytes);
  const name = textOf(said, key, 'name');
  if (key !== keys.nodes + name) throw strange(key, 'name');
  return { name, zone: textOf(said, key, 'zone'), poolId: textOf(said, key, 'poolId') };
}

export function decodeAlive(key: string, bytes: Uint8Array): AliveRecord {
  const said = parse(key, bytes);
  return {
    address: textOf(said, key, 'address'),
    poolBytes: countOf(said, key, 'poolBytes'),
    freeBytes: countOf(said, key, 'freeBytes'),
    trouble: textOf(said, key, 'trouble'),
  };
}

export function decodeVolume(key: string, bytes: Uint8Array): VolumeRecord {
  const said = parse(key, bytes);
  const name = textOf(said, key, 'name');
  const state = states.find((each) => each === said.state);
  if (state === undefined) throw strange(key, 'state');
  if (key !== keys.volumes + name) throw strange(key, 'name');
  const members = placesOf(said, key, 'members');
  const leaving = leavingOf(said, key, members);
  const stayingCount = members.length - leaving.length;
  if (stayingCount < 1 || stayingCount > mostMirrors) throw strange(key, 'members');
  return {
    name,
    volumeId: idOf(said, key, 'volumeId'),
    ...shapeOf(said, key),
    state,
    members,
    leaving,
    retired: placesOf(said, key, 'retired'),
  };
}

const usualRegions = 2 ** 20;
const leastRegionBytes = 64 * KiB;
const mostRegionBytes = MiB;

/** What a new volume of so many bytes has for one bit of the write-intent map. */
export function regionBytesOf(bytes: number): number {
  let regionBytes = leastRegionBytes;
  while (bytes / regionBytes > usualRegions && regionBytes < mostRegionBytes) regionBytes *= 2;
  return regionBytes;
}

function shapeOf(said: Plain, key: string) {
  const bytes = countOf(said, key, 'bytes');
  const blockBytes = countOf(said, key, 'blockBytes');
  // Left out by who has never heard of it: such volumes have not grown.
  const isOld = said.regionBytes === undefined;
  const regionBytes = isOld ? regionBytesOf(bytes) : countOf(said, key, 'regionBytes');
  const isWhole = blockBytes > 0 && bytes > 0 && bytes % blockBytes === 0;
  const isPower = regionBytes >= blockBytes && Number.isInteger(Math.log2(regionBytes));
  if (!(isWhole && isPower && bytes / regionBytes <= mostRegions)) throw strange(key, 'bytes');
  return { bytes, blockBytes, regionBytes };
}

/** Members that are to stay. */
export function stayingOf({ members, leaving }: VolumeRecord): PlacedMember[] {
  return members.filter(({ id }) => !leaving.includes(id));
}

function placesOf(said: Plain, key: string, field: string): PlacedMember[] {
  const list = said[field];
  if (!Array.isArray(list) || !list.every(isPlain)) throw strange(key, field);
  const places = list.map((each) => ({
    id: idOf(each, key, 'id'),
    node: textOf(each, key, 'node'),
  }));
  if (new Set(places.map(({ id }) => id)).size !== places.length) throw strange(key, field);
  return places;
}

/** Left out by who has never heard of it. */
function leavingOf(said: Plain, key: string, members: readonly PlacedMember[]): string[] {
  const { leaving: list = [] } = said;
  if (!Array.isArray(list)) throw strange(key, 'leaving');
  const ids = members.map(({ id }) => id).filter((id) => list.includes(id));
  if (ids.length !== list.length) throw strange(key, 'leaving');
  return ids;
}

function isPlain(value: unknown): value is Plain {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function textOf(said: Plain, key: string, field: string): string {
  const value = said[field];
  if (typeof value === 'string') return value;
  throw strange(key, field);
}

function idOf(said: Plain, key: string, field: string): string {
  const value = textOf(said, key, field);
  if (idForm.test(value)) return value;
  throw strange(key, field);
}

function countOf(said: Plain, key: string, field: string): number {
  const value = said[field];
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw strange(key, field);
}
