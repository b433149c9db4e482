import { mostMembers } from './io-parts.js';
import type { MemberPath } from './member-path.js';

/** The connections of a mirror: one for each member at most, and those that it has given up. */
export class Connections {
  /** By member; null for one that is not connected. */
  readonly paths: (MemberPath | null)[] = new Array<MemberPath | null>(mostMembers).fill(null);
  /** Given up, and not everything has been answered. */
  private readonly retired: MemberPath[] = [];

  poll(): void {
    for (let member = 0; member < mostMembers; member++) this.paths[member]?.poll();
    if (this.retired.length > 0) this.pollRetired();
  }

  private pollRetired(): void {
    for (let i = this.retired.length - 1; i >= 0; i--) {
      const path = this.retired[i]!;
      path.poll();
      if (path.inFlight === 0) this.retired.splice(i, 1);
    }
  }

  /** Forget a connection; what it has not answered yet ends as lost. */
  retire(member: number): void {
    const path = this.paths[member];
    if (path == null) return;
    this.paths[member] = null;
    path.close();
    if (path.inFlight > 0) this.retired.push(path);
  }

  /** Of some members, given as a mask, the one with the least to do; the first of equals. */
  leastBusy(members: number): number {
    let best = -1;
    let least = 0;
    for (let member = 0; member < mostMembers; member++) {
      if ((members & (1 << member)) === 0) continue;
      const { inFlight } = this.paths[member]!;
      if (best >= 0 && inFlight >= least) continue;
      best = member;
      least = inFlight;
    }
    return best;
  }
}
