/**
 * Who may use a namespace [NVMe-2.0 §8.19]. A host registers a key, a registrant acquires one of
 * six types of reservation, and from then on each command of another host is checked against the
 * type.
 *
 * What always holds: a reservation has at least one holder and a holder is a registrant; with no
 * registrant there is no reservation. Nothing here knows of controllers: a host is a string, and
 * the subsystem says which controllers belong to it.
 */

/** RTYPE. */
export const ReservationType = {
  none: 0,
  writeExclusive: 1,
  exclusiveAccess: 2,
  writeExclusiveRegistrantsOnly: 3,
  exclusiveAccessRegistrantsOnly: 4,
  writeExclusiveAllRegistrants: 5,
  exclusiveAccessAllRegistrants: 6,
} as const;

/** Reservation notifications, numbered as in log page 80h. */
export const ReservationNotification = {
  registrationPreempted: 1,
  reservationReleased: 2,
  reservationPreempted: 3,
} as const;

/** How a reservation command ends. */
export const ReservationOutcome = {
  done: 0,
  conflict: 1,
  invalidField: 2,
} as const;

/** A 64-bit key, compared and never computed with. */
export interface ReservationKey {
  readonly low: number;
  readonly high: number;
}

export interface Registrant {
  readonly host: string;
  key: ReservationKey;
}

/** Hears what other hosts must be told. */
export type ReservationListener = (host: string, notification: number) => void;

export class Reservations {
  /** PRgen, modulo 2^32. */
  generation = 0;
  type: number = ReservationType.none;
  persistsThroughPowerLoss = false;
  readonly registrants: Registrant[] = [];
  /** The one holder; null with no reservation and with a type that all registrants hold. */
  private holderHost: string | null = null;
  /** Null before anybody listens, and after the namespace was deleted. */
  private listener: ReservationListener | null = null;

  /** Who is told of notifications: the subsystem, which knows the controllers of a host. */
  listen(listener: ReservationListener | null): void {
    this.listener = listener;
  }

  isRegistrant(host: string): boolean {
    return this.find(host) !== undefined;
  }

  isHolder(host: string): boolean {
    if (this.type === ReservationType.none) return false;
    return isAllRegistrants(this.type) ? this.isRegistrant(host) : this.holderHost === host;
  }

  /** Commands that read the medium. */
  mayRead(host: string): boolean {
    switch (this.type) {
      case ReservationType.exclusiveAccess:
        return this.isHolder(host);
      case ReservationType.exclusiveAccessRegistrantsOnly:
      case ReservationType.exclusiveAccessAllRegistrants:
        return this.isRegistrant(host);
      default:
        return true;
    }
  }

  /** Commands that change the medium or its state; flush is among them. */
  mayWrite(host: string): boolean {
    switch (this.type) {
      case ReservationType.none:
        return true;
      case ReservationType.writeExclusive:
      case ReservationType.exclusiveAccess:
        return this.isHolder(host);
      default:
        return this.isRegistrant(host);
    }
  }

  /**
   * A registrant that registers again with its own key changes nothing; with another it conflicts.
   */
  register(host: string, key: ReservationKey): number {
    const known = this.find(host);
    if (known !== undefined && !isSameKey(known.key, key)) return ReservationOutcome.conflict;
    if (known === undefined) this.registrants.push({ host, key });
    this.bumpGeneration();
    return ReservationOutcome.done;
  }

  /** @param current CRKEY, or null when IEKEY says to ignore it */
  unregister(host: string, current: ReservationKey | null): number {
    if (!this.holdsKey(host, current)) return ReservationOutcome.conflict;
    this.remove(host);
    this.bumpGeneration();
    return ReservationOutcome.done;
  }

  /** @param current CRKEY, or null when IEKEY says to ignore it */
  replaceKey(host: string, current: ReservationKey | null, key: ReservationKey): number {
    const known = this.find(host);
    if (known === undefined || !this.holdsKey(host, current)) return ReservationOutcome.conflict;
    known.key = key;
    this.bumpGeneration();
    return ReservationOutcome.done;
  }

  acquire(host: string, current: ReservationKey, type: number): number {
    if (!isType(type)) return ReservationOutcome.invalidField;
    if (!this.holdsKey(host, current)) return ReservationOutcome.conflict;
    if (this.type === ReservationType.none) {
      this.reserve(host, type);
      return ReservationOutcome.done;
    }
    const isRepeat = this.isHolder(host) && this.type === type;
    return isRepeat ? ReservationOutcome.done : ReservationOutcome.conflict;
  }

  /**
   * Take the registrations with `preempted` away, and the reservation when its holder is among
   * them.
   *
   * @param lost  receives the hosts that lost their registration, for preempt and abort
   */
  preempt(preemption: Preemption, lost: string[]): number {
    const { host, current, preempted, type } = preemption;
    if (!isType(type)) return ReservationOutcome.invalidField;
    if (!this.holdsKey(host, current)) return ReservationOutcome.conflict;
    const oldType = this.type;
    const isZero = preempted.low === 0 && preempted.high === 0;
    if (isZero && !isAllRegistrants(oldType)) return ReservationOutcome.invalidField;
    const takesReservation = isZero || this.holderHasKey(preempted);
    const matching = this.registrants.filter((r) => isZero || isSameKey(r.key, preempted));
    if (matching.length === 0) return ReservationOutcome.conflict;
    // The preempting host keeps its registration even when its key matches and it takes over.
    for (const registrant of matching) {
      if (registrant.host === host && (takesReservation || isZero)) continue;
      lost.push(registrant.host);
    }
    if (takesReservation) this.reserve(host, type);
    for (const name of lost) this.drop(name);
    if (!this.isRegistrant(host) && this.holderHost === host) this.release();
    if (isAllRegistrants(this.type) && this.registrants.length === 0) this.release();
    this.bumpGeneration();
    for (const name of lost) {
      if (name !== host) this.listener?.(name, ReservationNotification.registrationPreempted);
    }
    if (takesReservation && type !== oldType && isShared(oldType)) this.tellReleased(host);
    return ReservationOutcome.done;
  }

