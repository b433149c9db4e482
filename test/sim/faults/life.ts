import { UltimaError } from '../../../sdk/errors.js';
import { type FaultKind, ruleOf } from '../../../sdk/faults/kinds.js';
import { checkFaultPlan, type FaultPlanSpec } from '../../../sdk/faults/plan.js';
import { NvmeController } from '../../../sdk/nvme/controller.js';
import type { Namespace } from '../../../sdk/nvme/namespace.js';
import type { ControllerOptions } from '../../../sdk/nvme/options.js';
import { secondNs } from '../../../sdk/units.js';
import { SimCard } from '../../../sim/card.js';
import { openSimulated } from '../../../sim/open.js';
import { unbuffered } from './unbuffered.js';

/**
 * A short life of a driver: open, write, flush, read, reset, read again, close. A `Ledger` says
 * what each block may hold, so that a read that is wrong is seen whatever went wrong before it.
 */
const fixedTimes =
  'sim:simple?bytes=1MiB&lbaFormat=2&firmware.bootNs=1000&cache.bytes=1048576' +
  '&controller.queuePairs=2&controller.queueEntries=16&controller.readyTimeout500Ms=1';

export const blockBytes = 4096;
export const blocks = 4;

const options = {
  queueEntries: 8,
  completionMode: 'hybrid',
  commandTimeoutNs: 30_000_000,
  abortTimeoutNs: 10_000_000,
  adminTimeoutNs: 50_000_000,
} as const satisfies ControllerOptions;

/** The longest way down the ladder: time-outs, and a few resets that wait for CAP.TO each. */
const deadlineNs = 10 * secondNs;

/** What a host knows of its writes, by block: versions sent, completed and flushed. */
class Ledger {
  readonly sent = new Int32Array(blocks);
  readonly written = new Int32Array(blocks);
  readonly flushed = new Int32Array(blocks);
  /** Power cuts so far when the newest version was completed. */
  readonly cuts = new Int32Array(blocks);
}

export interface Life {
  readonly card: SimCard;
  /** Code of the error that ended the life early, '' when none did. */
  readonly code: string;
  /** Requests that ended, by outcome. */
  readonly ends: ReadonlyMap<string, number>;
  /** What must never be, in words. */
  readonly wrong: readonly string[];
}

/** Faults after which a completed write that was not flushed may be gone. */
const takesPower: readonly FaultKind[] = ['power cut', 'surprise removal'];

export async function live(plan: FaultPlanSpec): Promise<Life> {
  const hasDrives = plan.faults.some(({ kind }) => ruleOf(kind).needsDrive === true);
  const faults = checkFaultPlan(plan);
  const card = hasDrives
    ? new SimCard({ profile: unbuffered, faults })
    : openSimulated(fixedTimes, { faults });
  const life = new DriverLife(card, plan);
  const code = await life.run();
  return { card, code, ends: life.ends, wrong: life.wrong };
}

class DriverLife {
  readonly ends = new Map<string, number>();
  readonly wrong: string[] = [];
  private readonly card: SimCard;
  private readonly ledger = new Ledger();
  private readonly mayLose: boolean;
  private readonly mayFail: boolean;

  constructor(card: SimCard, plan: FaultPlanSpec) {
    this.card = card;
    this.mayLose = plan.faults.some(({ kind }) => takesPower.includes(kind));
    this.mayFail = plan.faults.some(({ kind }) => kind === 'silent corruption');
  }

  async run(): Promise<string> {
    const code = await this.first().then(() => '', codeOf);
    await this.card.function.close();
    await this.second().catch(codeOf);
    await this.card.function.close();
    const { checker } = this.card;
    if (checker.total > 0) {
      const reports = checker.describe().split('\n').slice(0, 4).join('\n');
      this.wrong.push(`the driver is reported ${checker.total} times: ${reports}`);
    }
    return code;
  }

