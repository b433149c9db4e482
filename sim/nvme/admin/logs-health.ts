import { GetLogPage } from '../../../sdk/spec/nvme/admin-command.js';
import {
  AggregateLog,
  dataUnitBytes,
  EnduranceGroupLog,
  ErrorEntry,
  HealthLog,
  SelfTestLog,
  SelfTestOutcome,
  SelfTestResult,
  selfTestResultMaximum,
} from '../../../sdk/spec/nvme/logs.js';
import { Status } from '../../../sdk/spec/nvme/status.js';
import type { Command } from '../command.js';
import { spareThresholdPercent } from '../health.js';
import { onlyGroup } from '../subsystem.js';
import type { AdminContext } from './context.js';

/** 01h: the newest error first; places without an error have count 0. */
export function errorLog(context: AdminContext): Uint8Array {
  const entryWords = ErrorEntry.layout.bytes / 4;
  const isSanitizing = context.subsystem.mediaStatus !== 0;
  const words = new Uint32Array(context.profile.controller.errorLogEntries * entryWords);
  for (const [index, error] of context.record.errors.records.entries()) {
    const at = index * entryWords;
    ErrorEntry.count.set(words, at, error.count);
    ErrorEntry.sqid.set(words, at, error.queueId);
    ErrorEntry.cid.set(words, at, error.cid);
    ErrorEntry.status.set(words, at, error.status);
    ErrorEntry.byte.set(words, at, error.byte);
    ErrorEntry.bit.set(words, at, error.bit);
    // While media are being sanitized no block is named [NVM-1.0 §5.? Sanitize Operations].
    ErrorEntry.lba.set(words, at, isSanitizing ? 0 : error.lba);
    ErrorEntry.nsid.set(words, at, error.nsid);
    ErrorEntry.commandSpecific.set(words, at, error.commandSpecific);
  }
  return new Uint8Array(words.buffer);
}

/** 02h, from the counters of the subsystem. */
export function healthLog(context: AdminContext): Uint8Array {
  const words = new Uint32Array(HealthLog.layout.bytes / 4);
  const H = HealthLog;
  const { health } = context.subsystem;
  writeWarnings(words, context.watch.warnings);
  H.temperature.set(words, 0, health.temperatureKelvin);
  H.spare.set(words, 0, health.sparePercent);
  H.spareThreshold.set(words, 0, spareThresholdPercent);
  H.used.set(words, 0, health.usedPercent);
  H.dataUnitsRead.setCount(words, 0, dataUnits(health.readBytes));
  H.dataUnitsWritten.setCount(words, 0, dataUnits(health.writtenBytes));
  H.hostReads.setCount(words, 0, BigInt(health.readCommands));
  H.hostWrites.setCount(words, 0, BigInt(health.writeCommands));
  H.busyMinutes.setCount(words, 0, BigInt(health.busyMinutes));
  H.powerCycles.setCount(words, 0, BigInt(health.powerCycles));
  H.powerOnHours.setCount(words, 0, BigInt(health.powerOnHours));
  H.unsafeShutdowns.setCount(words, 0, BigInt(health.unsafeShutdowns));
  H.mediaErrors.setCount(words, 0, BigInt(health.mediaErrors));
  H.errorEntries.setCount(words, 0, BigInt(context.record.errors.count));
  H.warningMinutes.set(words, 0, health.warningMinutes);
  H.criticalMinutes.set(words, 0, health.criticalMinutes);
  H.sensor1.set(words, 0, health.temperatureKelvin);
  H.thermal1Count.set(words, 0, context.watch.lightCount);
  H.thermal2Count.set(words, 0, context.watch.heavyCount);
  H.thermal1Seconds.set(words, 0, context.watch.lightSeconds);
  H.thermal2Seconds.set(words, 0, context.watch.heavySeconds);
  return new Uint8Array(words.buffer);
}

/** The warning byte is the first of the page, bit for bit. */
function writeWarnings(words: Uint32Array, warnings: number): void {
  const fields = [
    HealthLog.warningSpare,
    HealthLog.warningTemperature,
    HealthLog.warningReliability,
    HealthLog.warningReadOnly,
    HealthLog.warningBackup,
    HealthLog.warningPersistentMemory,
  ];
  for (const field of fields) field.set(words, 0, field.of(warnings));
}

/** Rounded up [NVMe-2.0 §5.16.1.3 Data Units Read]. */
function dataUnits(bytes: number): bigint {
  return BigInt(Math.ceil(bytes / dataUnitBytes));
}

/** 06h. */
export function selfTestLog(context: AdminContext): Uint8Array {
  const words = new Uint32Array(SelfTestLog.layout.bytes / 4);
  const { selfTest } = context;
  SelfTestLog.running.set(words, 0, selfTest.code);
  SelfTestLog.percent.set(words, 0, selfTest.percent);
  for (let index = 0; index < selfTestResultMaximum; index++) {
    const at = SelfTestLog.results.at(0, index);
    const record = selfTest.records[index];
    if (record === undefined) {
      SelfTestResult.outcome.set(words, at, SelfTestOutcome.unused);
      continue;
    }
    SelfTestResult.outcome.set(words, at, record.outcome);
    SelfTestResult.code.set(words, at, record.code);
    SelfTestResult.powerOnHours.set(words, at, record.powerOnHours);
    SelfTestResult.nsidValid.set(words, at, record.nsid === 0 ? 0 : 1);
    SelfTestResult.nsid.set(words, at, record.nsid);
  }
  return new Uint8Array(words.buffer);
}

/** 09h: the one endurance group. */
export function enduranceGroupLog(context: AdminContext, command: Command): Uint8Array | number {
  if (GetLogPage.lsi.get(command.words, 0) !== onlyGroup) {
    return context.refuse(Status.invalidField, GetLogPage.lsi);
  }
  const words = new Uint32Array(EnduranceGroupLog.layout.bytes / 4);
  const E = EnduranceGroupLog;
  const { health } = context.subsystem;
  E.spare.set(words, 0, health.sparePercent);
  E.spareThreshold.set(words, 0, spareThresholdPercent);
  E.used.set(words, 0, health.usedPercent);
  E.dataUnitsRead.setCount(words, 0, billions(health.readBytes));
  E.dataUnitsWritten.setCount(words, 0, billions(health.writtenBytes));
  E.mediaUnitsWritten.setCount(words, 0, billions(health.mediaWrittenBytes));
  E.hostReads.setCount(words, 0, BigInt(health.readCommands));
  E.hostWrites.setCount(words, 0, BigInt(health.writeCommands));
  E.mediaErrors.setCount(words, 0, BigInt(health.mediaErrors));
  E.errorEntries.setCount(words, 0, BigInt(context.record.errors.count));
  E.total.setCount(words, 0, BigInt(context.profile.subsystem.capacityBytes));
  E.unallocated.setCount(words, 0, BigInt(context.subsystem.unallocatedBytes));
  return new Uint8Array(words.buffer);
}

function billions(bytes: number): bigint {
  return BigInt(Math.ceil(bytes / 1e9));
}

/** 0Fh: no group has an event that waits. */
export function enduranceAggregateLog(): Uint8Array {
  return new Uint8Array(AggregateLog.layout.bytes);
}
