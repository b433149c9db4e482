import * as assert from 'uvu/assert';
import { UltimaError } from '../../../sdk/errors.js';
import { checkFaultPlan, type FaultSpec } from '../../../sdk/faults/plan.js';
import { NvmeController } from '../../../sdk/nvme/controller.js';
import type { ControllerEvent } from '../../../sdk/nvme/events.js';
import { LogPage } from '../../../sdk/spec/nvme/logs.js';
import { MediaStatus, Status, statusKind } from '../../../sdk/spec/nvme/status.js';
import { SimCard } from '../../../sim/card.js';
import { openSimulated } from '../../../sim/open.js';
import { suite } from '../../support/suite.js';
import { unbuffered } from './unbuffered.js';

/** What one fault does, seen by a driver: the status, the register, the block. */
const test = suite('effects of faults');
const address = 'sim:simple?bytes=1MiB&lbaFormat=2&cache.bytes=1048576';
const blockBytes = 4096;
const ms = 1_000_000;

interface Bench {
  readonly card: SimCard;
  readonly controller: NvmeController;
  readonly events: ControllerEvent[];
  write(lba: number): Promise<string>;
  /** '' when it reads what `write` wrote, 'wrong bit n' for one flipped bit, else the error. */
  read(lba: number): Promise<string>;
}

async function bench(...faults: FaultSpec[]): Promise<Bench> {
  const card = openSimulated(address, { faults: checkFaultPlan({ faults }) });
  const events: ControllerEvent[] = [];
  const controller = await NvmeController.open(card.open(), {
    queueEntries: 16,
    commandTimeoutNs: 40 * ms,
    abortTimeoutNs: 10 * ms,
    onEvent: (event) => events.push(event),
  });
  const namespace = await controller.namespace(1);
  return {
    card,
    controller,
    events,
    write: (lba) => namespace.write(lba, content(lba)).then(() => '', nameOf),
    read: async (lba) => {
      const bytes = new Uint8Array(blockBytes);
      return namespace.read(lba, bytes).then(() => compare(bytes, content(lba)), nameOf);
    },
  };
}

function content(lba: number): Uint8Array {
  return new Uint8Array(blockBytes).fill(0x11 + lba);
}

function compare(got: Uint8Array, wanted: Uint8Array): string {
  const bits: number[] = [];
  for (let i = 0; i < got.length; i++) {
    for (let bit = 0; bit < 8; bit++) {
      if (((got[i]! ^ wanted[i]!) >>> bit) & 1) bits.push(i * 8 + bit);
    }
  }
  return bits.length === 0 ? '' : `wrong bit ${bits.join()}`;
}

function nameOf(error: unknown): string {
  if (!(error instanceof UltimaError)) throw error;
  const status = error.facts.status;
  const kind = typeof status === 'number' ? statusKind(status) : 0;
  return `${error.facts.outcome} ${kind === 0 ? error.code : `0x${kind.toString(16)}`}`;
}

const statusText = (status: number) => `failed 0x${statusKind(status).toString(16)}`;
const reads = { command: { opcode: 'read' } } as const;
const writes = { command: { opcode: 'write' } } as const;

test('a media error is an unrecovered read error until the block is written again', async () => {
  const b = await bench({ kind: 'media error', when: { command: { opcode: 'read', lba: 3 } } });
  for (const lba of [2, 3, 4]) await b.write(lba);
  assert.is(await b.read(3), statusText(MediaStatus.unrecoveredReadError));
  assert.is(await b.read(3), statusText(MediaStatus.unrecoveredReadError));
  assert.is(await b.read(2), '');
  assert.is(await b.read(4), '');
  await b.write(3);
  assert.is(await b.read(3), '');
  await b.controller.close();
});

test('a silent corruption flips the one bit that the plan names and reports nothing', async () => {
  const when = { command: { opcode: 'read', lba: 5, first: 2 } };
  const b = await bench({ kind: 'silent corruption', bit: 12_345, when });
  for (const lba of [4, 5]) await b.write(lba);
  assert.is(await b.read(5), '');
  assert.is(await b.read(5), 'wrong bit 12345');
  assert.is(await b.read(4), '');
  await b.controller.close();
});

test('a write fault changes nothing, and only commands that write can have one', async () => {
  const b = await bench({
    kind: 'write fault',
    when: { command: { lba: 1, first: 2 } },
    count: 1000,
  });
  await b.write(1);
  assert.is(await b.read(1), '');
  assert.is(await b.write(1), statusText(Status.writeFault));
  assert.is(await b.read(1), '');
  assert.is(b.card.faultOutcomes[0]!.struck > 0, true);
  await b.controller.close();
});

