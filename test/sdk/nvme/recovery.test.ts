import * as assert from 'uvu/assert';
import { BlockOp, BlockRequest, BlockStatus } from '../../../sdk/block/request.js';
import { UltimaError } from '../../../sdk/errors.js';
import { NvmeController } from '../../../sdk/nvme/controller.js';
import type { ControllerEvent } from '../../../sdk/nvme/events.js';
import type { Namespace } from '../../../sdk/nvme/namespace.js';
import type { ControllerOptions } from '../../../sdk/nvme/options.js';
import { Abort } from '../../../sdk/spec/nvme/admin-command.js';
import { AdminOpcode, NvmOpcode } from '../../../sdk/spec/nvme/opcodes.js';
import { Cap, Csts, Register } from '../../../sdk/spec/nvme/registers.js';
import { Status } from '../../../sdk/spec/nvme/status.js';
import { suite } from '../../support/suite.js';
import { FakeFunction, type Fetched } from './fake-function.js';

const test = suite('recovery');

interface Rig {
  readonly fn: FakeFunction;
  readonly controller: NvmeController;
  readonly namespace: Namespace;
  readonly events: ControllerEvent[];
  /** How each request ended, in order; every request ends at most once. */
  readonly ends: { readonly tag: number; readonly status: number }[];
}

const shortTimes = {
  commandTimeoutNs: 100_000_000,
  abortTimeoutNs: 50_000_000,
  adminTimeoutNs: 500_000_000,
  queueEntries: 16,
} as const satisfies ControllerOptions;

async function rig(options: ControllerOptions = {}, fn = new FakeFunction()): Promise<Rig> {
  const events: ControllerEvent[] = [];
  const onEvent = (event: ControllerEvent) => events.push(event);
  const controller = await NvmeController.open(fn, { ...shortTimes, ...options, onEvent });
  const namespace = await controller.namespace(1);
  return { fn, controller, namespace, events, ends: [] };
}

function submit({ namespace, ends }: Rig, tag: number, op: BlockOp = BlockOp.read): void {
  const request = new BlockRequest((one) => ends.push({ tag: one.tag, status: one.status }));
  request.op = op;
  request.lba = tag;
  request.blockCount = 8;
  request.tag = tag;
  request.setData(namespace.memory.allocate(4096), 0, 4096);
  namespace.submit(request);
}

/** Poll as a thread that never gives way, until `count` requests ended. */
function poll({ namespace, ends, fn }: Rig, count: number): void {
  const limitNs = fn.nowNs + 60_000_000_000;
  while (ends.length < count) {
    namespace.poll();
    fn.clock.idle(fn.nowNs + 1_000_000);
    assert.ok(fn.nowNs < limitNs, 'requests that never end');
  }
}

/** Poll until the controller is up again. */
function settle({ namespace, controller, fn }: Rig): void {
  const limitNs = fn.nowNs + 60_000_000_000;
  while (controller.state === 'resetting') {
    namespace.poll();
    fn.clock.idle(fn.nowNs + 1_000_000);
    assert.ok(fn.nowNs < limitNs, 'a reset that never ends');
  }
}

function steps(events: readonly ControllerEvent[]): string[] {
  return events.flatMap((event) =>
    event.kind === 'recovery' ? [`${event.step} ${event.isSuccess ? 'helped' : 'failed'}`] : [],
  );
}

const isRead = (command: Fetched) => command.queueId > 0 && command.opcode === NvmOpcode.read;

test('a doubled completion never completes a request twice, and is reported', async () => {
  const r = await rig();
  let count = 0;
  r.fn.judge = (command) => (isRead(command) && count++ === 0 ? 'twice' : 0);
  for (let i = 0; i < 5; i++) submit(r, i);
  poll(r, 5);
  r.namespace.poll();
  assert.equal(r.ends.map((end) => end.tag).sort(), [0, 1, 2, 3, 4]);
  assert.is(r.events.filter((event) => event.kind === 'misbehaviour').length, 1);
  await r.controller.reset().catch(() => {});
  submit(r, 9);
  poll(r, 6);
  assert.is(r.ends[5]!.status, BlockStatus.ok);
  await r.controller.close();
});

test('a stale completion of an earlier use of the slot ends no newer command', async () => {
  const r = await rig({ queueEntries: 2 });
  const first: Fetched[] = [];
  r.fn.judge = (command) => {
    if (isRead(command)) first.push(command);
    return isRead(command) && first.length === 2 ? 'drop' : 0;
  };
  submit(r, 0);
  poll(r, 1);
  submit(r, 1);
  // The one slot is in use again: an entry with the identifier of its first use arrives.
  for (let i = 0; i < 20; i++) {
    r.namespace.poll();
    r.fn.clock.idle(0);
  }
  assert.is(first.length, 2);
  r.fn.answer(first[0]!);
  poll(r, 2);
  assert.is(r.ends[1]!.status, BlockStatus.unknown);
  await r.controller.close();
});

