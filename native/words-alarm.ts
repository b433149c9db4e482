import { ErrorCode, UltimaError } from '../sdk/errors.js';
import { errnoText, type NativeKernel, type Watcher, type WordsWatch } from './kernel.js';

/**
 * Calls back from the event loop when another process has written words in shared memory. While it
 * is not armed nobody looks, and it costs nothing.
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
  constructor(kernel: NativeKernel, words: Uint32Array, seen: Uint32Array, onChange: () => void) {
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
    this.watcher = kernel.watch(this.eventfd, () => {
      if (kernel.takeEvent(this.eventfd) > 0) onChange();
    });
    this.watch = kernel.watchWords(words, seen, this.eventfd);
  }

  /** Call back once, when a word is another than the one seen, be it now. */
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
