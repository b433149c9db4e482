import { randomBytes } from 'node:crypto';
import { MemorySpace } from '../block/memory.js';
import type { Clock, DmaSpace } from '../device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { type MutualTls, NodeSockets } from '../sockets/node-sockets.js';
import { ChunkPool } from '../sockets/outbox.js';
import type { Sockets } from '../sockets/stream.js';
import { NoticeInfo } from '../spec/fabrics/events.js';
import { Sqe } from '../spec/nvme/command.js';
import { Cns, NamespaceList, Nsid } from '../spec/nvme/identify.js';
import { IdentifyNamespace } from '../spec/nvme/identify-namespace.js';
import { AnaGroup, AnaLog, ChangedNamespaceLog, LogPage } from '../spec/nvme/logs.js';
import { directionOf } from '../spec/nvme/opcodes.js';
import { KiB } from '../units.js';
import type { ControlResult, HostCommand } from './host-command.js';
import { identifyPage, logPageOf, tryControl } from './host-control.js';
import type { HostQueue } from './host-queue.js';
import { HostSession, type SessionOptions } from './host-session.js';
import { parsePlace } from './place.js';
import {
  limitsOf,
  type NamespaceFacts,
  type NamespacePort,
  RemoteNamespace,
} from './remote-namespace.js';
import { checkNqn } from './subsystem.js';

export type NvmeTcpEvent =
  | { readonly kind: 'lost'; readonly why: string }
  | { readonly kind: 'reconnected' }
  | { readonly kind: 'failed'; readonly why: string }
  | { readonly kind: 'namespaces' }
  | { readonly kind: 'ana' };

export interface NvmeTcpOptions {
  /** 'HOST:PORT', '[ADDRESS]:PORT', 'HOST' (port 4420). */
  readonly address: string;
  /** Of the subsystem. */
  readonly nqn: string;
  readonly clock: Clock;
  /** Buffers of those who use the namespaces; memory of its own when left out. */
  readonly memory?: DmaSpace;
  /** Who we are; made of a random identifier when left out. */
  readonly hostNqn?: string;
  /** 16 bytes; random when left out, and the same for every reconnection. */
  readonly hostId?: Uint8Array;
  /** Queues for I/O, 1 to 64; 1 when left out. */
  readonly queues?: number;
  /** Of each queue, 2 to 1,024; 128 when left out. */
  readonly entries?: number;
  readonly headerDigest?: boolean;
  readonly dataDigest?: boolean;
  /** 0 is off; 10,000 when left out. */
  readonly keepAliveMs?: number;
  /** For each connection; 5,000 when left out. */
  readonly connectMs?: number;
  /** How long a lost association is tried again; 0 gives up at once; 60,000 when left out. */
  readonly reconnectMs?: number;
  readonly tls?: MutualTls;
  /** 'DHHC-1:…' */
  readonly secret?: string;
  readonly controllerSecret?: string;
  readonly sockets?: Sockets;
  readonly onEvent?: (event: NvmeTcpEvent) => void;
}

/** A vendor specific admin command. */
export interface VendorRequest {
  readonly opcode: number;
  readonly nsid?: number;
  /** Command dwords 10 to 15; missing ones are 0. */
  readonly dwords?: readonly number[];
  readonly send?: Uint8Array;
  readonly receive?: Uint8Array;
}

const firstRetryMs = 50;
const longestRetryMs = 1000;
const mostEntries = 1024;
const anaLogBytes = 16 * KiB;
const firstVendorOpcode = 0xc0;

/**
 * A subsystem of another machine, over TCP. Its namespaces are block devices; they stay the same
 * objects when the connection is lost and made anew, and grow when the namespace does.
 */
export class NvmeTcp implements NamespacePort {
  readonly clock: Clock;
  readonly memory: DmaSpace;
  /** By namespace identifier. */
  readonly namespaces = new Map<number, RemoteNamespace>();
  private readonly options: NvmeTcpOptions;
  private readonly settings: SessionOptions;
  private readonly sockets: Sockets;
  private readonly chunks = new ChunkPool();
  private session: HostSession | null = null;
  private nextQueue = 0;
  private isClosed = false;
  private retryTimer: (() => void) | null = null;
  /** Looks at namespaces run one after the other. */
  private refreshing: Promise<void> = Promise.resolve();