  private async first(): Promise<void> {
    const controller = await this.open();
    try {
      const namespace = await controller.namespace(1);
      await this.writeAll(namespace, 1);
      await this.flush(namespace);
      await this.writeAll(namespace, 2);
      await this.readAll(namespace);
      await controller.reset();
      await this.readAll(namespace);
    } finally {
      await this.timely('close', () => controller.close());
    }
  }

  /** Another driver comes later: what it reads agrees as well. */
  private async second(): Promise<void> {
    const controller = await this.open();
    try {
      await this.readAll(await controller.namespace(1));
    } finally {
      await this.timely('close', () => controller.close());
    }
  }

  private open(): Promise<NvmeController> {
    return this.timely('open', () => NvmeController.open(this.card.open(), options));
  }

  private async writeAll(namespace: Namespace, version: number): Promise<void> {
    await this.each(async (lba) => {
      this.ledger.sent[lba] = version;
      await namespace.write(lba, block(lba, version));
      this.ledger.written[lba] = version;
      this.ledger.cuts[lba] = this.cuts;
    });
  }

  private async flush(namespace: Namespace): Promise<void> {
    const covered = this.ledger.written.slice();
    await this.end(async () => {
      await namespace.flush();
      const { flushed, cuts } = this.ledger;
      // The driver comes back after a cut by itself: a flush after it covers nothing of before.
      for (let lba = 0; lba < blocks; lba++) {
        if (cuts[lba] === this.cuts) flushed[lba] = covered[lba]!;
      }
    });
  }

  private get cuts(): number {
    const cuts = this.card.faultOutcomes.filter(({ kind }) => kind === 'power cut');
    return cuts.reduce((sum, { struck }) => sum + struck, 0);
  }

  private async readAll(namespace: Namespace): Promise<void> {
    await this.each(async (lba) => {
      const bytes = new Uint8Array(blockBytes).fill(0xee);
      await namespace.read(lba, bytes);
      this.check(lba, bytes);
    });
  }

  private check(lba: number, bytes: Uint8Array): void {
    if (this.mayFail) return;
    const words = new Uint32Array(bytes.buffer);
    const version = words[0]! >>> 8;
    const { sent, written, flushed } = this.ledger;
    const least = this.mayLose ? flushed[lba]! : written[lba]!;
    const isWhole = words.every((word) => word === words[0]);
    const isOwn = version === 0 ? words[0] === 0 : (words[0]! & 0xff) === lba;
    if (!isWhole || !isOwn) this.wrong.push(`block ${lba} was read torn, or of another`);
    if (version < least) this.wrong.push(`block ${lba}: version ${version}, ${least} is there`);
    if (version > sent[lba]!) this.wrong.push(`block ${lba}: version ${version} was never sent`);
  }

  private async each(work: (lba: number) => Promise<void>): Promise<void> {
    await Promise.all(Array.from({ length: blocks }, (_, lba) => this.end(() => work(lba))));
  }

  /** One request: it ends by name, in time. What failed is no reason to stop. */
  private async end(work: () => Promise<void>): Promise<void> {
    const outcome = await this.timely('a request', work).then(
      () => 'completed',
      (error: unknown) => {
        codeOf(error);
        return error instanceof UltimaError ? String(error.facts.outcome) : '';
      },
    );
    this.ends.set(outcome, (this.ends.get(outcome) ?? 0) + 1);
    if (!outcomes.includes(outcome)) this.wrong.push(`a request ended as ${outcome}`);
  }

  private async timely<T>(what: string, work: () => Promise<T>): Promise<T> {
    const { world } = this.card;
    const startNs = world.nowNs;
    try {
      return await work();
    } finally {
      const tookNs = world.nowNs - startNs;
      if (tookNs > deadlineNs) this.wrong.push(`${what} took ${tookNs} ns`);
    }
  }
}

const outcomes = ['completed', 'failed', 'not executed', 'unknown'];

function block(lba: number, version: number): Uint8Array {
  const words = new Uint32Array(blockBytes / 4).fill(version * 0x100 + lba);
  return new Uint8Array(words.buffer);
}

/** @throws what is no error of ours */
function codeOf(error: unknown): string {
  if (!(error instanceof UltimaError)) throw error;
  return error.code;
}
