import type { Clock } from '../device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import type { ChunkPool } from '../sockets/outbox.js';
import type { Place, Sockets } from '../sockets/stream.js';
import { ConnectResult, discoveryNqn } from '../spec/fabrics/command.js';
import { EventType } from '../spec/fabrics/events.js';
import { SetFeatures } from '../spec/nvme/admin-command.js';
import { commandBytes, commandSizeExponent, Sqe } from '../spec/nvme/command.js';
import { AsyncEventResult, completionSizeExponent } from '../spec/nvme/completion.js';
import { EventFeature, Feature, QueueCountFeature } from '../spec/nvme/features.js';
import { Cns } from '../spec/nvme/identify.js';
import { IdentifyController } from '../spec/nvme/identify-controller.js';
import { AdminOpcode } from '../spec/nvme/opcodes.js';
import { Cap, Cc, Csts, Register, timeoutUnitMs } from '../spec/nvme/registers.js';
import { msNs } from '../units.js';
import { authenticateHost } from './host-authentication.js';
import type { HostCommand } from './host-command.js';
import {
  type ConnectFacts,
  connectQueue,
  control,
  getProperty,
  identifyPage,
  setProperty,
  tryControl,
} from './host-control.js';
import { HostQueue } from './host-queue.js';

const adminEntries = 32;
const capsuleUnitBytes = 16;
const pageBytes = 4096;
/** Events that we ask for at once. */
const eventRequests = 2;

export interface SessionOptions {
  readonly place: Place;
  readonly nqn: string;
  readonly hostNqn: string;
  readonly hostId: Uint8Array;
  readonly clock: Clock;
  readonly queues: number;
  readonly entries: number;
  readonly headerDigest: boolean;
  readonly dataDigest: boolean;
  readonly keepAliveMs: number;
  readonly connectMs: number;
  readonly secret?: string | undefined;
  readonly controllerSecret?: string | undefined;
}

export interface SessionParts {
  readonly sockets: Sockets;
  readonly chunks: ChunkPool;
  readonly ended: (command: HostCommand, status: number, queue: HostQueue) => void;
  /** One of its connections was lost, and with it the association. */
  readonly lost: (session: HostSession, why: string) => void;
  readonly notice: (session: HostSession, info: number) => void;
}

/** What a controller said of itself. */
export interface ControllerFacts {
  readonly controllerId: number;
  readonly serial: string;
  readonly model: string;
  readonly mostTransferBytes: number;
  readonly hasVolatileCache: boolean;
  readonly canDiscard: boolean;
  readonly canWriteZeroes: boolean;
  readonly atomicWriteBlocks: number;
  readonly hasAna: boolean;
}

/** One association with a controller, from its first connection to the loss of any of them. */
export class HostSession {
  facts: ControllerFacts | null = null;
  isOver = false;
  /** For I/O, once they are connected. */
  readonly queues: HostQueue[] = [];
  /** All there ever were, the one included that is being connected. */
  private readonly made: HostQueue[] = [];
  private readonly options: SessionOptions;
  private readonly parts: SessionParts;
  private adminQueue: HostQueue | null = null;
  private keepAlive: NodeJS.Timeout | null = null;

  private constructor(options: SessionOptions, parts: SessionParts) {
    this.options = options;
    this.parts = parts;
  }

  /** @throws UltimaError BACKEND_UNAVAILABLE, COMMAND_FAILED, DEVICE_REMOVED, CONTROLLER_TIMEOUT */
  static async open(options: SessionOptions, parts: SessionParts): Promise<HostSession> {
    const session = new HostSession(options, parts);
    try {
      await session.bringUp();
    } catch (error) {
      session.end('it could not be brought up');
      throw error;
    }
    return session;
  }

  get admin(): HostQueue {
    const { adminQueue } = this;
    if (adminQueue === null || this.isOver) {
      throw new UltimaError(ErrorCode.deviceRemoved, 'the connection was lost');
    }
    return adminQueue;
  }

  flush(): void {
    for (const queue of this.queues) queue.flush();
    this.adminQueue?.flush();
  }

