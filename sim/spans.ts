/** Told of each stretch of time in which a part of a card was busy. Stores and returns. */
export interface SpanSink {
  span(track: number, startNs: number, endNs: number): void;
}

/** The tracks of parts of one kind: channels, dies, cores. */
export class Tracks {
  private readonly sink: SpanSink;
  private readonly first: number;

  constructor(sink: SpanSink, first: number) {
    this.sink = sink;
    this.first = first;
  }

  /** @param index  of the part among those of its kind */
  span(index: number, startNs: number, endNs: number): void {
    this.sink.span(this.first + index, startNs, endNs);
  }
}

/** Makes tracks with these names. */
export type AddTracks = (names: readonly string[]) => Tracks;

/** 'die 0', 'die 1' .. */
export function numbered(name: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${name} ${i}`);
}
