import { type MutualTls, NodeSockets } from '../sockets/node-sockets.js';
import { ChunkPool } from '../sockets/outbox.js';
import { Reactor } from '../sockets/reactor.js';
import type { Listening, Place, Sockets, Stream } from '../sockets/stream.js';
import { discoveryNqn } from '../spec/fabrics/command.js';
import { Connector } from './connector.js';
import type { DiscoveryFacts } from './log-pages.js';
import { EntranceOwner } from './owners.js';
import { parsePlace } from './place.js';
import { FabricSubsystem, type SubsystemOptions } from './subsystem.js';
import { TargetQueue } from './target-queue.js';

export interface NvmeTcpTargetOptions {
  /** 'HOST:PORT', '[::1]:4420'; port 0 takes any that is free, and 4420 is meant without one. */
  readonly listen: readonly string[];
  /** 1 to 256. */
  readonly subsystems: readonly SubsystemOptions[];
  /** Hosts must show a certificate. With it everything goes over node:tls. */
  readonly tls?: MutualTls;
  /** How connections are made; over node:net when left out. */
  readonly sockets?: Sockets;
  /** What discovery tells hosts instead of where we listen: for targets behind a translation. */
  readonly advertise?: readonly string[];
  /** 1 to 4,096; 256 when left out. What comes beyond is closed at once. */
  readonly mostConnections?: number;
  /** Until a connection has become a queue; 10,000 when left out. */
  readonly connectMs?: number;
}

export interface NvmeTcpTargetStatus {
  readonly connections: number;
  readonly associations: number;
  readonly commands: number;
  /** Connections that were ended because of what they sent, and why the last one was. */
  readonly violations: number;
  readonly lastViolation: string;
}

const mostSubsystems = 256;
const defaultConnections = 256;
const mostConnections = 4096;
const defaultConnectMs = 10_000;
/** After the last command the sockets are looked at for so long before the thread sleeps. */
const spinMs = 0.5;

/**
 * Block devices as namespaces for NVMe/TCP hosts (kernels, SPDK, our own initiator), in this
 * thread's event loop. The target polls the devices while commands are under way, so nobody else
 * may.
 *
 * A host can harm its own connections and nobody else's: what it sends is checked, what it makes
 * the target keep is bounded, and its end, at whatever moment, gives everything back.
 */
export class NvmeTcpTarget {
  private readonly subsystems = new Map<string, FabricSubsystem>();
  private readonly listening: Listening[] = [];
  private readonly queues = new Map<TargetQueue, NodeJS.Timeout>();
  private readonly chunks = new ChunkPool();
  private readonly sockets: Sockets;
  private readonly reactor: Reactor;
  private readonly connector: Connector;
  private readonly options: NvmeTcpTargetOptions;
  private readonly most: number;
  private commandCount = 0;
  private violationCount = 0;
  private lastViolation = '';
  private generation = 1;
  private closing: Promise<void> | null = null;

  private constructor(options: NvmeTcpTargetOptions) {
    this.options = options;
    this.most = options.mostConnections ?? defaultConnections;
    this.sockets = options.sockets ?? new NodeSockets(options.tls);
    for (const each of [...options.subsystems, { nqn: discoveryNqn, serial: 'discovery' }]) {
      this.insert(each);
    }
    this.reactor = new Reactor({
      sockets: this.sockets,
      spinMs,
      // Hosts of other targets may live in this thread.
      waitMs: 0,
      resting: () => this.lookForGrowth(),
    });
    this.connector = new Connector({
      subsystems: this.subsystems,
      discovery: () => this.discoveryFacts(),
      connected: (queue) => this.connected(queue),
      lost: (queue) => this.forget(queue),
    });
    this.namespacesChanged();
  }

  /**
   * Serve until `close`. All places are listened at, or none.
   *
   * @throws UltimaError ADDRESS_INVALID, DEVICE_BUSY for a place to listen, DEVICE_UNSUPPORTED for
   *   a device with odd blocks, NAME_TAKEN; RangeError for names and limits that cannot be
   */
  static async start(options: NvmeTcpTargetOptions): Promise<NvmeTcpTarget> {
    check(options);
    const places = options.listen.map(parsePlace);
    const target = new NvmeTcpTarget(options);
    try {
      for (const place of places) {
        const accept = (stream: Stream): void => target.accept(stream);
        target.listening.push(await target.sockets.listen(place, accept));
      }
    } catch (error) {
      await target.close();
      throw error;
    }
    return target;
  }

  /** Where hosts connect, with the port that was given for 0. */
  get places(): readonly Place[] {
    return this.listening.map(({ place }) => place);
  }

  get status(): NvmeTcpTargetStatus {
    let commands = this.commandCount;
    let associations = 0;
    for (const queue of this.queues.keys()) commands += queue.commandCount;
    for (const each of this.subsystems.values()) associations += each.associations.size;
    return {
      connections: this.queues.size,
      associations,
      commands,
      violations: this.violationCount,
      lastViolation: this.lastViolation,
    };
  }

  /** Memory of devices that commands hold now. */
  get heldBytes(): number {
    return this.served().reduce((sum, each) => sum + each.heldBytes, 0);
  }

