import { NamespaceManagementSelect } from '../../../sdk/spec/nvme/admin-command.js';
import { Sqe } from '../../../sdk/spec/nvme/command.js';
import { AdminOpcode, NvmOpcode } from '../../../sdk/spec/nvme/opcodes.js';
import { Register } from '../../../sdk/spec/nvme/registers.js';
import type { SimCard } from '../../../sim/card.js';
import { Prng } from '../../../sim/prng.js';
import { type RawStep, rawAdmin, rawIo, sandboxBytes } from '../../fuzz/commands.js';
import { CardHost } from '../../support/card-host.js';

/** Cards whose parts differ: buffers, metadata, virtual functions, chance, media. */
export const checkpointCards = [
  'sim:simple?bytes=1MiB&firmware.bootNs=1000',
  'sim:simple?bytes=1MiB&lbaFormat=3&firmware.bootNs=1000&cache.bytes=65536' +
    '&controller.virtualFunctions=2&controller.memoryBufferBytes=65536&media.jitterPermille=100',
  'sim:ultima-g2?bytes=1MiB&firmware.bootNs=1000',
  'sim:p4800x?firmware.bootNs=1000',
  'sim:znand?firmware.bootNs=1000',
] as const;

const pairs = 2;
const sriovControl = 0x168;
const numVfs = 0x170;

const plainOpcodes = [
  NvmOpcode.write,
  NvmOpcode.write,
  NvmOpcode.read,
  NvmOpcode.read,
  NvmOpcode.writeZeroes,
  NvmOpcode.flush,
] as const;

/**
 * A host that lives in steps. What a step does follows from the seed, its number and what the card
 * answers; what the host remembers from one step to the next moves with `movedTo`. So a run can be
 * cut between any two steps and go on elsewhere. It waits for nothing: commands of all kinds are in
 * flight while resets, power cuts and background operations come over the card.
 */
export class WildHost {
  readonly seed: number;
  readonly host: CardHost;
  private readonly sandboxIova: number;
  private isPowered = true;
  private isLinked = true;

  constructor(seed: number, host: CardHost, sandboxIova: number) {
    this.seed = seed;
    this.host = host;
    this.sandboxIova = sandboxIova;
  }

  static on(card: SimCard, seed: number): WildHost {
    const host = new CardHost(card);
    return new WildHost(seed, host, host.fn.dma.allocate(sandboxBytes).iova);
  }

  movedTo(card: SimCard): WildHost {
    const moved = new WildHost(this.seed, this.host.movedTo(card), this.sandboxIova);
    moved.isPowered = this.isPowered;
    moved.isLinked = this.isLinked;
    return moved;
  }

  run(from: number, to: number): void {
    for (let step = from; step < to; step++) this.step(step);
  }

  private step(number: number): void {
    const { host } = this;
    const prng = new Prng(this.seed, `step ${number}`);
    host.faults.length = 0;
    if (number === 0) this.bringUp();
    else if (prng.chance(0.5) && !this.isUp) this.mend();
    else if (prng.chance(0.95)) this.work(prng);
    else this.disturb(prng);
    host.poll();
  }

  private get isUp(): boolean {
    return this.host.rings.length > pairs && this.host.read(Register.csts) === 1;
  }

  private work(prng: Prng): void {
    const { host } = this;
    const kind = prng.below(10);
    if (kind < 6) this.post(prng);
    else host.card.world.advance(prng.below(prng.chance(0.7) ? 4_000 : 60_000));
  }

  private post(prng: Prng): void {
    const { host } = this;
    for (let left = 1 + prng.below(6); left > 0; left--) {
      const kind = prng.below(100);
      const step = kind < 85 ? this.plainIo(prng) : kind < 98 ? rawIo(prng) : rawAdmin(prng);
      if (host.rings[step.queue] === undefined) continue;
      if (host.post(step.queue, this.wordsOf(step)) !== null) host.ring(step.queue);
    }
  }

  /** Up to two pages of blocks, somewhere in the first few. */
  private plainIo(prng: Prng): RawStep {
    const words = new Uint32Array(16);
    const blockBytes = this.host.card.subsystem.namespace(1)?.dataBytes ?? 512;
    Sqe.opc.set(words, 0, plainOpcodes[prng.below(plainOpcodes.length)]!);
    Sqe.nsid.set(words, 0, 1);
    Sqe.mptr.set(words, 0, this.sandboxIova);
    words[10] = prng.below(64);
    words[12] = prng.below(8192 / blockBytes);
    const page = prng.below(sandboxBytes / 4096 - 1) * 4096;
    const queue = 1 + prng.below(pairs);
    const prp2 = { sandbox: page + 4096 };
    return { kind: 'raw', queue, words: [...words], prp1: { sandbox: page }, prp2 };
  }

  private disturb(prng: Prng): void {
    const { host } = this;
    const { card } = host;
    const kind = prng.below(10);
    if (kind === 0) this.togglePower();
    else if (kind === 1) this.toggleLink();
    else if (kind === 2) card.busReset();
    else if (kind === 3) host.write(Register.cc, 0);
    else if (kind === 4) card.subsystem.health.setTemperature(300 + prng.below(60));
    else if (kind === 5) this.enableVirtual(prng.below(3));
    else if (kind === 6) host.write(Register.nssr, 0x4e56_4d65);
    else if (kind === 7) card.world.advance(prng.below(2_000_000_000));
    else if (kind === 8) void host.fn.reset('function');
    else if (prng.chance(0.2)) this.deleteNamespace();
  }

  /** What was taken away comes back. */
  private mend(): void {
    if (!this.isPowered) this.togglePower();
    else if (!this.isLinked) this.toggleLink();
    else this.bringUp();
  }

  private wordsOf(step: RawStep): Uint32Array {
    const words = Uint32Array.from(step.words);
    for (const [field, place] of [
      [Sqe.prp1, step.prp1],
      [Sqe.prp2, step.prp2],
    ] as const) {
      field.set(words, 0, 'value' in place ? place.value : this.sandboxIova + place.sandbox);
    }
    return words;
  }

  /** Also under commands that are in flight on it. */
  private deleteNamespace(): void {
    const words = new Uint32Array(16);
    Sqe.opc.set(words, 0, AdminOpcode.namespaceManagement);
    Sqe.nsid.set(words, 0, 1);
    words[10] = NamespaceManagementSelect.delete;
    if (this.host.post(0, words) !== null) this.host.ring(0);
  }

  private togglePower(): void {
    const { card } = this.host;
    if (this.isPowered) card.powerCut();
    else card.restore();
    this.isPowered = !this.isPowered;
  }

  private toggleLink(): void {
    const { card } = this.host;
    if (this.isLinked) card.linkDown();
    else card.linkUp();
    this.isLinked = !this.isLinked;
  }

  private enableVirtual(count: number): void {
    const { config } = this.host.fn;
    config.write16(sriovControl, 0);
    config.write16(numVfs, count);
    config.write16(sriovControl, count === 0 ? 0 : 0x0009);
  }

  private bringUp(): void {
    const { host } = this;
    host.fn.config.write16(0x04, 0x0006);
    host.enable(pairs);
  }
}
