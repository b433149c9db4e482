import { assert } from '../../sdk/assert.js';
import { ErrorCode, UltimaError } from '../../sdk/errors.js';
import { checkFaultPlan } from '../../sdk/faults/plan.js';
import { SimCard } from '../card.js';
import type { ForeignHost } from '../pcie/device-memory.js';
import type { DirectionOptions } from '../pcie/direction.js';
import { HostMemory } from '../pcie/host-memory.js';
import { RootPort } from '../pcie/root-port.js';
import type { Profile } from '../profiles/profile.js';
import { checkProfile, isProfile } from '../profiles/rules.js';
import { World } from '../world.js';
import { alignment, ByteReader, checksum, decodeText, putWord, unusable, wordAt } from './bytes.js';
import { constructionOf } from './constants.js';
import { GraphReader } from './graph-reader.js';
import { GraphWriter } from './graph-writer.js';

/**
 * A world with its cards, as bytes, at any moment between two events: clock and events to come,
 * chance, queues, commands and DMA in flight, registers, firmware, media, data, the memory that a
 * host had mapped, the progress of a fault plan. What a driver holds in its own variables is the
 * host's and is not in it; `fn.dma.regionAt` gives a host its memory back.
 *
 *   0   8  'ULTSTATE'
 *   8   4  version of this layout, little endian like all that follows
 *  12   4  checksum of everything from byte 16 on
 *  16   4  length of the header
 *  20   8  length of the body (two dwords, the low one first)
 *  28      header, JSON: how to construct the world; see `Header`. Spaces fill it up to a multiple
 *          of 8 behind the start
 *          body: every object that is reachable from world and cards, see `Tag` in vocabulary.ts
 *
 * A restored run goes on event for event: run(0..T) = restore(run(0..k)) + run(k..T).
 */
export const checkpointVersion = 3;

const magic = Uint8Array.from(Buffer.from('ULTSTATE', 'latin1'));
const fixedBytes = 28;
const checkedFrom = 16;

interface CardHeader {
  /** Place in the list of profiles: cards of one profile share it. */
  readonly profile: number;
  /** As JSON, or null. */
  readonly faults: string | null;
  /** Place in the list of root ports, -1 for none. */
  readonly port: number;
  readonly functionOrdinals: readonly number[];
  readonly nsids: readonly number[];
  /** It has times and maps, and no contents; absent: it has. */
  readonly isWithoutData?: boolean;
}

interface Header {
  readonly seed: number;
  readonly profiles: readonly Profile[];
  readonly ports: readonly DirectionOptions[];
  readonly cards: readonly CardHeader[];
  /** The card served a host outside of the simulation, whose memory is not here; absent: no. */
  readonly isServed?: boolean;
}

/** What a checkpoint holds, in the order in which the cards were made. */
export interface Restored {
  readonly world: World;
  readonly cards: readonly SimCard[];
}

/**
 * Save a card that is alone in its world.
 *
 * @throws UltimaError DEVICE_UNSUPPORTED when it keeps namespaces in files
 */
export function saveCard(card: SimCard): Uint8Array {
  return saveWorld(card.world, [card]);
}

/** The same for all cards of a world; RangeError when one of them is missing. */
export function saveWorld(world: World, cards: readonly SimCard[]): Uint8Array {
  const ordered = [...cards].sort((a, b) => a.ordinal - b.ordinal);
  const isWhole = ordered.every((card, i) => card.world === world && card.ordinal === i);
  if (!isWhole || ordered.length !== world.ordinalsOf('card')) {
    const count = world.ordinalsOf('card');
    throw new RangeError(`a checkpoint holds all ${count} cards of the world, each of them once`);
  }
  for (const card of ordered) {
    demandSavable(card, card.unsavable);
    card.tidyUp();
  }
  return bytesOf(headerOf(world, ordered), { world, cards: ordered }, []);
}

/**
 * The same for a card that serves a foreign host, without the host: its memory and whoever watches
 * its queues belong to the other side. Commands are saved where they are; they go on when
 * `restoreServedCard` gives the card a host with the same memory.
 *
 * @param watcher  of the card's queues
 */
export function saveServedCard(card: SimCard, watcher: object): Uint8Array {
  const { world, foreignHost } = card;
  demandSavable(card, card.unsavableInside);
  assert(foreignHost !== null, 'a served card has a foreign host');
  card.tidyUp();
  const header = { ...headerOf(world, [card]), isServed: true };
  const outside = [foreignHost, foreignHost.memory, watcher];
  return bytesOf(header, { world, cards: [card] }, outside);
}

