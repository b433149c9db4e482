import type { PciFunction } from '../../sdk/device.js';
import { open } from '../../sdk/open.js';
import { Rig } from '../../sdk/testing/rig.js';
import { Unsupported } from '../../sdk/testing/unsupported.js';
import { type Suite, skip, suite } from '../support/suite.js';

/** Has everything; more blocks than 2^33, so that high address bits count; spare capacity. */
const fullCard = 'sim:simple?bytes=8TiB&subsystem.capacityBytes=9895604649984';

/** Lacks whatever is optional, and takes the largest transfers. */
const plainCard =
  'sim:simple?controller.hasSgl=false&controller.hasWeightedRoundRobin=false' +
  '&controller.hasSubsystemReset=false&controller.maxTransferBytes=33554432' +
  '&controller.memoryBufferBytes=0&controller.hasDoorbellBuffer=false' +
  '&controller.virtualFunctions=0&controller.doorbellStride=1&cache.isVolatile=false' +
  '&subsystem.hasReservations=false&subsystem.hasNamespaceManagement=false';

/** The device under test: any address that `open` takes. Its data is destroyed. */
const device = process.env.ULTIMA_DEVICE;

/** A statement is tried on the first card that offers what it is about. */
const cards = device === undefined ? [fullCard, plainCard] : [device];

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
    tests(`${title} ${cite}`, () => tryCards(title, body));
  tests.after(async () => {
    await shared?.close();
    shared = null;
  });
  return Object.assign(statement, { run: () => tests.run() });
}

async function tryCards(title: string, body: (rig: Rig) => Promise<void>): Promise<void> {
  let missing = '';
  for (const address of cards) {
    const reason = await tryCard(address, title, body);
    if (reason === undefined) return;
    if (missing === '') missing = reason;
  }
  skip(missing);
}

/** @returns why the card does not offer what the statement is about; undefined when it holds */
async function tryCard(
  address: string,
  title: string,
  body: (rig: Rig) => Promise<void>,
): Promise<string | undefined> {
  const fn = shared ?? (await open(address));
  shared = null;
  const rig = new Rig(fn);
  try {
    await rig.enable();
    await body(rig);
    return undefined;
  } catch (error) {
    if (error instanceof Unsupported) return error.message;
    console.log(`${title} on ${address}\n${rig.log.lines(12).join('\n')}`);
    throw error;
  } finally {
    const canShare = device !== undefined && (await rig.leave());
    if (canShare) shared = fn;
    else await rig.close();
  }
}
