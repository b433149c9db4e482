import { BlockOp } from '../../sdk/block/request.js';
import { loadPool } from '../../sdk/volume/load.js';
import { Pool } from '../../sdk/volume/pool.js';
import { Prng } from '../../sim/prng.js';
import { campaign, type Tally } from '../support/campaign.js';
import { Undo } from '../support/crash-cuts.js';
import { CrashDevice } from '../support/crash-device.js';
import { type FlipSubject, judgeWrong } from '../support/flip-judge.js';
import { batchesOf, type MetadataPage, pagesOf, usersOf } from '../support/pool-pages.js';
import { PoolState } from '../support/pool-state.js';
import { VolumeModel } from '../support/volume-model.js';
import { compareWithModel, readVersions, runPlain, writeSectors } from '../support/volume-rig.js';

/** Bits of metadata, by their number among all that the pool keeps. */
interface FlipStep {
  readonly bits: readonly number[];
}

const perSeed = 256;
const groupsPerSeed = 16;
/** One seed of so many wrongs groups of bits. */
const groupSeeds = 32;
/** One bit of so many is looked at through the volumes, too, and one through a repair. */
const readBits = 61;
const repairedBits = 499;
const deviceBytes = 2 * 1024 * 1024;

/**
 * Most seeds wrong each of the next 256 bits alone, round and round; every 32nd wrongs several bits
 * at a time instead. All bits have been tried when there were as many single bits as there are bits
 * of metadata, from seed 0 on.
 */
export const campaignOfFlips = campaign<FlipStep>({
  claim:
    'one wrong bit anywhere in the metadata costs nothing, is named and is mended; several cost ' +
    'what is named, and never tell wrong data',
  plan: (prng, seed) =>
    seed % groupSeeds === groupSeeds - 1
      ? Array.from({ length: groupsPerSeed }, () => ({
          bits: Array.from({ length: 2 + prng.below(30) }, () => prng.below(2 ** 40)),
        }))
      : Array.from({ length: perSeed }, (_, i) => ({
          bits: [(seed - Math.floor(seed / groupSeeds)) * perSeed + i],
        })),
  run: async (steps, _seed, tally) => {
    prepared ??= prepare();
    return (await prepared).run(steps, tally);
  },
});

let prepared: Promise<Flips> | null = null;

/** A pool with nodes of every kind, and a journal with records of every kind. */
async function prepare(): Promise<Flips> {
  const device = new CrashDevice({ blockBytes: 512, bytes: deviceBytes });
  const chance = new Prng(1, 'identity');
  const random = (bytes: Uint8Array): void => chance.fill(bytes);
  let pool = await Pool.create([device], { random, journalBytes: 65_536 });
  const model = new VolumeModel();
  let version = 0;
  const write = async (name: string, first: number, count: number): Promise<void> => {
    version++;
    await writeSectors(pool.volume(name), first, count, version);
    model.set(name, first, count, version);
  };
  const snapshot = async (volume: string): Promise<void> => {
    await pool.takeSnapshot([{ volume, name: 's' }]);
    model.duplicate(volume, `${volume}@s`);
  };
  for (const [name, hasChecks] of [
    ['plain', false],
    ['checked', true],
  ] as const) {
    await pool.createVolume({ name, bytes: 256 * 1024, blockBytes: 512, hasChecks });
    model.create(name, 256 * 1024);
    await write(name, 0, 200);
    await snapshot(name);
    await write(name, 8, 60);
  }
  await pool.close();
  pool = await Pool.open([device]);
  await pool.checkpoint();
  const pages = pagesOf(pool.core, [device]);
  const users = usersOf(pool.core);
  // One batch for each flush, and one for what changes the catalog.
  const flush = async (): Promise<void> => runPlain(pool.volume('plain'), BlockOp.flush, 0, 0);
  await runPlain(pool.volume('plain'), BlockOp.discard, 16, 8);
  model.set('plain', 16, 8, 0);
  await runPlain(pool.volume('checked'), BlockOp.discard, 0, 256);
  model.set('checked', 0, 256, 0);
  await flush();
  await write('checked', 300, 40);
  await flush();
  await pool.setAttributes('plain', { 'a key': 'a value' });
  const before = model.copy();
  await write('plain', 300, 9);
  await flush();
  pages.push(...batchesOf(pool.core, device, 2));
  const loaded = await loadPool([device]);
  const fault = await compareWithModel(await Pool.open([device], { isReadOnly: true }), model);
  if (fault !== null) throw new Error(`before any wrong bit: ${fault}`);
  return new Flips({ device, pages, users, model, before, state: new PoolState(loaded) });
}

interface Parts {
  readonly device: CrashDevice;
  readonly pages: readonly MetadataPage[];
  readonly users: ReadonlyMap<number, readonly string[]>;
  readonly model: VolumeModel;
  /** Without the last batch of the journal. */
  readonly before: VolumeModel;
  readonly state: PoolState;
}

