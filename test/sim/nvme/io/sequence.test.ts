import * as assert from 'uvu/assert';
import { Status } from '../../../../sdk/spec/nvme/status.js';
import { Prng } from '../../../../sim/prng.js';
import { suite } from '../../../support/suite.js';
import {
  compare,
  copy,
  deallocate,
  flush,
  type Range,
  read,
  verify,
  write,
  writeUncorrectable,
  writeZeroes,
} from './commands.js';
import { formats, makeNamespace, pattern, Rig } from './rig.js';

const test = suite('sequences of I/O commands');

interface Block {
  readonly data: Uint8Array;
  readonly metadata: Uint8Array;
  /** Absent from the medium, written, or made uncorrectable. */
  readonly state: 'blank' | 'written' | 'bad';
}

interface Format {
  readonly formatIndex: number;
  readonly isMetadataExtended: boolean;
}

/** Around the ends of 32-bit numbers and far behind them. */
const bases = [0, 2 ** 31 - 24, 2 ** 32 - 24, 2 ** 40 - 24] as const;

/** Random commands on a namespace and on the naive model: a Map of blocks. */
class Sequence {
  readonly rig: Rig;
  private readonly blocks = new Map<number, Block>();
  private readonly prng: Prng;
  private readonly dataBytes: number;
  private readonly metadataBytes: number;
  private readonly isExtended: boolean;
  private readonly blank: Block;

  constructor(format: Format) {
    const { dataBytes, metadataBytes } = formats[format.formatIndex]!;
    this.rig = new Rig(makeNamespace({ ...format, sizeBlocks: 2 ** 40 + 64 }));
    this.prng = new Prng(21, `commands ${format.formatIndex}`);
    this.dataBytes = dataBytes;
    this.metadataBytes = metadataBytes;
    this.isExtended = format.isMetadataExtended;
    const metadata = new Uint8Array(metadataBytes);
    this.blank = { data: new Uint8Array(dataBytes), metadata, state: 'blank' };
  }

  get usedBlocks(): number {
    return this.blocks.size;
  }

  step(number: number): void {
    const kind = this.prng.below(16);
    const range = this.anywhere();
    if (kind < 5) this.write(range, number);
    else if (kind < 10) this.read(range);
    else if (kind === 10) assert.is(this.rig.run(verify(range)).status, this.readStatus(range));
    else if (kind === 11) this.zero(range);
    else if (kind === 12) this.deallocate(range);
    else if (kind === 13 && number % 4 === 0) this.spoil(range);
    else if (kind === 13) assert.is(this.rig.run(flush()).status, 0);
    else if (kind === 14) this.copy(range);
    else this.compare(range);
  }

  private write(range: Range, number: number): void {
    const { data, metadata } = this.buffers(range);
    data.set(pattern(number, data.length));
    metadata.set(pattern(number + 1, metadata.length));
    const request = write(range, data, { fua: number & 1 }, metadata);
    assert.is(this.rig.run(request).status, 0);
    this.set(range, (i) => ({ ...this.cut(data, metadata, i), state: 'written' }));
  }

  private read(range: Range): void {
    const { data, metadata } = this.buffers(range);
    const expected = this.readStatus(range);
    assert.is(this.rig.run(read(range, data, {}, metadata)).status, expected);
    for (let i = 0; i < range.count && expected === 0; i++) {
      const block = this.at(range.lba + i);
      const got = this.cut(data, metadata, i);
      assert.equal(got.data, block.data, `block ${range.lba + i}`);
      assert.equal(got.metadata, block.metadata);
    }
  }

  private zero(range: Range): void {
    const deac = this.prng.below(2);
    assert.is(this.rig.run(writeZeroes(range, { deac })).status, 0);
    this.set(range, () => (deac === 1 ? null : { ...this.blank, state: 'written' }));
  }

  private deallocate(range: Range): void {
    const other = this.anywhere();
    assert.is(this.rig.run(deallocate([range, other])).status, 0);
    this.set(range, () => null);
    this.set(other, () => null);
  }

  private spoil(range: Range): void {
    assert.is(this.rig.run(writeUncorrectable(range)).status, 0);
    this.set(range, () => ({ ...this.blank, state: 'bad' }));
  }

