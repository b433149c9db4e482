import { TimestampData, TimestampOrigin } from '../../../sdk/spec/nvme/features.js';
import { dwordSpan, lowDword, msNs } from '../../../sdk/units.js';
import type { World } from '../../world.js';

const timestampSpan = 2 ** 48;

/** Feature 0Eh: milliseconds that count on from what the host set, or from power on. */
export class Timestamp {
  private baseMs = 0;
  private setNs: number;
  private origin: number = TimestampOrigin.sinceReset;
  private readonly world: World;

  constructor(world: World) {
    this.world = world;
    this.setNs = world.nowNs;
  }

  get milliseconds(): number {
    return (this.baseMs + Math.floor((this.world.nowNs - this.setNs) / msNs)) % timestampSpan;
  }

  read(): Uint8Array {
    const words = new Uint32Array(TimestampData.layout.bytes / 4);
    const now = this.milliseconds;
    TimestampData.low.set(words, 0, lowDword(now));
    TimestampData.high.set(words, 0, Math.floor(now / dwordSpan));
    TimestampData.origin.set(words, 0, this.origin);
    return new Uint8Array(words.buffer);
  }

  set(data: Uint8Array): void {
    const words = new Uint32Array(data.slice().buffer);
    this.baseMs = TimestampData.high.get(words, 0) * dwordSpan + TimestampData.low.get(words, 0);
    this.setNs = this.world.nowNs;
    this.origin = TimestampOrigin.setByHost;
  }

  /** Power came: time starts at 0 again. */
  clear(): void {
    this.baseMs = 0;
    this.setNs = this.world.nowNs;
    this.origin = TimestampOrigin.sinceReset;
  }
}
