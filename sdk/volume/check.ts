import { checkWords } from '../crc32c.js';
import { UltimaError } from '../errors.js';
import type { PoolCore } from './core.js';
import { writeLabels } from './create.js';
import type { Finding } from './findings.js';
import { cellBytes, cellsPerUnit, placeOf } from './format.js';
import { hexOf, newestSuperblock, readLabel } from './labels.js';
import { readImageCopies } from './load.js';
import { nodeBytes } from './nodes.js';
import { runCheckpoint } from './session.js';

/**
 * Whether the superblocks and both copies of the image are as they were written. No checkpoint may
 * start meanwhile that changes something; one that runs is waited for.
 */
export async function checkImages(core: PoolCore): Promise<Finding[]> {
  await core.pump.until(() => !core.checkpointer.isRunning);
  const findings: Finding[] = [];
  const [first] = placeOf.superblocks;
  const bytes = placeOf.superblocks.length * cellBytes;
  const words = await core.control.read(core.ports[0]!, first * cellBytes, bytes);
  const superblock = newestSuperblock(words, hexOf(core.identity.poolId), findings);
  if (superblock === null) {
    findings.push({ kind: 'lost', what: 'superblock', text: 'no copy is readable', costs: [] });
  } else {
    await readImageCopies(core, superblock, findings);
  }
  return findings;
}

/** Whether labels and nodes are on the devices as they were written. Beside writes, too. */
export async function checkDevices(core: PoolCore): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const { device, hasLabel } of core.ports) {
    if (!hasLabel || (await readLabel(device, findings)) !== null) continue;
    findings.push({ kind: 'lost', what: 'label', text: 'neither copy is readable', costs: [] });
  }
  for (const id of await badNodes(core)) {
    const text = 'its slot does not hold what was written';
    findings.push({ kind: 'copy', what: `node ${id}`, text, costs: [] });
  }
  return findings;
}

/** Nodes, unchanged since the last checkpoint, that the device does not hold as they are here. */
async function badNodes(core: PoolCore): Promise<number[]> {
  const bad: number[] = [];
  for (let id = 1; id < core.nodes.end; id++) if (await isBadNode(core, id)) bad.push(id);
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
    if (await isInSlot(core, slot, nodes.checks[id]!)) return core.badNodes.has(id);
    if (nodes.slots[id] === slot) return true;
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
    if (error instanceof UltimaError) return false;
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
