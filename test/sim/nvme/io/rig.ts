import type { HostController } from '../../../../sdk/reservations/report.js';
import { Sqe } from '../../../../sdk/spec/nvme/command.js';
import { Status, statusKind } from '../../../../sdk/spec/nvme/status.js';
import { Command, FuseRole } from '../../../../sim/nvme/command.js';
import type { CommandServices } from '../../../../sim/nvme/executor.js';
import type { IoController, IoHealth } from '../../../../sim/nvme/io/controller.js';
import { IoSet } from '../../../../sim/nvme/io/io-set.js';
import { MediaTiming } from '../../../../sim/nvme/io/media-timing.js';
import { Medium } from '../../../../sim/nvme/medium.js';
import { Namespace, namespaceIdentifiers } from '../../../../sim/nvme/namespace.js';
import { Prng } from '../../../../sim/prng.js';
import { simple } from '../../../../sim/profiles/simple.js';
import { MemoryStore } from '../../../../sim/store/page-store.js';

export const formats = [
  { dataBytes: 512, metadataBytes: 0, relativePerformance: 0 },
  { dataBytes: 512, metadataBytes: 8, relativePerformance: 0 },
  { dataBytes: 4096, metadataBytes: 0, relativePerformance: 0 },
  { dataBytes: 4096, metadataBytes: 8, relativePerformance: 0 },
  { dataBytes: 4096, metadataBytes: 64, relativePerformance: 0 },
] as const;

export interface RigOptions {
  readonly seed?: number;
  readonly formatIndex?: number;
  readonly isMetadataExtended?: boolean;
  readonly protectionType?: number;
  readonly isProtectionFirst?: boolean;
  readonly sizeBlocks?: number;
  readonly powerFailBlocks?: number;
  readonly isVolatile?: boolean;
}

/** A namespace for tests, in memory. */
export function makeNamespace(options: RigOptions = {}, nsid = 1): Namespace {
  const seed = options.seed ?? 1;
  const powerFailBlocks = options.powerFailBlocks ?? 1;
  const sizeBlocks = options.sizeBlocks ?? 2 ** 41;
  return new Namespace({
    nsid,
    sizeBlocks,
    capacityBlocks: sizeBlocks,
    formats,
    format: {
      formatIndex: options.formatIndex ?? 0,
      isMetadataExtended: options.isMetadataExtended ?? false,
      protectionType: options.protectionType ?? 0,
      isProtectionFirst: options.isProtectionFirst ?? false,
    },
    atomicity: {
      writeBlocks: 32,
      powerFailBlocks,
      compareWriteBlocks: 8,
      boundaryBlocks: 0,
      boundaryOffset: 0,
      powerFailBoundaryBlocks: 0,
    },
    copyLimits: { maxRangeBlocks: 64, maxBlocks: 128, maxRanges: 8 },
    optimalBoundaryBlocks: 0,
    isShared: true,
    anaGroupId: 1,
    nvmSetId: 1,
    enduranceGroupId: 1,
    identifiers: namespaceIdentifiers({ seed, nsid, salt: 0 }),
    medium: new Medium({
      hasVolatileCache: options.isVolatile ?? true,
      cacheBytes: 1 << 20,
      tear: { powerFailBlocks, boundaryBlocks: 0, boundaryOffset: 0 },
      chance: new Prng(seed, 'medium'),
      openStore: (pool) => new MemoryStore(pool),
    }),
  });
}

/** How one command ended. */
export interface Ending {
  readonly status: number;
  readonly dw0: number;
  readonly atNs: number;
}

/** A field of a command table, as far as a test sets it. */
interface Settable {
  set(words: Uint32Array, at: number, value: number): void;
}

export interface Request {
  readonly opcode: number;
  readonly nsid?: number;
  readonly fields?: readonly (readonly [Settable, number])[];
  /** The host's data buffer and metadata buffer: read or filled by the command. */
  readonly data?: Uint8Array;
  readonly metadata?: Uint8Array;
}

interface Slot {
  readonly command: Command;
  data: Uint8Array;
  metadata: Uint8Array;
  dueNs: number;
  ending: Ending | null;
}

/**
 * The I/O set alone: data pointers are plain buffers, time is a list. Several rigs on one namespace
 * are several controllers.
 */