/** @param outside  objects that are not state */
function bytesOf(made: Header, saved: Restored, outside: readonly object[]): Uint8Array {
  const host = made.isServed === true ? nobody() : null;
  const left = new Set(host === null ? outside : [...outside, host, host.memory]);
  const like = constructionOf(rootOf(construct(made, host)), rootOf(construct(made, host)), left);
  const header = aligned(JSON.stringify(made));
  const body = new GraphWriter(like).write(rootOf(saved));
  const bytes = new Uint8Array(fixedBytes + header.length + body.length);
  bytes.set(magic);
  putWord(bytes, 8, checkpointVersion);
  putWord(bytes, 16, header.length);
  putWord(bytes, 20, body.length >>> 0);
  putWord(bytes, 24, Math.floor(body.length / 2 ** 32));
  bytes.set(header, fixedBytes);
  bytes.set(body, fixedBytes + header.length);
  putWord(bytes, 12, checksum(bytes.subarray(checkedFrom)));
  return bytes;
}

/** A header behind which the body starts where it can be looked at in place. */
function aligned(text: string): Buffer {
  const length = Buffer.byteLength(text);
  const gap = -(fixedBytes + length) & (alignment - 1);
  return Buffer.from(text + ' '.repeat(gap), 'utf8');
}

/**
 * Make the world of a checkpoint again. Nothing of the one that was saved is touched, so the same
 * bytes give any number of worlds that go on independently.
 *
 * @param bytes     stay as they are, and must: contents of blocks are read there until they change
 * @param expected  refuse a checkpoint whose first card has another profile than this
 * @throws UltimaError CHECKPOINT_INVALID that names the field: another version, another profile,
 *         cut short, changed
 */
export function restoreWorld(bytes: Uint8Array, expected?: Profile): Restored {
  return restore(open(bytes), expected, null);
}

/**
 * The card of `saveServedCard`, for a host with the same memory at the same addresses.
 *
 * @throws UltimaError CHECKPOINT_INVALID
 */
export function restoreServedCard(
  bytes: Uint8Array,
  expected: Profile,
  host: ForeignHost,
): SimCard {
  const { cards } = restore(open(bytes), expected, host);
  if (cards.length !== 1) throw unusable('cards', `holds ${cards.length} cards, not one`);
  return cards[0]!;
}

function restore(
  { header, body }: { readonly header: Header; readonly body: Uint8Array },
  expected: Profile | undefined,
  host: ForeignHost | null,
): Restored {
  if ((header.isServed === true) !== (host !== null)) {
    const who = host === null ? 'a host outside of the simulation' : 'a driver in its own process';
    throw unusable('header.isServed', `says that the card served ${who}`);
  }
  if (expected !== undefined) demandProfile(header.profiles[header.cards[0]!.profile], expected);
  const stranger = host === null ? null : nobody();
  const outside = new Set([host, stranger].flatMap((one) => (one ? [one, one.memory] : [])));
  // The host belongs to the card that is made last.
  const other = rootOf(construct(header, stranger));
  const fresh = construct(header, host);
  const { world } = fresh;
  const { handlerCount } = world;
  const construction = constructionOf(rootOf(fresh), other, outside);
  new GraphReader(new ByteReader(body), construction).read();
  if (world.handlerCount !== handlerCount) {
    const counts = `${world.handlerCount} in the checkpoint, ${handlerCount} in this version`;
    throw unusable('world.handlers', counts);
  }
  return fresh;
}

/** The card of a checkpoint that holds one. */
export function restoreCard(bytes: Uint8Array, expected?: Profile): SimCard {
  const { cards } = restoreWorld(bytes, expected);
  if (cards.length !== 1) throw unusable('cards', `holds ${cards.length} cards, not one`);
  return cards[0]!;
}

/** Another card in another world that goes on from here, event for event. */
export function forkCard(card: SimCard): SimCard {
  return restoreCard(saveCard(card));
}

function rootOf({ world, cards }: Restored): readonly object[] {
  return [world, ...cards];
}

/** Stands for a host where only the construction counts. */
function nobody(): ForeignHost {
  return { memory: new HostMemory(), interrupt: () => {} };
}

function demandSavable(card: SimCard, why: string | null): void {
  if (why === null) return;
  const text = `${card.function.address} ${why}: only what is in memory can be saved`;
  throw new UltimaError(ErrorCode.deviceUnsupported, text, { address: card.function.address });
}

function headerOf(world: World, cards: readonly SimCard[]): Header {
  const ports: RootPort[] = [];
  const profiles = [...new Set(cards.map(({ profile }) => profile))];
  for (const { rootPort } of cards) {
    if (rootPort !== null && !ports.includes(rootPort)) ports.push(rootPort);
  }
  return {
    seed: world.seed,
    profiles,
    ports: ports.map(({ options: { generation, lanes } }) => ({ generation, lanes })),
    cards: cards.map((card) => ({
      profile: profiles.indexOf(card.profile),
      faults: card.faults?.source ?? null,
      port: card.rootPort === null ? -1 : ports.indexOf(card.rootPort),
      functionOrdinals: card.functions.map(({ ordinal }) => ordinal),
      nsids: card.subsystem.namespaces.map(({ nsid }) => nsid),
      ...(card.carriesData ? {} : { isWithoutData: true }),
    })),
  };
}

