import type { FtlProfile } from '../sim/ftl/ftl-profile.js';
import type { FlashProfile } from '../sim/nand/flash-profile.js';
import { mqsimFlash, mqsimFtl } from '../sim/profiles/mqsim-media.js';
import { DriveLoad } from './drive-load.js';
import { type Bench, type Figures, machine } from './figures.js';
import {
  costBenefitScore,
  type DataClass,
  effectiveUtilisation,
  fifoMixed,
  fifoUniform,
  greedyScore,
  greedyUniform,
  separated,
} from './waf-models.js';

const depth = 256;
/** The first turn over a full drive is low; it is flat from the second on. */
const warmTurns = 1;
const measuredTurns = 3;
const overProvisionings = [70, 125, 200, 280];

/** One die and plane of 512 blocks, 64 pages of 16 KiB each: b = 256 units. */
const onePlane: FlashProfile = {
  ...mqsimFlash,
  channels: 1,
  packagesPerChannel: 1,
  diesPerPackage: 1,
  planesPerDie: 1,
  blocksPerPlane: 512,
  pagesPerBlock: 64,
  pageBytes: 16_384,
};

/** Host and relocation share one open block, as in the model. */
const oneBlock: FtlProfile = {
  ...mqsimFtl,
  victim: 'greedy',
  separatesRelocated: false,
  staticWearGap: 0,
};

interface Geometry {
  readonly name: string;
  readonly flash: FlashProfile;
  readonly freeBlocks: number;
  /** Relocation writes to an open block of its own. */
  readonly isApart: boolean;
}

const geometries: readonly Geometry[] = [
  { name: 'b256', flash: onePlane, freeBlocks: 2, isApart: false },
  { name: 'b256_11out', flash: onePlane, freeBlocks: 10, isApart: false },
  {
    name: 'b64_1024blocks',
    flash: { ...onePlane, pageBytes: 4096, blocksPerPlane: 1024 },
    freeBlocks: 2,
    isApart: false,
  },
  {
    name: 'b1024_4planes',
    flash: { ...onePlane, planesPerDie: 4, hasMultiPlane: true },
    freeBlocks: 1,
    isApart: false,
  },
  {
    name: 'b256_4dies',
    flash: { ...onePlane, channels: 2, packagesPerChannel: 2, blocksPerPlane: 256 },
    freeBlocks: 1,
    isApart: false,
  },
  { name: 'b256_apart', flash: onePlane, freeBlocks: 2, isApart: true },
];

/** A fifth of the data takes four fifths of the writes. */
const classes: readonly DataClass[] = [
  { writeShare: 0.8, dataShare: 0.2 },
  { writeShare: 0.2, dataShare: 0.8 },
];
const hot = classes[0]!;

export const bench: Bench = {
  claim: 'write amplification of three victim policies, within 1 % of their published models',
  run: async () => run(),
};

function run(): Figures {
  const figures: Record<string, number> = {};
  let worst = 0;
  const note = (name: string, measured: number, model: number): void => {
    const errorPct = 100 * (measured / model - 1);
    figures[`waf_${name}`] = round(measured);
    figures[`model_${name}`] = round(model);
    figures[`errorPct_${name}`] = round(errorPct);
    worst = Math.max(worst, Math.abs(errorPct));
  };
  for (const geometry of geometries) {
    for (const permille of overProvisionings) noteGreedy(geometry, permille, note);
  }
  figures.worstErrorPct_greedy = round(worst);
  for (const permille of overProvisionings.slice(1)) notePolicies(permille, note);
  figures.worstErrorPct = round(worst);
  return {
    conditions: {
      workload: `fill in order, ${warmTurns} turn of overwrites, then ${measuredTurns} measured`,
      depth,
      overProvisioning: 'of the physical units',
      model: 'mean field of greedy; open and free blocks taken off the pool',
      hotAndCold: `${100 * hot.dataShare} % of the data take ${100 * hot.writeShare} % of writes`,
      seed: 1,
      ...machine(),
    },
    figures,
  };
}

type Note = (name: string, measured: number, model: number) => void;

