import { ErrorCode, UltimaError } from '../../sdk/errors.js';
import type { Finding } from '../../sdk/volume/findings.js';
import { Pool } from '../../sdk/volume/pool.js';
import type { Volume } from '../../sdk/volume/volume.js';
import type { Tally } from './campaign.js';
import type { CrashDevice } from './crash-device.js';
import type { MetadataPage } from './pool-pages.js';
import { namedDevices } from './volume-rig.js';

/** A pool whose metadata is going to be wrong, and what is known of it. */
export interface FlipSubject {
  readonly devices: readonly CrashDevice[];
  readonly pages: readonly MetadataPage[];
  /** Node → names of the volumes and snapshots that need it. */
  readonly users: ReadonlyMap<number, readonly string[]>;
  /** Names of all volumes and snapshots. */
  readonly names: readonly string[];
  /**
   * What a volume reads that it should not. With `isTorn` the last batch of the journal may not
   * have been written.
   */
  readonly contentFault: (name: string, volume: Volume, isTorn: boolean) => Promise<string | null>;
}

/** Pages with wrong bits in what a CRC covers, and how many there are. */
export type WrongPages = ReadonlyMap<MetadataPage, number>;

/**
 * Open the pool as it is now. What is wrong must be named, must cost what depends on it and
 * nothing else, and no volume that is whole by its name may read anything wrong.
 */
export async function judgeWrong(
  subject: FlipSubject,
  wrong: WrongPages,
  tally: Tally,
  memory: { readonly mapCacheBytes?: number } = {},
): Promise<string | null> {
  const { devices } = subject;
  const judge = new Judge(subject, wrong, tally);
  let pool: Pool;
  try {
    pool = await Pool.open(devices, { isReadOnly: true, ...memory });
  } catch (error) {
    if (!(error instanceof UltimaError)) throw error;
    return judge.refused(error);
  }
  const fault = judge.findingsFault(pool.findings) ?? (await judge.volumesFault(pool));
  await pool.close();
  return fault;
}

class Judge {
  private readonly subject: FlipSubject;
  private readonly tally: Tally;
  private readonly bad: readonly MetadataPage[];
  private readonly mended: readonly MetadataPage[];
  private readonly wrong: WrongPages;
  /** Why the state that opens may be an older one; null when it must be the newest. */
  private readonly isOlder: boolean;
  private readonly isTorn: boolean;
  /** A page with several wrong bits was taken for one with one, and is some third thing now. */
  private isMistaken = false;

  constructor(subject: FlipSubject, wrong: WrongPages, tally: Tally) {
    this.subject = subject;
    this.wrong = wrong;
    this.tally = tally;
    const pages = [...wrong.keys()];
    this.bad = pages.filter((page) => wrong.get(page)! > 1);
    this.mended = pages.filter((page) => wrong.get(page) === 1);
    const superblocks = this.ofKind('superblock');
    const isPairBad = [0, 2].some((i) => superblocks.slice(i, i + 2).every((p) => this.isBad(p)));
    const batches = this.ofKind('batch');
    const last = batches.at(-1);
    this.isOlder = isPairBad || batches.some((page) => page !== last && this.isBad(page));
    this.isTorn = last !== undefined && this.isBad(last);
  }

  /** Only when nothing is left to start from. */
  refused({ code, message }: UltimaError): string | null {
    this.count('refused');
    const isNoPool = this.subject.devices.some((_, device) =>
      this.ofKind('label').every((page) => page.device !== device || this.isBad(page)),
    );
    if (code === ErrorCode.poolInvalid && isNoPool) return null;
    const isLost = ['superblock', 'image'].some((kind) =>
      this.ofKind(kind).every((page) => this.isBad(page)),
    );
    // A pair of superblocks that is gone leads to an image that may be somebody else's by now.
    if (code === ErrorCode.poolDamaged && (isLost || this.isOlder)) return null;
    return `refused as ${code}: ${message}`;
  }

  findingsFault(findings: readonly Finding[]): string | null {
    const isBlocked = findings.some(({ kind, what }) => kind === 'lost' && what === 'journal');
    if (isBlocked !== this.isOlder) return `older: ${isBlocked}, expected ${this.isOlder}`;
    if (isBlocked) return null;
    for (const page of this.mended) {
      const isSeen = findings.some(({ kind, what }) => kind === 'mended' && what === page.what);
      if (!isSeen && this.isReached(page)) return `one wrong bit in ${page.what} is not named`;
    }
    for (const page of this.bad) {
      if (page.kind === 'batch' || page.kind === 'superblock' || !this.isReached(page)) continue;
      const found = findings.find(({ kind, what }) => kind !== 'mended' && what === page.what);
      if (found !== undefined) continue;
      // An odd number of bits looks like one wrong bit elsewhere once in 2^16.
      const isOdd = this.wrong.get(page)! % 2 === 1;
      const isTaken = findings.some(({ kind, what }) => kind === 'mended' && what === page.what);
      if (!isOdd || !isTaken) return `${page.what} is bad, and not named`;
      this.count('pages taken for one bit');
      this.isMistaken = true;
      return null;
    }
    return this.costsFault(findings);
  }

  /** Whole by its name is whole; and what needs nothing that is lost is named by nobody. */
  async volumesFault(pool: Pool): Promise<string | null> {
    if (this.isOlder) return null;
    const devices = namedDevices(pool);
    const names = [...devices.keys()].sort().join(' ');
    if (names !== this.subject.names.toSorted().join(' ')) return `there are only ${names}`;
    if (this.isMistaken) return null;
    const damaged = this.damaged();
    for (const [name, volume] of devices) {
      const isDamaged = volume.object.damage !== '';
      if (isDamaged !== damaged.has(name)) {
        return `${name}: damaged ${isDamaged}, expected ${!isDamaged}`;
      }
      if (isDamaged) this.count('damaged');
      if (isDamaged) continue;
      const fault = await this.subject.contentFault(name, volume, this.isTorn);
      if (fault !== null) return fault;
    }
    return null;
  }

  private costsFault(findings: readonly Finding[]): string | null {
    for (const { node, what } of this.bad) {
      const found = findings.find((one) => one.kind === 'lost' && one.what === what);
      if (node === 0 || found === undefined) continue;
      const costs = found.costs.toSorted();
      const users = this.usersOf(node).toSorted();
      // Who cannot get there because of another lost node is named by that one.
      const others = this.damaged(node);
      const expected = users.filter((name) => costs.includes(name) || !others.has(name));
      if (costs.join(' ') !== expected.join(' ')) return `${what} costs ${costs} of ${users}`;
    }
    return null;
  }

  private damaged(except = 0): Set<string> {
    const lost = this.bad.filter(({ node }) => node !== except);
    return new Set(lost.flatMap(({ node }) => this.usersOf(node)));
  }

  /** What lies below a lost node is not looked at, and a journal not behind a hole. */
  private isReached({ kind, node }: MetadataPage): boolean {
    if (node !== 0) {
      const others = this.damaged(node);
      return this.usersOf(node).some((name) => !others.has(name));
    }
    return kind !== 'batch' || !this.isTorn;
  }

  private usersOf(node: number): readonly string[] {
    return this.subject.users.get(node) ?? [];
  }

  private ofKind(wanted: string): MetadataPage[] {
    return this.subject.pages.filter(({ kind }) => kind === wanted);
  }

  private isBad(page: MetadataPage): boolean {
    return this.bad.includes(page);
  }

  private count(what: string): void {
    this.tally[what] = (this.tally[what] ?? 0) + 1;
  }
}
