import { BlockOp } from '../../sdk/block/request.js';
import { ErrorCode, UltimaError } from '../../sdk/errors.js';
import { checkMaps } from '../../sdk/volume/check-maps.js';
import { leastCacheBytes } from '../../sdk/volume/pager.js';
import { Pool } from '../../sdk/volume/pool.js';
import { Prng } from '../../sim/prng.js';
import { campaign, type Tally } from '../support/campaign.js';
import { CrashCuts, type OpenWrite, Undo } from '../support/crash-cuts.js';
import type { CrashEvent } from '../support/crash-device.js';
import { blankDisks, CrashDisks } from '../support/crash-disks.js';
import { JudgedImages } from '../support/judged-images.js';
import { VolumeModel } from '../support/volume-model.js';
import {
  catalogOf,
  compareWithModel,
  namedDevices,
  readVersions,
  runPlain,
  writeSectors,
} from '../support/volume-rig.js';
import {
  enumerated,
  fuaRange,
  isBarrier,
  isPlain,
  modelStep,
  poolStep,
  type VolumeStep,
  workload,
} from '../support/volume-steps.js';

const blockBytes = 512;
const journalBytes = 64 * 1024;
const exhaustiveWrites = 10;
const sampledImages = 48;
const tornImages = 12;
/** One image in so many is opened for writing, used, and lost once more. */
const usedImages = 16;

const claim =
  'a pool cut off at every device I/O of a workload, with any of its unflushed sectors lost, ' +
  `opens as the model says (workloads 0..${enumerated - 1} are all of one to three operations)`;

export const stormOfVolumeCrash = campaign<VolumeStep>({
  claim,
  plan: (prng, seed) => workload(seed, prng),
  run: (steps, seed, tally) => new Storm(steps, seed, tally).run(),
});

/** The same where every seed has what a quarter of the longer workloads has in the other one. */
export const stormOfProtectedCrash = campaign<VolumeStep>({
  claim: `on devices with protection information ${claim}`,
  plan: (prng, seed) => workload(seed, prng),
  run: (steps, seed, tally) => new Storm(steps, seed, tally, 'guarded').run(),
});

/**
 * How data is checked: not at all; a CRC for every cell, and nothing is written in place; by the
 * devices, whose blocks have protection information.
 */
type Checks = 'none' | 'summed' | 'guarded';

function checksOf(seed: number): Checks {
  if (seed < enumerated || seed % 2 === 0) return 'none';
  return (seed >>> 3) % 2 === 1 ? 'guarded' : 'summed';
}

/** A pool with shared, owned and unwritten cells, a snapshot and a clone; made once. */
const prepared = new Map<Checks, Promise<Prepared>>();

interface Prepared {
  readonly image: Uint8Array;
  readonly model: VolumeModel;
}

async function prepare(checks: Checks): Promise<Prepared> {
  const hasProtection = checks === 'guarded';
  const hasChecks = checks !== 'none';
  const image = blankDisks(hasProtection);
  const device = new CrashDisks(image, { hasProtection }).first;
  const chance = new Prng(1, 'identity');
  const pool = await Pool.create([device], { journalBytes, random: (b) => chance.fill(b) });
  const model = new VolumeModel();
  const volume = await pool.createVolume({ name: 'a', bytes: 256 * 1024, blockBytes, hasChecks });
  model.create('a', 256 * 1024);
  const write = async (first: number, count: number, version: number): Promise<void> => {
    await writeSectors(volume, first, count, version);
    model.set('a', first, count, version);
  };
  await write(0, 128, 1001);
  await write(128, 32, 1002);
  await pool.takeSnapshot([{ volume: 'a', name: 's' }]);
  model.duplicate('a', 'a@s');
  await pool.clone({ volume: 'a', snapshot: 's' }, 'c');
  model.duplicate('a@s', 'c');
  await write(16, 8, 1003);
  await runPlain(volume, BlockOp.flush, 0, 0);
  if (volume.object.isProtected !== hasProtection) throw new Error('others compare the data');
  await pool.close();
  return { image, model };
}

