import * as assert from 'uvu/assert';
import { BlockOp, BlockRequest, BlockStatus } from '../../../sdk/block/request.js';
import type { MirrorEvents } from '../../../sdk/mirror/io-parts.js';
import { MemberPath } from '../../../sdk/mirror/member-path.js';
import { MirrorIo } from '../../../sdk/mirror/mirror-io.js';
import { suite } from '../../support/suite.js';
import { geometry, Rig, RigDevice } from './rig.js';

const test = suite('data path of a mirror');

/** Ends what it is asked for with a status, when it is polled. */
class ObedientDevice extends RigDevice {
  answer: BlockStatus = BlockStatus.ok;
  private asked: BlockRequest[] = [];

  override submit(request: BlockRequest): void {
    this.asked.push(request);
  }

  override poll(): number {
    const asked = this.asked;
    this.asked = [];
    for (const request of asked) {
      request.status = this.answer;
      request.done(request);
    }
    return asked.length;
  }
}

/** Three members in a data path; the store decides at once that whoever has failed is out. */
function threeMembers() {
  const rig = new Rig();
  const devices = [0, 1, 2].map(() => new ObedientDevice({ ...geometry, clock: rig.clock }));
  const failures: number[] = [];
  const nothing = (): void => {};
  const events: MirrorEvents = {
    ...{ unreadable: nothing, scattered: nothing, urgent: nothing, polled: nothing },
    failed: (index) => {
      const bit = 1 << index;
      failures.push(index);
      io.live &= ~bit;
      io.required &= ~bit;
      io.reconsider();
    },
  };
  const { memory } = devices[0]!;
  const limits = { requestCount: 8, ioTimeoutNs: 1e9 };
  const io = new MirrorIo({ geometry, memory, clock: rig.clock, events, ...limits });
  for (const [i, device] of devices.entries()) {
    const control = async (): Promise<Uint8Array> => new Uint8Array(0);
    io.paths[i] = new MemberPath({ device, control, close: nothing });
  }
  io.live = 0b111;
  io.required = 0b111;
  io.serveUntilNs = Number.POSITIVE_INFINITY;
  return { io, devices, failures, memory };
}

/** Writes of one block each, which tell how often they end and whether that is in a poll. */
function writesTo({ io, memory }: ReturnType<typeof threeMembers>, count: number) {
  const data = memory.allocate(512);
  const ends: BlockStatus[][] = [];
  const state = { isPolling: false };
  for (let lba = 0; lba < count; lba++) {
    const found: BlockStatus[] = [];
    ends.push(found);
    const request = new BlockRequest(({ status }) => {
      assert.ok(state.isPolling, 'it ends in a poll');
      found.push(status);
    });
    Object.assign(request, { op: BlockOp.write, lba, blockCount: 1 });
    request.setData(data, 0, 512);
    io.submit(request);
  }
  const poll = (): number => {
    state.isPolling = true;
    const ended = io.poll();
    state.isPolling = false;
    return ended;
  };
  return { ends, poll };
}

test('held writes end once, in a poll, though a member fails while they are looked at', () => {
  const made = threeMembers();
  const { io, devices, failures } = made;
  // The store does not know yet that member 1 is out, and member 2 is only being brought up.
  io.live = 0b001;
  io.target = 0b100;
  io.required = 0b011;
  devices[2]!.answer = BlockStatus.unknown;
  io.regions.miss(new Uint8Array(2));
  const { ends, poll } = writesTo(made, 3);
  assert.is(poll(), 0, 'all are held');
  // Now it lists member 2, which has failed all of them, and not member 1.
  io.target = 0;
  io.live = 0b101;
  io.required = 0b101;
  failures.length = 0;
  io.reconsider();
  assert.equal(ends, [[], [], []], 'nothing ends outside of a poll');
  assert.is(poll(), 3);
  assert.equal(ends, [[BlockStatus.ok], [BlockStatus.ok], [BlockStatus.ok]]);
  assert.is(poll(), 0);
  assert.equal(failures, [2]);
  assert.ok(io.canSubmit());
});

test('a member that fails writes is told of once for each, and they end when the store has decided', () => {
  const made = threeMembers();
  const { devices, failures } = made;
  devices[1]!.answer = BlockStatus.unknown;
  const { ends, poll } = writesTo(made, 8);
  assert.not.ok(made.io.canSubmit());
  assert.is(poll(), 8);
  assert.equal(
    ends,
    Array.from({ length: 8 }, () => [BlockStatus.ok]),
  );
  assert.equal([...new Set(failures)], [1]);
});

test('who holds the last region holds also what it gets by growth', async () => {
  const made = threeMembers();
  const { io, memory } = made;
  const { regionBlocks, blockCount } = geometry;
  // Half of the last region is there.
  io.blockCount = blockCount - regionBlocks / 2;
  const lock = await io.lockRegion(blockCount / regionBlocks - 1);
  io.grow(blockCount, blockCount / regionBlocks);
  let ended = 0;
  const request = new BlockRequest(() => ended++);
  Object.assign(request, { op: BlockOp.write, lba: blockCount - 1, blockCount: 1 });
  request.setData(memory.allocate(512), 0, 512);
  io.submit(request);
  io.poll();
  assert.is(ended, 0, 'it waits');
  io.unlock(lock!);
  io.poll();
  io.poll();
  assert.is(ended, 1);
});

test.run();
