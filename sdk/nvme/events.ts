import type { Outcome } from '../block/request.js';
import type { UltimaError } from '../errors.js';

/** An asynchronous event of the controller, in words [NVMe-2.0 §5.2 AER]. */
export interface AsyncEvent {
  readonly kind: 'async event';
  readonly type: number;
  readonly information: number;
  readonly logPage: number;
  readonly text: string;
}

/** A quirk was applied because of what the device says it is. */
export interface QuirkApplied {
  readonly kind: 'quirk';
  readonly name: string;
  readonly why: string;
}

/** The device broke a rule of the standard; what follows is a controller reset. */
export interface Misbehaviour {
  readonly kind: 'misbehaviour';
  readonly error: UltimaError;
}

/** A command was not completed within its time. */
export interface CommandStuck {
  readonly kind: 'command stuck';
  readonly queueId: number;
  readonly commandId: number;
  readonly waitedNs: number;
}

/** A step of the recovery ladder, and what came of it. */
export interface RecoveryStep {
  readonly kind: 'recovery';
  readonly step: RecoveryStepName;
  readonly isSuccess: boolean;
  readonly cause: string;
}

export type RecoveryStepName =
  | 'abort'
  | 'controller reset'
  | 'subsystem reset'
  | 'function reset'
  | 'given up';

/** The function is gone: reads as all-ones or reported by the platform. */
export interface Removed {
  readonly kind: 'removed';
  readonly state: string;
}

/** The driver no longer sees what it had learnt about a namespace as current. */
export type ControllerEvent =
  | AsyncEvent
  | QuirkApplied
  | Misbehaviour
  | CommandStuck
  | RecoveryStep
  | Removed;

export type EventListener = (event: ControllerEvent) => void;

export type { Outcome };
