import * as assert from 'uvu/assert';
import { contextsOf, findExtents, type NbdRange } from '../../../sdk/nbd/metadata.js';
import { Prng } from '../../../sim/prng.js';
import { suite } from '../../support/suite.js';

const test = suite('NBD metadata');
const blockBytes = 4096;

/** Ascending ranges, and the flags that each block has because of them. */
function draw(prng: Prng, blocks: number): { ranges: NbdRange[]; kinds: number[] } {
  const kinds: number[] = Array.from({ length: blocks }, () => 0);
  const ranges: NbdRange[] = [];
  for (let at = prng.below(4); at < blocks; at += prng.below(4)) {
    const count = Math.min(1 + prng.below(5), blocks - at);
    const isData = prng.chance(0.6);
    ranges.push({ byteOffset: at * blockBytes, byteLength: count * blockBytes, isData });
    kinds.fill(isData ? 1 : 2, at, at + count);
    at += count;
  }
  return { ranges, kinds };
}

test('extents agree block by block with a naive model, whatever is asked for', async () => {
  const seed = 1;
  const prng = new Prng(seed, 'extents');
  for (let round = 0; round < 2000; round++) {
    const blocks = 1 + prng.below(40);
    const { ranges, kinds } = draw(prng, blocks);
    const after = (startByte: number): NbdRange[] =>
      ranges.filter(({ byteOffset, byteLength }) => byteOffset + byteLength > startByte);
    // Ranges that must be read first come one by one.
    const later = async function* (startByte: number): AsyncGenerator<NbdRange> {
      yield* after(startByte);
    };
    const [allocation, difference] = contextsOf({
      allocated: after,
      differences: () => [{ snapshot: 's', changed: later }],
    });
    const first = prng.below(blocks);
    const count = 1 + prng.below(blocks - first);
    const most = prng.chance(0.3) ? 1 : 1 + prng.below(8);
    const cases = [
      { context: allocation!, flags: [3, 0, 3] },
      { context: difference!, flags: [0, 1, 3] },
    ];
    for (const { context, flags } of cases) {
      const into = new Float64Array(2 * most);
      const query = { offset: first * blockBytes, length: count * blockBytes, most };
      const found = await findExtents(context, query, into);
      let block = first;
      for (let i = 0; i < found; i++) {
        const until = block + into[2 * i]! / blockBytes;
        assert.ok(until > block, 'an extent is not empty');
        for (; block < until; block++) {
          assert.is(into[2 * i + 1], flags[kinds[block]!], `seed ${seed}, round ${round}`);
        }
        if (i > 0) assert.is.not(into[2 * i + 1], into[2 * i - 1], 'neighbours differ');
      }
      assert.ok(found >= 1 && found <= most && block <= first + count);
      if (found < most) assert.is(block, first + count, `all of it, round ${round}`);
    }
  }
});

test('a device that knows nothing about itself is wholly allocated', () => {
  const [context] = contextsOf({});
  const into = new Float64Array(8);
  assert.is(findExtents(context!, { offset: 512, length: 0xffff_fe00, most: 4 }, into), 1);
  assert.equal([...into.subarray(0, 2)], [0xffff_fe00, 0]);
});

test.run();
