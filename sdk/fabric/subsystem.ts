import { ErrorCode, UltimaError } from '../errors.js';
import { lastControllerId, mostNqnBytes, nqnPrefix } from '../spec/fabrics/command.js';
import { AnaState } from '../spec/nvme/logs.js';
import type { Association, HostIdentity } from './association.js';
import { type FabricNamespace, mostAnaGroups, ServedNamespace } from './served-namespace.js';

/** A vendor specific admin command of a host. */
export interface VendorCommand {
  readonly opcode: number;
  readonly nsid: number;
  /** Command dwords 10 to 15. */
  readonly dwords: readonly number[];
  /** What the host sent with it; empty when it sent nothing. */
  readonly data: Uint8Array;
  /** Bytes that the host takes back. */
  readonly mostAnswerBytes: number;
  readonly host: HostIdentity;
  /** To bind something to the association, or to close its gate. */
  readonly association: Association;
}

export interface VendorAnswer {
  /** A status number (`Status`); 0 is success. */
  readonly status: number;
  /** Dword 0 of the completion. */
  readonly result?: number;
  /** For the host; padded with zeroes. */
  readonly data?: Uint8Array;
}

export interface FabricHost {
  readonly nqn: string;
  /** 'DHHC-1:…': the host proves that it knows it. */
  readonly secret?: string;
  /** 'DHHC-1:…': we prove that we know it, when the host asks. */
  readonly controllerSecret?: string;
}

export interface SubsystemOptions {
  /** 'nqn.2026-11.io.ultima:vol0' */
  readonly nqn: string;
  readonly namespaces?: readonly FabricNamespace[];
  /** At most 20 characters of ASCII; made of the name when left out. */
  readonly serial?: string;
  /** Only these hosts; any when left out. */
  readonly hosts?: readonly FabricHost[];
  /**
   * Controller identifiers that this target gives out, 1 to 65,519 when left out. Targets that
   * serve the same subsystem must not give out the same ones.
   */
  readonly controllerIds?: { readonly first: number; readonly last: number };
  /** Commands for namespaces are denied until somebody opens the association's gate. */
  readonly isClosedAtFirst?: boolean;
  /** Opcodes 0xc0 and above. They are invalid without it. */
  readonly onVendorCommand?: (command: VendorCommand) => Promise<VendorAnswer>;
}

const serialBytes = 20;

/** @throws RangeError for what cannot be a qualified name */
export function checkNqn(nqn: string): string {
  const bytes = Buffer.byteLength(nqn);
  if (nqn.startsWith(nqnPrefix) && bytes <= mostNqnBytes && /^[\x21-\x7e]+$/.test(nqn)) return nqn;
  throw new RangeError(
    `'${nqn}' is no NVMe qualified name: 'nqn.2026-11.io.example:name', at most 223 bytes of ASCII`,
  );
}

/** A subsystem while it is served: its namespaces, the states of their groups, and its hosts. */
export class FabricSubsystem {
  readonly nqn: string;
  readonly serial: string;
  readonly options: SubsystemOptions;
  readonly namespaces = new Map<number, ServedNamespace>();
  readonly associations = new Set<Association>();
  /** Ended, with commands inside devices. */
  readonly draining = new Set<Association>();
  anaChangeCount = 1;
  private readonly anaStates = new Uint8Array(mostAnaGroups + 1).fill(AnaState.optimized);
  private readonly anaCounts = new Float64Array(mostAnaGroups + 1).fill(1);
  private readonly changed: () => void;
  private nextControllerId: number;

  /** @param changed  the set of namespaces is another one */
  constructor(options: SubsystemOptions, changed: () => void) {
    this.nqn = checkNqn(options.nqn);
    this.options = options;
    this.changed = changed;
    const { first = 1, last = lastControllerId } = options.controllerIds ?? {};
    if (!(first >= 1 && first <= last && last <= lastControllerId)) {
      throw new RangeError(`controller identifiers ${first} to ${last}; 1 to 65519 are possible`);
    }
    this.nextControllerId = first;
    this.serial = options.serial ?? serialOf(options.nqn);
    if (!/^[\x21-\x7e]{1,20}$/.test(this.serial)) {
      throw new RangeError(`the serial number '${this.serial}': 1 to 20 characters of ASCII`);
    }
    for (const each of options.hosts ?? []) checkNqn(each.nqn);
    for (const each of options.namespaces ?? []) this.insert(each);
  }

  /** Hosts are told. @throws UltimaError NAME_TAKEN; RangeError, DEVICE_UNSUPPORTED as at start */
  addNamespace(options: FabricNamespace): void {
    this.insert(options);
    this.changed();
    this.tellChanged(options.nsid);
  }

