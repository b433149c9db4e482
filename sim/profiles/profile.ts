import type { InsideProfile } from './inside.js';

/**
 * What a simulated card is, as plain data. Every number of a profile carries its source or
 * `// guess`; `rules.ts` says which values are possible. A field exists when some model reads it.
 */
export interface Profile {
  readonly name: string;
  readonly summary: string;
  readonly identity: IdentityProfile;
  readonly link: LinkProfile;
  readonly host: HostProfile;
  readonly controller: ControllerProfile;
  readonly firmware: FirmwareProfile;
  /** Fixed service times instead of an inside; one of the two is null. */
  readonly media: MediaProfile | null;
  readonly inside: InsideProfile | null;
  /** Quality of service in the card; null for a card without. */
  readonly qos: QosProfile | null;
  readonly cache: CacheProfile;
  readonly subsystem: SubsystemProfile;
  /** Formats that a namespace can have; the first is index 0. */
  readonly lbaFormats: readonly LbaFormatProfile[];
  /** Namespaces that exist and are attached when the card leaves the factory; the first is 1. */
  readonly namespaces: readonly NamespaceProfile[];
}

/** Who the card says it is. */
export interface IdentityProfile {
  readonly vendorId: number;
  readonly deviceId: number;
  readonly subsystemVendorId: number;
  readonly subsystemId: number;
  readonly revisionId: number;
  /** 1..20 characters. */
  readonly serialNumber: string;
  /** 1..40 characters. */
  readonly modelNumber: string;
  /** 1..8 characters. */
  readonly firmwareRevision: string;
  readonly ieeeOui: number;
}

export interface LinkProfile {
  /** PCIe generation, 1..5. */
  readonly generation: number;
  /** 1, 2, 4, 8 or 16. */
  readonly lanes: number;
  readonly maxPayloadBytes: number;
  readonly maxReadBytes: number;
  /** Data in one completion of a read: what the root complex cuts it into (RCB or more). */
  readonly completionBytes: number;
  /** Header, sequence, framing and CRC of one packet. */
  readonly packetOverheadBytes: number;
  /** Link layer packets (Ack, UpdateFC) that one packet causes in the other direction. */
  readonly ackBytes: number;
  /** Posted data that may be under way, and when its credit is back; 0 ns is no limit. */
  readonly postedCreditBytes: number;
  readonly creditReturnNs: number;
  /** Read requests that may be under way. */
  readonly readTags: number;
  /** Of them, those that are kept for fetches and for commands that a reservation pays for. */
  readonly reservedReadTags: number;
  /** One way through root complex, switch and wire, no queueing. */
  readonly propagationNs: number;
  /** What the completer of a read (host memory, device register) needs. */
  readonly completerNs: number;
}

/** What the host's software costs; it moves virtual time when a driver asks for it. */
export interface HostProfile {
  /** One command from submit to the doorbell store. */
  readonly submitNs: number;
  /** A store to a register: uncached, the processor waits until it has left. */
  readonly storeNs: number;
  /** One completion from the phase bit to the callback. */
  readonly completeNs: number;
  /** From the interrupt message to the handler's first instruction. */
  readonly interruptNs: number;
}

export interface ControllerProfile {
  /** I/O queue pairs, 1..64 (CAP and Number of Queues). */
  readonly queuePairs: number;
  /** Entries of an I/O queue (CAP.MQES as a count). */
  readonly queueEntries: number;
  readonly isContiguousQueuesRequired: boolean;
  /** Weighted round robin with urgent priority (CAP.AMS). */
  readonly hasWeightedRoundRobin: boolean;
  /** CAP.TO, in units of 500 ms. */
  readonly readyTimeout500Ms: number;
  /** CAP.DSTRD: 0 is 4 bytes between doorbells. */
  readonly doorbellStride: number;
  readonly pageBytesMin: number;
  readonly pageBytesMax: number;
  readonly hasSubsystemReset: boolean;
  readonly maxTransferBytes: number;
  readonly hasSgl: boolean;
  /** Controller memory buffer; 0 is none. */
  readonly memoryBufferBytes: number;
  readonly hasDoorbellBuffer: boolean;
  /** MSI-X vectors, at least 1. */
  readonly vectors: number;
  readonly asyncEventLimit: number;
  readonly abortLimit: number;
  readonly errorLogEntries: number;
  readonly firmwareSlots: number;
  /** SR-IOV virtual functions, each a secondary controller; 0 is no SR-IOV. */
  readonly virtualFunctions: number;
}

