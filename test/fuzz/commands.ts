import { Sqe } from '../../sdk/spec/nvme/command.js';
import { AdminOpcode, NvmOpcode } from '../../sdk/spec/nvme/opcodes.js';
import { Cmbmsc, Register } from '../../sdk/spec/nvme/registers.js';
import { openSimulated } from '../../sim/open.js';
import type { Prng } from '../../sim/prng.js';
import { type Campaign, campaign, type Tally } from '../support/campaign.js';
import { CardHost } from '../support/card-host.js';
import { groupCount, type Io, IoBench, legalIo } from '../support/io-bench.js';

/** An address in a raw command: inside the sandbox, or just a number. */
type Place = { readonly sandbox: number } | { readonly value: number };

export interface RawStep {
  readonly kind: 'raw';
  readonly queue: number;
  readonly words: readonly number[];
  readonly prp1: Place;
  readonly prp2: Place;
}

/** A PRP entry or the half of an SGL descriptor that is an address, and the other half. */
interface Entry {
  readonly address: Place;
  readonly length: number;
  readonly type: number;
}

type Step =
  | { readonly kind: 'burst'; readonly raws: readonly RawStep[] }
  | { readonly kind: 'io'; readonly ios: readonly Io[] }
  | RawStep
  | { readonly kind: 'doorbell'; readonly offset: number; readonly value: number }
  | { readonly kind: 'register'; readonly offset: number; readonly value: number }
  | { readonly kind: 'bus'; readonly command: number }
  | { readonly kind: 'config'; readonly offset: number; readonly value: number }
  | { readonly kind: 'list'; readonly offset: number; readonly entries: readonly Entry[] }
  | { readonly kind: 'idle'; readonly ns: number }
  | { readonly kind: 'reset' };

export const sandboxBytes = 64 * 1024;
const pairs = 2;

const commands: Campaign<Step> = {
  claim:
    'legal and illegal commands, doorbells and registers: the card never throws, each command ' +
    'ends once, blocks equal a Map, and legal plans leave no protocol report',
  plan,
  run: (steps, seed, tally) => new Run(steps, seed, tally).all(),
};

export const campaignOfCommands = campaign(commands);

function plan(prng: Prng): Step[] {
  const isLegal = prng.chance(0.3);
  const length = 10 + prng.below(60);
  let tag = 0;
  return Array.from({ length }, (): Step => {
    const kind = isLegal ? prng.below(20) : prng.below(60);
    if (kind < 18) {
      const count = 1 + prng.below(groupCount);
      const ios = Array.from({ length: count }, (_, group) => legalIo(prng, group, ++tag, pairs));
      return { kind: 'io', ios };
    }
    if (kind === 18) return { kind: 'idle', ns: prng.below(1_000_000) };
    if (kind === 19) return { kind: 'reset' };
    if (kind < 36) return rawIo(prng);
    if (kind < 46) return rawAdmin(prng);
    if (kind < 50) return burst(prng);
    if (kind < 54) return doorbell(prng);
    if (kind < 57) return register(prng);
    if (kind === 57) return { kind: 'bus', command: prng.below(8) };
    return kind === 58 ? config(prng) : list(prng);
  });
}

const ioOpcodes = Object.values(NvmOpcode);
/** Harmless to the queues and to the set of namespaces: what comes after can still be checked. */
const mildAdmin: readonly number[] = [
  AdminOpcode.identify,
  AdminOpcode.getLogPage,
  AdminOpcode.getFeatures,
  AdminOpcode.abort,
  AdminOpcode.deviceSelfTest,
  AdminOpcode.directiveReceive,
  AdminOpcode.securityReceive,
  AdminOpcode.getLbaStatus,
  AdminOpcode.firmwareDownload,
];
const wildAdmin = Object.values(AdminOpcode).filter(
  (opcode) => opcode !== AdminOpcode.asynchronousEventRequest,
);

export function rawIo(prng: Prng): RawStep {
  if (prng.chance(0.6)) return nearlyLegal(prng);
  const opcode = prng.chance(0.9) ? ioOpcodes[prng.below(ioOpcodes.length)]! : prng.below(256);
  return raw(prng, 1 + prng.below(pairs), opcode);
}