export class Rig {
  readonly namespaces = new Map<number, Namespace>();
  readonly set: IoSet;
  readonly health = new CountingHealth();
  readonly errors: { status: number; lba: number }[] = [];
  nowNs = 0;
  host: string;
  hasExtendedHostIdentifier = false;
  isHostAnonymous = false;
  refusalStatus = 0;
  maxTransferBytes = 1 << 20;
  /** Rigs that share a namespace with this one, itself included. */
  peers: Rig[] = [this];
  readonly controllerId: number;
  private readonly slots: Slot[] = [];
  private readonly free: Slot[] = [];
  private cid = 0;

  constructor(namespace: Namespace | readonly Namespace[], controllerId = 1) {
    const list = namespace instanceof Namespace ? [namespace] : namespace;
    for (const each of list) this.namespaces.set(each.nsid, each);
    this.controllerId = controllerId;
    this.host = `host ${controllerId}`;
    const chance = new Prng(7, 'rig');
    this.set = new IoSet({
      services: this.services(),
      controller: this.controller(),
      media: fixedTimes(chance),
      chance,
    });
  }

  get namespace(): Namespace {
    const first = this.namespaces.values().next().value;
    if (first === undefined) throw new Error('a rig without a namespace');
    return first;
  }

  /** Start a command; it ends in `drain` at the latest. */
  start(request: Request, fuse: number = FuseRole.none): Slot {
    const slot = this.free.pop() ?? this.makeSlot();
    const { command } = slot;
    command.words.fill(0);
    Sqe.opc.set(command.words, 0, request.opcode);
    for (const [field, value] of request.fields ?? []) field.set(command.words, 0, value);
    command.opcode = request.opcode;
    command.nsid = request.nsid ?? 1;
    command.cid = this.cid++;
    command.fuse = fuse;
    command.partner = null;
    command.step = 0;
    command.scratch0 = command.scratch1 = command.scratch2 = command.scratch3 = 0;
    slot.data = request.data ?? new Uint8Array(0);
    slot.metadata = request.metadata ?? new Uint8Array(0);
    slot.ending = null;
    slot.dueNs = -1;
    if (fuse === FuseRole.none) this.set.begin(command);
    return slot;
  }

  /** Run a command to its end. */
  run(request: Request): Ending {
    const slot = this.start(request);
    this.drain();
    return this.take(slot);
  }

  /** A fused pair. */
  runFused(first: Request, second: Request): [Ending, Ending] {
    const one = this.start(first, FuseRole.first);
    const two = this.start(second, FuseRole.second);
    one.command.partner = two.command;
    two.command.partner = one.command;
    this.set.begin(one.command);
    this.set.begin(two.command);
    this.drain();
    return [this.take(one), this.take(two)];
  }

  /** Let time pass until nothing is due. */
  drain(): void {
    while (this.step()) {
      // Each step is one timer.
    }
  }

  /** The next timer. @returns false when there is none */
  step(): boolean {
    let next: Slot | null = null;
    for (const slot of this.slots) {
      if (slot.dueNs >= 0 && (next === null || slot.dueNs < next.dueNs)) next = slot;
    }
    if (next === null) return false;
    this.nowNs = Math.max(this.nowNs, next.dueNs);
    next.dueNs = -1;
    this.set.finish(next.command);
    return true;
  }

  take(slot: Slot): Ending {
    if (slot.ending === null) throw new Error('the command did not end');
    this.free.push(slot);
    return slot.ending;
  }

  /** The controller is reset: everything in flight is gone. */
  reset(): void {
    for (const slot of this.slots) {
      if (slot.dueNs < 0) continue;
      slot.dueNs = -1;
      this.free.push(slot);
    }
    this.set.abandon();
  }

  private makeSlot(): Slot {
    const command = new Command(this.slots.length);
    const none = new Uint8Array(0);
    const slot: Slot = { command, data: none, metadata: none, dueNs: -1, ending: null };
    this.slots.push(slot);
    return slot;
  }