  private constructor(options: NvmeTcpOptions) {
    this.options = options;
    this.clock = options.clock;
    this.memory = options.memory ?? new MemorySpace();
    this.settings = settingsOf(options);
    this.sockets = options.sockets ?? new NodeSockets(options.tls);
  }

  /**
   * @throws UltimaError BACKEND_UNAVAILABLE when nobody answers, COMMAND_FAILED with the status
   *   when the subsystem refuses us, DEVICE_MISBEHAVED; RangeError for options that cannot be
   */
  static async connect(options: NvmeTcpOptions): Promise<NvmeTcp> {
    const initiator = new NvmeTcp(options);
    try {
      await initiator.open();
    } catch (error) {
      await initiator.close();
      throw error;
    }
    return initiator;
  }

  get isConnected(): boolean {
    return this.session !== null;
  }

  /** @throws UltimaError NOT_FOUND */
  namespace(nsid: number): RemoteNamespace {
    const found = this.namespaces.get(nsid);
    if (found !== undefined) return found;
    const known = [...this.namespaces.keys()].join(', ') || 'none';
    const message = `${this.options.nqn} has no namespace ${nsid}; it has ${known}`;
    throw new UltimaError(ErrorCode.notFound, message, { nsid });
  }

  queue(): HostQueue | null {
    const queues = this.session?.queues;
    if (queues === undefined || queues.length === 0) return null;
    for (let i = 0; i < queues.length; i++) {
      this.nextQueue = this.nextQueue + 1 >= queues.length ? 0 : this.nextQueue + 1;
      const queue = queues[this.nextQueue]!;
      if (queue.hasRoom) return queue;
    }
    return null;
  }

  turn(): void {
    this.session?.flush();
    this.sockets.poll();
  }

  /** A command of 0xc0 or above. @throws UltimaError DEVICE_REMOVED, QUEUE_FULL */
  async vendorCommand(request: VendorRequest): Promise<ControlResult> {
    const { opcode, nsid = 0, dwords = [], send, receive } = request;
    if (!(opcode >= firstVendorOpcode && opcode <= 0xff)) {
      throw new RangeError(`opcode ${opcode} is not vendor specific: 0xc0 to 0xff are`);
    }
    const direction = directionOf(opcode);
    const isWrong =
      (send !== undefined && direction !== 'to controller') ||
      (receive !== undefined && direction !== 'to host');
    if (isWrong) throw new RangeError(`bits 1:0 of opcode ${opcode} say: data ${direction}`);
    return tryControl(this.live().admin, {
      what: `vendor command ${opcode}`,
      ...(send !== undefined && { send }),
      ...(receive !== undefined && { receive }),
      fill: (words) => {
        Sqe.opc.set(words, 0, opcode);
        Sqe.nsid.set(words, 0, nsid);
        dwords.slice(0, 6).forEach((value, i) => {
          words[Sqe.cdw10.dword + i] = value;
        });
      },
    });
  }