  end(why: string): void {
    if (this.isOver) return;
    this.isOver = true;
    if (this.keepAlive !== null) clearInterval(this.keepAlive);
    for (const queue of this.made) queue.close(why);
    // Those for I/O are drained by whoever knows the namespaces; others have control alone.
    for (const queue of this.made) {
      if (!this.queues.includes(queue)) queue.drain((command) => command.settle?.(null));
    }
  }

  private async bringUp(): Promise<void> {
    const { options } = this;
    const { queue: admin, cntlid } = await this.connect(0, 0xffff);
    await this.enable(admin);
    const page = await identifyPage(admin, Cns.controller);
    this.facts = factsOf(page, cntlid);
    if (options.keepAliveMs > 0)
      this.keepAlive = setInterval(() => this.ping(), options.keepAliveMs / 2);
    this.keepAlive?.unref();
    const isDiscovery = options.nqn === discoveryNqn;
    if (!isDiscovery) await this.openIo(admin, page);
    await this.enableEvents(admin, page);
  }

  private async openIo(admin: HostQueue, page: Uint32Array): Promise<void> {
    const wanted = this.options.queues;
    const { result } = await control(admin, {
      what: 'asking for queues',
      fill: (words) => {
        Sqe.opc.set(words, 0, AdminOpcode.setFeatures);
        SetFeatures.fid.set(words, 0, Feature.numberOfQueues);
        const value = QueueCountFeature.nsq.put(QueueCountFeature.ncq.put(0, wanted), wanted);
        SetFeatures.value.set(words, 0, value);
      },
    });
    const given = Math.min(QueueCountFeature.nsq.of(result), QueueCountFeature.ncq.of(result));
    const capsule = IdentifyController.ioccsz.get(page, 0) * capsuleUnitBytes - commandBytes;
    const { controllerId } = this.facts!;
    for (let qid = 1; qid <= Math.min(wanted, given); qid++) {
      const { queue } = await this.connect(qid, controllerId);
      // Chunks have room for so much, whatever a controller takes.
      queue.inCapsuleBytes = Math.max(0, Math.min(capsule, 32 * 1024));
      this.queues.push(queue);
    }
  }

  private async connect(
    qid: number,
    cntlid: number,
  ): Promise<{ readonly queue: HostQueue; readonly cntlid: number }> {
    const { options, parts } = this;
    const stream = await parts.sockets.connect(options.place, options.connectMs);
    if (this.isOver) {
      stream.destroy();
      throw new UltimaError(ErrorCode.deviceRemoved, 'the connection was lost');
    }
    const queue = new HostQueue({
      stream,
      chunks: parts.chunks,
      entries: qid === 0 ? adminEntries : options.entries,
      headerDigest: options.headerDigest,
      dataDigest: options.dataDigest,
      ended: parts.ended,
      lost: (_queue, why) => this.lose(why),
    });
    this.made.push(queue);
    if (qid === 0) this.adminQueue = queue;
    const isOpen = await within(options.connectMs, queue.open());
    if (isOpen !== true) {
      queue.close('no answer to the first PDU');
      const what = `${options.place.host}:${options.place.port} does not speak NVMe/TCP`;
      throw new UltimaError(ErrorCode.backendUnavailable, what, { port: options.place.port });
    }
    const { entries } = queue;
    const facts: ConnectFacts = { ...this.connectFacts(), qid, entries, cntlid };
    const result = await connectQueue(queue, facts);
    const mustProve =
      ConnectResult.mustAuthenticate.of(result) + ConnectResult.mustAuthenticateSecure.of(result);
    if (mustProve > 0 || options.controllerSecret !== undefined) {
      await authenticateHost(queue, options);
    }
    return { queue, cntlid: ConnectResult.cntlid.of(result) };
  }

  private connectFacts() {
    const { hostId, hostNqn, nqn: subsystemNqn, keepAliveMs } = this.options;
    return { hostId, hostNqn, subsystemNqn, keepAliveMs };
  }

