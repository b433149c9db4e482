import { ErrorCode, UltimaError } from '../sdk/errors.js';
import { errnoText, type NativeKernel, type Watcher, type WordsWatch } from './kernel.js';

/**
 * Calls back in each turn of the event loop while it rings: from `ring`, or from when another
 * process has written words in shared memory while it was armed, until `silence`. A call allocates
 * nothing, as one by `setImmediate` would. While it neither rings nor is armed it costs nothing.
 */
export class WordsAlarm {
  private readonly kernel: NativeKernel;
  private readonly eventfd: number;
  private readonly watcher: Watcher;
  private readonly watch: WordsWatch;
  private isOpen = true;

  /**
   * @param words  in memory that stays mapped until `close`
   * @param seen   what the caller knows of them
   * @throws UltimaError DMA_EXHAUSTED when the process has no descriptor left
   */
  constructor(kernel: NativeKernel, words: Uint32Array, seen: Uint32Array, onTurn: () => void) {
    if (words.length !== seen.length) {
      throw new RangeError(`${words.length} words and ${seen.length} that were seen of them`);
    }
    this.kernel = kernel;
    this.eventfd = kernel.eventfd();
    if (this.eventfd < 0) {
      const errno = errnoText(this.eventfd);
      const text = `the process has no descriptor left (${errno}): raise its limit (ulimit -n)`;
      throw new UltimaError(ErrorCode.dmaExhausted, text, { errno });
    }
    this.watcher = kernel.watch(this.eventfd, onTurn);
    this.watch = kernel.watchWords(words, seen, this.eventfd);
  }

  /** Whether the alarm keeps the process alive, also while it does not ring. Not at first. */
  hold(isHeld: boolean): void {
    if (this.isOpen) this.watcher.hold(isHeld);
  }

  ring(): void {
    if (this.isOpen) this.kernel.signalEvent(this.eventfd);
  }

  silence(): void {
    if (this.isOpen) this.kernel.takeEvent(this.eventfd);
  }

  /** Ring when a word is another than the one seen, be it now: once for each time it is armed. */
  arm(quietMs: number): void {
    if (this.isOpen) this.watch.arm(quietMs);
  }

  /** Idempotent. */
  close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.watch.close();
    this.watcher.close();
    this.kernel.close(this.eventfd);
  }
}
