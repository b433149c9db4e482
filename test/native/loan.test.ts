import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import * as assert from 'uvu/assert';
import { lend } from '../../native/index.js';
import { type Kernel, OpenFlag } from '../../native/kernel.js';
import { loadAddon } from '../../native/load.js';
import { VfioDmaSpace } from '../../native/vfio/dma-space.js';
import type { Iommu } from '../../native/vfio/iommu.js';
import { type Lendable, Loan } from '../../native/vfio/loan.js';
import { UltimaError } from '../../sdk/errors.js';
import { openSimulated } from '../../sim/open.js';
import { skip, suite } from '../support/suite.js';
import type { Answer } from './loan-worker.js';

const test = suite('memory lent to worker threads');
const loaded = loadAddon();
const lentBytes = 1 << 20;

/** An IOMMU that maps whatever it is told. */
const iommu: Iommu = {
  kind: 'group',
  deviceFd: -1,
  pageBytes: 4096,
  ranges: [{ first: 0, last: 2 ** 40 }],
  map() {},
  unmap() {},
  close() {},
};

/** Memory and one window as a function has them, over real mappings. */
class Lender {
  readonly fn: Lendable;
  readonly dma: VfioDmaSpace;
  readonly window: ArrayBuffer;
  private readonly kernel: Kernel;
  private readonly directory = mkdtempSync(join(tmpdir(), 'ultima-loan-'));
  private readonly fd: number;

  constructor(kernel: Kernel) {
    this.kernel = kernel;
    const path = join(this.directory, 'window');
    writeFileSync(path, Buffer.alloc(4096, 0x11));
    this.fd = kernel.open(path, OpenFlag.readWrite);
    const window = kernel.map(this.fd, 0, 4096, true, true);
    if (typeof window === 'number') throw new Error(`mapping failed: ${window}`);
    this.window = window;
    this.dma = new VfioDmaSpace(kernel, iommu, { arenaBytes: 4 * lentBytes });
    const { address, config, interrupts, clock } = openSimulated('sim:simple').open();
    const windows = [{ index: 0, address: kernel.addressOf(window), length: 4096 }];
    this.fn = {
      address,
      config,
      interrupts,
      clock,
      kernel,
      dma: this.dma,
      isRemoved: false,
      mappedWindows: () => windows,
      bar() {
        throw new RangeError('the lender of this test has no BARs');
      },
      reset: () => Promise.resolve(),
      close: () => Promise.resolve(),
    };
  }

  close(): void {
    this.dma.close();
    this.kernel.unmap(this.window);
    this.kernel.close(this.fd);
    rmSync(this.directory, { recursive: true });
  }
}

async function start(loan: Loan): Promise<Worker> {
  const script = new URL('./loan-worker.js', import.meta.url);
  const worker = new Worker(script, { workerData: loan.description });
  await new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
  return worker;
}

function ask(worker: Worker, what: string): Promise<Answer> {
  return new Promise((resolve) => {
    worker.once('message', resolve);
    worker.postMessage(what);
  });
}

function withKernel(title: string, body: (lender: Lender) => Promise<void>): void {
  test(title, async () => {
    if (loaded.kernel === null) {
      skip(`native addon: ${loaded.unavailableReason}`);
      return;
    }
    const lender = new Lender(loaded.kernel);
    try {
      await body(lender);
    } finally {
      lender.close();
    }
  });
}

withKernel(
  'a worker writes into the memory and the window of the lender itself',
  async (lender) => {
    const loan = new Loan(lender.fn, lentBytes);
    const worker = await start(loan);
    const { iova, register } = await ask(worker, 'stamp');
    assert.is(register, 0x1111_1111);
    const at = (iova - loan.memory.iova) / 4;
    assert.ok(at >= 0 && at + 2048 <= loan.memory.words.length);
    assert.ok(loan.memory.words.subarray(at, at + 2048).every((word) => word === 0x5eed_0001));
    await ask(worker, 'ring');
    assert.is(new Uint32Array(lender.window)[2], 0x1234_5678);
    await worker.terminate();
  },
);

withKernel(
  'memory is not given back while a worker has it, and is once it closed',
  async (lender) => {
    const loan = new Loan(lender.fn, lentBytes);
    const worker = await start(loan);
    assert.is(loan.isBorrowed, true);
    assert.throws(
      () => loan.giveBack(),
      (error: unknown) => error instanceof UltimaError && error.code === 'DEVICE_BUSY',
    );
    const { word, register, isRemoved } = await ask(worker, 'close');
    assert.equal(
      { word, register, isRemoved },
      { word: undefined, register: 0xffff_ffff, isRemoved: true },
    );
    assert.is(loan.isBorrowed, false);
    loan.giveBack();
    loan.giveBack();
    assert.is(loan.memory.isFreed, true);
    await worker.terminate();
  },
);

withKernel(
  'a worker that is terminated in the middle of its work holds nothing',
  async (lender) => {
    const loans = [new Loan(lender.fn, lentBytes), new Loan(lender.fn, lentBytes)];
    const [doomed, other] = await Promise.all(loans.map(start));
    doomed!.postMessage('spin');
    const first = loans[0]!.memory.words;
    while (first.every((word) => word === 0)) await new Promise((resolve) => setImmediate(resolve));
    await doomed!.terminate();
    assert.is(loans[0]!.isBorrowed, false);
    assert.is(loans[1]!.isBorrowed, true);
    loans[0]!.giveBack();
    await ask(other!, 'stamp');
    assert.ok(loans[1]!.memory.words.includes(0x5eed_0001));
    const next = new Loan(lender.fn, lentBytes);
    const worker = await start(next);
    await ask(worker, 'stamp');
    await worker.terminate();
    await other!.terminate();
  },
);

withKernel(
  'a lender that closes too early leaves zeroes and all-ones, not a crash',
  async (lender) => {
    const loan = new Loan(lender.fn, lentBytes);
    const worker = await start(loan);
    await ask(worker, 'stamp');
    lender.dma.close();
    lender.fn.kernel.unmap(lender.window);
    assert.is(loan.memory.bytes.length, 0);
    const { word, register } = await ask(worker, 'ring');
    assert.equal({ word, register }, { word: 0, register: 0xffff_ffff });
    await ask(worker, 'stamp');
    await worker.terminate();
  },
);

withKernel('what is not lent any more cannot be adopted', async (lender) => {
  const loan = new Loan(lender.fn, lentBytes);
  lender.dma.close();
  const script = new URL('./loan-worker.js', import.meta.url);
  const worker = new Worker(script, { workerData: loan.description });
  const error = await new Promise<Error>((resolve) => worker.once('error', resolve));
  assert.match(error.message, /is not lent any more/);
});

test('a simulated function is not lent: it lives in one thread', () => {
  const fn = openSimulated('sim:simple').open();
  assert.throws(
    () => lend(fn, lentBytes),
    (error: unknown) => error instanceof UltimaError && error.code === 'DEVICE_UNSUPPORTED',
  );
});

test.run();
