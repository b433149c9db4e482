import type { Bar, Clock, DmaRegion, DmaSpace, Interrupts } from '../device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { QueuePriority } from '../spec/nvme/admin-command.js';
import { commandBytes } from '../spec/nvme/command.js';
import { completionBytes } from '../spec/nvme/completion.js';
import { completionDoorbell, submissionDoorbell } from '../spec/nvme/registers.js';
import { type BadCompletion, CompletionQueue } from './completion-queue.js';
import type { Core } from './core.js';
import { DataPointers, listPagesFor } from './data-pointer.js';
import { type CompletionMode, inRange, maxQueueEntries, registerPollNs } from './options.js';
import { type Steps, until } from './procedure.js';
import {
  createCompletionQueue,
  createSubmissionQueue,
  deleteCompletionQueue,
  deleteSubmissionQueue,
} from './queue-commands.js';
import { type QueueKeeper, QueuePair } from './queue-pair.js';
import { smallQueueEntries } from './quirks.js';
import { ShadowDoorbell } from './shadow-doorbell.js';
import { SubmissionQueue } from './submission-queue.js';

export type Priority = keyof typeof QueuePriority;

export interface QueuePairOptions {
  /** Entries of the submission queue, 2..min(4096, MQES); one less can be in flight. */
  readonly entries?: number;
  /** Entries of the completion queue when it is not shared; as many when left out. */
  readonly completionEntries?: number;
  readonly mode?: CompletionMode;
  /** Arbitration class, for a controller opened with weighted round robin. */
  readonly priority?: Priority;
  /** Another queue pair whose completion queue serves this one too. */
  readonly shareCompletionOf?: QueuePair;
  /** Interrupt vector; spread over those enabled when left out. */
  readonly vector?: number;
}

/** What rings stand on: the controller in its own thread, or its loan in another one. */
export interface PairHost extends QueueKeeper {
  readonly fn: { readonly dma: DmaSpace; readonly interrupts: Interrupts };
  readonly registers: { readonly bar: Bar };
  readonly capabilities: { readonly doorbellStride: number };
  readonly clock: Clock;
  readonly pageBytes: number;
  /** The device wrote a completion that cannot be. */
  misbehaved(bad: BadCompletion): void;
}

/** A pair of rings in memory, unknown to the controller so far. */
export function buildPair(core: PairHost, parts: BuildParts): QueuePair {
  const { id, entries, mode } = parts;
  const { fn, registers, pageBytes } = core;
  const stride = core.capabilities.doorbellStride;
  const shared = parts.shareCompletionOf;
  const regions: DmaRegion[] = [];
  const ring = (bytes: number): DmaRegion => {
    const region = fn.dma.allocate(Math.ceil(bytes / pageBytes) * pageBytes, {
      alignment: pageBytes,
    });
    regions.push(region);
    return region;
  };
  try {
    const completion =
      shared?.completion ??
      new CompletionQueue({
        id,
        entries: parts.completionEntries,
        region: ring(parts.completionEntries * completionBytes),
        bar: registers.bar,
        doorbell: completionDoorbell(id, stride),
        clock: core.clock,
        vector: parts.vector,
        hasInterrupt: mode !== 'polling',
        misbehaved: (bad) => core.misbehaved(bad),
      });
    const submission = new SubmissionQueue({
      id,
      entries,
      region: ring(entries * commandBytes),
      completion,
      bar: registers.bar,
      doorbell: submissionDoorbell(id, stride),
    });
    const data = new DataPointers(fn.dma, {
      pageBytes,
      slotCount: submission.slotCount,
      listPages: parts.listPages,
      sglAlignment: parts.sglAlignment,
    });
    regions.push(data.region);
    completion.attach(submission);
    return new QueuePair({
      submission,
      completion,
      data,
      mode,
      clock: core.clock,
      ownsCompletion: shared === undefined,
      priority: parts.priority,
      keeper: core,
      interrupts: fn.interrupts,
    });
  } catch (error) {
    // A failed map is fatal for the pair; what was mapped before it goes back.
    for (const region of regions) fn.dma.free(region);
    throw error;
  }
}

export interface BuildParts {
  readonly id: number;
  readonly entries: number;
  readonly completionEntries: number;
  readonly mode: CompletionMode;
  readonly vector: number;
  readonly priority: number;
  readonly listPages: number;
  readonly sglAlignment: number;
  readonly shareCompletionOf?: QueuePair;
}

/** The admin queue pair: its rings are programmed into registers. */
export function buildAdminPair(core: Core): QueuePair {
  const { settings } = core;
  const hasVectors = settings.completionMode !== 'polling' && core.vectorCount > 0;
  return buildPair(core, {
    id: 0,
    entries: settings.adminEntries,
    completionEntries: settings.adminEntries,
    mode: hasVectors ? 'interrupt' : 'polling',
    vector: 0,
    priority: 0,
    listPages: 1,
    sglAlignment: 1,
  });
}

/**
 * Create an I/O queue pair: completion queue first, submission queue after it.
 *
 * @throws UltimaError of the commands, DMA_*; RangeError for options out of range
 */
export function* createPair(core: Core, options: QueuePairOptions): Steps<QueuePair> {
  const id = freeId(core);
  const pair = buildPair(core, partsOf(core, options, id));
  core.promisedIds.add(id);
  try {
    yield* announcePair(core, pair);
  } catch (error) {
    pair.completion.detach(pair.submission);
    // Without an answer the controller may know the rings: their memory stays until it was reset.
    if (!wasAnswered(error)) yield* recovered(core);
    freePair(core, pair);
    throw error;
  } finally {
    core.promisedIds.delete(id);
  }
  core.pairs.push(pair);
  return pair;
}

