import type { SimCard } from '../sim/card.js';
import type { BlockDevice, LinkedBlockDevice } from './block/device.js';
import { FileLock } from './block/file-lock.js';
import type { Clock, DmaSpace, PciFunction } from './device.js';
import { ErrorCode, UltimaError } from './errors.js';
import type { FaultKind } from './faults/kinds.js';
import type { FaultPlan } from './faults/plan.js';

const forms =
  "'sim:<profile>', 'sim:<profile>?key=value&key=value', " +
  "'vfio:<domain>:<bus>:<device>.<function>' or 'vfio-user:<path of a socket>'";

export interface OpenOptions {
  /** What goes wrong, and when: for a simulated card only. */
  readonly faults?: FaultPlan | undefined;
}

/**
 * Open a card: the one place that chooses between the simulator, real hardware and a card that
 * another process serves.
 *
 * @param address  'sim:ultima-g2', 'sim:simple?bytes=1GiB&seed=7', 'vfio:0000:01:00.0',
 *   'vfio-user:/run/card/cntrl'
 * @throws UltimaError ADDRESS_INVALID, PROFILE_UNKNOWN, PROFILE_INVALID, BACKEND_UNAVAILABLE,
 *         DEVICE_BUSY while another process has the file of a simulated card, and
 *         DEVICE_UNSUPPORTED for a fault plan on real hardware
 */