  /**
   * Hosts are told; commands that are under way end first.
   *
   * @throws UltimaError NOT_FOUND
   */
  async removeNamespace(nsid: number): Promise<void> {
    const namespace = this.namespaces.get(nsid);
    if (namespace === undefined) {
      throw new UltimaError(ErrorCode.notFound, `no namespace ${nsid} is served`, { nsid });
    }
    this.namespaces.delete(nsid);
    namespace.reservations.listen(null);
    // What hosts have asked for is not for the next one of this number.
    for (const each of this.associations) each.reservationMasks.delete(nsid);
    this.tellChanged(nsid);
    while (namespace.inFlight > 0) await new Promise((resolve) => setImmediate(resolve));
    this.changed();
    namespace.close();
  }

  /** Hosts are told of devices that have grown since the last time. */
  lookForGrowth(): void {
    for (const namespace of this.namespaces.values()) {
      const { blockCount } = namespace.device;
      if (blockCount === namespace.knownBlocks) continue;
      namespace.knownBlocks = blockCount;
      this.tellChanged(namespace.nsid);
    }
  }

  anaState(group: number): number {
    return this.anaStates[group]!;
  }

  anaGroupCount(group: number): number {
    return this.anaCounts[group]!;
  }

  /** Say how this path stands to a group of namespaces; hosts are told. */
  setAnaState(group: number, state: number): void {
    if (!Number.isInteger(group) || group < 1 || group > mostAnaGroups) {
      throw new RangeError(`ANA group ${group}; 1 to ${mostAnaGroups} are possible`);
    }
    if (this.anaStates[group] === state) return;
    this.anaStates[group] = state;
    this.anaChangeCount++;
    this.anaCounts[group] = this.anaChangeCount;
    for (const each of this.associations) each.anaChanged();
  }

  /** An identifier that no association of ours has; -1 when all are taken. */
  takeControllerId(): number {
    const { first = 1, last = lastControllerId } = this.options.controllerIds ?? {};
    for (let tries = first; tries <= last; tries++) {
      const id = this.nextControllerId;
      this.nextControllerId = id === last ? first : id + 1;
      if (this.find(id) === null) return id;
    }
    return -1;
  }

  find(controllerId: number): Association | null {
    for (const set of [this.associations, this.draining]) {
      for (const each of set) if (each.identity.controllerId === controllerId) return each;
    }
    return null;
  }

  /** @returns the host's entry, null for a host that may not connect; {} where all may */
  admit(hostNqn: string): FabricHost | null {
    const { hosts } = this.options;
    if (hosts === undefined) return { nqn: hostNqn };
    return hosts.find(({ nqn }) => nqn === hostNqn) ?? null;
  }

  associationEnded(association: Association): void {
    this.associations.delete(association);
    if (association.inFlight === 0) return;
    this.draining.add(association);
    void association.drained().then(() => this.draining.delete(association));
  }

  /**
   * A host connects: what it had over the same path before is over, and nothing of what it had over
   * any path that has ended may still be inside a device.
   */
  async fence(association: Association): Promise<void> {
    const { hostNqn, hostId, remote } = association.identity;
    const isSame = ({ identity }: Association): boolean =>
      identity.hostNqn === hostNqn && identity.hostId === hostId;
    for (const each of [...this.associations]) {
      const isSamePath = addressOf(each.identity.remote) === addressOf(remote);
      if (each !== association && isSame(each) && isSamePath) {
        each.end('the host has connected anew');
      }
    }
    await Promise.all([...this.draining].filter(isSame).map((each) => each.drained()));
  }

  private insert(options: FabricNamespace): void {
    const { nsid } = options;
    if (this.namespaces.has(nsid)) {
      throw new UltimaError(ErrorCode.nameTaken, `namespace ${nsid} is served already`, { nsid });
    }
    const namespace = new ServedNamespace(options);
    this.namespaces.set(nsid, namespace);
    namespace.reservations.listen((host, type) => {
      for (const each of this.associations) {
        if (each.identity.hostId === host) each.reservationNotice(nsid, type);
      }
    });
  }

  private tellChanged(nsid: number): void {
    for (const each of this.associations) each.namespaceChanged(nsid);
  }
}

/** A remote place without its port, which is another one for each connection. */
function addressOf(remote: string): string {
  return remote.replace(/:\d+$/, '');
}

function serialOf(nqn: string): string {
  const name = nqn.slice(nqn.lastIndexOf(':') + 1).replace(/[^\x21-\x7e]/g, '');
  return name.slice(-serialBytes) || 'ultima';
}
