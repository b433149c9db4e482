import type { BlockDevice, LinkedBlockDevice } from '../block/device.js';
import type { Clock } from '../device.js';
import type { MemberAssociation } from './port.js';

export interface MemberWay {
  /** A device of the other node as it is seen from here. */
  readonly link: (far: BlockDevice) => LinkedBlockDevice;
  readonly clock: Clock;
  /** Each way. */
  readonly latencyNs: number;
  /** @throws UltimaError MEMBER_LOST when the other node is gone */
  readonly demand?: () => void;
}

/** A member on another simulated node: its data over links, its verbs after the time of a link. */
export class LinkedAssociation implements MemberAssociation {
  readonly device: LinkedBlockDevice;
  readonly background: LinkedBlockDevice;
  private readonly far: MemberAssociation;
  private readonly way: MemberWay;

  constructor(far: MemberAssociation, way: MemberWay) {
    this.far = far;
    this.way = way;
    this.device = way.link(far.device);
    this.background = far.background === undefined ? this.device : way.link(far.background);
  }

  get isLost(): boolean {
    return this.device.isLost;
  }

  async control(message: Uint8Array): Promise<Uint8Array> {
    const { clock, latencyNs, demand } = this.way;
    demand?.();
    const untilNs = clock.nowNs() + 2 * latencyNs;
    const answer = this.far.control(message);
    while (clock.nowNs() < untilNs) await clock.turn(untilNs);
    const given = await answer;
    demand?.();
    return given;
  }

  close(): void {
    this.device.lose();
    this.background.lose();
    this.far.close();
  }
}
