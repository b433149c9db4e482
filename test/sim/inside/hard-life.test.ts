import * as assert from 'uvu/assert';
import { UltimaError } from '../../../sdk/errors.js';
import { checkFaultPlan, type FaultSpec } from '../../../sdk/faults/plan.js';
import { NvmeController } from '../../../sdk/nvme/controller.js';
import type { ControllerEvent } from '../../../sdk/nvme/events.js';
import type { Namespace } from '../../../sdk/nvme/namespace.js';
import { IdentifyController } from '../../../sdk/spec/nvme/identify-controller.js';
import { HealthLog, SanitizeLog } from '../../../sdk/spec/nvme/logs.js';
import { statusKind } from '../../../sdk/spec/nvme/status.js';
import { MiB } from '../../../sdk/units.js';
import { SimCard } from '../../../sim/card.js';
import type { ProfileChanges } from '../../../sim/profiles/index.js';
import { suite } from '../../support/suite.js';
import { plainProfile } from './inside-rig.js';

const test = suite('a hard life, as the driver sees it');
const ms = 1_000_000;
const blockBytes = 4096;

interface Life {
  readonly card: SimCard;
  readonly controller: NvmeController;
  readonly namespace: Namespace;
  readonly events: ControllerEvent[];
}

async function live(changes: ProfileChanges, faults: readonly FaultSpec[]): Promise<Life> {
  const profile = plainProfile(changes);
  const card = new SimCard({ profile, seed: 4, faults: checkFaultPlan({ faults }) });
  const events: ControllerEvent[] = [];
  const controller = await NvmeController.open(card.open(), {
    queueEntries: 64,
    onEvent: (event) => events.push(event),
  });
  return { card, controller, namespace: await controller.namespace(1), events };
}

test('heat slows reads down by the shares of the profile, and shows in the health log', async () => {
  const slow = { cycles: 20_000, isHardware: false };
  const hot = (kelvin: number, atMs: number): FaultSpec => ({
    kind: 'thermal throttling',
    kelvin,
    forNs: 20 * ms,
    when: { atNs: atMs * ms },
  });
  // One core with nothing but this stage worth its time: 20 us per read at full clock.
  const inside = { stages: { decode: slow } };
  const { card, controller, namespace } = await live({ inside }, [hot(355, 100), hot(365, 200)]);
  const readsNs = async (): Promise<number> => {
    const startNs = card.world.nowNs;
    const read = (lba: number) => namespace.read(lba, new Uint8Array(blockBytes));
    await Promise.all(Array.from({ length: 32 }, (_, lba) => read(lba)));
    return card.world.nowNs - startNs;
  };
  const until = (atMs: number): void => card.world.advance(atMs * ms - card.world.nowNs);
  const coolNs = await readsNs();
  until(101);
  const lightNs = await readsNs();
  const light = await controller.admin.health();
  until(201);
  const heavyNs = await readsNs();
  const heavy = await controller.admin.health();
  until(300);
  const laterNs = await readsNs();
  const after = await controller.admin.health();
  // Half and a quarter of the clock, but for what a read takes off the core.
  assert.ok(Math.abs(lightNs / coolNs - 2) < 0.1, `${lightNs / coolNs} times at light`);
  assert.ok(Math.abs(heavyNs / coolNs - 4) < 0.2, `${heavyNs / coolNs} times at heavy`);
  assert.ok(Math.abs(laterNs / coolNs - 1) < 0.02, 'at full clock again');
  assert.equal([light.temperatureKelvin, heavy.temperatureKelvin], [355, 365]);
  assert.match(light.criticalWarnings.join(), /temperature/);
  assert.is(after.criticalWarnings.length, 0);
  await controller.close();
});

/** 20 spare blocks: each is 5 % of what the log shows. */
const spareBlocks = 10;
const aging: ProfileChanges = {
  cache: { isVolatile: false },
  subsystem: { capacityBytes: 32 * MiB },
  namespaces: [{ ...plainProfile().namespaces[0]!, bytes: 32 * MiB }],
  inside: { flash: { blocksPerPlane: 48 }, ftl: { overProvisioningPermille: 300, spareBlocks } },
};

interface Step {
  readonly spare: number;
  readonly warnings: string;
}

