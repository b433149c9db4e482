import { closeSync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { ErrorCode, UltimaError } from '../../sdk/errors.js';
import { blankPage, type PagePool, pageDataBytes, transientPage } from './page-pool.js';
import { type PageStore, unreadable } from './page-store.js';

/**
 * Pages in a sparse file, read and written as they are needed:
 *
 *     | data of all pages | metadata of all pages | two state bytes per page | summary | trailer |
 *
 * The data comes first and without gaps, so that the file is a raw image of the namespace. A raw
 * image without the rest is taken as one whose blocks are all written. State bytes are stored so
 * that a hole in the file means "as it was at the start". The summary has a byte for each 32,768
 * pages, 0 while none of them was ever written: looking for pages in a large file skips the rest.
 *
 * What the file system refuses while the card runs (a full disk, a file that was cut short) is an
 * answer, never an exception: the card turns it into a status.
 */
export interface FileStoreOptions {
  readonly path: string;
  /** Pages that the store holds. */
  readonly pageCount: number;
  /** Forget what the file contains. */
  readonly isFresh: boolean;
}

const stateBytes = 2;
const trailerWords = 8;
const trailerMagic = 0x556c7431;
const scanPages = 32 * 1024;

export class FileStore implements PageStore {
  private readonly pool: PagePool;
  private readonly file: number;
  private readonly pageCount: number;
  private readonly metadataBytes: number;
  private readonly metadataAt: number;
  private readonly stateAt: number;
  /** Written blocks of a page whose state is a hole. */
  private writtenByDefault = 0;
  private readonly state = new Uint8Array(stateBytes);
  private readonly summary: Uint8Array;
  private readonly summaryAt: number;

  /** @throws UltimaError FILE_INVALID, FILE_UNWRITABLE: only here, never later */
  constructor(pool: PagePool, options: FileStoreOptions) {
    this.pool = pool;
    this.pageCount = options.pageCount;
    this.metadataBytes = pool.blocksPerPage * pool.metadataBytes;
    this.metadataAt = options.pageCount * pageDataBytes;
    this.stateAt = this.metadataAt + options.pageCount * this.metadataBytes;
    this.summaryAt = this.stateAt + options.pageCount * stateBytes;
    this.summary = new Uint8Array(Math.ceil(options.pageCount / scanPages));
    this.file = openFile(options.path);
    try {
      this.prepare(options);
    } catch (error) {
      closeSync(this.file);
      if (error instanceof UltimaError) throw error;
      const bytes = this.summaryAt + this.summary.length + trailerWords * 4;
      const message =
        `cannot make ${options.path} ${bytes} bytes long, as the namespace needs: ` +
        `${reasonOf(error)}; name a file on a file system that allows it`;
      const facts = { path: options.path, bytes };
      throw new UltimaError(ErrorCode.fileUnwritable, message, facts, error);
    }
  }

  find(page: number): number {
    const { pool, state } = this;
    if (!this.read(state, 0, stateBytes, this.stateAt + page * stateBytes)) return unreadable;
    const written = state[0]! ^ this.writtenByDefault;
    if (written === 0 && state[1] === 0) return blankPage;
    const data = pool.changeData(transientPage);
    if (!this.read(data, 0, pageDataBytes, page * pageDataBytes)) return unreadable;
    if (this.metadataBytes > 0) {
      const at = this.metadataAt + page * this.metadataBytes;
      const metadata = pool.changeMetadata(transientPage);
      if (!this.read(metadata, 0, this.metadataBytes, at)) return unreadable;
    }
    pool.written[transientPage] = written;
    pool.bad[transientPage] = state[1]!;
    return transientPage;
  }

  put(page: number, content: number, mask: number): boolean {
    const { pool, state } = this;
    if (page >= this.pageCount) return false;
    const data = pool.dataOf(content);
    const metadata = pool.metadataOf(content);
    const dataAt = page * pageDataBytes;
    const metadataAt = this.metadataAt + page * this.metadataBytes;
    for (let first = 0; first < pool.blocksPerPage; first++) {
      if (((mask >>> first) & 1) === 0) continue;
      let end = first + 1;
      while (((mask >>> end) & 1) === 1) end++;
      const run = { first, count: end - first };
      if (!this.writeRun(data, pool.dataBytes, run, dataAt)) return false;
      if (!this.writeRun(metadata, pool.metadataBytes, run, metadataAt)) return false;
      first = end;
    }
    state[0] = pool.written[content]! ^ this.writtenByDefault;
    state[1] = pool.bad[content]!;
    if (!this.write(state, 0, stateBytes, this.stateAt + page * stateBytes)) return false;
    if (!this.note(Math.floor(page / scanPages))) return false;
    pool.release(content);
    return true;
  }

  pagesIn(first: number, end: number): number[] {
    const pages: number[] = [];
    const states = new Uint8Array(scanPages * stateBytes);
    const last = Math.min(end, this.pageCount);
    for (let at = first; at < last; ) {
      const group = Math.floor(at / scanPages);
      const next = Math.min((group + 1) * scanPages, last);
      const from = at;
      at = next;
      if (this.summary[group] === 0) continue;
      const length = (next - from) * stateBytes;
      if (!this.read(states, 0, length, this.stateAt + from * stateBytes)) return pages;
      for (let i = 0; i < next - from; i++) {
        const written = states[i * stateBytes]! ^ this.writtenByDefault;
        if (written !== 0 || states[i * stateBytes + 1] !== 0) pages.push(from + i);
      }
    }
    return pages;
  }

  /** The simulated power has no hold on the file system's cache: nothing is left to do. */
  sync(): boolean {
    return true;
  }

  close(): void {
    closeSync(this.file);
  }

  private prepare(options: FileStoreOptions): void {
    const { pool } = this;
    const trailerAt = this.summaryAt + this.summary.length;
    const totalBytes = trailerAt + trailerWords * 4;
    const sizeBytes = fstatSync(this.file).size;
    const trailer = new Uint32Array(trailerWords);
    const trailerView = new Uint8Array(trailer.buffer);
    const isOurs = sizeBytes === totalBytes && this.read(trailerView, 0, 32, trailerAt);
    const isSame =
      isOurs &&
      trailer[0] === trailerMagic &&
      trailer[1] === pool.dataBytes &&
      trailer[2] === pool.metadataBytes;
    const isImage = sizeBytes === this.metadataAt && pool.metadataBytes === 0;
    if (!options.isFresh && isSame) {
      this.writtenByDefault = trailer[3]!;
      if (this.read(this.summary, 0, this.summary.length, this.summaryAt)) return;
      throw new Error('the summary cannot be read');
    }
    if (!options.isFresh && sizeBytes > 0 && !isImage) {
      throw new UltimaError(
        ErrorCode.fileInvalid,
        `${options.path} holds ${sizeBytes} bytes, which is neither an image of this namespace ` +
          `(${this.metadataAt} bytes) nor one that this card wrote (${totalBytes}): ` +
          'name another file, or remove it',
        { path: options.path, sizeBytes, imageBytes: this.metadataAt, totalBytes },
      );
    }
    if (!isImage || options.isFresh) ftruncateSync(this.file, 0);
    this.writtenByDefault = isImage && !options.isFresh ? pool.allBlocks : 0;
    trailer.set([trailerMagic, pool.dataBytes, pool.metadataBytes, this.writtenByDefault]);
    ftruncateSync(this.file, totalBytes);
    this.summary.fill(this.writtenByDefault === 0 ? 0 : 1);
    const isSummed = this.write(this.summary, 0, this.summary.length, this.summaryAt);
    if (isSummed && this.write(trailerView, 0, 32, trailerAt)) return;
    throw new UltimaError(ErrorCode.fileUnwritable, `${options.path} cannot be extended`, {
      path: options.path,
      totalBytes,
    });
  }

  /** The summary knows of a write to a group of pages. */
  private note(group: number): boolean {
    if (this.summary[group] !== 0) return true;
    this.summary[group] = 1;
    return this.write(this.summary, group, 1, this.summaryAt + group);
  }

  private writeRun(bytes: Uint8Array, blockBytes: number, run: Run, at: number): boolean {
    const from = run.first * blockBytes;
    return this.write(bytes, from, run.count * blockBytes, at + from);
  }

  private read(target: Uint8Array, at: number, length: number, position: number): boolean {
    try {
      return readSync(this.file, target, at, length, position) === length;
    } catch {
      return false;
    }
  }

  private write(source: Uint8Array, at: number, length: number, position: number): boolean {
    if (length === 0) return true;
    try {
      return writeSync(this.file, source, at, length, position) === length;
    } catch {
      return false;
    }
  }
}

interface Run {
  readonly first: number;
  readonly count: number;
}

/** Open for reading and writing, made when it is not there. */
function openFile(path: string): number {
  try {
    return openSync(path, 'r+');
  } catch {
    // Not there, or not to be opened: the second attempt tells which.
  }
  try {
    return openSync(path, 'wx+');
  } catch (error) {
    throw new UltimaError(
      ErrorCode.fileUnwritable,
      `cannot open ${path} for the blocks of a namespace: ${reasonOf(error)}; ` +
        'name a file that may be written, in a folder that exists',
      { path },
      error,
    );
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}