/** Commands of all queues in flight together, formats and deleted queues among them. */
function burst(prng: Prng): Step {
  const length = 2 + prng.below(10);
  const some = () => (prng.chance(0.85) ? nearlyLegal(prng) : rawAdmin(prng));
  const raws = Array.from({ length }, some);
  return { kind: 'burst', raws: prng.chance(0.5) ? [...raws, upheaval(prng)] : raws };
}

/** A command that could be, with at most two dwords that could not. */
function nearlyLegal(prng: Prng): RawStep {
  const words = new Uint32Array(16);
  Sqe.opc.set(words, 0, ioOpcodes[prng.below(ioOpcodes.length)]!);
  Sqe.psdt.set(words, 0, prng.chance(0.7) ? 0 : 1);
  Sqe.nsid.set(words, 0, 1);
  words[10] = prng.below(64);
  words[12] = prng.below(prng.chance(0.7) ? 16 : 600);
  for (let i = prng.below(3); i > 0; i--) words[10 + prng.below(6)] = someNumber(prng);
  const prp2 = prng.chance(0.8) ? { sandbox: 4096 * prng.below(16) } : somePlace(prng);
  return {
    kind: 'raw',
    queue: 1 + prng.below(pairs),
    words: [...words],
    prp1: { sandbox: 4 * prng.below(sandboxBytes / 4) },
    prp2,
  };
}

/** PRP entries or SGL descriptors, in the sandbox where raw commands may point. */
function list(prng: Prng): Step {
  const entries = Array.from({ length: 1 + prng.below(12) }, () => ({
    address: somePlace(prng),
    length: prng.chance(0.7) ? 512 * prng.below(64) : prng.word(),
    type: prng.chance(0.8) ? 0x10 * prng.below(6) : prng.below(256),
  }));
  return { kind: 'list', offset: 4096 * prng.below(16) + 16 * prng.below(8), entries };
}

/** Configuration space behind the header: power, MSI-X, Express, extended capabilities. */
function config(prng: Prng): Step {
  const offset = 0x40 + 4 * prng.below(prng.chance(0.5) ? 0x30 : 0x70);
  return { kind: 'config', offset, value: someNumber(prng) };
}

/** Commands that take the ground away from under those in flight, well formed. */
const upheavals = [
  AdminOpcode.formatNvm,
  AdminOpcode.formatNvm,
  AdminOpcode.deleteSubmissionQueue,
  AdminOpcode.setFeatures,
  AdminOpcode.namespaceManagement,
  AdminOpcode.sanitize,
] as const;

function upheaval(prng: Prng): RawStep {
  const words = new Uint32Array(16);
  Sqe.opc.set(words, 0, upheavals[prng.below(upheavals.length)]!);
  Sqe.nsid.set(words, 0, prng.chance(0.8) ? 1 : 0xffff_ffff);
  words[10] = prng.below(prng.chance(0.8) ? 8 : 64);
  words[11] = prng.below(4);
  return { kind: 'raw', queue: 0, words: [...words], prp1: somePlace(prng), prp2: { value: 0 } };
}

export function rawAdmin(prng: Prng): RawStep {
  if (prng.chance(0.1)) return upheaval(prng);
  const pool = prng.chance(0.7) ? mildAdmin : wildAdmin;
  const opcode = prng.chance(0.95) ? pool[prng.below(pool.length)]! : 0xc0 + prng.below(64);
  return raw(prng, 0, opcode);
}

function raw(prng: Prng, queue: number, opcode: number): RawStep {
  const words = new Uint32Array(16);
  for (let i = 10; i < 16; i++) words[i] = someNumber(prng);
  words[2] = prng.chance(0.1) ? prng.word() : 0;
  Sqe.opc.set(words, 0, opcode);
  Sqe.psdt.set(words, 0, prng.chance(0.7) ? 0 : prng.below(4));
  Sqe.nsid.set(words, 0, someNsid(prng));
  return { kind: 'raw', queue, words: [...words], prp1: somePlace(prng), prp2: somePlace(prng) };
}

