import { unitBytes } from '../../../sdk/qos/cost.js';
import { Scheduler, type Share } from '../../../sdk/qos/scheduler.js';
import { judgedNs, ShortfallWatch } from '../../../sdk/qos/shortfall.js';
import { bestEffort, shareOf } from '../../../sdk/qos/tiers.js';
import { Read } from '../../../sdk/spec/nvme/nvm-command.js';
import { NvmOpcode } from '../../../sdk/spec/nvme/opcodes.js';
import { CopyKind, copyKinds } from '../../ftl/copy-gate.js';
import type { Drive } from '../../ftl/drive.js';
import type { QosProfile } from '../../profiles/profile.js';
import type { World } from '../../world.js';
import { type Command, FuseRole } from '../command.js';
import type { Namespace } from '../namespace.js';
import { CardCapacity } from './capacity.js';
import { QosCounters } from './counters.js';
import { type Copy, type CopyScheduler, InternalCopies } from './internal-copies.js';
import { MediaRoom } from './media-room.js';
import { Policies } from './policies.js';

/** Entries; as a limit no limit, and unlike infinity a small integer, which is never allocated. */
const largestQueue = 65_536;
const never = Number.POSITIVE_INFINITY;
const nlb = Read.nlb;
const { read, write, compare, verify } = NvmOpcode;

/** Where a command stands with the scheduler. */
const Place = { outside: 0, waiting: 1, inMedia: 2, inMediaReserved: 3 } as const;

export interface CardQosOptions {
  readonly world: World;
  readonly profile: QosProfile;
  readonly namespaceLimit: number;
  /** I/O queues of the controller that programs policies. */
  readonly queueLimit: number;
  readonly controllerCount: number;
  /** Command slots of one controller. */
  readonly slots: number;
  /** Behind all controllers. */
  readonly drives: readonly Drive[];
}

/** The I/O set of a controller, as the scheduler sees it. */
export interface QosUser {
  /** The command in this slot, which was held, may go to the media now; by its reservation? */
  release(slot: number, isReserved: boolean): void;
}

/**
 * Quality of service in the card. While any namespace has a policy, every read, write and other
 * command to the media of every controller passes here between fetch and media: a namespace over
 * its limit waits, and so does who comes behind others while the media have enough to do
 * (`MediaRoom`). A Flush waits like any other command: it is for what had ended before it came. Of
 * two fused commands the second waits, for both.
 *
 * Clients are namespaces, queues that have a tier of their own, one without a policy (0) for a
 * Flush of all namespaces, and the classes of what the drives copy by themselves
 * (`InternalCopies`).
 *
 * Without a policy nothing waits and nothing is counted.
 *
 * When the media slow down, best effort gives way first. When that is not enough, each reservation
 * is kept to the same part, and hosts are told.
 */
export class CardQos implements CopyScheduler {
  readonly policies: Policies;
  readonly counters: QosCounters;
  readonly profile: QosProfile;
  readonly namespaceLimit: number;
  readonly queueLimit: number;
  /** Any client has a policy. */
  isActive = false;
  /** Told when another part of the reservations is kept. */
  onShortfall: () => void = () => {};
  private readonly world: World;
  private readonly scheduler: Scheduler;
  private readonly onTimer: number;
  private readonly onSoon: number;
  private readonly onJudge: number;
  private readonly watch: ShortfallWatch;
  /** While commands wait the media are judged now and then. */
  private isJudging = false;
  private readonly slots: number;
  /** Of namespaces and queues; the classes of copies come behind. */
  private readonly hostClients: number;
  private readonly internal: InternalCopies;
  /** Requests from here on are copies. */
  private readonly firstCopy: number;
  private readonly users: (QosUser | null)[] = [];
  /**
   * By request, which is a slot of a controller or a pool that copies: where it is, whose it is,
   * and the units that it counts for in the media.
   */
  private readonly places: Uint8Array;
  private readonly clients: Int32Array;
  private readonly costs: Float64Array;
  private readonly isMember: Uint8Array;
  /** 1 for clients with a reservation. */
  private readonly isPromised: Uint8Array;
  private readonly room: MediaRoom;
  /** When the timer that counts fires; one that was set before for later does not count. */
  private timerNs = never;
  private isSoon = false;
  /** The scheduler works on one command at a time. */
  private freeNs = 0;

