/** The times of a command; passed as such, because a large number passed is allocated. */
export interface AuditedCommand {
  readonly fetchedNs: number;
  readonly postedNs: number;
}

/**
 * Conservation of commands, kept on every run: what was fetched has completed, was dropped by a
 * reset or a deleted queue, or is in flight. And Little's law in its exact form: whenever nothing
 * is in flight, the time integral of what was in flight is the sum of the times that each command
 * spent inside. A command that is lost, or ends twice, breaks one of them.
 */
export class CommandAudit {
  fetched = 0;
  completed = 0;
  dropped = 0;
  /** Sum over commands of the time from fetch to completion entry, or to their drop. */
  insideNs = 0;
  /** Integral of the number in flight over time. */
  private areaNs = 0;
  private lastNs = 0;
  /** What `settle` goes to. */
  private atNs = 0;

  get inFlight(): number {
    return this.fetched - this.completed - this.dropped;
  }

  /** Fetched now. */
  enter(command: AuditedCommand): void {
    this.atNs = command.fetchedNs;
    this.settle();
    this.fetched++;
  }

  /** Its completion entry is posted now. */
  complete(command: AuditedCommand): void {
    this.atNs = command.postedNs;
    this.settle();
    this.completed++;
    this.insideNs += command.postedNs - command.fetchedNs;
  }

  drop(command: AuditedCommand, now: { readonly nowNs: number }): void {
    this.atNs = now.nowNs;
    this.settle();
    this.dropped++;
    this.insideNs += now.nowNs - command.fetchedNs;
  }

  /** Mean number in flight from the start of the run until now. */
  meanInFlight(nowNs: number): number {
    this.atNs = nowNs;
    this.settle();
    return nowNs === 0 ? 0 : this.areaNs / nowNs;
  }

  /**
   * @param held  commands that the controller really holds
   * @returns what does not add up, in words; empty when all does
   */
  violations(nowNs: number, held: number): string[] {
    this.atNs = nowNs;
    this.settle();
    const found: string[] = [];
    if (this.inFlight !== held) {
      found.push(
        `${this.fetched} commands fetched, ${this.completed} completed, ${this.dropped} dropped, ` +
          `but ${held} are held`,
      );
    }
    if (this.inFlight === 0 && this.areaNs !== this.insideNs) {
      found.push(`commands spent ${this.insideNs} ns inside, ${this.areaNs} ns were counted`);
    }
    return found;
  }

  private settle(): void {
    this.areaNs += (this.atNs - this.lastNs) * (this.fetched - this.completed - this.dropped);
    this.lastNs = this.atNs;
  }
}