  /** To add namespaces, and to say how this path stands to them. @throws RangeError */
  subsystem(nqn: string): FabricSubsystem {
    const found = this.subsystems.get(nqn);
    if (found === undefined) throw new RangeError(`no subsystem is named ${nqn}`);
    return found;
  }

  /**
   * One more. Hosts of the discovery subsystem are told.
   *
   * @throws RangeError, UltimaError as at start
   */
  addSubsystem(options: SubsystemOptions): FabricSubsystem {
    if (this.subsystems.size > mostSubsystems) {
      throw new RangeError(`one more subsystem; ${mostSubsystems} are possible`);
    }
    const made = this.insert(options);
    this.subsystemsChanged();
    return made;
  }

  /** Its hosts lose their connections; returns when nothing of theirs is inside a device. */
  async removeSubsystem(nqn: string): Promise<void> {
    const subsystem = this.subsystem(nqn);
    this.subsystems.delete(nqn);
    for (const each of [...subsystem.associations]) each.end('the subsystem has gone');
    await Promise.all([...subsystem.draining].map((each) => each.drained()));
    this.subsystemsChanged();
    for (const each of subsystem.namespaces.values()) each.close();
  }

  private insert(options: SubsystemOptions): FabricSubsystem {
    const { nqn } = options;
    if (this.subsystems.has(nqn)) throw new RangeError(`two subsystems named ${nqn}`);
    const made = new FabricSubsystem(options, () => this.namespacesChanged());
    this.subsystems.set(nqn, made);
    return made;
  }

  private subsystemsChanged(): void {
    this.generation++;
    this.namespacesChanged();
    const discovery = this.subsystems.get(discoveryNqn);
    for (const each of discovery?.associations ?? []) each.discoveryChanged();
  }

  /**
   * One look at sockets and devices, for a loop that has more to look at; the event loop serves
   * without it. @returns how many of them had something
   */
  poll(): number {
    return this.reactor.look();
  }

  /** Let the hosts go, wait for what is inside devices, give everything back. Idempotent. */
  close(): Promise<void> {
    this.closing ??= this.end();
    return this.closing;
  }

  /** Drop every connection, as if the network had: hosts come back. */
  dropConnections(): void {
    for (const queue of [...this.queues.keys()]) queue.close('dropped');
  }

  private async end(): Promise<void> {
    for (const each of this.listening) each.close();
    this.dropConnections();
    const served = this.served();
    while (served.some(({ inFlight }) => inFlight > 0)) {
      this.reactor.wake();
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.reactor.close();
    for (const each of served) each.close();
    if (this.options.sockets === undefined) this.sockets.close();
  }

  private accept(stream: Stream): void {
    if (this.queues.size >= this.most || this.closing !== null) {
      stream.destroy();
      return;
    }
    const owner = new EntranceOwner(
      (slot) => this.connector.connect(slot),
      (queue) => this.forget(queue),
    );
    const queue = new TargetQueue({
      stream,
      chunks: this.chunks,
      owner,
      wake: (each) => this.reactor.touch(each),
    });
    const limitMs = this.options.connectMs ?? defaultConnectMs;
    const deadline = setTimeout(() => {
      if (queue.association === null || queue.authentication?.isDone === false) {
        queue.close(`no connected queue within ${limitMs} ms`);
      }
    }, limitMs);
    this.queues.set(queue, deadline);
    stream.attach(queue);
  }

  private connected(queue: TargetQueue): void {
    if (queue.authentication !== null) return;
    const deadline = this.queues.get(queue);
    if (deadline !== undefined) clearTimeout(deadline);
  }

  private forget(queue: TargetQueue): void {
    const deadline = this.queues.get(queue);
    if (deadline === undefined) return;
    clearTimeout(deadline);
    this.queues.delete(queue);
    this.commandCount += queue.commandCount;
    if (queue.violation === '') return;
    this.violationCount++;
    this.lastViolation = queue.violation;
  }

  private served() {
    return [...this.subsystems.values()].flatMap((each) => [...each.namespaces.values()]);
  }

  private namespacesChanged(): void {
    this.reactor.setServed(this.served());
  }

  private lookForGrowth(): void {
    for (const each of this.subsystems.values()) each.lookForGrowth();
  }

  private discoveryFacts(): DiscoveryFacts {
    const { advertise, tls } = this.options;
    return {
      subsystems: [...this.subsystems.values()].filter(({ nqn }) => nqn !== discoveryNqn),
      places: advertise?.map(parsePlace) ?? this.places,
      generation: this.generation,
      isSecure: tls !== undefined,
    };
  }
}

function check(options: NvmeTcpTargetOptions): void {
  const { listen, subsystems, mostConnections: most = defaultConnections } = options;
  if (subsystems.length < 1 || subsystems.length > mostSubsystems) {
    throw new RangeError(`${subsystems.length} subsystems; 1 to ${mostSubsystems} are possible`);
  }
  if (listen.length < 1) throw new RangeError('no place to listen; one at least');
  if (!Number.isInteger(most) || most < 1 || most > mostConnections) {
    throw new RangeError(`${most} connections; 1 to ${mostConnections} are possible`);
  }
}
