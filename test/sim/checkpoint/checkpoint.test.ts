import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as assert from 'uvu/assert';
import { UltimaError } from '../../../sdk/errors.js';
import { checkFaultPlan } from '../../../sdk/faults/plan.js';
import { NvmeController } from '../../../sdk/nvme/controller.js';
import { SimCard } from '../../../sim/card.js';
import {
  checkpointVersion,
  forkCard,
  restoreCard,
  restoreWorld,
  saveCard,
  saveWorld,
} from '../../../sim/checkpoint/checkpoint.js';
import { classOf, fieldsOf, notState } from '../../../sim/checkpoint/vocabulary.js';
import { openSimulated } from '../../../sim/open.js';
import { RootPort } from '../../../sim/pcie/root-port.js';
import { defineProfile, findProfile } from '../../../sim/profiles/index.js';
import { World } from '../../../sim/world.js';
import { suite } from '../../support/suite.js';
import { WildHost } from './wild-host.js';

const test = suite('checkpoint');
const address = 'sim:simple?bytes=1MiB&firmware.bootNs=1000';
const root = fileURLToPath(new URL('../../../../', import.meta.url));

/** The field that an attempt is refused with. */
function refusal(attempt: () => unknown): string {
  try {
    attempt();
  } catch (error) {
    if (!(error instanceof UltimaError)) throw error;
    return `${error.code} ${error.facts.field}`;
  }
  return 'accepted';
}

async function written(card: SimCard, lba: number, value: number): Promise<void> {
  const controller = await NvmeController.open(card.open());
  const namespace = await controller.namespace(1);
  await namespace.write(lba, new Uint8Array(4096).fill(value));
  await controller.close();
}

async function valueAt(card: SimCard, lba: number): Promise<number> {
  const controller = await NvmeController.open(card.open());
  const bytes = new Uint8Array(4096);
  await (await controller.namespace(1)).read(lba, bytes);
  await controller.close();
  assert.ok(bytes.every((byte) => byte === bytes[0]));
  return bytes[0]!;
}

function busy(): Uint8Array {
  const host = WildHost.on(openSimulated(address), 5);
  host.run(0, 40);
  return saveCard(host.host.card);
}

test('a checkpoint of another version is refused with the version', () => {
  const bytes = busy();
  assert.is(bytes[8], checkpointVersion);
  bytes[8] = checkpointVersion + 1;
  assert.is(
    refusal(() => restoreCard(bytes)),
    'CHECKPOINT_INVALID version',
  );
  assert.is(
    refusal(() => restoreCard(Buffer.from('{}'))),
    'CHECKPOINT_INVALID magic',
  );
});

test('a checkpoint that was cut short or changed anywhere is refused', () => {
  const bytes = busy();
  for (let length = 0; length < bytes.length; length += 1 + Math.floor(length / 7)) {
    const field = refusal(() => restoreCard(bytes.slice(0, length)));
    assert.is(field, `CHECKPOINT_INVALID ${length < 8 ? 'magic' : 'length'}`);
  }
  for (let at = 12; at < bytes.length; at += 1 + Math.floor(at / 7)) {
    const changed = bytes.slice();
    changed[at]! ^= 0x10;
    assert.match(
      refusal(() => restoreCard(changed)),
      /^CHECKPOINT_INVALID (length|checksum)$/,
    );
  }
  assert.is(
    refusal(() => restoreCard(bytes)),
    'accepted',
  );
});

test('a checkpoint of another profile is refused with the first field that differs', () => {
  const bytes = busy();
  const profile = restoreCard(bytes).profile;
  const other = defineProfile(profile, { media: { readNs: (profile.media?.readNs ?? 0) + 1 } });
  assert.is(
    refusal(() => restoreCard(bytes, profile)),
    'accepted',
  );
  assert.is(
    refusal(() => restoreCard(bytes, other)),
    'CHECKPOINT_INVALID profile.media.readNs',
  );
});

test('a card that keeps its blocks in a file is not saved, and says why', () => {
  const path = join(tmpdir(), `ultima-checkpoint-${process.pid}.img`);
  const card = openSimulated(`${address}&file=${path}`);
  const error = refusal(() => saveCard(card));
  assert.match(error, /^DEVICE_UNSUPPORTED/);
  for (const namespace of card.subsystem.namespaces) namespace.medium.close();
  rmSync(path, { force: true });
});

