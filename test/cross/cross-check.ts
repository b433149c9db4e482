import { Sqe } from '../../sdk/spec/nvme/command.js';
import { AdminOpcode, NvmOpcode } from '../../sdk/spec/nvme/opcodes.js';
import {
  compareData,
  compareOutcomes,
  type Difference,
  type Pair,
  sameData,
  signature,
} from './compare.js';
import { type Facts, sharedFacts } from './facts.js';
import { planSequence } from './plan.js';
import type { CommandStep, Ending, Sequence, Step } from './step.js';

export interface CrossOptions extends Pair {
  readonly seed: number;
  /** Commands to compare, at least. */
  readonly commands: number;
  readonly untilMs: number;
  /** What the differences file says about one: a class that is known, or undefined. */
  readonly classOf: (difference: Difference) => string | undefined;
}

export interface CrossReport {
  readonly commands: number;
  readonly sequences: number;
  /** Commands that both carried out. */
  readonly carriedOut: number;
  /** How often each known class was seen. */
  readonly known: ReadonlyMap<string, number>;
  /** Unlisted ones by their signature, with how often and the first sequence that has it. */
  readonly unlisted: ReadonlyMap<string, Unlisted>;
}

export interface Unlisted {
  count: number;
  readonly difference: Difference;
  readonly sequence: Sequence;
}

interface Tally {
  commands: number;
  carriedOut: number;
}

/** Run sequences of consecutive seeds on both controllers until enough commands were compared. */
export async function crossCheck(options: CrossOptions): Promise<CrossReport> {
  const known = new Map<string, number>();
  const unlisted = new Map<string, Unlisted>();
  const tally: Tally = { commands: 0, carriedOut: 0 };
  const facts = sharedFacts(options.left.facts, options.right.facts);
  let sequences = 0;
  while (tally.commands < options.commands && performance.now() < options.untilMs) {
    const sequence = planSequence(options.seed + sequences, facts);
    for (const difference of await runSequence(options, sequence, tally)) {
      const name = options.classOf(difference);
      if (name !== undefined) known.set(name, (known.get(name) ?? 0) + 1);
      else {
        const text = signature(difference);
        const before = unlisted.get(text);
        if (before === undefined) unlisted.set(text, { count: 1, difference, sequence });
        else before.count++;
      }
    }
    sequences++;
  }
  return { ...tally, sequences, known, unlisted };
}

/** All differences of one sequence. It ends where the states cannot be equal any more. */
export async function runSequence(
  pair: Pair,
  sequence: Sequence,
  tally: Tally = { commands: 0, carriedOut: 0 },
): Promise<Difference[]> {
  await pair.left.begin(sequence.seed);
  await pair.right.begin(sequence.seed);
  const found: Difference[] = [];
  for (const step of sequence.steps) {
    const here = await runStep(pair, step, tally);
    found.push(...here);
    if (here.some(divides)) return found;
  }
  if (sequence.ending !== null) {
    found.push(...(await runEnding(pair, sequence.ending)));
    return found;
  }
  for (const [lba, count] of pair.left.windows()) {
    await pair.left.readWindow(lba, count);
    await pair.right.readWindow(lba, count);
    tally.commands++;
    const at = sameData(pair);
    if (at >= 0) found.push({ aspect: 'data', step: null, left: at, right: at, field: '' });
  }
  return found;
}

async function runStep(pair: Pair, step: Step, tally: Tally): Promise<Difference[]> {
  if (step.kind === 'register') {
    return compareOutcomes(step, pair.left.register(step), pair.right.register(step));
  }
  tally.commands++;
  if (step.kind === 'event') {
    return compareOutcomes(step, await pair.left.event(), await pair.right.event());
  }
  const left = await pair.left.command(step);
  const right = await pair.right.command(step);
  const found = compareOutcomes(step, left, right);
  if (left.completion?.status !== 0 || right.completion?.status !== 0) return found;
  tally.carriedOut++;
  return [...found, ...compareData(step, pair)];
}

async function runEnding(pair: Pair, ending: Ending): Promise<Difference[]> {
  return compareOutcomes(ending, await pair.left.end(ending), await pair.right.end(ending));
}

/** Commands that leave nothing behind. */
const readers: readonly (readonly [queue: 0 | 1, opcode: number])[] = [
  [0, AdminOpcode.identify],
  [0, AdminOpcode.getFeatures],
  [0, AdminOpcode.getLogPage],
  [0, AdminOpcode.abort],
  [1, NvmOpcode.read],
  [1, NvmOpcode.compare],
  [1, NvmOpcode.verify],
];

/** After it, the two controllers may be in different states. */
function divides({ aspect, step, left, right }: Difference): boolean {
  if (aspect === 'completion' || aspect === 'sqhd') return true;
  if (aspect !== 'status' || step === null || step.kind !== 'command') return false;
  // How much of a copy is done before it fails is the controller's choice.
  if (opcodeOf(step) === NvmOpcode.copy && step.queue === 1) return true;
  return (left === 0 || right === 0) && !isReader(step);
}

function isReader(step: CommandStep): boolean {
  return readers.some(([queue, known]) => queue === step.queue && known === opcodeOf(step));
}

function opcodeOf(step: CommandStep): number {
  return Sqe.opc.get(Uint32Array.from(step.words), 0);
}

/** Leave steps out as long as the same difference is still there. */
export async function shrink(
  pair: Pair,
  sequence: Sequence,
  wanted: string,
  untilMs: number,
): Promise<Sequence> {
  const has = async (candidate: Sequence): Promise<boolean> =>
    (await runSequence(pair, candidate)).some((difference) => signature(difference) === wanted);
  let few = sequence;
  for (let size = Math.ceil(few.steps.length / 2); size >= 1; size = Math.floor(size / 2)) {
    for (let at = 0; at < few.steps.length && performance.now() < untilMs; ) {
      const steps = [...few.steps.slice(0, at), ...few.steps.slice(at + size)];
      const fewer = { ...few, steps };
      if (await has(fewer)) few = fewer;
      else at += size;
    }
  }
  return few;
}

export function factsText(facts: Facts): string {
  return `${facts.blocks} blocks of ${facts.blockBytes}, queues of ${facts.queueEntries}`;
}
