import type { BlockDevice } from '../block/device.js';
import { NvmeController } from '../nvme/controller.js';
import { writeFileAtomically } from '../observe/atomic-file.js';
import type { TimeSplit } from '../observe/command-time.js';
import { traceOfIos } from '../observe/perfetto.js';
import { writeReport } from '../observe/report.js';
import { type CardInside, openCard, openNodes } from '../open.js';
import { type ReadTraceOptions, readTrace } from '../trace/read.js';
import { type ReplayOptions, type ReplayProgress, replayTrace } from '../trace/replay.js';
import { formatSession } from '../trace/session.js';
import { StageRecorder } from '../trace/stages.js';
import type { Trace } from '../trace/trace.js';
import { MiB } from '../units.js';
import { parseChoice, parseInteger, parseWords, usageError } from './arguments.js';
import { saveTo } from './card.js';
import { faultsOf, sayFaults } from './fault-option.js';
import { InsideView } from './inside-view.js';
import { ReplayMirror } from './replay-mirror.js';
import { reportOf, resultJson, splitsOf } from './replay-report.js';
import {
  bytesText,
  grouped,
  insideTimeLines,
  latencyLines,
  mismatchLines,
  opNames,
  resultLines,
  secondsText,
  splitLines,
  traceText,
} from './replay-text.js';
import { type ReplayTarget, ReplayVolume } from './replay-volume.js';
import type { Terminal } from './terminal.js';
import { type Window, windowOf } from './window-option.js';

export const usage = `
ultima replay TRACE [options]

Replay a recorded block workload on a card: every written block is stamped, every read is compared
with what must be there, and at the end everything that was written is read once more.
It OVERWRITES the namespace.

  --card ADDRESS       sim:ultima-g2 when left out
  -n, --namespace-id N 1 when left out
  --mode MODE          recorded: each request at its time (default); depth: as fast as possible
  --depth N            requests in flight: 32 in mode depth, at most 128 as recorded
  --speed X            as recorded, but X times faster
  --seed N             of a simulated card, and in every block written; 1 when left out
  --contents WORD      what unwritten blocks hold: zeroes (default), or any (then not compared)
  --mirror N           run on a volume that is mirrored over N nodes, 2 or 3, each with such a card;
                       the node that writes loses its power on the way, another takes over, and the
                       first one comes back
  --volume             run on a thin volume of a pool that is made on the card
  --snapshots N        with --volume or --mirror: take so many while it runs and verify each;
                       4 when left out
  --no-read-back       leave out the read-back at the end

  --format NAME        blkparse, fio3, fio2, msr, alibaba, tencent, disksim, mqsim, vscsi1, vscsi2;
                       found from the content when left out; gzip is unpacked on the way
  --device NAME        one device or volume of the trace only
  --event Q|D          blkparse: requests as queued (Q) or as issued to the driver (D, default)
  --limit N            the first N requests only

  --report FILE        out/report.html when left out; none for no report
  --log FILE           the latency of every request, for ultima compare and ultima fit
  --faults FILE        a fault plan for a simulated card: see ultima faults
  --save FILE          the simulated card as it is at the end; the address key checkpoint=FILE goes
                       on from there
  --perfetto FILE      out/trace.perfetto-trace when left out; none for no trace
  --window FROM..TO    only this stretch of the card's time in the trace file: 1ms..3ms
  --json               the result as one JSON object on standard output

The exit code is 1 when a block was wrong or a request failed.
`;

const options = {
  card: { type: 'string', default: 'sim:ultima-g2' },
  'namespace-id': { type: 'string', short: 'n', default: '1' },
  trace: { type: 'string' },
  mode: { type: 'string', default: 'recorded' },
  depth: { type: 'string' },
  speed: { type: 'string', default: '1' },
  seed: { type: 'string', default: '1' },
  contents: { type: 'string', default: 'zeroes' },
  mirror: { type: 'string' },
  volume: { type: 'boolean', default: false },
  snapshots: { type: 'string', default: '4' },
  'no-read-back': { type: 'boolean', default: false },
  format: { type: 'string' },
  device: { type: 'string' },
  event: { type: 'string' },
  limit: { type: 'string' },
  faults: { type: 'string' },
  save: { type: 'string' },
  log: { type: 'string' },
  window: { type: 'string' },
  report: { type: 'string', default: 'out/report.html' },
  perfetto: { type: 'string', default: 'out/trace.perfetto-trace' },
  json: { type: 'boolean', default: false },
} as const;

