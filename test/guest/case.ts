import { inspect } from 'node:util';
import { Assertion } from 'uvu/assert';

/** One thing to be shown on the guest's hardware. It throws when it is not so. */
export interface GuestCase {
  /** A statement that could be false. */
  readonly title: string;
  readonly run: () => Promise<void>;
}

/** Thrown by a case that this guest cannot run, with the reason. */
export class Skip extends Error {
  override readonly name = 'Skip';
}

/** Run cases in order; each is one line that the host counts. @returns how many failed */
export async function runCases(group: string, cases: readonly GuestCase[]): Promise<number> {
  let failed = 0;
  for (const { title, run } of cases) {
    try {
      await run();
      console.log(`PASS ${group}: ${title}`);
    } catch (error) {
      if (error instanceof Skip) {
        console.log(`SKIP ${group}: ${title}: ${error.message}`);
        continue;
      }
      failed++;
      console.log(`FAIL ${group}: ${title}`);
      console.log(error instanceof Error ? error.stack : String(error));
      if (error instanceof Assertion)
        console.log(inspect({ found: error.actual, wanted: error.expects }));
    }
  }
  return failed;
}

/** Controllers of the guest, in the order of machine.ts. */
export const address = {
  plain: '0000:01:00.0',
  protected: '0000:02:00.0',
  cmb: '0000:03:00.0',
  shared: '0000:04:00.0',
  virtual: '0000:05:00.0',
  removable: '0000:06:00.0',
} as const;