function noteGreedy(geometry: Geometry, permille: number, note: Note): void {
  const { name, flash, freeBlocks, isApart } = geometry;
  const ftl = ftlOf(permille, freeBlocks, { separatesRelocated: isApart });
  const load = new DriveLoad(flash, ftl);
  // The host's block is empty when garbage is due. One that only relocation fills is half full on
  // average.
  const out = freeBlocks + 1 + (isApart ? 0.5 : 0);
  const utilisation = effectiveUtilisation(permille / 1000, flash.blocksPerPlane, out);
  const { unitsPerBlock } = load.drive.layout;
  const waf = measure(load, warmTurns, uniform(load));
  note(`greedy_op${permille / 10}_${name}`, waf, greedyUniform(utilisation, unitsPerBlock));
}

/** What the other policies do, in blocks so large that their number of units does not count. */
function notePolicies(permille: number, note: Note): void {
  const flash = { ...onePlane, pagesPerBlock: 256 };
  const freeBlocks = 1;
  const utilisation = effectiveUtilisation(permille / 1000, flash.blocksPerPlane, freeBlocks + 1);
  const alpha = 1 / utilisation;
  const op = `op${permille / 10}`;
  const go = (changes: Partial<FtlProfile>, isHotCold: boolean): number => {
    const load = new DriveLoad(flash, ftlOf(permille, freeBlocks, changes));
    // Hot and cold data come apart slowly.
    return isHotCold ? measure(load, 4, hotAndCold(load)) : measure(load, 1, uniform(load));
  };
  note(`fifo_${op}`, go({ victim: 'fifo' }, false), fifoUniform(alpha));
  // With one mixture in all blocks the score rises with age alone: first in, first out.
  note(`costBenefit_${op}`, go({ victim: 'cost-benefit' }, false), fifoUniform(alpha));
  const mixed = fifoMixed(alpha, classes);
  note(`fifoHotCold_${op}`, go({ victim: 'fifo' }, true), mixed);
  note(`costBenefitHotCold_${op}`, go({ victim: 'cost-benefit' }, true), mixed);
  const apart = (victim: string): number => go({ victim, streams: 2 }, true);
  note(`greedyApart_${op}`, apart('greedy'), separated(alpha, classes, greedyScore));
  const costBenefit = separated(alpha, classes, costBenefitScore);
  note(`costBenefitApart_${op}`, apart('cost-benefit'), costBenefit);
}

function ftlOf(permille: number, freeBlocks: number, changes: Partial<FtlProfile>): FtlProfile {
  return {
    ...oneBlock,
    overProvisioningPermille: permille,
    gcFreeBlocks: freeBlocks,
    gcIdleFreeBlocks: freeBlocks,
    ...changes,
  };
}

function uniform(load: DriveLoad): (token: number) => void {
  const { drive } = load;
  const prng = load.world.prng('writes');
  return (token) => drive.write(prng.below(drive.unitCount), 1, 0, token);
}

function hotAndCold(load: DriveLoad): (token: number) => void {
  const { drive } = load;
  const prng = load.world.prng('writes');
  const hotUnits = Math.floor(drive.unitCount * hot.dataShare);
  const coldUnits = drive.unitCount - hotUnits;
  return (token) => {
    const isHot = prng.chance(hot.writeShare);
    const unit = isHot ? prng.below(hotUnits) : hotUnits + prng.below(coldUnits);
    drive.write(unit, 1, streamOf(load, unit), token);
  };
}

/** Where a drive with two streams is told about hot data. */
function streamOf({ drive }: DriveLoad, unit: number): number {
  return drive.streamCount > 1 && unit < Math.floor(drive.unitCount * hot.dataShare) ? 1 : 0;
}

function measure(load: DriveLoad, turns: number, write: (token: number) => void): number {
  const { drive } = load;
  const { statistics, unitCount } = drive;
  load.loop(unitCount, depth, (token) => drive.write(token, 1, streamOf(load, token), token));
  load.loop(unitCount * turns, depth, write);
  const media = statistics.mediaWriteUnits;
  const host = statistics.hostWriteUnits;
  load.loop(unitCount * measuredTurns, depth, write);
  load.demandSound();
  return (statistics.mediaWriteUnits - media) / (statistics.hostWriteUnits - host);
}

function round(value: number): number {
  return Number(value.toFixed(3));
}
