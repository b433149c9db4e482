import * as assert from 'uvu/assert';
import type { BlockDevice } from '../../../sdk/block/device.js';
import { MemoryDevice } from '../../../sdk/block/memory.js';
import { BlockOp, BlockRequest, BlockStatus } from '../../../sdk/block/request.js';
import { CostModel } from '../../../sdk/qos/cost.js';
import { type QosDevice, QosGate, type QosGateOptions } from '../../../sdk/qos/gate.js';
import type { Share } from '../../../sdk/qos/scheduler.js';
import { suite } from '../../support/suite.js';

const test = suite('what a gate allocates per request');
const page = 4096;
const clientCount = 8;
const depth = 16;
const perRound = 20_000;
const rounds = 100;
const wantedRounds = 5;

/** Time that goes on by a fraction of a nanosecond too, as a number that is always an object. */
class Clock {
  private now = 0.5;

  nowNs(): number {
    return this.now;
  }

  go(ns: number): void {
    this.now += ns;
  }

  idle(): void {}

  async turn(): Promise<void> {}
}

/** Ends four requests with each poll, and allocates nothing itself. */
class Ring {
  readonly counts = { polls: 0 };
  private readonly requests: (BlockRequest | null)[] = new Array(256).fill(null);
  private head = 0;
  private tail = 0;

  canSubmit(): boolean {
    return this.tail - this.head < 256;
  }

  submit(request: BlockRequest): void {
    this.requests[this.tail++ & 255] = request;
  }

  poll(): number {
    const count = Math.min(4, this.tail - this.head);
    for (let i = 0; i < count; i++) {
      const request = this.requests[this.head++ & 255]!;
      request.status = BlockStatus.ok;
      request.done(request);
    }
    return count;
  }
}

/** Writes of all clients that are always wanted again, through one gate. */
class Load {
  private readonly clock = new Clock();
  private readonly clients: QosDevice[] = [];
  private endedCount = 0;

  constructor(share: Share, options: QosGateOptions) {
    const { clock } = this;
    const under = new MemoryDevice({ blockBytes: page, blockCount: 1024, clock });
    const ring = new Ring();
    const device: BlockDevice = {
      blockBytes: page,
      blockCount: under.blockCount,
      limits: under.limits,
      clock,
      memory: under.memory,
      canSubmit: () => ring.canSubmit(),
      submit: (request) => ring.submit(request),
      poll: () => ring.poll(),
    };
    const gate = new QosGate(device, options);
    for (let i = 0; i < clientCount; i++) {
      this.clients.push(gate.open({ ...share, weight: 1 + (i % 3) }));
      for (let n = 0; n < depth; n++) this.begin(i);
    }
  }

  run(count: number): void {
    const until = this.endedCount + count;
    while (this.endedCount < until) {
      this.clock.go(5234.5);
      this.clients[0]!.poll();
    }
  }

  private begin(client: number): void {
    const device = this.clients[client]!;
    const request = new BlockRequest((one) => {
      this.endedCount++;
      device.submit(one);
    });
    request.op = BlockOp.write;
    request.blockCount = 1;
    request.setData(device.memory.allocate(page), 0, page);
    device.submit(request);
  }
}

const cost = new CostModel({ write: 7.3, discard: 1, flush: 1 });
const none = Number.POSITIVE_INFINITY;
const loads = {
  'that all pass at once': [{ reservation: 1e6, limit: 1e9 }, { depthUnits: 65_536 }],
  'that wait for the device': [{ reservation: 50_000, limit: none }, { depthUnits: 32 }],
  'that wait for their limits': [{ reservation: 50_000, limit: 100_000 }, { depthUnits: 4096 }],
} as const;

for (const [which, [share, options]] of Object.entries(loads)) {
  test(`requests ${which} allocate nothing: no number, no closure`, () => {
    const load = new Load({ ...share, weight: 1 }, { ...options, cost });
    let clean = 0;
    let bytes = 0;
    for (let round = 0; round < rounds && clean < wantedRounds; round++) {
      const before = process.memoryUsage().heapUsed;
      load.run(perRound);
      bytes = process.memoryUsage().heapUsed - before;
      // After a collection it is less, and what is compiled counts: such rounds say nothing.
      if (bytes >= 0 && bytes < 8 * perRound) clean++;
    }
    // One number that is kept on the heap has 12 bytes or more. The clock may make one per poll,
    // which is one for four requests.
    assert.is(clean, wantedRounds, `${bytes / perRound} bytes per request`);
  });
}

test.run();