  private services(): CommandServices {
    const rig = this;
    const slotOf = (command: Command): Slot => this.slots[command.slot]!;
    return {
      get nowNs() {
        return rig.nowNs;
      },
      memoryPageBytes: 4096,
      complete: (command, status, dw0 = 0) => {
        const slot = slotOf(command);
        if (slot.ending !== null) throw new Error('a command ended twice');
        if (slot.dueNs >= 0) throw new Error('a command ended while it was delayed');
        slot.ending = { status: statusKind(status), dw0, atNs: rig.nowNs };
      },
      delay: (command, ns) => {
        slotOf(command).dueNs = rig.nowNs + ns;
      },
      prepare: () => rig.nowNs,
      hold: () => {
        throw new Error('fixed times hold no command');
      },
      resume: () => {
        throw new Error('nothing is held');
      },
      mapData: (command, length) => {
        if (slotOf(command).data.length < length) throw new Error('data buffer too short');
        return 0;
      },
      mapMetadata: (command, length) => {
        if (slotOf(command).metadata.length < length) throw new Error('metadata too short');
        return 0;
      },
      toHost: (command, bytes, from, at, length) => {
        slotOf(command).data.set(bytes.subarray(from, from + length), at);
        return 0;
      },
      fromHost: (command, bytes, from, at, length) => {
        bytes.set(slotOf(command).data.subarray(at, at + length), from);
        return 0;
      },
      metadataToHost: (command, bytes, from, at, length) => {
        slotOf(command).metadata.set(bytes.subarray(from, from + length), at);
        return 0;
      },
      metadataFromHost: (command, bytes, from, at, length) => {
        bytes.set(slotOf(command).metadata.subarray(at, at + length), from);
        return 0;
      },
      stop: (command, status) => {
        const slot = slotOf(command);
        if (slot.ending !== null) return false;
        rig.set.cancel(command);
        slot.dueNs = -1;
        slot.ending = { status, dw0: 0, atNs: rig.nowNs };
        return true;
      },
      postEvent: () => {},
    };
  }

  private controller(): IoController {
    const rig = this;
    return {
      controllerId: this.controllerId,
      namespaceLimit: 16,
      health: this.health,
      get maxTransferBytes() {
        return rig.maxTransferBytes;
      },
      get host() {
        return rig.host;
      },
      get hasExtendedHostIdentifier() {
        return rig.hasExtendedHostIdentifier;
      },
      get isHostAnonymous() {
        return rig.isHostAnonymous;
      },
      get isRestricted() {
        return rig.refusalStatus !== 0;
      },
      namespace: (nsid) => this.namespaces.get(nsid) ?? null,
      attachedNamespaces: () => this.namespaces.values(),
      refusal: () => this.refusalStatus,
      useDirective: () => Status.invalidField,
      recordError: (_, status, lba) => this.errors.push({ status: statusKind(status), lba }),
      controllersOf: (host) => this.peers.filter((peer) => peer.host === host).map(described),
      abortCommandsOf: (hosts, namespace) => {
        for (const peer of this.peers)
          if (hosts.includes(peer.host))
            peer.set.abortAll(namespace, Status.abortedPreemptAndAbort);
      },
    };
  }
}

function described(rig: Rig): HostController {
  const hostIdentifier = new Uint8Array(rig.hasExtendedHostIdentifier ? 16 : 8);
  hostIdentifier.fill(rig.controllerId);
  return { controllerId: rig.controllerId, hostIdentifier };
}

class CountingHealth implements IoHealth {
  readBytes = 0;
  writtenBytes = 0;
  readCommands = 0;
  writeCommands = 0;
  mediaErrors = 0;
  busy = 0;

  countRead(bytes: number): void {
    this.readCommands++;
    this.readBytes += bytes;
  }

  countWrite(bytes: number): void {
    this.writeCommands++;
    this.writtenBytes += bytes;
  }

  countMediaError(): void {
    this.mediaErrors++;
  }

  enter(): void {
    this.busy++;
  }

  leave(): void {
    this.busy--;
  }
}

/** `count` blocks that differ from each other and between tags. */
export function pattern(tag: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (tag * 31 + (i >>> 9) * 7 + i) & 0xff;
  return bytes;
}

function fixedTimes(chance: Prng): MediaTiming {
  if (simple.media === null) throw new Error('the simple profile has fixed times');
  return new MediaTiming(simple.media, chance);
}
