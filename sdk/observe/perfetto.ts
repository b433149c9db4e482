import type { IoLog, LoggedIo } from './io-log.js';
import { ProtobufWriter } from './protobuf.js';
import type { SpanLog } from './span-log.js';

/** Field numbers [Perfetto §trace.proto, trace_packet.proto]. */
const Packet = {
  packet: 1,
  timestamp: 8,
  sequenceId: 10,
  trackEvent: 11,
  internedData: 12,
  sequenceFlags: 13,
  trackDescriptor: 60,
} as const;
/** [Perfetto §track_descriptor.proto, process_descriptor.proto] */
const Track = { uuid: 1, name: 2, process: 3, parent: 5 } as const;
const Process = { pid: 1, name: 6 } as const;
/** [Perfetto §track_event.proto, debug_annotation.proto] */
const Event = { annotations: 4, type: 9, nameId: 10, track: 11, flows: 47 } as const;
const EventType = { begin: 1, end: 2, instant: 3 } as const;
const Annotation = { unsigned: 3, text: 6, name: 10 } as const;
/** [Perfetto §interned_data.proto] */
const Interned = { eventNames: 2, id: 1, name: 2 } as const;
const SequenceFlag = { cleared: 1, needed: 2 } as const;

export interface SliceOptions {
  readonly track: number;
  readonly name: string;
  readonly startNs: number;
  readonly endNs: number;
  /** Shown when the slice is selected. */
  readonly facts?: Readonly<Record<string, string | number>>;
  /** Slices with the same flow are joined by arrows; 0 or left out: none. */
  readonly flow?: number;
}

/**
 * A trace for ui.perfetto.dev in its own format. Slices of one track may nest, not overlap:
 * I/Os overlap, so every queue slot is a track.
 */
export class PerfettoTrace {
  private readonly out = new ProtobufWriter();
  private readonly packet = new ProtobufWriter();
  private readonly event = new ProtobufWriter();
  private readonly inner = new ProtobufWriter();
  private readonly names = new Map<string, number>();
  private readonly process: number;
  private tracks = 0;

  /** @param name the group that all tracks stand in */
  constructor(name: string) {
    this.process = ++this.tracks;
    this.inner.integer(Process.pid, 1);
    this.inner.text(Process.name, name);
    this.packet.integer(Packet.sequenceId, 1);
    this.packet.integer(Packet.sequenceFlags, SequenceFlag.cleared);
    this.event.integer(Track.uuid, this.process);
    this.event.message(Track.process, this.inner.bytes);
    this.finishPacket(Packet.trackDescriptor);
  }

  /** @returns the new track */
  addTrack(name: string): number {
    const track = ++this.tracks;
    this.packet.integer(Packet.sequenceId, 1);
    this.event.integer(Track.uuid, track);
    this.event.integer(Track.parent, this.process);
    this.event.text(Track.name, name);
    this.finishPacket(Packet.trackDescriptor);
    return track;
  }

  /** A slice and all inside it must be added in the order of their starts. */
  addSlice(slice: SliceOptions): void {
    this.begin(slice);
    this.end(slice.track, slice.endNs);
  }

  begin({ track, name, startNs, facts, flow }: Omit<SliceOptions, 'endNs'>): void {
    this.startEvent(startNs, name);
    this.event.integer(Event.type, EventType.begin);
    this.event.integer(Event.track, track);
    if (flow !== undefined && flow !== 0) this.event.fixed64(Event.flows, flow);
    for (const [key, value] of Object.entries(facts ?? {})) this.annotate(key, value);
    this.finishPacket(Packet.trackEvent);
  }

  end(track: number, endNs: number): void {
    this.startPacket(endNs);
    this.event.integer(Event.type, EventType.end);
    this.event.integer(Event.track, track);
    this.finishPacket(Packet.trackEvent);
  }

  instant(track: number, atNs: number, name: string): void {
    this.startEvent(atNs, name);
    this.event.integer(Event.type, EventType.instant);
    this.event.integer(Event.track, track);
    this.finishPacket(Packet.trackEvent);
  }

  /** The file's content. */
  finish(): Uint8Array {
    return this.out.bytes.slice();
  }

  private startEvent(atNs: number, name: string): void {
    this.startPacket(atNs);
    let id = this.names.get(name);
    if (id === undefined) {
      id = this.names.size + 1;
      this.names.set(name, id);
      this.packet.message(Packet.internedData, this.internedName(id, name));
    }
    this.event.integer(Event.nameId, id);
  }

  private startPacket(atNs: number): void {
    this.packet.integer(Packet.timestamp, atNs);
    this.packet.integer(Packet.sequenceId, 1);
    this.packet.integer(Packet.sequenceFlags, SequenceFlag.needed);
  }

