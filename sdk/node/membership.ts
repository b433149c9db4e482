import type { ClusterStore, StoreWatch } from '../cluster/store.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { mostMembers } from '../mirror/io-parts.js';
import type { Mirror } from '../mirror/mirror.js';
import type { MemberPort } from '../mirror/port.js';
import type { ClusterDirectory } from './directory.js';
import { keys, type PlacedMember, stayingOf, type VolumeRecord } from './records.js';

export interface MembershipParts {
  readonly store: ClusterStore;
  readonly directory: ClusterDirectory;
  readonly volume: string;
  readonly mirror: Mirror;
  readonly portOf: (member: PlacedMember) => MemberPort;
  /** Resolves when a new member's node has made it. */
  readonly made: (member: PlacedMember) => Promise<void>;
  /** The list, each time that it is looked at. */
  readonly seen: (record: VolumeRecord) => void;
}

/** While something is to be done that waits for members to be in sync, or for the store. */
const retryMs = 500;

interface Waiting {
  readonly isSo: (record: VolumeRecord) => boolean;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/**
 * Makes the members and the size of an attached mirror what the cluster's list says, whoever
 * changes the list, while everybody works.
 *
 * A member that is to leave goes when all that stay have everything, or when it has not everything
 * itself. Only when a new one finds no room it goes before: there is a copy less then, and never
 * none. What was begun and not ended, because the writer died, the next writer goes on with.
 */
export class Membership {
  private readonly parts: MembershipParts;
  private watch: StoreWatch | null = null;
  private timer: ReturnType<typeof setTimeout> | null = null;
  private work: Promise<void> = Promise.resolve();
  private waiting: Waiting[] = [];
  /** What the last look met; '' when nothing stands in the way. */
  trouble = '';
  private isClosed = false;

  constructor(parts: MembershipParts) {
    this.parts = parts;
    void this.follow();
    void parts.mirror.stopped.then((reason) => this.close(reason));
  }

  /** Resolves when the list is so, and everything that it asks for has been looked at. */
  until(isSo: (record: VolumeRecord) => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.isClosed) reject(stopped(null));
      this.waiting.push({ isSo, resolve, reject });
      this.look();
    });
  }

  close(reason: UltimaError | null = null): void {
    this.isClosed = true;
    this.watch?.close();
    if (this.timer !== null) clearTimeout(this.timer);
    for (const { reject } of this.waiting.splice(0)) reject(stopped(reason));
  }

  private async follow(): Promise<void> {
    const { store, volume } = this.parts;
    const key = keys.volumes + volume;
    try {
      const { revision } = await store.list(key);
      if (this.isClosed) return;
      this.watch = store.watch(key, revision, {
        changed: (events) => {
          if (events.some((event) => event.key === key)) this.look();
        },
        failed: () => this.followLater(),
      });
      this.look();
    } catch (error) {
      if (!(error instanceof UltimaError)) throw error;
      this.followLater();
    }
  }

  private followLater(): void {
    if (!this.isClosed) setTimeout(() => void this.follow(), retryMs);
  }

  /** One look after the other; each sees what was so when it began, or later. */
  private look(): void {
    this.work = this.work.then(async () => {
      if (this.isClosed) return;
      if (this.timer !== null) clearTimeout(this.timer);
      this.timer = null;
      let isDone = false;
      try {
        isDone = await this.makeSo();
        this.trouble = '';
      } catch (error) {
        // The store, a node or the mirror: the next look meets it again, or it is over.
        if (!(error instanceof UltimaError)) throw error;
        this.trouble = error.message;
      }
      if (!isDone && !this.isClosed) this.timer = setTimeout(() => this.look(), retryMs);
    });
  }

  /** @returns whether everything is as listed, and nobody waits for more */
  private async makeSo(): Promise<boolean> {
    const { directory, mirror, volume, portOf, made, seen } = this.parts;
    const { record } = await directory.volume(volume);
    seen(record);
    for (const id of record.leaving) {
      const isKnown = this.isKnown(id);
      if (isKnown && !this.mayGo(id, record)) continue;
      if (isKnown) await mirror.removeMember(id);
      await directory.retireMember(volume, id);
    }
    for (const member of this.newcomers(record)) {
      if (mirror.status.members.length >= mostMembers) break;
      await made(member);
      await mirror.addMember(portOf(member));
    }
    const { device } = mirror;
    if (record.bytes > bytesOf(mirror)) await mirror.grow(record.bytes / device.blockBytes);
    const { record: now } = await directory.volume(volume);
    this.waiting = this.waiting.filter(({ isSo, resolve }) => {
      const isOver = isSo(now);
      if (isOver) resolve();
      return !isOver;
    });
    const isGrown = bytesOf(mirror) >= now.bytes;
    const isListed = isGrown && now.leaving.length === 0 && this.newcomers(now).length === 0;
    return isListed && this.waiting.length === 0;
  }

  isKnown(id: string): boolean {
    return this.parts.mirror.status.members.some((member) => member.id === id);
  }

  private newcomers(record: VolumeRecord): PlacedMember[] {
    return stayingOf(record).filter(({ id }) => !this.isKnown(id));
  }

  private mayGo(leavingId: string, record: VolumeRecord): boolean {
    const { members } = this.parts.mirror.status;
    const inUse = new Set(members.filter((each) => each.condition === 'InUse').map(({ id }) => id));
    if (!inUse.delete(leavingId)) return inUse.size > 0;
    if (inUse.size === 0) return false;
    const isCrowded = members.length >= mostMembers && this.newcomers(record).length > 0;
    return isCrowded || stayingOf(record).every(({ id }) => inUse.has(id));
  }
}

export function bytesOf({ device }: Mirror): number {
  return device.blockCount * device.blockBytes;
}

function stopped(reason: UltimaError | null): UltimaError {
  const text = 'the volume is not attached here any more; what was asked for stands in its list';
  return reason ?? new UltimaError(ErrorCode.commandFailed, text);
}