export async function open(address: string, options: OpenOptions = {}): Promise<PciFunction> {
  if (address.startsWith('sim:')) return (await openCard(address, options)).fn;
  if (options.faults !== undefined) throw noFaults(address);
  if (address.startsWith('vfio:')) {
    const { openAddress } = await import('../native/index.js');
    return openAddress(address);
  }
  if (address.startsWith('vfio-user:')) {
    const { openServedAddress } = await import('../native/index.js');
    return openServedAddress(address);
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

/** What became of a fault of the plan. */
export interface FaultRecord {
  readonly kind: FaultKind;
  /** Commands that met its conditions. */
  readonly matched: number;
  readonly struck: number;
  /** Virtual time; -1 when it never struck. */
  readonly lastNs: number;
}

/** Units of 4 KiB. */
export interface MediaWork {
  readonly hostWriteUnits: number;
  /** Of the host, and moved by garbage collection, wear levelling and refresh; the map too. */
  readonly mediaWriteUnits: number;
  readonly gcUnits: number;
}

/** Where the time of the commands of one kind went; the parts add up exactly to the total. */
export interface CommandSplit {
  readonly name: string;
  readonly count: number;
  readonly totalNs: number;
  /** In order: from the doorbell to the completion entry. Sums over all of the commands. */
  readonly parts: readonly { readonly name: string; readonly ns: number }[];
}

/** What a simulated card shows of its inside: for reports, nothing that a driver may depend on. */
export interface CardInside {
  /** Be told of each command that ends. */
  observe(observer: { completed(command: CommandTimes): void } | null): void;
  /**
   * Split the time of every I/O command from now on, by what was done in it.
   *
   * @returns what gives the result of so far; null where service times are fixed
   */
  splitTimes(): (() => readonly CommandSplit[]) | null;
  /** Tell when its parts are busy. @returns their names: link, cores, channels, dies */
  watch(sink: { span(track: number, startNs: number, endNs: number): void }): readonly string[];
  /** Counters of its media so far; null where service times are fixed. */
  mediaWork(): MediaWork | null;
  /** Equal for equal runs, event for event. */
  eventHash(): string;
  /** The card as it is now, for the address key `checkpoint` of a later run. */
  save(): Uint8Array;
  /** What became of each fault of the plan, in its order. */
  faults(): readonly FaultRecord[];
  /** What the protocol checker has against the driver, a line each. */
  misuse(): readonly string[];
}

export interface OpenCard {
  readonly fn: PciFunction;
  /** Null for real hardware and for a card in another process. */
  readonly inside: CardInside | null;
}

/** The same as `open`, with a view into the card where there is one. */
export async function openCard(address: string, options: OpenOptions = {}): Promise<OpenCard> {
  if (!address.startsWith('sim:')) return { fn: await open(address, options), inside: null };
  const { openSimulated, parseAddress } = await import('../sim/open.js');
  const insideOf = await makeInsideOf();
  const { faults } = options;
  const { file } = parseAddress(address);
  const { opened: card, lock } = await FileLock.around(file, () => {
    return openSimulated(address, faults === undefined ? {} : { faults });
  });
  return { fn: unlockingAtClose(card.open(), lock), inside: insideOf(card) };
}

function unlockingAtClose(fn: PciFunction, lock: FileLock | null): PciFunction {
  if (lock === null) return fn;
  const close = fn.close.bind(fn);
  fn.close = async () => {
    await close();
    lock.release();
  };
  return fn;
}

/** How a simulated card is looked into. */
async function makeInsideOf(): Promise<(card: SimCard) => CardInside> {
  const { saveCard } = await import('../sim/checkpoint/checkpoint.js');
  const { BreakdownByOperation } = await import('../sim/nvme/latency-breakdown.js');
  return (card) => {
    let split: InstanceType<typeof BreakdownByOperation> | null = null;
    let recorder: { completed(command: CommandTimes): void } | null = null;
    const look = (): void =>
      card.controller.observe({
        completed: (command) => {
          split?.completed(command);
          recorder?.completed(command);
        },
      });
    return {
      observe: (observer) => {
        recorder = observer;
        look();
      },
      splitTimes: () => {
        if (card.mediaWork() === null) return null;
        const times = new BreakdownByOperation();
        split = times;
        look();
        return () => times.splits();
      },
      watch: (sink) => card.watch(sink),
      mediaWork: () => card.mediaWork(),
      eventHash: () => card.world.eventHash,
      save: () => saveCard(card),
      faults: () => card.faultOutcomes,
      misuse: () => card.checker.reports.map(({ rule, text }) => `${rule}: ${text}`),
    };
  };
}

/** A card whose power a rig can cut. */
export interface NodeCard extends OpenCard {
  /** What was not flushed may be lost. The function says nothing until `powerOn`. */
  powerCut(): void;
  /** @returns the function, for a driver that begins anew */
  powerOn(): PciFunction;
}

export interface LinkFigures {
  /** Each way. */
  readonly latencyNs: number;
  /** Each way; 12.5 is 100 Gbit/s. */
  readonly bytesPerNs: number;
}

/** Simulated nodes with a card each, on one clock, and links between them. */
export interface OpenNodes {
  readonly clock: Clock;
  readonly cards: readonly NodeCard[];
  /**
   * A device of one node as another one has it.
   *
   * @param memory  where the other node's buffers come from
   */
  link(far: BlockDevice, memory: DmaSpace, figures: LinkFigures): LinkedBlockDevice;
}

/**
 * Open simulated cards of several nodes.
 *
 * @param addresses  'sim:<profile>…', a card for each node
 * @throws UltimaError as `open`; DEVICE_UNSUPPORTED for a card that is not simulated here
 */
export async function openNodes(addresses: readonly string[]): Promise<OpenNodes> {
  for (const address of addresses) {
    if (address.startsWith('sim:') && !/[?&]checkpoint=/.test(address)) continue;
    const message = `${address}: nodes on one clock are simulated cards, 'sim:<profile>'`;
    throw new UltimaError(ErrorCode.deviceUnsupported, message, { address });
  }
  const { openSimulated, parseAddress } = await import('../sim/open.js');
  const { World } = await import('../sim/world.js');
  const { LinkedDevice } = await import('../sim/net/linked-device.js');
  const insideOf = await makeInsideOf();
  const world = new World({ seed: parseAddress(addresses[0] ?? 'sim:simple').seed ?? 1 });
  const cards = addresses.map((address): NodeCard => {
    const card = openSimulated(address.replace(/([?&])seed=\d+&?/, '$1'), { world });
    return {
      fn: card.open(),
      inside: insideOf(card),
      powerCut: () => card.powerCut(),
      powerOn: () => {
        card.restore();
        return card.open();
      },
    };
  });
  const link = (far: BlockDevice, memory: DmaSpace, figures: LinkFigures) => {
    return new LinkedDevice(far, { world, memory, ...figures });
  };
  return { clock: world.clock, cards, link };
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

function noFaults(address: string): UltimaError {
  return new UltimaError(
    ErrorCode.deviceUnsupported,
    `${address}: a fault plan needs a simulated card, 'sim:<profile>'`,
    { address },
  );
}

function invalid(address: string): UltimaError {
  return new UltimaError(
    ErrorCode.addressInvalid,
    `'${address}' is not the address of a card; the forms are ${forms}`,
    { address },
  );
}