for (const [what, entry] of [
  ['queue identifier', { sqid: 77, cid: 0 }],
  ['command identifier', { sqid: 1, cid: 0xfffe }],
  ['queue head', { sqid: 1, cid: 0, sqhd: 9999 }],
] as const) {
  test(`a completion with a wrong ${what} ends nothing and leads to a reset`, async () => {
    const r = await rig();
    r.fn.judge = (command) => (isRead(command) ? 'drop' : 0);
    submit(r, 0);
    for (let i = 0; i < 20; i++) {
      r.namespace.poll();
      r.fn.clock.idle(0);
    }
    r.fn.postEntry(1, entry);
    r.fn.judge = () => 0;
    poll(r, 1);
    assert.is(r.ends[0]!.status, BlockStatus.unknown);
    settle(r);
    const [bad] = r.events.filter((event) => event.kind === 'misbehaviour');
    assert.is(bad?.error.facts.what, what);
    assert.equal(steps(r.events), ['controller reset helped']);
    submit(r, 1);
    poll(r, 2);
    assert.is(r.ends[1]!.status, BlockStatus.ok);
    await r.controller.close();
    assert.equal(r.fn.dma.faults, []);
  });
}

test('a lost command is aborted, then the controller reset; its outcome is unknown', async () => {
  const r = await rig();
  let count = 0;
  r.fn.judge = (command) => (isRead(command) && count++ === 2 ? 'drop' : 0);
  for (let i = 0; i < 5; i++) submit(r, i);
  poll(r, 5);
  const lost = r.ends.find((end) => end.tag === 2);
  assert.is(lost?.status, BlockStatus.unknown);
  assert.is(r.ends.filter((end) => end.status === BlockStatus.ok).length, 4);
  assert.is(
    r.fn.fetched.some((command) => command.opcode === AdminOpcode.abort),
    true,
  );
  settle(r);
  assert.equal(steps(r.events), ['abort failed', 'controller reset helped']);
  submit(r, 7);
  poll(r, 6);
  assert.is(r.ends[5]!.status, BlockStatus.ok);
  await r.controller.close();
});

test('a lost command that the controller can abort costs no reset', async () => {
  const r = await rig();
  let lost: Fetched | null = null;
  r.fn.judge = (command) => {
    if (isRead(command) && lost === null) {
      lost = command;
      return 'drop';
    }
    return 0;
  };
  r.fn.judge = ((judge) => (command: Fetched) => {
    if (command.queueId === 0 && command.opcode === AdminOpcode.abort && lost !== null) {
      assert.is(Abort.cid.get(command.words, 0), lost.cid);
      assert.is(Abort.sqid.get(command.words, 0), lost.queueId);
      r.fn.answer(lost, Status.abortRequested);
    }
    return judge(command);
  })(r.fn.judge);
  submit(r, 0);
  poll(r, 1);
  assert.is(r.ends[0]!.status, BlockStatus.unknown);
  assert.is(steps(r.events).includes('controller reset helped'), false);
  assert.is(r.controller.state, 'ready');
  await r.controller.close();
});

test('a command that was never handed over to a lost controller was not executed', async () => {
  const r = await rig();
  r.fn.judge = (command) => (isRead(command) ? 'drop' : 0);
  submit(r, 0);
  r.namespace.poll();
  submit(r, 1);
  r.fn.isRemoved = true;
  r.namespace.queuePair.checkClock();
  r.fn.nowNs += 1_000_000_000;
  r.namespace.queuePair.checkClock();
  assert.equal(r.ends, [
    { tag: 0, status: BlockStatus.unknown },
    { tag: 1, status: BlockStatus.notExecuted },
  ]);
  assert.is(r.controller.state, 'removed');
  await r.controller.close();
});

test('a fatal status while running leads to a reset without a time-out', async () => {
  const r = await rig({ commandTimeoutNs: 1_000_000_000_000 });
  r.fn.judge = (command) => {
    if (isRead(command)) r.fn.setFatal();
    return isRead(command) ? 'drop' : 0;
  };
  submit(r, 0);
  r.namespace.poll();
  r.fn.clock.idle(0);
  r.fn.judge = () => 0;
  poll(r, 1);
  assert.is(r.ends[0]!.status, BlockStatus.unknown);
  settle(r);
  assert.equal(steps(r.events), ['controller reset helped']);
  await r.controller.close();
});