  private internedName(id: number, name: string): Uint8Array {
    this.inner.clear();
    this.inner.integer(Interned.id, id);
    this.inner.text(Interned.name, name);
    const entry = this.inner.bytes.slice();
    this.inner.clear();
    this.inner.message(Interned.eventNames, entry);
    return this.inner.bytes;
  }

  private annotate(key: string, value: string | number): void {
    this.inner.clear();
    this.inner.text(Annotation.name, key);
    if (typeof value === 'string') this.inner.text(Annotation.text, value);
    else this.inner.integer(Annotation.unsigned, value);
    this.event.message(Event.annotations, this.inner.bytes);
  }

  private finishPacket(field: number): void {
    this.packet.message(field, this.event.bytes);
    this.out.message(Packet.packet, this.packet.bytes);
    this.packet.clear();
    this.event.clear();
    this.inner.clear();
  }
}

export interface IoTraceOptions {
  /** Name of the group of tracks, for instance the card's address. */
  readonly name: string;
  /** Words for the numbers in `LoggedIo.op`. */
  readonly opNames: Readonly<Record<number, string>>;
  /** Clock at the trace's zero; times before it are cut to it. */
  readonly originNs?: number;
  /** Only I/Os that touch this stretch of the clock. */
  readonly window?: { readonly fromNs: number; readonly toNs: number };
  /** When parts of the card were busy, and their names by track of the log. */
  readonly parts?: { readonly log: SpanLog; readonly names: readonly string[] };
}

/**
 * A log of I/Os as a trace: a track per slot, a slice per I/O, inside it a slice per stage that
 * took time.
 */
export function traceOfIos(log: IoLog, options: IoTraceOptions): Uint8Array {
  const trace = new PerfettoTrace(options.name);
  const originNs = options.originNs ?? 0;
  const { fromNs, toNs } = options.window ?? { fromNs: -Infinity, toNs: Infinity };
  const ios = [...log.ios()]
    .filter(({ timesNs }) => timesNs.at(-1)! >= fromNs && timesNs[0]! <= toNs)
    .sort((a, b) => a.timesNs[0]! - b.timesNs[0]!);
  const slots = [...new Set(ios.map((io) => io.slot))].sort((a, b) => a - b);
  const tracks = new Map(slots.map((slot) => [slot, trace.addTrack(`slot ${slot}`)]));
  for (const [i, io] of ios.entries()) {
    const name = options.opNames[io.op] ?? `operation ${io.op}`;
    const track = tracks.get(io.slot)!;
    addIo(trace, { io, name, originNs, stages: log.stages, track, flow: i + 1 });
  }
  if (options.parts !== undefined) addParts(trace, options.parts, originNs);
  return trace.finish();
}

interface IoSlices {
  readonly io: LoggedIo;
  readonly name: string;
  readonly originNs: number;
  readonly stages: readonly string[];
  readonly track: number;
  readonly flow: number;
}

/** A track for each part that was ever busy. */
function addParts(
  trace: PerfettoTrace,
  { log, names }: NonNullable<IoTraceOptions['parts']>,
  originNs: number,
): void {
  for (const [index, name] of names.entries()) {
    let track = 0;
    for (const [startNs, endNs] of log.of(index)) {
      if (endNs <= originNs) continue;
      if (track === 0) track = trace.addTrack(name);
      const from = Math.max(0, Math.round(startNs - originNs));
      trace.addSlice({ track, name: 'busy', startNs: from, endNs: Math.round(endNs - originNs) });
    }
  }
}

/** An arrow leads from the stage of its entry in the submission queue to that of its completion. */
function addIo(trace: PerfettoTrace, slices: IoSlices): void {
  const { io, name, originNs, stages, track, flow } = slices;
  const times = io.timesNs.map((time) => Math.max(0, Math.round(time - originNs)));
  const facts = { lba: io.lba, bytes: io.bytes, status: io.status };
  trace.begin({ track, name, startNs: times[0]!, facts });
  const taken = times.map((endNs, i) => i > 0 && endNs > times[i - 1]!);
  const ends = [taken.indexOf(true), taken.lastIndexOf(true)];
  for (let i = 1; i < times.length; i++) {
    if (taken[i] !== true) continue;
    const slice = `${stages[i - 1]} → ${stages[i]}`;
    const joined = ends[0] !== ends[1] && ends.includes(i) ? { flow } : {};
    trace.addSlice({ track, name: slice, startNs: times[i - 1]!, endNs: times[i]!, ...joined });
  }
  trace.end(track, times.at(-1)!);
}
