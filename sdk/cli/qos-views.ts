import type { CardQosCounters, CardTier } from '../nvme/ultima-qos.js';
import type { CardQosCopies, CardQosHistory } from '../nvme/ultima-qos-pages.js';
import type { MetricFamily } from '../observe/prometheus.js';
import type { Calibration } from '../qos/calibrate.js';
import { table, type VerbResult } from './verb-result.js';

type Tiers = readonly (CardTier | null)[];

export function rateText(units: number): string {
  return `${units.toLocaleString('en-US')} units/s`;
}

export function percent(part: number): string {
  return `${Math.round(100 * part)} %`;
}

function nameOf(client: { readonly nsid: number; readonly queueId: number }): string {
  return client.nsid > 0 ? `namespace ${client.nsid}` : `queue ${client.queueId}`;
}

function tierName(tiers: Tiers, index: number): string {
  return tiers[index]?.name ?? `tier ${index}`;
}

export function countersView(counters: readonly CardQosCounters[], tiers: Tiers): VerbResult {
  const json = counters.map((one) => ({ ...one, tier: tierName(tiers, one.tier) }));
  if (json.length === 0) {
    return { json, lines: ['no namespace has a tier: all of them are best-effort'] };
  }
  const head = [
    ...['client', 'tier', 'served', 'by minimum', 'throttled', 'minimum met', 'kept now'],
    'waiting',
  ];
  const rows = json.map((one) => [
    nameOf(one),
    one.isBestEffort ? `${one.tier} (its minimum does not fit)` : one.tier,
    one.servedUnits.toLocaleString('en-US'),
    one.reservedUnits.toLocaleString('en-US'),
    one.throttledCommands.toLocaleString('en-US'),
    `${one.metIntervals} of ${one.guaranteedIntervals}`,
    one.keptUnitsPerSecond === 0 ? '-' : rateText(one.keptUnitsPerSecond),
    String(one.waitingCommands),
  ]);
  return { json, lines: table(head, rows) };
}

export function historyView(history: readonly CardQosHistory[], tiers: Tiers): VerbResult {
  const json = history.map((one) => ({ ...one, tier: tierName(tiers, one.tier) }));
  const head = ['client', 'tier', 'interval', 'minimum', 'served', 'throttled', 'minimum met'];
  const rows = json.flatMap((one) =>
    one.intervals.map((interval) => [
      nameOf(one),
      one.tier,
      String(interval.interval),
      interval.dueUnits.toLocaleString('en-US'),
      interval.servedUnits.toLocaleString('en-US'),
      interval.throttledCommands.toLocaleString('en-US'),
      metText(interval),
    ]),
  );
  return { json, lines: rows.length === 0 ? ['no interval yet'] : table(head, rows) };
}

export function copiesView(copies: readonly CardQosCopies[]): VerbResult {
  const head = ['class', 'served', 'throttled', 'waiting', 'sure of now', 'last interval'];
  const rows = copies.map((one) => {
    const last = one.intervals.at(-1);
    return [
      one.kind,
      one.servedUnits.toLocaleString('en-US'),
      one.throttledPages.toLocaleString('en-US'),
      String(one.waitingPages),
      rateText(one.keptUnitsPerSecond),
      last === undefined ? '-' : `${last.servedUnits} units, ${last.throttledCommands} throttled`,
    ];
  });
  const none = ['its drives copy nothing by themselves'];
  return { json: copies, lines: rows.length === 0 ? none : table(head, rows) };
}

function metText(interval: CardQosHistory['intervals'][number]): string {
  if (!interval.isGuaranteed) return '-';
  return interval.isMet ? 'yes' : `short by ${interval.dueUnits - interval.servedUnits}`;
}

export function measuredLines(found: Calibration): string[] {
  const number = (value: number | null): string =>
    value === null ? 'not measured' : Math.round(value).toLocaleString('en-US');
  const loops = found.measured.map((one) => [
    one.kind,
    String(one.depth),
    number(one.requestsPerSecond),
    (one.p99Ns / 1000).toFixed(1),
  ]);
  const points = found.points.map((point) => [
    (point.latencyNs / 1000).toString(),
    number(point.reads),
    number(point.mixed),
    number(point.writes),
    number(point.large),
  ]);
  return [
    ...table(['requests', 'depth', 'per second', 'p99 us'], loops),
    '',
    ...table(['p99 below us', 'reads', 'mixed', 'writes', 'large'], points),
    '',
    found.writeCost === null
      ? 'writes were not measured: what one costs is what the maker says'
      : `a write costs ${found.writeCost.toFixed(2)} reads`,
  ];
}

/** Counters as Prometheus reads them. */
export function metricsOf(address: string, counters: readonly CardQosCounters[]): MetricFamily[] {
  const family = (
    name: string,
    type: MetricFamily['type'],
    help: string,
    value: (one: CardQosCounters) => number,
  ): MetricFamily => ({
    name: `ultima_qos_${name}`,
    help,
    type,
    samples: counters.map((one) => ({
      labels:
        one.nsid > 0
          ? { controller: address, namespace: String(one.nsid) }
          : { controller: address, queue: String(one.queueId) },
      value: value(one),
    })),
  });
  return [
    family('served_units_total', 'counter', 'Units handed to the media', (c) => c.servedUnits),
    family('reserved_units_total', 'counter', 'Of them by reservation', (c) => c.reservedUnits),
    family(
      'throttled_commands_total',
      'counter',
      'Commands that had to wait in the card',
      (c) => c.throttledCommands,
    ),
    family(
      'guaranteed_intervals_total',
      'counter',
      'Intervals with a reservation and commands',
      (c) => c.guaranteedIntervals,
    ),
    family(
      'met_intervals_total',
      'counter',
      'Of them those in which the reservation was met',
      (c) => c.metIntervals,
    ),
    family(
      'kept_units_per_second',
      'gauge',
      'Of its reservation, what the media keep now',
      (c) => c.keptUnitsPerSecond,
    ),
    family('waiting_commands', 'gauge', 'Commands that wait now', (c) => c.waitingCommands),
    family(
      'reservation_dropped',
      'gauge',
      '1 when the reservation did not fit and is not kept',
      (c) => (c.isBestEffort ? 1 : 0),
    ),
  ];
}