test('a controller that something else has reset is brought back without a time-out', async () => {
  const r = await rig({ commandTimeoutNs: 1_000_000_000_000 });
  r.fn.judge = (command) => (isRead(command) ? 'drop' : 0);
  submit(r, 0);
  r.namespace.poll();
  r.fn.clock.idle(0);
  await r.fn.reset('function');
  r.fn.judge = () => 0;
  poll(r, 1);
  assert.is(r.ends[0]!.status, BlockStatus.unknown);
  settle(r);
  assert.equal(steps(r.events), ['controller reset helped']);
  submit(r, 1);
  poll(r, 2);
  assert.is(r.ends[1]!.status, BlockStatus.ok);
  await r.controller.close();
});

test('two resets asked for at once happen one after the other', async () => {
  const r = await rig();
  await Promise.all([r.controller.reset(), r.controller.reset(), r.controller.reset()]);
  assert.equal(steps(r.events), [
    'controller reset helped',
    'controller reset helped',
    'controller reset helped',
  ]);
  await r.controller.close();
});

test('when the controller does not stop, a function reset brings the queues back', async () => {
  const r = await rig();
  r.fn.judge = (command) => (isRead(command) ? 'drop' : 0);
  r.fn.isStuck = true;
  const reading = r.namespace.read(0, r.namespace.memory.allocate(4096));
  const error = await reading.then(
    () => null,
    (reason: unknown) => reason,
  );
  assert.instance(error, UltimaError);
  assert.equal(r.fn.resets, ['function']);
  r.fn.judge = () => 0;
  while (r.controller.state === 'resetting') await r.fn.clock.turn(r.fn.nowNs + 1_000_000);
  assert.equal(steps(r.events), [
    'abort failed',
    'controller reset failed',
    'function reset helped',
  ]);
  await r.namespace.read(0, r.namespace.memory.allocate(4096));
  await r.controller.close();
});

test('where a subsystem reset is offered it comes before the function reset', async () => {
  const fn = new FakeFunction();
  Cap.nssrs.set(fn.cap, 0, 1);
  const r = await rig({}, fn);
  fn.isStuck = true;
  await r.controller.reset();
  assert.equal(steps(r.events), [
    'controller reset failed',
    'subsystem reset failed',
    'function reset helped',
  ]);
  assert.is(fn.trace.includes(`bar 0x20 = ${0x4e564d65}`), true);
  await r.controller.close();
});

test('a controller that no reset brings back loses bus mastering; all commands end', async () => {
  const r = await rig();
  r.fn.reset = async () => {};
  r.fn.isStuck = true;
  r.fn.judge = () => 'drop';
  for (let i = 0; i < 3; i++) submit(r, i);
  r.namespace.poll();
  r.fn.clock.idle(0);
  const failed = await r.controller.reset().catch((error: unknown) => error);
  assert.instance(failed, UltimaError);
  assert.is(r.controller.state, 'failed');
  assert.is(r.ends.length, 3);
  // Bus Master Enable is bit 2 of the command register at 4 [PCIe-4.0 §7.5.1.1.3].
  const last = r.fn.trace.filter((line) => line.startsWith('config 0x4')).at(-1);
  assert.is(Number(last?.split('= ')[1]) & 4, 0);
  submit(r, 9);
  r.namespace.poll();
  assert.equal(r.ends.at(-1), { tag: 9, status: BlockStatus.notExecuted });
  await r.controller.close();
});

test('a reset with a full queue ends every command once, and the queue works again', async () => {
  const r = await rig();
  r.fn.judge = (command) => (isRead(command) ? 'drop' : 0);
  const depth = r.namespace.limits.maxInFlight;
  for (let i = 0; i < depth; i++) submit(r, i);
  assert.is(r.namespace.canSubmit(), false);
  r.namespace.poll();
  r.fn.clock.idle(0);
  r.fn.judge = () => 0;
  await r.controller.reset();
  assert.is(r.ends.length, depth);
  assert.is(new Set(r.ends.map((end) => end.tag)).size, depth);
  for (let i = 0; i < depth; i++) submit(r, 100 + i);
  poll(r, 2 * depth);
  assert.is(
    r.ends.slice(depth).every((end) => end.status === BlockStatus.ok),
    true,
  );
  await r.controller.close();
});

