import { FlashKind, Lane } from './flash-ops.js';
import type { FlashProfile } from './flash-profile.js';

/**
 * Which program or erase a read may interrupt: so often as the chip bears, and the last times of
 * those only for reads that a reservation pays for. So one ends after `suspendLimit` interruptions
 * at the latest, and others leave the reserved reads some of them.
 */
export class Suspension {
  private readonly flash: FlashProfile;

  constructor(flash: FlashProfile) {
    this.flash = flash;
  }

  /**
   * @param kind   what runs: a program or an erase
   * @param lane   of the read that wants to go before it
   * @param times  that it was interrupted already
   * @returns      ns until it has stopped; -1 when it goes on
   */
  costNs(kind: number, lane: number, times: number): number {
    const { flash } = this;
    const isProgram = kind === FlashKind.program;
    const can = isProgram ? flash.hasProgramSuspend : flash.hasEraseSuspend;
    const kept = lane === Lane.reserved ? 0 : flash.reservedSuspends;
    if (!can || times >= flash.suspendLimit - kept) return -1;
    return isProgram ? flash.programSuspendNs : flash.eraseSuspendNs;
  }
}
