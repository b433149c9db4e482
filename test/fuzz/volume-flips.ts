import { BlockOp } from '../../sdk/block/request.js';
import { Pool } from '../../sdk/volume/pool.js';
import { Prng } from '../../sim/prng.js';
import { campaign, type Tally } from '../support/campaign.js';
import { CrashDevice } from '../support/crash-device.js';
import { namedDevices, readVersions, runPlain, writeSectors } from '../support/volume-rig.js';

/** Bits of metadata, by their number among all that the pool needs to be opened. */
interface FlipStep {
  readonly bits: readonly number[];
}

const perSeed = 32;
const deviceBytes = 4 * 1024 * 1024;

/**
 * Three of four seeds wrong each of the next 32 bits alone, round and round; the fourth wrongs
 * several bits at a time instead. All bits have been tried when there were as many single bits as
 * there are bits of metadata.
 */
export const campaignOfFlips = campaign<FlipStep>({
  claim:
    'one wrong bit anywhere in the metadata costs nothing and is mended; several cost at most ' +
    'what is named, and never tell wrong data',
  plan: (prng, seed) =>
    Array.from({ length: perSeed }, (_, i) =>
      seed % 4 === 3
        ? { bits: Array.from({ length: 2 + prng.below(30) }, () => prng.below(2 ** 40)) }
        : { bits: [(seed - Math.floor(seed / 4)) * perSeed + i] },
    ),
  run: (steps, _seed, tally) => run(steps, tally),
});

interface Subject {
  readonly device: CrashDevice;
  /** Places of metadata: byte and length. */
  readonly places: readonly (readonly [number, number])[];
  readonly bitCount: number;
  readonly versions: ReadonlyMap<string, Int32Array>;
  /** Bytes of the journal's last batch, and what it alone has changed, as it was before. */
  readonly lastBatch: readonly [from: number, to: number];
  readonly before: { readonly name: string; readonly versions: Int32Array };
}

let prepared: Promise<Subject> | null = null;

async function prepare(): Promise<Subject> {
  const device = new CrashDevice({ blockBytes: 512, bytes: deviceBytes });
  const chance = new Prng(1, 'identity');
  const random = (bytes: Uint8Array): void => chance.fill(bytes);
  const pool = await Pool.create([device], { random, journalBytes: 65_536 });
  for (const name of ['a', 'b', 'c']) {
    const volume = await pool.createVolume({ name, bytes: 256 * 1024, blockBytes: 512 });
    await writeSectors(volume, 0, 200, 1);
    await pool.takeSnapshot([{ volume: name, name: 's' }]);
    await writeSectors(volume, 8, 60, 2);
  }
  await pool.checkpoint();
  const { core } = pool;
  let before: Subject['before'] = { name: '', versions: new Int32Array(0) };
  let lastHead = 0;
  for (const name of ['a', 'b', 'c']) {
    const volume = pool.volume(name);
    before = { name, versions: await readVersions(volume) };
    lastHead = core.journal.head;
    await writeSectors(volume, 300, 9, 3);
    await runPlain(volume, BlockOp.flush, 0, 0);
  }
  const places: [number, number][] = [[0, 6 * 4096]];
  const { imageUnits } = core.identity;
  for (const i of [0, imageUnits.length / 2]) places.push([imageUnits[i]! * 65_536, 8192]);
  for (let id = 1; id < core.nodes.end; id++) {
    if (core.nodes.slots[id] !== 0) places.push([core.nodes.slots[id]! * 4096, 4096]);
  }
  const { tail, head } = core.journal;
  places.push([65_536 + tail * 4096, (head - tail) * 4096]);
  const versions = new Map<string, Int32Array>();
  for (const [name, volume] of namedDevices(pool)) versions.set(name, await readVersions(volume));
  const bitCount = places.reduce((sum, [, bytes]) => sum + bytes * 8, 0);
  const lastBatch = [65_536 + lastHead * 4096, 65_536 + head * 4096] as const;
  return { device, places, bitCount, versions, lastBatch, before };
}

async function run(steps: readonly FlipStep[], tally: Tally): Promise<string | null> {
  prepared ??= prepare();
  const subject = await prepared;
  for (const { bits } of steps) {
    const places = bits.map((bit) => placeOf(subject, bit % subject.bitCount));
    for (const [at, bit] of places) subject.device.image[at]! ^= 1 << bit;
    const [from, to] = subject.lastBatch;
    const isTorn = places.filter(([at]) => at >= from && at < to).length > 1;
    const fault = bits.length === 1 ? await one(subject) : await several(subject, isTorn, tally);
    for (const [at, bit] of places) subject.device.image[at]! ^= 1 << bit;
    tally['bits of metadata'] = subject.bitCount;
    const key = bits.length === 1 ? 'single bits' : 'groups of bits';
    tally[key] = (tally[key] ?? 0) + 1;
    if (fault !== null) return `${JSON.stringify(places)}: ${fault}`;
  }
  return null;
}

function placeOf({ places }: Subject, bit: number): readonly [number, number] {
  let left = bit;
  for (const [at, bytes] of places) {
    if (left < bytes * 8) return [at + Math.floor(left / 8), left % 8];
    left -= bytes * 8;
  }
  throw new Error('a bit beyond the metadata');
}

async function one({ device, versions }: Subject): Promise<string | null> {
  const pool = await Pool.open([device], { isReadOnly: true });
  if (pool.findings.some(({ kind }) => kind === 'lost')) return 'something is lost';
  const devices = namedDevices(pool);
  if (devices.size !== versions.size) return `${devices.size} of ${versions.size} are there`;
  for (const [name, volume] of devices) {
    if (!isEqual(await readVersions(volume), versions.get(name)!)) return `${name} is wrong`;
  }
  return null;
}

/**
 * What is not named is whole, and what can be read is right; or the pool says that it is not.
 *
 * @param isTorn  the last batch of the journal is wrong in more than a bit: nothing tells that from
 *   one that a power cut has torn, so the pool may be as it was before
 */
async function several(
  { device, versions, before }: Subject,
  isTorn: boolean,
  tally: Tally,
): Promise<string | null> {
  let pool: Pool;
  try {
    pool = await Pool.open([device], { isReadOnly: true });
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    tally.refused = (tally.refused ?? 0) + 1;
    return String(error.code).startsWith('POOL_') ? null : `refused as ${error.code}`;
  }
  // The state before a hole in the journal is another one, and is named as such.
  if (pool.findings.some(({ what }) => what === 'journal')) return null;
  for (const [name, volume] of namedDevices(pool)) {
    if (volume.object.damage !== '') {
      tally.damaged = (tally.damaged ?? 0) + 1;
      continue;
    }
    const found = await readVersions(volume);
    if (isEqual(found, versions.get(name)!)) continue;
    if (!isTorn || name !== before.name || !isEqual(found, before.versions)) {
      return `${name} is wrong`;
    }
    tally.torn = (tally.torn ?? 0) + 1;
  }
  return null;
}

function isEqual(a: Int32Array, b: Int32Array): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i]);
}