test('saving disturbs nothing: a run that was saved ends as one that was not', () => {
  const ends = [false, true].map((isSaved) => {
    const host = WildHost.on(openSimulated(address), 9);
    for (let step = 0; step < 60; step++) {
      host.run(step, step + 1);
      if (isSaved) saveCard(host.host.card);
    }
    return host.host.card.world.eventHash;
  });
  assert.is(ends[1], ends[0]);
});

test('forks share nothing: what one writes the other does not read', async () => {
  const card = openSimulated(address);
  await written(card, 0, 0x11);
  const fork = forkCard(card);
  await written(card, 0, 0x22);
  await written(fork, 0, 0x33);
  assert.is(await valueAt(card, 0), 0x22);
  assert.is(await valueAt(fork, 0), 0x33);
  assert.is(await valueAt(forkCard(fork), 0), 0x33);
});

test('a card without contents is restored as one, and goes on alike', async () => {
  const profile = defineProfile(findProfile('simple'), { firmware: { bootNs: 1000 } });
  const card = new SimCard({ profile, seed: 4, carriesData: false });
  await written(card, 0, 0x11);
  const fork = forkCard(card);
  assert.not(fork.carriesData);
  assert.is(await valueAt(card, 0), 0);
  assert.is(await valueAt(fork, 0), 0);
  assert.is(fork.world.eventHash, card.world.eventHash);
});

test('what restored cards write leaves the checkpoint as it was', async () => {
  const card = openSimulated(address);
  const first = await NvmeController.open(card.open());
  const namespace = await first.namespace(1);
  for (let page = 0; page < 100; page++) {
    await namespace.write(8 * page, new Uint8Array(4096).fill(page + 1));
  }
  const running = Array.from({ length: 30 }, (_, i) =>
    namespace.write(8 * (100 + i), new Uint8Array(4096).fill(0x77)),
  );
  // The doorbell rings behind all of them.
  await Promise.resolve();
  card.world.advance(3_000);
  assert.ok(card.world.pendingCount > 0);
  const bytes = saveCard(card);
  const before = Uint8Array.from(bytes);
  for (const value of [0x33, 0x44]) {
    const restored = restoreCard(bytes);
    // Writes whose data was on its way come to their end.
    restored.world.advance(10_000_000);
    const second = await NvmeController.open(restored.open());
    const blocks = await second.namespace(1);
    await blocks.write(3, new Uint8Array(512).fill(value));
    await blocks.write(8, new Uint8Array(16 * 4096).fill(value));
    const page = new Uint8Array(4096);
    await blocks.read(0, page);
    assert.equal([page[0], page[3 * 512], page[4 * 512]], [1, value, 1]);
    await second.close();
    assert.is(await valueAt(restored, 8 * 90), 91);
    assert.is(await valueAt(restored, 8 * 100), 0x77);
    assert.is(Buffer.compare(bytes, before), 0);
  }
  await Promise.all(running);
  await first.close();
});

test('a checkpoint may lie anywhere in memory', () => {
  const bytes = busy();
  const shifted = new Uint8Array(bytes.length + 3).subarray(3);
  shifted.set(bytes);
  assert.is(Buffer.compare(saveCard(restoreCard(shifted)), bytes), 0);
});

test('a new driver takes over a card that was saved under another one, in the middle of I/O', async () => {
  for (const profile of ['simple', 'znand']) {
    const card = openSimulated(`sim:${profile}?firmware.bootNs=1000`);
    const first = await NvmeController.open(card.open());
    const namespace = await first.namespace(1);
    await namespace.write(0, new Uint8Array(4096).fill(0x5a));
    await namespace.flush();
    const running = Array.from({ length: 20 }, (_, i) =>
      namespace.write(8 + 8 * i, new Uint8Array(4096).fill(0x77)),
    );
    card.world.advance(3_000);
    const saved = restoreCard(saveCard(card));
    await Promise.all(running);
    await first.close();
    assert.is(await valueAt(saved, 0), 0x5a);
    await written(saved, 0, 0x33);
    assert.is(await valueAt(saved, 0), 0x33);
    saved.checker.demandNone();
  }
});