test('an admin command that is never answered is given up and the controller reset', async () => {
  const r = await rig();
  let isDeaf = true;
  r.fn.judge = (command) =>
    isDeaf && command.queueId === 0 && command.opcode === AdminOpcode.getLogPage ? 'drop' : 0;
  const error = await r.controller.admin.health().catch((reason: unknown) => reason);
  assert.instance(error, UltimaError);
  assert.is(error instanceof UltimaError && error.code, 'COMMAND_TIMEOUT');
  isDeaf = false;
  while (r.controller.state !== 'ready') await r.fn.clock.turn(r.fn.nowNs + 1_000_000);
  await r.controller.admin.health();
  // The memory of the lost command went back after the reset, not before.
  assert.equal(r.fn.dma.faults, []);
  await r.controller.close();
  assert.is(r.fn.dma.regions.filter((one) => !one.isFreed).length, 0);
});

test('a function that goes during a reset is not waited for', async () => {
  const r = await rig({ adminTimeoutNs: 60_000_000_000 });
  r.fn.judge = (command) => {
    if (command.opcode === AdminOpcode.identify) r.fn.isRemoved = true;
    return 'drop';
  };
  const startNs = r.fn.nowNs;
  const error = await r.controller.reset().catch((reason: unknown) => reason);
  assert.is(error instanceof UltimaError && error.code, 'DEVICE_REMOVED');
  assert.is(r.controller.state, 'removed');
  assert.ok(r.fn.nowNs - startNs < 100_000_000, `${r.fn.nowNs - startNs} ns`);
  await r.controller.close();
});

test('a function that goes during bring-up is not waited for', async () => {
  const fn = new FakeFunction();
  fn.judge = () => {
    fn.isRemoved = true;
    return 'drop';
  };
  const startNs = fn.nowNs;
  const opening = NvmeController.open(fn, { ...shortTimes, adminTimeoutNs: 60_000_000_000 });
  const error = await opening.catch((reason: unknown) => reason);
  assert.is(error instanceof UltimaError && error.code, 'DEVICE_REMOVED');
  assert.ok(fn.nowNs - startNs < 100_000_000);
});

test('a controller that is reset during its reset is reset again, without a time-out', async () => {
  const r = await rig({ adminTimeoutNs: 60_000_000_000 });
  let isFirst = true;
  r.fn.judge = (command) => {
    if (!isFirst || command.opcode !== AdminOpcode.identify) return 0;
    isFirst = false;
    r.fn.reset('function').catch(() => {});
    return 'drop';
  };
  const startNs = r.fn.nowNs;
  await r.controller.reset();
  assert.is(r.controller.state, 'ready');
  assert.ok(r.fn.nowNs - startNs < 1_000_000_000);
  await r.controller.close();
});

test('requests that come while the controller is shut down are not executed', async () => {
  const r = await rig();
  const block = new Uint8Array(512);
  const outcomes: Promise<unknown>[] = [];
  r.fn.onRead = (offset, value) => {
    if (offset !== Register.csts || Csts.shst.of(value) !== 2 || outcomes.length > 0) return value;
    for (let lba = 0; lba < 100; lba++) {
      const ended = r.namespace.write(lba, block).catch((error: unknown) => error);
      outcomes.push(ended);
    }
    return value;
  };
  await r.controller.close();
  const errors = await Promise.all(outcomes);
  assert.is(errors.length, 100);
  for (const error of errors) {
    assert.ok(error instanceof UltimaError, String(error));
    assert.is(error.facts.outcome, 'not executed');
  }
  assert.is(r.fn.dma.regions.filter((one) => !one.isFreed).length, 0);
});

test('close on a device that answers nothing ends within its deadlines', async () => {
  const r = await rig();
  r.fn.judge = () => 'drop';
  r.fn.isStuck = true;
  submit(r, 0);
  const startNs = r.fn.nowNs;
  await r.controller.close();
  assert.is(r.ends.length, 1);
  assert.ok(r.fn.nowNs - startNs < 60_000_000_000);
});

test('asynchronous events reach the listener and their request is armed again', async () => {
  const r = await rig();
  const armed = () =>
    r.fn.fetched.filter(
      (one) => one.opcode === AdminOpcode.asynchronousEventRequest && one.queueId === 0,
    );
  r.fn.work();
  assert.is(armed().length, 4);
  // Type SMART (1), temperature threshold (1), log page 02h.
  r.fn.answer(armed()[0]!, 0, 0x0002_0101);
  r.controller.poll();
  r.controller.poll();
  r.fn.work();
  const [event] = r.events.filter((one) => one.kind === 'async event');
  assert.is(event?.type, 1);
  assert.is(event?.information, 1);
  assert.is(event?.logPage, 2);
  assert.is(armed().length, 5);
  await r.controller.close();
});

test.run();
