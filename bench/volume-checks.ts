import { BlockOp } from '../sdk/block/request.js';
import { GiB, MiB } from '../sdk/units.js';
import { FlatDevice, noClock } from './block-devices.js';
import { median } from './figures.js';
import { blockBytes, fill, Loop, poolOn, span } from './volume-load.js';

const rounds = 7;
const perRound = 20_000;

/**
 * What checks and encryption cost: processor time of 4 KiB requests beside those of a plain volume
 * of the same pool, in turn, and what one core carries then. Of system time, too: collecting what
 * the library for encryption leaves behind runs on other threads.
 */
export async function protectionCosts(): Promise<Record<string, number>> {
  const pool = await poolOn(new FlatDevice({ bytes: 1536 * MiB, blockBytes, clock: noClock }));
  const kinds = {
    plain: {},
    checked: { hasChecks: true },
    encrypted: { keyId: 'k' },
  } as const;
  const figures: Record<string, number> = {};
  const loops = new Map<string, Loop>();
  for (const [name, options] of Object.entries(kinds)) {
    const volume = await pool.createVolume({ name, bytes: GiB, ...options });
    await fill(volume, span);
    loops.set(`${name} read`, new Loop(volume, BlockOp.read));
    loops.set(`${name} write`, new Loop(volume, BlockOp.write));
  }
  const times = new Map<string, number[]>([...loops.keys()].map((name) => [name, []]));
  for (const loop of loops.values()) loop.run(perRound);
  for (let round = 0; round < rounds; round++) {
    for (const [name, loop] of loops) {
      const start = process.cpuUsage();
      loop.run(perRound);
      const { user, system } = process.cpuUsage(start);
      times.get(name)!.push(((user + system) * 1000) / perRound);
    }
  }
  for (const op of ['read', 'write']) {
    const plain = times.get(`plain ${op}`)!;
    for (const kind of ['checked', 'encrypted']) {
      const all = times.get(`${kind} ${op}`)!;
      const added = median(all.map((ns, round) => ns - plain[round]!));
      figures[`cpuNsPerIo_added_${op}_${kind}`] = Math.round(added);
      figures[`MiBPerCpuSecond_${op}_${kind}`] = Math.round(
        (blockBytes / MiB) * (1e9 / median(all)),
      );
    }
    figures[`MiBPerCpuSecond_${op}_plain`] = Math.round((blockBytes / MiB) * (1e9 / median(plain)));
  }
  await pool.close();
  return figures;
}
