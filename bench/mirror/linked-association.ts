import type { MemberAssociation } from '../../sdk/mirror/port.js';
import { LinkedDevice, type LinkOptions, Wire } from '../../sim/net/linked-device.js';

const depth = 768;

/** A member on another node, behind a link. */
export class LinkedAssociation implements MemberAssociation {
  readonly device: LinkedDevice;
  readonly background: LinkedDevice;
  private readonly far: MemberAssociation;
  private readonly options: LinkOptions;
  private readonly onFarPoll: number;

  constructor(far: MemberAssociation, options: LinkOptions) {
    this.far = far;
    this.options = options;
    const given = { ...options, requestCount: depth, wire: new Wire() };
    this.device = new LinkedDevice(far.device, given);
    this.background = new LinkedDevice(far.background ?? far.device, given);
    this.onFarPoll = options.world.register(() => {});
  }

  get isLost(): boolean {
    return this.device.isLost;
  }

  async control(message: Uint8Array): Promise<Uint8Array> {
    const { world, latencyNs } = this.options;
    const { clock } = world;
    const startNs = world.nowNs;
    world.schedule(2 * latencyNs, this.onFarPoll, 0);
    const answer = await this.far.control(message);
    while (world.nowNs < startNs + 2 * latencyNs) await clock.turn(startNs + 2 * latencyNs);
    return answer;
  }

  /** The link is reset. */
  close(): void {
    this.device.lose();
    this.background.lose();
  }
}