class Storm {
  private readonly steps: readonly VolumeStep[];
  private readonly chance: Prng;
  private readonly tally: Tally;
  /** The model after each number of steps. */
  private readonly states: VolumeModel[] = [];
  private base = new Uint8Array(0);
  private readonly checks: Checks;
  private readonly hasProtection: boolean;
  private readonly isSlow: boolean;
  /** Every other four seeds have no room for their maps. */
  private readonly memory: { readonly mapCacheBytes?: number };

  constructor(
    steps: readonly VolumeStep[],
    seed: number,
    tally: Tally,
    checks: Checks = checksOf(seed),
  ) {
    this.steps = steps;
    this.chance = new Prng(seed, 'crash');
    this.tally = tally;
    this.checks = checks;
    this.hasProtection = checks === 'guarded';
    this.isSlow = seed >= enumerated && seed % 4 >= 2;
    this.memory = (seed >>> 2) % 2 === 1 ? { mapCacheBytes: leastCacheBytes } : {};
  }

  async run(): Promise<string | null> {
    const { checks } = this;
    const start = prepared.get(checks) ?? prepare(checks);
    prepared.set(checks, start);
    const { image, model } = await start;
    this.base = Uint8Array.from(image);
    this.states.push(model);
    for (const [i, step] of this.steps.entries()) {
      const next = this.states[i]!.copy();
      modelStep(next, step, i + 1);
      this.states.push(next);
    }
    const log = await this.execute();
    if (typeof log === 'string') return log;
    this.tally.workloads = (this.tally.workloads ?? 0) + 1;
    if (this.hasProtection) this.tally.guarded = (this.tally.guarded ?? 0) + 1;
    const scene = new Scene(log, Uint8Array.from(this.base), this.hasProtection);
    const { cuts } = scene;
    for (let count = 0; count <= log.length; count++) {
      cuts.advanceTo(count);
      if (isCovered(cuts, log[count])) continue;
      const fault = await this.cut(scene);
      if (fault !== null) return `cut after event ${count} of ${log.length}: ${fault}`;
    }
    return null;
  }

  /** The workload without a crash: the log of what reached the device. */
  private async execute(): Promise<CrashEvent[] | string> {
    // A slow device, so that requests meet a commit that is under way.
    const pollsPerEnd = this.isSlow ? 12 : 1;
    const { hasProtection } = this;
    const disks = new CrashDisks(Uint8Array.from(this.base), { pollsPerEnd, hasProtection });
    disks.record(true);
    let pool = await Pool.open([disks.first], this.memory);
    let newUnit = 0;
    for (const [i, step] of this.steps.entries()) {
      const model = this.states[i]!;
      const run = {
        ...{ pool, model, number: i + 1 },
        reopen: () => Pool.open(disks.of(model), this.memory),
        enlarge: () => disks.size(this.states[i + 1]!),
        another: () => disks.second,
      };
      // Space that was given up is used again at once, and what is new every other time, where too
      // early would show.
      for (let turn = 0; turn < 4; turn++) pool.core.poll();
      pool.core.units.rewind(i % 2 === 0 ? 0 : newUnit);
      const { unitCount } = pool.core.units;
      await poolStep(run, step);
      pool = run.pool;
      if (pool.core.units.unitCount > unitCount) newUnit = unitCount;
      disks.log.push({ kind: 'mark', mark: i + 1 });
    }
    const { log } = disks;
    disks.record(false);
    await pool.settleSpace();
    const faults = (await checkMaps(pool.core)).map(({ what, text }) => `${what}: ${text}`);
    if (faults.length > 0) return `before any crash: ${faults.join('; ')}`;
    const fault = await compareWithModel(pool, this.states.at(-1)!);
    return fault === null ? log : `before any crash: ${fault}`;
  }

  /** All the images that a cut can leave, or a sample. */
  private async cut(scene: Scene): Promise<string | null> {
    const open = scene.begin();
    this.tally.cuts = (this.tally.cuts ?? 0) + 1;
    const isSmall = open.length <= exhaustiveWrites;
    const images = isSmall ? 2 ** open.length : sampledImages;
    for (let i = 0; i < images; i++) {
      for (const [index, each] of open.entries()) {
        const isThere = isSmall ? ((i >>> index) & 1) === 1 : this.chance.chance(0.5);
        if (isThere) for (const block of each.blocks) scene.put(each, block);
      }
      const fault = await this.image(scene);
      if (fault !== null) return `image ${i} of ${images}: ${fault}`;
    }
    const torn = open.some(({ blocks }) => blocks.length > 1) ? tornImages : 0;
    for (let i = 0; i < torn; i++) {
      for (const each of open) {
        const share = this.chance.unit();
        for (const block of each.blocks) if (this.chance.unit() < share) scene.put(each, block);
      }
      const fault = await this.image(scene);
      if (fault !== null) return `torn image ${i}: ${fault}`;
    }
    return null;
  }

