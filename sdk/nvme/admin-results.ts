import { IdentifyController } from '../spec/nvme/identify-controller.js';
import {
  ErrorEntry,
  FirmwareSlotLog,
  HealthLog,
  SanitizeLog,
  SelfTestLog,
  SelfTestOutcome,
  SelfTestResult,
} from '../spec/nvme/logs.js';

/** Identify Controller in words; every other field is in `words`, by the table of `spec`. */
export interface ControllerIdentity {
  readonly vendorId: number;
  readonly subsystemVendorId: number;
  readonly serialNumber: string;
  readonly modelNumber: string;
  readonly firmwareRevision: string;
  readonly controllerId: number;
  /** 2 to this power times the smallest page is the largest transfer; 0 for no limit. */
  readonly maxTransferExponent: number;
  readonly namespaceCount: number;
  readonly totalBytes: bigint;
  readonly unallocatedBytes: bigint;
  readonly subsystemName: string;
  readonly words: Uint32Array;
}

export function controllerIdentity(words: Uint32Array): ControllerIdentity {
  const id = IdentifyController;
  return {
    vendorId: id.vid.get(words, 0),
    subsystemVendorId: id.ssvid.get(words, 0),
    serialNumber: id.sn.text(words, 0),
    modelNumber: id.mn.text(words, 0),
    firmwareRevision: id.fr.text(words, 0),
    controllerId: id.cntlid.get(words, 0),
    maxTransferExponent: id.mdts.get(words, 0),
    namespaceCount: id.nn.get(words, 0),
    totalBytes: id.tnvmcap.count(words, 0),
    unallocatedBytes: id.unvmcap.count(words, 0),
    subsystemName: id.subnqn.text(words, 0),
    words,
  };
}

export interface Health {
  readonly criticalWarnings: readonly string[];
  readonly temperatureKelvin: number;
  readonly sparePercent: number;
  readonly spareThresholdPercent: number;
  readonly usedPercent: number;
  readonly dataUnitsRead: bigint;
  readonly dataUnitsWritten: bigint;
  readonly hostReads: bigint;
  readonly hostWrites: bigint;
  readonly busyMinutes: bigint;
  readonly powerCycles: bigint;
  readonly powerOnHours: bigint;
  readonly unsafeShutdowns: bigint;
  readonly mediaErrors: bigint;
  readonly errorEntries: bigint;
  readonly words: Uint32Array;
}

export function healthOf(words: Uint32Array): Health {
  const log = HealthLog;
  const warnings = [
    log.warningSpare,
    log.warningTemperature,
    log.warningReliability,
    log.warningReadOnly,
    log.warningBackup,
    log.warningPersistentMemory,
  ];
  const isSet = warnings.filter((warning) => warning.get(words, 0) === 1);
  return {
    criticalWarnings: isSet.map((warning) => warning.doc),
    temperatureKelvin: log.temperature.get(words, 0),
    sparePercent: log.spare.get(words, 0),
    spareThresholdPercent: log.spareThreshold.get(words, 0),
    usedPercent: log.used.get(words, 0),
    dataUnitsRead: log.dataUnitsRead.count(words, 0),
    dataUnitsWritten: log.dataUnitsWritten.count(words, 0),
    hostReads: log.hostReads.count(words, 0),
    hostWrites: log.hostWrites.count(words, 0),
    busyMinutes: log.busyMinutes.count(words, 0),
    powerCycles: log.powerCycles.count(words, 0),
    powerOnHours: log.powerOnHours.count(words, 0),
    unsafeShutdowns: log.unsafeShutdowns.count(words, 0),
    mediaErrors: log.mediaErrors.count(words, 0),
    errorEntries: log.errorEntries.count(words, 0),
    words,
  };
}

export interface FirmwareSlots {
  readonly activeSlot: number;
  /** 0 when the next reset changes nothing. */
  readonly nextSlot: number;
  /** Revisions of slots 1..7, empty for an empty slot. */
  readonly revisions: readonly string[];
  readonly words: Uint32Array;
}

export function firmwareSlotsOf(words: Uint32Array): FirmwareSlots {
  const log = FirmwareSlotLog;
  const slots = [log.frs1, log.frs2, log.frs3, log.frs4, log.frs5, log.frs6, log.frs7];
  return {
    activeSlot: log.active.get(words, 0),
    nextSlot: log.next.get(words, 0),
    revisions: slots.map((slot) => slot.text(words, 0)),
    words,
  };
}

/** A value of the error log whose position in the page `at` gives. */
export interface ErrorRecord {
  readonly at: number;
  readonly count: number;
  readonly words: Uint32Array;
}

/** Entries that say something: an error count of 0 marks an unused one. */
export function errorRecordsOf(words: Uint32Array): readonly ErrorRecord[] {
  const dwords = ErrorEntry.layout.bytes / 4;
  const found: ErrorRecord[] = [];
  for (let at = 0; at + dwords <= words.length; at += dwords) {
    const count = ErrorEntry.count.get(words, at);
    if (count !== 0) found.push({ at, count, words });
  }
  return found;
}

export interface SelfTestState {
  /** Code of the running test, 0 for none. */
  readonly running: number;
  readonly percentDone: number;
  /** Newest first. */
  readonly results: readonly { readonly code: number; readonly result: number }[];
  readonly words: Uint32Array;
}

const unusedResult = SelfTestOutcome.unused;

export function selfTestOf(words: Uint32Array): SelfTestState {
  const log = SelfTestLog;
  const results = Array.from({ length: log.results.count }, (_, index) => {
    const at = log.results.at(0, index);
    return {
      code: SelfTestResult.code.get(words, at),
      result: SelfTestResult.outcome.get(words, at),
    };
  });
  return {
    running: log.running.get(words, 0),
    percentDone: log.percent.get(words, 0),
    results: results.filter((one) => one.result !== unusedResult),
    words,
  };
}

export interface SanitizeState {
  /** 0..1; 1 when none is running. */
  readonly progress: number;
  readonly status: number;
  readonly isErased: boolean;
  readonly words: Uint32Array;
}

export function sanitizeOf(words: Uint32Array, span: number): SanitizeState {
  const parts = SanitizeLog.progress.get(words, 0);
  return {
    progress: parts === span - 1 ? 1 : parts / span,
    status: SanitizeLog.status.get(words, 0),
    isErased: SanitizeLog.erased.get(words, 0) === 1,
    words,
  };
}
