import { checkWords } from '../crc32c.js';
import { checkMaps, countsOf } from './check-maps.js';
import type { PoolCore } from './core.js';
import { writeLabels } from './create.js';
import type { Finding } from './findings.js';
import { cellsPerUnit } from './format.js';
import { hexOf, newestSuperblock, readLabel, readSuperblocks } from './labels.js';
import { readImageCopies } from './load.js';
import { nodeBytes } from './nodes.js';
import type { PoolChanges } from './pool-changes.js';
import { wasAnswered } from './port.js';
import { runCheckpoint } from './session.js';
import type { StepListener } from './steps.js';
import type { Volume } from './volume.js';

/** Looks at the image beside checkpoints, of which one may take away what is being read. */
const mostLooks = 3;
/** Nodes that are read in a row before others have their turn: about a millisecond. */
const nodesAtATime = 64;

/**
 * Read all metadata again: the maps as they are at one instant, the image, labels and nodes as they
 * are on the devices. Only for that instant, and for the labels, others wait.
 */
export async function checkPool(
  core: PoolCore,
  work: PoolChanges,
  volumes: ReadonlyMap<number, Volume>,
  onStep: StepListener = () => {},
): Promise<Finding[]> {
  const counts = await work.atRest(volumes, async () => countsOf(core));
  const total = 2 * counts.pointers.length;
  const inMaps = await checkMaps(core, counts, (done) => onStep(done, total));
  const inImages =
    (await checkImagesBeside(core)) ?? (await work.atRest(volumes, () => checkImages(core)));
  const inLabels = await work.inTurn(() => checkLabels(core));
  const half = counts.pointers.length;
  const inNodes = await checkNodes(core, (done) => onStep(half + Math.min(done, half), total));
  return [...inImages, ...inMaps, ...inLabels, ...inNodes];
}

/** @returns null when checkpoints came in between each time */
async function checkImagesBeside(core: PoolCore): Promise<Finding[] | null> {
  const { checkpointer } = core;
  for (let i = 0; i < mostLooks; i++) {
    await core.pump.until(() => !checkpointer.isRunning);
    const { count } = checkpointer;
    const findings = await checkImages(core);
    if (findings.length === 0) return findings;
    // One that has begun since may have written what was read, or freed it.
    await core.pump.until(() => !checkpointer.isRunning);
    if (checkpointer.count === count) return findings;
  }
  return null;
}

/** Whether the superblocks and both copies of the image are as they were written. */
async function checkImages(core: PoolCore): Promise<Finding[]> {
  const findings: Finding[] = [];
  const copies = await readSuperblocks(core.control, core.ports[0]!);
  const superblock = newestSuperblock(copies, hexOf(core.identity.poolId), findings);
  if (superblock === null) {
    findings.push({ kind: 'lost', what: 'superblock', text: 'no copy is readable', costs: [] });
  } else {
    await readImageCopies(core, superblock, findings);
  }
  return findings;
}

/** Whether labels are as they were written. No device may come meanwhile. */
async function checkLabels(core: PoolCore): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const { device, hasLabel } of core.ports) {
    if (!hasLabel || (await readLabel(device, findings)) !== null) continue;
    findings.push({ kind: 'lost', what: 'label', text: 'neither copy is readable', costs: [] });
  }
  return findings;
}

/** Whether nodes are on the devices as they were written. */
async function checkNodes(core: PoolCore, onStep: (done: number) => void): Promise<Finding[]> {
  const text = 'its slot does not hold what was written';
  const bad = await badNodes(core, onStep);
  return bad.map((id) => ({ kind: 'copy', what: `node ${id}`, text, costs: [] }));
}

/** Nodes, unchanged since the last checkpoint, that the device does not hold as they are here. */
async function badNodes(
  core: PoolCore,
  onStep: (done: number) => void = () => {},
): Promise<number[]> {
  const bad: number[] = [];
  for (let id = 1; id < core.nodes.end; id++) {
    if (await isBadNode(core, id)) bad.push(id);
    if (id % nodesAtATime !== 0) continue;
    onStep(id);
    // A device that answers at once would keep everybody else waiting for all of it.
    await core.pump.letOthersRun();
  }
  return bad;
}

/** What a checkpoint is writing, or has moved meanwhile, is looked at again. */
async function isBadNode(core: PoolCore, id: number): Promise<boolean> {
  const { nodes } = core;
  for (;;) {
    if (nodes.isBeingWritten(id)) {
      await core.pump.until(() => !nodes.isBeingWritten(id));
      continue;
    }
    const slot = nodes.slots[id]!;
    if (slot === 0 || nodes.isDirty(id)) return false;
    const check = nodes.checks[id]!;
    if (await isInSlot(core, slot, check)) return core.badNodes.has(id);
    if (nodes.slots[id] === slot && nodes.checks[id] === check) return true;
  }
}

async function isInSlot(core: PoolCore, slot: number, check: number): Promise<boolean> {
  const unit = Math.floor(slot / cellsPerUnit);
  const port = core.portOf(unit);
  const at = port.byteOf(unit) + (slot % cellsPerUnit) * nodeBytes;
  try {
    const words = await core.control.read(port, at, nodeBytes);
    return checkWords(words, { from: 0, to: words.length }, check) === 'good';
  } catch (error) {
    if (wasAnswered(error)) return false;
    throw error;
  }
}

/**
 * Write anew whatever is not as it must be: labels, nodes, then two checkpoints, so that all four
 * superblocks and both images are fresh. What a lost node held stays lost: its volumes and
 * snapshots keep what is left, read-only, and say so.
 */
export async function repairPool(core: PoolCore): Promise<void> {
  for (const port of core.ports) if (port.hasLabel) await writeLabels(core, port);
  for (const id of await badNodes(core)) {
    // What is not in memory is mended on its way there, or lost.
    if (core.nodes.isHere(id)) core.nodes.touch(id);
    else await core.pager.bring(id);
  }
  core.badNodes.clear();
  for (let i = 0; i < 2; i++) await runCheckpoint(core);
}
