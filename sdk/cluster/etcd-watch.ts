import { ErrorCode, UltimaError } from '../errors.js';
import type { EtcdClient, OpenStream } from './etcd-client.js';
import {
  eventIn,
  headerIn,
  type Json,
  listIn,
  numberIn,
  objectIn,
  parseJson,
  rangeOfPrefix,
} from './etcd-json.js';
import { compacted, rolledBack } from './key-table.js';
import type { StoreEvent, StoreWatch, StoreWatcher } from './store.js';

const firstPauseMs = 50;
const longestPauseMs = 2_000;
/** A connection that lost its other end looks like one where nothing happens: begin anew. */
const longestSilenceMs = 30_000;
const longestLineChars = 64 * 1024 * 1024;

/**
 * One watch over whatever member answers. When the stream breaks, or is silent for long, it goes on
 * at another member from the last revision told: nothing is left out and nothing told twice.
 */
export class EtcdWatch implements StoreWatch {
  private readonly client: EtcdClient;
  private readonly prefix: string;
  private readonly watcher: StoreWatcher;
  private toldRevision: number;
  private stream: OpenStream | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private pauseMs = firstPauseMs;
  private isOpen = true;
  private pending = '';

  constructor(client: EtcdClient, prefix: string, afterRevision: number, watcher: StoreWatcher) {
    this.client = client;
    this.prefix = prefix;
    this.watcher = watcher;
    this.toldRevision = afterRevision;
    void this.begin();
  }

  close(): void {
    this.isOpen = false;
    this.letGo();
  }

  private letGo(): void {
    clearTimeout(this.timer);
    this.stream?.close();
    this.stream = null;
    this.pending = '';
  }

  private async begin(): Promise<void> {
    const from = { ...rangeOfPrefix(this.prefix), start_revision: String(this.toldRevision + 1) };
    try {
      const stream = await this.client.stream('/v3/watch', { create_request: from });
      if (!this.isOpen) return stream.close();
      this.stream = stream;
      this.listenForSilence();
      stream.response.setEncoding('utf8');
      stream.response.on('data', (text: string) => this.receive(stream, text));
      stream.response.on('error', () => this.again(stream));
      stream.response.on('close', () => this.again(stream));
    } catch {
      // Out of reach: not an end of the watch, the next member may answer.
      this.again(null);
    }
  }

  /** After a pause, at the next member. */
  private again(stream: OpenStream | null): void {
    if (!this.isOpen || stream !== this.stream) return;
    this.letGo();
    this.client.moveOn();
    this.timer = setTimeout(() => void this.begin(), this.pauseMs);
    this.pauseMs = Math.min(this.pauseMs * 2, longestPauseMs);
  }

  private listenForSilence(): void {
    clearTimeout(this.timer);
    const { stream } = this;
    this.timer = setTimeout(() => this.again(stream), longestSilenceMs);
  }

  private receive(stream: OpenStream, text: string): void {
    if (!this.isOpen || stream !== this.stream) return;
    this.listenForSilence();
    this.pending += text;
    try {
      for (let end = this.pending.indexOf('\n'); end >= 0; end = this.pending.indexOf('\n')) {
        const line = this.pending.slice(0, end);
        this.pending = this.pending.slice(end + 1);
        this.take(objectIn(parseJson(line), 'result'));
        if (!this.isOpen) return;
      }
      if (this.pending.length > longestLineChars) this.again(stream);
    } catch {
      // No etcd says such things: another member may do better.
      this.again(stream);
    }
  }

  private take(result: Json): void {
    if (result.canceled === true) {
      const oldest = numberIn(result, 'compact_revision');
      if (oldest > 0) this.end(compacted(this.toldRevision, oldest));
      else this.again(this.stream);
      return;
    }
    if (result.created === true && headerIn(result).revision < this.toldRevision)
      void this.compare();
    this.pauseMs = firstPauseMs;
    const events = listIn(result, 'events').map(eventIn);
    const fresh = events.filter((event) => event.revision > this.toldRevision);
    if (fresh.length === 0) return;
    this.toldRevision = lastRevision(fresh);
    this.watcher.changed(fresh);
  }

  /**
   * The member has not seen yet what we have been told. It may lag, and then goes on to tell us;
   * or the whole cluster has fallen back, which its quorum knows.
   */
  private async compare(): Promise<void> {
    try {
      const query = { ...rangeOfPrefix(this.prefix), count_only: true };
      const { revision } = headerIn(await this.client.call('/v3/kv/range', query, 'query'));
      if (!this.isOpen || revision >= this.toldRevision) return;
      this.end(rolledBack(this.toldRevision, revision));
    } catch (error) {
      if (!this.isOpen) return;
      if (error instanceof UltimaError && error.code === ErrorCode.storeRolledBack) this.end(error);
      else this.again(this.stream);
    }
  }

  private end(error: Error): void {
    this.close();
    this.watcher.failed(error);
  }
}

function lastRevision(events: readonly StoreEvent[]): number {
  return events.reduce((last, event) => Math.max(last, event.revision), 0);
}