const maxDepth = 65_535;
const mostSnapshots = 1000;
const shownMisuse = 16;
const keptAtLeast = 4096;
const leastMirrorBytes = 16 * MiB;

interface Request {
  readonly path: string;
  readonly card: string;
  readonly nsid: number;
  readonly read: ReadTraceOptions;
  readonly replay: ReplayOptions & { readonly mode: 'recorded' | 'depth'; readonly seed: number };
  readonly faultsPath: string | undefined;
  readonly savePath: string | undefined;
  readonly logPath: string | undefined;
  readonly window: Window;
  readonly reportPath: string | null;
  readonly perfettoPath: string | null;
  /** Nodes of a mirror; 0 for none. */
  readonly mirrors: number;
  readonly hasVolume: boolean;
  readonly snapshots: number;
  readonly isJson: boolean;
}

export async function run(words: readonly string[], terminal: Terminal): Promise<number> {
  const request = understand(words);
  const faults = await faultsOf(request.faultsPath);
  // The trace first: a malformed line must be known before any card is touched.
  const trace = await readTrace(request.path, request.read);
  terminal.say(
    'Replaying recorded block I/O: every block written is stamped, every read is checked.',
  );
  terminal.say(`input  ${request.path}`);
  terminal.say(`       ${traceText(trace)} (${trace.format})`);
  if (request.mirrors > 0) return runMirrored(request, trace, terminal);
  const card = await openCard(seeded(request), { faults });
  try {
    const controller = await NvmeController.open(card.fn);
    const namespace = await controller.namespace(request.nsid);
    const recorder = new StageRecorder(namespace.clock, Math.max(trace.count, keptAtLeast));
    for (const pair of controller.queuePairs) pair.observer = recorder;
    card.inside?.observe(recorder);
    const times = card.inside?.splitTimes() ?? null;
    const { inside } = card;
    const { seed } = request.replay;
    const target = request.hasVolume ? await ReplayVolume.make(namespace, seed) : null;
    const seen = new InsideView({
      inside,
      title: 'How busy the card was',
      originNs: namespace.clock.nowNs(),
      window: request.window,
      isWatching: request.perfettoPath !== null || request.reportPath !== null,
    });
    const run = { request, trace, recorder, terminal, inside, seen, times };
    sayWhere(run, `namespace ${request.nsid}: ${sizeText(namespace)}`);
    const code = await replayOn(namespace, target, run);
    await controller.close();
    saveTo(request.savePath, card.inside);
    return code;
  } finally {
    await card.fn.close();
  }
}

/** Nodes with a card each; the trace file shows the inside of the one that takes over. */
async function runMirrored(request: Request, trace: Trace, terminal: Terminal): Promise<number> {
  const address = seeded(request);
  const open = await openNodes(Array.from({ length: request.mirrors }, () => address));
  try {
    const bytes = endOf(trace);
    const target = await ReplayMirror.make(open, request.replay.seed, bytes);
    const recorder = new StageRecorder(open.clock, Math.max(trace.count, keptAtLeast));
    const { inside } = open.cards[1]!;
    const seen = new InsideView({
      inside,
      title: 'How busy the card of node 2 was, which takes over',
      originNs: open.clock.nowNs(),
      window: request.window,
      isWatching: request.perfettoPath !== null || request.reportPath !== null,
    });
    const run = { request, trace, recorder, terminal, inside, seen, times: null };
    sayWhere(
      run,
      `one on each of ${request.mirrors} nodes, a volume of ${bytesText(bytes)} on all`,
    );
    return await replayOn(target.device, target, run);
  } finally {
    for (const { fn } of open.cards) await fn.close();
  }
}

/** Bytes that a device must have for the requests of a trace. */
function endOf({ count, offsetBytes, lengthBytes }: Trace): number {
  let end = leastMirrorBytes;
  for (let i = 0; i < count; i++) end = Math.max(end, offsetBytes[i]! + lengthBytes[i]!);
  return end;
}

function sizeText({ blockCount, blockBytes }: BlockDevice): string {
  return `${bytesText(blockCount * blockBytes)} in blocks of ${blockBytes} bytes`;
}

function sayWhere({ request, terminal }: Run, where: string): void {
  terminal.say(`card   ${request.card}, ${where}`);
  terminal.say(`mode   ${modeText(request)}; seed ${request.replay.seed}`);
}