test('two cards behind one root port go on together, and one alone is not saved', () => {
  const profile = findProfile('simple');
  const world = new World({ seed: 3 });
  const rootPort = new RootPort({ generation: 3, lanes: 1 });
  const cards = [0, 1].map(() => new SimCard({ profile, world, rootPort }));
  const hosts = cards.map((card, i) => WildHost.on(card, 30 + i));
  const run = (these: readonly WildHost[], from: number, to: number) => {
    for (let step = from; step < to; step++) for (const host of these) host.run(step, step + 1);
  };
  run(hosts, 0, 50);
  assert.throws(() => saveCard(cards[0]!), /all 2 cards/);
  const restored = restoreWorld(saveWorld(world, cards));
  assert.is(restored.cards[0]!.rootPort, restored.cards[1]!.rootPort);
  const moved = hosts.map((host, i) => host.movedTo(restored.cards[i]!));
  run(hosts, 50, 100);
  run(moved, 50, 100);
  assert.is(restored.world.eventHash, world.eventHash);
  assert.is(restored.world.eventCount, world.eventCount);
});

test('a fault plan goes on where it was: counts, chance, and what is still to come', () => {
  const faults = checkFaultPlan({
    seed: 4,
    faults: [
      { kind: 'latency spike', addNs: 700, count: 9, when: { command: { probability: 0.4 } } },
      { kind: 'media error', count: 5, when: { command: { opcode: 'read', every: 3 } } },
      { kind: 'power cut', restoreAfterNs: 5_000, when: { event: 700 } },
      { kind: 'thermal throttling', kelvin: 350, when: { atNs: 2_000_000 } },
    ],
  });
  for (const cut of [10, 60, 110]) {
    const whole = WildHost.on(openSimulated(address, { faults }), 12);
    whole.run(0, cut);
    const moved = whole.movedTo(restoreCard(saveCard(whole.host.card)));
    whole.run(cut, 160);
    moved.run(cut, 160);
    const [a, b] = [whole, moved].map(({ host }) => host.card);
    assert.equal(b!.faultOutcomes, a!.faultOutcomes);
    assert.is(b!.world.eventHash, a!.world.eventHash);
    assert.ok(a!.faultOutcomes.some(({ struck }) => struck > 0));
  }
});

test('nothing of a card lies where a checkpoint cannot see it', () => {
  const hidden: string[] = [];
  for (const path of filesIn(join(root, 'sim'))) {
    for (const [i, line] of readFileSync(path, 'utf8').split('\n').entries()) {
      if (/^(export )?let /.test(line)) hidden.push(`${path}:${i + 1} a variable of a module`);
      if (/^ {2}(static |readonly |private )*#\w/.test(line)) hidden.push(`${path}:${i + 1} #`);
      if (/^ {2}(private )?static (?!readonly|\w+\()/.test(line)) hidden.push(`${path}:${i + 1}`);
      // A closure over it would carry state past every field.
      const local = /^ {4}let (\w+)/.exec(line)?.[1];
      if (local !== undefined && isCaptured(path, i, local))
        hidden.push(`${path}:${i + 1} ${local}`);
    }
  }
  assert.equal(hidden, []);
});

test('what is left out of a checkpoint exists, and holds nothing of the card', () => {
  const cards = [address, 'sim:znand', 'sim:p4800x'].map((each) => openSimulated(each));
  const seen = new Map<string, readonly string[]>();
  const visited = new Set<object>();
  const waiting: unknown[] = [...cards];
  while (waiting.length > 0) {
    const value = waiting.pop();
    if (typeof value !== 'object' || value === null || visited.has(value)) continue;
    visited.add(value);
    if (ArrayBuffer.isView(value)) continue;
    seen.set(classOf(value), fieldsOf(value));
    waiting.push(...(value instanceof Map ? value.values() : Object.values(value)));
  }
  for (const [name, fields] of Object.entries(notState)) {
    for (const field of fields) assert.ok(seen.get(name)?.includes(field), `${name}.${field}`);
  }
});

function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name));
}

/** Whether a variable of a constructor is named in a closure that it makes. */
function isCaptured(path: string, line: number, name: string): boolean {
  const lines = readFileSync(path, 'utf8').split('\n');
  const start = lines.findLastIndex((text, i) => i < line && /^ {2}\w.*[({]$/.test(text));
  if (!lines[start]?.startsWith('  constructor(')) return false;
  const end = lines.findIndex((text, i) => i > line && text === '  }');
  const inClosure = new RegExp(`=>.*\\b${name}\\b`);
  return lines.slice(line, end).some((text) => inClosure.test(text));
}

test.run();
