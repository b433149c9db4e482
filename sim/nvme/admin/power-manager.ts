import { AutonomousEntry, AutonomousTable } from '../../../sdk/spec/nvme/features.js';
import { msNs } from '../../../sdk/units.js';
import type { World } from '../../world.js';
import type { Health } from '../health.js';
import { powerStates } from './power-states.js';

/**
 * The power state of a controller. Transitions without the host are not events: the state follows
 * from how long nothing has happened, whenever somebody asks.
 */
export class PowerManager {
  private asked = 0;
  private askedNs = 0;
  private table: Uint32Array | null = null;
  private readonly world: World;
  private readonly health: Health;
  private readonly onChange: () => void;

  constructor(world: World, health: Health, onChange: () => void = () => {}) {
    this.onChange = onChange;
    this.world = world;
    this.health = health;
  }

  set(state: number): void {
    this.asked = state;
    this.askedNs = this.world.nowNs;
    this.onChange();
  }

  /** @param table the transition table, null when transitions are off */
  setTransitions(table: Uint32Array | null): void {
    this.table = table;
    this.askedNs = this.world.nowNs;
    this.onChange();
  }

  /** Where the controller has come by idling. A command ends a non-operational state. */
  stateNow(): number {
    if (this.table === null || this.health.isBusy) return this.asked;
    const sinceNs = Math.max(this.askedNs, this.health.lastActiveNs);
    let idleNs = this.world.nowNs - sinceNs;
    let state = this.asked;
    for (let steps = 0; steps < powerStates.length; steps++) {
      const at = AutonomousTable.entries.at(0, state);
      const waitNs = AutonomousEntry.itpt.get(this.table, at) * msNs;
      if (waitNs === 0 || idleNs < waitNs) return state;
      idleNs -= waitNs;
      state = AutonomousEntry.itps.get(this.table, at);
    }
    return state;
  }
}
