import type { PciFunction } from './device.js';
import { ErrorCode, UltimaError } from './errors.js';

const forms =
  "'sim:<profile>', 'sim:<profile>?key=value&key=value' or " +
  "'vfio:<domain>:<bus>:<device>.<function>'";

/**
 * Open a card: the one place that chooses between the simulator and real hardware.
 *
 * @param address  'sim:ultima-g2', 'sim:simple?bytes=1GiB&seed=7', 'vfio:0000:01:00.0'
 * @throws UltimaError ADDRESS_INVALID, PROFILE_UNKNOWN, PROFILE_INVALID, BACKEND_UNAVAILABLE
 */
export async function open(address: string): Promise<PciFunction> {
  if (address.startsWith('sim:')) {
    const { openSimulated } = await import('../sim/open.js');
    return openSimulated(address).open();
  }
  if (address.startsWith('vfio:')) {
    const { openAddress } = await import('../native/index.js');
    return openAddress(address);
  }
  throw invalid(address);
}

/** A command of a card that can be looked into, when its completion is in host memory. */
export interface CommandTimes {
  readonly queueId: number;
  readonly cid: number;
  readonly fetchedNs: number;
  readonly mediaStartNs: number;
  readonly mediaEndNs: number;
  readonly postedNs: number;
}

/** What a simulated card shows of its inside: for reports, nothing that a driver may depend on. */
export interface CardInside {
  /** Be told of each command that ends. */
  observe(observer: { completed(command: CommandTimes): void } | null): void;
  /** Equal for equal runs, event for event. */
  eventHash(): string;
  /** What the protocol checker has against the driver, a line each. */
  misuse(): readonly string[];
}

export interface OpenCard {
  readonly fn: PciFunction;
  /** Null for real hardware. */
  readonly inside: CardInside | null;
}

/** The same as `open`, with a view into the card where there is one. */
export async function openCard(address: string): Promise<OpenCard> {
  if (!address.startsWith('sim:')) return { fn: await open(address), inside: null };
  const { openSimulated } = await import('../sim/open.js');
  const card = openSimulated(address);
  return {
    fn: card.open(),
    inside: {
      observe: (observer) => card.controller.observe(observer),
      eventHash: () => card.world.eventHash,
      misuse: () => card.checker.reports.map(({ rule, text }) => `${rule}: ${text}`),
    },
  };
}

const pciAddress = /^[0-9a-f]{4}:[0-9a-f]{2}:/;

/** A card that `open` would take, as far as one can see without opening it. */
export interface KnownCard {
  readonly address: string;
  /** What it is, in one line. */
  readonly summary: string;
}

/** The simulated cards that ship and the storage controllers of this machine. */
export async function knownCards(): Promise<readonly KnownCard[]> {
  const { profiles } = await import('../sim/profiles/index.js');
  const { doctor } = await import('../native/index.js');
  const simulated = profiles.map(({ name, summary }) => ({ address: `sim:${name}`, summary }));
  const real = doctor()
    .filter(({ check }) => pciAddress.test(check))
    .map(({ check, text }) => ({ address: `vfio:${check}`, summary: text }));
  return [...simulated, ...real];
}

function invalid(address: string): UltimaError {
  return new UltimaError(
    ErrorCode.addressInvalid,
    `'${address}' is not the address of a card; the forms are ${forms}`,
    { address },
  );
}