for (const [kind, bits] of [
  ['poisoned TLP', { uncorrectable: 1 << 12, received: 0 }],
  ['aborted TLP', { uncorrectable: 0, received: 1 << 12 }],
] as const) {
  test(`a ${kind} fails what is fetched and stands in the error registers`, async () => {
    const b = await bench({ kind, when: { command: { lba: 1 } }, count: 4 });
    assert.is(await b.write(2), '');
    const failed = await b.write(1);
    assert.is(failed, statusText(Status.dataTransferError));
    const { config } = b.card.function;
    // [PCIe-4.0 §7.5.1.1.4] status bit 12, and AER behind its capability header 0001h.
    assert.is(config.read16(0x06) & (1 << 12), bits.received);
    let at = 0x100;
    while ((config.read32(at) & 0xffff) !== 1) at = config.read32(at) >>> 20;
    assert.is(config.read32(at + 4) & (1 << 12), bits.uncorrectable);
    await b.controller.close();
  });
}

test('a latency spike below the deadline costs that time and no recovery', async () => {
  const b = await bench({ kind: 'latency spike', addNs: 30 * ms, when: reads });
  await b.write(1);
  const { world } = b.card;
  const startNs = world.nowNs;
  assert.is(await b.read(1), '');
  const slowNs = world.nowNs - startNs;
  assert.is(await b.read(1), '');
  const plainNs = world.nowNs - startNs - slowNs;
  // Polling looks again after at most ten microseconds or so.
  assert.ok(Math.abs(slowNs - plainNs - 30 * ms) < 100_000, `${slowNs} ${plainNs}`);
  assert.is(b.events.filter(({ kind }) => kind === 'recovery').length, 0);
  await b.controller.close();
});

test('a stuck command ends by Abort; one that ignores it costs a controller reset', async () => {
  for (const ignoresAbort of [false, true]) {
    const b = await bench({ kind: 'stuck command', ignoresAbort, when: reads });
    await b.write(1);
    assert.match(await b.read(1), /^unknown/);
    assert.is(await b.read(1), '');
    const steps = b.events.flatMap((event) =>
      event.kind === 'recovery' && event.isSuccess ? [event.step] : [],
    );
    assert.equal(steps, [ignoresAbort ? 'controller reset' : 'abort']);
    await b.controller.close();
  }
});

test('a power cut with protection keeps what was not flushed; without, it may lose it', async () => {
  let lost = 0;
  for (let seed = 0; seed < 16; seed++) {
    for (const isProtected of [true, false]) {
      const faults = checkFaultPlan({
        faults: [{ kind: 'power cut', isProtected, restoreAfterNs: 1000, when: { atNs: 9 * ms } }],
      });
      const card = openSimulated(`${address}&seed=${seed}`, { faults });
      const first = await NvmeController.open(card.open());
      await (await first.namespace(1)).write(1, content(1));
      card.world.advance(100 * ms);
      await first.close();
      const second = await NvmeController.open(card.open());
      const bytes = new Uint8Array(blockBytes);
      await (await second.namespace(1)).read(1, bytes);
      const isThere = compare(bytes, content(1)) === '';
      if (isProtected) assert.is(isThere, true, `seed ${seed}`);
      else if (!isThere) lost++;
      await second.close();
    }
  }
  assert.ok(lost > 0, 'sixteen cuts without protection lost nothing');
});

test('a firmware assert leaves its code in the telemetry that the controller made', async () => {
  const b = await bench({ kind: 'firmware assert', code: 0x2a, when: reads });
  await b.write(1);
  assert.match(await b.read(1), /^unknown/);
  while (b.controller.state !== 'ready') await b.card.world.clock.turn(b.card.world.nowNs + ms);
  const log = await b.controller.admin.logPage(LogPage.telemetryController, 1024);
  const text = Buffer.from(log.buffer, log.byteOffset, log.byteLength).toString('latin1', 512);
  assert.match(text, /^assert-code 42\n/);
  await b.controller.close();
});

test('heat raises the temperature for as long as the plan says', async () => {
  const b = await bench({ kind: 'thermal throttling', kelvin: 355, forNs: ms, when: writes });
  const { health } = b.card.subsystem;
  const before = health.temperatureKelvin;
  await b.write(1);
  assert.is(health.temperatureKelvin, 355);
  b.card.world.advance(2 * ms);
  assert.is(health.temperatureKelvin, before);
  await b.controller.close();
});