function someNsid(prng: Prng): number {
  const kind = prng.below(10);
  if (kind < 6) return 1;
  return [0, 2, 0xffff_ffff, prng.word()][kind - 6]!;
}

/** Small numbers, single bits and noise: each finds other mistakes. */
function someNumber(prng: Prng): number {
  const kind = prng.below(10);
  if (kind < 3) return 0;
  if (kind < 6) return prng.below(64);
  if (kind < 8) return (1 << prng.below(32)) >>> 0;
  return kind === 8 ? 0xffff_ffff : prng.word();
}

function somePlace(prng: Prng): Place {
  const kind = prng.below(10);
  if (kind < 5) return { sandbox: prng.below(sandboxBytes / 4096) * 4096 };
  if (kind < 7) return { sandbox: prng.below(sandboxBytes) };
  if (kind === 7) return { sandbox: prng.below(sandboxBytes / 4) * 4 };
  return { value: kind === 8 ? 0 : prng.below(2 ** 52) };
}

function doorbell(prng: Prng): Step {
  const value = prng.chance(0.7) ? prng.below(20) : prng.word();
  return { kind: 'doorbell', offset: 0x1000 + 4 * prng.below(prng.chance(0.7) ? 6 : 130), value };
}

const registerOffsets = Object.values(Register);

function register(prng: Prng): Step {
  const known = registerOffsets[prng.below(registerOffsets.length)]! + 4 * prng.below(2);
  const offset = prng.chance(0.8) ? known : 4 * prng.below(0x400);
  return { kind: 'register', offset, value: someNumber(prng) };
}

class Run {
  private readonly steps: readonly Step[];
  private readonly tally: Tally;
  private readonly host: CardHost;
  private readonly bench: IoBench;
  private readonly sandbox;
  /** The controller may be in any state: it is brought up again before it is relied on. */
  private isDisturbed = true;
  private isLegal = true;

  constructor(steps: readonly Step[], seed: number, tally: Tally) {
    this.steps = steps;
    this.tally = tally;
    this.host = new CardHost(openSimulated(`sim:simple?seed=${seed % 1_000_000}`));
    this.bench = new IoBench(this.host, tally);
    this.sandbox = this.host.fn.dma.allocate(sandboxBytes);
  }

  async all(): Promise<string | null> {
    for (const step of this.steps) {
      if (this.isDisturbed && step.kind === 'io') {
        const trouble = this.recover();
        if (trouble !== null) return trouble;
      }
      const own = this.one(step);
      // What a disturbed controller completes is not the host's to know.
      const violation = own ?? (this.isDisturbed ? null : (this.host.faults[0] ?? null));
      if (violation !== null) return violation;
      this.count(step.kind);
    }
    const violation = this.isDisturbed ? null : this.bench.checkAll();
    if (violation !== null) return violation;
    const { checker } = this.host.card;
    if (this.isLegal && checker.total > 0) return `a legal plan is reported: ${checker.describe()}`;
    await this.host.fn.close();
    return null;
  }

  private one(step: Step): string | null {
    switch (step.kind) {
      case 'io':
        return this.bench.run(step.ios);
      case 'raw':
        return this.runRaw([step]);
      case 'burst':
        return this.runRaw(step.raws);
      case 'doorbell':
      case 'register':
        this.disturb();
        this.host.write(step.offset, step.value);
        this.host.until(() => false, 100_000);
        this.host.faults.length = 0;
        return null;
      case 'bus':
        this.disturb();
        this.host.fn.config.write16(0x04, step.command);
        return null;
      case 'config':
        this.disturb();
        this.host.fn.config.write32(step.offset, step.value);
        return null;
      case 'list':
        this.putList(step.offset, step.entries);
        return null;
      case 'idle':
        this.host.until(() => false, step.ns);
        return null;
      case 'reset':
        this.isDisturbed = true;
        return null;
    }
  }

  /** What the card does from here on is not the host's to know. */
  private disturb(): void {
    this.isLegal = false;
    this.isDisturbed = true;
    this.bench.model.forgetAll();
  }