/** One seed for the whole run, unless the address of a simulated card has one of its own. */
function seeded({ card, replay }: Request): string {
  if (!card.startsWith('sim:') || /[?&](seed|checkpoint)=/.test(card)) return card;
  return `${card}${card.includes('?') ? '&' : '?'}seed=${replay.seed}`;
}

interface Run {
  readonly request: Request;
  readonly trace: Trace;
  readonly recorder: StageRecorder;
  readonly terminal: Terminal;
  readonly inside: CardInside | null;
  readonly seen: InsideView;
  readonly times: (() => readonly TimeSplit[]) | null;
}

async function replayOn(
  namespace: BlockDevice,
  target: ReplayTarget | null,
  run: Run,
): Promise<number> {
  const { request, trace, recorder, terminal, inside } = run;
  const startedMs = performance.now();
  const shown = progressTo(terminal);
  const device = target?.device ?? namespace;
  const result = await replayTrace(device, trace, {
    ...request.replay,
    recorder,
    isShared: request.mirrors > 0,
    ...(target === null ? {} : { snapshots: target.snapshots(request.snapshots) }),
    onProgress: (progress) => {
      if (progress.phase === 'replay') target?.progress?.(progress.ended, progress.total);
      run.seen.sample(progress.elapsedNs);
      shown(progress);
    },
  });
  const poolFaults = (await target?.finish()) ?? [];
  const wallNs = (performance.now() - startedMs) * 1e6;
  const splits = splitsOf(recorder, result);
  const kept = recorder.log.capacity < result.requests ? recorder.log.capacity : 0;
  const cardTime = run.times?.() ?? [];
  const asked = { ...request, ...request.replay };
  const subject = { request: asked, trace, result, splits, inside: cardTime };
  if (request.isJson) terminal.out(`${JSON.stringify(resultJson(subject), null, 2)}\n`);
  else {
    const lines = [
      `${grouped(result.requests)} requests in ${secondsText(result.durationNs)} of the card's ` +
        `time (${secondsText(wallNs)} here)`,
      ...resultLines(result),
      ...(target?.lines(result, poolFaults) ?? []),
      ...insideLines(inside),
      '',
      ...latencyLines(result),
      '',
      // Of a mirror, no one card has the whole time of a request.
      ...(request.mirrors > 0 ? [] : splitLines(splits, kept)),
      ...insideTimeLines(cardTime),
    ];
    terminal.out(`\n${lines.join('\n')}\n`);
  }
  sayFaults(inside, terminal);
  if (request.logPath !== undefined) {
    const session = formatSession(recorder.log.ios(), device.blockBytes);
    writeFileAtomically(request.logPath, Buffer.from(session));
  }
  const report = reportOf(subject);
  writeFiles(run, () => ({
    ...report,
    conditions: [...report.conditions, ...(target?.facts ?? [])],
    split: request.mirrors > 0 ? [] : report.split,
    heat: run.seen.heat(result),
    courses: [...(target?.courses?.(result) ?? []), ...run.seen.courses()],
  }));
  const misses = result.snapshots?.mismatches ?? 0;
  if (result.mismatches + result.failed + misses + poolFaults.length === 0) return 0;
  const wrong =
    `${result.mismatches} wrong blocks, ${result.failed} failed requests, ` +
    `${misses} wrong blocks of snapshots, ${poolFaults.length} other findings`;
  terminal.say(`\nultima: VERIFY_FAILED: ${wrong}`);
  for (const line of mismatchLines(result)) terminal.say(line);
  return 1;
}

function writeFiles(run: Run, report: () => Parameters<typeof writeReport>[1]): void {
  const { request, recorder, terminal } = run;
  if (request.reportPath !== null) {
    writeReport(request.reportPath, report());
    terminal.say(`\nreport ${request.reportPath} (open it in a browser)`);
  }
  if (request.perfettoPath !== null) {
    const first = recorder.log.ios().next().value;
    const originNs = first?.timesNs[0] ?? 0;
    const bytes = traceOfIos(recorder.log, {
      name: request.card,
      opNames,
      originNs: Math.max(originNs, run.seen.stretch.fromNs),
      window: run.seen.stretch,
      parts: run.seen,
    });
    writeFileAtomically(request.perfettoPath, bytes);
    terminal.say(`trace  ${request.perfettoPath} (open it at https://ui.perfetto.dev)`);
  }
}

