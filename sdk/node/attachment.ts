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
import { regionBlocksOf } from './member-shelf.js';
import { decodeAlive, keys, type PlacedMember, type VolumeRecord } from './records.js';

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
  private readonly volumeId: string;
  private readonly timer: ReturnType<typeof setInterval>;

  /**
   * @throws UltimaError NOT_FOUND; VOLUME_BUSY when it is being deleted, or its nodes have not made
   *   it; and what `Mirror.attach` throws
   */
  static async open(options: AttachmentOptions): Promise<Attachment> {
    const directory = new ClusterDirectory(options.store, options.random);
    const { record } = await directory.volume(options.volume);
    if (record.state === 'deleting') throw busy(record, 'it is being deleted');
    if (record.state === 'creating') await finishCreation(directory, record, options);
    const { store, writer, memory, clock, random, isForced, acceptsLoss } = options;
    const mirror = await Mirror.attach({
      ...options.mirror,
      ...{ store, volumeId: record.volumeId, writer, memory, clock, random },
      ...(isForced === undefined ? {} : { isForced }),
      ...(acceptsLoss === undefined ? {} : { acceptsLoss }),
      ports: record.members.map((member) => portOf(member, options)),
    });
    return new Attachment(options, directory, { mirror, volumeId: record.volumeId });
  }

  private constructor(
    options: AttachmentOptions,
    directory: ClusterDirectory,
    { mirror, volumeId }: { readonly mirror: Mirror; readonly volumeId: string },
  ) {
    this.options = options;
    this.directory = directory;
    this.mirror = mirror;
    this.volumeId = volumeId;
    this.stopped = mirror.stopped.then((reason) => this.explain(reason));
    this.timer = setInterval(() => mirror.device.poll(), restMs);
  }

  get device(): Mirror['device'] {
    return this.mirror.device;
  }

  /** One more member, on a node that has none: it gets everything while everybody works. */
  async addMember(node?: string): Promise<PlacedMember> {
    const { volume, store, makeMs = defaultMakeMs } = this.options;
    const member = await this.directory.addMember(volume, node === undefined ? {} : { node });
    await made(store, [member], makeMs);
    await this.mirror.addMember(portOf(member, this.options));
    return member;
  }

  /** A member less; its node then takes it away. @throws RangeError for the last one in sync */
  async removeMember(id: string): Promise<void> {
    await this.mirror.removeMember(id);
    await this.directory.retireMember(this.options.volume, id);
  }

  /** A writer whose members are all gone at once may have slept while another one took over. */
  private async explain(reason: UltimaError | null): Promise<UltimaError | null> {
    if (reason?.code !== ErrorCode.mirrorLost) return reason;
    const { volumeId } = this;
    const { epoch } = this.mirror.status;
    try {
      const entry = await this.options.store.read(recordKey(volumeId));
      if (entry === null) return reason;
      const record = decodeRecord(entry.value, volumeId);
      return record.epoch > epoch ? fenced({ volumeId, epoch }, record) : reason;
    } catch {
      // Without the store nobody knows more.
      return reason;
    }
  }

  /** Everything is durable, and others may attach. */
  async detach(): Promise<void> {
    try {
      await this.mirror.detach();
    } finally {
      clearInterval(this.timer);
    }
  }
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
  await made(store, record.members, makeMs).catch((error) => {
    throw busy(record, error instanceof Error ? error.message : String(error));
  });
  const { volumeId, blockBytes, bytes, members, name } = record;
  const clusterId = await directory.clusterId();
  const geometry = { blockBytes, blockCount: bytes / blockBytes };
  const regionBlocks = regionBlocksOf(bytes, blockBytes);
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

function busy({ name, state }: VolumeRecord, why: string): UltimaError {
  const message = `volume ${name} cannot be attached: ${why}`;
  return new UltimaError(ErrorCode.volumeBusy, message, { name, state });
}
