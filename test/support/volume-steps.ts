import type { BlockDevice } from '../../sdk/block/device.js';
import { BlockOp } from '../../sdk/block/request.js';
import type { Pool } from '../../sdk/volume/pool.js';
import type { Prng } from '../../sim/prng.js';
import type { VolumeModel } from './volume-model.js';
import { runPlain, writeSectors } from './volume-rig.js';

/** One operation of a workload, as plain data. What cannot be done when its turn comes is not. */
export interface VolumeStep {
  readonly kind: StepKind;
  /** Which volume, snapshot or place; taken modulo what there is. */
  readonly pick: number;
  readonly first: number;
  readonly count: number;
}

export const stepKinds = [
  'write',
  'overwrite',
  'discard',
  'snapshot',
  'restore',
  'clone',
  'deleteSnapshot',
  'deleteVolume',
  'grow',
  'flush',
  'checkpoint',
  'reopen',
  'overwriteFua',
  'growDevice',
  'addDevice',
] as const;
/** `race` is a write that is sent while a flush is under way. */
export type StepKind = (typeof stepKinds)[number] | 'zero' | 'writeFua' | 'group' | 'race';

/** Workloads of one, two and three operations: this many come first. */
export const enumerated = stepKinds.length + stepKinds.length ** 2 + stepKinds.length ** 3;

/** The workload of a number: all short ones in order, then random longer ones. */
export function workload(seed: number, prng: Prng): VolumeStep[] {
  if (seed >= enumerated) return longWorkload(prng);
  let rest = seed;
  for (let length = 1; length <= 3; length++) {
    const count = stepKinds.length ** length;
    if (rest < count) {
      return Array.from({ length }, (_, i) => {
        const kind = stepKinds[Math.floor(rest / stepKinds.length ** i) % stepKinds.length]!;
        return fixedStep(kind, i);
      });
    }
    rest -= count;
  }
  return [];
}

/** Overwrites and discards hit cells that are shared, owned and never written. */
function fixedStep(kind: StepKind, index: number): VolumeStep {
  if (kind === 'write') return { kind, pick: 0, first: 256 + 16 * index, count: 16 };
  if (kind === 'overwrite') return { kind, pick: 0, first: 8, count: 16 };
  // The second of these is in place: the first has made the cells the volume's own.
  if (kind === 'overwriteFua') return { kind, pick: 0, first: 12, count: 16 };
  if (kind === 'discard') return { kind, pick: 0, first: 16, count: 32 };
  return { kind, pick: 0, first: 0, count: 0 };
}

const longKinds: readonly StepKind[] = [
  ...stepKinds,
  'write',
  'overwrite',
  'overwrite',
  'write',
  'zero',
  'writeFua',
  'group',
  'discard',
  'discard',
  'race',
  'race',
];

function longWorkload(prng: Prng): VolumeStep[] {
  return Array.from({ length: 4 + prng.below(12) }, () => {
    const kind = longKinds[prng.below(longKinds.length)]!;
    // Half of them are whole cells, the others any sectors.
    const grain = prng.chance(0.5) ? 8 : 1;
    if (kind === 'discard' && prng.chance(0.5)) {
      // Whole extents, so that units become free.
      return { kind, pick: prng.below(4), first: prng.below(4) * 128, count: 128 };
    }
    const first = prng.below(512 / grain) * grain;
    const count = (1 + prng.below(kind === 'discard' ? 300 / grain : 40 / grain)) * grain;
    return { kind, pick: prng.below(1000), first, count };
  });
}

/** The operations after which everything before them is durable. */
export function isBarrier({ kind }: VolumeStep): boolean {
  const open: readonly StepKind[] = ['write', 'overwrite', 'discard', 'zero', 'race'];
  return !open.includes(kind) && !isFua(kind);
}

/** Writes that are durable when they have ended, each for itself. */
function isFua(kind: StepKind): boolean {
  return kind === 'writeFua' || kind === 'overwriteFua';
}

export interface SectorRange {
  readonly name: string;
  readonly first: number;
  readonly count: number;
}

/** What a step makes durable without being a barrier; null for nothing. */
export function fuaRange(model: VolumeModel, step: VolumeStep): SectorRange | null {
  const target = targetOf(model, step);
  if (target === null || !isFua(step.kind)) return null;
  return { name: target.volume, ...sectorsOf(step, model.objects.get(target.volume)!.bytes) };
}

/** The sectors of a step in a volume of so many bytes. */
function sectorsOf(step: VolumeStep, bytes: number): { first: number; count: number } {
  const first = Math.min(step.first, bytes / 512 - 1);
  return { first, count: Math.min(step.count, bytes / 512 - first) };
}

/** Operations that leave the catalog alone. */
export function isPlain(step: VolumeStep): boolean {
  const others = ['flush', 'checkpoint', 'reopen', 'growDevice', 'addDevice'];
  return !isBarrier(step) || others.includes(step.kind);
}

export interface StepRun {
  pool: Pool;
  readonly model: VolumeModel;
  /** Number of the step, from 1: the version that its writes carry, and the end of its names. */
  readonly number: number;
  reopen(): Promise<Pool>;
  /** The first device becomes larger. */
  enlarge(): void;
  /** One more device, blank. */
  another(): BlockDevice;
}

/** The first device becomes larger so many times at most. */
export const mostGrowths = 2;