interface WrongBit {
  readonly page: MetadataPage;
  readonly at: number;
  readonly bit: number;
}

class Flips {
  private readonly device: CrashDevice;
  private readonly model: VolumeModel;
  private readonly state: PoolState;
  private readonly subject: FlipSubject;
  private readonly undo: Undo;
  private readonly bitCount: number;
  private tried = 0;

  constructor({ device, pages, users, model, before, state }: Parts) {
    this.device = device;
    this.model = model;
    this.state = state;
    this.undo = new Undo(device.image);
    this.bitCount = pages.reduce((sum, { bytes }) => sum + bytes * 8, 0);
    this.subject = {
      ...{ devices: [device], pages, users },
      names: [...model.objects.keys()],
      contentFault: async (name, volume, isTorn) => {
        const versions = await readVersions(volume);
        const isAs = ({ objects }: VolumeModel): boolean =>
          objects.get(name)!.sectors.every((version, i) => version === versions[i]);
        return isAs(model) || (isTorn && isAs(before)) ? null : `${name} is wrong`;
      },
    };
  }

  async run(steps: readonly FlipStep[], tally: Tally): Promise<string | null> {
    tally['bits of metadata'] = this.bitCount;
    for (const { bits } of steps) {
      const places = bits.map((bit) => this.placeOf(bit % this.bitCount));
      this.flip(places);
      const isSingle = places.length === 1;
      const fault = isSingle
        ? await this.one(places[0]!, tally)
        : await this.several(places, tally);
      this.flip(places);
      const key = isSingle ? 'single bits' : 'groups of bits';
      tally[key] = (tally[key] ?? 0) + 1;
      const words = places.map(({ page, at, bit }) => `${page.what} ${at}.${bit}`);
      if (fault !== null) return `${words.join(', ')}: ${fault}`;
    }
    return null;
  }

  private flip(places: readonly WrongBit[]): void {
    for (const { at, bit } of places) this.device.image[at]! ^= 1 << bit;
  }

  private placeOf(bit: number): WrongBit {
    let left = bit;
    for (const page of this.subject.pages) {
      if (left < page.bytes * 8) return { page, at: page.at + (left >>> 3), bit: left & 7 };
      left -= page.bytes * 8;
    }
    throw new Error('a bit beyond the metadata');
  }

  /** The pool that opens knows all that it should, and says what was wrong, and nothing else. */
  private async one({ page, at }: WrongBit, tally: Tally): Promise<string | null> {
    const kind = `bits of ${page.kind}`;
    tally[kind] = (tally[kind] ?? 0) + 1;
    const loaded = await loadPool([this.device]);
    const found = loaded.core.findings.map((one) => `${one.kind} ${one.what}`).join(', ');
    const isChecked = at - page.at < page.checkedBytes;
    const expected = isChecked ? `mended ${page.what}` : '';
    const fault = this.state.differenceTo(loaded);
    loaded.core.close();
    if (found !== expected) return `found ${found}, expected ${expected}`;
    if (fault !== null) return fault;
    this.tried++;
    if (this.tried % readBits === 0) return this.read(tally);
    if (this.tried % repairedBits === 0) return this.repair(tally);
    return null;
  }

  private async read(tally: Tally): Promise<string | null> {
    tally['read through'] = (tally['read through'] ?? 0) + 1;
    const pool = await Pool.open([this.device], { isReadOnly: true });
    const fault = await compareWithModel(pool, this.model);
    await pool.close();
    return fault;
  }

  /** What is mended and closed has nothing wrong, and is as it was. */
  private async repair(tally: Tally): Promise<string | null> {
    tally.repaired = (tally.repaired ?? 0) + 1;
    this.device.onChange = (at, length) => this.undo.save(at, length);
    try {
      const pool = await Pool.open([this.device]);
      await pool.repair();
      const left = await pool.check();
      await pool.close();
      const again = await Pool.open([this.device], { isReadOnly: true });
      const findings = [...left, ...again.findings];
      if (findings.length > 0) return `after a repair: ${JSON.stringify(findings)}`;
      const fault = await compareWithModel(again, this.model);
      return fault === null ? null : `after a repair: ${fault}`;
    } finally {
      this.device.onChange = null;
      this.device.forget();
      this.undo.takeBack();
    }
  }

  private several(places: readonly WrongBit[], tally: Tally): Promise<string | null> {
    const wrong = new Map<MetadataPage, number>();
    // A bit that is wrong twice is right.
    for (const { page, at, bit } of places) {
      const times = places.filter((other) => other.at === at && other.bit === bit).length;
      if (times % 2 === 0 || at - page.at >= page.checkedBytes) continue;
      wrong.set(page, (wrong.get(page) ?? 0) + 1 / times);
    }
    return judgeWrong(this.subject, wrong, tally);
  }
}
