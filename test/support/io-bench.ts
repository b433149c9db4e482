import type { DmaRegion } from '../../sdk/device.js';
import { commandDwords, Fuse, Sqe } from '../../sdk/spec/nvme/command.js';
import {
  Copy,
  CopyRange0,
  DatasetManagement,
  DatasetRange,
  Read,
  Write,
  WriteZeroes,
} from '../../sdk/spec/nvme/nvm-command.js';
import { NvmOpcode } from '../../sdk/spec/nvme/opcodes.js';
import { Status } from '../../sdk/spec/nvme/status.js';
import type { Prng } from '../../sim/prng.js';
import { BlockModel, BlockState, blockBytes, fillBlocks } from './block-model.js';
import type { Tally } from './campaign.js';
import type { CardHost, Sent } from './card-host.js';

const operations = [
  'read',
  'write',
  'write',
  'read',
  'flush',
  'compare',
  'verify',
  'zeroes',
  'uncorrectable',
  'deallocate',
  'copy',
  'swap',
] as const;

export type IoOperation = (typeof operations)[number];

/** One legal command, or a fused pair. Commands of different groups have no block in common. */
export interface Io {
  readonly op: IoOperation;
  readonly group: number;
  readonly queue: number;
  readonly lba: number;
  readonly count: number;
  readonly tag: number;
  readonly flag: number;
  /** Byte offset of the data in its first page. */
  readonly offset: number;
  /** Copy: source. */
  readonly from: number;
}

const plainRead: Io = {
  op: 'read',
  group: 0,
  queue: 1,
  lba: 0,
  count: 8,
  tag: 0,
  flag: 0,
  offset: 0,
  from: 0,
};

export const groupCount = 4;
const groupBlocks = 16;
const bufferBytes = 3 * 4096;
/** Groups lie apart, one of them around LBA 2^23. */
const bases = [0, 16, 2 ** 23 - 8, 2 ** 23 + 8] as const;

export function legalIo(prng: Prng, group: number, tag: number, pairs: number): Io {
  const count = 1 + prng.below(8);
  const place = () => bases[group]! + prng.below(groupBlocks - count + 1);
  return {
    op: operations[prng.below(operations.length)]!,
    group,
    queue: 1 + prng.below(pairs),
    lba: place(),
    count,
    tag,
    flag: prng.below(2),
    offset: 4 * prng.below(1024),
    from: place(),
  };
}

interface Running {
  readonly io: Io;
  readonly sent: readonly Sent[];
}

/** Runs legal commands against a card and against the model, and compares. */
export class IoBench {
  readonly model = new BlockModel();
  /** The namespace may be gone or changed: nothing but the number of completions is checked. */
  isBlind = false;
  private readonly host: CardHost;
  private readonly buffers: DmaRegion[];
  private readonly tally: Tally;

  constructor(host: CardHost, tally: Tally) {
    this.host = host;
    this.tally = tally;
    this.buffers = Array.from({ length: groupCount }, () => host.fn.dma.allocate(2 * bufferBytes));
  }

  /** Post, wait, compare. @returns null or what is wrong */
  run(ios: readonly Io[]): string | null {
    const running = this.start(ios);
    const isOver = () => running.every(({ sent }) => sent.every((each) => each.ended !== null));
    if (!this.host.until(isOver, 10_000_000_000)) {
      if (this.isBlind) return null;
      return `not all of ${ios.map((io) => io.op).join(', ')} ended`;
    }
    for (const each of running) {
      const violation = this.settle(each);
      if (violation !== null && !this.isBlind) return violation;
    }
    return null;
  }

  start(ios: readonly Io[]): Running[] {
    const running = ios.map((io) => ({ io, sent: this.post(io) }));
    for (const queue of new Set(ios.map((io) => io.queue))) this.host.ring(queue);
    return running;
  }

  /** A command of a running group has ended: does it agree with the model? */
  settle({ io, sent }: Running): string | null {
    this.tally.commands = (this.tally.commands ?? 0) + sent.length;
    const statuses = sent.map((each) => each.ended?.status ?? -1);
    const expected = this.expect(io);
    if (!expected.includes(statuses.join())) {
      const text = statuses.map((status) => `0x${status.toString(16)}`).join();
      return `${JSON.stringify(io)} ended with ${text}, not ${expected.join(' or ')}`;
    }
    if (io.op === 'read' && statuses[0] === 0) {
      return this.model.check(this.dataOf(io), io.lba, io.count);
    }
    if (statuses.every((status) => status === 0)) this.apply(io);
    return null;
  }

  /** Read everything that legal commands can have touched. */
  checkAll(): string | null {
    for (let group = 0; group < groupCount; group++) {
      for (const half of [0, 8]) {
        const lba = bases[group]! + half;
        const violation = this.run([{ ...plainRead, group, lba }]);
        if (violation !== null) return violation;
      }
    }
    return null;
  }

  /** A raw command of the NVM set has ended: what it may have changed is unknown now. */
  sawRawIo(words: Uint32Array, status: number): void {
    const opcode = Sqe.opc.get(words, 0);
    if (opcode === NvmOpcode.datasetManagement || opcode === NvmOpcode.copy) {
      this.model.forgetAll();
    } else if (status === 0 && changing.includes(opcode)) {
      const lba = Write.slba.get(words, 0);
      this.model.set(lba, Write.nlb.get(words, 0), BlockState.unknown);
    }
  }

