import { keyCheckOf } from '../volume/cipher.js';
import type { KeyFinder } from '../volume/core.js';
import type { Pool } from '../volume/pool.js';
import type { ObjectName } from '../volume/pool-names.js';
import { handOver } from './control-client.js';
import { readKeys } from './keys.js';
import { type PoolPlace, withPool } from './pool-access.js';
import type { Terminal } from './terminal.js';
import { chosenVerb, formatOf, type ListResult, print, type VerbResult } from './verb-result.js';

/** What a verb of a pool has besides the pool. */
export interface VerbContext {
  /** Those of `--key`; in the process that serves the pool, those that it was started with. */
  readonly keys: KeyFinder;
  /** Who uses volumes of the pool meanwhile; null when nobody can. */
  readonly users: PoolUsers | null;
  /** Say how far long work is. What it throws ends the work: nobody waits for it any more. */
  readonly step: (what: string, done: number, total: number) => void;
  /** Look again how large the devices of the pool are. */
  readonly measure: () => void;
}

/** Clients of the process that serves the pool. */
export interface PoolUsers {
  /** @throws UltimaError VOLUME_BUSY for what is served, and for a volume whose snapshot is */
  demandUnserved(name: ObjectName): void;
  /** @throws UltimaError VOLUME_BUSY while clients use a volume */
  demandUnused(volume: string): void;
}

/** What is done with an open pool, by this process or by the one that serves the pool. */
export interface PoolTask {
  readonly place: PoolPlace;
  readonly access: 'read' | 'write';
  /** Words of `--key`. */
  readonly keyWords?: readonly string[] | undefined;
  use(pool: Pool, context: VerbContext): Promise<VerbResult | ListResult>;
}

/** What only a process can do that has the devices for itself. */
export interface LoneTask {
  /** 'pool delete' */
  readonly what: string;
  readonly devices: readonly string[];
  alone(): Promise<VerbResult>;
}

/** Reads words and does nothing yet. */
export type PoolVerb = (words: readonly string[]) => PoolTask | LoneTask;

/** Steps that are shown: five in a second. */
const stepMs = 200;

/** Run `ultima NOUN VERB …` here, or have the process do it that serves the pool. */
export async function runPoolVerb(
  noun: string,
  verbs: Readonly<Record<string, PoolVerb>>,
  words: readonly string[],
  terminal: Terminal,
): Promise<number> {
  const { verb, rest } = chosenVerb(noun, verbs, words);
  const format = formatOf(rest);
  const task = verb(rest);
  const keys = readKeys('use' in task ? task.keyWords : []);
  const checks = [...keys].map(([id, key]): [string, string] => [id, keyCheckOf(key)]);
  const asked = {
    devices: 'use' in task ? task.place.names : task.devices,
    isChange: !('use' in task) || task.access === 'write',
    request: { words: [noun, ...words], keyChecks: new Map(checks) },
  };
  const code = await handOver(asked, terminal);
  if (code !== null) return code;
  const result = 'use' in task ? await runHere(task, keys, terminal) : await task.alone();
  return print(result, format, terminal);
}

function runHere(
  { place, access, use }: PoolTask,
  keys: ReadonlyMap<string, Uint8Array>,
  terminal: Terminal,
): Promise<VerbResult | ListResult> {
  const keyOf: KeyFinder = (name) => keys.get(name) ?? null;
  const step = stepsTo((text) => terminal.progress(text));
  // Devices that have just been opened are as large as they are.
  const context = { keys: keyOf, users: null, step, measure: () => {} };
  return withPool(place, access, (pool) => use(pool, context), keyOf);
}

/** Steps as lines, as many as a person can read. */
export function stepsTo(show: (text: string) => void): VerbContext['step'] {
  let lastMs = Number.NEGATIVE_INFINITY;
  return (what, done, total) => {
    const nowMs = performance.now();
    if (nowMs - lastMs < stepMs) return;
    lastMs = nowMs;
    show(total > 0 ? `${what}: ${Math.floor((100 * done) / total)} %` : `${what}: ${done}`);
  };
}