  /** [NVMe-2.0 §3.5.2 Message-based controller initialisation] */
  private async enable(admin: HostQueue): Promise<void> {
    const [low] = await getProperty(admin, Register.cap);
    let cc = Cc.en.put(0, 1);
    cc = Cc.iosqes.put(cc, commandSizeExponent);
    cc = Cc.iocqes.put(cc, completionSizeExponent);
    await setProperty(admin, Register.cc, cc);
    const { clock } = this.options;
    const limitNs = clock.nowNs() + Math.max(1, Cap.to.of(low)) * timeoutUnitMs * msNs;
    for (;;) {
      const [csts] = await getProperty(admin, Register.csts);
      if (Csts.rdy.of(csts) === 1) return;
      if (clock.nowNs() > limitNs || Csts.cfs.of(csts) === 1) {
        const message = 'the controller does not become ready';
        throw new UltimaError(ErrorCode.controllerTimeout, message, { csts });
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  private async enableEvents(admin: HostQueue, page: Uint32Array): Promise<void> {
    let mask = EventFeature.namespace.put(0, IdentifyController.oaesNamespace.get(page, 0));
    mask = EventFeature.ana.put(mask, IdentifyController.oaesAna.get(page, 0));
    mask = EventFeature.discovery.put(mask, IdentifyController.oaesDiscovery.get(page, 0));
    if (mask === 0) return;
    await control(admin, {
      what: 'asking for events',
      fill: (words) => {
        Sqe.opc.set(words, 0, AdminOpcode.setFeatures);
        SetFeatures.fid.set(words, 0, Feature.asynchronousEvents);
        SetFeatures.value.set(words, 0, mask);
      },
    });
    for (let i = 0; i < eventRequests; i++) void this.listen(admin);
  }

  /** Wait for events until the session is over. */
  private async listen(admin: HostQueue): Promise<void> {
    while (!this.isOver) {
      try {
        const { status, result } = await tryControl(admin, {
          what: 'waiting for an event',
          fill: (words) => Sqe.opc.set(words, 0, AdminOpcode.asynchronousEventRequest),
        });
        if (status !== 0) return;
        const isNotice = AsyncEventResult.type.of(result) === EventType.notice;
        if (isNotice) this.parts.notice(this, AsyncEventResult.info.of(result));
      } catch (error) {
        // The connection is gone: `lost` says so.
        if (error instanceof UltimaError) return;
        throw error;
      }
    }
  }

  private ping(): void {
    const { adminQueue } = this;
    if (adminQueue === null || this.isOver) return;
    const { keepAliveMs } = this.options;
    const sent = tryControl(adminQueue, {
      what: 'keep alive',
      fill: (words) => Sqe.opc.set(words, 0, AdminOpcode.keepAlive),
    });
    void within(keepAliveMs, sent).then(
      (answer) => {
        if (answer === null) this.lose(`no answer to a keep alive within ${keepAliveMs} ms`);
      },
      () => this.lose('a keep alive could not be sent'),
    );
  }

  private lose(why: string): void {
    if (this.isOver) return;
    this.end(why);
    this.parts.lost(this, why);
  }
}

/** What a promise gives, or null when it takes longer. */
export async function within<T>(limitMs: number, promise: Promise<T>): Promise<T | null> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), limitMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

function factsOf(page: Uint32Array, cntlid: number): ControllerFacts {
  const table = IdentifyController;
  const found = table.cntlid.get(page, 0);
  if (found !== cntlid) {
    const message = `the controller calls itself ${found} and was connected as ${cntlid}`;
    throw new UltimaError(ErrorCode.deviceMisbehaved, message, { found, cntlid });
  }
  if (table.icdoff.get(page, 0) !== 0) {
    const message = 'the controller wants data in capsules at an offset, which TCP does not have';
    throw new UltimaError(ErrorCode.deviceMisbehaved, message);
  }
  const mdts = table.mdts.get(page, 0);
  return {
    controllerId: cntlid,
    serial: table.sn.text(page, 0),
    model: table.mn.text(page, 0),
    mostTransferBytes: mdts === 0 || mdts > 12 ? 1024 * 1024 : pageBytes * 2 ** mdts,
    hasVolatileCache: table.vwcPresent.get(page, 0) === 1,
    canDiscard: table.oncsDatasetManagement.get(page, 0) === 1,
    canWriteZeroes: table.oncsWriteZeroes.get(page, 0) === 1,
    atomicWriteBlocks: table.awupf.get(page, 0),
    hasAna: table.cmicAna.get(page, 0) === 1,
  };
}
