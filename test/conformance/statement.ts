import { open } from '../../sdk/open.js';
import { Rig } from '../../sdk/testing/rig.js';
import { Unsupported } from '../../sdk/testing/unsupported.js';
import { type Suite, skip, suite } from '../support/suite.js';

/** More blocks than 2^32, so that high address bits count, and capacity that is not allocated. */
const simulated = 'sim:simple?bytes=8TiB&subsystem.capacityBytes=9895604649984';

/** The device under test: any address that `open` takes. Its data is destroyed. */
const address = process.env['ULTIMA_DEVICE'] ?? simulated;

export interface Statements {
  /**
   * One statement of the standard. The body finds an enabled controller on a function of its own,
   * and leaves nothing behind that a controller reset does not undo.
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
  return Object.assign(statement, { run: () => tests.run() });
}

async function withRig(title: string, body: (rig: Rig) => Promise<void>): Promise<void> {
  const rig = new Rig(await open(address));
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
    await rig.close();
  }
}
