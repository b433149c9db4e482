import type { ConfigSpace } from '../../sdk/device.js';
import { configBytes } from '../../sdk/spec/pcie/header.js';
import type { World } from '../world.js';

const allBytes = 0xffff_ffff;

/** Where configuration accesses end. */
export interface ConfigTarget {
  /** The dword at a byte offset; all-ones when nothing answers. */
  readConfig(offset: number): number;
  /** @param byteMask 0xff for each byte of the dword that the access carries */
  writeConfig(offset: number, value: number, byteMask: number): void;
}

/** Configuration accesses are not posted: each waits for its answer. */
export class HostConfigSpace implements ConfigSpace {
  private readonly world: World;
  private readonly target: ConfigTarget;
  private readonly roundTripNs: number;

  constructor(world: World, target: ConfigTarget, roundTripNs: number) {
    this.world = world;
    this.target = target;
    this.roundTripNs = roundTripNs;
  }

  read8(offset: number): number {
    return (this.read(offset, 1) >>> ((offset % 4) * 8)) & 0xff;
  }

  read16(offset: number): number {
    return (this.read(offset, 2) >>> ((offset % 4) * 8)) & 0xffff;
  }

  read32(offset: number): number {
    return this.read(offset, 4);
  }

  write8(offset: number, value: number): void {
    this.write(offset, value, 1);
  }

  write16(offset: number, value: number): void {
    this.write(offset, value, 2);
  }

  write32(offset: number, value: number): void {
    this.write(offset, value, 4);
  }

  private read(offset: number, bytes: number): number {
    checkOffset(offset, bytes);
    this.world.advance(this.roundTripNs);
    return this.target.readConfig(offset);
  }

  private write(offset: number, value: number, bytes: number): void {
    checkOffset(offset, bytes);
    this.world.advance(this.roundTripNs);
    const shift = (offset % 4) * 8;
    const byteMask = bytes === 4 ? allBytes : ((1 << (8 * bytes)) - 1) << shift;
    this.target.writeConfig(offset - (offset % 4), value << shift, byteMask);
  }
}

function checkOffset(offset: number, bytes: number): void {
  if (Number.isInteger(offset) && offset % bytes === 0 && offset >= 0 && offset < configBytes)
    return;
  throw new RangeError(
    `configuration offset ${offset}: a multiple of ${bytes} below ${configBytes}`,
  );
}
