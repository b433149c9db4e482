import { World } from '../sim/world.js';
import { type Bench, type Figures, machine } from './figures.js';

const pending = [64, 1024, 65_536];
const events = 2_000_000;
const runs = 5;
const handlerCount = 6;
const delays = 4096;

/** The world alone: every event schedules another one after a random time. */
export const bench: Bench = {
  claim: 'several million events per CPU second, whatever is pending',
  async run(): Promise<Figures> {
    const figures: Record<string, number> = {};
    for (const count of pending) {
      figures[`eventsPerCpuSecond_${count}pending`] = Math.round(median(measure(count)));
    }
    return {
      conditions: { events, runs: `median of ${runs}`, handlers: handlerCount, ...machine() },
      figures,
    };
  },
};

function measure(count: number): number[] {
  const world = new World({ seed: 1 });
  const prng = world.prng('delays');
  const delayNs = Int32Array.from({ length: delays }, () => 1 + prng.below(1000));
  const handlers: number[] = [];
  let at = 0;
  for (let i = 0; i < handlerCount; i++) {
    const register = world.register((argument) => {
      at = (at + 1) % delays;
      world.schedule(delayNs[at]!, handlers[(argument + i) % handlerCount]!, argument);
    });
    handlers.push(register);
  }
  for (let i = 0; i < count; i++) {
    world.schedule(delayNs[i % delays]!, handlers[i % handlerCount]!, i);
  }
  world.advance(10_000);
  return Array.from({ length: runs }, () => rateOf(world, count));
}

function rateOf(world: World, count: number): number {
  // Each event waits 500 ns on average.
  const spanNs = Math.ceil((events * 500) / count);
  const first = world.eventCount;
  const before = process.cpuUsage();
  world.advance(spanNs);
  const { user, system } = process.cpuUsage(before);
  return (world.eventCount - first) / ((user + system) / 1e6);
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}