/** Write until the card refuses. @returns what the log showed on the way, and the refusal */
async function writeToDeath(life: Life): Promise<{ steps: Step[]; status: number }> {
  const { controller, namespace } = life;
  const data = new Uint8Array(32 * blockBytes).fill(3);
  const steps: Step[] = [];
  for (let i = 0; i < 6000; i++) {
    const lba = (i * 37 * 32) % (namespace.blockCount - 32);
    const status = await namespace.write(lba, data).then(() => 0, statusOf);
    const health = await controller.admin.health();
    const step = { spare: health.sparePercent, warnings: health.criticalWarnings.join('; ') };
    const last = steps.at(-1);
    if (last?.spare !== step.spare || last.warnings !== step.warnings) steps.push(step);
    if (status !== 0) return { steps, status };
  }
  throw new Error('the card never refused a write');
}

function statusOf(error: unknown): number {
  if (!(error instanceof UltimaError)) throw error;
  const { status } = error.facts;
  return typeof status === 'number' ? statusKind(status) : -1;
}

/** Namespace Is Write Protected, of command specific status [NVMe-2.0 figure of status values]. */
const writeProtected = 0x020;
/** Asynchronous events of SMART and health, and the one of spare [NVMe-2.0 §5.2 AER]. */
const healthEvent = 1;
const spareEvent = 2;

for (const kind of ['growing bad blocks', 'program failure'] as const) {
  test(`${kind}: spares go one by one to the warning, to none, and to a read only card`, async () => {
    const life = await live(aging, failures(kind));
    const { steps, status } = await writeToDeath(life);
    const spares = steps.map(({ spare }) => spare);
    assert.is(spares[0], 100);
    assert.ok(spares.includes(0), 'none is left in the end');
    assert.ok(
      spares.every((spare, i) => i === 0 || spare <= spares[i - 1]!),
      `it only falls: ${spares}`,
    );
    assert.ok(
      spares.every((spare) => spare % 5 === 0),
      `each is a twentieth: ${spares}`,
    );
    for (const { spare, warnings } of steps) {
      assert.is(/spare/i.test(warnings), spare < 10, `${spare} %: ${warnings}`);
    }
    assert.ok(
      steps.some(({ spare, warnings }) => spare === 0 && !/read only/i.test(warnings)),
      'without spares it is written on',
    );
    assert.match(steps.at(-1)!.warnings, /read only/i);
    assert.is(status, writeProtected, `0x${status.toString(16)}`);
    const back = new Uint8Array(blockBytes);
    await life.namespace.read(37 * 32, back);
    assert.ok(
      back.every((byte) => byte === 3),
      'what was written can be read',
    );
    const told = life.events.map((event) =>
      event.kind === 'async event' ? `${event.type}.${event.information}` : event.kind,
    );
    assert.ok(told.includes(`${healthEvent}.${spareEvent}`), `the host is told: ${told}`);
    const words = (await life.controller.admin.health()).words;
    assert.is(HealthLog.warningReadOnly.get(words, 0), 1);
    life.card.checker.demandNone();
    await life.controller.close();
  });
}

function failures(kind: 'growing bad blocks' | 'program failure'): FaultSpec[] {
  const dies = kind === 'program failure' ? [0, 1] : [0];
  return dies.map((die) => ({
    kind,
    operations: 1,
    ...(kind === 'program failure' ? { die } : {}),
    count: 1000,
    when: { command: { opcode: 'write', first: 30 + die * 8, every: 16 } },
  }));
}

test('sanitize by overwrite takes its passes of time, and nothing is left to read', async () => {
  const { card, controller, namespace } = await live({}, []);
  const words = (await controller.admin.identifyController()).words;
  assert.is(IdentifyController.sanicapOverwrite.get(words, 0), 1, 'what SANICAP offers is done');
  await namespace.write(77, new Uint8Array(blockBytes).fill(9));
  const erase = async (passes: number): Promise<number> => {
    const startNs = card.world.nowNs;
    await controller.admin.sanitize('overwrite', { passes });
    while ((await controller.admin.sanitizeLog()).progress < 1) card.world.advance(ms);
    return card.world.nowNs - startNs;
  };
  const onceNs = await erase(1);
  const thriceNs = await erase(3);
  assert.ok(Math.abs(thriceNs / onceNs - 3) < 0.1, `${thriceNs / onceNs} times as long`);
  const log = await controller.admin.sanitizeLog();
  assert.is(SanitizeLog.passes.get(log.words, 0), 3);
  assert.is(log.isErased, true);
  const back = new Uint8Array(blockBytes).fill(1);
  await namespace.read(77, back);
  assert.equal(back, new Uint8Array(blockBytes));
  card.checker.demandNone();
  await controller.close();
});

test.run();
