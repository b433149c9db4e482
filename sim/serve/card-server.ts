import { UltimaError } from '../../sdk/errors.js';
import type { SimCard } from '../card.js';
import { restoreServedCard, saveServedCard } from '../checkpoint/checkpoint.js';
import type { ForeignHost } from '../pcie/device-memory.js';
import { Migration, type Movable } from './migration.js';
import type { PeerSocket, ServeSystem } from './peer.js';
import { PeerInterrupts } from './peer-interrupts.js';
import { PeerMemory } from './peer-memory.js';
import { ServedFunction } from './served-function.js';
import { Session } from './session.js';
import { farUs, Timekeeper, type TimeScale } from './timekeeper.js';

/** Turns between two looks at doorbells that lead to no queue. */
const turnsPerScan = 256;

export interface CardServerOptions {
  /** The card that is served; it must be given this host. */
  readonly makeCard: (host: ForeignHost) => SimCard;
  readonly system: ServeSystem;
  /** One cell: nanoseconds of real time, as the owner has looked at it last before each turn. */
  readonly realTime: Float64Array;
  /** 1 when left out: one virtual nanosecond per real one. */
  readonly timeScale?: TimeScale;
  /**
   * A client may take the state of the card to another server, and bring one along. A state is
   * trusted as a checkpoint is: what was cut or changed by chance is refused. False without.
   */
  readonly isMovable?: boolean;
}

/** What a server can say of itself. */
export interface CardServerStatus {
  readonly isConnected: boolean;
  /** Connections so far. */
  readonly sessionCount: number;
  /** Why the last one ended; empty before that. */
  readonly lastClose: string;
  readonly ioQueueCount: number;
  /** Commands completed so far. */
  readonly completedCount: number;
  /** DMA accesses refused so far. */
  readonly dmaFaultCount: number;
  /** Misuse that the protocol checker has reported so far. */
  readonly reportCount: number;
  readonly regionCount: number;
}

/**
 * A simulated card behind vfio-user: one client at a time, any number in turn. What a client leaves
 * behind is the state of the card; its memory and descriptors go with it.
 *
 * The owner calls `turn` for the card to go on, and `pump` when something has arrived.
 */
export class CardServer implements Movable {
  private readonly system: ServeSystem;
  private readonly memory: PeerMemory;
  private readonly served: ServedFunction;
  private readonly host: ForeignHost;
  private readonly timeScale: TimeScale;
  private readonly realTime: Float64Array;
  private readonly isMovable: boolean;
  private current: SimCard;
  private timekeeper: Timekeeper;
  private isStopped = false;
  private session: Session | null = null;
  private sessionCount = 0;
  private lastClose = '';
  private turnsToScan = turnsPerScan;
  private isReleaseAsked = false;

  constructor(options: CardServerOptions) {
    const { system } = options;
    this.system = system;
    this.memory = new PeerMemory(system);
    this.host = {
      memory: this.memory,
      interrupt: (vector) => this.served.interrupts.interrupt(vector),
    };
    this.timeScale = options.timeScale ?? 1;
    this.realTime = options.realTime;
    this.isMovable = options.isMovable ?? false;
    this.current = options.makeCard(this.host);
    this.timekeeper = new Timekeeper(this.current.world, this.timeScale, this.realTime);
    this.served = new ServedFunction(this.current, {
      memory: this.memory,
      interrupts: new PeerInterrupts(system, this.current.profile.controller.vectors),
      makeMemory: (bytes) => system.ownMemory(bytes),
      migration: new Migration(this),
    });
  }

  get card(): SimCard {
    return this.current;
  }

  /** What to watch while nobody takes turns; `doorbellRang` when one has changed. */
  get doorbells(): { readonly words: Uint32Array; readonly seen: Uint32Array } {
    return this.served.doorbells;
  }

  /** The next turn looks at every doorbell, also those that lead to no queue. */
  doorbellRang(): void {
    this.turnsToScan = 0;
  }

  get isConnected(): boolean {
    return this.session !== null;
  }

  /** A client has connected; the one before must have ended. */
  accept(socket: PeerSocket): void {
    this.session?.close('another client has connected');
    this.session = new Session(socket, this.system, this.served);
    this.sessionCount++;
  }

  /**
   * Answer what the client has sent, up to a limit.
   *
   * @returns whether there may be more to do at once
   */
  pump(): boolean {
    const { session } = this;
    if (session === null) return false;
    const hasMore = session.pump();
    if (session.closedBy !== '') this.endSession(session);
    return hasMore;
  }

  /** Whether answers wait for room in the client's socket. */
  get isBlocked(): boolean {
    return this.session?.isBlocked === true;
  }

  /**
   * Look at the doorbells and run the card to the real time of now.
   *
   * @returns whether it had anything to do
   */
  turn(): boolean {
    const { timekeeper } = this;
    if (this.isStopped) {
      timekeeper.skip();
      return false;
    }
    const { world } = this.card;
    const before = world.eventCount;
    // A doorbell that ends a pause rings now, not when the pause began.
    if (timekeeper.isBehind) timekeeper.run();
    const hasRung = this.session !== null && this.lookAtDoorbells();
    if (hasRung) this.served.interrupts.settlePin();
    timekeeper.run();
    // Commands that came while the card asked for memory are here already; nothing will say so.
    if (this.session?.needsPump === true) this.pump();
    if (this.served.fn.isRemoved && !this.isReleaseAsked) {
      this.isReleaseAsked = true;
      this.served.interrupts.requestRelease();
    }
    return hasRung || world.eventCount !== before;
  }

  /** Real microseconds, whole, until the card does something by itself; `farUs` at most. */
  untilNextUs(): number {
    return this.isStopped ? farUs : this.timekeeper.untilNextUs();
  }

  // What a migration asks.

  get canMove(): boolean {
    return this.isMovable && this.card.unsavableInside === null;
  }

  /** Doorbells that rang before are not lost. */
  stop(): void {
    this.served.doorbells.scan();
    this.isStopped = true;
  }

  go(): void {
    this.isStopped = false;
  }

  save(): Uint8Array {
    return saveServedCard(this.card, this.served.doorbells);
  }

  load(state: Uint8Array): boolean {
    let card: SimCard;
    try {
      card = restoreServedCard(state, this.card.profile, this.host);
    } catch (error) {
      // It was made for this host before it turned out to be none.
      this.card.function.claimHost();
      if (error instanceof UltimaError) return false;
      throw error;
    }
    this.served.become(card);
    this.current = card;
    this.timekeeper = new Timekeeper(card.world, this.timeScale, this.realTime);
    return true;
  }

  get status(): CardServerStatus {
    return {
      isConnected: this.isConnected,
      sessionCount: this.sessionCount,
      lastClose: this.lastClose,
      ioQueueCount: this.card.controller.ioQueueCount,
      completedCount: this.card.controller.completedCount,
      dmaFaultCount: this.memory.faultCount,
      reportCount: this.card.checker.total,
      regionCount: this.memory.regionCount,
    };
  }

  /** Let the client go and give everything back. Idempotent. */
  async close(): Promise<void> {
    this.session?.close('the server has ended');
    this.session = null;
    this.served.release();
    // The card clears its doorbells when it is closed.
    await this.card.close();
    this.served.area.memory.close();
  }

  private lookAtDoorbells(): boolean {
    const { doorbells } = this.served;
    if (--this.turnsToScan > 0) return doorbells.poll();
    this.turnsToScan = turnsPerScan;
    return doorbells.scan();
  }

  private endSession(session: Session): void {
    this.lastClose = session.closedBy;
    this.session = null;
  }
}