/** Stages of the card's own software; each is charged per command. */
export interface FirmwareProfile {
  /** CC.EN = 1 until CSTS.RDY = 1. */
  readonly readyNs: number;
  /** CC.EN = 0 until CSTS.RDY = 0. */
  readonly disableNs: number;
  /** Shutdown notification until CSTS.SHST = 2, with nothing to flush. */
  readonly shutdownNs: number;
  /** Power on or NSSR until registers answer as after reset. */
  readonly bootNs: number;
  /** Doorbell arrival until the fetch of the entry starts. */
  readonly fetchNs: number;
  /** Entry in the card until its work starts. */
  readonly decodeNs: number;
  /** Work done until the completion entry goes out. */
  readonly completeNs: number;
  /** An admin command's own work, unless the command has a time of its own. */
  readonly adminNs: number;
  /** Format and sanitize, per GiB of the namespace. */
  readonly formatNsPerGiB: number;
  /** Firmware activation without reset. */
  readonly activateNs: number;
  /** Short and extended device self-test. */
  readonly selfTestShortNs: number;
  readonly selfTestExtendedNs: number;
}

/** Fixed service times: for tests of behaviour and of speed. */
export interface MediaProfile {
  /** Commands that the media serves at one time; more wait in line. */
  readonly parallelUnits: number;
  /** The first 4 KiB of a command, and each further 4 KiB of it. */
  readonly readNs: number;
  readonly readNextNs: number;
  /** Into the write buffer, when there is one. */
  readonly writeNs: number;
  readonly writeNextNs: number;
  /** Flush with nothing to write back, and per 4 KiB that is dirty. */
  readonly flushNs: number;
  readonly flushNextNs: number;
  /** Dataset management and write zeroes, per range or command. */
  readonly trimNs: number;
  /** Spread of a service time in permille: 0 is none. */
  readonly jitterPermille: number;
}

/** The card's own scheduler between fetch and media. A unit is what a read of 4 KiB costs. */
export interface QosProfile {
  /** Units per second that may be reserved by all namespaces together. */
  readonly capacityUnits: number;
  /** Units that the media work on at one time; everything above waits, in order. */
  readonly depthUnits: number;
  /** The same while nobody with a reservation wants anything; at least `depthUnits`. */
  readonly quietDepthUnits: number;
  /** Commands that are fetched from a queue in one turn while any namespace has a policy. */
  readonly fetchBurst: number;
  /** The scheduler's own time for a command, one after the other. */
  readonly scheduleNs: number;
  /** What a write costs in reads of its size, and what any other command costs in units. */
  readonly writeCostPermille: number;
  readonly discardCostPermille: number;
  /**
   * Weight of each class of internal copies, and units per second that it reserves when no pool of
   * the drives has a free block left: less of them with more.
   */
  readonly copyWeightPermille: number;
  readonly copyUnits: number;
}

export interface CacheProfile {
  /** Without power-loss protection, unflushed writes can be lost, reordered and torn. */
  readonly isVolatile: boolean;
  /** Dirty bytes that the buffer holds. */
  readonly bytes: number;
}

export interface SubsystemProfile {
  readonly maxNamespaces: number;
  /** Bytes for all namespaces together (TNVMCAP). */
  readonly capacityBytes: number;
  /** Unit in which namespaces are allocated. */
  readonly allocationBytes: number;
  readonly hasNamespaceManagement: boolean;
  readonly hasReservations: boolean;
  /** Atomic write unit in normal operation and at power fail, in logical blocks. */
  readonly atomicBlocks: number;
  readonly atomicPowerFailBlocks: number;
}

export interface LbaFormatProfile {
  readonly dataBytes: number;
  readonly metadataBytes: number;
  /** 0 best .. 3 degraded. */
  readonly relativePerformance: number;
}

export interface NamespaceProfile {
  readonly bytes: number;
  /** Index into `lbaFormats`. */
  readonly lbaFormat: number;
  /** Protection information type, 0..3. */
  readonly protectionType: number;
  readonly isMetadataExtended: boolean;
  readonly isShared: boolean;
}