  private expect(io: Io): string[] {
    const { model } = this;
    const isCopy = io.op === 'copy';
    const lba = isCopy ? io.from : io.lba;
    const isUnknown = model.holds(lba, io.count, BlockState.unknown);
    const unread = `${Status.unrecoveredReadError}`;
    const failure = `${Status.compareFailure}`;
    const aborted = `${Status.abortedFailedFused}`;
    if (io.op === 'swap') {
      if (model.holds(lba, io.count, BlockState.bad) || isUnknown) {
        return [`${unread},${aborted}`, `${failure},${aborted}`, '0,0'];
      }
      return [io.flag === 1 ? '0,0' : `${failure},${aborted}`];
    }
    const reads = ['read', 'compare', 'verify', 'copy'].includes(io.op);
    if (!reads) return ['0'];
    if (io.op === 'compare') {
      const isSure = !isUnknown && !model.holds(lba, io.count, BlockState.bad);
      if (!isSure) return ['0', unread, failure];
      return [io.flag === 1 ? '0' : failure];
    }
    if (model.holds(lba, io.count, BlockState.bad)) return [unread];
    return isUnknown ? ['0', unread] : ['0'];
  }

  private apply(io: Io): void {
    const { model } = this;
    if (io.op === 'write' || io.op === 'swap') model.set(io.lba, io.count, io.tag);
    if (io.op === 'zeroes' || io.op === 'deallocate') model.set(io.lba, io.count, BlockState.blank);
    if (io.op === 'uncorrectable') model.set(io.lba, io.count, BlockState.bad);
    if (io.op === 'copy') model.copy(io.from, io.lba, io.count);
  }

  private post(io: Io): Sent[] {
    const words = new Uint32Array(commandDwords);
    Sqe.opc.set(words, 0, opcodeOf[io.op]);
    Sqe.nsid.set(words, 0, 1);
    const data = this.dataOf(io);
    const address = this.addressOf(io);
    Sqe.prp1.set(words, 0, address);
    Sqe.prp2.set(words, 0, address - (address % 4096) + 4096);
    if (io.op !== 'flush') {
      Read.slba.set(words, 0, io.lba);
      Read.nlb.set(words, 0, io.count);
    }
    this.prepare(io, words, data);
    if (io.op !== 'swap') return this.sent(io, words);
    return this.postPair(io, words);
  }

  private prepare(io: Io, words: Uint32Array, data: Uint8Array): void {
    switch (io.op) {
      case 'read':
        data.fill(0xee);
        break;
      case 'write':
        fillBlocks(data, io.lba, io.count, io.tag);
        Write.fua.set(words, 0, io.flag);
        break;
      case 'compare':
      case 'swap':
        this.model.fill(data, io.lba, io.count);
        if (io.flag === 0) data[data.length - 1]! ^= 1;
        break;
      case 'zeroes':
        WriteZeroes.deac.set(words, 0, io.flag);
        break;
      case 'deallocate':
        words.fill(0, 10);
        DatasetManagement.nr.set(words, 0, 1);
        DatasetManagement.ad.set(words, 0, 1);
        this.putList(io, words, (list) => {
          DatasetRange.slba.set(list, 0, io.lba);
          DatasetRange.length.set(list, 0, io.count);
        });
        break;
      case 'copy':
        words.fill(0, 10);
        Copy.sdlba.set(words, 0, io.lba);
        Copy.nr.set(words, 0, 1);
        this.putList(io, words, (list) => {
          CopyRange0.slba.set(list, 0, io.from);
          CopyRange0.nlb.set(list, 0, io.count);
        });
        break;
      default:
    }
  }

  /** A list of one range, at the start of the page. */
  private putList(io: Io, words: Uint32Array, put: (list: Uint32Array) => void): void {
    const region = this.buffers[io.group]!;
    region.words.fill(0, 0, 16);
    put(region.words);
    Sqe.prp1.set(words, 0, region.iova);
    Sqe.prp2.set(words, 0, 0);
  }

  private postPair(io: Io, words: Uint32Array): Sent[] {
    Sqe.fuse.set(words, 0, Fuse.first);
    const first = this.sent(io, words);
    const region = this.buffers[io.group]!;
    const bytes = region.bytes.subarray(bufferBytes, bufferBytes + io.count * blockBytes);
    fillBlocks(bytes, io.lba, io.count, io.tag);
    Sqe.opc.set(words, 0, NvmOpcode.write);
    Sqe.fuse.set(words, 0, Fuse.second);
    Sqe.prp1.set(words, 0, region.iova + bufferBytes);
    Sqe.prp2.set(words, 0, region.iova + bufferBytes + 4096);
    return [...first, ...this.sent(io, words)];
  }

  private sent(io: Io, words: Uint32Array): Sent[] {
    const sent = this.host.post(io.queue, words);
    return sent === null ? [] : [sent];
  }

  private addressOf(io: Io): number {
    return this.buffers[io.group]!.iova + io.offset;
  }

  private dataOf(io: Io): Uint8Array {
    const length = io.count * blockBytes;
    return this.buffers[io.group]!.bytes.subarray(io.offset, io.offset + length);
  }
}

const opcodeOf = {
  read: NvmOpcode.read,
  write: NvmOpcode.write,
  flush: NvmOpcode.flush,
  compare: NvmOpcode.compare,
  verify: NvmOpcode.verify,
  zeroes: NvmOpcode.writeZeroes,
  uncorrectable: NvmOpcode.writeUncorrectable,
  deallocate: NvmOpcode.datasetManagement,
  copy: NvmOpcode.copy,
  swap: NvmOpcode.compare,
} as const satisfies Record<IoOperation, number>;

const changing: readonly number[] = [
  NvmOpcode.write,
  NvmOpcode.writeZeroes,
  NvmOpcode.writeUncorrectable,
];
