import * as assert from 'uvu/assert';
import { BlockOp } from '../../../sdk/block/request.js';
import { UltimaError } from '../../../sdk/errors.js';
import type { Mirror } from '../../../sdk/mirror/mirror.js';
import { suite } from '../../support/suite.js';
import { CardRig } from './card-rig.js';
import { idOf } from './rig.js';

const { read, write, discard, flush } = BlockOp;
const ok = 0;

type Work = (rig: CardRig, mirror: Mirror) => Promise<unknown>;

/** What is under way when the card of a member goes. */
const works: Readonly<Record<string, Work>> = {
  writes: (rig, mirror) =>
    Promise.all([0, 9, 200, 400].map((lba) => rig.request(mirror, write, lba, 8))),
  'reads, discard and flush': (rig, mirror) =>
    Promise.all([
      rig.request(mirror, read, 0, 8),
      rig.request(mirror, discard, 100, 300),
      rig.request(mirror, flush, 0, 0),
    ]),
  'a comparison': (_, mirror) => mirror.verify(),
  'a snapshot and a restore': async (_, mirror) => {
    await mirror.snapshot('before');
    await mirror.restore('before');
  },
  growth: (_, mirror) => mirror.grow(2 * mirror.device.blockCount),
  'a resynchronisation': async (rig, mirror) => {
    mirror.failed(1, 'for a test');
    await rig.request(mirror, write, 0, 256);
    await rig.settled(mirror);
  },
  'a new member': async (rig, mirror) => {
    await mirror.snapshot('before');
    await mirror.removeMember(idOf(1));
    await mirror.addMember(rig.port(1));
    await rig.settled(mirror);
  },
  'a detach': (_, mirror) => mirror.detach(),
};

/** How the card of a node goes; the memory of its driver goes with it when it is closed. */
const ends: Readonly<Record<string, (rig: CardRig, node: number) => Promise<void>>> = {
  closed: (rig, node) => rig.nodes[node]!.controller.close(),
  'pulled out': async (rig, node) => rig.nodes[node]!.card.surpriseRemove(),
  reset: (rig, node) => rig.nodes[node]!.controller.reset(),
};

interface Case {
  readonly work: Work;
  readonly end: (rig: CardRig, node: number) => Promise<void>;
  readonly node: number;
  readonly isPool: boolean;
}

/** Let a card go after so many turns. @returns whether the work had ended before */
async function tryAt(step: number, { work, end, node, isPool }: Case): Promise<boolean> {
  const rig = await CardRig.open(3, isPool);
  const mirror = await rig.attachWhole();
  const working = rig.follow(work(rig, mirror));
  for (let turn = 0; turn < step && !working.isOver; turn++) await rig.turn(mirror);
  const wasOver = working.isOver;
  const ending = rig.follow(end(rig, node));
  const requests = [0, 8, 300, 500].flatMap((lba) => [
    rig.follow(rig.tryRequest(mirror, write, lba, 4)),
    rig.follow(rig.tryRequest(mirror, read, lba, 4)),
  ]);
  const all = [working, ending, ...requests];
  await rig.until(mirror, () => all.every(({ isOver }) => isOver));
  for (const { error } of all) if (error !== null && !(error instanceof UltimaError)) throw error;
  // Two are left, and memory that was not closed: they go on.
  const hasMemory = node !== 0 || end !== ends.closed;
  if (hasMemory && mirror.status.state !== 'stopped') {
    const last = rig.follow(rig.request(mirror, write, 5, 1));
    await rig.until(mirror, () => last.isOver);
    assert.is(last.value, ok, JSON.stringify(mirror.status));
  }
  // A card that was pulled out is closed some time, too.
  const closing = rig.follow(ends.closed!(rig, node));
  await rig.until(mirror, () => closing.isOver);
  for (let turn = 0; turn < 40; turn++) await rig.turn(mirror);
  return wasOver;
}

/** Turns before the card goes: all of them when asked for, which takes minutes. */
function* steps(): Generator<number> {
  const isEvery = process.env.EVERY_STEP === '1';
  for (let step = 0; ; step = isEvery ? step + 1 : 5 * step + 1) yield step;
}

const thrown: unknown[] = [];
const note = (error: unknown): void => void thrown.push(error);
const test = suite('mirror members whose card goes');
test.before(() => void process.on('unhandledRejection', note).on('uncaughtException', note));
test.after(() => void process.off('unhandledRejection', note).off('uncaughtException', note));

for (const [what, work] of Object.entries(works)) {
  for (const isPool of [true, false]) {
    // What namespaces cannot do, and what they do as pools do.
    if (!isPool && what !== 'writes') continue;
    test(`nothing is thrown during ${what} ${isPool ? 'in pools' : 'on namespaces'}`, async () => {
      for (const [how, end] of Object.entries(ends)) {
        for (const node of [0, 1]) {
          for (const step of steps()) {
            const isLast = await tryAt(step, { work, end, node, isPool });
            assert.equal(thrown.splice(0), [], `${how}, node ${node}, step ${step}`);
            if (isLast) break;
          }
        }
      }
    });
  }
}

test.run();
