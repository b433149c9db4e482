import { type HeatMap, latencyHeat, utilisationHeat } from '../observe/heat.js';
import { HeatTimeline } from '../observe/heat-timeline.js';
import type { Course } from '../observe/report.js';
import { SpanLog } from '../observe/span-log.js';
import type { CardInside, MediaWork } from '../open.js';
import type { ReplayResult } from '../trace/replay.js';
import type { Window } from './window-option.js';

/** Eighteen bytes each. */
const keptSpans = 262_144;
const unitBytes = 4096;
/** Points of a course; of a longer run every second one is left out. */
const mostSamples = 512;

interface WorkSample extends MediaWork {
  readonly atNs: number;
}

/** What a run on a simulated card shows of its inside: busy parts, and the work of its media. */
export class InsideView {
  readonly log: SpanLog;
  /** How long each track was busy when, over the whole run. */
  private readonly busy: HeatTimeline;
  /** By track of the log; none of a real card. */
  readonly names: readonly string[];
  /** The part of the run that is kept, on the card's clock. */
  readonly stretch: Window;
  private readonly inside: CardInside | null;
  private readonly title: string;
  private samples: WorkSample[] = [];
  private skip = 0;
  private skipped = 0;

  constructor(options: {
    readonly inside: CardInside | null;
    readonly originNs: number;
    readonly window: Window;
    /** Of the map of busy parts. */
    readonly title: string;
    /** Nobody looks: nothing is recorded. */
    readonly isWatching: boolean;
  }) {
    const { inside, originNs, window, isWatching } = options;
    this.inside = inside;
    this.title = options.title;
    this.stretch = { fromNs: originNs + window.fromNs, toNs: originNs + window.toNs };
    this.log = new SpanLog({ capacity: isWatching ? keptSpans : 1, ...this.stretch });
    this.busy = new HeatTimeline(originNs);
    const { log, busy } = this;
    const sink = {
      span(track: number, startNs: number, endNs: number): void {
        log.span(track, startNs, endNs);
        busy.spread(track, startNs, endNs);
      },
    };
    this.names = isWatching ? (inside?.watch(sink) ?? []) : [];
    this.sample(0);
  }

  /** Now and then during the run. @param elapsedNs  since its start */
  sample(elapsedNs: number): void {
    const work = this.inside?.mediaWork() ?? null;
    if (work === null || this.skipped++ < this.skip) return;
    this.skipped = 0;
    this.samples.push({ ...work, atNs: elapsedNs });
    if (this.samples.length < mostSamples) return;
    this.samples = this.samples.filter((_, i) => i % 2 === 0);
    this.skip = 2 * this.skip + 1;
  }

  /** On one axis of time: from the start of a run to its last request. */
  heat({ heat, startNs, durationNs }: ReplayResult): readonly HeatMap[] {
    const range = { startNs, durationNs };
    const { title } = this;
    const busy = utilisationHeat(this.busy, this.names, range);
    const maps = [latencyHeat(heat, range), busy === null ? null : { ...busy, title }];
    return maps.filter((map) => map !== null);
  }

  courses(): readonly Course[] {
    const amplification: { x: number; y: number }[] = [];
    const moved: { x: number; y: number }[] = [];
    for (let i = 1; i < this.samples.length; i++) {
      const [before, now] = [this.samples[i - 1]!, this.samples[i]!];
      const ns = now.atNs - before.atNs;
      const host = now.hostWriteUnits - before.hostWriteUnits;
      if (ns <= 0) continue;
      const x = (before.atNs + ns / 2) / 1e9;
      if (host > 0) {
        amplification.push({ x, y: (now.mediaWriteUnits - before.mediaWriteUnits) / host });
      }
      moved.push({ x, y: ((now.gcUnits - before.gcUnits) * unitBytes * 1e3) / ns });
    }
    return [
      { title: 'Write amplification over time', unit: 'WAF', points: amplification },
      { title: 'Garbage collection over time', unit: 'MB/s', points: moved },
    ];
  }
}
