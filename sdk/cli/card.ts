import type { PciFunction } from '../device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import type { FaultPlan } from '../faults/plan.js';
import { NvmeController } from '../nvme/controller.js';
import type { ControllerOptions } from '../nvme/options.js';
import { writeFileAtomically } from '../observe/atomic-file.js';
import { type CardInside, open, openCard } from '../open.js';
import { usageError } from './arguments.js';

/** The options that every command about one card takes. */
export const cardOptions = {
  card: { type: 'string' },
  'namespace-id': { type: 'string', short: 'n' },
  'output-format': { type: 'string', short: 'o' },
  'human-readable': { type: 'boolean', short: 'H' },
  'raw-binary': { type: 'boolean', short: 'b' },
} as const;

/** The address of the card: the first plain word, or `--card`. */
export function cardOf(positionals: readonly string[], card: string | undefined): string {
  const [address = card, ...rest] = positionals;
  if (address === undefined) {
    throw usageError('no card is named; give an address such as sim:ultima-g2');
  }
  if (rest.length > 0) throw usageError(`one card at a time, not also ${rest.join(' ')}`);
  return address;
}

/** Open the controller at an address, use it, close it, whatever happens in between. */
export async function withController<T>(
  address: string,
  use: (controller: NvmeController, inside: CardInside | null) => Promise<T>,
  options: ControllerOptions = {},
  wanted: CardWishes = {},
): Promise<T> {
  const card = await openCard(address, { faults: wanted.faults });
  const controller = await NvmeController.open(card.fn, options);
  try {
    return await use(controller, card.inside);
  } finally {
    await controller.close();
    saveTo(wanted.savePath, card.inside);
  }
}

export interface CardWishes {
  readonly faults?: FaultPlan | undefined;
  /** Where the card goes when everything is over. */
  readonly savePath?: string | undefined;
}

/** Save a card that nobody drives. @throws UltimaError DEVICE_UNSUPPORTED for a real one */
export function saveTo(path: string | undefined, inside: CardInside | null): void {
  if (path === undefined) return;
  if (inside === null) {
    const text = '--save needs a simulated card, sim:<profile>';
    throw new UltimaError(ErrorCode.deviceUnsupported, text, { path });
  }
  writeFileAtomically(path, inside.save());
}

/** The function alone, as the platform left it: for what must not change a controller. */
export async function withFunction<T>(
  address: string,
  use: (fn: PciFunction) => Promise<T>,
): Promise<T> {
  const fn = await open(address);
  try {
    return await use(fn);
  } finally {
    await fn.close();
  }
}
