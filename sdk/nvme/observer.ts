import type { SubmissionQueue } from './submission-queue.js';

/**
 * Told of each stage of each command: entry written, doorbell rung, completion seen, callback
 * returned. Called on the data path, with nothing allocated: look at the clock, store, return.
 */
export interface QueueObserver {
  submitted(queue: SubmissionQueue, slot: number): void;
  rang(queue: SubmissionQueue, slot: number): void;
  seen(queue: SubmissionQueue, slot: number): void;
  calledBack(queue: SubmissionQueue, slot: number): void;
}