/** What only a simulated card can say of a run. */
function insideLines(inside: CardInside | null): string[] {
  if (inside === null) return [];
  const misuse = inside.misuse();
  const lines = [`  event hash ${inside.eventHash()} (the same seed gives the same run)`];
  if (misuse.length === 0) return [...lines, '  protocol   no misuse of the card by the driver'];
  return [
    ...lines,
    `  protocol   MISUSE: ${misuse.length} reports`,
    ...misuse.slice(0, shownMisuse),
  ];
}

function modeText({ replay }: Request): string {
  if (replay.mode === 'depth') return `as fast as possible, ${replay.depth ?? 32} in flight`;
  return replay.speed === 1 ? 'as recorded in time' : `as recorded, ${replay.speed} times faster`;
}

/** A line that moves where a terminal is, four lines where none is. */
function progressTo(terminal: Terminal): (progress: ReplayProgress) => void {
  let saidQuarters = 0;
  let shownMs = 0;
  return ({ phase, ended, total, mismatches, elapsedNs }) => {
    const percent = Math.floor((100 * ended) / total);
    const line =
      `${phase} ${percent} %: ${grouped(ended)} of ${grouped(total)}, ` +
      `${secondsText(elapsedNs)} of the card's time, ${mismatches} blocks wrong`;
    if (terminal.isInteractive) {
      if (performance.now() - shownMs < 50 && ended < total) return;
      shownMs = performance.now();
      terminal.progress(line);
    } else if (phase === 'replay' && Math.floor(percent / 25) > saidQuarters) {
      saidQuarters = Math.floor(percent / 25);
      terminal.say(line);
    }
  };
}

function understand(words: readonly string[]): Request {
  const { values, positionals } = parseWords(words, options);
  const [path, ...more] = values.trace === undefined ? positionals : [values.trace, ...positionals];
  if (path === undefined) throw usageError('which trace? ultima replay TRACE [options]');
  if (more.length > 0) throw usageError(`one trace at a time; '${more[0]}' is one too many`);
  const mode = parseChoice('mode', values.mode, ['recorded', 'depth']);
  const { event, limit, depth } = values;
  const count = { low: 1, high: Number.MAX_SAFE_INTEGER };
  return {
    path,
    faultsPath: values.faults,
    savePath: values.save,
    logPath: values.log,
    window: windowOf(values.window),
    card: values.card,
    nsid: parseInteger('namespace-id', values['namespace-id'], { low: 1, high: 2 ** 32 - 2 }),
    read: {
      ...(values.format === undefined ? {} : { format: values.format }),
      ...(values.device === undefined ? {} : { device: values.device }),
      ...(event === undefined ? {} : { event: parseChoice('event', event, ['Q', 'D']) }),
      ...(limit === undefined ? {} : { limit: parseInteger('limit', limit, count) }),
    },
    replay: {
      mode,
      speed: parseSpeed(values.speed),
      seed: parseInteger('seed', values.seed, { low: 0, high: Number.MAX_SAFE_INTEGER }),
      initial: parseChoice('contents', values.contents, ['zeroes', 'any']),
      readsBack: !values['no-read-back'],
      ...(depth === undefined
        ? {}
        : { depth: parseInteger('depth', depth, { low: 1, high: maxDepth }) }),
    },
    reportPath: values.report === 'none' ? null : values.report,
    perfettoPath: values.perfetto === 'none' ? null : values.perfetto,
    mirrors: mirrorsOf(values),
    hasVolume: values.volume,
    snapshots: parseInteger('snapshots', values.snapshots, { low: 0, high: mostSnapshots }),
    isJson: values.json,
  };
}

function mirrorsOf(values: {
  readonly mirror?: string;
  readonly volume: boolean;
  readonly faults?: string;
  readonly save?: string;
}): number {
  if (values.mirror === undefined) return 0;
  const wrong = (['volume', 'faults', 'save'] as const).find((name) => values[name]);
  if (wrong !== undefined) throw usageError(`--mirror does not go with --${wrong}`);
  return parseInteger('mirror', values.mirror, { low: 2, high: 3 });
}

function parseSpeed(text: string): number {
  const speed = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (speed > 0 && speed <= 1e6) return speed;
  throw usageError(`--speed is ${text}; it must be a number above 0, at most 1000000`);
}
