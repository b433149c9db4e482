import * as assert from 'uvu/assert';
import type { DmaRegion } from '../../../sdk/device.js';
import type { SimCard } from '../../../sim/card.js';
import { openSimulated } from '../../../sim/open.js';
import type { SimFunction } from '../../../sim/pcie/function.js';
import { Prng } from '../../../sim/prng.js';
import { suite } from '../../support/suite.js';
import { putU64 } from './rig.js';

const test = suite('a driver that does everything wrong');
const steps = 1_500;

const adminOpcodes = [
  0x00, 0x01, 0x02, 0x04, 0x05, 0x06, 0x08, 0x09, 0x0a, 0x0c, 0x0d, 0x10, 0x11, 0x14, 0x15, 0x18,
  0x19, 0x1a, 0x1c, 0x1d, 0x20, 0x24, 0x7c, 0x80, 0x81, 0x82, 0x84, 0x86,
];
const ioOpcodes = [
  0x00, 0x01, 0x02, 0x04, 0x05, 0x08, 0x09, 0x0c, 0x0d, 0x0e, 0x11, 0x15, 0x19, 0x7f,
];

/** Every kind of nonsense that a host can store, drawn from a seed. */
class Vandal {
  readonly card: SimCard;
  readonly fn: SimFunction;
  readonly chance: Prng;
  readonly sq: DmaRegion;
  readonly cq: DmaRegion;
  readonly ioSq: DmaRegion;
  readonly ioCq: DmaRegion;
  readonly data: DmaRegion;
  readonly readOnly: DmaRegion;
  adminTail = 0;
  ioTail = 0;

  constructor(seed: number, profile: string) {
    this.chance = new Prng(seed, 'vandal');
    this.card = openSimulated(`sim:${profile}?seed=${seed}`);
    this.fn = this.card.open();
    const { dma } = this.fn;
    this.sq = dma.allocate(32 * 64);
    this.cq = dma.allocate(32 * 16);
    this.ioSq = dma.allocate(64 * 64);
    this.ioCq = dma.allocate(64 * 16);
    this.data = dma.allocate(1024 * 1024);
    this.readOnly = dma.allocate(4096, { access: 'read' });
    this.fn.config.write16(4, this.fn.config.read16(4) | 6);
  }

  pick<T>(list: readonly T[]): T {
    return list[this.chance.below(list.length)]!;
  }

  write(offset: number, value: number): void {
    this.fn.bar(0).write32(offset, value >>> 0);
  }

  enable(): void {
    this.write(0x14, 0);
    this.card.world.advance(1_000_000_000);
    this.write(0x24, (31 << 16) | 31);
    this.write(0x28, this.sq.iova % 2 ** 32);
    this.write(0x2c, Math.floor(this.sq.iova / 2 ** 32));
    this.write(0x30, this.cq.iova % 2 ** 32);
    this.write(0x34, Math.floor(this.cq.iova / 2 ** 32));
    this.cq.words.fill(0);
    this.adminTail = 0;
    this.ioTail = 0;
    this.write(0x14, 0x0046_0001 | (this.chance.chance(0.3) ? 1 << 11 : 0));
    this.card.world.advance(3_000_000_000);
    this.createPair();
  }

  createPair(): void {
    const cq = [0x05, this.ioCq.iova, (63 << 16) | 1, 1] as const;
    const sq = [0x01, this.ioSq.iova, (63 << 16) | 1, (1 << 16) | 1] as const;
    for (const [opcode, address, dw10, dw11] of [cq, sq]) {
      const at = this.adminTail * 16;
      this.sq.words.fill(0, at, at + 16);
      this.sq.words[at] = opcode | (this.adminTail << 16);
      putU64(this.sq.words, at + 6, address);
      this.sq.words[at + 10] = dw10;
      this.sq.words[at + 11] = dw11;
      this.adminTail = (this.adminTail + 1) % 32;
      this.write(0x1000, this.adminTail);
      this.card.world.advance(1_000_000);
    }
    this.write(0x1004, 2);
  }