  /** Requests under way end as unknown. Idempotent. */
  async close(): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    this.sockets.watch(null);
    this.retryTimer?.();
    const { session } = this;
    this.session = null;
    if (session !== null) {
      session.end('closed');
      this.drain(session);
    }
    if (this.options.sockets === undefined) this.sockets.close();
  }

  private live(): HostSession {
    if (this.session !== null) return this.session;
    throw new UltimaError(ErrorCode.deviceRemoved, `${this.options.address}: not connected`);
  }

  private async open(): Promise<void> {
    if (this.sockets.isPolled) this.sockets.watch(() => this.sockets.poll());
    const session = await HostSession.open(this.settings, {
      sockets: this.sockets,
      chunks: this.chunks,
      ended: (command, status, queue) => command.namespace!.completed(command, status, queue),
      lost: (each, why) => this.lost(each, why),
      notice: (each, info) => this.noticed(each, info),
    });
    try {
      await this.findNamespaces(session);
      if (session.isOver || this.isClosed) {
        throw new UltimaError(ErrorCode.deviceRemoved, 'the connection was lost');
      }
    } catch (error) {
      session.end('its namespaces cannot be used');
      this.drain(session);
      throw error;
    }
    this.session = session;
  }

  private lost(session: HostSession, why: string): void {
    this.drain(session);
    if (this.session !== session) return;
    this.session = null;
    this.options.onEvent?.({ kind: 'lost', why });
    void this.reconnect(why);
  }

  private drain(session: HostSession): void {
    const each = (command: HostCommand): void => {
      if (command.settle !== null) command.settle(null);
      else command.namespace?.lost(command);
    };
    for (const queue of session.queues) queue.drain(each);
  }

  private async reconnect(why: string): Promise<void> {
    const { reconnectMs = 60_000, onEvent } = this.options;
    const endMs = performance.now() + reconnectMs;
    let waitMs = firstRetryMs;
    let last = why;
    while (!this.isClosed && performance.now() + waitMs < endMs) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, waitMs);
        this.retryTimer = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      waitMs = Math.min(2 * waitMs, longestRetryMs);
      if (this.isClosed) return;
      try {
        await this.open();
        onEvent?.({ kind: 'reconnected' });
        return;
      } catch (error) {
        last = error instanceof Error ? error.message : String(error);
      }
    }
    if (!this.isClosed) onEvent?.({ kind: 'failed', why: last });
  }

  private noticed(session: HostSession, info: number): void {
    const refresh = async (): Promise<void> => {
      if (session.isOver) return;
      if (info === NoticeInfo.namespaceChanged) {
        await logPageOf(session.admin, LogPage.changedNamespaces, ChangedNamespaceLog.layout.bytes);
        await this.findNamespaces(session);
        this.options.onEvent?.({ kind: 'namespaces' });
      } else if (info === NoticeInfo.anaChanged) {
        await this.readAna(session);
        this.options.onEvent?.({ kind: 'ana' });
      }
    };
    // What fails here fails with its connection, which is told elsewhere.
    this.refreshing = this.refreshing.then(refresh).catch(() => {});
  }

  private async findNamespaces(session: HostSession): Promise<void> {
    const found = new Set<number>();
    const { entries } = NamespaceList;
    for (let after = 0; ; ) {
      const page = await identifyPage(session.admin, Cns.activeNamespaces, after);
      const listed: number[] = [];
      for (let i = 0; i < entries.count; i++) {
        const nsid = entries.item.nsid.get(page, entries.at(0, i));
        // Ascending, or it would never end.
        if (nsid <= after || nsid > Nsid.lastUsable) break;
        listed.push(nsid);
        after = nsid;
      }
      for (const nsid of listed) found.add(nsid);
      if (listed.length < entries.count) break;
    }
    for (const nsid of found) await this.adopt(session, nsid);
    for (const [nsid, namespace] of this.namespaces) namespace.isGone = !found.has(nsid);
    if (session.facts?.hasAna === true) await this.readAna(session);
  }

  private async adopt(session: HostSession, nsid: number): Promise<void> {
    const page = await identifyPage(session.admin, Cns.namespace, nsid);
    const facts = factsOf(page, nsid, session, this.settings);
    if (facts === null) return;
    const known = this.namespaces.get(nsid);
    if (known === undefined) {
      this.namespaces.set(nsid, new RemoteNamespace(this, facts));
      return;
    }
    if (known.nguid !== facts.nguid || known.blockBytes !== facts.blockBytes) {
      known.isGone = true;
      const message = `namespace ${nsid} of ${this.options.nqn} is another one than before`;
      throw new UltimaError(ErrorCode.namespaceInvalid, message, { nsid });
    }
    known.blockCount = facts.blockCount;
    known.anaGroup = facts.anaGroup;
  }

  private async readAna(session: HostSession): Promise<void> {
    const page = await logPageOf(session.admin, LogPage.ana, anaLogBytes);
    const states = new Map<number, number>();
    let at = AnaLog.layout.bytes / 4;
    const groupDwords = AnaGroup.layout.bytes / 4;
    for (let i = 0; i < AnaLog.groups.get(page, 0); i++) {
      if (at + groupDwords > page.length) break;
      states.set(AnaGroup.id.get(page, at), AnaGroup.state.get(page, at));
      at += groupDwords + AnaGroup.namespaces.get(page, at);
    }
    for (const namespace of this.namespaces.values()) {
      namespace.anaState = states.get(namespace.anaGroup) ?? namespace.anaState;
    }
  }
}