  constructor(options: CardQosOptions) {
    const { world, profile, namespaceLimit, queueLimit, controllerCount, slots } = options;
    const hostClients = namespaceLimit + 1 + queueLimit;
    const clientCount = hostClients + copyKinds;
    this.hostClients = hostClients;
    this.firstCopy = controllerCount * slots;
    this.internal = new InternalCopies(this, profile, options.drives);
    const requestCount = this.firstCopy + this.internal.count;
    this.world = world;
    this.profile = profile;
    this.namespaceLimit = namespaceLimit;
    this.queueLimit = queueLimit;
    this.slots = slots;
    this.policies = new Policies(hostClients, new CardCapacity(profile));
    this.counters = new QosCounters(clientCount);
    this.scheduler = new Scheduler({ clientCount, requestCount });
    this.watch = new ShortfallWatch(this.scheduler, hostClients);
    this.places = new Uint8Array(requestCount);
    this.clients = new Int32Array(requestCount);
    this.costs = new Float64Array(requestCount);
    this.isMember = new Uint8Array(clientCount);
    this.isPromised = new Uint8Array(clientCount);
    this.room = new MediaRoom(world, profile);
    for (let kind = 0; kind < copyKinds; kind++) {
      this.scheduler.add(this.clientOfCopies(kind), this.internal.shareOf(kind), world.nowNs);
    }
    this.onTimer = world.register(() => this.timer());
    this.onSoon = world.register(() => {
      this.isSoon = false;
      this.pump();
    });
    this.onJudge = world.register(() => this.judge());
  }

  /** Part of each reservation that the media keep now, 1 for all of it. */
  get keptPart(): number {
    return this.watch.keptPart;
  }

  /**
   * While policies count, a queue has its turn so often that its commands do not stand behind all
   * that another queue has.
   */
  get fetchBurst(): number {
    return this.isActive ? this.profile.fetchBurst : largestQueue;
  }

  /** @returns what its slots are counted from */
  addUser(user: QosUser): number {
    return this.users.push(user) * this.slots - this.slots;
  }

  /** The client that a queue of the programming controller is. */
  clientOfQueue(queueId: number): number {
    return this.namespaceLimit + queueId;
  }

  /** The classes of copies that there are behind this card, as clients. */
  clientsOfCopies(): number[] {
    if (this.internal.count === 0) return [];
    return Array.from({ length: copyKinds }, (_, kind) => this.clientOfCopies(kind));
  }

  /** The `CopyKind` of a client; -1 for a namespace or a queue. */
  copyKindOf(client: number): number {
    return Math.max(-1, client - this.hostClients);
  }

  /** Units per second that a client is sure of now. */
  keptOf(client: number): number {
    const kind = this.copyKindOf(client);
    if (kind >= 0) return this.internal.shareOf(kind).reservation;
    return this.policies.share(client).reservation * this.keptPart;
  }

  /** The client that a class of copies is: a `CopyKind`. */
  clientOfCopies(kind: number): number {
    return this.hostClients + kind;
  }

  get writeCost(): number {
    return this.policies.capacity.writeCostPermille / 1000;
  }

  get copyCost(): number {
    return 1 + this.writeCost;
  }

  setCopyShare(kind: number, share: Share): void {
    this.scheduler.change(this.clientOfCopies(kind), share, this.world.nowNs);
  }

  /**
   * A page is to be copied or read. What an urgent one takes is paid for, but it does not wait. In
   * the media a page counts one, whatever is valid of it: it keeps one die busy, as the read of a
   * unit does, and against best effort alone.
   */
  copies({ index, kind, cost, isUrgent }: Copy): boolean {
    const { counters, scheduler } = this;
    const { nowNs } = this.world;
    const client = this.clientOfCopies(kind);
    const request = this.firstCopy + index;
    const isWaiting = this.places[request] === Place.waiting;
    if (isWaiting && !isUrgent) return false;
    if (isWaiting) {
      scheduler.cancel(client, request);
      counters.waitEnds(client, nowNs);
    } else {
      counters.came(client, nowNs);
    }
    this.clients[request] = client;
    this.costs[request] = 1;
    if (isUrgent) {
      scheduler.charge(client, cost, nowNs);
    } else if (this.room.isFull || !scheduler.passes(client, cost, nowNs)) {
      this.places[request] = Place.waiting;
      scheduler.push(client, request, cost, nowNs);
      counters.waits(client);
      this.soon();
      return false;
    }
    this.handOver(request, cost, false);
    return true;
  }