  address(): number {
    const { chance } = this;
    switch (chance.below(8)) {
      case 0:
        return 0;
      case 1:
        return chance.below(2 ** 53);
      case 2:
        return this.readOnly.iova;
      case 3:
        return this.data.iova + chance.below(this.data.length);
      case 4:
        return this.data.iova + this.data.length - 4096;
      default:
        return this.data.iova + 4096 * chance.below(200);
    }
  }

  dword(): number {
    const { chance } = this;
    const kind = chance.below(6);
    if (kind === 0) return chance.word();
    if (kind === 1) return 1 << chance.below(32);
    if (kind === 2) return 0xffff_ffff;
    return chance.below(kind === 3 ? 1024 : 8);
  }

  entry(words: Uint32Array, at: number, opcodes: readonly number[]): void {
    const { chance } = this;
    const opcode = chance.chance(0.05) ? chance.below(256) : this.pick(opcodes);
    const odd = chance.chance(0.1) ? chance.below(256) << 8 : 0;
    words[at] = opcode | odd | (chance.below(chance.chance(0.1) ? 65536 : 40) << 16);
    words[at + 1] = this.pick([0, 1, 1, 1, 1, 2, 0xffff_ffff, chance.word()]);
    words[at + 2] = this.dword();
    words[at + 3] = this.dword();
    putU64(words, at + 4, this.address());
    putU64(words, at + 6, this.address());
    putU64(words, at + 8, this.address());
    for (let i = 10; i < 16; i++) words[at + i] = this.dword();
  }

  step(): void {
    const { chance } = this;
    switch (chance.below(20)) {
      case 0:
        this.write(4 * chance.below(0x1200 / 4), this.dword());
        break;
      case 1:
        this.write(0x1000 + 4 * chance.below(140), chance.below(70));
        break;
      case 2:
        if (chance.chance(0.1)) this.write(0x14, this.dword());
        break;
      case 3:
        if (chance.chance(0.1)) this.enable();
        break;
      case 4:
        for (let i = 0; i < 64; i++) this.data.words[chance.below(8192)] = this.dword();
        break;
      case 5:
        this.write(0x1004, chance.below(32));
        break;
      case 6:
        this.write(0x100c, chance.below(64));
        break;
      case 7:
      case 8:
      case 9:
      case 10:
        this.entry(this.sq.words, this.adminTail * 16, adminOpcodes);
        this.adminTail = (this.adminTail + 1) % 32;
        this.write(0x1000, this.adminTail);
        break;
      default:
        this.entry(this.ioSq.words, this.ioTail * 16, ioOpcodes);
        this.ioTail = (this.ioTail + 1) % 64;
        this.write(0x1008, this.ioTail);
    }
    this.card.world.advance(chance.below(chance.chance(0.02) ? 1_000_000_000 : 200_000));
    if (chance.chance(0.5)) this.release();
  }

  /** Say that everything posted was read, as far as the phases go: keeps the queues moving. */
  release(): void {
    for (const [region, entries, doorbell] of [
      [this.cq, 32, 0x1004],
      [this.ioCq, 64, 0x100c],
    ] as const) {
      const phase = (region.words[3]! >>> 16) & 1;
      let head = 0;
      while (head < entries && ((region.words[4 * head + 3]! >>> 16) & 1) === phase) head++;
      this.write(doorbell, head % entries);
    }
  }
}

for (const profile of ['simple', 'ultima-g2']) {
  for (const seed of [1, 2, 3, 4]) {
    test(`nothing that seed ${seed} stores makes ${profile} throw, and a reset heals it`, () => {
      const vandal = new Vandal(seed, profile);
      vandal.enable();
      for (let i = 0; i < steps; i++) vandal.step();
      vandal.enable();
      assert.is(vandal.fn.bar(0).read32(0x1c) & 3, 1);
      assert.is(vandal.cq.words[3]! >>> 17, 0);
      assert.is(vandal.cq.words[7]! >>> 17, 0);
      assert.is((vandal.cq.words[7]! >>> 16) & 1, 1);
    });
  }
}

test.run();