  private runRaw(steps: readonly RawStep[]): string | null {
    this.isLegal = false;
    if (this.isDisturbed) {
      const trouble = this.recover();
      if (trouble !== null || this.isDisturbed) return trouble;
    }
    return this.runRaws(steps);
  }

  private runRaws(steps: readonly RawStep[]): string | null {
    const { host } = this;
    const running = steps.map((step) => {
      const words = this.rawWords(step);
      return { words, queue: step.queue, sent: host.post(step.queue, words) };
    });
    for (const queue of new Set(steps.map((step) => step.queue))) host.ring(queue);
    const isOver = () => running.every(({ sent }) => sent === null || sent.ended !== null);
    host.until(() => isOver() || host.isGone, 100_000_000_000);
    // A command may have deleted a queue, changed a feature or taken the namespace away.
    let isWild = false;
    for (const { words, queue, sent } of running) {
      if (sent === null) continue;
      const opcode = Sqe.opc.get(words, 0);
      isWild ||= queue === 0 && sent.ended?.status === 0 && !mildAdmin.includes(opcode);
      if (sent.ended !== null) this.count(sent.ended.status === 0 ? 'accepted' : 'refused');
      if (queue > 0) this.bench.sawRawIo(words, sent.ended?.status ?? 0);
    }
    if (isWild) {
      this.bench.isBlind = true;
      this.disturb();
    }
    const lost = running.find(({ sent }) => sent !== null && sent.ended === null);
    if (lost === undefined || isWild) return null;
    const opcode = Sqe.opc.get(lost.words, 0);
    return `command 0x${opcode.toString(16)} of queue ${lost.queue} did not end`;
  }

  private rawWords(step: RawStep): Uint32Array {
    const words = Uint32Array.from(step.words);
    Sqe.prp1.set(words, 0, this.addressOf(step.prp1));
    Sqe.prp2.set(words, 0, this.addressOf(step.prp2));
    if (Sqe.psdt.get(words, 0) !== 0 && 'sandbox' in step.prp2) {
      // Read as an SGL the second half is length and type: a segment or a data block.
      const isSegment = step.prp2.sandbox % 8192 === 0;
      words[8] = isSegment ? 16 * (1 + step.prp2.sandbox / 8192) : step.prp2.sandbox;
      words[9] = isSegment ? 0x3000_0000 : 0;
    }
    return words;
  }

  private addressOf(place: Place): number {
    return 'value' in place ? place.value : this.sandbox.iova + place.sandbox;
  }

  /** Each entry is 16 bytes: two PRP entries, or one descriptor. */
  private putList(offset: number, entries: readonly Entry[]): void {
    for (const [i, entry] of entries.entries()) {
      const at = offset / 4 + 4 * i;
      const address = this.addressOf(entry.address);
      this.sandbox.words[at] = address >>> 0;
      this.sandbox.words[at + 1] = Math.floor(address / 2 ** 32);
      this.sandbox.words[at + 2] = entry.length;
      this.sandbox.words[at + 3] = entry.type * 2 ** 24;
    }
  }

  /** Bring the controller up from anything; at worst by taking its power. */
  private recover(): string | null {
    const { host } = this;
    this.isDisturbed = false;
    if (this.bringUp()) return null;
    host.card.powerCut();
    host.card.restore();
    host.until(() => false, 1_000_000_000);
    this.bench.model.forgetAll();
    if (this.bringUp()) return null;
    // Resources of this controller may have been given away, or its queues forbidden.
    if (!this.bench.isBlind) return 'the controller does not come back, not even with new power';
    this.isDisturbed = true;
    return null;
  }

  private bringUp(): boolean {
    // A memory buffer over host memory would swallow the rings.
    this.host.fn.config.write16(0x04, 0x0006);
    for (const high of [0, 4]) this.host.write(Register.cmbmsc + high, Cmbmsc.cre.put(0, 0));
    const isUp = this.host.enable(pairs);
    this.host.faults.length = 0;
    return isUp;
  }

  private count(name: string): void {
    this.tally[name] = (this.tally[name] ?? 0) + 1;
  }
}
