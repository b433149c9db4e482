import { getHeapStatistics } from 'node:v8';
import * as assert from 'uvu/assert';
import { NullFunction } from '../../../bench/null-function.js';
import { BlockOp, BlockRequest } from '../../../sdk/block/request.js';
import { NvmeController } from '../../../sdk/nvme/controller.js';
import type { Namespace } from '../../../sdk/nvme/namespace.js';
import type { ControllerOptions } from '../../../sdk/nvme/options.js';
import { suite } from '../../support/suite.js';

const test = suite('allocation on the data path');
const depth = 32;
const count = 100_000;

async function nullNamespace(options: ControllerOptions): Promise<Namespace> {
  const fn = new NullFunction();
  const opening = NvmeController.open(fn, { ...options, queueEntries: 128, eventRequests: 0 });
  let isOpen = false;
  const done = opening
    .then((controller) => controller.namespace(1))
    .finally(() => {
      isOpen = true;
    });
  while (!isOpen) {
    fn.serveAdmin();
    await new Promise((resolve) => setImmediate(resolve));
  }
  return done;
}

/** Heap bytes that `count` requests of this many blocks took, after the code has warmed up. */
function heapBytes(namespace: Namespace, op: BlockOp, blocks: number): number {
  let left = 0;
  let ended = 0;
  const submit = (request: BlockRequest): void => {
    request.lba = (request.lba * 17 + 3) % 1_000_000;
    namespace.submit(request);
  };
  const done = (request: BlockRequest): void => {
    ended++;
    if (left-- > 0) submit(request);
  };
  const requests = Array.from({ length: depth }, () => {
    const request = new BlockRequest(done);
    request.op = op;
    request.blockCount = blocks;
    if (op === BlockOp.read || op === BlockOp.write) {
      const bytes = blocks * namespace.blockBytes;
      request.setData(namespace.memory.allocate(bytes), 0, bytes);
    }
    return request;
  });
  const run = (total: number): void => {
    left = total - depth;
    ended = 0;
    for (const request of requests) submit(request);
    while (ended < total) namespace.poll();
  };
  run(count);
  const grown: number[] = [];
  // The least of three: compiling and collecting are not the requests' doing.
  for (let round = 0; round < 3; round++) {
    const before = getHeapStatistics().used_heap_size;
    run(count);
    const bytes = getHeapStatistics().used_heap_size - before;
    // Less than before means that something was collected: that run says nothing.
    if (bytes >= 0) grown.push(bytes);
  }
  return Math.min(...grown);
}

// One number that escapes per request would be 16 bytes; the clock is looked at once per batch.
const bytesPerRequest = 4;

test('reads and writes allocate nothing', async () => {
  const namespace = await nullNamespace({});
  for (const op of [BlockOp.read, BlockOp.write] as const) {
    assert.ok(heapBytes(namespace, op, 1) < count * bytesPerRequest);
  }
});

test('requests that are split at the transfer limit allocate nothing', async () => {
  const namespace = await nullNamespace({ maxTransferBytes: 4096 });
  const bytes = heapBytes(namespace, BlockOp.read, 3);
  assert.ok(bytes < count * bytesPerRequest, `${bytes} bytes`);
});

test.run();