  /** A registrant that does not hold the reservation releases nothing and succeeds. */
  releaseBy(host: string, current: ReservationKey, type: number): number {
    if (!this.holdsKey(host, current)) return ReservationOutcome.conflict;
    if (this.type === ReservationType.none || !this.isHolder(host)) return ReservationOutcome.done;
    if (this.type !== type) return ReservationOutcome.invalidField;
    const wasShared = isShared(this.type);
    this.release();
    if (wasShared) this.tellReleased(host);
    return ReservationOutcome.done;
  }

  /** Release the reservation and take every registration away. */
  clear(host: string, current: ReservationKey): number {
    if (!this.holdsKey(host, current)) return ReservationOutcome.conflict;
    const others = this.registrants.filter((r) => r.host !== host).map((r) => r.host);
    this.forget();
    this.bumpGeneration();
    for (const name of others) this.listener?.(name, ReservationNotification.reservationPreempted);
    return ReservationOutcome.done;
  }

  /**
   * A host without identifier is another host after each controller level reset [NVMe-2.0 §8.19].
   */
  forgetHost(host: string): void {
    if (this.isRegistrant(host)) this.remove(host);
  }

  /** Power came back. */
  powerOn(): void {
    if (this.persistsThroughPowerLoss) return;
    this.forget();
    this.generation = 0;
  }

  /** All that outlives the power. */
  image(): ReservationsImage {
    const { generation, type, holderHost, registrants } = this;
    return { generation, type, holderHost, registrants: registrants.map((each) => ({ ...each })) };
  }

  /** As it was when the image was made, and to be kept as long. */
  restore({ generation, type, holderHost, registrants }: ReservationsImage): void {
    this.generation = generation;
    this.type = type;
    this.holderHost = holderHost;
    this.registrants.length = 0;
    for (const each of registrants) this.registrants.push({ ...each });
    this.persistsThroughPowerLoss = true;
  }

  private find(host: string): Registrant | undefined {
    for (const registrant of this.registrants) if (registrant.host === host) return registrant;
    return undefined;
  }

  private holdsKey(host: string, key: ReservationKey | null): boolean {
    const known = this.find(host);
    return known !== undefined && (key === null || isSameKey(known.key, key));
  }

  private holderHasKey(key: ReservationKey): boolean {
    if (this.holderHost === null) return false;
    const holder = this.find(this.holderHost);
    return holder !== undefined && isSameKey(holder.key, key);
  }

  private reserve(host: string, type: number): void {
    this.type = type;
    this.holderHost = isAllRegistrants(type) ? null : host;
  }

  private release(): void {
    this.type = ReservationType.none;
    this.holderHost = null;
  }

  private forget(): void {
    this.registrants.length = 0;
    this.release();
  }

  private drop(host: string): void {
    const at = this.registrants.findIndex((r) => r.host === host);
    if (at >= 0) this.registrants.splice(at, 1);
  }

  /** A holder that goes takes its reservation along; the last of all registrants does, too. */
  private remove(host: string): void {
    const wasOnlyHolder = this.holderHost === host;
    const wasShared = isShared(this.type);
    this.drop(host);
    const isOver = wasOnlyHolder || this.registrants.length === 0;
    if (!isOver || this.type === ReservationType.none) return;
    this.release();
    if (wasShared) this.tellReleased(host);
  }

  private tellReleased(by: string): void {
    for (const registrant of this.registrants) {
      if (registrant.host === by) continue;
      this.listener?.(registrant.host, ReservationNotification.reservationReleased);
    }
  }

  private bumpGeneration(): void {
    this.generation = (this.generation + 1) >>> 0;
  }
}

export interface ReservationsImage {
  readonly generation: number;
  readonly type: number;
  readonly holderHost: string | null;
  readonly registrants: readonly Registrant[];
}

export interface Preemption {
  readonly host: string;
  /** CRKEY */
  readonly current: ReservationKey;
  /** PRKEY */
  readonly preempted: ReservationKey;
  /** RTYPE */
  readonly type: number;
}

function isSameKey(a: ReservationKey, b: ReservationKey): boolean {
  return a.low === b.low && a.high === b.high;
}

function isType(type: number): boolean {
  return type >= ReservationType.writeExclusive && type <= highestType;
}

const highestType = ReservationType.exclusiveAccessAllRegistrants;

function isAllRegistrants(type: number): boolean {
  return type >= ReservationType.writeExclusiveAllRegistrants;
}

/** Registrants have a share in these: they are told when it is over. */
function isShared(type: number): boolean {
  return type >= ReservationType.writeExclusiveRegistrantsOnly;
}