test('first, every and count choose commands; a probability draws from the seed', async () => {
  const when = { command: { opcode: 'read', first: 3, every: 2 } };
  const b = await bench({ kind: 'media error', lba: 7, when, count: 2 });
  const ends: string[] = [];
  await b.write(7);
  for (let i = 0; i < 8; i++) {
    ends.push(await b.read(7));
    await b.write(7);
  }
  const bad = statusText(MediaStatus.unrecoveredReadError);
  assert.equal(ends, ['', '', bad, '', bad, '', '', '']);
  await b.controller.close();

  const drawn = async (seed: number): Promise<number> => {
    const fault = {
      kind: 'spurious interrupt',
      count: 1000,
      when: { command: { probability: 0.3 } },
    };
    const card = openSimulated(address, { faults: checkFaultPlan({ seed, faults: [fault] }) });
    const controller = await NvmeController.open(card.open());
    const namespace = await controller.namespace(1);
    for (let i = 0; i < 200; i++) await namespace.read(0, new Uint8Array(blockBytes));
    await controller.close();
    return card.faultOutcomes[0]!.struck;
  };
  const counts = [await drawn(1), await drawn(1), await drawn(2)];
  assert.is(counts[0], counts[1]);
  // About 220 commands: a mean of 66, a deviation below 7.
  for (const count of counts) assert.ok(count > 35 && count < 100, `${count} of about 220`);
});

test('a fault waits for its event or its time, and for the card that it names', async () => {
  const plan = checkFaultPlan({
    faults: [
      { kind: 'spurious interrupt', when: { event: 20 } },
      { kind: 'spurious interrupt', when: { atNs: 123_456 } },
      { kind: 'spurious interrupt', when: { atNs: 5 }, where: { card: 1 } },
    ],
  });
  const card = openSimulated(address, { faults: plan });
  const controller = await NvmeController.open(card.open());
  await controller.close();
  const outcomes = card.faultOutcomes.map(({ struck, lastNs }) => [struck, lastNs]);
  assert.is(outcomes.length, 2);
  assert.is(outcomes[0]![0], 1);
  assert.equal(outcomes[1], [1, 123_456]);
});

test('failed programs and erases cost blocks and no data', async () => {
  const faults = checkFaultPlan({
    faults: [
      { kind: 'program failure', operations: 2, when: { atNs: 0 } },
      { kind: 'slow die', die: 1, addNs: 3 * ms, when: { atNs: 0 } },
    ],
  });
  const card = new SimCard({ profile: unbuffered, faults });
  const controller = await NvmeController.open(card.open());
  const namespace = await controller.namespace(1);
  const bytes = new Uint8Array(2 * 1024 * 1024);
  for (let i = 0; i < bytes.length; i++) bytes[i] = (i * 31 + (i >>> 12)) & 0xff;
  for (let round = 0; round < 4; round++) {
    await namespace.write((round * bytes.length) / namespace.blockBytes, bytes);
  }
  await namespace.flush();
  const back = new Uint8Array(bytes.length);
  for (let round = 0; round < 4; round++) {
    await namespace.read((round * bytes.length) / namespace.blockBytes, back);
    assert.is(Buffer.compare(back, bytes), 0);
  }
  const [drive] = card.inside.drives;
  assert.is(drive!.statistics.programFailures, 2);
  assert.equal(
    card.faultOutcomes.map(({ struck }) => struck),
    [1, 1],
  );
  await controller.close();
});

for (const [what, fault, field, allowed] of [
  ['a drive that the card models not', { kind: 'erase failure' }, 'faults[0].kind', /models no/],
  [
    'a function that the card has not',
    { kind: 'controller fatal status', where: { function: 300 } },
    'faults[0].where.function',
    /300: this card has 0\.\./,
  ],
] as const) {
  test(`${what} is refused before the run`, () => {
    const plan = checkFaultPlan({ faults: [{ ...fault, when: { atNs: 1 } }] });
    let error: unknown = null;
    try {
      openSimulated('sim:simple?bytes=1MiB', { faults: plan });
    } catch (reason) {
      error = reason;
    }
    assert.instance(error, UltimaError);
    assert.is(error instanceof UltimaError && error.facts.field, field);
    assert.match(String(error), allowed);
  });
}

test('a die beyond the drive is refused with the dies that there are', () => {
  const faults = [{ kind: 'slow die', die: 60_000, addNs: 1, when: { atNs: 1 } }];
  const plan = checkFaultPlan({ faults });
  assert.throws(
    () => new SimCard({ profile: unbuffered, faults: plan }),
    /faults\[0\]\.die 60000: .*0\.\./,
  );
});

test.run();