  copyEnded(index: number): void {
    this.left(this.firstCopy + index);
  }

  /** Every client that has a policy, ascending. */
  clientsWithPolicy(): number[] {
    const clients: number[] = [];
    for (let client = 1; client < this.hostClients; client++) {
      if (this.policies.tier(client) !== 0) clients.push(client);
    }
    return clients;
  }

  /** The policy of a client, or of all (0), is another: it counts from now on. */
  private changed(only: number): void {
    this.isActive = this.policies.hasAny;
    const { nowNs } = this.world;
    for (let client = 1; client < this.hostClients; client++) {
      if (only !== 0 && client !== only) continue;
      if (this.policies.tier(client) !== 0) this.join(client);
      if (this.isMember[client] === 0) continue;
      this.share(client);
      this.counters.setReservation(client, this.policies.share(client).reservation, nowNs);
    }
    this.soon();
  }

  /** What a client is promised, or what the media keep of it, counts from now on. */
  private share(client: number): void {
    const share = this.policies.share(client);
    const reservation = this.watch.promise(client, share.reservation);
    this.isPromised[client] = share.reservation > 0 ? 1 : 0;
    this.scheduler.change(client, { ...share, reservation }, this.world.nowNs);
  }

  private judgeLater(): void {
    if (this.isJudging) return;
    this.isJudging = true;
    this.world.schedule(judgedNs, this.onJudge, 0);
  }

  private judge(): void {
    this.isJudging = false;
    if (this.watch.judge(this.world.nowNs)) {
      for (let client = 1; client < this.hostClients; client++) {
        if (this.policies.share(client).reservation > 0) this.share(client);
      }
      this.soon();
      this.onShortfall();
    }
    if (this.scheduler.waitingCount > 0 || this.watch.keptPart < 1) this.judgeLater();
  }

  /** @param tier  an index of the table, checked */
  assign(client: number, tier: number): void {
    this.policies.setTier(client, tier);
    this.changed(client);
  }

  /** A reset: no queue is left. */
  forgetQueues(): void {
    for (let queueId = 1; queueId <= this.queueLimit; queueId++) this.forgetQueue(queueId);
  }

  forgetQueue(queueId: number): void {
    const client = this.clientOfQueue(queueId);
    if (this.policies.tier(client) !== 0) this.assign(client, 0);
  }

  /** @param words  a capacity table that was checked */
  setCapacity(words: Uint32Array): void {
    this.policies.capacity.set(words);
  }

  /** @param words  a table that was checked */
  setTable(words: Uint32Array): void {
    this.policies.setTable(words);
    this.changed(0);
  }

  /**
   * A command is about to go to the media.
   *
   * @param base       what `addUser` gave
   * @param namespace  null for all of them
   * @param mayBeQueue  the command is in a queue of the programming controller
   * @returns whether it waits; it is released later, unless it leaves before
   */
  holds(base: number, command: Command, namespace: Namespace | null, mayBeQueue: boolean): boolean {
    const { counters, scheduler, room } = this;
    const { nowNs } = this.world;
    const own = mayBeQueue ? this.clientOfQueue(command.queueId) : 0;
    const hasOwn = own > 0 && this.policies.tier(own) !== 0;
    const client = hasOwn ? own : (namespace?.nsid ?? 0);
    const request = base + command.slot;
    const cost = this.costOf(command, namespace);
    this.join(client);
    this.clients[request] = client;
    this.costs[request] = cost;
    counters.came(client, nowNs);
    if (this.isPromised[client] === 1) room.asked();
    const hasRoom = !room.isFull;
    if (hasRoom && scheduler.passes(client, cost, nowNs)) {
      command.isReserved = scheduler.isReserved;
      this.handOver(request, cost, scheduler.isReserved);
      command.preparedNs = Math.max(command.preparedNs, this.scheduled());
      return false;
    }
    this.places[request] = Place.waiting;
    scheduler.push(client, request, cost, nowNs);
    counters.waits(client);
    this.judgeLater();
    if (!room.isFullOfReserved) this.soon();
    return true;
  }

