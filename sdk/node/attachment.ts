import type { ClusterStore } from '../cluster/store.js';
import type { Clock, DmaSpace } from '../device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { fenced } from '../mirror/keeper.js';
import { Mirror } from '../mirror/mirror.js';
import { createMirror, type MirrorOptions, mirrorDefaults, ownDepth } from '../mirror/options.js';
import type { MemberPort } from '../mirror/port.js';
import { decodeRecord, recordKey } from '../mirror/record.js';
import type { MutualTls } from '../sockets/node-sockets.js';
import { ClusterDirectory } from './directory.js';
import { MemberLink } from './member-link.js';
import { bytesOf, Membership } from './membership.js';
import { decodeAlive, keys, type PlacedMember, stayingOf, type VolumeRecord } from './records.js';

export interface AttachmentOptions {
  readonly store: ClusterStore;
  /** Name of the volume. */
  readonly volume: string;
  /** Name under which we write: that of this node, or of a program of its own. */
  readonly writer: string;
  readonly clock: Clock;
  /** Buffers of whoever uses the volume. */
  readonly memory: DmaSpace;
  readonly random: (bytes: Uint8Array) => void;
  readonly tls?: MutualTls;
  /** Take over from a writer that may be alive. */
  readonly isForced?: boolean;
  /** Serve although members that may have more are missing. */
  readonly acceptsLoss?: boolean;
  /** How long the nodes may take to make a new volume's members: 30 s when left out. */
  readonly makeMs?: number;
  /** How long it is tried again without members or store in reach: not at all when left out. */
  readonly reachMs?: number;
  readonly mirror?: Partial<Pick<MirrorOptions, TunedOption>>;
}

type TunedOption =
  | 'requestCount'
  | 'leaseNs'
  | 'answerNs'
  | 'retryNs'
  | 'cleanNs'
  | 'resyncBytesPerSecond'
  | 'storeLimitNs';

const defaultMakeMs = 30_000;
const retryMs = 500;
/** A mirror does nothing unless it is polled; between two requests, this often. */
const restMs = 2;

/**
 * A cluster's volume, attached here: a mirror over members on other nodes. `device` is the volume.
 * Whoever serves it polls it while there are requests; in between the attachment does.
 */
export class Attachment {
  readonly mirror: Mirror;
  /** Resolves with the reason when the volume is not served here any more. */
  readonly stopped: Promise<UltimaError | null>;
  private readonly options: AttachmentOptions;
  private readonly directory: ClusterDirectory;
  /** As it was looked at last. */
  private record: VolumeRecord;
  private readonly membership: Membership;
  private readonly timer: ReturnType<typeof setInterval>;

  /**
   * @throws UltimaError NOT_FOUND; VOLUME_BUSY when it is being deleted, or its nodes have not made
   *   it; and what `Mirror.attach` throws
   */
  static async open(options: AttachmentOptions): Promise<Attachment> {
    const endMs = performance.now() + (options.reachMs ?? 0);
    let isForced = options.isForced === true;
    for (;;) {
      try {
        return await Attachment.openOnce({ ...options, isForced });
      } catch (error) {
        const code = error instanceof UltimaError ? error.code : null;
        const mayComeBack = code === ErrorCode.mirrorLost || code === ErrorCode.storeUnreachable;
        if (!mayComeBack || performance.now() + retryMs > endMs) throw error;
        // The record names us by now: whoever has taken over since is not to be fenced again.
        if (code === ErrorCode.mirrorLost) isForced = false;
        await new Promise((resolve) => setTimeout(resolve, retryMs));
      }
    }
  }

  private static async openOnce(options: AttachmentOptions): Promise<Attachment> {
    const directory = new ClusterDirectory(options.store, options.random);
    const { record } = await directory.volume(options.volume);
    if (record.state === 'deleting') throw busy(record, 'it is being deleted');
    if (record.state === 'creating') await finishCreation(directory, record, options);
    try {
      const mirror = await attachMirror(record, options);
      return new Attachment(options, directory, { mirror, record });
    } catch (error) {
      throw error instanceof UltimaError ? named(error, record) : error;
    }
  }

