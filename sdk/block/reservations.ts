import type { BlockDevice } from './device.js';

/** Types of a reservation, in the words of [NVMe-2.0 §8.19 Reservations]. */
export type ReservationKind =
  | 'none'
  | 'write exclusive'
  | 'exclusive access'
  | 'write exclusive, registrants only'
  | 'exclusive access, registrants only'
  | 'write exclusive, all registrants'
  | 'exclusive access, all registrants';

export interface Registration {
  readonly action: 'register' | 'unregister' | 'replace';
  /** 0 when left out. */
  readonly currentKey?: bigint;
  /** 0 when left out. */
  readonly newKey?: bigint;
  /** The current key is not compared; false when left out. */
  readonly ignoresExistingKey?: boolean;
  /** Whether registrations and the reservation outlive the power; unchanged when left out. */
  readonly persistence?: 'unchanged' | 'off' | 'on';
}

export interface Acquisition {
  readonly action: 'acquire' | 'preempt' | 'preemptAndAbort';
  readonly type: ReservationKind;
  readonly key: bigint;
  /** Whose registration ends; 0 when left out. */
  readonly preemptKey?: bigint;
}

export interface Release {
  readonly action: 'release' | 'clear';
  readonly type: ReservationKind;
  readonly key: bigint;
}

/** Who is registered and who holds the reservation. */
export interface ReservationState {
  readonly generation: number;
  readonly type: ReservationKind;
  readonly persistsPowerLoss: boolean;
  /** One for each controller of each registrant. */
  readonly registered: readonly {
    readonly controllerId: number;
    readonly isHolder: boolean;
    readonly hostId: Uint8Array;
    readonly key: bigint;
  }[];
}

/**
 * Who may use a device that several hosts reach: the device itself refuses the others, with
 * `accessDenied`. Each of these rejects with COMMAND_FAILED when the device refuses; `status` of
 * its facts is the device's word for why, `blockStatus` is `accessDenied` for a conflict.
 */
export interface DeviceReservations {
  /** Types of reservations that the device knows; none when it has no reservations. */
  readonly kinds: readonly ReservationKind[];
  /** Registrations can outlive the power of the device. */
  readonly canPersist: boolean;
  /** Register, replace or remove this host's key. */
  register(wanted: Registration): Promise<void>;
  acquire(wanted: Acquisition): Promise<void>;
  release(wanted: Release): Promise<void>;
  report(): Promise<ReservationState>;
}

/** A block device that other hosts reach by themselves. */
export interface SharedBlockDevice extends BlockDevice {
  readonly reservations: DeviceReservations;
}
