import { BlockOp } from '../block/request.js';
import type { Histogram } from '../observe/histogram.js';
import { latencyOf, type Session } from './session.js';

/** One figure of two runs beside each other. */
export interface LatencyError {
  readonly op: 'read' | 'write';
  readonly figure: string;
  readonly recordedNs: number;
  readonly simulatedNs: number;
  /** Of the recorded one; positive when the model is too slow. */
  readonly percent: number;
}

/** What is compared: percentiles that enough requests stand behind. */
const percentiles = [10, 50, 90, 99, 99.9, 99.99] as const;
/** So many requests beyond a percentile, or it is chance. */
const leastBeyond = 10;

/** Mean and percentiles of reads and of writes, as far as the session has enough of them. */
export function latencyErrors(
  session: Session,
  simulated: Readonly<Record<'read' | 'write', Histogram>>,
): LatencyError[] {
  const rows: LatencyError[] = [];
  for (const op of ['read', 'write'] as const) {
    const recorded = latencyOf(session, BlockOp[op]);
    const other = simulated[op];
    if (recorded.count === 0 || other.count === 0) continue;
    rows.push(errorOf(op, 'mean', recorded.mean, other.mean));
    for (const percent of percentiles) {
      if ((recorded.count * (100 - percent)) / 100 < leastBeyond) continue;
      const figure = `p${percent}`;
      rows.push(errorOf(op, figure, recorded.percentile(percent), other.percentile(percent)));
    }
  }
  return rows;
}

/** Root mean square of the logarithms of the ratios: 0.1 is about ten per cent. */
export function residualOf(rows: readonly LatencyError[]): number {
  let sum = 0;
  for (const { recordedNs, simulatedNs } of rows) {
    sum += Math.log(Math.max(1, simulatedNs) / Math.max(1, recordedNs)) ** 2;
  }
  return Math.sqrt(sum / Math.max(1, rows.length));
}

function errorOf(
  op: 'read' | 'write',
  figure: string,
  recordedNs: number,
  simulatedNs: number,
): LatencyError {
  const percent = (100 * (simulatedNs - recordedNs)) / Math.max(1, recordedNs);
  return { op, figure, recordedNs, simulatedNs, percent };
}
