import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { NativeKernel, TcpBatch, Watcher, WordsWatch } from './kernel.js';

/** A thread that answers every entry of one queue pair with success; runs until it is stopped. */
export interface NullController {
  /** Entries answered. */
  readonly count: number;
  stop(): void;
}

/**
 * The rings fill their arrays; doorbells[0] is the submission tail, doorbells[1] the completion
 * head.
 * All of it stays mapped until the thread is stopped.
 */
type MakeNullController = new (
  submission: Uint32Array,
  completion: Uint32Array,
  doorbells: Uint32Array,
) => NullController;

/** What the addon exports: the calls of `NativeKernel`, and watchers as classes. */
interface Addon extends Omit<NativeKernel, 'watch' | 'watchWritable' | 'watchWords' | 'tcpBatch'> {
  readonly Watcher: new (fd: number, onReady: () => void, isForWriting: boolean) => Watcher;
  readonly WordsWatch: new (words: Uint32Array, seen: Uint32Array, eventfd: number) => WordsWatch;
  readonly NullController: MakeNullController;
  readonly TcpBatch: new (memory: Uint8Array, places: number, table: Int32Array) => TcpBatch;
  /** Absent in builds older than the check. */
  readonly interfaceVersion?: number;
}

export interface LoadResult {
  readonly kernel: NativeKernel | null;
  /** Why there is none; empty when there is one. */
  readonly unavailableReason: string;
  /** For measurements: a device that costs nothing. */
  readonly NullController: MakeNullController | null;
  /** File that was loaded. */
  readonly path: string | null;
}

/** What this package expects of the addon; native/src/addon.cc has the same number. */
const interfaceVersion = 7;

const root = fileURLToPath(new URL('../..', import.meta.url));

/**
 * Where the addon may be, best first. The path of the environment is the only one when it is set.
 */
export function addonPaths(environmentPath = process.env.ULTIMA_NATIVE_PATH): string[] {
  if (environmentPath !== undefined && environmentPath !== '') return [environmentPath];
  return [
    `${root}native/build/Release/ultima.node`,
    `${root}native/prebuilds/${process.platform}-${process.arch}/ultima.node`,
  ];
}

/** Load the addon. Never throws: without it everything but real hardware works. */
export function loadAddon(paths: readonly string[] = addonPaths()): LoadResult {
  if (process.platform !== 'linux') {
    return {
      kernel: null,
      NullController: null,
      path: null,
      unavailableReason: `VFIO is Linux's, this is ${process.platform}`,
    };
  }
  const path = paths.find((candidate) => existsSync(candidate));
  if (path === undefined) {
    const unavailableReason =
      `the native addon is not built (looked for ${paths.join(', ')}); ` +
      "'npx ultima build-native' builds it with a C++20 compiler and cmake";
    return { kernel: null, NullController: null, path: null, unavailableReason };
  }
  try {
    const addon: Addon = createRequire(import.meta.url)(path);
    if (addon.interfaceVersion !== interfaceVersion) {
      const unavailableReason =
        `${path} was built from another version of this package; ` +
        "'npx ultima build-native' builds it anew";
      return { kernel: null, NullController: null, path: null, unavailableReason };
    }
    const watch = (fd: number, onReadable: () => void): Watcher =>
      new addon.Watcher(fd, onReadable, false);
    const watchWritable = (fd: number, onWritable: () => void): Watcher =>
      new addon.Watcher(fd, onWritable, true);
    const watchWords = (words: Uint32Array, seen: Uint32Array, eventfd: number): WordsWatch =>
      new addon.WordsWatch(words, seen, eventfd);
    const tcpBatch = (memory: Uint8Array, places: number, table: Int32Array): TcpBatch =>
      new addon.TcpBatch(memory, places, table);
    const kernel = Object.assign({}, addon, { watch, watchWritable, watchWords, tcpBatch });
    return { kernel, NullController: addon.NullController, path, unavailableReason: '' };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return {
      kernel: null,
      NullController: null,
      path: null,
      unavailableReason: `${path} does not load: ${reason}`,
    };
  }
}