function partsOf(core: Core, options: QueuePairOptions, id: number): BuildParts {
  const { settings } = core;
  const limits = core.limitsNow();
  const most = mostEntries(core);
  const entries = options.entries ?? Math.min(settings.queueEntries, most);
  inRange('entries', entries, [2, most]);
  const completionEntries = options.completionEntries ?? entries;
  inRange('completionEntries', completionEntries, [2, most]);
  const wanted = options.mode ?? settings.completionMode;
  const mode = core.vectorCount === 0 ? 'polling' : wanted;
  const spread = core.vectorCount > 1 ? 1 + ((id - 1) % (core.vectorCount - 1)) : 0;
  const vector = options.vector ?? spread;
  if (mode !== 'polling') inRange('vector', vector, [0, core.vectorCount - 1]);
  const shared = options.shareCompletionOf;
  return {
    id,
    entries,
    completionEntries,
    mode,
    vector,
    priority: QueuePriority[options.priority ?? 'urgent'],
    listPages: listPagesFor(limits.maxTransferBytes, core.pageBytes),
    sglAlignment: limits.sglAlignment,
    ...(shared === undefined ? {} : { shareCompletionOf: shared }),
  };
}

/** Entries that a queue of this controller can have. */
export function mostEntries(core: Core): number {
  return Math.min(
    maxQueueEntries,
    core.capabilities.maxQueueEntries,
    core.quirks.names.has('small queues') ? smallQueueEntries : maxQueueEntries,
  );
}

/** A queue identifier that nobody uses. @throws UltimaError QUEUE_FULL */
export function freeId(core: Core, most = core.limitsNow().submissionQueues): number {
  for (let id = 1; id <= most; id++) {
    if (core.promisedIds.has(id) || core.pairs.some((pair) => pair.id === id)) continue;
    if (![...core.lent].some((queue) => queue.id === id)) return id;
  }
  throw new UltimaError(
    ErrorCode.queueFull,
    `all ${most} I/O queue pairs that the controller gave are in use; ask for more with queuePairs`,
    { granted: most, asked: core.settings.queuePairs },
  );
}

/** Tell the controller of a pair; also after a reset, which has made it forget. */
export function* announcePair(core: Core, pair: QueuePair): Steps<void> {
  const admin = core.adminQueue();
  if (pair.ownsCompletion) yield* announceCompletion(core, pair);
  pair.submission.rewind();
  attachShadow(core, pair);
  const { id, entries, submission, completion } = pair;
  const isWeighted = core.settings.arbitration === 'weighted round robin';
  const priority = isWeighted ? pair.priority : 0;
  const ring = { id, entries, iova: submission.region.iova };
  try {
    yield* createSubmissionQueue(admin, ring, { completionId: completion.id, priority });
  } catch (error) {
    // Without an answer a reset follows, which makes it forget both queues.
    if (pair.ownsCompletion && wasAnswered(error)) {
      yield* deleteCompletionQueue(admin, completion.id, { allowsFailure: true });
    }
    throw error;
  }
}

/** The controller itself has refused: it is alive, and nothing was made. */
function wasAnswered(error: unknown): boolean {
  return error instanceof UltimaError && error.code === ErrorCode.commandFailed;
}

/** Wait for the end of a recovery that is under way; each of its steps has a deadline. */
function* recovered(core: Core): Steps<void> {
  const poll = { clock: core.clock, deadlineNs: Infinity, intervalNs: registerPollNs };
  yield* until(() => core.life === null, poll);
}

function* announceCompletion(core: Core, pair: QueuePair): Steps<void> {
  const { completion } = pair;
  completion.rewind();
  const { id, entries, region, vector, hasInterrupt } = completion;
  const ring = { id, entries, iova: region.iova };
  yield* createCompletionQueue(core.adminQueue(), ring, hasInterrupt ? vector : null);
}

/**
 * Delete a pair: submission queue, then completion queue, and only then the memory of both. What
 * was in flight ends as the controller says, or as unknown.
 */
export function* deletePair(core: Core, pair: QueuePair): Steps<void> {
  if (!core.pairs.includes(pair)) return;
  const isShared = pair.ownsCompletion && pair.completion.attachedCount > 1;
  if (isShared) {
    throw new TypeError('another queue pair still uses this completion queue; delete that first');
  }
  pair.submission.isOpen = false;
  yield* deleteSubmissionQueue(core.adminQueue(), pair.id);
  pair.poll();
  pair.submission.isDead = true;
  pair.submission.endAll();
  if (pair.ownsCompletion) yield* deleteCompletionQueue(core.adminQueue(), pair.completion.id);
  pair.completion.detach(pair.submission);
  core.pairs.splice(core.pairs.indexOf(pair), 1);
  freePair(core, pair);
}

/** The controller does not know the pair any more, or can reach no memory. */
export function freePair(core: Pick<PairHost, 'fn'>, pair: QueuePair): void {
  const { dma } = core.fn;
  pair.retire();
  dma.free(pair.submission.region);
  dma.free(pair.data.region);
  if (pair.ownsCompletion) dma.free(pair.completion.region);
}

function attachShadow(core: Core, pair: QueuePair): void {
  if (core.shadow === null) return;
  const parts = { shadow: core.shadow.shadow.words, eventIndex: core.shadow.eventIndex.words };
  const stride = submissionDoorbell(1, core.capabilities.doorbellStride);
  const base = submissionDoorbell(0, core.capabilities.doorbellStride);
  const at = (pair.id * (stride - base)) / 4;
  pair.submission.shadow = new ShadowDoorbell({ ...parts, at });
  if (pair.ownsCompletion) {
    pair.completion.shadow = new ShadowDoorbell({ ...parts, at: at + (stride - base) / 8 });
  }
}
