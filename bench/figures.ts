import { cpus } from 'node:os';

/** What a benchmark gives: one object on standard output with `--json`. */
export interface Figures {
  /** Everything that somebody needs to measure it again. */
  readonly conditions: Readonly<Record<string, string | number | boolean>>;
  readonly figures: Readonly<Record<string, number>>;
}

/** What a module of a benchmark exports as `bench`. */
export interface Bench {
  /** What the figure claims, in one sentence. */
  readonly claim: string;
  /** @throws for a run that is not valid, for instance with a wrong byte in it */
  run(): Promise<Figures>;
  /** The same over VFIO on the emulated cards of the guest, which must run here. */
  runInGuest?(): Promise<Figures>;
  /** Plots of it as an HTML file. @throws UltimaError FILE_UNWRITABLE */
  report?(path: string): Promise<void>;
}

/** Node and processor, for the conditions of every benchmark. */
export function machine(): Readonly<Record<string, string | number>> {
  const [first] = cpus();
  return { node: process.version, cpu: first?.model ?? 'unknown', cpus: cpus().length };
}

/** Seconds of processor time that `work` took, and what it gave. */
export async function cpuSecondsOf<T>(work: () => Promise<T>): Promise<[number, T]> {
  const before = process.cpuUsage();
  const value = await work();
  const { user, system } = process.cpuUsage(before);
  return [(user + system) / 1e6, value];
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}