  private constructor(
    options: AttachmentOptions,
    directory: ClusterDirectory,
    { mirror, record }: { readonly mirror: Mirror; readonly record: VolumeRecord },
  ) {
    this.options = options;
    this.directory = directory;
    this.mirror = mirror;
    this.record = record;
    this.stopped = mirror.stopped.then((reason) => this.explain(reason));
    const { store, volume, makeMs = defaultMakeMs } = options;
    this.membership = new Membership({
      ...{ store, directory, volume, mirror },
      portOf: (member) => portOf(member, options),
      seen: (now) => {
        this.record = now;
      },
      made: (member) => made(store, [member], makeMs),
    });
    this.timer = setInterval(() => mirror.device.poll(), restMs);
  }

  get device(): Mirror['device'] {
    return this.mirror.device;
  }

  /** What stands between the list and what is so; '' for nothing. */
  get trouble(): string {
    return this.membership.trouble;
  }

  /** The same words about volume and nodes, by their names instead of their identities. */
  inWords(text: string): string {
    return inWords(text, this.record);
  }

  /** One more member, on a node that has none: it gets everything while everybody works. */
  async addMember(node?: string): Promise<PlacedMember> {
    const where = node === undefined ? {} : { node };
    const member = await this.directory.addMember(this.options.volume, where);
    await this.membership.until(() => this.membership.isKnown(member.id));
    return member;
  }

  /**
   * A member less, once the others have everything; its node then takes it away.
   *
   * @throws RangeError for the last one that is in sync
   */
  async removeMember(id: string): Promise<void> {
    const others = this.mirror.status.members.filter((member) => member.id !== id);
    if (!others.some(({ condition }) => condition === 'InUse')) {
      throw new RangeError(`${id} is the last that is in sync`);
    }
    await this.directory.leave(this.options.volume, id);
    await this.membership.until(({ members }) => !members.some((member) => member.id === id));
  }

  /**
   * Make the volume larger, while everybody works; what is new reads as zeroes.
   *
   * @throws RangeError for a smaller size, or one that is no multiple of 4096; UltimaError
   *   MEMBER_REFUSED when no member has room now: the list has it, and it is tried again
   */
  async grow(bytes: number): Promise<void> {
    await this.directory.growVolume(this.options.volume, bytes);
    await this.mirror.grow(bytes / this.device.blockBytes);
  }

  /** Every change that the list asks for is made, and all have everything. */
  async settled(): Promise<void> {
    const { mirror, membership } = this;
    await membership.until((record) => {
      const isKnown = stayingOf(record).every(({ id }) => membership.isKnown(id));
      const { members } = mirror.status;
      const areInUse = members.every(({ condition }) => condition === 'InUse');
      const isGrown = bytesOf(mirror) >= record.bytes;
      return isKnown && areInUse && isGrown && record.leaving.length === 0;
    });
  }

  private async explain(reason: UltimaError | null): Promise<UltimaError | null> {
    if (reason === null) return null;
    return named((await this.whoTookOver(reason)) ?? reason, this.record);
  }

  /** A writer whose members are all gone at once may have slept while another one took over. */
  private async whoTookOver(reason: UltimaError): Promise<UltimaError | null> {
    if (reason.code !== ErrorCode.mirrorLost) return null;
    const { volumeId } = this.record;
    const { epoch } = this.mirror.status;
    try {
      const entry = await this.options.store.read(recordKey(volumeId));
      if (entry === null) return null;
      const record = decodeRecord(entry.value, volumeId);
      return record.epoch > epoch ? fenced({ volumeId, epoch }, record) : null;
    } catch {
      // Without the store nobody knows more.
      return null;
    }
  }

  /** Everything is durable, and others may attach. */
  async detach(): Promise<void> {
    this.membership.close();
    try {
      await this.mirror.detach();
    } finally {
      clearInterval(this.timer);
    }
  }
}