  private async image({ disks, undo, cuts, judged }: Scene): Promise<string | null> {
    this.tally.images = (this.tally.images ?? 0) + 1;
    const isUsed = this.tally.images % usedImages === 0;
    try {
      if (!isUsed && judged.isKnown()) return null;
      this.tally.judged = (this.tally.judged ?? 0) + 1;
      disks.size(this.states[cuts.mark + 1] ?? this.states[cuts.mark]!);
      const fault = isUsed ? await this.use(disks, cuts.mark) : await this.look(disks, cuts.mark);
      judged.add();
      return fault;
    } finally {
      // What the pool had under way must not reach the next image.
      disks.forget();
      undo.takeBack();
      judged.next();
    }
  }

  /**
   * The pool on the devices that it must be on. While one is being added, with it or without it,
   * and never either way.
   */
  private async open(disks: CrashDisks, mark: number, isReadOnly: boolean): Promise<Pool> {
    const options = { isReadOnly, ...this.memory };
    const before = disks.of(this.states[mark]!);
    const after = disks.of(this.states[mark + 1] ?? this.states[mark]!);
    if (before.length === after.length) return Pool.open(before, options);
    const reading = { isReadOnly: true, ...this.memory };
    const isTaken = await Pool.open(before, reading).then(
      () => false,
      (error: unknown) => {
        if (error instanceof UltimaError && error.code === ErrorCode.poolInvalid) return true;
        throw error;
      },
    );
    if (isTaken) return Pool.open(after, options);
    const other = await Pool.open(after, reading).catch(() => null);
    if (other !== null) throw new Error('the pool opens with the new device and without it');
    return Pool.open(before, options);
  }

  private async look(disks: CrashDisks, mark: number): Promise<string | null> {
    return this.judge(await this.open(disks, mark, true), mark);
  }

  /** Open for writing, write, lose what is not durable, open again. */
  private async use(disks: CrashDisks, mark: number): Promise<string | null> {
    const pool = await this.open(disks, mark, false);
    if (pool.failure !== '') return `opens for reading only: ${pool.failure}`;
    const fault = await this.judge(pool, mark);
    if (fault !== null) return fault;
    const before = new Map<string, Int32Array>();
    for (const [name, device] of namedDevices(pool)) before.set(name, await readVersions(device));
    const catalog = catalogOf(pool);
    disks.forget();
    this.tally.fetched = (this.tally.fetched ?? 0) + pool.core.pager.fetched;
    const again = await this.open(disks, mark, false);
    if (catalogOf(again) !== catalog) return `opened twice: ${catalogOf(again)}, was ${catalog}`;
    for (const [name, device] of namedDevices(again)) {
      const versions = await readVersions(device);
      if (Buffer.compare(bytesOf(versions), bytesOf(before.get(name)!)) !== 0) {
        return `${name} differs when it is opened twice`;
      }
    }
    return null;
  }

  private async judge(pool: Pool, mark: number): Promise<string | null> {
    // A torn superblock may be one bit from a whole one; then it is mended, and as good.
    const found = pool.findings.find(({ what }) => what !== 'superblock');
    if (found !== undefined) return `finds ${JSON.stringify(found)}`;
    const faults = (await checkMaps(pool.core)).map(({ what, text }) => `${what}: ${text}`);
    if (faults.length > 0) return faults.join('; ');
    const step = this.steps[mark];
    const before = this.states[mark]!;
    const after = this.states[mark + 1];
    const catalog = catalogOf(pool);
    // An operation of the catalog makes everything before it durable, if it is there.
    if (after !== undefined && !isPlain(step!) && catalog === after.catalog) {
      if (catalog !== before.catalog) return compareWithModel(pool, after);
    }
    if (catalog !== before.catalog) return `catalog ${catalog}, expected ${before.catalog}`;
    return this.compareWithAny(pool, mark);
  }

