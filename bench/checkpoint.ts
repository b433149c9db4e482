import { rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NvmeController } from '../sdk/nvme/controller.js';
import { KiB, MiB } from '../sdk/units.js';
import { restoreCard, saveCard } from '../sim/checkpoint/checkpoint.js';
import { openSimulated } from '../sim/open.js';
import { Prng } from '../sim/prng.js';
import { readCheckpointFile } from '../sim/store/checkpoint-file.js';
import { type Bench, cpuSecondsOf, type Figures, machine, median } from './figures.js';

/** Fixed service times; one drive of flash behind its translation layer; eight of them. */
const cards = {
  simple: 'sim:simple?bytes=256MiB&seed=1',
  p3700: 'sim:p3700?seed=1',
  g2: 'sim:ultima-g2?seed=1',
} as const;
const writtenBytes = 32 * MiB;
const pieceBytes = 64 * KiB;
const rewrites = 2_000;
const runs = 5;

/** A used drive, saved and made again: what a test pays to start from it. */
export const bench: Bench = {
  claim: 'a used drive is saved and restored in milliseconds, to the last byte',
  run,
};

async function run(): Promise<Figures> {
  const figures: Record<string, number> = {};
  for (const [name, address] of Object.entries(cards)) {
    const opened = openSimulated(address);
    await use(NvmeController.open(opened.open()));
    const bytes = saveCard(opened);
    const path = join(tmpdir(), `ultima-${process.pid}.checkpoint`);
    writeFileSync(path, bytes);
    const saves: number[] = [];
    const restores: number[] = [];
    const loads: number[] = [];
    for (let i = 0; i < runs; i++) {
      const [saveSeconds, saved] = await cpuSecondsOf(async () => saveCard(opened));
      const [restoreSeconds, again] = await cpuSecondsOf(async () => restoreCard(saved));
      const isSame = Buffer.compare(saveCard(again), bytes) === 0;
      if (!isSame) throw new Error('a restored card differs from the one that was saved');
      const [loadSeconds] = await cpuSecondsOf(async () => restoreCard(readCheckpointFile(path)));
      saves.push(saveSeconds * 1000);
      restores.push(restoreSeconds * 1000);
      loads.push(loadSeconds * 1000);
    }
    rmSync(path);
    figures[`saveMs_${name}`] = Number(median(saves).toFixed(1));
    figures[`restoreMs_${name}`] = Number(median(restores).toFixed(1));
    figures[`loadMs_${name}`] = Number(median(loads).toFixed(1));
    figures[`checkpointBytes_${name}`] = bytes.length;
  }
  return {
    conditions: {
      cards: Object.values(cards).join(', '),
      writtenBytes,
      rewrites: `${rewrites} of 4 KiB, random`,
      load: 'the file is read, then restored',
      runs: `median of ${runs}, processor time`,
      ...machine(),
    },
    figures,
  };
}

async function use(opening: Promise<NvmeController>): Promise<void> {
  const controller = await opening;
  const namespace = await controller.namespace(1);
  const prng = new Prng(1, 'checkpoint');
  const piece = new Uint8Array(pieceBytes);
  for (let at = 0; at < writtenBytes; at += pieceBytes) {
    prng.fill(piece);
    await namespace.write(at / namespace.blockBytes, piece);
  }
  const block = piece.subarray(0, 4 * KiB);
  for (let i = 0; i < rewrites; i++) {
    await namespace.write(prng.below(writtenBytes / (4 * KiB)) * 8, block);
  }
  await controller.close();
}