/** Handlers have the numbers of their making: cards and functions are made in their old order. */
function construct(header: Header, host: ForeignHost | null): Restored {
  const world = new World({ seed: header.seed });
  const ports = header.ports.map((options) => new RootPort(options));
  const steps = header.cards.flatMap(({ functionOrdinals }, card) =>
    functionOrdinals.map((ordinal, index) => ({ card, index, ordinal })),
  );
  const cards: SimCard[] = [];
  for (const { card, index, ordinal } of steps.sort((a, b) => a.ordinal - b.ordinal)) {
    const saved = header.cards[card]!;
    const port = ports[saved.port];
    if (index === 0) {
      const { faults } = saved;
      const carriesData = saved.isWithoutData !== true;
      const profile = header.profiles[saved.profile];
      if (profile === undefined) throw unusable('header.cards', 'name a profile that is not there');
      const plan = faults === null ? {} : { faults: checkFaultPlan(JSON.parse(faults)) };
      const made = {
        world,
        profile,
        carriesData,
        ...plan,
        ...(port === undefined ? {} : { rootPort: port }),
      };
      cards[card] = new SimCard({ ...made, ...(host === null ? {} : { foreignHost: host }) });
    }
    cards[card]?.grow({ functionCount: index + 1, nsids: saved.nsids });
    if (cards[card]?.functions[index]?.ordinal !== ordinal) {
      throw unusable('header.cards', 'were not made in this order');
    }
  }
  return { world, cards };
}

function open(bytes: Uint8Array): { readonly header: Header; readonly body: Uint8Array } {
  const isOurs = bytes.length >= magic.length && magic.every((byte, i) => bytes[i] === byte);
  if (!isOurs) throw unusable('magic', "is not 'ULTSTATE': this is no checkpoint");
  if (bytes.length < fixedBytes) throw unusable('length', `is ${bytes.length}: cut short`);
  const version = wordAt(bytes, 8);
  if (version !== checkpointVersion) {
    throw unusable(
      'version',
      `is ${version}; this version of the package reads ${checkpointVersion}`,
    );
  }
  const headerBytes = wordAt(bytes, 16);
  const bodyBytes = wordAt(bytes, 20) + wordAt(bytes, 24) * 2 ** 32;
  const length = fixedBytes + headerBytes + bodyBytes;
  if (length !== bytes.length) {
    throw unusable('length', `is ${bytes.length}, not ${length}: cut short or longer`);
  }
  if (wordAt(bytes, 12) !== checksum(bytes.subarray(checkedFrom))) {
    throw unusable('checksum', 'does not match: the file was changed');
  }
  const text = decodeText(bytes.subarray(fixedBytes, fixedBytes + headerBytes));
  return { header: checkHeader(text), body: bytes.subarray(fixedBytes + headerBytes) };
}

function checkHeader(text: string): Header {
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch {
    throw unusable('header', 'is no JSON');
  }
  if (!isHeader(header)) throw unusable('header', 'lacks seed, profiles, ports or cards');
  for (const profile of header.profiles) checkProfile(profile);
  return header;
}

function isHeader(value: unknown): value is Header {
  if (!isRecord(value)) return false;
  const { seed, profiles, ports, cards, isServed } = value;
  if (isServed !== undefined && typeof isServed !== 'boolean') return false;
  if (!isCount(seed) || !Array.isArray(profiles) || !profiles.every(isProfile)) return false;
  if (!Array.isArray(ports) || !ports.every(isPort)) return false;
  return Array.isArray(cards) && cards.length > 0 && cards.every(isCard);
}

function isCard(value: unknown): value is CardHeader {
  if (!isRecord(value) || !isCount(value.profile)) return false;
  const { faults, port, functionOrdinals, nsids, isWithoutData } = value;
  if (isWithoutData !== undefined && typeof isWithoutData !== 'boolean') return false;
  const hasPlan = faults === null || typeof faults === 'string';
  const isPlaced = typeof port === 'number' && Number.isInteger(port);
  return hasPlan && isPlaced && isCounts(functionOrdinals) && isCounts(nsids);
}

function isPort(value: unknown): value is DirectionOptions {
  return isRecord(value) && isCount(value.generation) && isCount(value.lanes);
}

function isCounts(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.length <= mostParts && value.every(isCount);
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

const mostParts = 65_536;

/** Name the first field in which two profiles differ. */
function demandProfile(saved: unknown, expected: unknown, at = 'profile'): void {
  if (isObject(saved) && isObject(expected)) {
    for (const field of Object.keys({ ...saved, ...expected })) {
      demandProfile(Reflect.get(saved, field), Reflect.get(expected, field), `${at}.${field}`);
    }
    return;
  }
  const [before, now] = [JSON.stringify(saved), JSON.stringify(expected)];
  if (before !== now) throw unusable(at, `is ${before} in the checkpoint, not ${now}`);
  assert(typeof saved === typeof expected, 'equal texts of unequal kinds');
}
