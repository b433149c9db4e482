import { type Course, type Report, writeReport } from '../../sdk/observe/report.js';
import type { TimelinePoint } from '../../sdk/observe/timeline.js';
import { unitBytes } from '../../sdk/qos/cost.js';
import { type InsideResult, reserved, runInside, slotNs } from './inside.js';

const windows = 2;

/**
 * What each reserved tenant was promised and got over time, and the latency of one of them alone
 * and beside neighbours of every kind: as a file that opens without a network.
 *
 * @throws UltimaError FILE_UNWRITABLE
 */
export async function reportQos(path: string): Promise<void> {
  const alone = await runInside(null, { kind: 'card' }, { windows });
  const beside = await runInside('mixed', { kind: 'card' }, { windows });
  const without = await runInside('mixed', { kind: 'none' }, { windows });
  const worst = Math.min(...Object.values(beside.worstMetPct));
  const us = (value: number): string => `${value.toFixed(0)} us`;
  const report: Report = {
    title: 'Guaranteed and served',
    summary:
      'Reserved tenants beside neighbours that read and write 4 KiB, read 256 KiB and ' +
      'discard, on ultima-g2 with its whole inside, garbage collection at work.',
    headlines: [
      {
        label: 'of its reservation or demand, worst tenant and 100 ms',
        value: `${worst.toFixed(1)} %`,
      },
      { label: 'p99 of the Poisson tenant alone', value: us(alone.p99Us.poisson!) },
      { label: 'p99 beside the neighbours', value: us(beside.p99Us.poisson!) },
      { label: 'p99 without a policy', value: us(without.p99Us.poisson!) },
    ],
    conditions: [
      { label: 'command', value: 'npm run bench -- qos --report FILE' },
      { label: 'time', value: `virtual, ${windows * 100} ms after 50 ms` },
      ...reserved.map(({ name, units, pace }) => ({
        label: `tenant ${name}`,
        value: `reserves ${units} units/s; ${JSON.stringify(pace)}`,
      })),
    ],
    throughput: reserved.map((own, client) => ({
      name: own.name,
      points: served(beside.perSlot[client]!),
    })),
    latency: [
      { name: 'alone', histogram: alone.latencies[0]! },
      { name: 'beside neighbours', histogram: beside.latencies[0]! },
      { name: 'beside neighbours, no policy', histogram: without.latencies[0]! },
    ],
    split: [],
    courses: [
      ...reserved.map((own, client) => tenant(beside, own, client)),
      { title: "The neighbours' load, units/s", unit: 'units/s', points: load(beside) },
      {
        title: 'p99 of the poisson tenant beside them, us',
        unit: 'us',
        points: beside.p99PerSlotUs,
      },
    ],
  };
  writeReport(path, report);
}

function served(slots: Float64Array): TimelinePoint[] {
  return Array.from(slots, (units, slot) => pointAt(slot, units));
}

/** What a tenant got, and what it is sure of however much it wants. */
function tenant(
  { perSlot }: InsideResult,
  { name, units }: { readonly name: string; readonly units: number },
  client: number,
): Course {
  const rates = Array.from(perSlot[client]!, (count, slot) => ({
    x: (slot * slotNs) / 1e9,
    y: count / (slotNs / 1e9),
  }));
  return {
    title: `Tenant ${name}, units/s`,
    unit: 'units/s',
    points: rates,
    beside: { names: ['served', 'guaranteed'], points: rates.map(({ x }) => ({ x, y: units })) },
  };
}

function load({ perSlot }: InsideResult): { readonly x: number; readonly y: number }[] {
  const neighbours = perSlot.slice(reserved.length);
  return Array.from(perSlot[0]!, (_, slot) => ({
    x: (slot * slotNs) / 1e9,
    y: neighbours.reduce((sum, slots) => sum + slots[slot]!, 0) / (slotNs / 1e9),
  }));
}

function pointAt(slot: number, units: number): TimelinePoint {
  return { startNs: slot * slotNs, lengthNs: slotNs, count: units, bytes: units * unitBytes };
}