function attachMirror(record: VolumeRecord, options: AttachmentOptions): Promise<Mirror> {
  const { store, writer, memory, clock, random, isForced, acceptsLoss } = options;
  return Mirror.attach({
    ...options.mirror,
    ...{ store, volumeId: record.volumeId, writer, memory, clock, random },
    ...(isForced === undefined ? {} : { isForced }),
    ...(acceptsLoss === undefined ? {} : { acceptsLoss }),
    ports: record.members.map((member) => portOf(member, options)),
  });
}

function portOf({ id, node }: PlacedMember, options: AttachmentOptions): MemberPort {
  const { store, clock, memory, tls, mirror } = options;
  const key = keys.alive + node;
  return new MemberLink({
    memberId: id,
    addressOf: async () => {
      const entry = await store.read(key);
      return entry === null ? null : decodeAlive(key, entry.value).address;
    },
    ...{ memory, clock, depth: (mirror?.requestCount ?? mirrorDefaults.requestCount) + ownDepth },
    ...(tls === undefined ? {} : { tls }),
  });
}

/** When all nodes have made their members, the mirror of them begins. */
async function finishCreation(
  directory: ClusterDirectory,
  record: VolumeRecord,
  { store, makeMs = defaultMakeMs }: AttachmentOptions,
): Promise<void> {
  const members = stayingOf(record);
  await made(store, members, makeMs).catch((error) => {
    throw busy(record, error instanceof Error ? error.message : String(error));
  });
  const { volumeId, blockBytes, bytes, regionBytes, name } = record;
  const clusterId = await directory.clusterId();
  const geometry = { blockBytes, blockCount: bytes / blockBytes };
  const regionBlocks = regionBytes / blockBytes;
  const memberIds = members.map((member) => member.id);
  try {
    await createMirror(store, { clusterId, volumeId, memberIds, ...geometry, regionBlocks });
  } catch (error) {
    // Somebody else was first, or we were and nobody told us.
    const isThere = error instanceof UltimaError && error.code === ErrorCode.nameTaken;
    if (!isThere) throw error;
  }
  await directory.change(name, (now) => {
    return now.state === 'creating' ? { ...now, state: 'ready' } : now;
  });
}

/** Resolves when the nodes have said that they have made these members. */
function made(
  store: ClusterStore,
  members: readonly PlacedMember[],
  limitMs: number,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const missing = new Set(members.map(({ id }) => keys.members + id));
    const end = (settle: () => void): void => {
      clearTimeout(timer);
      watch?.close();
      settle();
    };
    const late = (): void => {
      const nodes = members.filter(({ id }) => missing.has(keys.members + id));
      const names = nodes.map(({ node }) => node).join(', ');
      end(() => reject(new Error(`${names} made no member within ${limitMs} ms`)));
    };
    const timer = setTimeout(late, limitMs);
    let watch: ReturnType<ClusterStore['watch']> | null = null;
    const have = (key: string): void => {
      missing.delete(key);
      if (missing.size === 0) end(resolve);
    };
    store.list(keys.members).then(
      ({ entries, revision }) => {
        watch = store.watch(keys.members, revision, {
          changed: (events) => {
            for (const { key, value } of events) if (value !== null) have(key);
          },
          failed: (error) => end(() => reject(error)),
        });
        for (const { key } of entries) have(key);
      },
      (error: Error) => end(() => reject(error)),
    );
  });
}

function inWords(text: string, { volumeId, name, members, retired }: VolumeRecord): string {
  let words = text.replaceAll(`mirror ${volumeId}`, `volume ${name}`);
  for (const { id, node } of [...members, ...retired]) words = words.replaceAll(id, node);
  return words;
}

function named(error: UltimaError, record: VolumeRecord): UltimaError {
  const { code, message, facts, cause } = error;
  return new UltimaError(code, inWords(message, record), facts, cause);
}

function busy({ name, state }: VolumeRecord, why: string): UltimaError {
  const message = `volume ${name} cannot be attached: ${why}`;
  return new UltimaError(ErrorCode.volumeBusy, message, { name, state });
}