function settingsOf(options: NvmeTcpOptions): SessionOptions {
  const { queues = 1, entries = 128 } = options;
  if (!Number.isInteger(queues) || queues < 1 || queues > 64) {
    throw new RangeError(`${queues} queues; 1 to 64 are possible`);
  }
  if (!Number.isInteger(entries) || entries < 2 || entries > mostEntries) {
    throw new RangeError(`${entries} entries of a queue; 2 to ${mostEntries} are possible`);
  }
  const hostId = options.hostId ?? randomBytes(16);
  if (hostId.length !== 16) throw new RangeError(`a host identifier of ${hostId.length} bytes`);
  const name = Buffer.from(hostId).toString('hex');
  return {
    place: parsePlace(options.address),
    nqn: checkNqn(options.nqn),
    hostNqn: checkNqn(options.hostNqn ?? `nqn.2026-11.io.ultima:host-${name}`),
    hostId,
    clock: options.clock,
    queues,
    entries,
    headerDigest: options.headerDigest === true,
    dataDigest: options.dataDigest === true,
    keepAliveMs: options.keepAliveMs ?? 10_000,
    connectMs: options.connectMs ?? 5000,
    secret: options.secret,
    controllerSecret: options.controllerSecret,
  };
}

/** What a namespace says of itself; null for one that has gone meanwhile. */
function factsOf(
  page: Uint32Array,
  nsid: number,
  session: HostSession,
  settings: SessionOptions,
): NamespaceFacts | null {
  const table = IdentifyNamespace;
  const blockCount = table.nsze.get(page, 0);
  if (blockCount === 0) return null;
  const format = table.flbasIndex.get(page, 0);
  const at = table.lbaf.at(0, format);
  const shift = table.lbaf.item.lbads.get(page, at);
  const metadataBytes = table.lbaf.item.ms.get(page, at);
  if (shift < 9 || shift > 16 || metadataBytes !== 0 || !table.nsze.isExact(page, 0)) {
    const message =
      `namespace ${nsid} has ${blockCount} blocks of 2^${shift} bytes, ` +
      `${metadataBytes} bytes of metadata with each (format ${format}); ` +
      'blocks of 512 to 65,536 bytes without metadata can be used';
    throw new UltimaError(ErrorCode.namespaceInvalid, message, {
      nsid,
      blockCount,
      shift,
      metadataBytes,
    });
  }
  const blockBytes = 2 ** shift;
  const { mostTransferBytes, ...rest } = session.facts!;
  const own = table.nsfeatAtomic.get(page, 0) === 1 ? table.nawupf.get(page, 0) : 0;
  return {
    nsid,
    blockBytes,
    blockCount,
    nguid: Buffer.from(table.nguid.bytes(page, 0)).toString('hex'),
    anaGroup: table.anagrpid.get(page, 0),
    page,
    limits: limitsOf({
      mostTransferBytes,
      blockBytes,
      atomicWriteBlocks: own === 0 ? rest.atomicWriteBlocks : own,
      maxInFlight: settings.queues * (settings.entries - 1),
      hasVolatileCache: rest.hasVolatileCache,
      canDiscard: rest.canDiscard,
      canWriteZeroes: rest.canWriteZeroes,
    }),
  };
}
