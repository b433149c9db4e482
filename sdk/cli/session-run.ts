import { readFile } from 'node:fs/promises';
import { ErrorCode, UltimaError } from '../errors.js';
import { NvmeController } from '../nvme/controller.js';
import { open } from '../open.js';
import { type LatencyError, latencyErrors } from '../trace/latency-error.js';
import { replayTrace } from '../trace/replay.js';
import { parseSession, type Session } from '../trace/session.js';
import { parseChoice, parseInteger } from './arguments.js';

export const sessionOptions = {
  card: { type: 'string', default: 'sim:ultima-g2' },
  'namespace-id': { type: 'string', short: 'n', default: '1' },
  mode: { type: 'string', default: 'auto' },
  depth: { type: 'string' },
  limit: { type: 'string' },
  json: { type: 'boolean', default: false },
} as const;

/** How a session is put to a model of the card that it was recorded on. */
export interface SessionLoad {
  readonly nsid: number;
  readonly mode: 'recorded' | 'depth';
  readonly depth: number;
}

export interface SessionRun {
  readonly errors: readonly LatencyError[];
  readonly iops: number;
}

/** So near to the most in flight, and the session was a loop of fixed depth. */
const fullShare = 0.8;

export async function readSession(path: string, limit: string | undefined): Promise<Session> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new UltimaError(ErrorCode.fileInvalid, `session ${path}: ${why}`, { path }, error);
  }
  const most = { low: 1, high: Number.MAX_SAFE_INTEGER };
  return parseSession(
    text,
    path,
    limit === undefined ? Infinity : parseInteger('limit', limit, most),
  );
}

/** A closed loop is replayed as one: its times are the recorded card's, not the workload's. */
export function loadOf(
  session: Session,
  values: Readonly<Record<'mode' | 'namespace-id', string>> & { readonly depth?: string },
): SessionLoad {
  const asked = parseChoice('mode', values.mode, ['auto', 'recorded', 'depth']);
  const isLoop = session.meanInFlight >= fullShare * session.maxInFlight;
  const mode = asked === 'auto' ? (isLoop ? 'depth' : 'recorded') : asked;
  const depth =
    values.depth === undefined
      ? session.maxInFlight
      : parseInteger('depth', values.depth, { low: 1, high: 65_535 });
  const nsid = parseInteger('namespace-id', values['namespace-id'], { low: 1, high: 0xffff_fffe });
  return { nsid, mode, depth: mode === 'depth' ? depth : Math.max(128, depth) };
}

export async function runSession(
  card: string,
  session: Session,
  { nsid, mode, depth }: SessionLoad,
): Promise<SessionRun> {
  const controller = await NvmeController.open(await open(card), {
    queueEntries: Math.max(64, depth + 1),
  });
  try {
    const namespace = await controller.namespace(nsid);
    const result = await replayTrace(namespace, session.trace, {
      mode,
      depth,
      readsBack: false,
      initial: 'any',
    });
    return { errors: latencyErrors(session, result.latency), iops: result.iops };
  } finally {
    await controller.close();
  }
}

/** A line per figure: recorded, simulated, error. */
export function errorLines(errors: readonly LatencyError[]): string[] {
  const us = (ns: number): string => (ns / 1000).toFixed(2).padStart(12);
  const head = '  op     figure   recorded us  simulated us       error';
  return [
    head,
    ...errors.map(({ op, figure, recordedNs, simulatedNs, percent }) => {
      const sign = percent >= 0 ? '+' : '';
      const error = `${sign}${percent.toFixed(2)} %`.padStart(12);
      return `  ${op.padEnd(6)} ${figure.padEnd(7)} ${us(recordedNs)}  ${us(simulatedNs)}${error}`;
    }),
  ];
}
