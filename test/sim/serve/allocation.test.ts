import * as assert from 'uvu/assert';
import { suite } from '../../support/suite.js';
import { hex, pack, ServeRig } from './rig.js';

const test = suite('memory that a served card allocates');

const page = 4096;
const base = 0x10_0000;
const entries = 256;
const depth = 32;
const roundCommands = 20_000;
/** A number on the heap. One per fetch, which takes many commands, is less than half of it each. */
const numberBytes = 16;
/** Within them the compiler has settled, also where other processes have the processor. */
const rounds = 100;
/** In a row without a number per command. */
const wantedRounds = 3;

/** A host made of plain stores: two queues of reads, whose data go over each other. */
class RawHost {
  private readonly rig = new ServeRig({ changes: { media: { readNs: 1000, readNextNs: 0 } } });
  private readonly words: Uint32Array;
  private readonly doorbells: Uint32Array;
  private adminTail = 0;
  private tail = 0;
  private head = 0;
  private phase = 1;

  constructor() {
    const { rig } = this;
    this.words = new Uint32Array(rig.give(base, 64 * page).buffer);
    rig.done(10, rig.access(7, 4, 2, hex('06 00')));
    rig.write32(0, 0x24, 0x000f_000f);
    rig.write32(0, 0x28, base);
    rig.write32(0, 0x30, base + page);
    rig.write32(0, 0x14, 0x0046_0001);
    // Times are small integers for two seconds, which never cost anything.
    rig.pause(3e9);
    this.doorbells = rig.doorbells();
    const size = (entries - 1) * 65_536 + 1;
    this.admin([5, 0, 0, 0, 0, 0, base + 16 * page, 0, 0, 0, size, 1]);
    this.admin([1, 0, 0, 0, 0, 0, base + 32 * page, 0, 0, 0, size, 65_537]);
  }

  /** @returns commands that ended well */
  read(count: number): number {
    const { rig, words, doorbells } = this;
    let ended = 0;
    let submitted = 0;
    let good = 0;
    while (ended < count) {
      for (; submitted < count && submitted - ended < depth; submitted++) this.submit(submitted);
      doorbells[2] = this.tail;
      rig.pause(50_000);
      for (;;) {
        const dword = words[(16 * page) / 4 + 4 * this.head + 3]!;
        if (((dword >>> 16) & 1) !== this.phase) break;
        this.head = (this.head + 1) % entries;
        if (this.head === 0) this.phase ^= 1;
        if (dword >>> 17 === 0) good++;
        ended++;
      }
      doorbells[3] = this.head;
    }
    return good;
  }

  private submit(number: number): void {
    const at = (32 * page) / 4 + 16 * this.tail;
    this.words[at] = 2 + (number % depth) * 65_536;
    this.words[at + 1] = 1;
    this.words[at + 6] = base + 48 * page;
    this.words[at + 10] = (number % 64) * 8;
    this.words[at + 12] = 7;
    this.tail = (this.tail + 1) % entries;
  }

  private admin(dwords: readonly number[]): void {
    this.words.set(dwords, 16 * this.adminTail++);
    this.doorbells[0] = this.adminTail;
    this.rig.run(1_000_000);
    const ended = this.words[page / 4 + 4 * this.adminTail - 1]!;
    assert.is(ended >>> 17, 0, `admin command ${pack([ended, 4])}`);
    this.doorbells[1] = this.adminTail;
  }
}

test('reads allocate nothing of their own: no number, no view, no closure', () => {
  const host = new RawHost();
  let clean = 0;
  let bytes = 0;
  for (let round = 0; round < rounds && clean < wantedRounds; round++) {
    const before = process.memoryUsage().heapUsed;
    assert.is(host.read(roundCommands), roundCommands);
    bytes = process.memoryUsage().heapUsed - before;
    // A collection makes it negative: such a round says nothing.
    clean = bytes >= 0 && bytes < (numberBytes / 2) * roundCommands ? clean + 1 : 0;
  }
  assert.is(clean, wantedRounds, `${bytes / roundCommands} bytes per command`);
});

test.run();