  /** Whether all before and with a step is durable; what found nothing to do is no such step. */
  private isBarrierAt(index: number): boolean {
    const step = this.steps[index]!;
    const before = this.states[index]!;
    const after = this.states[index + 1]!;
    if (step.kind === 'addDevice') return before.hasSecond !== after.hasSecond;
    if (step.kind === 'growDevice') return before.growths !== after.growths;
    if (isBarrier(step) && isPlain(step)) return true;
    return before.catalog !== after.catalog;
  }

  /** Each sector is as the last durable state has it, or as any operation since has left it. */
  private async compareWithAny(pool: Pool, mark: number): Promise<string | null> {
    let first = mark;
    while (first > 0 && !this.isBarrierAt(first - 1)) first--;
    const last = Math.min(mark + 1, this.steps.length);
    const step = this.steps[mark];
    const states = this.states.slice(first, step === undefined || isPlain(step) ? last + 1 : last);
    for (const [name, device] of namedDevices(pool)) {
      const versions = await readVersions(device);
      const allowed = states.map((state) => state.objects.get(name)!.sectors);
      const oldest = this.oldestAllowed(name, first, mark);
      for (let i = 0; i < versions.length; i++) {
        const from = oldest === null ? 0 : oldest[i]!;
        let at = from;
        while (at < allowed.length && allowed[at]![i] !== versions[i]) at++;
        if (at < allowed.length) continue;
        const words = allowed.slice(from).map((sectors) => sectors[i]);
        return `${name} sector ${i}: write ${versions[i]}, expected ${words.join(' or ')}`;
      }
    }
    return null;
  }

  /** For each sector the first state, counted from `first`, that writes with FUA leave possible. */
  private oldestAllowed(name: string, first: number, mark: number): Uint32Array | null {
    let oldest: Uint32Array | null = null;
    for (let index = first; index < mark; index++) {
      const range = fuaRange(this.states[index]!, this.steps[index]!);
      if (range === null || range.name !== name) continue;
      oldest ??= new Uint32Array(this.states[index]!.objects.get(name)!.sectors.length);
      oldest.fill(index + 1 - first, range.first, range.first + range.count);
    }
    return oldest;
  }
}

/** The device on which the images are made, one after the other. */
class Scene {
  readonly cuts: CrashCuts;
  readonly disks: CrashDisks;
  readonly undo: Undo;
  readonly judged: JudgedImages;
  /** What is torn as a whole: a block, with its metadata. */
  private readonly storedBytes: number;

  constructor(log: readonly CrashEvent[], image: Uint8Array, hasProtection: boolean) {
    this.disks = new CrashDisks(image, { hasProtection });
    this.storedBytes = this.disks.first.storedBytes;
    this.cuts = new CrashCuts(log, image, this.storedBytes);
    this.undo = new Undo(image);
    this.judged = new JudgedImages(image.length, this.storedBytes);
    for (const disk of this.disks.both) {
      disk.onChange = (at, length) => this.undo.save(at, length);
      disk.onRead = (at, length) => this.judged.read(at, length);
    }
  }

  /** @returns what the cut leaves open */
  begin(): OpenWrite[] {
    const open = this.cuts.open();
    this.judged.begin(
      open.flatMap(({ write: { at }, blocks }) => blocks.map((block) => at + block)),
    );
    this.judged.next();
    return open;
  }

  /** A block of a write got through. */
  put({ write: { at, data }, order }: OpenWrite, block: number): void {
    const { storedBytes } = this;
    this.undo.save(at + block, storedBytes);
    this.cuts.image.set(data.subarray(block, block + storedBytes), at + block);
    this.judged.gotThrough(at + block, order);
  }
}

/**
 * Whether the cut behind the next event leaves every image that the cut before it does. What the
 * workload has been promised by then is the same, because a mark is never passed over.
 */
function isCovered(cuts: CrashCuts, next: CrashEvent | undefined): boolean {
  if (next === undefined || next.kind === 'mark') return false;
  if (next.kind === 'flushed') return next.covers.length === 0;
  if (next.kind === 'end') return !next.write.isFua;
  // One write more is open there, and all images without it are tried, too.
  return cuts.open().length < exhaustiveWrites;
}

function bytesOf(versions: Int32Array): Uint8Array {
  return new Uint8Array(versions.buffer);
}
