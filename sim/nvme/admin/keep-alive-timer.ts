import { msNs } from '../../../sdk/units.js';
import type { World } from '../../world.js';

/** KAS: timeouts are rounded up to this. */
export const keepAliveGranularityMs = 100;

/** The Keep Alive Timer of one controller [NVMe-2.0 §3.9 Keep Alive]: command based. */
export class KeepAliveTimer {
  private timeoutMs = 0;
  private generation = 0;
  private readonly world: World;
  private readonly expired: () => void;
  private readonly onTime: number;

  constructor(world: World, expired: () => void) {
    this.world = world;
    this.expired = expired;
    this.onTime = world.register((generation) => this.look(generation));
  }

  /** @param timeoutMs already rounded; 0 turns the timer off */
  set(timeoutMs: number): void {
    this.timeoutMs = timeoutMs;
    this.restart();
  }

  /** A Keep Alive command arrived. */
  restart(): void {
    this.generation++;
    if (this.timeoutMs === 0) return;
    this.world.schedule(this.timeoutMs * msNs, this.onTime, this.generation);
  }

  stop(): void {
    this.set(0);
  }

  private look(generation: number): void {
    if (generation !== this.generation) return;
    this.stop();
    this.expired();
  }
}
