interface Timer {
  readonly atNs: number;
  readonly resolve: () => void;
}

/** Sleep of the control path, by whoever polls: no timer of the platform is involved. */
export class Timers {
  /** When the first sleeper wakes; Infinity for none. */
  wakeNs = Number.POSITIVE_INFINITY;
  private timers: Timer[] = [];
  private isStopped = false;

  sleepUntil(atNs: number): Promise<void> {
    if (this.isStopped) return Promise.resolve();
    if (atNs < this.wakeNs) this.wakeNs = atNs;
    return new Promise((resolve) => this.timers.push({ atNs, resolve }));
  }

  run(nowNs: number): void {
    if (nowNs < this.wakeNs) return;
    const due = this.timers.filter(({ atNs }) => atNs <= nowNs);
    this.timers = this.timers.filter(({ atNs }) => atNs > nowNs);
    this.wakeNs = Math.min(Number.POSITIVE_INFINITY, ...this.timers.map(({ atNs }) => atNs));
    for (const { resolve } of due) resolve();
  }

  /** Everybody wakes now, and nobody sleeps any more. */
  stop(): void {
    this.isStopped = true;
    this.run(Number.POSITIVE_INFINITY);
  }
}
