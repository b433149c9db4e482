import type { RegisterName } from '../../sdk/spec/nvme/registers.js';

/**
 * What is done to both controllers, as plain data: the same on each, and any part of a sequence can
 * be left out. Places in memory are byte offsets in a sandbox that both have.
 */
export interface CommandStep {
  readonly kind: 'command';
  /** 0 the admin queues, 1 the I/O queue pair that every sequence has. */
  readonly queue: 0 | 1;
  /** The 16 dwords; identifier and places are put in. */
  readonly words: readonly number[];
  /** Where the first PRP entry or the address of SGL 1 points; the dwords as they are when null. */
  readonly prp1: number | null;
  readonly prp2: number | null;
  /** A PRP list or an SGL segment in the sandbox. */
  readonly list: PrpList | SglList | null;
  /** Dwords at the start of the sandbox, which is otherwise poison or filled from `seed`. */
  readonly payload: readonly number[];
  /** Fills the data pages; poison when null. */
  readonly seed: number | null;
}

export interface PrpList {
  readonly form: 'prp';
  readonly at: number;
  /** Sandbox offsets. */
  readonly entries: readonly number[];
}

export interface SglList {
  readonly form: 'sgl';
  readonly at: number;
  readonly entries: readonly {
    readonly place: number;
    readonly length: number;
    readonly type: number;
    readonly subtype: number;
  }[];
}

/** An asynchronous event request: posted, and never waited for unless it ends at once. */
export interface EventStep {
  readonly kind: 'event';
}

/** A register read, or written and read back. */
export interface RegisterStep {
  readonly kind: 'register';
  readonly name: RegisterName;
  readonly write: number | null;
}

/** Any value in the doorbell of any queue. Nothing is certain after it but the event. */
export interface DoorbellStep {
  readonly kind: 'doorbell';
  readonly side: 'submission' | 'completion';
  readonly queue: number;
  readonly value: number;
}

/** Disable, and enable with these values of CC and AQA over those that are right. */
export interface StartStep {
  readonly kind: 'start';
  readonly cc: number;
  readonly aqa: number;
}

export interface ShutdownStep {
  readonly kind: 'shutdown';
  readonly how: 'normal' | 'abrupt';
}

export type Step = CommandStep | EventStep | RegisterStep;
export type Ending = DoorbellStep | StartStep | ShutdownStep;

export interface Sequence {
  readonly seed: number;
  readonly steps: readonly Step[];
  readonly ending: Ending | null;
}

export const sandboxPage = 4096;
/** Pages of data, then two pages for lists. */
export const dataPages = 4;
export const dataBytes = dataPages * sandboxPage;
export const listAt = dataBytes;
export const sandboxBytes = dataBytes + 2 * sandboxPage;

/** Blocks at the start and at the end of the namespace that every sequence writes first. */
export const windowBlocks = { start: 32, end: 16 } as const;
/** Blocks that are deallocated and never read: what they hold then is the controller's choice. */
export const deallocatedAt = 4096;
