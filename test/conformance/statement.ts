import type { PciFunction } from '../../sdk/device.js';
import { open } from '../../sdk/open.js';
import { Rig } from '../../sdk/testing/rig.js';
import { Unsupported } from '../../sdk/testing/unsupported.js';
import { type Suite, skip, suite } from '../support/suite.js';

/** The device under test: any address that `open` takes. Its data is destroyed. */
const named = process.env.ULTIMA_DEVICE;
const address = named ?? 'sim:simple?bytes=8TiB&subsystem.capacityBytes=9895604649984';

/** Opening real hardware resets it and takes long: a named device is opened once per file. */
let shared: PciFunction | null = null;

export interface Statements {
  /**
   * One statement of the standard. The body finds an enabled controller, and leaves nothing
   * behind that a controller reset does not undo.
   *
   * @param title  what the standard says, so that it could be false
   * @param cite   where it says so
   */
  (title: string, cite: string, body: (rig: Rig) => Promise<void>): void;
  run(): void;
}

/** Statements about one subject, against the device that `ULTIMA_DEVICE` names. */
export function statements(subject: string): Statements {
  const tests: Suite = suite(`conformance: ${subject}`);
  const statement = (title: string, cite: string, body: (rig: Rig) => Promise<void>): void =>
    tests(`${title} ${cite}`, () => withRig(title, body));
  tests.after(async () => {
    await shared?.close();
    shared = null;
  });
  return Object.assign(statement, { run: () => tests.run() });
}

async function withRig(title: string, body: (rig: Rig) => Promise<void>): Promise<void> {
  const fn = shared ?? (await open(address));
  const rig = new Rig(fn);
  try {
    await rig.enable();
    await body(rig);
  } catch (error) {
    if (error instanceof Unsupported) {
      skip(error.message);
      return;
    }
    console.log(`${title}\n${rig.log.lines(12).join('\n')}`);
    throw error;
  } finally {
    // A function that is gone is of no use to the next statement.
    shared = named === undefined || fn.isRemoved ? null : fn;
    if (shared === null) await rig.close();
    else await rig.leave();
  }
}