/** Only the model: what the pool must be like after the step. */
export function modelStep(model: VolumeModel, step: VolumeStep, number: number): void {
  if (step.kind === 'growDevice') model.growths = Math.min(model.growths + 1, mostGrowths);
  if (step.kind === 'addDevice') model.hasSecond = true;
  const target = targetOf(model, step);
  if (target === null) return;
  const { volume, snapshot } = target;
  const { bytes } = model.objects.get(volume)!;
  const { first, count } = sectorsOf(step, bytes);
  switch (step.kind) {
    case 'write':
    case 'overwrite':
    case 'writeFua':
    case 'overwriteFua':
    case 'race':
      model.set(volume, first, count, number);
      break;
    case 'zero':
      model.set(volume, first, count, 0);
      break;
    case 'discard': {
      // Parts of cells are left alone.
      const from = Math.ceil(first / 8) * 8;
      const to = Math.floor((first + count) / 8) * 8;
      if (to > from) model.set(volume, from, to - from, 0);
      break;
    }
    case 'snapshot':
      model.duplicate(volume, `${volume}@n${number}`);
      break;
    case 'group':
      for (const name of volumesOf(model)) model.duplicate(name, `${name}@g${number}`);
      break;
    case 'restore':
      if (snapshot !== null) model.restore(volume, snapshot, `${volume}@k${number}`);
      break;
    case 'clone':
      model.duplicate(snapshot ?? volume, `d${number}`);
      break;
    case 'deleteSnapshot':
      if (snapshot !== null) model.objects.delete(snapshot);
      break;
    case 'deleteVolume':
      for (const name of model.snapshotsOf(volume)) model.objects.delete(name);
      model.objects.delete(volume);
      break;
    case 'grow':
      model.grow(volume, bytes + 64 * 1024);
      break;
  }
}

/** The pool; the model is that before the step. */
export async function poolStep(run: StepRun, step: VolumeStep): Promise<void> {
  const { pool, model, number } = run;
  const target = targetOf(model, step);
  await wholePoolStep(run, step);
  if (target === null) return;
  const { volume, snapshot } = target;
  const device = pool.volume(volume);
  const { first, count } = sectorsOf(step, device.object.bytes);
  const short = snapshot?.slice(volume.length + 1) ?? null;
  switch (step.kind) {
    case 'write':
    case 'overwrite':
    case 'writeFua':
    case 'overwriteFua':
      await writeSectors(device, first, count, number, isFua(step.kind));
      break;
    case 'race': {
      const flush = runPlain(device, BlockOp.flush, 0, 0);
      // Its commit starts, and on a slow device does not end.
      await null;
      device.poll();
      device.poll();
      await writeSectors(device, first, count, number);
      await flush;
      break;
    }
    case 'zero':
      await runPlain(device, BlockOp.writeZeroes, first, count);
      break;
    case 'discard':
      await runPlain(device, BlockOp.discard, first, count);
      break;
    case 'flush':
      await runPlain(device, BlockOp.flush, 0, 0);
      break;
    case 'snapshot':
      await pool.takeSnapshot([{ volume, name: `n${number}` }]);
      break;
    case 'group': {
      const members = volumesOf(model).map((name) => ({ volume: name, name: `g${number}` }));
      await pool.takeSnapshot(members);
      break;
    }
    case 'restore':
      if (short !== null) await pool.restore(volume, short, `k${number}`);
      break;
    case 'clone':
      await pool.clone(short === null ? { volume } : { volume, snapshot: short }, `d${number}`);
      break;
    case 'deleteSnapshot':
      if (short !== null) await pool.deleteSnapshot(volume, short);
      break;
    case 'deleteVolume':
      await pool.deleteVolume(volume, { withSnapshots: true });
      break;
    case 'grow':
      await pool.growVolume(volume, device.object.bytes + 64 * 1024);
      break;
  }
}

/** Steps that are about no volume. */
async function wholePoolStep(run: StepRun, { kind }: VolumeStep): Promise<void> {
  const { pool, model, number } = run;
  if (kind === 'checkpoint') await pool.checkpoint();
  if (kind === 'reopen') {
    await pool.close();
    run.pool = await run.reopen();
  }
  if (kind === 'growDevice') {
    if (model.growths < mostGrowths) run.enlarge();
    await pool.growDevices();
  }
  if (kind === 'addDevice' && !model.hasSecond) {
    await pool.addDevice(run.another(), { random: (bytes) => bytes.fill(number) });
  }
}

function volumesOf(model: VolumeModel): string[] {
  return [...model.objects.keys()].filter((name) => !name.includes('@')).sort();
}

interface Target {
  readonly volume: string;
  /** Full name. */
  readonly snapshot: string | null;
}

/** What a step is about, chosen by the model so that both sides agree. */
function targetOf(model: VolumeModel, { kind, pick }: VolumeStep): Target | null {
  const volumes = volumesOf(model);
  if (volumes.length === 0) return null;
  if (kind === 'deleteVolume') {
    // The last one, so that most workloads keep the first.
    return { volume: volumes[(volumes.length - 1 + pick) % volumes.length]!, snapshot: null };
  }
  const volume = volumes[pick % volumes.length]!;
  const snapshots = model.snapshotsOf(volume).sort();
  const snapshot = snapshots.length === 0 ? null : snapshots[pick % snapshots.length]!;
  return { volume, snapshot };
}