  /** When the scheduler has dealt with a command that it gives now. */
  scheduled(): number {
    this.freeNs = Math.max(this.freeNs, this.world.nowNs) + this.profile.scheduleNs;
    return this.freeNs;
  }

  /** Upkeep pays for what could not wait. */
  upkeepPays(cost: number): void {
    this.pays(this.clientOfCopies(CopyKind.upkeep), cost);
  }

  private pays(client: number, cost: number): void {
    const { nowNs } = this.world;
    this.counters.came(client, nowNs);
    this.scheduler.charge(client, cost, nowNs);
    this.counters.serve(client, cost, false);
  }

  /**
   * A command has ended, wherever it was.
   *
   * @param mapReads  pages of maps that had to be read for it: it pays for them now
   */
  left(request: number, mapReads = 0): void {
    const place = this.places[request];
    if (place === Place.outside) return;
    this.places[request] = Place.outside;
    if (place === Place.waiting) {
      const client = this.clients[request]!;
      this.scheduler.cancel(client, request);
      this.counters.waitEnds(client, this.world.nowNs);
    } else {
      this.room.leave(this.costs[request]!, place === Place.inMediaReserved);
      if (mapReads > 0) this.pays(this.clients[request]!, mapReads);
    }
    // Not from inside: whoever ends commands may be ending more of them.
    if (this.scheduler.waitingCount > 0) this.soon();
  }

  private soon(): void {
    if (this.isSoon) return;
    this.isSoon = true;
    this.world.schedule(0, this.onSoon, 0);
  }

  private wakeAt(wantedNs: number): void {
    const atNs = Math.ceil(wantedNs);
    if (atNs >= this.timerNs) return;
    this.timerNs = atNs;
    this.world.schedule(atNs - this.world.nowNs, this.onTimer, 0);
  }

  private timer(): void {
    if (this.world.nowNs !== this.timerNs) return;
    this.timerNs = never;
    this.pump();
  }

  /** Hand over as long as the media have room and somebody may go. */
  private pump(): void {
    const { scheduler, counters, world, room } = this;
    for (;;) {
      if (room.isFullOfReserved) return;
      if (!scheduler.pull(world.nowNs, room.isFull)) {
        if (scheduler.wakeNs < never) this.wakeAt(scheduler.wakeNs);
        return;
      }
      const { request, client, isReserved } = scheduler;
      counters.waitEnds(client, world.nowNs);
      if (request >= this.firstCopy) {
        this.handOver(request, scheduler.cost[request]!, false);
        this.internal.release(request - this.firstCopy);
        continue;
      }
      this.handOver(request, this.costs[request]!, isReserved);
      const user = Math.floor(request / this.slots);
      this.users[user]!.release(request - user * this.slots, isReserved);
    }
  }

  private handOver(request: number, cost: number, isReserved: boolean): void {
    this.places[request] = isReserved ? Place.inMediaReserved : Place.inMedia;
    this.room.enter(this.costs[request]!, isReserved);
    this.counters.serve(this.clients[request]!, cost, isReserved);
  }

  private join(client: number): void {
    if (this.isMember[client] === 1) return;
    this.isMember[client] = 1;
    this.scheduler.add(client, shareOf(bestEffort), this.world.nowNs);
  }

  private costOf(command: Command, namespace: Namespace | null): number {
    const { opcode } = command;
    const isRead = opcode === read || opcode === compare || opcode === verify;
    const isTransfer = isRead || opcode === write;
    if (namespace === null || !isTransfer) return this.profile.discardCostPermille / 1000;
    const bytes = nlb.get(command.words, 0) * namespace.dataBytes;
    const size = Math.max(1, bytes / unitBytes);
    if (isRead) return size;
    const writing = (size * this.policies.capacity.writeCostPermille) / 1000;
    // The compare before a fused write reads as much.
    return command.fuse === FuseRole.second ? writing + size : writing;
  }
}