  private copy(range: Range): void {
    const { lba } = this.anywhere();
    const expected = this.readStatus(range);
    assert.is(this.rig.run(copy([range], lba)).status, expected);
    if (expected !== 0) return;
    const blocks = Array.from({ length: range.count }, (_, i) => this.at(range.lba + i));
    this.set({ lba, count: range.count }, (i) => ({ ...blocks[i]!, state: 'written' }));
  }

  /** A comparison stops at the first block that cannot be read or differs. */
  private compare(range: Range): void {
    const { prng } = this;
    const { data, metadata } = this.buffers(range);
    for (let i = 0; i < range.count; i++) this.paste(data, metadata, i, this.at(range.lba + i));
    const isWrong = prng.chance(0.5);
    if (isWrong) data[prng.below(data.length)]! ^= 1 << prng.below(8);
    const verdict = isWrong ? Status.compareFailure : 0;
    const { status } = this.rig.run(compare(range, data, {}, metadata));
    const unreadable = this.readStatus(range);
    if (unreadable === 0) assert.is(status, verdict);
    else assert.ok(status === unreadable || status === verdict);
  }

  private anywhere(): Range {
    const { prng } = this;
    return { lba: bases[prng.below(4)]! + prng.below(40), count: 1 + prng.below(16) };
  }

  private at(lba: number): Block {
    return this.blocks.get(lba) ?? this.blank;
  }

  private set(range: Range, make: (index: number) => Block | null): void {
    for (let i = 0; i < range.count; i++) {
      const block = make(i);
      if (block === null) this.blocks.delete(range.lba + i);
      else this.blocks.set(range.lba + i, block);
    }
  }

  private readStatus(range: Range): number {
    for (let i = 0; i < range.count; i++) {
      if (this.at(range.lba + i).state === 'bad') return Status.unrecoveredReadError;
    }
    return 0;
  }

  private buffers(range: Range): { data: Uint8Array; metadata: Uint8Array } {
    const inData = this.isExtended ? this.dataBytes + this.metadataBytes : this.dataBytes;
    const apart = this.isExtended ? 0 : this.metadataBytes;
    const data = new Uint8Array(range.count * inData);
    return { data, metadata: new Uint8Array(range.count * apart) };
  }

  private cut(data: Uint8Array, metadata: Uint8Array, i: number): Omit<Block, 'state'> {
    const { dataBytes, metadataBytes } = this;
    if (!this.isExtended) {
      return {
        data: data.slice(i * dataBytes, (i + 1) * dataBytes),
        metadata: metadata.slice(i * metadataBytes, (i + 1) * metadataBytes),
      };
    }
    const at = i * (dataBytes + metadataBytes);
    const middle = at + dataBytes;
    return { data: data.slice(at, middle), metadata: data.slice(middle, middle + metadataBytes) };
  }

  private paste(data: Uint8Array, metadata: Uint8Array, i: number, block: Block): void {
    const { dataBytes, metadataBytes } = this;
    if (this.isExtended) {
      data.set(block.data, i * (dataBytes + metadataBytes));
      data.set(block.metadata, i * (dataBytes + metadataBytes) + dataBytes);
    } else {
      data.set(block.data, i * dataBytes);
      metadata.set(block.metadata, i * metadataBytes);
    }
  }
}

for (const formatIndex of [0, 1, 2, 4]) {
  for (const isMetadataExtended of [false, true]) {
    const { dataBytes, metadataBytes } = formats[formatIndex]!;
    if (isMetadataExtended && metadataBytes === 0) continue;
    const how = isMetadataExtended ? 'extended' : 'separate';
    test(`any commands leave what a Map says, ${dataBytes} + ${metadataBytes} ${how}`, () => {
      const sequence = new Sequence({ formatIndex, isMetadataExtended });
      for (let number = 1; number <= 1_200; number++) {
        sequence.step(number);
        if (number % 100 !== 0) continue;
        assert.is(sequence.rig.namespace.usedBlocks, sequence.usedBlocks);
      }
      assert.is(sequence.rig.health.busy, 0);
    });
  }
}

test.run();
